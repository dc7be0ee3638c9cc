package exporter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/exporter/internal/failing"
)

// exceptions returns the exception events of a span.
func exceptions(s tracetest.SpanStub) []sdktrace.Event {
	var evs []sdktrace.Event
	for _, ev := range s.Events {
		if ev.Name == "exception" {
			evs = append(evs, ev)
		}
	}
	return evs
}

func TestPanicThroughNestedSpans(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(trace.Span) func()
		opts []sdktrace.TracerProviderOption
	}{
		{"defer span.End()", func(s trace.Span) func() { return func() { s.End() } }, nil},
		{"End in a closure", func(s trace.Span) func() { return func() { func() { s.End() }() } }, nil},
		{"SDK without panic recording", func(s trace.Span) func() { return func() { s.End() } }, []sdktrace.TracerProviderOption{sdktrace.WithoutPanicRecording()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, func(c *Config) { c.ViewerURL = "https://dumps.example.com/" }, tt.opts...)
			v := caught(func() {
				ctx, outer := h.tracer.Start(context.Background(), "outer")
				defer outer.End()
				ctx, middle := h.tracer.Start(ctx, "middle", trace.WithAttributes(attribute.String("code.function.name", "instrumented")))
				defer tt.end(middle)()
				_, inner := h.tracer.Start(ctx, "inner")
				if tt.name == "defer span.End()" {
					defer inner.End()
				} else {
					defer tt.end(inner)()
				}
				boom()
			})
			if v != error(errBoom) {
				t.Fatalf("the panic went on with %v", v)
			}
			ids := h.wantDumps(1)
			id := h.wantSame("inner", "middle", "outer")
			if ids[0].ID.String() != id {
				t.Errorf("stored dump %s, spans say %s", ids[0].ID, id)
			}
			inner := h.span("inner")
			if want := dump.TraceID(inner.SpanContext.TraceID()); ids[0].TraceID != want || ids[0].SpanID != dump.SpanID(inner.SpanContext.SpanID()) || ids[0].Service != "shop" {
				t.Errorf("identity %+v; want trace %v, span inner, service shop", ids[0], want)
			}
			for _, name := range []string{"inner", "middle", "outer"} {
				s := h.span(name)
				if s.Status.Code != codes.Error || s.Status.Description != "panic: boom" {
					t.Errorf("span %s has status %+v", name, s.Status)
				}
				if evs := exceptions(s); len(evs) != 1 {
					t.Errorf("span %s has %d exception events: %v", name, len(evs), evs)
				} else if info := exceptionOf(evs[0]); info.Type != "*errors.errorString" || info.Message != "boom" {
					t.Errorf("span %s has exception %+v", name, info)
				}
				for key, want := range map[attribute.Key]string{
					AttrDumpURI: "mem:" + id, AttrDumpURL: "https://dumps.example.com/d/" + id, AttrDumpTrigger: "panic",
				} {
					if got := value(s, key); got != want {
						t.Errorf("span %s: %s = %q, want %q", name, key, got, want)
					}
				}
				if f := value(s, "code.function.name"); !strings.HasSuffix(f, "failing.Boom") {
					t.Errorf("span %s: code.function.name = %q", name, f)
				}
				if f := value(s, "code.file.path"); !strings.HasSuffix(f, "failing.go") || value(s, "code.line.number") == "" {
					t.Errorf("span %s: code.file.path = %q, line %q", name, f, value(s, "code.line.number"))
				}
			}
			h.checkOwnSpan(inner, id)
		})
	}
}

// checkOwnSpan checks that the dump's own span and the failing ones link to
// each other, from different traces.
func (h *harness) checkOwnSpan(failing tracetest.SpanStub, id string) {
	h.t.Helper()
	own := h.own()
	if len(own) != 1 {
		h.t.Fatalf("%d own spans", len(own))
	}
	o := own[0]
	if o.SpanContext.TraceID() == failing.SpanContext.TraceID() || o.Parent.IsValid() {
		h.t.Errorf("the own span is in trace %v with parent %v", o.SpanContext.TraceID(), o.Parent)
	}
	if len(o.Links) != 1 || !o.Links[0].SpanContext.Equal(failing.SpanContext) {
		h.t.Errorf("the own span links to %+v", o.Links)
	}
	for _, s := range h.spans.GetSpans() {
		if s.Name == SpanName || value(s, AttrDumpID) != id {
			continue
		}
		if len(s.Links) != 1 || !s.Links[0].SpanContext.Equal(o.SpanContext) {
			h.t.Errorf("span %s links to %+v, want the own span", s.Name, s.Links)
		}
	}
	if !o.Resource.Equal(failing.Resource) {
		h.t.Errorf("own resource %v, failing %v", o.Resource, failing.Resource)
	}
	if value(o, AttrDumpOutcome) != "stored" || value(o, AttrDumpSink) != "memory" || value(o, AttrDumpID) != id ||
		value(o, AttrDumpSize) == "" || value(o, AttrDumpPause) == "" || value(o, AttrDumpDuration) == "" {
		h.t.Errorf("own span has %v", o.Attributes)
	}
	if o.Status.Code != codes.Unset {
		h.t.Errorf("own span has status %+v", o.Status)
	}
}

func TestRuntimePanic(t *testing.T) {
	h := newHarness(t, nil)
	caught(func() {
		_, s := h.tracer.Start(context.Background(), "s")
		defer s.End()
		failing.NilDereference(nil)
	})
	h.wantDumps(1)
	s := h.span("s")
	if want := "panic: runtime error: invalid memory address or nil pointer dereference"; s.Status.Description != want {
		t.Errorf("status %+v, want %q", s.Status, want)
	}
	if f := value(s, "code.function.name"); !strings.HasSuffix(f, "failing.NilDereference") {
		t.Errorf("code.function.name = %q", f)
	}
}

func TestStatusOfThePanickingSpan(t *testing.T) {
	h := newHarness(t, nil)
	caught(func() {
		_, s := h.tracer.Start(context.Background(), "described")
		defer s.End()
		s.SetStatus(codes.Error, "the service's own words")
		boom()
	})
	caught(func() {
		_, s := h.tracer.Start(context.Background(), "ok")
		defer s.End()
		s.SetStatus(codes.Ok, "")
		boom()
	})
	if s := h.span("described"); s.Status.Description != "the service's own words" {
		t.Errorf("status %+v", s.Status)
	}
	if s := h.span("ok"); s.Status.Code != codes.Error {
		t.Errorf("status %+v, want Error", s.Status)
	}
	h.wantDumps(2)
}

func TestPanicIsRedactedOnTheSpan(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.Redact = func(s string) string { return strings.ReplaceAll(s, "secret", "…") }
	}, sdktrace.WithoutPanicRecording())
	caught(func() {
		_, s := h.tracer.Start(context.Background(), "s")
		defer s.End()
		panic("the secret word")
	})
	s := h.span("s")
	if s.Status.Description != "panic: the … word" || exceptionOf(exceptions(s)[0]).Message != "the … word" {
		t.Errorf("status %+v, events %v", s.Status, s.Events)
	}
	// A redaction that fails must not let the text through.
	h.exporter.cfg.Redact = func(string) string { panic("oops") }
	caught(func() {
		_, s := h.tracer.Start(context.Background(), "t")
		defer s.End()
		panic("the secret word")
	})
	if s := h.span("t"); strings.Contains(fmt.Sprint(s.Status, s.Events), "secret") {
		t.Errorf("status %+v, events %v", s.Status, s.Events)
	}
}

func TestCleanupSpanIsNotTheFailure(t *testing.T) {
	h := newHarness(t, nil)
	caught(func() {
		ctx, s := h.tracer.Start(context.Background(), "failing")
		defer s.End()
		defer func() {
			_, c := h.tracer.Start(ctx, "rollback")
			c.End()
			// A panic of the cleaning up itself is a failure like any other.
			caught(func() {
				_, c := h.tracer.Start(ctx, "failing rollback")
				defer c.End()
				panic("rollback failed")
			})
		}()
		boom()
	})
	h.wantDumps(2)
	h.wantClean("rollback")
	if s := h.span("rollback"); s.Status.Code != codes.Unset {
		t.Errorf("the cleanup's span has status %+v", s.Status)
	}
	if a, b := h.wantSame("failing"), h.wantSame("failing rollback"); a == b {
		t.Error("two panics have one dump")
	}
}

func TestNoPanicNoMark(t *testing.T) {
	h := newHarness(t, nil)
	_, s := h.tracer.Start(context.Background(), "fine")
	s.End()
	func() { // recovered inside of the span, which then ends in peace
		_, s := h.tracer.Start(context.Background(), "recovered")
		defer s.End()
		defer func() { _ = recover() }()
		boom()
	}()
	done := make(chan struct{})
	go func() { // runs deferred functions, but is no panic
		defer close(done)
		_, s := h.tracer.Start(context.Background(), "goexit")
		defer s.End()
		runtime.Goexit()
	}()
	<-done
	h.wantDumps(0)
	for _, name := range []string{"fine", "recovered", "goexit"} {
		h.wantClean(name)
		if s := h.span(name); s.Status.Code != codes.Unset || len(s.Events) != 0 {
			t.Errorf("span %s has status %+v and events %v", name, s.Status, s.Events)
		}
	}
	if n := h.spy.calls.Load(); n != 0 {
		t.Errorf("%d captures", n)
	}
}

func TestIgnoredPanic(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.IgnorePanics = []any{http.ErrAbortHandler} })
	run := func(name string, v any) {
		caught(func() {
			ctx, s := h.tracer.Start(context.Background(), name)
			defer s.End()
			defer h.exporter.Panicking(ctx, NewMark(), false)
			panic(v)
		})
	}
	run("abort", http.ErrAbortHandler)
	h.wantDumps(0)
	h.wantClean("abort")
	if s := h.span("abort"); s.Status.Code != codes.Unset {
		t.Errorf("status %+v", s.Status)
	}
	// By identity: neither the same text nor an error that wraps it.
	run("text", errors.New(http.ErrAbortHandler.Error()))
	run("wrapped", fmt.Errorf("%w", http.ErrAbortHandler))
	h.wantDumps(2)
}

func TestExcludedPanic(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Exclude = []string{"boom"} })
	caught(func() {
		ctx, outer := h.tracer.Start(context.Background(), "outer")
		defer outer.End()
		_, s := h.tracer.Start(ctx, "s")
		defer func() { s.End() }() // the message is known after phase one only
		boom()
	})
	h.wantDumps(0)
	h.wantClean("s")
	h.wantClean("outer")
	if n := h.exporter.Stats().Excluded; n != 1 {
		t.Errorf("Excluded = %d, want 1", n)
	}
}

func TestPanicsOff(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Panics = false })
	caught(func() {
		ctx, s := h.tracer.Start(context.Background(), "s")
		defer s.End()
		defer h.exporter.Panicking(ctx, NewMark(), true)
		boom()
	})
	h.wantDumps(0)
	h.wantClean("s")
}

func TestSamePanicAgainIsAnotherFailure(t *testing.T) {
	h := newHarness(t, nil)
	// A worker: one goroutine, one stack depth, one static value, one trace.
	ctx, root := h.tracer.Start(context.Background(), "root")
	for i := range 3 {
		caught(func() {
			_, s := h.tracer.Start(ctx, fmt.Sprint("item ", i))
			defer s.End()
			panic("static")
		})
	}
	root.End()
	h.wantDumps(3)
	seen := map[string]bool{}
	for i := range 3 {
		seen[h.wantSame(fmt.Sprint("item ", i))] = true
	}
	if len(seen) != 3 {
		t.Errorf("dumps %v", seen)
	}
	h.wantClean("root")
}

func TestPanicPassedToAnotherGoroutine(t *testing.T) {
	h := newHarness(t, nil)
	pass := func(name string, wrap func(any) any) {
		caught(func() {
			ctx, outer := h.tracer.Start(context.Background(), name+" outer")
			defer outer.End()
			ch := make(chan any)
			go func() {
				defer func() { ch <- recover() }()
				_, s := h.tracer.Start(ctx, name+" inner")
				defer s.End()
				boom()
			}()
			panic(wrap(<-ch))
		})
	}
	pass("same", func(v any) any { return v }) // as http.TimeoutHandler does
	pass("wrapped", func(v any) any { return fmt.Sprintf("panic in a goroutine: %v\n\nstack", v) })
	h.wantDumps(2)
	h.wantSame("same inner", "same outer")
	h.wantSame("wrapped inner", "wrapped outer")
}

func TestParallelRuntimePanicsAreTwo(t *testing.T) {
	h := newHarness(t, nil)
	ctx, root := h.tracer.Start(context.Background(), "root")
	var wg sync.WaitGroup
	var both sync.WaitGroup
	both.Add(2)
	for i := range 2 {
		wg.Go(func() {
			caught(func() {
				_, s := h.tracer.Start(ctx, fmt.Sprint("branch ", i))
				defer s.End()
				both.Done()
				both.Wait()
				failing.NilMap(nil)
			})
		})
	}
	wg.Wait()
	root.End()
	h.wantDumps(2)
	if h.wantSame("branch 0") == h.wantSame("branch 1") {
		t.Error("two panics of the runtime have one dump because they have one text")
	}
}

func TestPanickingWithoutASpan(t *testing.T) {
	h := newHarness(t, nil)
	caught(func() {
		defer h.exporter.Panicking(context.Background(), NewMark(), false)
		defer h.exporter.Panicking(context.Background(), NewMark(), false)
		boom()
	})
	ids := h.wantDumps(1)
	if !ids[0].TraceID.IsZero() {
		t.Errorf("trace %v", ids[0].TraceID)
	}
}

func TestPanickingOutsideOfTheSpan(t *testing.T) {
	h := newHarness(t, nil)
	caught(func() {
		defer h.exporter.Panicking(context.Background(), NewMark(), false)
		_, s := h.tracer.Start(context.Background(), "s")
		defer s.End()
		boom()
	})
	h.wantDumps(1)
}

func TestPanickingInsideOfTheSpan(t *testing.T) {
	h := newHarness(t, nil)
	// A recovery middleware inside of the tracing one: the span ends in peace.
	func() {
		ctx, s := h.tracer.Start(context.Background(), "s")
		defer s.End()
		defer func() { _ = recover() }()
		defer h.exporter.Panicking(ctx, NewMark(), false)
		boom()
	}()
	h.wantDumps(1)
	id := h.wantSame("s")
	s := h.span("s")
	if s.Status.Code != codes.Error || s.Status.Description != "panic: boom" || value(s, AttrDumpTrigger) != "panic" {
		t.Errorf("status %+v, attributes %v", s.Status, s.Attributes)
	}
	if evs := exceptions(s); len(evs) != 1 || exceptionOf(evs[0]).Message != "boom" {
		t.Errorf("exception events %v", evs)
	}
	h.checkOwnSpan(s, id)
}

func TestPanicTurnedIntoAnError(t *testing.T) {
	h := newHarness(t, nil)
	func() {
		ctx, outer := h.tracer.Start(context.Background(), "outer")
		defer outer.End()
		err := func() (err error) {
			defer func() { err = fmt.Errorf("panic: %v", recover()) }()
			_, s := h.tracer.Start(ctx, "inner")
			defer s.End()
			boom()
			return nil
		}()
		outer.RecordError(err)
		outer.SetStatus(codes.Error, "internal")
	}()
	h.wantDumps(1)
	h.wantSame("inner", "outer")
}

func TestRecordErrorOfARecoveredPanic(t *testing.T) {
	h := newHarness(t, nil)
	func() {
		ctx, s := h.tracer.Start(context.Background(), "s")
		defer func() {
			if r := recover(); r != nil {
				h.exporter.RecordError(ctx, fmt.Errorf("recovered: %v", r))
				s.SetStatus(codes.Error, "recovered")
			}
			s.End()
		}()
		var xs []int
		_ = xs[len(xs)]
	}()
	h.wantDumps(1)
	h.wantSame("s")
	if s := h.span("s"); value(s, AttrDumpTrigger) != "panic" {
		t.Errorf("trigger %q", value(s, AttrDumpTrigger))
	}
}
