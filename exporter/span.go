package exporter

import (
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Names from the semantic conventions, v1.37: exceptions on spans, source code.
const (
	eventException       = "exception"
	attrExceptionType    = attribute.Key("exception.type")
	attrExceptionMessage = attribute.Key("exception.message")
	attrErrorType        = attribute.Key("error.type")
	attrCodeFunction     = attribute.Key("code.function.name")
	attrCodeFile         = attribute.Key("code.file.path")
	attrCodeLine         = attribute.Key("code.line.number")
)

// failedSpan is an ended span as it goes on to the next processor: with what
// it lacks of its failure. Attribute limits of the SDK do not apply to what is
// added here.
type failedSpan struct {
	sdktrace.ReadOnlySpan
	attributes []attribute.KeyValue
	links      []sdktrace.Link
	events     []sdktrace.Event
	status     sdktrace.Status
}

func (s *failedSpan) Attributes() []attribute.KeyValue { return s.attributes }
func (s *failedSpan) Links() []sdktrace.Link           { return s.links }
func (s *failedSpan) Events() []sdktrace.Event         { return s.events }
func (s *failedSpan) Status() sdktrace.Status          { return s.status }

// mark returns s with the dump's address on it and, if a panic failed it, with
// what the SDK does not say of a panic. rec is nil if there is no dump.
func (e *Exporter) mark(s sdktrace.ReadOnlySpan, rec *record, panicked bool, chain []dump.ErrorInfo) sdktrace.ReadOnlySpan {
	out := &failedSpan{ReadOnlySpan: s, attributes: s.Attributes(), links: s.Links(), events: s.Events(), status: s.Status()}
	var add []attribute.KeyValue
	if rec != nil && rec.hasDump() {
		if !hasDump(out.attributes, rec.ref) {
			add = slices.Clip(rec.attributes())
			if rec.link.IsValid() {
				out.links = append(out.links[:len(out.links):len(out.links)], sdktrace.Link{SpanContext: rec.link, Attributes: linkAttributes(rec.ref)})
			}
		}
	}
	var reason dump.ErrorInfo
	if len(chain) > 0 {
		reason = chain[0]
	}
	if rec != nil && rec.panicking {
		reason = rec.reason
		add = append(add, codeAttributes(rec.where)...)
	}
	if panicked {
		if out.status.Code != codes.Error || out.status.Description == "" {
			out.status = sdktrace.Status{Code: codes.Error, Description: e.describePanic(reason)}
		}
	}
	// The SDK has no event of a panic if End was not deferred directly, or of
	// one that was recovered before.
	if here := rec != nil && rec.panicking && rec.span == dump.SpanID(s.SpanContext().SpanID()); panicked || here {
		if !hasPanicEvent(s, reason) && (reason.Type != "" || reason.Message != "") {
			at := s.EndTime()
			if rec != nil && rec.at.Before(at) {
				at = rec.at
			}
			out.events = append(out.events[:len(out.events):len(out.events)], e.panicEvent(reason, at))
		}
	}
	out.attributes = withAttributes(out.attributes, add)
	return out
}

// annotate puts the dump's address on a live span.
func (e *Exporter) annotate(span trace.Span, rec *record) {
	if rec == nil || !rec.hasDump() || !span.IsRecording() {
		return
	}
	if ro, ok := span.(sdktrace.ReadOnlySpan); ok && hasDump(ro.Attributes(), rec.ref) {
		return
	}
	span.SetAttributes(rec.attributes()...)
	if rec.link.IsValid() {
		span.AddLink(trace.Link{SpanContext: rec.link, Attributes: linkAttributes(rec.ref)})
	}
}

// annotatePanic does the same after a panic. The exception event is left to
// the SDK, or to mark if that does not do it.
func (e *Exporter) annotatePanic(span trace.Span, rec *record) {
	e.annotate(span, rec)
	if !rec.hasDump() || !span.IsRecording() {
		return
	}
	span.SetAttributes(codeAttributes(rec.where)...)
	span.SetStatus(codes.Error, e.describePanic(rec.reason))
}

func hasDump(kvs []attribute.KeyValue, ref Ref) bool {
	for i := len(kvs) - 1; i >= 0; i-- {
		if kvs[i].Key == AttrDumpID {
			return kvs[i].Value.AsString() == ref.ID.String()
		}
	}
	return false
}

// withAttributes returns a copy of kvs with add in it, each key once.
func withAttributes(kvs, add []attribute.KeyValue) []attribute.KeyValue {
	if len(add) == 0 {
		return kvs
	}
	out := make([]attribute.KeyValue, 0, len(kvs)+len(add))
next:
	for _, kv := range kvs {
		for _, a := range add {
			if a.Key == kv.Key {
				continue next
			}
		}
		out = append(out, kv)
	}
	return append(out, add...)
}

func codeAttributes(l dump.Location) []attribute.KeyValue {
	var kvs []attribute.KeyValue
	if l.Func != "" {
		kvs = append(kvs, attrCodeFunction.String(l.Func))
	}
	if l.File != "" {
		kvs = append(kvs, attrCodeFile.String(l.File), attrCodeLine.Int(l.Line))
	}
	return kvs
}

func (e *Exporter) describePanic(reason dump.ErrorInfo) string {
	switch {
	case reason.Message != "":
		return "panic: " + e.redact(reason.Message)
	case reason.Type != "":
		return "panic of type " + reason.Type
	}
	return "panic"
}

// redact applies the configured redaction to a text that goes on a span. If
// that fails, nothing of the text does.
func (e *Exporter) redact(s string) (out string) {
	s = shorten(s, maxMessage)
	if e.cfg.Redact == nil {
		return s
	}
	defer func() {
		if recover() != nil {
			e.stats.contained()
			out = "(redaction failed)"
		}
	}()
	return e.cfg.Redact(s)
}

func (e *Exporter) panicEvent(reason dump.ErrorInfo, at time.Time) sdktrace.Event {
	var kvs []attribute.KeyValue
	if reason.Type != "" {
		kvs = append(kvs, attrExceptionType.String(reason.Type))
	}
	if reason.Message != "" {
		kvs = append(kvs, attrExceptionMessage.String(e.redact(reason.Message)))
	}
	return sdktrace.Event{Name: eventException, Attributes: kvs, Time: at}
}

// hasPanicEvent reports whether the SDK has recorded the panic on s. Its End
// takes the end time first and adds the event afterwards, which tells that
// event from one that the application recorded before (sdk/trace/span.go,
// v1.47).
func hasPanicEvent(s sdktrace.ReadOnlySpan, reason dump.ErrorInfo) bool {
	_, ok := panicEventOf(s)
	if ok {
		return true
	}
	info, ok := lastException(s)
	return ok && reason.Message != "" && info.Message == reason.Message
}

// panicEventOf returns what the SDK recorded of a panic that s ended by.
func panicEventOf(s sdktrace.ReadOnlySpan) (dump.ErrorInfo, bool) {
	events := s.Events()
	if n := len(events); n > 0 && events[n-1].Name == eventException && !events[n-1].Time.Before(s.EndTime()) {
		info := exceptionOf(events[n-1])
		info.Panic = true
		return info, true
	}
	return dump.ErrorInfo{}, false
}

// lastException returns the last exception that was recorded on s.
func lastException(s sdktrace.ReadOnlySpan) (dump.ErrorInfo, bool) {
	events := s.Events()
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Name == eventException {
			return exceptionOf(events[i]), true
		}
	}
	return dump.ErrorInfo{}, false
}

func exceptionOf(ev sdktrace.Event) dump.ErrorInfo {
	info := dump.ErrorInfo{Parent: -1}
	for _, kv := range ev.Attributes {
		switch kv.Key {
		case attrExceptionType:
			info.Type = kv.Value.AsString()
		case attrExceptionMessage:
			info.Message = kv.Value.AsString()
		}
	}
	return info
}

// errorsOf returns what an error span says of its error, and the messages to
// recognise it by.
func errorsOf(s sdktrace.ReadOnlySpan) (chain []dump.ErrorInfo, messages []string) {
	description := s.Status().Description
	info, ok := lastException(s)
	if ok {
		chain = append(chain, info)
		messages = messagesOf(chain)
	}
	if description != "" {
		messages = append(messages, shorten(description, maxMessage))
		if !ok {
			chain = append(chain, dump.ErrorInfo{Type: errorType(s), Message: description, Parent: -1})
		}
	} else if typ := errorType(s); !ok && typ != "" {
		chain = append(chain, dump.ErrorInfo{Type: typ, Parent: -1})
	}
	return chain, messages
}

func errorType(s sdktrace.ReadOnlySpan) string {
	for _, kv := range s.Attributes() {
		if kv.Key == attrErrorType {
			return kv.Value.String()
		}
	}
	return ""
}

// headerOf returns what this package knows for a dump's header. The engine
// fills in the rest.
func headerOf(f *failure, ref Ref, res *sdkresource.Resource, a *admission) *dump.Header {
	h := &dump.Header{
		Identity: ref.Identity, Time: f.at.UTC(), Trigger: f.trigger, Name: f.name, Description: f.description,
	}
	if f.event.Err == nil && !f.panicking && !f.fresh {
		h.Reason = f.chain
	}
	if f.span != nil {
		h.SpanName = f.span.Name()
	}
	if res != nil {
		h.Resource = keyValues(res.Attributes())
	}
	if a.missed > 0 {
		h.Missing = []dump.Missing{{
			What: "dumps of similar failures",
			Why:  fmt.Sprintf("%d failures like this one since %s had none of their own", a.missed, a.since.UTC().Format(time.RFC3339)),
			Hint: "limit.window, limit.per_failure and limit.per_minute decide how many have",
		}}
	}
	return h
}

// extraOf returns a function that returns what this package knows for a
// dump's extra section. A live span is read now, an ended one, which does not change, when
// the function is called.
func extraOf(f *failure) func() *dump.Extra {
	s := f.span
	if s == nil {
		return func() *dump.Extra { return &dump.Extra{} }
	}
	read := func() *dump.Extra {
		status := s.Status()
		x := &dump.Extra{
			SpanKind: s.SpanKind().String(), SpanStart: s.StartTime().UTC(), SpanEnd: s.EndTime().UTC(),
			SpanStatus: status.Code.String(), SpanMessage: status.Description,
			SpanAttributes: keyValues(s.Attributes()), Scope: s.InstrumentationScope().Name,
		}
		if s.EndTime().IsZero() {
			x.SpanEnd = time.Time{}
		}
		if p := s.Parent(); p.IsValid() {
			x.ParentSpanID = dump.SpanID(p.SpanID())
		}
		for _, ev := range s.Events() {
			x.SpanEvents = append(x.SpanEvents, dump.SpanEvent{Name: ev.Name, Time: ev.Time.UTC(), Attributes: keyValues(ev.Attributes)})
		}
		return x
	}
	if f.ended {
		return read
	}
	x := read()
	return func() *dump.Extra { return x }
}

func keyValues(kvs []attribute.KeyValue) []dump.KeyValue {
	out := make([]dump.KeyValue, len(kvs))
	for i, kv := range kvs {
		out[i] = dump.KeyValue{Key: string(kv.Key), Value: kv.Value.String()}
	}
	return out
}

// startOwn begins the dump's own span.
func (e *Exporter) startOwn(f *failure, rec *record, res *sdkresource.Resource) (span trace.Span) {
	defer e.contain("starting a span")
	return e.own.start(f.at, rec, f.sc, res)
}
