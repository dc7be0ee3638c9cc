package capture

import (
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// A context.Context is a chain of structs, each of which holds the next one: those of
// package context, and those of others that embed a Context or keep one in a field
// (*http.Request, gin's and echo's contexts). What is here follows such a chain by the names and
// types of the fields, in copied memory or in the process's own.

const (
	contextName = "context.Context"
	requestName = "*net/http.Request"
	otelTrace   = "go.opentelemetry.io/otel/trace."
	spanName    = otelTrace + "Span"
	spanContext = otelTrace + "SpanContext"
	spanKey     = otelTrace + "traceContextKeyType"
)

// maxContexts is how many links of one chain are followed.
const maxContexts = 100

// spanOf returns the trace ID and span ID that a variable of type t with the bytes b leads to: a
// context.Context, a span, or a struct or pointer that has one of them (*http.Request, a framework's
// context). It reads the memory that the walker reads, so it serves any
// goroutine whose stack is laid over it (walker.over), calls no method, and reads little:
// the links of one chain, at most maxContexts of them. ok is false if there is no valid span or if it cannot be read.
//
// The calling goroutine must be guarded.
func (w *walker) spanOf(t *typ, b []byte) (traceID [16]byte, spanID [8]byte, ok bool) {
	defer func() { _ = recover() }() // it takes too many steps
	if !mayLead(t) {
		return traceID, spanID, false
	}
	v := View{x: &looker{w: w, steps: 20 * maxContexts}, t: t, b: b}
	s := findSpan(v)
	if !s.valid() {
		return traceID, spanID, false
	}
	return s.traceID, s.spanID, true
}

// mayLead reports whether a value of the type may lead to a context or a span, so far as the type tells.
func mayLead(t *typ) bool {
	switch t.resolve(); t.kind {
	case dump.Interface:
		return t.methods // one without methods may hold anything, and seldom holds a context
	case dump.Pointer:
		return t.elem != nil && t.elem.kind == dump.Struct && mayLead(t.elem)
	case dump.Struct:
		return t.table.contextField(t) != nil || strings.HasPrefix(t.name, "go.opentelemetry.io/otel/")
	}
	return false
}

// spanInfo is a span as its data shows it.
type spanInfo struct {
	traceID [16]byte
	spanID  [8]byte
	flags   byte
	remote  bool
	span    View // the span's struct
}

func (s *spanInfo) valid() bool { return s.traceID != [16]byte{} && s.spanID != [8]byte{} }

// findSpan follows a chain of contexts to its first span.
func findSpan(v View) (s spanInfo) {
	if strings.HasPrefix(v.Type(), spanName) {
		return spanIn(v)
	}
	for range maxContexts {
		v = v.struct_()
		switch v.Kind() {
		case dump.Struct:
		default:
			return spanInfo{}
		}
		if v.t.name == "context.valueCtx" {
			if strings.HasPrefix(v.Field("key").Elem().Type(), spanKey) {
				// An invalid span hides none further out: trace.SpanFromContext gives it.
				return spanIn(v.Field("val"))
			}
			v = v.Field("Context")
			continue
		}
		if strings.HasPrefix(v.t.name, "go.opentelemetry.io/otel/") {
			if s = spanIn(v); s.valid() {
				return s
			}
		}
		v = parentOf(v)
	}
	return spanInfo{}
}

// spanIn reads a span: a struct with a field of type trace.SpanContext, as the
// SDK's recordingSpan and nonRecordingSpan and the API's nonRecordingSpan are, or one that embeds a trace.Span.
func spanIn(v View) spanInfo {
	for range 8 {
		v = v.struct_()
		if v.Kind() != dump.Struct {
			return spanInfo{}
		}
		next := View{}
		// The span's own context and the parent's are of the same type.
		for i := range v.NumField() {
			f := &v.t.fields[i]
			switch {
			case f.typ.name == spanContext && (f.name == "spanContext" || f.name == "sc"):
				s := readSpanContext(v.FieldAt(i))
				s.span = v
				return s
			case f.embedded && f.typ.name == spanName:
				next = v.FieldAt(i)
			}
		}
		v = next
	}
	return spanInfo{}
}

// readSpanContext reads a trace.SpanContext.
func readSpanContext(v View) (s spanInfo) {
	t, id := v.Field("traceID"), v.Field("spanID")
	tb, ib := t.whole(len(s.traceID)), id.whole(len(s.spanID))
	if len(t.b) != len(tb) || len(id.b) != len(ib) || tb == nil || ib == nil {
		return spanInfo{}
	}
	copy(s.traceID[:], tb)
	copy(s.spanID[:], ib)
	if n, ok := v.Field("traceFlags").Uint(); ok {
		s.flags = byte(n)
	}
	s.remote, _ = v.Field("remote").Bool()
	return s
}

// parentOf returns the context that a context's struct holds.
func parentOf(v View) View {
	for range 8 {
		f := v.t.table.contextField(v.t)
		if f == nil {
			return v.miss("it holds no context")
		}
		v.step()
		v = v.field(f)
		switch v.Kind() {
		case dump.Interface:
			return v
		case dump.Pointer:
			v = v.Elem()
		}
		if !v.OK() || v.t.kind != dump.Struct {
			return v
		}
	}
	return v.miss("it is nested too deeply")
}

// contextField returns the field of a struct type that holds a context or leads to one, or
// nil: an embedded one first, then one of type context.Context, then a *http.Request.
func (tt *typeTable) contextField(t *typ) *field {
	if f, ok := tt.contexts.Load(t); ok {
		return f.(*field)
	}
	f := tt.findContextField(t, 0)
	tt.contexts.Store(t, f)
	return f
}

func (tt *typeTable) findContextField(t *typ, nesting int) *field {
	if t.resolve(); t.kind != dump.Struct || nesting > 3 {
		return nil
	}
	for i := range t.fields {
		f := &t.fields[i]
		if !f.embedded {
			continue
		}
		switch inner := f.typ.resolve(); inner.kind {
		case dump.Interface:
			if inner.name == contextName {
				return f
			}
		case dump.Pointer:
			if inner.elem != nil && tt.findContextField(inner.elem, nesting+1) != nil {
				return f
			}
		case dump.Struct:
			if tt.findContextField(inner, nesting+1) != nil {
				return f
			}
		}
	}
	for _, name := range []string{contextName, requestName} {
		for i := range t.fields {
			if f := &t.fields[i]; f.typ.name == name {
				return f
			}
		}
	}
	return nil
}
