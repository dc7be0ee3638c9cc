package exporter

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var errLeaf = errors.New("connection refused")

// fail ends a span as services do on an error.
func fail(s trace.Span, err error, description string) {
	s.RecordError(err)
	s.SetStatus(codes.Error, description)
	s.End()
}

func TestErrorSpan(t *testing.T) {
	h := newHarness(t, nil)
	_, s := h.tracer.Start(context.Background(), "s", trace.WithAttributes(attribute.Int("n", 5)), trace.WithSpanKind(trace.SpanKindClient))
	fail(s, errLeaf, "")
	h.wantDumps(1)
	id := h.wantSame("s")
	stub := h.span("s")
	if value(stub, AttrDumpTrigger) != "error_span" || value(stub, AttrDumpURI) != "mem:"+id || value(stub, AttrDumpURL) != "" || value(stub, "n") != "5" {
		t.Errorf("attributes %v", stub.Attributes)
	}
	if len(exceptions(stub)) != 1 || value(stub, "code.function.name") != "" {
		t.Errorf("span %+v", stub)
	}
	h.checkOwnSpan(stub, id)

	hd, x := h.header(id)
	if len(hd.Reason) != 1 || hd.Reason[0].Message != "connection refused" || hd.Reason[0].Type != "*errors.errorString" || hd.Reason[0].Panic {
		t.Errorf("reason %+v", hd.Reason)
	}
	if hd.SpanName != "s" || hd.Service != "shop" || hd.Trigger != dump.TriggerErrorSpan || hd.TraceID != dump.TraceID(stub.SpanContext.TraceID()) {
		t.Errorf("header %+v", hd)
	}
	if x.SpanKind != "client" || x.SpanStatus != "Error" || x.Scope != "test" || len(x.SpanEvents) != 1 || x.SpanEnd.IsZero() || len(x.SpanAttributes) != 1 {
		t.Errorf("extra %+v", x)
	}
	found := false
	for _, kv := range hd.Resource {
		found = found || kv == dump.KeyValue{Key: "host.name", Value: "h1"}
	}
	if !found {
		t.Errorf("resource %v", hd.Resource)
	}
}

func TestErrorGoesUp(t *testing.T) {
	h := newHarness(t, nil)
	ctx, outer := h.tracer.Start(context.Background(), "outer")
	ctx, middle := h.tracer.Start(ctx, "middle")
	_, inner := h.tracer.Start(ctx, "inner")
	fail(inner, errLeaf, "dial")
	fail(middle, fmt.Errorf("get order 7: %w", errLeaf), "")
	outer.SetStatus(codes.Error, "") // as otelhttp does on 5xx
	outer.End()
	h.wantDumps(1)
	h.wantSame("inner", "middle", "outer")
	if st := h.exporter.Stats(); st.Joined != 2 || st.Stored[dump.TriggerErrorSpan] != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestErrorsAreToldApart(t *testing.T) {
	h := newHarness(t, nil)
	ctx, root := h.tracer.Start(context.Background(), "root")
	for i := range 2 { // a second attempt began after the first had failed
		_, s := h.tracer.Start(ctx, fmt.Sprint("attempt ", i))
		fail(s, errLeaf, "")
	}
	_, other := h.tracer.Start(ctx, "other")
	fail(other, errors.New("out of stock"), "")
	_, other2 := h.tracer.Start(context.Background(), "other trace")
	fail(other2, errLeaf, "")
	fail(root, fmt.Errorf("gave up: %w", errLeaf), "")
	h.wantDumps(4)
	if h.wantSame("attempt 0") == h.wantSame("attempt 1") {
		t.Error("two attempts have one dump")
	}
	h.wantSame("attempt 1", "root") // the latest of those that it may be
	if h.wantSame("other") == h.wantSame("root") {
		t.Error("another error has the same dump")
	}
}

func TestRecordErrorAtTheLeaf(t *testing.T) {
	h := newHarness(t, nil)
	ctx, outer := h.tracer.Start(context.Background(), "outer")
	ctx, inner := h.tracer.Start(ctx, "inner")
	h.exporter.RecordError(ctx, errLeaf, trace.WithAttributes(attribute.String("k", "v")))
	if inner.(sdktrace.ReadOnlySpan).Status().Code != codes.Unset {
		t.Error("RecordError has set the status")
	}
	h.exporter.RecordError(ctx, fmt.Errorf("wrapped: %w", errLeaf))
	inner.SetStatus(codes.Error, "could not do it")
	inner.End()
	// An error that hides what it wraps is known by what it wraps.
	h.exporter.RecordError(trace.ContextWithSpan(ctx, outer), opaque{errLeaf})
	outer.End()
	h.wantDumps(1)
	id := h.wantSame("inner", "outer")
	s := h.span("inner")
	if len(exceptions(s)) != 2 || exceptions(s)[0].Attributes[0] != attribute.String("k", "v") {
		t.Errorf("events %v", s.Events)
	}
	if ev := h.spy.last(); ev.Err != errLeaf || ev.Trigger != dump.TriggerErrorSpan { //nolint:errorlint // identity is meant
		t.Errorf("event %+v", ev)
	}
	h.checkOwnSpan(s, id)
	hd, x := h.header(id)
	if len(hd.Reason) == 0 || hd.Reason[0].Message != errLeaf.Error() || x.SpanEnd.IsZero() == false {
		t.Errorf("reason %+v, extra %+v", hd.Reason, x)
	}
}

type opaque struct{ err error }

func (o opaque) Error() string { return "internal error" }
func (o opaque) Unwrap() error { return o.err }

func TestRecordErrorOfSomethingHandled(t *testing.T) {
	h := newHarness(t, nil)
	ctx, s := h.tracer.Start(context.Background(), "s")
	h.exporter.RecordError(ctx, errors.New("cache miss"))
	h.flush()
	before := value2(s.(sdktrace.ReadOnlySpan).Attributes(), AttrDumpID)
	fail(s, errors.New("disk full"), "write failed")
	h.wantDumps(2)
	if after := h.wantSame("s"); after == before {
		t.Error("the span's failure has the dump of the error that was handled")
	}
}

func value2(kvs []attribute.KeyValue, key attribute.Key) string {
	for _, kv := range kvs {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

func TestRecordErrorBeyondAttributeLimits(t *testing.T) {
	limits := sdktrace.NewSpanLimits()
	limits.AttributeCountLimit, limits.LinkCountLimit = 1, 1
	h := newHarness(t, nil, sdktrace.WithRawSpanLimits(limits))
	ctx, s := h.tracer.Start(context.Background(), "s", trace.WithAttributes(attribute.Int("n", 1)))
	h.exporter.RecordError(ctx, errLeaf)
	s.SetStatus(codes.Error, "")
	s.End()
	h.wantDumps(1)
	h.wantSame("s")
}

func TestRecordErrorWithoutASpan(t *testing.T) {
	h := newHarness(t, nil)
	h.exporter.RecordError(context.Background(), errLeaf)
	h.exporter.RecordError(context.Background(), nil)
	ids := h.wantDumps(1)
	if !ids[0].TraceID.IsZero() {
		t.Errorf("identity %+v", ids[0])
	}
}

func TestRecordErrorNotSampled(t *testing.T) {
	h := newHarness(t, nil, sdktrace.WithSampler(sdktrace.NeverSample()))
	ctx, s := h.tracer.Start(context.Background(), "s")
	h.exporter.RecordError(ctx, errLeaf)
	s.End()
	ids := h.wantDumps(1)
	if ids[0].TraceID != dump.TraceID(s.SpanContext().TraceID()) {
		t.Errorf("identity %+v", ids[0])
	}
}

func TestParallelErrorsAreOne(t *testing.T) {
	h := newHarness(t, nil)
	ctx, root := h.tracer.Start(context.Background(), "root")
	const n = 32
	var wg, all sync.WaitGroup
	all.Add(n)
	for i := range n {
		wg.Go(func() {
			_, s := h.tracer.Start(ctx, fmt.Sprint("branch ", i))
			all.Done()
			all.Wait() // open before the first fails, as under an errgroup
			fail(s, context.Canceled, "")
		})
	}
	wg.Wait()
	fail(root, context.Canceled, "")
	h.wantDumps(1)
	names := []string{"root"}
	for i := range n {
		names = append(names, fmt.Sprint("branch ", i))
	}
	h.wantSame(names...)
	if n := h.spy.calls.Load(); n != 1 {
		t.Errorf("%d captures of one failure", n)
	}
}

func TestExcludedErrors(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Exclude = []string{"context canceled", "*net/url.Error"} })
	ctx, root := h.tracer.Start(context.Background(), "root")
	_, s := h.tracer.Start(ctx, "by message")
	fail(s, fmt.Errorf("query: %w", context.Canceled), "")
	_, s = h.tracer.Start(ctx, "by type")
	fail(s, &url.Error{Op: "Get", URL: "x", Err: errLeaf}, "")
	sctx, s := h.tracer.Start(ctx, "recorded")
	h.exporter.RecordError(sctx, fmt.Errorf("fetch: %w", &url.Error{Op: "Get", URL: "x", Err: errors.New("other")}))
	s.End()
	root.SetStatus(codes.Error, "")
	root.End()
	h.wantDumps(0)
	for _, name := range []string{"by message", "by type", "recorded", "root"} {
		h.wantClean(name)
	}
	if st := h.exporter.Stats(); st.Excluded != 3 {
		t.Errorf("stats %+v", st)
	}
}

func TestErrorSpansOff(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.ErrorSpans = false })
	ctx, s := h.tracer.Start(context.Background(), "s")
	h.exporter.RecordError(ctx, errLeaf)
	s.SetStatus(codes.Error, "x")
	s.End()
	h.wantDumps(0)
	if st := h.span("s"); len(st.Events) != 1 {
		t.Errorf("events %v: recording is what span.RecordError does", st.Events)
	}
	h.wantClean("s")
}

func TestManualDump(t *testing.T) {
	h := newHarness(t, nil)
	ctx, s := h.tracer.Start(context.Background(), "s")
	ref, err := h.exporter.Dump(ctx, DumpOptions{Name: "before", Description: "to see", Depth: 3})
	if err != nil {
		t.Fatal(err)
	}
	if ref.IsZero() || ref.Trigger != dump.TriggerManual || ref.URI != "mem:"+ref.ID.String() || ref.SpanID != dump.SpanID(s.SpanContext().SpanID()) {
		t.Errorf("ref %+v", ref)
	}
	if ev := h.spy.last(); ev.Depth != 3 {
		t.Errorf("event %+v", ev)
	}
	ref2, err := h.exporter.Dump(ctx, DumpOptions{}) // not the same, however alike
	if err != nil || ref2.ID == ref.ID {
		t.Errorf("second dump %+v, %v", ref2, err)
	}
	s.End()
	h.wantDumps(2)
	st := h.span("s")
	if value(st, AttrDumpID) != ref2.ID.String() || value(st, AttrDumpTrigger) != "manual" || len(st.Links) != 2 || st.Status.Code != codes.Unset {
		t.Errorf("span %+v", st)
	}
	if hd, _ := h.header(ref.ID.String()); hd.Name != "before" || hd.Description != "to see" || len(hd.Reason) != 0 {
		t.Errorf("header %+v", hd)
	}
}

func TestWatchReachesTheDump(t *testing.T) {
	h := newHarness(t, nil)
	watched := func() string {
		var names []string
		for _, w := range h.spy.last().Watches {
			names = append(names, fmt.Sprint(w.Name, "=", w.Value))
		}
		return strings.Join(names, " ")
	}
	ctx := h.exporter.Watch(context.Background(), "a", 1)
	ctx, s := h.tracer.Start(ctx, "s")
	inner := h.exporter.Watch(ctx, "b", 2) // the span is open already
	inner = h.exporter.Watch(inner, "a", 3)
	h.exporter.RecordError(inner, errLeaf)
	if got := watched(); got != "a=3 b=2" {
		t.Errorf("RecordError with %q", got)
	}
	fail(s, errors.New("other"), "")
	if got := watched(); got != "a=3 b=2" {
		t.Errorf("span with %q", got)
	}
	_, s = h.tracer.Start(context.Background(), "none")
	fail(s, errLeaf, "")
	if got := watched(); got != "" {
		t.Errorf("a span without watches with %q", got)
	}
	_, s = h.tracer.Start(inner, "fine")
	s.End()
	if n := h.exporter.watches.n.Load(); n != 0 {
		t.Errorf("%d watches are kept", n)
	}
	h.wantDumps(3)
}
