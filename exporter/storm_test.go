package exporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/exporter/internal/failing"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// clock is a clock that stands still unless it is moved.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// newStormHarness is newHarness with the limits as they are by default, and a
// clock that stands still.
func newStormHarness(t *testing.T, change func(*Config), opts ...sdktrace.TracerProviderOption) (*harness, *clock) {
	h := newHarness(t, func(c *Config) {
		d := DefaultConfig()
		c.Window, c.PerFailure, c.PerMinute = d.Window, d.PerFailure, d.PerMinute
		c.RecoveredBy = []string{"github.com/otelcoredumpy/otelcoredumpy/exporter.serve"}
		if change != nil {
			change(c)
		}
	}, opts...)
	c := &clock{}
	c.ns.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	h.exporter.now = c.now
	return h, c
}

// failAlike ends a trace of two spans, the inner one with a failure that is like
// all others made here. The numbers that it is given make no difference.
//
//go:noinline
func (h *harness) failAlike(n int) (inner, outer string) {
	deep(2*maxPlace, func() { // so it makes no difference where it is called
		ctx, o := h.tracer.Start(context.Background(), "GET /orders/{id}")
		_, i := h.tracer.Start(ctx, "query")
		fail(i, fmt.Errorf("order %d: %w", n, errLeaf), "")
		o.SetStatus(codes.Error, "")
		o.End()
		inner, outer = i.SpanContext().SpanID().String(), o.SpanContext().SpanID().String()
	})
	return inner, outer
}

// byID returns the span with an ID.
func (h *harness) byID(id string) tracetest.SpanStub {
	h.t.Helper()
	for _, s := range h.spans.GetSpans() {
		if s.SpanContext.SpanID().String() == id {
			return s
		}
	}
	h.t.Fatalf("span %s has not ended", id)
	return tracetest.SpanStub{}
}

func (h *harness) wantStats(check func(Stats) bool) {
	h.t.Helper()
	if st := h.exporter.Stats(); !check(st) {
		h.t.Errorf("stats %+v", st)
	}
}

func TestSimilarFailuresHaveOneDump(t *testing.T) {
	h, c := newStormHarness(t, nil)
	var inner, outer [5]string
	for i := range 4 {
		inner[i], outer[i] = h.failAlike(i)
		c.advance(10 * time.Second)
	}
	first := h.wantDumps(1)[0]
	own := h.own()[0].SpanContext
	for i := range 4 {
		for _, id := range []string{inner[i], outer[i]} {
			s := h.byID(id)
			want := "true"
			if i == 0 {
				want = ""
			}
			if value(s, AttrDumpID) != first.ID.String() || value(s, AttrDumpURI) != "mem:"+first.ID.String() || value(s, AttrDumpTrigger) != "error_span" || value(s, AttrDumpSimilar) != want {
				t.Errorf("failure %d, span %s: %v", i, s.Name, s.Attributes)
			}
			if len(s.Links) != 1 || !s.Links[0].SpanContext.Equal(own) {
				t.Errorf("failure %d, span %s links to %v", i, s.Name, s.Links)
			}
		}
	}
	h.wantStats(func(s Stats) bool { return s.Suppressed[SuppressedSimilar] == 3 && s.Joined == 4 })

	c.advance(time.Minute)
	inner[4], outer[4] = h.failAlike(4)
	second := h.wantDumps(2)[1]
	for _, id := range []string{inner[4], outer[4]} {
		if s := h.byID(id); value(s, AttrDumpID) != second.ID.String() || value(s, AttrDumpSimilar) != "" {
			t.Errorf("after the window: %v", s.Attributes)
		}
	}
	hd, _ := h.header(second.ID.String())
	found := ""
	for _, m := range hd.Missing {
		if m.What == "dumps of similar failures" {
			found = m.Why
		}
	}
	if found != "3 failures like this one since 2026-01-02T03:04:05Z had none of their own" {
		t.Errorf("the header says %q (%+v)", found, hd.Missing)
	}
	if hd, _ := h.header(first.ID.String()); strings.Contains(fmt.Sprint(hd.Missing), "similar") {
		t.Errorf("the first dump's header says %+v", hd.Missing)
	}
}

func TestSimilarPanicsHaveOneDump(t *testing.T) {
	h, _ := newStormHarness(t, nil, sdktrace.WithoutPanicRecording())
	for i := range 3 {
		serve(func() {
			ctx, outer := h.tracer.Start(context.Background(), fmt.Sprint("outer ", i))
			defer outer.End()
			_, s := h.tracer.Start(ctx, fmt.Sprint("inner ", i))
			defer s.End()
			boom()
		})
	}
	h.wantDumps(1)
	h.wantSame("inner 0", "outer 0", "inner 1", "outer 1", "inner 2", "outer 2")
	for _, name := range []string{"inner 2", "outer 2"} {
		s := h.span(name)
		if value(s, AttrDumpSimilar) != "true" || s.Status.Description != "panic: boom" || len(exceptions(s)) != 1 || !strings.HasSuffix(value(s, "code.function.name"), "failing.Boom") {
			t.Errorf("span %s: status %+v, attributes %v, events %v", name, s.Status, s.Attributes, s.Events)
		}
	}
	h.wantStats(func(s Stats) bool { return s.Suppressed[SuppressedSimilar] == 2 && s.Joined == 3 })
	// Through Panicking, without an SDK that tells the value.
	for i := range 2 {
		serve(func() {
			ctx, s := h.tracer.Start(context.Background(), fmt.Sprint("middleware ", i))
			defer s.End()
			defer func() { _ = recover() }()
			defer h.exporter.Panicking(ctx, NewMark(), false)
			failing.NilMap(nil)
		})
	}
	h.wantDumps(2)
	h.wantSame("middleware 0", "middleware 1")
	if s := h.span("middleware 1"); value(s, AttrDumpSimilar) != "true" || s.Status.Description != "panic: assignment to entry in nil map" {
		t.Errorf("status %+v, attributes %v", s.Status, s.Attributes)
	}
}

func TestRecordErrorOfSimilarErrors(t *testing.T) {
	h, _ := newStormHarness(t, nil)
	for i := range 3 {
		ctx, s := h.tracer.Start(context.Background(), fmt.Sprint("s", i))
		err := fmt.Errorf("order %d: %w", i, errLeaf)
		h.exporter.RecordError(ctx, err)
		s.SetStatus(codes.Error, err.Error())
		s.End()
	}
	h.wantDumps(1)
	h.wantSame("s0", "s1", "s2")
	if s := h.span("s2"); value(s, AttrDumpSimilar) != "true" || len(s.Links) != 1 {
		t.Errorf("span %+v", s)
	}
	if s := h.span("s0"); value(s, AttrDumpSimilar) != "" {
		t.Errorf("span %+v", s)
	}
}

func TestDumpsPerFailure(t *testing.T) {
	h, c := newStormHarness(t, func(c *Config) { c.PerFailure = 8 }) // 3 at once
	at := func() int { return len(h.store.ids()) }
	made := []int{}
	for range 90 { // minutes
		h.failAlike(0)
		h.flush()
		made = append(made, at())
		c.advance(time.Minute)
	}
	if made[0] != 1 || made[2] != 3 || made[7] != 3 || made[8] != 4 || made[89] != 3+11 {
		t.Errorf("dumps after each minute: %v; want 3 at once, then 8 an hour", made)
	}
	h.wantStats(func(s Stats) bool {
		return s.Suppressed[SuppressedRate] == 90-14 && s.Suppressed[SuppressedSimilar] == 0
	})
	// One that is limited refers to the latest.
	in, _ := h.failAlike(1)
	if s := h.byID(in); value(s, AttrDumpID) != h.store.ids()[at()-1].ID.String() || value(s, AttrDumpSimilar) != "true" {
		t.Errorf("attributes %v", s.Attributes)
	}
	select {
	case l := <-h.logs.lines: // nothing is lost that is not in another dump
		t.Errorf("logged %q", l)
	default:
	}
}

func TestDumpsPerMinute(t *testing.T) {
	h, c := newStormHarness(t, func(c *Config) { c.PerMinute = 4 }) // 3 at once
	for i := range 10 {
		h.failSpan("s" + letters(i))
	}
	h.wantDumps(3)
	h.wantClean("s" + letters(9)) // there is none like it
	if l := h.line(); !strings.Contains(l, "4 in a minute already (limit.per_minute)") {
		t.Errorf("logged %q", l)
	}
	h.wantStats(func(s Stats) bool { return s.Suppressed[SuppressedRate] == 7 })
	c.advance(15 * time.Second)
	h.failSpan("s" + letters(10))
	h.failSpan("s" + letters(11))
	h.wantDumps(4)
	// The program may still ask for one.
	if _, err := h.exporter.Dump(context.Background(), DumpOptions{}); err != nil {
		t.Error(err)
	}
	h.wantDumps(5)
}

func TestDeathIsNeverSuppressed(t *testing.T) {
	h, c := newStormHarness(t, func(c *Config) {
		c.PerMinute, c.PerFailure, c.Window = 1, 1, time.Hour
		c.Sample = map[dump.Trigger]float64{dump.TriggerPanic: 1}
	})
	fall := func(name string) func() {
		return func() {
			_, s := h.tracer.Start(context.Background(), name)
			defer s.End()
			deep(2*maxPlace, boom) // so the calls that count are the same
		}
	}
	serve(fall("s"))
	serve(fall("s"))
	h.wantDumps(1)
	h.exporter.cfg.Sample[dump.TriggerPanic] = 0
	for range 3 {
		before := len(h.store.ids())
		caught(fall("s"))
		if got := len(h.store.ids()); got != before+1 {
			t.Errorf("%d dumps when the panic went on, want %d", got, before+1)
		}
		c.advance(survival / 4)
	}
	if !h.spy.last().Dying {
		t.Error("not dying")
	}
	// Passed on to where it is known that nobody recovers, a panic that was
	// suppressed gets its dump as well.
	h.exporter.cfg.Sample[dump.TriggerPanic] = 1
	before := len(h.store.ids())
	caught(func() {
		defer h.exporter.Panicking(context.Background(), NewMark(), true)
		serveAndPass(fall("s"))
	})
	if got := len(h.store.ids()); got != before+1 {
		t.Errorf("%d dumps when the panic went on, want %d", got, before+1)
	}
	h.wantStats(func(s Stats) bool { return s.Suppressed[SuppressedSimilar] == 2 })
}

// serveAndPass has a worker between that seems to recover.
//
//go:noinline
func serveAndPass(f func()) {
	v := serve(f)
	panic(v)
}

// A service with a recover that we do not know of must not get dump after dump,
// each before its panic goes on.
func TestSurvivedPanics(t *testing.T) {
	h, c := newStormHarness(t, nil)
	fall := func() {
		caught(func() { // nobody known
			_, s := h.tracer.Start(context.Background(), "s")
			defer s.End()
			boom()
		})
	}
	for i := range 5 {
		fall()
		if dying := h.spy.last().Dying; dying != (i == 0) {
			t.Errorf("panic %d: dying %v", i, dying)
		}
		c.advance(survival)
	}
	h.wantDumps(2) // the last words, and one in the background for those that follow
	h.wantStats(func(s Stats) bool { return s.Suppressed[SuppressedSimilar] == 3 })
	if l := h.line(); !strings.Contains(l, "trigger.recovered_by") {
		t.Errorf("logged %q", l)
	}
	// The same panic by other calls may end the process.
	func() {
		defer func() { _ = recover() }()
		_, s := h.tracer.Start(context.Background(), "s")
		defer s.End()
		boom()
	}()
	if !h.spy.last().Dying {
		t.Error("another way to the same panic is not taken for the end")
	}
	// And where it is known, nothing else counts.
	for range 2 {
		caught(func() {
			defer h.exporter.Panicking(context.Background(), NewMark(), true)
			boom()
		})
		if !h.spy.last().Dying {
			t.Error("Panicking that knows is not believed")
		}
		c.advance(time.Hour)
	}
}

// Goroutines that die at the same time by the very same calls share a dump,
// once it is safe.
func TestDyingTogether(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("store fails: ", fails), func(t *testing.T) {
			h, _ := newStormHarness(t, nil)
			const n = 6
			entered, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			h.store.before = func(context.Context, dump.Identity) error {
				once.Do(func() { close(entered) })
				<-release
				if fails {
					return errors.New("disk full")
				}
				return nil
			}
			var wg sync.WaitGroup
			var dead atomic.Int64
			fall := func() {
				caught(func() {
					_, s := h.tracer.Start(context.Background(), "s")
					defer s.End()
					boom()
				})
				dead.Add(1)
			}
			for range n {
				wg.Go(fall)
			}
			<-entered
			if dead.Load() != 0 {
				t.Error("a panic went on before the dump was safe")
			}
			close(release)
			wg.Wait()
			st := h.exporter.Stats()
			if sum(st) != n || fails && st.Lost[FailSink] != n {
				t.Errorf("stats %+v", st)
			}
			if fails {
				return
			}
			similar := 0
			for _, s := range h.spans.GetSpans() {
				if s.Name == "s" && value(s, AttrDumpSimilar) == "true" {
					similar++
				}
			}
			if got := len(h.store.ids()); got+similar != n || uint64(similar) != st.Suppressed[SuppressedSimilar] {
				t.Errorf("%d dumps, %d spans refer to another's, stats %+v", got, similar, st)
			}
			if len(h.exporter.deaths.m) != 0 {
				t.Errorf("%d deaths are still under way", len(h.exporter.deaths.m))
			}
		})
	}
}

// TestLastWordsOfOthers does one half of that step by step.
func TestLastWordsOfOthers(t *testing.T) {
	for _, stored := range []bool{true, false} {
		h, _ := newStormHarness(t, nil)
		e := h.exporter
		f := newFailure(dump.TriggerPanic, trace.SpanContext{}, nil, time.Now())
		f.panicking, f.dying, f.located, f.place.whole = true, true, true, 4711
		other := &dying{done: make(chan struct{}), rec: &record{ref: Ref{Identity: dump.Identity{ID: dump.NewID()}}}}
		other.rec.stored.Store(stored)
		e.deaths.m = map[uint64]*dying{4711: other}
		got := make(chan *record)
		go func() { got <- e.lastWords(f) }()
		e.deaths.mu.Lock()
		delete(e.deaths.m, 4711)
		e.deaths.mu.Unlock()
		close(other.done)
		rec := <-got
		switch calls := h.spy.calls.Load(); {
		case rec == nil:
			t.Fatal("no dump")
		case stored && calls == 0:
			if !rec.similar || rec.ref.ID != other.rec.ref.ID {
				t.Errorf("record %+v", rec)
			}
		default: // its own: the other's is lost, or was over already
			if rec.similar || !rec.stored.Load() || calls != 1 {
				t.Errorf("record %+v, %d captures", rec, calls)
			}
		}
	}
}

// TestPromise checks what spans are told of a dump that is under way.
func TestPromise(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		outcome string
	}{
		{"kept", nil, "stored"},
		{"broken", errors.New("no memory"), "dropped"},
		{"busy", capture.ErrBusy, "dropped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, c := newStormHarness(t, nil)
			entered, held := make(chan struct{}), make(chan struct{})
			h.spy.before = func(capture.Event) error {
				close(entered)
				<-held
				return tt.err
			}
			spans := make(chan string, 2)
			work := func() {
				in, _ := h.failAlike(7)
				spans <- in
			}
			var wg sync.WaitGroup
			release := sync.OnceFunc(func() { close(held) })
			defer release()
			wg.Go(work)
			<-entered
			work()
			told := h.byID(<-spans) // not that of the first, which waits
			id := value(told, AttrDumpID)
			if _, err := dump.ParseID(id); err != nil || value(told, AttrDumpSimilar) != "true" || len(told.Links) != 1 {
				t.Fatalf("attributes %v, links %v", told.Attributes, told.Links)
			}
			release()
			wg.Wait()
			h.flush()
			first := h.byID(<-spans)
			own := h.own()
			if len(own) != 1 || !told.Links[0].SpanContext.Equal(own[0].SpanContext) || value(own[0], AttrDumpOutcome) != tt.outcome || value(own[0], AttrDumpID) != id {
				t.Errorf("own spans %+v", own)
			}
			if tt.err == nil {
				if value(first, AttrDumpID) != id || value(first, AttrDumpSimilar) != "" {
					t.Errorf("the first has %v", first.Attributes)
				}
				return
			}
			if value(first, AttrDumpID) != "" || own[0].Status.Code != codes.Error {
				t.Errorf("the first has %v, own status %+v", first.Attributes, own[0].Status)
			}
			// The next one is the first of its kind again, and the dump says how many came before.
			h.spy.before = nil
			c.advance(time.Second)
			work()
			in := <-spans
			if s := h.byID(in); value(s, AttrDumpSimilar) != "" || value(s, AttrDumpID) == "" {
				t.Errorf("afterwards %v", s.Attributes)
			}
			hd, _ := h.header(value(h.byID(in), AttrDumpID))
			if !strings.Contains(fmt.Sprint(hd.Missing), "1 failures like this one") {
				t.Errorf("missing %+v", hd.Missing)
			}
		})
	}
}

// Failures that are not alike wait for each other's captures. Only a few may.
func TestFewWait(t *testing.T) {
	for _, tt := range []struct {
		name     string
		fails    func(h *harness, i int)
		captures int64 // at once in the engine
	}{
		{"errors", func(h *harness, i int) { h.failSpan(letters(i)) }, 1},
		{"panics", func(h *harness, i int) {
			serve(func() {
				_, s := h.tracer.Start(context.Background(), letters(i))
				defer s.End()
				panic(letters(i))
			})
		}, maxInside},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := newStormHarness(t, func(c *Config) { c.PerMinute, c.Queue = -1, 1000 })
			release := make(chan struct{})
			h.spy.before = func(capture.Event) error { <-release; return nil }
			const n = 100
			var wg sync.WaitGroup
			var back atomic.Int64
			for i := range n {
				wg.Go(func() {
					tt.fails(h, i)
					back.Add(1)
				})
			}
			// All others come back at once. Those that stay have been counted in before, which says
			// nothing about how far into the engine they are by now.
			for back.Load() != n-maxInside || h.spy.calls.Load() < tt.captures {
				runtime.Gosched()
			}
			if got := h.spy.calls.Load(); got != tt.captures {
				t.Errorf("%d captures at once, want %d", got, tt.captures)
			}
			h.wantStats(func(s Stats) bool { return s.Lost[DropBusy] == n-maxInside })
			// The program's own wish waits, and gets what it wants.
			wg.Go(func() {
				if _, err := h.exporter.Dump(context.Background(), DumpOptions{}); err != nil {
					t.Error(err)
				}
			})
			close(release)
			wg.Wait()
			h.wantDumps(maxInside + 1)
			if n := h.exporter.inside.Load(); n != 0 {
				t.Errorf("%d are still inside", n)
			}
		})
	}
}

func TestExcludedAfterPhaseOneIsRemembered(t *testing.T) {
	h, c := newStormHarness(t, func(c *Config) { c.Exclude = []string{"*errors.errorString"} })
	fall := func() {
		serve(func() {
			_, s := h.tracer.Start(context.Background(), "s")
			defer s.End()
			panic(custom{errBoom}) // what it wraps is known after phase one only
		})
	}
	for range 10 {
		fall()
	}
	if n := h.spy.calls.Load(); n != 1 {
		t.Errorf("%d captures of what is excluded anyway", n)
	}
	c.advance(time.Minute)
	fall()
	if n := h.spy.calls.Load(); n != 2 {
		t.Errorf("%d captures after the window", n)
	}
	h.wantDumps(0)
	h.wantClean("s")
	h.wantStats(func(s Stats) bool { return s.Excluded == 11 && len(s.Suppressed) == 0 })
}

func TestNothingIsSpentOnAFullQueue(t *testing.T) {
	h, _ := newStormHarness(t, func(c *Config) { c.Queue, c.PerMinute, c.PerFailure = 1, 3, 3 })
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	h.store.before = func(context.Context, dump.Identity) error { entered <- struct{}{}; <-release; return nil }
	h.failSpan("at the store")
	<-entered
	h.failSpan("queued")
	for range 10 {
		h.failSpan("dropped")
	}
	h.wantStats(func(s Stats) bool { return s.Lost[DropQueueFull] == 10 && len(s.Suppressed) == 0 })
	close(release)
	h.wantDumps(2)
	h.failSpan("dropped") // the third token is still there
	h.wantDumps(3)
	h.failSpan("one too many")
	h.wantStats(func(s Stats) bool { return s.Suppressed[SuppressedRate] == 1 })
}

// Who refers to a dump that is lost has nothing, so the next one gets its own.
func TestLostDumpIsMadeUpFor(t *testing.T) {
	h, _ := newStormHarness(t, nil)
	h.store.before = func(context.Context, dump.Identity) error { return errors.New("disk full") }
	h.failAlike(0)
	h.failAlike(1) // may or may not be in time to be told of the first
	h.flush()
	h.wantStats(func(s Stats) bool { return s.Lost[FailSink]+s.Suppressed[SuppressedSimilar] == 2 })
	h.store.before = nil
	in, _ := h.failAlike(2)
	h.wantDumps(1)
	if s := h.byID(in); value(s, AttrDumpSimilar) != "" || value(s, AttrDumpID) != h.store.ids()[0].ID.String() {
		t.Errorf("attributes %v", s.Attributes)
	}
}

func TestFamiliesAreBounded(t *testing.T) {
	s := newFamilies(&Config{Window: time.Minute, PerFailure: 20, PerMinute: -1})
	s.max = 4
	now := time.Unix(1000, 0)
	give := func(p fingerprint) verdict {
		a := s.admit(p, now)
		s.done(&a, endDump, &given{at: now}, now)
		return a.verdict
	}
	for p := range fingerprint(10) {
		if give(p) != verdictDump {
			t.Fatalf("%d is not new", p)
		}
	}
	if s.size() != 4 {
		t.Errorf("%d families", s.size())
	}
	if give(6) != verdictSimilar { // and is seen again, so 7 is the oldest now
		t.Error("6 is forgotten")
	}
	give(10)
	if give(6) != verdictSimilar || give(8) != verdictSimilar {
		t.Error("the wrong one was forgotten")
	}
	if give(7) != verdictDump {
		t.Error("7 was not forgotten")
	}
	// A capture whose family was forgotten meanwhile.
	a := s.admit(100, now)
	for p := range fingerprint(10) {
		give(p)
	}
	s.promise(a.family, &record{})
	s.done(&a, endDump, &given{at: now}, now)
	if s.size() != 4 || give(100) != verdictDump {
		t.Error("a forgotten family has come back")
	}
}

func TestPanicUnderWayIsSeenWithoutErrorSpans(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.ErrorSpans = false })
	func() {
		ctx, s := h.tracer.Start(context.Background(), "s")
		defer s.End()
		defer func() {
			if r := recover(); r != nil {
				h.exporter.RecordError(ctx, fmt.Errorf("recovered: %v", r))
			}
		}()
		boom()
	}()
	h.wantDumps(1)
	h.wantSame("s")
	if s := h.span("s"); value(s, AttrDumpTrigger) != "panic" {
		t.Errorf("attributes %v", s.Attributes)
	}
}

// quietConfig is DefaultConfig with a logger that nobody reads.
func quietConfig() Config {
	cfg := DefaultConfig()
	cfg.Logger = newLogger(&logs{lines: make(chan string, 1000)})
	return cfg
}

// fakeEngine captures nothing, and fast.
type fakeEngine struct {
	bytes int64
	open  atomic.Int64
	snaps atomic.Int64

	slow    chan struct{} // if set, Encode waits until it is closed …
	entered chan struct{} // … and tells before
}

func (e *fakeEngine) Snapshot(ev capture.Event) (Snapshot, error) {
	e.open.Add(1)
	e.snaps.Add(1)
	return &fakeSnapshot{engine: e, err: ev.Err}, nil
}

type fakeSnapshot struct {
	engine   *fakeEngine
	err      error
	released atomic.Bool
}

func (s *fakeSnapshot) Failing() dump.Location   { return dump.Location{Func: "example.com/shop.f"} }
func (s *fakeSnapshot) Reason() []dump.ErrorInfo { return nil }
func (s *fakeSnapshot) Pause() time.Duration     { return time.Millisecond }
func (s *fakeSnapshot) Bytes() int64             { return s.engine.bytes }
func (s *fakeSnapshot) Encode(_ context.Context, w io.Writer, _ *dump.Header, _ *dump.Extra) (int64, error) {
	if s.engine.slow != nil {
		s.engine.entered <- struct{}{}
		<-s.engine.slow
	}
	n, err := w.Write(make([]byte, 100))
	return int64(n), err
}

func (s *fakeSnapshot) Release() {
	if !s.released.Swap(true) {
		s.engine.open.Add(-1)
	}
}

// discard is the processor of a service that keeps no spans.
type discard struct{ ended, marked, similar atomic.Int64 }

func (*discard) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (d *discard) OnEnd(s sdktrace.ReadOnlySpan) {
	if s.Name() == SpanName {
		return
	}
	d.ended.Add(1)
	for _, kv := range s.Attributes() {
		switch kv.Key {
		case AttrDumpID:
			d.marked.Add(1)
		case AttrDumpSimilar:
			d.similar.Add(1)
		}
	}
}
func (*discard) Shutdown(context.Context) error   { return nil }
func (*discard) ForceFlush(context.Context) error { return nil }

// sum adds up what became of all failures.
func sum(st Stats) uint64 {
	n := st.Joined + st.Excluded
	for _, m := range []map[string]uint64{st.Lost, st.Suppressed} {
		for _, v := range m {
			n += v
		}
	}
	for _, v := range st.Stored {
		n += v
	}
	return n
}

// TestStorm fails tens of thousands of spans at once and adds up what became of
// them.
func TestStorm(t *testing.T) {
	const workers, each = 32, 600
	for _, tt := range []struct {
		name   string
		change func(*Config)
		check  func(t *testing.T, st Stats, captures int64)
	}{
		{"defaults", nil, func(t *testing.T, st Stats, captures int64) {
			// The clock stands still, so what comes at once is all there is.
			if captures != 10 {
				t.Errorf("%d captures, want 10", captures)
			}
			if st.Suppressed[SuppressedSimilar] == 0 || st.Suppressed[SuppressedRate] == 0 {
				t.Errorf("stats %+v", st)
			}
		}},
		{"everything at once", func(c *Config) {
			c.Exclude, c.Sample = []string{"excluded"}, map[dump.Trigger]float64{dump.TriggerErrorSpan: 0.5}
		}, func(t *testing.T, st Stats, captures int64) {
			if captures != 10 || st.Excluded == 0 || st.Suppressed[SuppressedSampled] == 0 || st.Suppressed[SuppressedRate] == 0 {
				t.Errorf("%d captures, stats %+v", captures, st)
			}
		}},
		{"no limits", func(c *Config) { c.Window, c.PerFailure, c.PerMinute = -1, -1, -1 }, func(t *testing.T, st Stats, captures int64) {
			if len(st.Suppressed) != 0 || captures < 100 {
				t.Errorf("%d captures, stats %+v", captures, st)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			goroutines := runtime.NumGoroutine()

			cfg := quietConfig()
			cfg.RecoveredBy = []string{"github.com/otelcoredumpy/otelcoredumpy/exporter.serve"}
			if tt.change != nil {
				tt.change(&cfg)
			}
			engine := &fakeEngine{bytes: 1 << 20}
			store := &counting{}
			e, err := New(engine, store, cfg)
			if err != nil {
				t.Fatal(err)
			}
			c := &clock{}
			c.ns.Store(1e18)
			e.now = c.now
			d := &discard{}
			tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(e.SpanProcessor(d)))
			tracer := tp.Tracer("storm")

			var failures atomic.Uint64
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := range each {
						failures.Add(stormFailure(e, tracer, w*each+i))
					}
				})
			}
			wg.Wait()
			if err := e.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			st := e.Stats()
			if got := sum(st); got != failures.Load() || st.Pending != 0 || st.PendingBytes != 0 || st.Contained != 0 {
				t.Errorf("%d failures, but %d are accounted for: %+v", failures.Load(), got, st)
			}
			tt.check(t, st, engine.snaps.Load())
			stored := uint64(0)
			for _, n := range st.Stored {
				stored += n
			}
			if n := store.n.Load(); n != stored {
				t.Errorf("%d dumps in the store, counted %d", n, stored)
			}
			if n := engine.open.Load(); n != 0 {
				t.Errorf("%d snapshots were not released", n)
			}
			if n := e.families.size(); n > maxFamilies {
				t.Errorf("%d families", n)
			}
			if n, limit := len(e.memory.byTrace), 2*cfg.Remember; n > limit {
				t.Errorf("%d traces are remembered, want at most %d", n, limit)
			}
			if d.marked.Load() == 0 || d.ended.Load() < workers*each {
				t.Errorf("%d spans ended, %d marked, %d similar", d.ended.Load(), d.marked.Load(), d.similar.Load())
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
				t.Errorf("the heap has grown by %d bytes", grown)
			}
			if err := e.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			for runtime.NumGoroutine() > goroutines { // loggers, which end by themselves
				runtime.Gosched()
			}
			runtime.KeepAlive(tp)
		})
	}
}

// counting is a store that only counts.
type counting struct{ n atomic.Uint64 }

// stormFailure makes one of several kinds of failures, and returns how many were
// to be seen.
func stormFailure(e *Exporter, tracer trace.Tracer, i int) uint64 {
	ctx, outer := tracer.Start(context.Background(), "request")
	switch i % 8 {
	case 0: // always the same
		_, s := tracer.Start(ctx, "query")
		fail(s, fmt.Errorf("order %d: %w", i, errLeaf), "")
		outer.SetStatus(codes.Error, "")
		outer.End()
		return 2
	case 1, 2: // always another one
		fail(outer, fmt.Errorf("%s: %w", letters(i), errLeaf), "")
		return 1
	case 3: // a panic, seen twice
		serve(func() {
			defer outer.End()
			_, s := tracer.Start(ctx, "pay")
			defer s.End()
			boom()
		})
		return 2
	case 4: // recorded at the leaf
		err := fmt.Errorf("%s: %w", letters(i), errLeaf)
		e.RecordError(ctx, err)
		outer.SetStatus(codes.Error, err.Error())
		outer.End()
		return 2
	case 5:
		fail(outer, errors.New("excluded"), "")
		return 1
	case 6: // healthy
		outer.End()
		return 0
	default: // no span at all
		e.RecordError(context.Background(), errLeaf)
		outer.End()
		return 1
	}
}

func (s *counting) Put(context.Context, dump.Identity, sink.Source) error {
	s.n.Add(1)
	return nil
}
func (s *counting) URI(id dump.Identity) string { return "mem:" + id.ID.String() }
func (s *counting) String() string              { return "memory" }
