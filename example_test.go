package otelcoredumpy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otelcoredumpy/otelcoredumpy"
	"github.com/otelcoredumpy/otelcoredumpy/exporter"
)

// install installs for an example, with a folder that is removed afterwards.
func install(opts ...otelcoredumpy.Option) (*otelcoredumpy.Installed, func()) {
	dir, err := os.MkdirTemp("", "dumps")
	if err != nil {
		panic(err)
	}
	dumps, err := otelcoredumpy.Install(append(opts, otelcoredumpy.WithDir(dir))...)
	if err != nil {
		panic(err)
	}
	return dumps, func() {
		_ = dumps.Shutdown(context.Background())
		_ = os.RemoveAll(dir)
	}
}

// A service installs once, at its start, and puts the span processor in front
// of its own.
func Example() {
	dir, err := os.MkdirTemp("", "dumps")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	dumps, err := otelcoredumpy.Install(otelcoredumpy.WithService("shop"), otelcoredumpy.WithDir(dir))
	if err != nil {
		fmt.Println("no dumps:", err) // and go on: dumps is harmless
	}
	defer dumps.Shutdown(context.Background())
	spans := tracetest.NewInMemoryExporter() // an OTLP exporter, in a service
	provider := trace.NewTracerProvider(
		trace.WithSpanProcessor(dumps.SpanProcessor(trace.NewBatchSpanProcessor(spans))),
	)
	defer provider.Shutdown(context.Background())
	tracer := provider.Tracer("shop")

	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		_, span := tracer.Start(context.Background(), "checkout")
		defer span.End()
		panic("no price for pen")
	}()

	_ = dumps.Flush(context.Background())
	_ = provider.ForceFlush(context.Background())
	for _, s := range spans.GetSpans() {
		if s.Name == "checkout" {
			fmt.Println(s.Status.Code, s.Status.Description)
			for _, kv := range s.Attributes {
				if kv.Key == exporter.AttrDumpTrigger {
					fmt.Println(kv.Key, kv.Value.AsString())
				}
			}
		}
	}
	// Output:
	// recovered: no price for pen
	// Error panic: no price for pen
	// coredumpy.dump.trigger panic
}

// A handler that panics is dumped. The panic goes on to net/http, which closes
// the connection as it always does.
func ExampleMiddleware() {
	dumps, remove := install(otelcoredumpy.OnDump(func(ref otelcoredumpy.Ref, err error) {
		fmt.Println("dumped:", ref.Trigger, err)
	}))
	defer remove()
	handler := otelcoredumpy.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("out of paper")
	}))

	func() {
		defer func() { fmt.Println("the server recovers:", recover()) }()
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/print", nil))
	}()
	_ = dumps.Flush(context.Background())
	// Output:
	// dumped: panic <nil>
	// the server recovers: out of paper
}

// RecordError dumps where the error occurs. The spans that the error goes
// through on its way up carry the same dump.
func ExampleRecordError() {
	spans := tracetest.NewInMemoryExporter()
	dumps, remove := install()
	defer remove()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(dumps.SpanProcessor(trace.NewSimpleSpanProcessor(spans))))
	tracer := provider.Tracer("shop")

	load := func(ctx context.Context, id int) error {
		ctx, span := tracer.Start(ctx, "load")
		defer span.End()
		err := fmt.Errorf("no order %d", id)
		otelcoredumpy.RecordError(ctx, err) // in place of span.RecordError
		span.SetStatus(codes.Error, err.Error())
		return err
	}
	ctx, span := tracer.Start(context.Background(), "checkout")
	if err := load(ctx, 7); err != nil {
		err = fmt.Errorf("checkout: %w", err)
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()

	_ = dumps.Flush(context.Background())
	ids := map[string]bool{}
	for _, s := range spans.GetSpans() {
		for _, kv := range s.Attributes {
			if kv.Key == exporter.AttrDumpID && s.Name != exporter.SpanName {
				ids[kv.Value.AsString()] = true
				fmt.Println(s.Name, "carries a dump")
			}
		}
	}
	fmt.Println("dumps:", len(ids))
	// Output:
	// load carries a dump
	// checkout carries a dump
	// dumps: 1
}

// Recover sees a panic of the function that defers it, and lets it go on.
func ExampleRecover() {
	dumps, remove := install()
	defer remove()
	work := func(ctx context.Context) {
		defer otelcoredumpy.Recover(ctx)
		panic("out of ink")
	}
	func() {
		defer func() { fmt.Println("the caller recovers:", recover()) }()
		work(context.Background())
	}()
	fmt.Println("dumps:", dumps.Stats().Stored)
	// Output:
	// the caller recovers: out of ink
	// dumps: map[panic:1]
}

// Dump makes a dump of the calling goroutine when the program wants one.
func ExampleDump() {
	dumps, remove := install(otelcoredumpy.WithService("shop"))
	defer remove()

	ref, err := otelcoredumpy.Dump(context.Background(),
		otelcoredumpy.WithName("slow-cart"), otelcoredumpy.WithDescription("took more than 5 s"))
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(ref.Trigger, ref.Service, ref.IsZero())
	fmt.Println(dumps.Flush(context.Background())) // stored now
	// Output:
	// manual shop false
	// <nil>
}

// Watch puts a value into dumps whatever the compiler has made of the
// variable.
func ExampleWatch() {
	dumps, remove := install()
	defer remove()
	type cart struct{ Items int }
	c := &cart{Items: 3}
	ctx := otelcoredumpy.Watch(context.Background(), "cart", c)
	otelcoredumpy.RecordError(ctx, errors.New("cart is full"))
	_ = dumps.Flush(context.Background())
	fmt.Println("dumps:", dumps.Stats().Stored)
	// Output:
	// dumps: map[error_span:1]
}
