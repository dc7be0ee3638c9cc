package otelcoredumpy

import (
	"context"
	"net/http"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/exporter"
)

// installed is the default.
var installed atomic.Pointer[Installed]

// Default returns what the latest [Install] returned, nil before the first
// one and after its Shutdown. A nil *Installed is harmless.
func Default() *Installed { return installed.Load() }

// SpanProcessor is [Installed.SpanProcessor] of the default. Without a default
// it returns next: install first, then build the tracer provider.
func SpanProcessor(next sdktrace.SpanProcessor) sdktrace.SpanProcessor {
	return Default().SpanProcessor(next)
}

// Middleware is [Installed.Middleware] of whatever is the default when a
// request comes. It may be called before Install.
func Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i := Default(); i != nil {
			defer i.exporter.Panicking(r.Context(), exporter.NewMark(), false)
		}
		next.ServeHTTP(w, r)
	})
}

// Recover is [Installed.Recover] of the default: defer it. It does not stop
// the panic.
func Recover(ctx context.Context) { Default().Recover(ctx) }

// Go is [Installed.Go] of whatever is the default when fn panics.
func Go(ctx context.Context, fn func(context.Context)) {
	go func() {
		began := exporter.NewMark()
		defer func() {
			if i := Default(); i != nil {
				i.exporter.Panicking(ctx, began, true)
			}
		}()
		fn(ctx)
	}()
}

// RecordError is [Installed.RecordError] of the default. Without a default it
// does what span.RecordError does.
func RecordError(ctx context.Context, err error, opts ...trace.EventOption) {
	Default().RecordError(ctx, err, opts...)
}

// Dump is [Installed.Dump] of the default. Without a default it returns the
// zero Ref and no error.
func Dump(ctx context.Context, opts ...DumpOption) (Ref, error) {
	return Default().Dump(ctx, opts...)
}

// Watch is [Installed.Watch] of the default. It may be called before Install.
func Watch(ctx context.Context, name string, value any) context.Context {
	return Default().Watch(ctx, name, value)
}

// Flush is [Installed.Flush] of the default.
func Flush(ctx context.Context) error { return Default().Flush(ctx) }

// Shutdown is [Installed.Shutdown] of the default.
func Shutdown(ctx context.Context) error { return Default().Shutdown(ctx) }
