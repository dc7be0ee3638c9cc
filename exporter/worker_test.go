package exporter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// failSpan ends a span with a failure of its own.
func (h *harness) failSpan(name string) {
	_, s := h.tracer.Start(context.Background(), name)
	fail(s, errors.New(name+" failed"), "")
}

// told is what OnDump was called with.
type told struct {
	ref Ref
	err error
}

func collect(c *Config) chan told {
	ch := make(chan told, 100)
	c.OnDump = func(ref Ref, err error) { ch <- told{ref, err} }
	return ch
}

func TestSinkThatFails(t *testing.T) {
	for _, tt := range []struct {
		name, reason, text string
		put                func(context.Context, dump.Identity) error
	}{
		{"error", FailSink, "disk full", func(context.Context, dump.Identity) error { return errors.New("disk full") }},
		{"panic", FailSinkPanic, "panic in the sink: oops", func(context.Context, dump.Identity) error { panic("oops") }},
		{"panic with an evil error", FailSinkPanic, "panic in the sink", func(context.Context, dump.Identity) error { panic(evil{}) }},
		{"deadline", FailTimeout, "deadline exceeded", func(ctx context.Context, _ dump.Identity) error {
			<-ctx.Done()
			return ctx.Err()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tells chan told
			h := newHarness(t, func(c *Config) { c.PutTimeout = 20 * time.Millisecond; tells = collect(c) })
			h.store.before = tt.put
			h.failSpan("a")
			h.failSpan("b")
			h.wantDumps(0)
			h.wantSame("a") // it was not known yet when the span ended
			for range 2 {
				if got := <-tells; got.err == nil || !strings.Contains(got.err.Error(), tt.text) || got.ref.IsZero() {
					t.Errorf("OnDump(%+v)", got)
				}
			}
			if st := h.exporter.Stats(); st.Lost[tt.reason] != 2 || st.Pending != 0 {
				t.Errorf("stats %+v", st)
			}
			if l := h.line(); !strings.Contains(l, tt.text) || !strings.Contains(l, "is lost") {
				t.Errorf("logged %q", l)
			}
			select {
			case l := <-h.logs.lines:
				t.Errorf("logged a second time: %q", l)
			default:
			}
			own := h.own()
			if len(own) != 2 || value(own[0], AttrDumpOutcome) != "failed" || own[0].Status.Code != codes.Error || value(own[0], AttrDumpSize) != "" || !strings.Contains(own[0].Status.Description, tt.reason) {
				t.Errorf("own spans %+v", own)
			}
		})
	}
}

// evil panics when it is printed.
type evil struct{}

func (evil) Error() string { panic("evil") }

func TestSinkThatBlocks(t *testing.T) {
	var tells chan told
	h := newHarness(t, func(c *Config) {
		c.Timeout, c.PutTimeout = 300*time.Millisecond, 10*time.Millisecond
		tells = collect(c)
	})
	release := make(chan struct{})
	h.store.before = func(context.Context, dump.Identity) error { <-release; return nil }
	for i := range maxStuck + 2 {
		h.failSpan(fmt.Sprint("s", i))
		if got := <-tells; got.err == nil {
			t.Errorf("dump %d: OnDump(%+v)", i, got)
		}
	}
	st := h.exporter.Stats()
	if st.Lost[FailTimeout] != maxStuck || st.Lost[FailStuck] != 2 {
		t.Errorf("stats %+v", st)
	}
	if n := h.exporter.stuck.Load(); n != maxStuck {
		t.Errorf("%d stuck", n)
	}
	close(release) // the store recovers, and so do we
	for h.exporter.stuck.Load() != 0 {
		h.store.ids()
	}
	h.failSpan("after")
	if got := <-tells; got.err != nil {
		t.Errorf("afterwards: %v", got.err)
	}
}

func TestCallbackThatPanics(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.OnDump = func(Ref, error) { panic("callback") } })
	h.failSpan("a")
	h.failSpan("b")
	h.wantDumps(2)
	if st := h.exporter.Stats(); st.Contained != 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestEngineThatFails(t *testing.T) {
	h := newHarness(t, nil)
	fails := func(name string, before func(capture.Event) error) {
		h.spy.before = before
		caught(func() {
			_, s := h.tracer.Start(context.Background(), name)
			defer s.End()
			boom()
		})
		h.wantDumps(0)
		s := h.span(name)
		if s.Status.Code != codes.Error || s.Status.Description != "panic: boom" || value(s, AttrDumpID) != "" {
			t.Errorf("span %s has status %+v, attributes %v", name, s.Status, s.Attributes)
		}
	}
	fails("error", func(capture.Event) error { return errors.New("no memory") })
	if l := h.line(); !strings.Contains(l, "no memory") {
		t.Errorf("logged %q", l)
	}
	fails("panic", func(capture.Event) error { panic("engine") })
	if st := h.exporter.Stats(); st.Lost[DropCapture] != 2 || st.Contained != 1 || h.exporter.pending.Load() != 0 {
		t.Errorf("stats %+v", st)
	}
	h.spy.before = nil
	h.failSpan("after")
	h.wantDumps(1)
}

func TestQueueIsBounded(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Queue = 2 })
	block, entered := make(chan struct{}), make(chan struct{}, 10)
	h.store.before = func(context.Context, dump.Identity) error {
		entered <- struct{}{}
		<-block
		return nil
	}
	h.failSpan("at the sink")
	<-entered
	for i := range 5 {
		h.failSpan(fmt.Sprint("s", i))
	}
	if n := h.spy.calls.Load(); n != 3 {
		t.Errorf("%d captures, want 3: a capture that nobody will encode is a pause for nothing", n)
	}
	if st := h.exporter.Stats(); st.Lost[DropQueueFull] != 3 || st.Pending != 3 {
		t.Errorf("stats %+v", st)
	}
	h.wantClean("s4")
	close(block)
	h.wantDumps(3)
	h.failSpan("after")
	h.wantDumps(4)
}

func TestOneCaptureOfErrorsAtATime(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Pause = 20 * time.Millisecond })
	block, entered := make(chan struct{}), make(chan struct{}, 10)
	h.spy.before = func(capture.Event) error {
		entered <- struct{}{}
		<-block
		return nil
	}
	var wg sync.WaitGroup
	wg.Go(func() { h.failSpan("first") })
	<-entered
	h.failSpan("second") // gives up after Pause
	if st := h.exporter.Stats(); st.Lost[DropBusy] != 1 {
		t.Errorf("stats %+v", st)
	}
	close(block)
	wg.Wait()
	h.wantDumps(1)
	h.wantClean("second")
}

func TestDyingWritesBeforeThePanicGoesOn(t *testing.T) {
	h := newHarness(t, nil)
	var flushed, stored int
	h.next.onFlush = func(ctx context.Context) error {
		flushed, stored = len(h.spans.GetSpans()), len(h.store.ids())
		return nil
	}
	caught(func() { // nobody on the stack is known to recover
		_, s := h.tracer.Start(context.Background(), "s")
		defer s.End()
		boom()
	})
	// No Flush here: all of it was done before the panic went on.
	if n := len(h.store.ids()); n != 1 || stored != 1 {
		t.Errorf("%d dumps stored, %d at the flush", n, stored)
	}
	if flushed != 2 { // the failing span and the dump's own
		t.Errorf("%d spans at the flush", flushed)
	}
	if !h.spy.last().Dying {
		t.Error("the engine was not told")
	}
}

func TestGoroutineDies(t *testing.T) {
	h := newHarness(t, nil)
	ctx, s := h.tracer.Start(context.Background(), "parent")
	s.End() // the request is answered already
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		defer h.exporter.Panicking(ctx, NewMark(), true)
		boom()
	}()
	<-done
	ids := h.store.ids()
	if len(ids) != 1 || ids[0].TraceID != dump.TraceID(s.SpanContext().TraceID()) {
		t.Errorf("stored %+v", ids)
	}
	if h.next.flushes.Load() != 1 {
		t.Errorf("%d flushes", h.next.flushes.Load())
	}
	if own := h.own(); len(own) != 1 || len(own[0].Links) != 1 || !own[0].Links[0].SpanContext.Equal(s.SpanContext()) {
		t.Errorf("own spans %+v", own)
	}
}

//go:noinline
func serve(f func()) any { return caught(f) } // the worker that recovers

func TestRecoveredByIsWrittenInTheBackground(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.RecoveredBy = []string{"github.com/otelcoredumpy/otelcoredumpy/exporter.serve"}
	})
	block := make(chan struct{})
	h.store.before = func(context.Context, dump.Identity) error { <-block; return nil }
	serve(func() {
		_, s := h.tracer.Start(context.Background(), "s")
		defer s.End()
		boom()
	})
	if n := len(h.store.ids()); n != 0 {
		t.Error("the panic waited for the store")
	}
	if h.spy.last().Dying || h.next.flushes.Load() != 0 {
		t.Error("the process was taken to be dying")
	}
	close(block)
	h.wantDumps(1)
}

func TestDyingWaitsForADumpInTheBackground(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.RecoveredBy = []string{"github.com/otelcoredumpy/otelcoredumpy/exporter.serve"}
	})
	// The same panic: seen first where somebody seems to recover, then where
	// it is known that nobody does.
	caught(func() {
		defer h.exporter.Panicking(context.Background(), NewMark(), true)
		v := serve(func() {
			_, s := h.tracer.Start(context.Background(), "s")
			defer s.End()
			boom()
		})
		panic(v)
	})
	// Without the trace the second is not known to be the first passed on.
	if n := len(h.store.ids()); n != 2 {
		t.Errorf("%d dumps were stored before the process died", n)
	}
}

func TestFlushThatBlocks(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.FlushTimeout = 10 * time.Millisecond })
	release := make(chan struct{})
	h.next.onFlush = func(context.Context) error { <-release; return nil }
	caught(func() {
		ctx, outer := h.tracer.Start(context.Background(), "outer")
		defer outer.End()
		_, inner := h.tracer.Start(ctx, "inner")
		defer inner.End()
		boom()
	})
	if n := h.next.flushes.Load(); n != 1 {
		t.Errorf("%d flushes: one that blocked is enough", n)
	}
	close(release)
	h.wantDumps(1)
	h.wantSame("inner", "outer")
}

func TestShutdownDrains(t *testing.T) {
	h := newHarness(t, nil)
	block, entered := make(chan struct{}), make(chan struct{}, 10)
	h.store.before = func(context.Context, dump.Identity) error { entered <- struct{}{}; <-block; return nil }
	h.failSpan("a")
	h.failSpan("b")
	<-entered
	done := make(chan error)
	go func() { done <- h.exporter.Shutdown(context.Background()) }()
	close(block)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(h.store.ids()); n != 2 {
		t.Errorf("%d dumps", n)
	}
	// Afterwards everything passes through.
	ctx, s := h.tracer.Start(context.Background(), "after")
	h.exporter.RecordError(ctx, errLeaf)
	if _, err := h.exporter.Dump(ctx, DumpOptions{}); err == nil {
		t.Error("Dump after Shutdown has no error")
	}
	fail(s, errLeaf, "")
	caught(func() {
		_, s := h.tracer.Start(context.Background(), "panic after")
		defer s.End()
		boom()
	})
	h.wantClean("after")
	h.wantClean("panic after")
	if err := h.exporter.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if n := len(h.store.ids()); n != 2 {
		t.Errorf("%d dumps", n)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	var tells chan told
	h := newHarness(t, func(c *Config) { tells = collect(c) })
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	h.store.before = func(context.Context, dump.Identity) error { entered <- struct{}{}; <-release; return nil }
	h.failSpan("at the sink")
	<-entered
	h.failSpan("in the queue")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := h.exporter.Shutdown(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 dumps are not stored yet") {
		t.Errorf("Shutdown: %v", err)
	}
	for range 2 {
		if got := <-tells; got.err == nil {
			t.Errorf("OnDump(%+v)", got)
		}
	}
	if st := h.exporter.Stats(); st.Lost[DropShutdown] != 2 || st.Pending != 0 {
		t.Errorf("stats %+v", st)
	}
	for _, o := range h.own() {
		if value(o, AttrDumpOutcome) != "dropped" {
			t.Errorf("own span %v", o.Attributes)
		}
	}
	close(release)
}

func TestProviderShutdownKeepsOwnSpans(t *testing.T) {
	h := newHarness(t, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	h.store.before = func(context.Context, dump.Identity) error { close(entered); <-release; return nil }
	h.failSpan("s")
	<-entered
	done := make(chan error)
	go func() { done <- h.provider.Shutdown(context.Background()) }()
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := h.next.own.Load(); n != 1 {
		t.Errorf("%d own spans before the provider was shut down, want 1", n)
	}
	if n := len(h.exporter.own.list()); n != 0 {
		t.Errorf("%d processors still get own spans", n)
	}
}

func TestOwnSpansMakeNoDumps(t *testing.T) {
	h := newHarness(t, nil)
	h.store.before = func(context.Context, dump.Identity) error { return errors.New("always") }
	// Two of our processors in a row see each other's own spans.
	outer := &Processor{exporter: h.exporter, next: h.exporter.SpanProcessor(h.next)}
	h.exporter.own.add(outer)
	h.failSpan("s")
	h.flush()
	if n := h.spy.calls.Load(); n != 1 {
		t.Errorf("%d captures", n)
	}
	if p := h.exporter.SpanProcessor(outer); p != sdktrace.SpanProcessor(outer) {
		t.Error("SpanProcessor has wrapped itself")
	}
}

func TestReplace(t *testing.T) {
	h := newHarness(t, nil)
	second := &store{}
	e, err := New(h.spy, second, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	h.failSpan("before")
	h.exporter.Replace(e)
	if err := h.exporter.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.failSpan("after") // through the processor of the first
	h.flush()
	if a, b := len(h.store.ids()), len(second.ids()); a != 1 || b != 1 {
		t.Errorf("%d dumps in the first store, %d in the second", a, b)
	}
	h.wantSame("after")
	if own := h.own(); len(own) != 2 {
		t.Errorf("%d own spans", len(own))
	}
	if st := h.exporter.Stats(); st.Stored[dump.TriggerErrorSpan] != 1 {
		t.Errorf("stats %+v: want those of the one that works", st)
	}
	e.Replace(e) // must not make a circle
	if e.current() != e {
		t.Error("replaced by itself")
	}
}

func TestNextThatPanicsInOnStart(t *testing.T) {
	h := newHarness(t, nil)
	h.next.onStart = func(s sdktrace.ReadWriteSpan) {
		if s.Name() == SpanName {
			panic("processor")
		}
	}
	h.failSpan("s")
	h.wantDumps(1)
	h.wantSame("s")
	if st := h.exporter.Stats(); st.Contained == 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestNilExporter(t *testing.T) {
	var e *Exporter
	ctx := context.Background()
	e.RecordError(ctx, errLeaf)
	e.Panicking(ctx, 0, true)
	if ref, err := e.Dump(ctx, DumpOptions{}); err != nil || !ref.IsZero() {
		t.Errorf("Dump = %v, %v", ref, err)
	}
	if watchesOf(e.Watch(ctx, "a", 1)) == nil {
		t.Error("Watch has lost the value")
	}
	if e.Flush(ctx) != nil || e.Shutdown(ctx) != nil || e.Stats().Pending != 0 || e.SpanProcessor(nil) != nil {
		t.Error("a nil Exporter does something")
	}
}

func TestTroubleOnceAMinute(t *testing.T) {
	l := &logs{lines: make(chan string, 10)}
	now := time.Unix(0, 0)
	tr := troubleLog{logger: newLogger(l), now: func() time.Time { return now }}
	tr.report("a", "first %d", 1)
	if got := <-l.lines; got != "otelcoredumpy: first 1" {
		t.Errorf("logged %q", got)
	}
	for range 3 {
		now = now.Add(19 * time.Second)
		tr.report("a", "again")
	}
	tr.report("b", "other")
	if got := <-l.lines; got != "otelcoredumpy: other" {
		t.Errorf("logged %q", got)
	}
	now = now.Add(3 * time.Second)
	tr.report("a", "later")
	if got := <-l.lines; got != "otelcoredumpy: later (and 3 times more since the last report)" {
		t.Errorf("logged %q", got)
	}
	for i := range 3 * maxKinds { // somebody who makes up kinds
		tr.report(fmt.Sprint("kind ", i), "one of many")
	}
	if len(tr.kinds) > maxKinds+1 {
		t.Errorf("%d kinds", len(tr.kinds))
	}
	for range maxKinds - 2 + 1 {
		<-l.lines
	}
	tr.logger = newLogger(panicking{})
	tr.report("c", "a logger that panics")
}

func TestShutdownKeepsACaptureUnderWay(t *testing.T) {
	h := newHarness(t, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	h.spy.before = func(capture.Event) error { close(entered); <-release; return nil }
	var wg sync.WaitGroup
	wg.Go(func() { h.failSpan("s") })
	<-entered
	done := make(chan error)
	go func() { done <- h.exporter.Shutdown(context.Background()) }()
	for !h.exporter.closed.Load() {
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := len(h.store.ids()); n != 1 {
		t.Errorf("%d dumps", n)
	}
}
