package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// collected is what a reader has collected: "name{a=b,c=d}" → value, of a
// histogram the number of its values.
type collected map[string]int64

func collectMetrics(t *testing.T, r *sdkmetric.ManualReader) (collected, map[string]metricdata.Metrics) {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	out, all := collected{}, map[string]metricdata.Metrics{}
	put := func(name string, set attribute.Set, n int64) {
		var attrs []string
		for _, kv := range set.ToSlice() {
			attrs = append(attrs, strings.TrimPrefix(string(kv.Key), "coredumpy.")+"="+kv.Value.String())
		}
		slices.Sort(attrs)
		out[name+"{"+strings.Join(attrs, ",")+"}"] = n
	}
	for _, sm := range rm.ScopeMetrics {
		if sm.Scope.Name != scopeName {
			t.Errorf("scope %q", sm.Scope.Name)
		}
		for _, m := range sm.Metrics {
			all[m.Name] = m
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, int64(p.Count))
				}
			default:
				t.Errorf("%s is a %T", m.Name, d)
			}
		}
	}
	return out, all
}

func (c collected) want(t *testing.T, want collected) {
	t.Helper()
	for k, v := range want {
		if got, ok := c[k]; got != v || !ok {
			t.Errorf("%s = %d (%v), want %d", k, got, ok, v)
		}
	}
	for k, v := range c {
		if _, ok := want[k]; !ok {
			t.Errorf("%s = %d, which is not expected", k, v)
		}
	}
}

func TestMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	h, _ := newStormHarness(t, func(c *Config) {
		c.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		c.Exclude = []string{"excluded"}
		c.Spool = func() (int, int64, bool) { return 3, 4096, true }
	})
	for i := range 3 {
		h.failAlike(i)
	}
	serve(func() {
		_, s := h.tracer.Start(context.Background(), "panic")
		defer s.End()
		boom()
	})
	_, s := h.tracer.Start(context.Background(), "excluded")
	fail(s, errors.New("excluded"), "")
	h.flush()
	h.store.before = func(context.Context, dump.Identity) error { return errors.New("disk full") }
	h.failSpan("lost")
	h.exporter.Delivered(dump.NewID(), "delivered", time.Second, nil)
	h.exporter.Delivered(dump.NewID(), "evicted", 0, nil)
	h.flush()

	got, all := collectMetrics(t, reader)
	got.want(t, collected{
		"coredumpy.dumps{dump.outcome=stored,dump.trigger=error_span}":         1,
		"coredumpy.dumps{dump.outcome=stored,dump.trigger=panic}":              1,
		"coredumpy.dumps{dump.outcome=failed,dump.trigger=error_span}":         1,
		"coredumpy.drops{dump.trigger=error_span,reason=sink_failed}":          1,
		"coredumpy.suppressed{dump.trigger=error_span,reason=similar}":         2,
		"coredumpy.suppressed{dump.trigger=error_span,reason=same_failure}":    3,
		"coredumpy.suppressed{dump.trigger=error_span,reason=excluded}":        1,
		"coredumpy.capture.pause{dump.trigger=error_span}":                     2,
		"coredumpy.capture.pause{dump.trigger=panic}":                          1,
		"coredumpy.dump.size{dump.trigger=error_span}":                         1,
		"coredumpy.dump.size{dump.trigger=panic}":                              1,
		"coredumpy.dump.duration{dump.outcome=stored,dump.trigger=error_span}": 1,
		"coredumpy.dump.duration{dump.outcome=stored,dump.trigger=panic}":      1,
		"coredumpy.dump.duration{dump.outcome=failed,dump.trigger=error_span}": 1,
		"coredumpy.uploads{dump.outcome=delivered}":                            1,
		"coredumpy.uploads{dump.outcome=evicted}":                              1,
		"coredumpy.upload.duration{dump.outcome=delivered}":                    1,
		"coredumpy.queue.length{}":                                             0,
		"coredumpy.queue.bytes{}":                                              0,
		"coredumpy.spool.items{}":                                              3,
		"coredumpy.spool.bytes{}":                                              4096,
	})
	units := map[string]string{
		"coredumpy.dumps": "{dump}", "coredumpy.drops": "{failure}", "coredumpy.suppressed": "{failure}",
		"coredumpy.capture.pause": "s", "coredumpy.dump.size": "By", "coredumpy.dump.duration": "s",
		"coredumpy.uploads": "{dump}", "coredumpy.upload.duration": "s", "coredumpy.queue.length": "{dump}", "coredumpy.queue.bytes": "By",
		"coredumpy.spool.items": "{dump}", "coredumpy.spool.bytes": "By",
	}
	doc := readDoc(t, "telemetry.md")
	for name := range all {
		if !strings.Contains(doc, "| `"+name+"` |") {
			t.Errorf("docs/telemetry.md does not tell of %s", name)
		}
	}
	for name, unit := range units {
		if m := all[name]; m.Unit != unit || m.Description == "" {
			t.Errorf("%s: unit %q, description %q", name, m.Unit, m.Description)
		}
	}
	if d := all["coredumpy.capture.pause"].Data.(metricdata.Histogram[float64]); len(d.DataPoints[0].Bounds) == 0 || d.DataPoints[0].Bounds[0] != 0.0005 || d.DataPoints[0].Sum <= 0 {
		t.Errorf("pauses %+v", d.DataPoints)
	}
	// Counters go on, and are gone after Shutdown.
	h.failAlike(9)
	got, _ = collectMetrics(t, reader)
	if n := got["coredumpy.suppressed{dump.trigger=error_span,reason=similar}"]; n != 3 {
		t.Errorf("similar = %d", n)
	}
	if err := h.exporter.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	got, _ = collectMetrics(t, reader)
	if n, ok := got["coredumpy.queue.length{}"]; ok {
		t.Errorf("queue.length = %d after Shutdown", n)
	}
}

func TestRedactionMetrics(t *testing.T) {
	r, err := redact.New(redact.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	cfg := capture.DefaultConfig()
	cfg.Goroutines, cfg.SourceLines, cfg.Redactor = capture.ScopeNone, -1, r
	real, err := capture.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer real.Close()
	reader := sdkmetric.NewManualReader()
	e, err := New(ForEngine(real), &store{}, Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), ErrorSpans: true})
	if err != nil {
		t.Fatal(err)
	}
	e.RecordError(context.Background(), errors.New("login with Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U failed"))
	if err := e.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if st := e.Stats(); len(st.Redactions) == 0 {
		t.Errorf("stats %+v", st)
	}
	got, _ := collectMetrics(t, reader)
	n := 0
	for k, v := range got {
		if strings.HasPrefix(k, "coredumpy.redactions{redaction.rule=") && v > 0 {
			n++
		}
	}
	if n == 0 {
		t.Errorf("collected %v", got)
	}
	if err := e.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// A second Install must not make counters fall, nor count anything twice.
func TestMetricsAfterReplace(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	h := newHarness(t, func(c *Config) { c.MeterProvider = provider })
	h.failSpan("a")
	h.failSpan("b")
	h.flush()
	cfg := DefaultConfig()
	cfg.MeterProvider = provider
	second, err := New(h.spy, &store{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Shutdown(context.Background())
	stored := func() int64 {
		got, _ := collectMetrics(t, reader)
		return got["coredumpy.dumps{dump.outcome=stored,dump.trigger=error_span}"]
	}
	second.telemetry.wait(context.Background()) // its instruments are made in the background
	h.exporter.Replace(second)
	if n := stored(); n != 2 {
		t.Errorf("%d while both are there", n)
	}
	if err := h.exporter.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := stored(); n != 2 {
		t.Errorf("%d after the first is gone", n)
	}
	h.failSpan("c")
	if err := second.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := stored(); n != 3 {
		t.Errorf("%d, want 3", n)
	}
	if st := second.Stats(); st.Stored[dump.TriggerErrorSpan] != 1 {
		t.Errorf("stats %+v: those are the second's own", st)
	}
}

// meters is a meter provider that does what it should not.
type meters struct {
	metric.MeterProvider
	meter func() metric.Meter
}

func (m meters) Meter(string, ...metric.MeterOption) metric.Meter { return m.meter() }

type badMeter struct {
	metric.Meter
	histogram func() (metric.Float64Histogram, error)
	register  func() (metric.Registration, error)
}

func (m badMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return m.histogram()
}

func (m badMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return m.register()
}

type badHistogram struct {
	metric.Float64Histogram
	record func()
}

func (h badHistogram) Record(context.Context, float64, ...metric.RecordOption) { h.record() }

type badRegistration struct{ metric.Registration }

func (badRegistration) Unregister() error { panic("unregister") }

func TestMeterProvidersThatMisbehave(t *testing.T) {
	plain := noop.NewMeterProvider().Meter("")
	release := make(chan struct{})
	with := func(record func()) func() metric.Meter {
		return func() metric.Meter {
			return badMeter{plain, func() (metric.Float64Histogram, error) { return badHistogram{noop.Float64Histogram{}, record}, nil }, func() (metric.Registration, error) { return badRegistration{}, nil }}
		}
	}
	for name, meter := range map[string]func() metric.Meter{
		"Meter panics":  func() metric.Meter { panic("meter") },
		"Meter is nil":  func() metric.Meter { return nil },
		"Meter blocks":  func() metric.Meter { <-release; return plain },
		"Record panics": with(func() { panic("record") }),
		"Record blocks": with(func() { <-release }),
		"errors": func() metric.Meter {
			return badMeter{plain, func() (metric.Float64Histogram, error) { return nil, errors.New("no histogram") }, func() (metric.Registration, error) { return nil, errors.New("no callback") }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, func(c *Config) { c.MeterProvider = meters{noop.NewMeterProvider(), meter} })
			for i := range 3 {
				h.failSpan(fmt.Sprint("s", i))
			}
			for range 2 * maxSamples { // more than can wait
				h.exporter.telemetry.paused(dump.TriggerPanic, time.Second)
			}
			caught(func() {
				_, s := h.tracer.Start(context.Background(), "death")
				defer s.End()
				boom()
			})
			h.wantDumps(4)
			if err := h.exporter.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
}

// A callback of the spool that panics costs its own values only.
func TestSpoolCallbackThatPanics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	h := newHarness(t, func(c *Config) {
		c.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		c.Spool = func() (int, int64, bool) { panic("spool") }
	})
	h.failSpan("s")
	h.flush()
	got, _ := collectMetrics(t, reader)
	if got["coredumpy.dumps{dump.outcome=stored,dump.trigger=error_span}"] != 1 {
		t.Errorf("collected %v", got)
	}
	if st := h.exporter.Stats(); st.Contained == 0 {
		t.Errorf("stats %+v", st)
	}
}

// flushing is a meter provider of an SDK.
type flushing struct {
	noop.MeterProvider
	flushes atomic.Int64
}

func (f *flushing) ForceFlush(context.Context) error { f.flushes.Add(1); return nil }

func TestDyingFlushesMetrics(t *testing.T) {
	f := &flushing{}
	h := newHarness(t, func(c *Config) { c.MeterProvider = f })
	caught(func() {
		_, s := h.tracer.Start(context.Background(), "s")
		defer s.End()
		boom()
	})
	if n := f.flushes.Load(); n != 1 {
		t.Errorf("%d flushes", n)
	}
}

func TestTalliesAreBounded(t *testing.T) {
	h := newHarness(t, nil)
	for i := range 2 * maxTallies {
		h.exporter.Delivered(dump.NewID(), fmt.Sprint("outcome ", i), 0, nil)
	}
	st := h.exporter.Stats()
	if len(st.Uploads) > maxTallies+1 || st.Uploads["other"] < maxTallies {
		t.Errorf("%d outcomes, %d others", len(st.Uploads), st.Uploads["other"])
	}
}

// Healthy spans touch no metric: neither the provider nor a counter.
func TestHealthySpansRecordNothing(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	h := newHarness(t, func(c *Config) {
		c.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	})
	for range 100 {
		_, s := h.tracer.Start(context.Background(), "s")
		s.End()
	}
	h.flush()
	got, _ := collectMetrics(t, reader)
	got.want(t, collected{"coredumpy.queue.length{}": 0, "coredumpy.queue.bytes{}": 0})
}

func panickingMeters() metric.MeterProvider {
	return meters{noop.NewMeterProvider(), func() metric.Meter { panic("meter") }}
}
