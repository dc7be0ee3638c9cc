package bench

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelcoredumpy/otelcoredumpy"
	"github.com/otelcoredumpy/otelcoredumpy/examples/checkout/shop"
)

// service is the shop as a server sees it.
type service struct {
	handler http.Handler
	spans   *sdktrace.TracerProvider
	dumps   *otelcoredumpy.Installed // nil if bare
	stored  chan error
}

// newService starts the shop, with otelcoredumpy or bare.
func newService(b *testing.B, installed bool) *service {
	b.Helper()
	s := &service{stored: make(chan error, 16)}
	handler := shop.New(slog.New(slog.DiscardHandler)).Handler()
	var processor sdktrace.SpanProcessor = sdktrace.NewBatchSpanProcessor(discard{})
	if installed {
		s.dumps = install(b, otelcoredumpy.OnDump(func(_ otelcoredumpy.Ref, err error) { s.stored <- err }))
		processor = s.dumps.SpanProcessor(processor)
		handler = s.dumps.Middleware(handler)
	}
	s.spans = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(processor))
	otel.SetTracerProvider(s.spans)
	s.handler = otelhttp.NewHandler(handler, "checkout", otelhttp.WithTracerProvider(s.spans))
	b.Cleanup(func() {
		if err := s.spans.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return s
}

// install installs otelcoredumpy for one benchmark, and waits until it is warm.
func install(b *testing.B, opts ...otelcoredumpy.Option) *otelcoredumpy.Installed {
	b.Helper()
	// What is measured here is the dump of each failure.
	b.Setenv("COREDUMPY_LIMIT_WINDOW", "0s")
	b.Setenv("COREDUMPY_LIMIT_PER_FAILURE", "0")
	b.Setenv("COREDUMPY_LIMIT_PER_MINUTE", "0")
	dumps, err := otelcoredumpy.Install(append(opts, otelcoredumpy.WithDir(b.TempDir()))...)
	if err != nil {
		b.Fatal(err)
	}
	if err := dumps.Ready(b.Context()); err != nil {
		b.Logf("no debug information: %v", err)
	}
	b.Cleanup(func() {
		if err := dumps.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return dumps
}

// server starts a server of the service, which says on the channel how long
// each request was in the handlers. It has to be a real one: who recovers from
// a panic decides how much of the dump is made before the panic goes on.
func (s *service) server(b *testing.B) (string, <-chan time.Duration) {
	took := make(chan time.Duration, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		defer func() { took <- time.Since(start) }()
		s.handler.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	b.Cleanup(server.Close)
	return server.URL, took
}

// fail sends a request that fails, and returns how long it was in the handlers.
func fail(b *testing.B, url, method, target string, took <-chan time.Duration) time.Duration {
	r, err := http.NewRequestWithContext(b.Context(), method, url+target, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Close = true // or net/http sends it again after a panic
	resp, err := http.DefaultClient.Do(r)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			b.Fatalf("%s %s did not fail", method, target)
		}
	}
	return <-took
}

// discard is an exporter to nowhere.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }
