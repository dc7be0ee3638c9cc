package exporter

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// A dump that is in the spool is safe, but not where people look for it. Its own span
// stays open until the spool says what has become of it, so that the trace shows
// the upload as well. Spans that stay open cost memory, and nobody sees them, so their
// number is bounded, and how long they wait: the destination may be down for days, and another
// process that shares the spool may be the one that delivers.

// maxOpen is how many dumps' own spans wait for their delivery.
const maxOpen = 256

// openFor is how long they wait.
const openFor = time.Minute

// delivery is what the spool says of a dump.
type delivery struct {
	outcome string
	took    time.Duration
	err     error
}

// deliveries are the dumps whose delivery is expected.
type deliveries struct {
	mu    sync.Mutex
	m     map[dump.ID]*expected
	order []waiting // those with a span, oldest first; some of them gone since
	// timer fires when the oldest has waited for long enough; nil if it is not
	// needed.
	timer  *time.Timer
	closed bool // none waits any more
}

// waiting is a dump whose own span is open.
type waiting struct {
	id    dump.ID
	since time.Time
}

// expected is a dump that is, or will be, in the spool.
type expected struct {
	end    func(*delivery) // ends the span; nil: Put has not returned yet
	result *delivery       // nil: not known yet
}

// expect announces a dump that is about to be put into the spool. It must come first,
// for the spool may be quicker than its Put returns.
func (d *deliveries) expect(id dump.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.m == nil {
		d.m = make(map[dump.ID]*expected)
	}
	d.m[id] = &expected{}
}

// forget takes expect back.
func (d *deliveries) forget(id dump.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.m, id)
}

// hold has end called when the delivery of a dump is known, or when there is
// no waiting for it any more; then without a delivery.
func (d *deliveries) hold(id dump.ID, end func(*delivery)) {
	d.mu.Lock()
	x := d.m[id]
	var evicted func(*delivery)
	switch {
	case x == nil, d.closed && x.result == nil: // not expected
		delete(d.m, id)
		d.mu.Unlock()
		end(nil)
		return
	case x.result != nil:
		delete(d.m, id)
		d.mu.Unlock()
		end(x.result)
		return
	}
	x.end = end
	d.order = append(d.order, waiting{id, time.Now()})
	if len(d.order) > maxOpen {
		evicted = d.pop()
	}
	if d.timer == nil {
		d.timer = time.AfterFunc(openFor, d.expire)
	}
	d.mu.Unlock()
	if evicted != nil {
		evicted(nil)
	}
}

// pop takes the oldest out of order, and returns what ends its span; nil if that
// has ended.
func (d *deliveries) pop() (end func(*delivery)) {
	oldest := d.order[0].id
	d.order = d.order[:copy(d.order, d.order[1:])]
	if x := d.m[oldest]; x != nil {
		end = x.end
		delete(d.m, oldest)
	}
	return end
}

// expire ends the spans that have waited for too long.
func (d *deliveries) expire() {
	d.mu.Lock()
	var ends []func(*delivery)
	if d.timer != nil { // else it was too late to stop this one
		d.timer = nil
		for len(d.order) > 0 {
			if left := openFor - time.Since(d.order[0].since); left > 0 && d.m[d.order[0].id] != nil {
				d.timer = time.AfterFunc(left, d.expire)
				break
			}
			if end := d.pop(); end != nil {
				ends = append(ends, end)
			}
		}
	}
	d.mu.Unlock()
	for _, end := range ends {
		end(nil)
	}
}

// deliver says what has become of a dump.
func (d *deliveries) deliver(id dump.ID, result *delivery) {
	d.mu.Lock()
	x := d.m[id]
	if x == nil {
		d.mu.Unlock()
		return
	}
	if x.end == nil {
		x.result = result
		d.mu.Unlock()
		return
	}
	delete(d.m, id)
	d.mu.Unlock()
	x.end(result)
}

// close is endAll for good.
func (d *deliveries) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.endAll()
}

// endAll waits for none of the deliveries any more.
func (d *deliveries) endAll() {
	d.mu.Lock()
	var ends []func(*delivery)
	for len(d.order) > 0 {
		if end := d.pop(); end != nil {
			ends = append(ends, end)
		}
	}
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.mu.Unlock()
	for _, end := range ends {
		end(nil)
	}
}

// open returns how many spans are open.
func (d *deliveries) open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, x := range d.m {
		if x.end != nil {
			n++
		}
	}
	return n
}

// Delivered says what has become of a dump that the store had accepted and was
// to bring to its destination: outcome is "delivered" or why it was lost, took
// how long ago the store accepted it, err what went wrong. It is meant to be called
// by the spool for every dump that it is through with, also for those of other
// processes. It ends the dump's own span and counts. It blocks no longer than
// the span processors do.
func (e *Exporter) Delivered(id dump.ID, outcome string, took time.Duration, err error) {
	if e == nil {
		return
	}
	defer e.contain("ending a span")
	// The spool of a former Exporter may be emptied after another one took over.
	// Its spans are with the former one, its counts go on with the present one.
	now := e.current()
	now.stats.add(1, tally{what: countUpload, reason: shorten(outcome, 64)})
	if took > 0 {
		now.telemetry.delivered(outcome, took)
	}
	if outcome != outcomeDelivered {
		e.families.lost(id)
		if now != e {
			now.families.lost(id)
		}
	}
	e.deliveries.deliver(id, &delivery{outcome, took, err})
}

// holdOwn keeps the own span of a dump open that is in the spool now.
func (e *Exporter) holdOwn(j *job, res outcome) {
	span := j.span
	e.own.describe(span, e.storeName(), j.rec.at, j.pause, res)
	span.AddEvent(eventSpooled)
	e.deliveries.hold(j.rec.ref.ID, func(d *delivery) {
		defer e.contain("ending a span")
		e.endSpooled(j, span, d)
	})
}

func (e *Exporter) endSpooled(j *job, span trace.Span, d *delivery) {
	switch {
	case d == nil:
		span.SetAttributes(AttrDumpOutcome.String(outcomeSpooled))
	case d.outcome == outcomeDelivered:
		span.SetAttributes(AttrDumpOutcome.String(outcomeDelivered), AttrDumpUpload.Float64(d.took.Seconds()))
		span.AddEvent(eventDelivered)
	default:
		span.SetAttributes(AttrDumpOutcome.String(d.outcome), AttrDumpUpload.Float64(d.took.Seconds()))
		span.AddEvent(eventLost)
		text := d.outcome
		if d.err != nil {
			text += ": " + printable(d.err)
		}
		span.SetStatus(codes.Error, shorten(text, maxMessage))
	}
	e.finish(j, span)
}

// finish ends the own span of a dump.
func (e *Exporter) finish(j *job, span trace.Span) {
	if n := e.families.missed(j.family, j.rec.ref.ID); n > 0 {
		span.SetAttributes(AttrDumpSuppressed.Int64(int64(min(n, 1<<62))))
	}
	span.End()
}

// forward tries to bring a dump that lies in the spool to its destination,
// before the process dies. It is tried once.
func (e *Exporter) forward(rec *record, until time.Time) {
	limit := atMost(e.cfg.CrashUpload, until)
	if e.spool == nil || e.cfg.CrashUpload <= 0 || !rec.stored.Load() || rec.forwarded.Swap(true) {
		return
	}
	began := time.Now()
	var said error
	err := errors.New("it took too long")
	if limit > 0 && e.within(limit, func(ctx context.Context) { said = e.forwardTo(ctx, rec.ref.ID) }) {
		err = said
	}
	if err != nil {
		e.trouble.report("forward", "dump %s stays in the spool, it could not be uploaded before the process dies: %v", rec.ref.ID, printable(err))
		return
	}
	e.deliveries.deliver(rec.ref.ID, &delivery{outcomeDelivered, time.Since(began), nil})
}

func (e *Exporter) forwardTo(ctx context.Context, id dump.ID) (err error) {
	defer func() {
		if r := recover(); r != nil {
			e.stats.contained()
			err = errors.New("panic in the sink: " + printable(r))
		}
	}()
	return e.spool.Forward(ctx, id)
}
