package exporter

import (
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// failure is a failure that may get a dump.
type failure struct {
	sighting
	trigger dump.Trigger
	at      time.Time
	sc      trace.SpanContext
	// span is the failing span, nil if there is none or it cannot be read. It
	// is live unless ended.
	span  sdktrace.ReadOnlySpan
	ended bool
	// chain is the error as far as it is known before phase one.
	chain []dump.ErrorInfo
	event capture.Event
	dying bool
	// fresh asks for a dump whether or not one was made of the same.
	fresh             bool
	name, description string
}

// newFailure fills in what follows from the span. now is when it failed.
func newFailure(trigger dump.Trigger, sc trace.SpanContext, span sdktrace.ReadOnlySpan, now time.Time) *failure {
	f := &failure{trigger: trigger, at: now, sc: sc, span: span}
	if sc.IsValid() {
		f.trace, f.sighting.span = dump.TraceID(sc.TraceID()), dump.SpanID(sc.SpanID())
	}
	if span != nil {
		f.since = span.StartTime()
		f.event.Since = f.since
	}
	f.event.Trigger = trigger
	return f
}

// Why take made no dump, besides the Drop constants.
var (
	errContained = errors.New("otelcoredumpy failed")
	errExcluded  = errors.New("the configuration excludes this failure")
	errShutdown  = errors.New("otelcoredumpy is shut down")
	errQueue     = errors.New("too many dumps are waiting to be written")
	errBusy      = errors.New("another capture took too long")
)

// take makes a dump of f: phase one now, on the calling goroutine; phase two
// and storing in the background or, if the process is dying, before take
// returns. If f turns out to be a further sighting of a known failure, take
// returns that one's record.
func (e *Exporter) take(f *failure) (*record, error) {
	if !e.begin() {
		e.stats.lost(DropShutdown)
		return nil, errShutdown
	}
	defer e.phases.done()
	if e.exclude.matchAny(f.chain) {
		return e.leaveOut(f), errExcluded
	}
	wait := e.cfg.Pause
	if f.dying {
		wait = e.cfg.Timeout
	}
	j, rec, err := e.phase(f, wait)
	switch {
	case j == nil:
		if f.dying && rec != nil {
			// The failure's dump is waiting to be written, and nobody else will see
			// to that any more.
			e.await(rec)
		}
	case f.dying:
		e.writeNow(j)
	default:
		e.enqueue(j)
	}
	return rec, err
}

// begin notes that a capture begins, unless there are to be none any more.
func (e *Exporter) begin() bool {
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.closed.Load() {
		return false
	}
	e.phases.add()
	return true
}

// phase runs phase one and returns the job that is left to do. Without a job
// it returns the record of the same failure if there is one. It waits at most
// that long for its turn. A job of a process that lives on has a place in the
// queue.
func (e *Exporter) phase(f *failure, wait time.Duration) (_ *job, _ *record, err error) {
	if !f.panicking {
		// Errors come in swarms: one that cancels a context fails every span
		// below it. One after the other, most of them turn out to be known.
		// A panic does not wait here: the engine saves its registers, which
		// the next signal destroys, before it waits.
		if !enter(e.turn, wait) {
			return nil, nil, e.busy(wait)
		}
		defer leave(e.turn)
		if rec := e.known(f); rec != nil {
			return nil, rec, nil
		}
	}

	kept := false
	if !f.dying {
		// A place in the queue comes before the capture: one that nobody will
		// encode would be a pause for nothing.
		if !e.reserve() {
			e.stats.lost(DropQueueFull)
			e.trouble.report(DropQueueFull, "dump dropped: %d dumps are waiting to be written already", cap(e.queue))
			return nil, nil, errQueue
		}
		defer func() {
			if !kept {
				e.pending.Add(-1)
			}
		}()
	}
	f.event.Dying = f.dying
	snap, err := e.snapshot(f.event)
	if err != nil {
		e.stats.lost(DropCapture)
		e.trouble.report(DropCapture, "capture failed: %v", printable(err))
		return nil, nil, err
	}
	defer func() {
		if !kept {
			snap.Release()
		}
	}()
	e.stats.paused(snap.Pause())
	reason := firstTree(snap.Reason())
	f.learn(reason)
	if e.exclude.matchAny(reason) {
		return nil, e.leaveOut(f), errExcluded
	}

	// Finding and remembering must be one step, or two goroutines that have
	// caught the same failure would both make a dump of it.
	if !enter(e.decide, wait) {
		return nil, nil, e.busy(wait)
	}
	defer leave(e.decide)
	if rec := e.known(f); rec != nil {
		return nil, rec, nil
	}
	rec := e.newRecord(f)
	rec.where = snap.Failing()
	j := e.newJob(f, rec, snap)
	if !f.fresh {
		e.memory.remember(rec)
	}
	kept = true
	e.jobs.add()
	return j, rec, nil
}

// known returns the record of the failure, if it was seen before.
func (e *Exporter) known(f *failure) *record {
	if f.fresh {
		return nil
	}
	return e.memory.find(&f.sighting)
}

func (e *Exporter) busy(wait time.Duration) error {
	e.stats.lost(DropBusy)
	e.trouble.report(DropBusy, "dump dropped: other captures took longer than %v", wait)
	return errBusy
}

// learn adds what the engine found the reason to be.
func (f *failure) learn(reason []dump.ErrorInfo) {
	if len(reason) > 0 {
		f.chain = reason
	}
	for _, m := range messagesOf(reason) {
		if !slices.Contains(f.messages, m) {
			f.messages = append(f.messages, m)
		}
	}
}

// firstTree returns the first error of chain with what it wraps. Behind it may
// be other panics of the goroutine that were under way when this one began.
func firstTree(chain []dump.ErrorInfo) []dump.ErrorInfo {
	for i := 1; i < len(chain); i++ {
		if chain[i].Parent < 0 {
			return chain[:i]
		}
	}
	return chain
}

// enter takes the token of a lock, and waits for it for at most d.
func enter(lock chan struct{}, d time.Duration) bool {
	select {
	case lock <- struct{}{}:
		return true
	default:
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case lock <- struct{}{}:
		return true
	case <-t.C:
		return false
	}
}

func leave(lock chan struct{}) { <-lock }

// snapshot calls the engine, and takes a panic of it for an error.
func (e *Exporter) snapshot(ev capture.Event) (s Snapshot, err error) {
	defer func() {
		if r := recover(); r != nil {
			e.stats.contained()
			s, err = nil, errors.New("panic in the engine: "+printable(r))
		}
	}()
	return e.engine.Snapshot(ev)
}

// leaveOut remembers that f is excluded, so that spans around it that have no
// message of their own are as well.
func (e *Exporter) leaveOut(f *failure) *record {
	e.stats.excluded()
	rec := e.newRecord(f)
	rec.ref.ID = dump.ID{}
	close(rec.done)
	e.memory.remember(rec)
	return rec
}

func (e *Exporter) newRecord(f *failure) *record {
	id := dump.Identity{ID: dump.NewID(), TraceID: f.trace, SpanID: f.sighting.span, Service: e.service(f)}
	rec := &record{
		ref:       Ref{Identity: id, Trigger: f.trigger, URL: viewerURL(e.cfg.ViewerURL, id)},
		at:        f.at,
		panicking: f.panicking,
		key:       f.key,
		messages:  f.messages,
		done:      make(chan struct{}),
	}
	if len(f.chain) > 0 {
		rec.reason = f.chain[0]
	}
	return rec
}

// uri asks the store where it will put the dump.
func (e *Exporter) uri(id dump.Identity) (uri string) {
	defer e.contain("asking the sink for a URI")
	return e.store.URI(id)
}

// resourceOf returns the resource of the failing span or, if that cannot be
// read, of the first span that was seen. It may be nil.
func (e *Exporter) resourceOf(f *failure) *sdkresource.Resource {
	if f.span != nil {
		return f.span.Resource()
	}
	return e.resource.Load()
}

const serviceName = attribute.Key("service.name")

func (e *Exporter) service(f *failure) string {
	if e.cfg.Service != "" {
		return e.cfg.Service
	}
	if r := e.resourceOf(f); r != nil {
		if v, ok := r.Set().Value(serviceName); ok {
			return v.AsString()
		}
	}
	return ""
}
