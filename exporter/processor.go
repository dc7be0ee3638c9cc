package exporter

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Processor is a span processor that makes dumps of failing spans, and hands
// every span on to the next processor. [Exporter.SpanProcessor] makes one.
type Processor struct {
	exporter *Exporter
	next     sdktrace.SpanProcessor
}

var _ sdktrace.SpanProcessor = (*Processor)(nil)

// SpanProcessor returns a processor that stands in front of next, which is
// what the application would have registered: the batch span processor of its
// exporter, most often. Registering both separately does not work, for then
// next does not see what is added to a failing span.
func (e *Exporter) SpanProcessor(next sdktrace.SpanProcessor) sdktrace.SpanProcessor {
	if e == nil || next == nil {
		return next
	}
	if _, ok := next.(*Processor); ok {
		return next // twice would be once
	}
	e = e.current()
	e.own.add(next)
	return &Processor{exporter: e, next: next}
}

// OnStart implements sdktrace.SpanProcessor.
func (p *Processor) OnStart(parent context.Context, s sdktrace.ReadWriteSpan) {
	if capture.PanicInFlight() || watched.Load() || p.exporter.resource.Load() == nil {
		p.noteStart(parent, s)
	}
	p.next.OnStart(parent, s)
}

// noteStart keeps what OnEnd will need to know of the span's beginning.
func (p *Processor) noteStart(parent context.Context, s sdktrace.ReadWriteSpan) {
	e := p.exporter.current()
	defer e.contain("starting a span")
	if s.InstrumentationScope().Name == scopeName {
		return
	}
	for _, x := range []*Exporter{p.exporter, e} {
		if x.resource.Load() == nil {
			x.resource.CompareAndSwap(nil, s.Resource())
		}
	}
	id := dump.SpanID(s.SpanContext().SpanID())
	if capture.PanicInFlight() {
		// The span belongs to the cleaning up. This panic is not its failure.
		if key, ok := capture.CurrentPanic(); ok {
			e.cleanups.put(id, key)
		}
	}
	if list := watchesOf(parent); list != nil {
		e.watches.put(id, list)
	}
}

// OnEnd implements sdktrace.SpanProcessor. It runs on the goroutine that ended
// the span, before that goes on: a panic that ends it is still under way, and
// the frames that it comes from are still there.
func (p *Processor) OnEnd(s sdktrace.ReadOnlySpan) {
	if capture.PanicInFlight() || s.Status().Code == codes.Error {
		e := p.exporter.current()
		out, end := e.failing(s)
		p.next.OnEnd(out)
		if end != nil {
			e.flush(end, p.next)
			end.goesOn()
			e.survived(end)
		}
		return
	}
	if e := p.exporter.current(); e.watches.n.Load() != 0 {
		e.watches.take(dump.SpanID(s.SpanContext().SpanID()))
	}
	p.next.OnEnd(s)
}

// Shutdown implements sdktrace.SpanProcessor. It waits a little for the dumps
// that were begun, because their own spans are to go out as well.
func (p *Processor) Shutdown(ctx context.Context) error {
	e := p.exporter.current()
	e.waitALittle(ctx)
	e.endSpans()
	e.own.remove(p.next) // and of all that e has replaced
	return p.next.Shutdown(ctx)
}

// ForceFlush implements sdktrace.SpanProcessor.
func (p *Processor) ForceFlush(ctx context.Context) error {
	p.exporter.current().waitALittle(ctx)
	return p.next.ForceFlush(ctx)
}

// waitALittle waits for the dumps that were begun, but leaves at least half of
// the time until ctx ends to others.
func (e *Exporter) waitALittle(ctx context.Context) {
	limit := e.cfg.Timeout
	if d, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(d)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_ = e.jobs.wait(ctx, e.newDone) // whoever wants to know calls Flush
}

// failing looks into a span that may have failed and returns it as it is to go
// on. If the process is about to die it also returns what of, and the spans
// must be flushed.
func (e *Exporter) failing(s sdktrace.ReadOnlySpan) (out sdktrace.ReadOnlySpan, end *failure) {
	out = s
	defer e.contain("looking into a span")
	if s.InstrumentationScope().Name == scopeName || e.closed.Load() {
		return s, nil
	}
	id := dump.SpanID(s.SpanContext().SpanID())
	list, _ := e.watches.take(id)
	if capture.PanicInFlight() {
		key, ok := capture.CurrentPanic()
		began, cleanup := e.cleanups.take(id)
		if ok && (!cleanup || began != key) {
			if !e.cfg.Panics || e.ignored() {
				return s, nil
			}
			return e.panicked(s, key, list)
		}
	}
	if s.Status().Code != codes.Error || !e.cfg.ErrorSpans {
		return s, nil
	}
	return e.errored(s, list), nil
}

// ignored reports whether the panic under way is one of Config.IgnorePanics.
func (e *Exporter) ignored() bool {
	for _, v := range e.cfg.IgnorePanics {
		if capture.PanicValueIs(v) {
			return true
		}
	}
	return false
}

// panicked handles a span that a panic ended.
func (e *Exporter) panicked(s sdktrace.ReadOnlySpan, key capture.PanicKey, list *watchList) (sdktrace.ReadOnlySpan, *failure) {
	f := e.newPanic(s.SpanContext(), s, key, 0, false)
	f.ended = true
	f.event.Watches = list.watches()
	if info, ok := panicEventOf(s); ok {
		f.chain = append([]dump.ErrorInfo{info}, f.chain[min(1, len(f.chain)):]...)
		f.messages = messagesOf(f.chain)
		f.event.Message = info.Message
	}
	rec := e.recordOf(f)
	if rec != nil && !rec.hasDump() {
		return s, nil // excluded: the span stays as it is
	}
	out := e.mark(s, rec, true, f.chain)
	if !f.dying {
		return out, nil
	}
	return out, f // with a dump or without, the span must get out
}

// errored handles a span that ended with status Error.
func (e *Exporter) errored(s sdktrace.ReadOnlySpan, list *watchList) sdktrace.ReadOnlySpan {
	f := newFailure(dump.TriggerErrorSpan, s.SpanContext(), s, time.Now())
	f.ended, f.complete = true, true
	f.chain, f.messages = errorsOf(s)
	if len(f.chain) > 0 {
		f.event.ErrorType, f.event.Message = f.chain[0].Type, f.chain[0].Message
	}
	f.event.Watches = list.watches()
	rec := e.recordOf(f)
	if rec == nil || !rec.hasDump() {
		return s
	}
	return e.mark(s, rec, false, f.chain)
}

// recordOf returns the record of a failure that was seen: that of an earlier
// sighting or of the dump that is made now. It is nil if there is none, and has no
// dump if the failure is excluded. Everything is counted and reported here or
// below.
func (e *Exporter) recordOf(f *failure) *record {
	rec := e.memory.find(&f.sighting)
	if rec != nil && f.dying && rec.hasDump() {
		switch {
		case e.await(rec, f.until):
			e.memory.drop(rec)
			rec = nil
		case rec.broken.Load():
			rec = nil
		}
	}
	switch {
	case rec != nil:
		e.stats.joined(f.trigger)
	case f.dying:
		rec = e.lastWords(f)
	default:
		rec, _ = e.take(f)
	}
	return rec
}
