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
	"github.com/otelcoredumpy/otelcoredumpy/sink"
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
	// err is the error that was handed to RecordError.
	err error
	// chain is the error as far as it is known before phase one. complete says
	// that there is no more to it.
	chain    []dump.ErrorInfo
	complete bool
	// place is where it comes from; see [Exporter.locate].
	place   place
	located bool
	// Of a panic that is about to end the process: by when its dump must be safe, and
	// by when it must go on.
	fate       *fate
	until, end time.Time
	event      capture.Event
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

// newPanic returns the panic that is under way. began is when the request or goroutine
// did, zero if unknown; dies says that nobody will recover from it.
func (e *Exporter) newPanic(sc trace.SpanContext, span sdktrace.ReadOnlySpan, key capture.PanicKey, began Mark, dies bool) *failure {
	f := newFailure(dump.TriggerPanic, sc, span, time.Now())
	f.place, f.located = e.stacks.panicked(), true
	f.panicking, f.key, f.raised, f.mark = true, key, f.place.raised, began
	e.judge(f, dies)
	f.chain, f.complete = panicChain(capture.PanicValue())
	f.messages = messagesOf(f.chain)
	return f
}

// locate finds out where f comes from. It must run on the goroutine that
// failed, and before it does anything else.
func (e *Exporter) locate(f *failure) *place {
	if !f.located {
		f.place, f.located = e.stacks.failed(), true
	}
	return &f.place
}

// Why take made no dump, besides the Drop constants.
var (
	errContained = errors.New("otelcoredumpy failed")
	errExcluded  = errors.New("the configuration excludes this failure")
	errSampled   = errors.New("the configuration samples this trace out")
	errSimilar   = errors.New("there is a dump of a failure like this one")
	errLimited   = errors.New("there are too many dumps already")
	errShutdown  = errors.New("otelcoredumpy is shut down")
	errQueue     = errors.New("too many dumps are waiting to be written")
	errMemory    = errors.New("the dumps that are waiting to be written hold too much memory")
	errBusy      = errors.New("another capture took too long")
)

// take makes a dump of f: phase one now, on the calling goroutine; phase two
// and storing in the background or, if the process is dying, before take
// returns. If f turns out to be a further sighting of a known failure, take
// returns that one's record; if it is like another one that has a dump, a
// record with that.
//
// What comes first costs least: in a storm most failures end in the first few
// lines.
func (e *Exporter) take(f *failure) (*record, error) {
	if !e.begin() {
		e.stats.lost(DropShutdown, f.trigger)
		return nil, errShutdown
	}
	defer e.phases.done()
	if unwanted, _ := e.unwanted(f); unwanted {
		return e.leaveOut(f), errExcluded
	}
	var a admission
	if !f.dying && !f.fresh {
		if !e.sampled(f) {
			e.stats.suppressed(SuppressedSampled, f.trigger)
			return nil, errSampled
		}
		e.locate(f)
		switch a = e.families.admit(e.prints.of(f), e.now()); a.verdict {
		case verdictExcluded:
			return e.leaveOut(f), errExcluded
		case verdictSimilar:
			e.stats.suppressed(SuppressedSimilar, f.trigger)
			return e.resemble(f, &a), errSimilar
		case verdictLimited:
			e.stats.suppressed(SuppressedRate, f.trigger)
			if a.full {
				e.trouble.report(SuppressedRate, "failures get no dump for now: there are %d in a minute already (limit.per_minute)", e.cfg.PerMinute)
			}
			return e.resemble(f, &a), errLimited
		}
	}
	wait := e.cfg.Pause
	if f.dying {
		wait = atMost(e.cfg.Timeout, f.until)
	}
	j, rec, err := e.phase(f, &a, wait)
	if j == nil && f.dying && rec != nil && rec.hasDump() {
		// The failure's dump is waiting to be written, and nobody else will see
		// to that any more.
		if e.await(rec, f.until) {
			e.memory.drop(rec)
			j, rec, err = e.phase(f, &a, atMost(e.cfg.Timeout, f.until))
		}
	}
	switch {
	case j == nil:
	case f.dying:
		e.writeNow(j, f.until)
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

// maxInside is how many failing goroutines may be in phase one or wait for it.
// It is one that captures and a few that wait; if there are more, a healthy
// service would come to wait for its dumps.
const maxInside = 5

// phase runs phase one and returns the job that is left to do. Without a job
// it returns the record of the same failure if there is one. It waits at most
// that long for its turn. A job of a process that lives on has a place in the
// queue.
//
// The dump's ID is decided upon before the capture, so that goroutines which
// meet the same failure, or one like it, meanwhile can refer to it and need not
// wait. If nothing comes of the capture, the dump's own span says so.
func (e *Exporter) phase(f *failure, a *admission, wait time.Duration) (j *job, _ *record, err error) {
	var rec *record
	var given *given
	var why outcome
	end := endIdle
	defer func() {
		e.families.done(a, end, given, e.now())
		if j == nil && rec != nil {
			e.unmake(f, rec, why)
		}
	}()
	drop := func(reason string, err error) (*job, *record, error) {
		why = outcome{reason: reason, err: err}
		e.stats.lost(reason, f.trigger)
		return nil, nil, err
	}

	if !f.dying {
		// A place in the queue comes before the capture: one that nobody will
		// encode would be a pause for nothing.
		if e.held.Load() >= e.cfg.MaxPendingBytes {
			e.trouble.report(DropMemory, "dump dropped: those that are waiting to be written hold %d bytes", e.held.Load())
			return drop(DropMemory, errMemory)
		}
		if !e.reserve() {
			e.trouble.report(DropQueueFull, "dump dropped: %d dumps are waiting to be written already", cap(e.queue))
			return drop(DropQueueFull, errQueue)
		}
		defer func() {
			if j == nil {
				e.pending.Add(-1)
			}
		}()
		if !f.fresh {
			defer e.inside.Add(-1)
			if e.inside.Add(1) > maxInside {
				e.trouble.report(DropBusy, "dump dropped: %d other failures are being captured or wait for it", maxInside)
				return drop(DropBusy, errBusy)
			}
		}
	}
	rec = e.newRecord(f)
	if !f.panicking && !f.fresh {
		// Errors come in swarms: one that cancels a context fails every span
		// below it. Whoever comes from here on finds the record.
		if known := e.memory.claim(&f.sighting, rec); known != nil {
			return nil, e.join(f, known, &given, &end), nil
		}
	}
	e.families.promise(a.family, rec)
	if !f.panicking {
		// A panic does not wait here: the engine saves its registers, which
		// the next signal destroys, before it waits.
		began := time.Now()
		if !enter(e.turn, wait) {
			e.trouble.report(DropBusy, "dump dropped: other captures took longer than %v", wait)
			return drop(DropBusy, errBusy)
		}
		defer leave(e.turn)
		f.event.Waited = time.Since(began)
	}

	f.event.Dying = f.dying
	snap, err := e.snapshot(f.event)
	switch {
	case err == nil:
	case errors.Is(err, capture.ErrBusy):
		e.trouble.report(DropBusy, "dump dropped: other captures took longer than %v", wait)
		return drop(DropBusy, err)
	case errors.Is(err, capture.ErrMemory):
		e.trouble.report(DropMemory, "dump dropped: %v", printable(err))
		return drop(DropMemory, err)
	default:
		end = endFailed
		e.trouble.report(DropCapture, "capture failed: %v", printable(err))
		return drop(DropCapture, err)
	}
	end = endFailed // unless more comes of it
	defer func() {
		if j == nil {
			snap.Release()
		}
	}()
	e.stats.paused(snap.Pause())
	e.telemetry.paused(f.trigger, snap.Pause())
	f.learn(firstTree(snap.Reason()))
	if unwanted, all := e.unwanted(f); unwanted {
		if all {
			end = endExcluded
		}
		why = outcome{reason: outcomeExcluded, err: errExcluded}
		return nil, e.leaveOut(f), errExcluded
	}
	if known := e.recognise(f, rec, snap.Failing()); known != nil {
		return nil, e.join(f, known, &given, &end), nil
	}
	j = e.newJob(f, rec, snap, a)
	end, given = endDump, newGiven(rec, snap.Failing(), e.now())
	return j, rec, nil
}

// recognise looks for an earlier sighting of f once phase one has shown all of
// it. If there is none, rec is remembered.
func (e *Exporter) recognise(f *failure, rec *record, failing dump.Location) *record {
	switch {
	case f.fresh:
		return nil
	case !f.panicking:
		return e.memory.learned(&f.sighting, rec)
	}
	rec.messages, rec.where = f.messages, failing
	if len(f.chain) > 0 {
		rec.reason = f.chain[0]
	}
	return e.memory.claim(&f.sighting, rec)
}

// join counts f as a further sighting of a known failure, whose dump also goes
// to failures like it.
func (e *Exporter) join(f *failure, known *record, g **given, end *ending) *record {
	e.stats.joined(f.trigger)
	if known.hasDump() && !known.similar && !known.lost.Load() {
		*g, *end = newGiven(known, known.where, e.now()), endDump
	}
	return known
}

// unmake takes back what was said of a dump that is not made after all.
func (e *Exporter) unmake(f *failure, rec *record, why outcome) {
	rec.broken.Store(true)
	rec.lost.Store(true)
	if !f.panicking && !f.fresh {
		e.memory.drop(rec)
	}
	close(rec.done)
	if !rec.told.Load() {
		return
	}
	// Spans refer to it, so its own span has to say what has become of it.
	if why.reason == "" {
		why = outcome{reason: outcomeSame, err: errors.New("it was a further sighting of another failure")}
	}
	e.endOwn(&job{rec: rec, span: e.startOwn(f, rec, e.resourceOf(f))}, why)
}

// resemble returns a record of a failure that has none of its own, because it
// is like another one that has; nil if that is not known to have one.
func (e *Exporter) resemble(f *failure, a *admission) *record {
	g := a.given
	if g == nil && a.pending != nil {
		g = newGiven(a.pending, dump.Location{}, time.Time{})
	}
	if g == nil {
		return nil
	}
	rec := &record{
		ref: g.ref, similar: true, attrs: g.attrs, link: g.link, where: g.where,
		at: f.at, trace: f.trace, span: f.sighting.span, panicking: f.panicking, key: f.key, messages: f.messages,
		done: closed,
	}
	if len(f.chain) > 0 {
		rec.reason = f.chain[0]
	}
	e.memory.remember(rec)
	return rec
}

// closed is the done channel of records that nobody needs to wait for.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// learn adds what the engine found the reason to be.
func (f *failure) learn(reason []dump.ErrorInfo) {
	f.complete = true
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
	e.stats.excluded(f.trigger)
	rec := &record{
		at: f.at, trace: f.trace, span: f.sighting.span, panicking: f.panicking, key: f.key, messages: f.messages, done: closed,
	}
	e.memory.remember(rec)
	return rec
}

// newRecord returns the record of a failure that gets a dump.
func (e *Exporter) newRecord(f *failure) *record {
	id := dump.Identity{ID: dump.NewID(), TraceID: f.trace, SpanID: f.sighting.span, Service: e.service(f)}
	rec := &record{
		ref:       Ref{Identity: id, Trigger: f.trigger, URI: e.uri(id, f.trigger), URL: viewerURL(e.cfg.ViewerURL, id)},
		at:        f.at,
		trace:     f.trace,
		span:      f.sighting.span,
		panicking: f.panicking,
		key:       f.key,
		messages:  f.messages,
		dying:     f.dying,
		link:      e.own.newContext(),
		done:      e.newDone(),
	}
	if len(f.chain) > 0 {
		rec.reason = f.chain[0]
	}
	return rec
}

// uri asks the store where it will put the dump.
func (e *Exporter) uri(id dump.Identity, t dump.Trigger) (uri string) {
	defer e.contain("asking the sink for a URI")
	return sink.URIFor(e.store, id, t)
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
