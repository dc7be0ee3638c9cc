package exporter

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// nest panics inside of spans of these names, the outermost first.
func (h *harness) nest(ctx context.Context, names ...string) {
	if len(names) == 0 {
		boom()
	}
	ctx, s := h.tracer.Start(ctx, names[0])
	defer s.End()
	h.nest(ctx, names[1:]...)
}

// A panic that is still on its way out proves nothing, however long it takes.
func TestDyingIsDyingOnEverySpan(t *testing.T) {
	h, c := newStormHarness(t, nil)
	var flushed []int
	h.next.onFlush = func(context.Context) error {
		flushed = append(flushed, len(h.spans.GetSpans()))
		c.advance(survival + survival/2)
		return nil
	}
	for again := range 2 { // from the same line
		caught(func() { h.nest(context.Background(), "outer", "middle", "inner") })
		if len(flushed) != 3 || flushed[2] != 4 { // three spans, and the dump's own
			t.Errorf("at the flushes there were %v spans", flushed)
		}
		if again == 0 {
			if k := h.exporter.trouble.kinds["survived panic"]; k != nil {
				t.Error("the advice is given while the panic is on its way out")
			}
			h.wantDumps(1)
			h.wantSame("outer", "middle", "inner")
			c.advance(survival) // it has been survived
		}
	}
}

// However fast they follow each other, the first one shows that they are survived.
func TestSurvivedPanicsInAStorm(t *testing.T) {
	h, c := newStormHarness(t, nil)
	for i := range 10 {
		caught(func() { h.nest(context.Background(), "s") })
		if dying := h.spy.last().Dying; i < 2 && !dying {
			t.Errorf("panic %d is not taken for the end", i)
		}
		c.advance(survival / 2)
	}
	if n := h.next.flushes.Load(); n != 2 {
		t.Errorf("%d panics were taken for the end, want 2", n)
	}
	h.flush()
}

// slowEnd is a processor that does not return from OnEnd of own spans.
type slowEnd struct {
	sdktrace.SpanProcessor
	release chan struct{}
}

func (p slowEnd) OnEnd(s sdktrace.ReadOnlySpan) {
	if s.Name() == SpanName {
		<-p.release
	}
	p.SpanProcessor.OnEnd(s)
}

func TestDyingDoesNotWaitForOpenSpans(t *testing.T) {
	h, s := newSpoolHarness(t, func(c *Config) { c.FlushTimeout = 10 * time.Millisecond })
	s.forward = func(context.Context, dump.ID) error { return errors.New("bucket down") }
	h.failSpan("a")
	h.wantDumps(1) // its span is open
	release := make(chan struct{})
	h.exporter.own.add(slowEnd{sdktrace.NewSimpleSpanProcessor(h.spans), release})
	done := make(chan struct{})
	go func() {
		defer close(done)
		caught(func() { h.nest(context.Background(), "outer", "inner") })
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the dying goroutine waits for a processor's OnEnd")
	}
	close(release)
	<-done
	h.line()
}

// stuckMeters is a meter provider whose flush does not return.
type stuckMeters struct {
	noop.MeterProvider
	flushes *atomic.Int64
	release chan struct{}
}

func (f stuckMeters) ForceFlush(context.Context) error {
	f.flushes.Add(1)
	<-f.release
	return nil
}

func TestMetricsDoNotKeepSpansFromBeingFlushed(t *testing.T) {
	f := stuckMeters{flushes: &atomic.Int64{}, release: make(chan struct{})}
	h := newHarness(t, func(c *Config) { c.MeterProvider, c.FlushTimeout = f, 10*time.Millisecond })
	caught(func() { h.nest(context.Background(), "outer", "middle", "inner") })
	if n, m := h.next.flushes.Load(), f.flushes.Load(); n != 3 || m != 1 {
		t.Errorf("spans were flushed %d times, metrics %d times; want 3 and 1", n, m)
	}
	close(f.release)
}

// All that is done to a dying process has one measure of time.
func TestDyingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		st := &store{before: func(ctx context.Context, _ dump.Identity) error { <-ctx.Done(); return ctx.Err() }}
		sp := &spool{store: st, forward: func(ctx context.Context, _ dump.ID) error { <-ctx.Done(); return ctx.Err() }}
		cfg := quietConfig()
		cfg.Panics = true
		e, err := New(&fakeEngine{}, sp, cfg)
		if err != nil {
			t.Fatal(err)
		}
		f := newFailure(dump.TriggerPanic, trace.SpanContext{}, nil, time.Now())
		f.panicking, f.located, f.place.whole = true, true, 4711
		e.judge(f, true)
		other := &dying{done: make(chan struct{})} // one that does not end
		e.deaths.m = map[uint64]*dying{4711: other}
		began := time.Now()
		e.lastWords(f)
		e.flush(f, &next{SpanProcessor: sdktrace.NewSimpleSpanProcessor(nil), onFlush: func(context.Context) error { <-release; return nil }})
		f.goesOn()
		limit := e.cfg.Timeout + e.cfg.DyingPutTimeout + e.cfg.CrashUpload + e.cfg.FlushTimeout + 4*grace
		if d := time.Since(began); d > limit {
			t.Errorf("held up for %v, want at most %v", d, limit)
		}
		// On the spans further out next to nothing is left.
		again := newFailure(dump.TriggerPanic, trace.SpanContext{}, nil, time.Now())
		again.panicking, again.located, again.place.whole = true, true, 4711
		e.judge(again, false)
		if !again.dying || again.fate != f.fate {
			t.Error("not the same fate")
		}
		e.await(&record{done: make(chan struct{})}, again.until)
		if d := time.Since(began); d > limit {
			t.Errorf("held up for %v altogether, want at most %v", d, limit)
		}
		close(release)
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Who does not get its turn to encode gives up.
func TestDyingEncodesOneAtATime(t *testing.T) {
	h := newHarness(t, nil)
	e := h.exporter
	e.last <- struct{}{} // somebody else
	f := newFailure(dump.TriggerPanic, trace.SpanContext{}, nil, time.Now())
	f.panicking, f.located = true, true
	e.judge(f, true)
	f.until = time.Now()
	rec, _ := e.take(f)
	if rec == nil || !rec.lost.Load() || len(h.store.ids()) != 0 {
		t.Errorf("record %+v", rec)
	}
	h.wantStats(func(s Stats) bool { return s.Lost[FailTimeout] == 1 && s.Pending == 0 })
	<-e.last
}

// A dump of the background that is lost is no reason for a dying process to have none.
func TestDyingMakesUpForALostDump(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.RecoveredBy = []string{"github.com/otelcoredumpy/otelcoredumpy/exporter.serve"}
	})
	var puts atomic.Int64
	refuse := int64(1)
	h.store.before = func(context.Context, dump.Identity) error {
		if puts.Add(1) <= refuse {
			return errors.New("not yet")
		}
		return nil
	}
	die := func() {
		serve(func() {
			ctx, s := h.tracer.Start(context.Background(), "outer")
			defer s.End()
			defer h.exporter.Panicking(ctx, NewMark(), true)
			defer h.exporter.Panicking(ctx, NewMark(), false)
			boom()
		})
	}
	die()
	if n := len(h.store.ids()); n != 1 || puts.Load() != 2 {
		t.Errorf("%d dumps were stored before the panic went on, %d attempts", n, puts.Load())
	}
	// One that was the last word already is not tried again.
	puts.Store(0)
	refuse = 100
	caught(func() { h.nest(context.Background(), "outer", "inner") })
	if n := puts.Load(); n != 1 {
		t.Errorf("%d attempts", n)
	}
	h.flush()
}

// When a lost dump's family knows it, others must not refer to it.
func TestLostDumpsOfSeveralFamilies(t *testing.T) {
	s := newFamilies(&Config{Window: time.Minute, PerFailure: -1, PerMinute: -1})
	now := time.Unix(1000, 0)
	rec := &record{ref: Ref{Identity: dump.Identity{ID: dump.NewID()}}}
	for p := range fingerprint(2) {
		a := s.admit(p, now)
		s.done(&a, endDump, newGiven(rec, dump.Location{}, now), now)
	}
	s.lost(rec.ref.ID)
	for p := range fingerprint(2) {
		a := s.admit(p, now)
		if a.verdict != verdictDump {
			t.Errorf("family %d: verdict %d", p, a.verdict)
		}
		// Lost before the family has it.
		rec.lost.Store(true)
		s.done(&a, endDump, newGiven(rec, dump.Location{}, now), now)
		if a := s.admit(p, now); a.verdict != verdictDump {
			t.Errorf("family %d: verdict %d", p, a.verdict)
		}
	}
}

func TestDumpThatTheSpoolLoses(t *testing.T) {
	for _, outcome := range []string{"delivered", "evicted", "expired", "damaged", "given_up"} {
		h, _ := newStormHarness(t, nil)
		h.failAlike(0)
		id := h.wantDumps(1)[0].ID
		h.exporter.Delivered(id, outcome, time.Second, nil)
		h.failAlike(1)
		want := 2
		if outcome == "delivered" {
			want = 1
		}
		h.wantDumps(want)
	}
}

func TestJoinDoesNotHandOnALostDump(t *testing.T) {
	h := newHarness(t, nil)
	known := &record{ref: Ref{Identity: dump.Identity{ID: dump.NewID()}}, done: closed}
	var g *given
	end := endIdle
	f := newFailure(dump.TriggerErrorSpan, trace.SpanContext{}, nil, time.Now())
	if h.exporter.join(f, known, &g, &end); g == nil || end != endDump {
		t.Errorf("given %v, ending %v", g, end)
	}
	g, end = nil, endIdle
	known.lost.Store(true)
	if h.exporter.join(f, known, &g, &end); g != nil || end != endIdle {
		t.Errorf("given %v, ending %v", g, end)
	}
}

// enqueue calls processors if the background has ended.
func TestEnqueueAfterTheEndHoldsNoLock(t *testing.T) {
	h := newHarness(t, nil)
	e := h.exporter
	inside := make(chan bool, 1)
	h.next.onStart = nil
	e.own.add(onEnd{sdktrace.NewSimpleSpanProcessor(h.spans), func() {
		ok := e.gate.TryLock()
		if ok {
			e.gate.Unlock()
		}
		inside <- ok
	}})
	entered, release := make(chan struct{}), make(chan struct{})
	h.spy.before = func(capture.Event) error { close(entered); <-release; return nil }
	var wg sync.WaitGroup
	wg.Go(func() { h.failSpan("s") })
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.Shutdown(ctx)
	close(release)
	wg.Wait()
	if !<-inside {
		t.Error("a processor is called under the lock")
	}
}

type onEnd struct {
	sdktrace.SpanProcessor
	f func()
}

func (p onEnd) OnEnd(s sdktrace.ReadOnlySpan) {
	if s.Name() == SpanName {
		p.f()
	}
}
