package exporter

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// What is delivered while Shutdown drains the store is told as in good times.
func TestShutdownDrainsTheStore(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	var h *harness
	oops := errors.New("one is left")
	var got map[string]int64
	h, _ = newSpoolHarness(t, func(c *Config) {
		c.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		c.Drain = func(context.Context) error {
			ids := h.store.ids()
			if len(ids) != 2 {
				t.Errorf("%d dumps are in the store", len(ids))
			}
			h.exporter.Delivered(ids[0].ID, "delivered", time.Second, nil)
			h.exporter.telemetry.wait(context.Background())
			got, _ = collectMetrics(t, reader)
			return oops
		}
	})
	h.failSpan("a")
	h.failSpan("b")
	if err := h.exporter.Shutdown(context.Background()); !errors.Is(err, oops) {
		t.Errorf("Shutdown: %v", err)
	}
	outcomes := map[string]int{}
	for _, o := range h.own() {
		outcomes[value(o, AttrDumpOutcome)]++
	}
	if outcomes["delivered"] != 1 || outcomes["spooled"] != 1 {
		t.Errorf("own spans ended as %v", outcomes)
	}
	if n := got["coredumpy.uploads{dump.outcome=delivered}"]; n != 1 {
		t.Errorf("metrics %v", got)
	}
}

func TestDrainThatMisbehaves(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Drain = func(context.Context) error { panic("drain") } })
	if err := h.exporter.Shutdown(context.Background()); err == nil || !strings.Contains(err.Error(), "panic in the sink: drain") {
		t.Errorf("Shutdown: %v", err)
	}
	release := make(chan struct{})
	h = newHarness(t, func(c *Config) { c.Drain = func(context.Context) error { <-release; return nil } })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.exporter.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	close(release)
}

// Own spans do not stay open for ever.
func TestOpenSpansExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deliveries
		ended := map[dump.ID]*delivery{}
		var mu sync.Mutex // spans end on a goroutine of the timer
		hold := func() dump.ID {
			id := dump.NewID()
			d.expect(id)
			d.hold(id, func(x *delivery) {
				mu.Lock()
				defer mu.Unlock()
				ended[id] = x
			})
			return id
		}
		wait := func(t time.Duration) {
			time.Sleep(t)
			synctest.Wait()
		}
		check := func(id dump.ID, n int) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if x, ok := ended[id]; !ok || x != nil || len(ended) != n {
				t.Errorf("ended %v", ended)
			}
		}
		idle := func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.timer == nil && len(d.m) == 0
		}
		first := hold()
		wait(openFor / 2)
		second, third := hold(), hold()
		d.deliver(third, nil)
		wait(openFor/2 - 1)
		check(third, 1)
		wait(1)
		check(first, 2)
		wait(openFor / 2)
		check(second, 3)
		if !idle() {
			t.Error("the timer runs on")
		}
		fourth := hold()
		d.close()
		check(fourth, 4)
		check(hold(), 5)
		if !idle() {
			t.Error("the timer runs after the end")
		}
	})
}

// A store that is a Forwarder does not have to report deliveries.
func TestForwarderThatReportsNothing(t *testing.T) {
	h, s := newSpoolHarness(t, nil)
	h.exporter.cfg.Deliveries = false
	forwarded := 0
	s.forward = func(context.Context, dump.ID) error { forwarded++; return nil }
	h.failSpan("s")
	h.wantDumps(1)
	if own := h.own(); len(own) != 1 || value(own[0], AttrDumpOutcome) != "stored" {
		t.Errorf("own spans %+v", own)
	}
	caught(func() { h.nest(context.Background(), "inner") })
	if forwarded != 1 {
		t.Errorf("%d dumps were forwarded", forwarded)
	}
}

func TestReplacedExportersAreNotKept(t *testing.T) {
	h := newHarness(t, nil)
	gone := make(chan struct{})
	var list []*Exporter
	for range 3 {
		e, err := New(h.spy, &store{}, quietConfig())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
		if err := e.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	runtime.AddCleanup(list[1], func(c chan struct{}) { close(c) }, gone)
	last := list[2]
	h.exporter.Replace(list[0])
	list[0].Replace(list[1])
	list[1].Replace(last)
	// The first knows the last, and a processor that is shut down is so for all.
	if h.exporter.current() != last || h.exporter.successor.Load() != last {
		t.Error("the chain is not shortened")
	}
	if n := len(list[1].own.list()); n != 1 {
		t.Errorf("%d processors", n)
	}
	if err := h.provider.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	for i, e := range append(list, h.exporter) {
		if n := len(e.own.list()); n != 0 {
			t.Errorf("%d: %d processors are left", i, n)
		}
	}
	clear(list)
	list = nil
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("an Exporter that was replaced is kept")
}

// What a replaced Exporter counts later is counted by the one in its place.
func TestLateCountsOfAReplacedExporter(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	h := newHarness(t, func(c *Config) { c.MeterProvider = provider })
	h.failSpan("a")
	h.flush()
	former := h.exporter
	for range 2 {
		cfg := quietConfig()
		cfg.MeterProvider = provider
		e, err := New(h.spy, &store{}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		e.telemetry.wait(context.Background())
		former.Replace(e)
		if err := former.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		former = e
		h.exporter.stats.ended(dump.TriggerErrorSpan, outcome{})
	}
	got, _ := collectMetrics(t, reader)
	if n := got["coredumpy.dumps{dump.outcome=stored,dump.trigger=error_span}"]; n != 3 {
		t.Errorf("%d, want 3", n)
	}
	if err := former.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// A provider that panics leaves the recorder without instruments, not nil.
func TestMeterThatPanicsLeavesARecorder(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.MeterProvider = panickingMeters() })
	for range 3 {
		h.exporter.telemetry.put(sample{what: samplePause})
	}
	h.flush()
	if st := h.exporter.Stats(); st.Contained != 1 {
		t.Errorf("%d panics were contained", st.Contained)
	}
}
