package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelcoredumpy/otelcoredumpy"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop"
)

// service is the running shop.
type service struct {
	url    string
	server *http.Server
	spans  *sdktrace.TracerProvider
	dumps  *otelcoredumpy.Installed
}

// start brings the shop up, with OpenTelemetry and otelcoredumpy.
func start(ctx context.Context, opts *options, log *slog.Logger, report *report) (*service, error) {
	// Capturing, first of all.
	install := []otelcoredumpy.Option{
		otelcoredumpy.WithLogger(log),
		otelcoredumpy.OnDump(report.stored),
	}
	if opts.config != "" {
		install = append(install, otelcoredumpy.WithConfigFile(opts.config))
	}
	if opts.dir != "" {
		install = append(install, otelcoredumpy.WithDir(opts.dir))
	}
	dumps, err := otelcoredumpy.Install(install...)
	if err != nil {
		return nil, fmt.Errorf("install otelcoredumpy: %w", err)
	}
	// A service need not wait for this, but one that fails on purpose in its
	// first milliseconds had better.
	if err := dumps.Ready(ctx); err != nil {
		log.Info("no debug information", "err", err)
	}

	// Tracing, with otelcoredumpy's span processor around the usual one.
	exporter, err := newExporter(ctx, opts.otlp)
	if err != nil {
		return nil, err
	}
	batcher := sdktrace.NewBatchSpanProcessor(exporter)
	spans := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(dumps.SpanProcessor(batcher)),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "checkout"),
			attribute.String("service.version", "1.4.2"),
			attribute.String("deployment.environment.name", "demo"),
		)),
	)
	otel.SetTracerProvider(spans)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("opentelemetry", "err", err) }))

	// The shop, with otelcoredumpy inside of the tracing.
	handler := dumps.Middleware(report.noteTrace(shop.New(log).Handler()))
	handler = otelhttp.NewHandler(handler, "checkout", otelhttp.WithSpanNameFormatter(
		func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path }))

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // the panics, which net/http logs
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("serve", "err", err)
		}
	}()
	return &service{url: "http://" + listener.Addr().String(), server: server, spans: spans, dumps: dumps}, nil
}

// stop ends the shop once its dumps are stored and its spans are sent.
func (s *service) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return errors.Join(
		s.server.Shutdown(ctx),
		s.dumps.Shutdown(ctx),
		s.spans.Shutdown(ctx),
	)
}

// newExporter returns an exporter to a collector, or one that throws the spans
// away if there is no collector.
func newExporter(ctx context.Context, collector string) (sdktrace.SpanExporter, error) {
	if collector == "" {
		return discard{}, nil
	}
	u, err := url.Parse(collector)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("collector %q: want a URL like http://localhost:4318", collector)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()))
	if err != nil {
		return nil, fmt.Errorf("collector %s: %w", collector, err)
	}
	return exporter, nil
}

// discard is an exporter for when there is no collector.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }
