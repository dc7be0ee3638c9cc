package exporter

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Metrics go through foreign code: a meter provider that may block, panic, or
// hold the very lock that the failing goroutine holds already. So no failing goroutine ever
// calls it. Counts are kept in counters and handed out when a reader
// collects; what goes into a histogram is recorded by a goroutine of its own. If
// that gets stuck, samples are lost and nothing else.

// Attributes of metrics, besides AttrDumpTrigger and AttrDumpOutcome.
const (
	AttrReason = attribute.Key("coredumpy.reason")         // why there is no dump; the strings of [Stats]
	AttrRule   = attribute.Key("coredumpy.redaction.rule") // the rule that redacted
)

// maxSamples is how many samples may wait to be recorded.
const maxSamples = 256

// telemetry records metrics of an Exporter. They are in docs/telemetry.md.
type telemetry struct {
	e        *Exporter
	provider metric.MeterProvider
	samples  chan sample
	stop     chan struct{}
	stopped  chan struct{}
	once     sync.Once

	mu sync.Mutex
	// before is what former Exporters have counted that this one has replaced:
	// counters must not fall.
	before map[tally]uint64
	// replaced is set once another one counts on. replacing protects it as well.
	replaced bool
}

// sample is a value for a histogram, or a request to say when all that came
// before it are recorded.
type sample struct {
	what  sampleKind
	value float64
	attrs attribute.Set
	done  chan struct{}
}

type sampleKind uint8

const (
	samplePause sampleKind = iota
	sampleSize
	sampleDuration
	sampleUpload
	numSamples
	sampleNone
)

func newTelemetry(e *Exporter) *telemetry {
	t := &telemetry{
		e: e, provider: e.cfg.MeterProvider,
		samples: make(chan sample, maxSamples), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if t.provider == nil {
		t.provider = otel.GetMeterProvider()
	}
	go t.run()
	return t
}

// run is the goroutine that records.
func (t *telemetry) run() {
	defer close(t.stopped)
	r := t.open()
	for {
		select {
		case s := <-t.samples:
			t.record(r, s)
		case <-t.stop:
			for {
				select {
				case s := <-t.samples:
					t.record(r, s)
				default:
					t.close(r)
					return
				}
			}
		}
	}
}

func (t *telemetry) record(r *recorder, s sample) {
	defer t.e.contain("recording a metric")
	if s.done != nil {
		close(s.done)
		return
	}
	if h := r.histograms[s.what]; h != nil {
		h.Record(context.Background(), s.value, metric.WithAttributeSet(s.attrs))
	}
}

// put hands a sample over, unless too many wait.
func (t *telemetry) put(s sample) {
	select {
	case t.samples <- s:
	default:
	}
}

func triggerSet(t dump.Trigger) attribute.Set {
	return attribute.NewSet(AttrDumpTrigger.String(string(t)))
}

// paused records that a failing goroutine waited for phase one.
func (t *telemetry) paused(trigger dump.Trigger, d time.Duration) {
	t.put(sample{what: samplePause, value: d.Seconds(), attrs: triggerSet(trigger)})
}

// ended records how a dump ended, and how long after its failure.
func (t *telemetry) ended(trigger dump.Trigger, res outcome, after time.Duration) {
	t.put(sample{what: sampleDuration, value: after.Seconds(), attrs: attribute.NewSet(
		AttrDumpTrigger.String(string(trigger)), AttrDumpOutcome.String(res.word()))})
	if res.size > 0 {
		t.put(sample{what: sampleSize, value: float64(res.size), attrs: triggerSet(trigger)})
	}
}

// delivered records how long a dump was in the spool.
func (t *telemetry) delivered(outcome string, took time.Duration) {
	t.put(sample{what: sampleUpload, value: took.Seconds(), attrs: attribute.NewSet(AttrDumpOutcome.String(shorten(outcome, 64)))})
}

// wait waits until what was put before is recorded, but not for long.
func (t *telemetry) wait(ctx context.Context) {
	s := sample{what: sampleNone, done: t.e.newDone()}
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case t.samples <- s:
	case <-t.stopped:
		return
	case <-limit.C:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-s.done:
	case <-t.stopped:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// flush has the meter provider export, before the process dies. Only a
// provider of the SDK can do that.
func (t *telemetry) flush(ctx context.Context) {
	t.wait(ctx)
	provider := t.e.cfg.MeterProvider
	if provider == nil {
		provider = otel.GetMeterProvider() // it may have been set since
	}
	if f, ok := provider.(interface{ ForceFlush(context.Context) error }); ok {
		_ = f.ForceFlush(ctx) // whoever exports reports
	}
}

// shutdown records what is left and ends the goroutine. It does not wait long
// for a provider that blocks.
func (t *telemetry) shutdown(ctx context.Context) {
	t.once.Do(func() { close(t.stop) })
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case <-t.stopped:
	case <-limit.C:
	case <-ctx.Done():
		select {
		case <-t.stopped:
		case <-limit.C:
		}
	}
}

// recorder holds the instruments. Those that the provider did not give are nil.
type recorder struct {
	histograms [numSamples]metric.Float64Histogram

	dumps, drops, suppressed, uploads, redactions metric.Int64ObservableCounter
	queue, held, spoolItems, spoolBytes           metric.Int64ObservableUpDownCounter

	registration metric.Registration
}

// open makes the instruments.
func (t *telemetry) open() (r *recorder) {
	r = &recorder{} // also if the provider panics
	defer t.e.contain("making metrics")
	m := t.provider.Meter(scopeName)
	failed := func(err error) {
		if err != nil {
			t.e.trouble.report("metrics", "metrics are not complete: %v", printable(err))
		}
	}
	histogram := func(to sampleKind, name, unit, description string, bounds ...float64) {
		h, err := m.Float64Histogram(name, metric.WithUnit(unit), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		failed(err)
		r.histograms[to] = h
	}
	var all []metric.Observable
	counter := func(to *metric.Int64ObservableCounter, name, unit, description string) {
		c, err := m.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		if failed(err); c != nil {
			*to = c
			all = append(all, c)
		}
	}
	upDown := func(to *metric.Int64ObservableUpDownCounter, name, unit, description string) {
		c, err := m.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		if failed(err); c != nil {
			*to = c
			all = append(all, c)
		}
	}
	histogram(samplePause, "coredumpy.capture.pause", "s", "How long a failing goroutine waited for the capture.",
		0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
	histogram(sampleSize, "coredumpy.dump.size", "By", "Size of stored dumps.",
		4<<10, 16<<10, 64<<10, 256<<10, 1<<20, 4<<20, 16<<20, 64<<20)
	histogram(sampleDuration, "coredumpy.dump.duration", "s", "Time from the failure until its dump was stored or lost.",
		0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
	histogram(sampleUpload, "coredumpy.upload.duration", "s", "Time from when the spool had a dump until it was delivered or lost.",
		0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600, 86400)
	counter(&r.dumps, "coredumpy.dumps", "{dump}", "Dumps that were begun and have been stored or lost.")
	counter(&r.drops, "coredumpy.drops", "{failure}", "Failures whose dump could not be made or stored.")
	counter(&r.suppressed, "coredumpy.suppressed", "{failure}", "Failures that got no dump of their own on purpose.")
	counter(&r.uploads, "coredumpy.uploads", "{dump}", "Dumps that have left the spool.")
	counter(&r.redactions, "coredumpy.redactions", "{redaction}", "What was redacted in dumps.")
	upDown(&r.queue, "coredumpy.queue.length", "{dump}", "Dumps that are neither stored nor lost yet.")
	upDown(&r.held, "coredumpy.queue.bytes", "By", "Memory that these hold.")
	if t.e.cfg.Spool != nil {
		upDown(&r.spoolItems, "coredumpy.spool.items", "{dump}", "Dumps in the spool.")
		upDown(&r.spoolBytes, "coredumpy.spool.bytes", "By", "Size of the dumps in the spool.")
	}
	reg, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		defer t.e.contain("observing metrics")
		t.observe(r, o)
		return nil
	}, all...)
	failed(err)
	r.registration = reg
	return r
}

// replacing is held while counts go from one Exporter to the next, so that no
// collection sees them twice.
var replacing sync.RWMutex

// observe says what was counted.
func (t *telemetry) observe(r *recorder, o metric.Observer) {
	replacing.RLock()
	defer replacing.RUnlock()
	if t.replaced {
		return
	}
	for k, n := range t.totals() {
		var c metric.Int64ObservableCounter
		attrs := make([]attribute.KeyValue, 0, 2)
		switch k.what {
		case countDump:
			c, attrs = r.dumps, append(attrs, AttrDumpOutcome.String(k.reason))
		case countLost:
			c, attrs = r.drops, append(attrs, AttrReason.String(k.reason))
		case countSuppressed:
			c, attrs = r.suppressed, append(attrs, AttrReason.String(k.reason))
		case countUpload:
			c, attrs = r.uploads, append(attrs, AttrDumpOutcome.String(k.reason))
		case countRedaction:
			c, attrs = r.redactions, append(attrs, AttrRule.String(k.reason))
		}
		if k.trigger != "" {
			attrs = append(attrs, AttrDumpTrigger.String(string(k.trigger)))
		}
		if c != nil {
			o.ObserveInt64(c, int64(n), metric.WithAttributes(attrs...))
		}
	}
	gauge := func(c metric.Int64ObservableUpDownCounter, n int64) {
		if c != nil {
			o.ObserveInt64(c, n)
		}
	}
	gauge(r.queue, int64(t.e.jobs.count()))
	gauge(r.held, t.e.held.Load())
	if t.e.cfg.Spool != nil {
		if items, size, ok := t.e.cfg.Spool(); ok {
			gauge(r.spoolItems, int64(items))
			gauge(r.spoolBytes, size)
		}
	}
}

// totals returns what this Exporter and those before it have counted.
func (t *telemetry) totals() map[tally]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sum(t.e.stats.tallies())
}

// sum adds to m what former Exporters have counted.
func (t *telemetry) sum(m map[tally]uint64) map[tally]uint64 {
	if m == nil {
		m = make(map[tally]uint64)
	}
	for k, n := range t.before {
		m[k] += n
	}
	return m
}

// close hands the counts over to the next Exporter, if there is one, and takes
// the instruments back.
func (t *telemetry) close(r *recorder) {
	defer t.e.contain("closing metrics")
	if t.e.current() != t.e {
		t.handOver()
	}
	if r.registration != nil {
		_ = r.registration.Unregister()
	}
}

// handOver hands the counts over to the next Exporter. What is counted from then
// on, because a dump took longer than the shutdown waited, goes there as well.
func (t *telemetry) handOver() {
	replacing.Lock()
	defer replacing.Unlock()
	t.mu.Lock()
	totals := t.sum(t.e.stats.handOver(t.inherit))
	t.replaced = true
	t.mu.Unlock()
	for k, n := range totals {
		t.inherit(n, k)
	}
}

// inherit counts for the Exporter that counts now.
func (t *telemetry) inherit(n uint64, k tally) {
	for {
		t = t.e.current().telemetry
		t.mu.Lock()
		if !t.replaced {
			break
		}
		t.mu.Unlock() // by yet another one
	}
	defer t.mu.Unlock()
	if t.before == nil {
		t.before = make(map[tally]uint64)
	}
	t.before[k] += n
}
