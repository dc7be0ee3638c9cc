package capture_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type embedding struct {
	n int
	context.Context
}

type embeddingPointer struct {
	*embedding
	name string
}

type keeping struct {
	name string
	ctx  context.Context
}

type framework struct {
	writer  http.ResponseWriter
	Request *http.Request
	params  []string
}

type wrappedSpan struct {
	trace.Span
	extra int
}

func TestSpanOf(t *testing.T) {
	e := engine(t, nil)
	tp := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))
	drop := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	type key struct{}
	base, span := tp.Tracer("t").Start(context.Background(), "recorded")
	defer span.End()
	sc := span.SpanContext()
	dropped, dspan := drop.Tracer("t").Start(context.Background(), "dropped")
	remote := trace.ContextWithRemoteSpanContext(context.Background(), sc)
	long := base
	for i := range 60 {
		long = context.WithValue(long, key{}, i)
	}
	endless := base
	for i := range 1000 {
		endless = context.WithValue(endless, key{}, i)
	}
	timer, cancel := context.WithTimeout(base, time.Hour)
	defer cancel()
	cancelled, cancelNow := context.WithCancelCause(timer)
	cancelNow(context.Canceled)
	r := httptest.NewRequest("GET", "/", nil).WithContext(cancelled)
	ring := &embedding{}
	ring.Context = ring
	for _, c := range []struct {
		name string
		v    any
		want trace.SpanContext
	}{
		{"background", context.Background(), trace.SpanContext{}},
		{"todo", context.TODO(), trace.SpanContext{}},
		{"no context", 7, trace.SpanContext{}},
		{"nil", (*embedding)(nil), trace.SpanContext{}},
		{"value", base, sc},
		{"not recorded", dropped, dspan.SpanContext()},
		{"remote", remote, sc},
		{"span", span, sc},
		{"span that is not recorded", dspan, dspan.SpanContext()},
		{"long", long, sc},
		{"endless", endless, trace.SpanContext{}},
		{"timer", timer, sc},
		{"cancelled", cancelled, sc},
		{"without cancel", context.WithoutCancel(cancelled), sc},
		{"request", r, sc},
		{"embedding", embedding{1, cancelled}, sc},
		{"embedding a pointer", &embeddingPointer{&embedding{1, cancelled}, "x"}, sc},
		{"embedding nil", embedding{}, trace.SpanContext{}},
		{"keeping", &keeping{"x", cancelled}, sc},
		{"framework", &framework{nil, r, nil}, sc},
		{"wrapped span", trace.ContextWithSpan(cancelled, wrappedSpan{span, 1}), sc},
		{"a span without IDs hides the outer one", trace.ContextWithSpan(base, trace.SpanFromContext(context.Background())), trace.SpanContext{}},
		{"ring", ring, trace.SpanContext{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, sid, ok := e.SpanOf(c.v)
			runtime.KeepAlive(c.v)
			if ok != c.want.IsValid() || ok && (id != c.want.TraceID() || sid != c.want.SpanID()) {
				t.Errorf("span is %x %x %v, want %s %s", id, sid, ok, c.want.TraceID(), c.want.SpanID())
			}
		})
	}
}
