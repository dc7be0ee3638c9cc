package exporter

import (
	"context"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// RecordError records err as an exception event on the span in ctx, as
// span.RecordError does and with the same options, and makes a dump, whose address it
// puts on the span. As there, the status of the span stays what it is, and a
// nil error does nothing. An error that was recorded before, alone or wrapped
// in err, is the same failure and makes no further dump.
//
// It calls err.Error and Unwrap. The dump itself is made without calling
// methods.
func (e *Exporter) RecordError(ctx context.Context, err error, opts ...trace.EventOption) {
	if err == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	span.RecordError(err, opts...)
	if e = e.current(); e != nil {
		e.recordError(ctx, span, err)
	}
}

func (e *Exporter) recordError(ctx context.Context, span trace.Span, err error) {
	defer e.contain("recording an error")
	if e.closed.Load() {
		return
	}
	if capture.PanicInFlight() {
		// Called while cleaning up after a panic, or having recovered from
		// it. The panic is a failure of its own, and if nobody has seen it
		// yet, this is where most of it can be seen.
		e.panicking(ctx, 0, false)
	}
	if !e.cfg.ErrorSpans {
		return
	}
	ro, _ := span.(sdktrace.ReadOnlySpan)
	f := newFailure(dump.TriggerErrorSpan, span.SpanContext(), ro, time.Now())
	f.err, f.complete = err, true
	f.chain = errorChain(err)
	f.messages = messagesOf(f.chain)
	f.event.Err, f.event.Message = err, f.chain[0].Message
	f.event.Watches = watchesOf(ctx).watches()
	e.annotate(span, e.recordOf(f))
}

// DumpOptions say how to make a dump that the program asks for.
type DumpOptions struct {
	Name        string
	Description string
	Depth       int // pointers to follow; 0: as configured
}

// Dump makes a dump of the calling goroutine, whether or not anything failed,
// and puts its address on the span in ctx. It returns after phase one; the
// dump is stored in the background. The error says why there is no dump.
func (e *Exporter) Dump(ctx context.Context, o DumpOptions) (ref Ref, err error) {
	if e = e.current(); e == nil {
		return Ref{}, nil
	}
	defer e.contain("making a dump")
	span := trace.SpanFromContext(ctx)
	ro, _ := span.(sdktrace.ReadOnlySpan)
	f := newFailure(dump.TriggerManual, span.SpanContext(), ro, time.Now())
	f.fresh, f.name, f.description = true, o.Name, o.Description
	f.event.Depth = o.Depth
	f.event.Watches = watchesOf(ctx).watches()
	err = errContained // unless something else is
	rec, err := e.take(f)
	if err != nil {
		return Ref{}, err
	}
	e.annotate(span, rec)
	return rec.ref, nil
}

// Panicking is to be deferred. If a panic is under way it makes a dump, unless
// one was made of that panic already, and puts its address on the span in ctx;
// the panic goes on. Otherwise it does nothing, at the cost of a nanosecond.
//
// began is when the request or goroutine did, zero if unknown: a panic seen
// before is another one. dies says that nobody will recover from the panic, as
// opposed to: see who is on the stack.
func (e *Exporter) Panicking(ctx context.Context, began Mark, dies bool) {
	if e == nil || !capture.PanicInFlight() {
		return
	}
	if e = e.current(); e.closed.Load() {
		return
	}
	defer e.contain("looking into a panic")
	e.panicking(ctx, began, dies)
}

func (e *Exporter) panicking(ctx context.Context, began Mark, dies bool) {
	key, ok := capture.CurrentPanic()
	if !ok || !e.cfg.Panics || e.ignored() {
		return
	}
	span := trace.SpanFromContext(ctx)
	ro, _ := span.(sdktrace.ReadOnlySpan)
	f := e.newPanic(span.SpanContext(), ro, key, began, dies)
	f.event.Watches = watchesOf(ctx).watches()
	rec := e.recordOf(f)
	if rec != nil {
		e.annotatePanic(span, rec)
	}
	if !f.dying {
		return
	}
	e.flush(f, e.own.list()...)
	f.goesOn()
	if !dies {
		e.survived(f)
	}
}
