package capture

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var (
	contextSupports = []builtinType{
		{"context.backgroundCtx", TypeSupport{Describe: describeName("Background")}},
		{"context.todoCtx", TypeSupport{Describe: describeName("TODO")}},
		{"context.emptyCtx", TypeSupport{Describe: describeName("empty")}},
		{"context.valueCtx", TypeSupport{Near: []string{"Context"}, Describe: describeContext}},
		// The children of a context are those of other requests as well.
		{"context.cancelCtx", TypeSupport{Near: []string{"Context", "err", "cause"}, Leave: []string{"children"}, Describe: describeContext}},
		{"context.timerCtx", TypeSupport{Near: []string{"deadline"}, Describe: describeContext}},
		{"context.afterFuncCtx", TypeSupport{Describe: describeContext}},
		{"context.stopCtx", TypeSupport{Near: []string{"Context"}, Describe: describeContext}},
		{"context.withoutCancelCtx", TypeSupport{Near: []string{"c"}, Describe: describeContext}},
	}
	// embeddingSupport is for types of the program's that embed a Context.
	embeddingSupport = builtinType{"a struct that embeds a context.Context", TypeSupport{Describe: describeContext}}

	otelSupports = []builtinType{
		// The tracer leads to the provider, its processors and all spans that wait there.
		{"go.opentelemetry.io/otel/sdk/trace.recordingSpan", TypeSupport{Leave: []string{"tracer", "executionTracerTaskEnd"}, Describe: describeSpan}},
		{"go.opentelemetry.io/otel/sdk/trace.nonRecordingSpan", TypeSupport{Leave: []string{"tracer"}, Describe: describeSpan}},
		{"go.opentelemetry.io/otel/trace.nonRecordingSpan", TypeSupport{Describe: describeSpan}},
		{spanContext, TypeSupport{Describe: func(v View, d *Description) {
			if s := readSpanContext(v); s.valid() {
				d.Summary(s.String())
			}
		}}},
		{otelTrace + "TraceID", TypeSupport{Describe: describeHex(16)}},
		{otelTrace + "SpanID", TypeSupport{Describe: describeHex(8)}},
		{"go.opentelemetry.io/otel/attribute.KeyValue", TypeSupport{Near: []string{"Key", "Value"}, Describe: func(v View, d *Description) {
			k, _, ok := v.Field("Key").Text()
			if val := attributeText(v.Field("Value")); ok && val != "" {
				d.Summary(k + "=" + val)
			}
		}}},
	}
)

func describeName(name string) func(View, *Description) {
	return func(v View, d *Description) {
		if v.Kind() == dump.Struct {
			d.Summary(name)
		}
	}
}

func describeHex(n int) func(View, *Description) {
	return func(v View, d *Description) {
		if b := v.whole(n); v.Kind() == dump.Array && len(v.b) == n && b != nil {
			d.Summary(hex.EncodeToString(b))
		}
	}
}

// String names the span as traces do.
func (s *spanInfo) String() string {
	return "trace " + hex.EncodeToString(s.traceID[:]) + ", span " + hex.EncodeToString(s.spanID[:]) +
		pick(s.flags&1 != 0, ", sampled", ", not sampled") + pick(s.remote, ", remote", "")
}

func describeSpan(v View, d *Description) {
	s := spanIn(v)
	if !s.valid() {
		return
	}
	name, _, _ := v.Field("name").Text()
	d.Summary(parts(pick(name == "", "", strconv.Quote(name)), s.String()))
}

// attributeText shows an attribute.Value (go.opentelemetry.io/otel/attribute): numbers and bools are in numeric,
// texts in stringly, by type.
func attributeText(v View) string {
	kind, ok := v.Field("vtype").Int()
	num, ok2 := v.Field("numeric").Uint()
	if !ok || !ok2 {
		return ""
	}
	switch kind {
	case 1:
		return strconv.FormatBool(num != 0)
	case 2:
		return strconv.FormatInt(int64(num), 10)
	case 4:
		if s, _, ok := v.Field("stringly").Text(); ok {
			return strconv.Quote(s)
		}
	}
	return ""
}

// contextInfo is what a chain of contexts says.
type contextInfo struct {
	deadline string
	err      string // "" for none; "?" if it is not known
	cause    string
	foreign  string // the first type of the chain that is not of package context
	end      string // how the chain ends: "Background", or why it could not be followed
	values   int
	links    int
}

// describeContext shows the deadline of a context, whether it is cancelled and why, the values, and the span.
func describeContext(v View, d *Description) {
	var (
		c    contextInfo
		keys = map[string]bool{}
		top  = v
	)
	cancel := true // whether cancelling and deadlines reach the top from here
	for c.links < maxContexts {
		v = v.struct_()
		if v.Kind() != dump.Struct {
			c.end = pick(v.IsNil(), "nil", "("+v.Missing()+")")
			break
		}
		c.links++
		var next View
		switch v.t.name {
		case "context.backgroundCtx", "context.todoCtx", "context.emptyCtx":
			c.end = strings.TrimSuffix(strings.TrimPrefix(v.t.name, "context."), "Ctx")
		case "context.withoutCancelCtx":
			cancel = false
			next = v.Field("c")
		case "context.valueCtx":
			c.value(v, d, keys)
			next = v.Field("Context")
		case "context.cancelCtx", "context.timerCtx", "context.afterFuncCtx":
			inner := v
			if v.t.name != "context.cancelCtx" {
				inner = v.Field("cancelCtx")
			}
			if cancel {
				c.cancelled(inner)
				if v.t.name == "context.timerCtx" && c.deadline == "" {
					if t, _, _, why, ok := timeOf(v.Field("deadline")); ok {
						c.deadline = timeText(t, why)
					}
				}
			}
			next = inner.Field("Context")
		case "context.stopCtx":
			next = v.Field("Context")
		default:
			if c.foreign == "" {
				c.foreign = v.t.name
			}
			next = parentOf(v)
		}
		if c.end != "" {
			break
		}
		if k := next.Kind(); k != dump.Interface && (c.foreign == "" || k != dump.Struct) {
			if c.links == 1 {
				return // it is not as this version knows it
			}
			c.end = "(not known)"
			break
		}
		v = next
	}
	if c.links == 0 || c.links == 1 && c.end == "" {
		return
	}
	c.show(top, d)
}

// value notes a key and its value.
func (c *contextInfo) value(v View, d *Description, keys map[string]bool) {
	key, val := v.Field("key").Elem(), v.Field("val")
	if strings.HasPrefix(key.Type(), spanKey) {
		return
	}
	name := brief(key)
	if k := key.Type(); k != "" && k != "string" && !strings.Contains(name, k) {
		name = k + "(" + name + ")"
	}
	if keys[name] && key.Kind() != dump.Pointer {
		return // a value further in hides it
	}
	keys[name] = true
	c.values++
	if !val.IsNil() {
		val = val.Elem()
	}
	d.Child(name, val)
}

// cancelled reads what the innermost context that can be cancelled knows: it is cancelled with every one that is round it.
func (c *contextInfo) cancelled(v View) {
	if c.err != "" {
		return
	}
	e := v.Field("err")
	if e.Kind() == dump.Struct { // an atomic.Value since Go 1.25
		e = e.Field("v")
	}
	switch {
	case e.Kind() != dump.Interface || e.Missing() != "":
		c.err = "?"
	case e.IsNil():
		c.err = "no"
	default:
		c.err = brief(e)
		if cause := v.Field("cause"); cause.OK() && !cause.IsNil() {
			c.cause = brief(cause)
		}
	}
}

func (c *contextInfo) show(top View, d *Description) {
	of := ""
	if c.foreign != "" {
		// It may have methods of its own for these.
		of = " (of the context in " + c.foreign + ")"
	}
	var list []string
	if c.deadline != "" {
		d.Text("deadline"+of, c.deadline)
		list = append(list, "deadline "+c.deadline)
	}
	switch c.err {
	case "":
	case "?":
		list = append(list, "whether it is cancelled is not known")
	case "no":
		d.Text("cancelled"+of, "no")
	default:
		text := c.err
		if c.cause != "" && c.cause != c.err {
			text += " (cause: " + c.cause + ")"
		}
		d.Text("cancelled"+of, text)
		list = append(list, "cancelled: "+text)
	}
	if s := findSpan(top); s.valid() {
		text := s.String()
		if name, _, ok := s.span.Field("name").Text(); ok && name != "" {
			text = strconv.Quote(name) + ", " + text
		}
		d.Text("span", text)
		list = append(list, text)
	}
	if c.values > 0 {
		list = append(list, count(int64(c.values), "value", "values"))
	}
	if strings.HasPrefix(c.end, "(") {
		list = append(list, "its parent "+c.end)
	}
	if len(list) == 0 {
		list = append(list, pick(c.err == "no", "not cancelled", "of "+c.end))
	}
	d.Summary(strings.Join(list, ", "))
}
