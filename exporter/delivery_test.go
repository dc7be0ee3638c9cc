package exporter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// spool is a store that is a sink.Forwarder and a sink.Router.
type spool struct {
	sink.Sink // not used
	*store
	forward func(ctx context.Context, id dump.ID) error
}

func (s *spool) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	return s.store.Put(ctx, id, src)
}
func (s *spool) URI(id dump.Identity) string { return s.store.URI(id) }
func (s *spool) String() string              { return "spool" }
func (s *spool) URIFor(id dump.Identity, t dump.Trigger) string {
	return fmt.Sprintf("far:%s/%s", t, id.ID)
}

func (s *spool) Forward(ctx context.Context, id dump.ID) error {
	if s.forward == nil {
		return nil
	}
	return s.forward(ctx, id)
}

func newSpoolHarness(t *testing.T, change func(*Config)) (*harness, *spool) {
	h := newHarness(t, change)
	s := &spool{store: h.store}
	h.exporter.store, h.exporter.spool, h.exporter.cfg.Deliveries = s, s, true // before anything is stored
	return h, s
}

// events returns the names of a span's events.
func events(s tracetest.SpanStub) string {
	var names []string
	for _, ev := range s.Events {
		names = append(names, ev.Name)
	}
	return strings.Join(names, " ")
}

func TestNewKnowsASpool(t *testing.T) {
	e, err := New(ForEngine(engine), &spool{store: &store{}}, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if e.spool == nil {
		t.Error("a Forwarder is not taken for one")
	}
	if err := e.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestOwnSpanShowsTheDelivery(t *testing.T) {
	for _, tt := range []struct {
		outcome string
		err     error
		status  string
		events  string
	}{
		{"delivered", nil, "", eventSpooled + " " + eventDelivered},
		{"evicted", nil, "evicted", eventSpooled + " " + eventLost},
		{"given_up", errors.New("bucket gone"), "given_up: bucket gone", eventSpooled + " " + eventLost},
	} {
		t.Run(tt.outcome, func(t *testing.T) {
			h, _ := newSpoolHarness(t, nil)
			h.failSpan("s")
			id := h.wantDumps(1)[0].ID
			if n := len(h.own()); n != 0 {
				t.Fatalf("%d own spans have ended before the delivery", n)
			}
			if got := value(h.span("s"), AttrDumpURI); got != "far:error_span/"+id.String() {
				t.Errorf("URI %q: not what the router says", got)
			}
			h.exporter.Delivered(dump.NewID(), "delivered", time.Second, nil) // somebody else's
			h.exporter.Delivered(id, tt.outcome, 1500*time.Millisecond, tt.err)
			own := h.own()
			if len(own) != 1 {
				t.Fatalf("%d own spans", len(own))
			}
			o := own[0]
			if value(o, AttrDumpOutcome) != tt.outcome || value(o, AttrDumpUpload) != "1.5" || value(o, AttrDumpSink) != "spool" ||
				value(o, AttrDumpSize) == "" || value(o, AttrDumpDuration) == "" || value(o, AttrDumpSuppressed) != "" {
				t.Errorf("attributes %v", o.Attributes)
			}
			if events(o) != tt.events || o.Status.Description != tt.status || (o.Status.Code == codes.Error) != (tt.status != "") {
				t.Errorf("events %q, status %+v", events(o), o.Status)
			}
			h.exporter.Delivered(id, tt.outcome, time.Second, nil) // twice is once
			if n := len(h.own()); n != 1 {
				t.Errorf("%d own spans", n)
			}
			st := h.exporter.Stats()
			if st.Stored[dump.TriggerErrorSpan] != 1 || st.Uploads[tt.outcome] < 2 || st.Contained != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func TestDeliveryBeforePutReturns(t *testing.T) {
	h, _ := newSpoolHarness(t, nil)
	h.store.before = func(_ context.Context, id dump.Identity) error {
		h.exporter.Delivered(id.ID, "delivered", time.Millisecond, nil) // a quick one
		return nil
	}
	h.failSpan("s")
	h.wantDumps(1)
	own := h.own()
	if len(own) != 1 || value(own[0], AttrDumpOutcome) != "delivered" || events(own[0]) != eventSpooled+" "+eventDelivered {
		t.Errorf("own spans %+v", own)
	}
	if n := h.exporter.deliveries.open(); n != 0 || len(h.exporter.deliveries.m) != 0 {
		t.Errorf("%d are open", n)
	}
}

func TestOwnSpanOfADumpThatTheSpoolRefuses(t *testing.T) {
	h, _ := newSpoolHarness(t, nil)
	h.store.before = func(context.Context, dump.Identity) error { return errors.New("disk full") }
	h.failSpan("s")
	h.wantDumps(0)
	own := h.own()
	if len(own) != 1 || value(own[0], AttrDumpOutcome) != "failed" || events(own[0]) != "" {
		t.Errorf("own spans %+v", own)
	}
	if n := len(h.exporter.deliveries.m); n != 0 {
		t.Errorf("%d deliveries are expected", n)
	}
}

func TestOwnSpanCountsWhatReferredToIt(t *testing.T) {
	h, _ := newStormHarness(t, nil)
	s := &spool{store: h.store}
	h.exporter.store, h.exporter.spool, h.exporter.cfg.Deliveries = s, s, true
	for i := range 5 {
		h.failAlike(i)
	}
	h.exporter.Delivered(h.wantDumps(1)[0].ID, "delivered", time.Second, nil)
	if own := h.own(); len(own) != 1 || value(own[0], AttrDumpSuppressed) != "4" {
		t.Errorf("own spans %+v", own)
	}
}

func TestOpenOwnSpansAreBounded(t *testing.T) {
	h, _ := newSpoolHarness(t, func(c *Config) { c.Queue = maxOpen + 20 })
	const n = maxOpen + 10
	for range n {
		if _, err := h.exporter.Dump(context.Background(), DumpOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	ids := h.wantDumps(n)
	own := h.own()
	if len(own) != 10 || h.exporter.deliveries.open() != maxOpen {
		t.Fatalf("%d own spans have ended, %d are open", len(own), h.exporter.deliveries.open())
	}
	for i, o := range own {
		if value(o, AttrDumpOutcome) != "spooled" || value(o, AttrDumpID) != ids[i].ID.String() {
			t.Errorf("own span %d: %v", i, o.Attributes)
		}
	}
	h.exporter.Delivered(ids[0].ID, "delivered", time.Second, nil) // too late for its span
	h.exporter.Delivered(ids[n-1].ID, "delivered", time.Second, nil)
	if err := h.exporter.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for _, o := range h.own() {
		outcomes[value(o, AttrDumpOutcome)]++
	}
	if outcomes["spooled"] != n-1 || outcomes["delivered"] != 1 {
		t.Errorf("outcomes %v", outcomes)
	}
	h.exporter.Delivered(ids[n-2].ID, "delivered", time.Second, nil) // the spool is emptied after us
	if st := h.exporter.Stats(); st.Uploads["delivered"] != 3 || h.exporter.deliveries.open() != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestProviderShutdownEndsSpooledSpans(t *testing.T) {
	h, _ := newSpoolHarness(t, nil)
	h.failSpan("s")
	h.wantDumps(1)
	if err := h.provider.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := h.next.own.Load(); n != 1 {
		t.Errorf("%d own spans before the processor was shut down", n)
	}
}

func TestDyingForwards(t *testing.T) {
	die := func(h *harness) {
		caught(func() {
			ctx, outer := h.tracer.Start(context.Background(), "outer")
			defer outer.End()
			_, s := h.tracer.Start(ctx, "s")
			defer s.End()
			boom()
		})
	}
	for _, tt := range []struct {
		name    string
		forward func(ctx context.Context, id dump.ID) error
		outcome string
		log     string
	}{
		{"delivered", func(context.Context, dump.ID) error { return nil }, "delivered", ""},
		{"bucket down", func(context.Context, dump.ID) error { return errors.New("connection refused") }, "spooled", "connection refused"},
		{"heeds its context", func(ctx context.Context, _ dump.ID) error { <-ctx.Done(); return ctx.Err() }, "spooled", "deadline exceeded"},
		{"panics", func(context.Context, dump.ID) error { panic("oops") }, "spooled", "panic in the sink: oops"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, s := newSpoolHarness(t, func(c *Config) { c.CrashUpload = 20 * time.Millisecond })
			var forwarded []dump.ID
			s.forward = func(ctx context.Context, id dump.ID) error {
				if got := h.store.ids(); !slices.ContainsFunc(got, func(i dump.Identity) bool { return i.ID == id }) {
					t.Errorf("%s is forwarded before it is safe in %v", id, got)
				}
				forwarded = append(forwarded, id)
				return tt.forward(ctx, id)
			}
			ended := ""
			h.next.onFlush = func(context.Context) error {
				if own := h.own(); len(own) == 1 {
					ended = value(own[0], AttrDumpOutcome)
				}
				return nil
			}
			die(h)
			if len(forwarded) != 1 || ended != tt.outcome {
				t.Errorf("forwarded %v; own span at the flush: %q, want %q", forwarded, ended, tt.outcome)
			}
			if tt.log != "" {
				if l := h.line(); !strings.Contains(l, tt.log) || !strings.Contains(l, "stays in the spool") {
					t.Errorf("logged %q", l)
				}
			}
			if st := h.exporter.Stats(); st.Stored[dump.TriggerPanic] != 1 || len(st.Lost) != 0 {
				t.Errorf("stats %+v: what is in the spool is not lost", st)
			}
		})
	}
	t.Run("blocks", func(t *testing.T) {
		h, s := newSpoolHarness(t, func(c *Config) { c.CrashUpload = time.Millisecond })
		release := make(chan struct{})
		s.forward = func(context.Context, dump.ID) error { <-release; return nil }
		die(h)
		if own := h.own(); len(own) != 1 || value(own[0], AttrDumpOutcome) != "spooled" {
			t.Errorf("own spans %+v", own)
		}
		close(release)
	})
	t.Run("off", func(t *testing.T) {
		h, s := newSpoolHarness(t, func(c *Config) { c.CrashUpload = -1 })
		s.forward = func(context.Context, dump.ID) error { t.Error("forwarded"); return nil }
		die(h)
		h.wantDumps(1)
	})
	t.Run("seen before by somebody who seems to recover", func(t *testing.T) {
		h, s := newSpoolHarness(t, func(c *Config) {
			c.RecoveredBy = []string{"github.com/otelcoredumpy/otelcoredumpy/exporter.serve"}
		})
		n := 0
		s.forward = func(context.Context, dump.ID) error { n++; return nil }
		caught(func() {
			ctx, outer := h.tracer.Start(context.Background(), "outer")
			defer outer.End()
			v := serve(func() {
				_, s := h.tracer.Start(ctx, "s")
				defer s.End()
				boom()
			})
			if n != 0 {
				t.Error("forwarded although the process lives on")
			}
			panic(v)
		})
		h.wantDumps(1)
		h.wantSame("s", "outer")
		if n != 1 {
			t.Errorf("forwarded %d times", n)
		}
	})
}

// A slow store must not keep snapshots waiting, which are larger than dumps.
func TestEncodingGoesOnWhileTheStoreIsSlow(t *testing.T) {
	engine := &fakeEngine{bytes: 1 << 20}
	st := &store{}
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	st.before = func(context.Context, dump.Identity) error { entered <- struct{}{}; <-release; return nil }
	cfg := quietConfig()
	cfg.Queue = 4
	e, err := New(engine, st, cfg)
	if err != nil {
		t.Fatal(err)
	}
	made := func() error {
		_, err := e.Dump(context.Background(), DumpOptions{})
		return err
	}
	if err := made(); err != nil {
		t.Fatal(err)
	}
	<-entered // one is at the store
	for range 4 {
		if err := made(); err != nil {
			t.Fatal(err)
		}
	}
	for engine.open.Load() != 0 { // all the others are encoded
		runtime.Gosched()
	}
	if err := made(); !errors.Is(err, errQueue) {
		t.Errorf("one too many: %v", err)
	}
	if s := e.Stats(); s.Pending != 5 || s.PendingBytes > 5<<10 {
		t.Errorf("stats %+v: snapshots still count", s)
	}
	close(release)
	if err := e.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if s := e.Stats(); s.Stored[dump.TriggerManual] != 5 || s.PendingBytes != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestPendingMemoryIsBounded(t *testing.T) {
	engine := &fakeEngine{bytes: 1 << 20}
	st := &store{}
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	engine.slow = release
	engine.entered = entered
	cfg := quietConfig()
	cfg.MaxPendingBytes = 3 << 20
	cfg.Window, cfg.PerMinute = -1, -1
	e, err := New(engine, st, cfg)
	if err != nil {
		t.Fatal(err)
	}
	fails := func() { e.RecordError(context.Background(), errLeaf) }
	fails()
	<-entered // being encoded
	for range 10 {
		fails()
	}
	if s := e.Stats(); s.Lost[DropMemory] != 8 || s.Pending != 3 || s.PendingBytes != 3<<20 {
		t.Errorf("stats %+v", s)
	}
	if _, err := e.Dump(context.Background(), DumpOptions{}); !errors.Is(err, errMemory) {
		t.Errorf("Dump: %v", err)
	}
	close(release)
	if err := e.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	fails()
	if err := e.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if s := e.Stats(); s.Stored[dump.TriggerErrorSpan] != 4 || s.PendingBytes != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestEngineThatBlocksInPhaseTwo(t *testing.T) {
	engine := &fakeEngine{bytes: 1 << 20}
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	engine.slow = release
	engine.entered = entered
	cfg := quietConfig()
	cfg.Timeout, cfg.PutTimeout = time.Millisecond, time.Millisecond
	e, err := New(engine, &store{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range maxStuck + 1 {
		if _, err := e.Dump(context.Background(), DumpOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := e.Stats(); s.Lost[FailTimeout] != maxStuck || s.Lost[FailStuck] != 1 || s.PendingBytes != 0 {
		t.Errorf("stats %+v", s)
	}
	close(release)
	for engine.open.Load() != 0 || e.stuck.Load() != 0 {
		runtime.Gosched()
	}
	if err := e.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
