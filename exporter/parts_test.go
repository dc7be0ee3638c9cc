package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/exporter/internal/failing"
)

func newLogger(h slog.Handler) *slog.Logger { return slog.New(h) }

type panicking struct{ slog.Handler }

func (panicking) Enabled(context.Context, slog.Level) bool  { return true }
func (panicking) Handle(context.Context, slog.Record) error { panic("log") }

func TestContainsWords(t *testing.T) {
	for _, tt := range []struct {
		s, part string
		want    bool
	}{
		{"boom", "boom", true},
		{"panic: boom", "boom", true},
		{"boom (again)", "boom", true},
		{"boomerang", "boom", false},
		{"a boomerang, boom", "boom", true},
		{"xboom", "boom", false},
		{"", "boom", false},
		{"boom", "", false},
		{"read: EOF", "EOF", true},
		{"GEOFF", "EOF", false},
		{"x(y)z", "(y)", true},
		{"größe", "gr", false},
		{"a_b", "a", false},
		{"日本 boom 語", "boom", true},
	} {
		if got := containsWords(tt.s, tt.part); got != tt.want {
			t.Errorf("containsWords(%q, %q) = %v", tt.s, tt.part, got)
		}
	}
}

func FuzzContainsWords(f *testing.F) {
	f.Add("panic: boom", "boom")
	f.Add("\xff\xfe", "\xfe")
	f.Fuzz(func(t *testing.T, s, part string) {
		if containsWords(s, s) != (s != "") {
			t.Fatalf("%q does not contain itself", s)
		}
		containsWords(s, part)
	})
}

func TestExcludesMatch(t *testing.T) {
	x := newExcludes([]string{"context canceled", "*net/url.Error", "*fs.PathError", " "})
	if len(x) != 3 {
		t.Fatalf("entries %q", x)
	}
	for _, tt := range []struct {
		typ, msg string
		want     bool
	}{
		{"", "context canceled", true},
		{"", "get: context canceled", true},
		{"", "context canceled: get", false},
		{"", "not context canceled", false},
		{"*net/url.Error", "", true},
		{"*url.Error", "", true},
		{"*other/url.Error", "", false},
		{"url.Error", "", false},
		{"*io/fs.PathError", "", true},
		{"*fs.PathError", "", true},
		{"", "", false},
	} {
		if got := x.match(tt.typ, tt.msg); got != tt.want {
			t.Errorf("match(%q, %q) = %v", tt.typ, tt.msg, got)
		}
	}
	for in, want := range map[string]string{
		"*net/url.Error": "*url.Error", "a/b.T": "b.T", "**a/b.T[c/d.E]": "**b.T[c/d.E]", "int": "int", "": "",
	} {
		if got := shortType(in); got != want {
			t.Errorf("shortType(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestErrorChain(t *testing.T) {
	err := fmt.Errorf("a: %w", errors.Join(&url.Error{Op: "Get", URL: "u", Err: errLeaf}, evil{}))
	got := errorChain(err)
	want := []dump.ErrorInfo{
		{Type: "*fmt.wrapError", Parent: -1},
		{Type: "*errors.joinError", Parent: 0},
		{Type: "*net/url.Error", Message: `Get "u": connection refused`, Parent: 1},
		{Type: "*errors.errorString", Message: "connection refused", Parent: 2},
		{Type: "github.com/otelcoredumpy/otelcoredumpy/exporter.evil", Parent: 1},
	}
	if len(got) != len(want) {
		t.Fatalf("chain %+v", got)
	}
	for i := range want {
		if i > 1 && got[i].Message != want[i].Message || got[i].Type != want[i].Type || got[i].Parent != want[i].Parent {
			t.Errorf("%d: %+v, want %+v", i, got[i], want[i])
		}
	}
	var endless selfish
	if n := len(errorChain(&endless)); n != maxChain {
		t.Errorf("an error that wraps itself has %d", n)
	}
	var null *selfish
	if got := errorChain(null); len(got) == 0 || got[0].Message != "" {
		t.Errorf("nil pointer: %+v", got)
	}
}

type selfish struct{ n int }

func (s *selfish) Error() string { return fmt.Sprint(s.n) }
func (s *selfish) Unwrap() error { s.n++; return s }

func TestViewerURL(t *testing.T) {
	id := dump.Identity{ID: dump.NewID(), TraceID: dump.TraceID{15: 1}, SpanID: dump.SpanID{7: 2}, Service: "a b/c+d"}
	for in, want := range map[string]string{
		"":               "",
		"https://x":      "https://x/d/" + id.ID.String(),
		"https://x/y///": "https://x/y/d/" + id.ID.String(),
		"https://x/{trace_id}/{span_id}?d={dump_id}&s={service}": "https://x/" + id.TraceID.String() + "/" + id.SpanID.String() + "?d=" + id.ID.String() + "&s=a%20b%2Fc%2Bd",
	} {
		if got := viewerURL(in, id); got != want {
			t.Errorf("viewerURL(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRecoverers(t *testing.T) {
	r := newStacks([]string{"example.com/w.(*Pool).run"})
	for name, want := range map[string]bool{
		"net/http.(*conn).serve": true, "net/http.(*conn).serve2": false, "net/http.(*timeoutHandler).ServeHTTP.func1": true,
		"example.com/w.(*Pool).run.func2.1": true, "example.com/w.(*Pool).run.gowrap1": true, "example.com/w.(*Pool).run.Close": false,
		"main.main": false, "": false, "example.com/w.(*Pool).run.func1-range2": true,
	} {
		if got := r.knows(name); got != want {
			t.Errorf("knows(%q) = %v", name, got)
		}
	}
	KnownRecoverers()[0] = "changed"
	if knownRecoverers[0] == "changed" {
		t.Error("KnownRecoverers hands out the table itself")
	}
}

func TestInspectDeepStacks(t *testing.T) {
	r := newStacks([]string{"github.com/otelcoredumpy/otelcoredumpy/exporter.serve"})
	for _, depth := range []int{1, 400, 600, 20_000} {
		var got place
		serve(func() {
			defer func() { got = r.panicked() }()
			recurse(depth)
		})
		if !got.recovers || got.raised {
			t.Errorf("depth %d: %+v", depth, got)
		}
	}
	var got place
	caught(func() {
		defer func() { got = r.panicked() }()
		failing.NilMap(nil)
	})
	if got.recovers || !got.raised {
		t.Errorf("a write to a nil map: %+v", got)
	}
	caught(func() {
		defer func() { got = r.panicked() }()
		failing.NilDereference(nil)
	})
	if !got.raised {
		t.Errorf("a nil dereference: %+v", got)
	}
}

//go:noinline
func recurse(n int) int {
	if n == 0 {
		panic("deep")
	}
	return recurse(n-1) + 1
}

func TestBounded(t *testing.T) {
	b := newBounded[int, string](3)
	if _, ok := b.take(1); ok {
		t.Error("empty, but has 1")
	}
	for i := range 5 {
		b.put(i, fmt.Sprint(i))
	}
	b.put(4, "four")
	for i, want := range []string{"", "", "2", "3", "four"} {
		if got, _ := b.get(i); got != want {
			t.Errorf("get(%d) = %q, want %q", i, got, want)
		}
	}
	if v, ok := b.take(3); v != "3" || !ok || b.n.Load() != 2 {
		t.Errorf("take(3) = %q, %v", v, ok)
	}
	if _, ok := b.take(3); ok {
		t.Error("taken twice")
	}
	for i := range 1000 { // coming and going must not push others out
		b.put(100, "x")
		if _, ok := b.take(100); !ok {
			t.Fatalf("round %d", i)
		}
	}
	if len(b.m) > 3 {
		t.Errorf("%d entries", len(b.m))
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(4)
	at := time.Now()
	trace := dump.TraceID{1}
	for i := range 10 {
		m.remember(&record{
			at: at, panicking: true, key: capture.PanicKey{}, messages: []string{fmt.Sprint("error ", i)},
			trace: trace, ref: Ref{Identity: dump.Identity{ID: dump.NewID()}},
		})
	}
	if len(m.byTrace[trace]) != 4 || len(m.byPanic) != 1 {
		t.Errorf("%d by trace, %d by panic", len(m.byTrace[trace]), len(m.byPanic))
	}
	if m.find(&sighting{trace: trace, messages: []string{"error 5"}}) != nil {
		t.Error("found what should be forgotten")
	}
	if m.find(&sighting{trace: trace, messages: []string{"wrapped: error 6"}}) == nil {
		t.Error("not found")
	}
	for range 4 {
		m.remember(&record{at: at, trace: dump.TraceID{2}, ref: Ref{Identity: dump.Identity{ID: dump.NewID()}}})
	}
	if len(m.byTrace) != 1 || len(m.byPanic) != 0 {
		t.Errorf("%d traces, %d panics", len(m.byTrace), len(m.byPanic))
	}
}

// benchSpan is a span as the SDK hands it to OnEnd.
func benchSpan(tb testing.TB, e *Exporter) (sdktrace.ReadOnlySpan, *Processor) {
	var got sdktrace.ReadOnlySpan
	p := e.SpanProcessor(grab{&got}).(*Processor)
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p))
	_, s := tp.Tracer("bench").Start(context.Background(), "s")
	s.End()
	if got == nil {
		tb.Fatal("no span")
	}
	return got, p
}

type grab struct{ to *sdktrace.ReadOnlySpan }

func (g grab) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (g grab) OnEnd(s sdktrace.ReadOnlySpan)                   { *g.to = s }
func (g grab) Shutdown(context.Context) error                  { return nil }
func (g grab) ForceFlush(context.Context) error                { return nil }

func TestHealthySpansCostNoAllocation(t *testing.T) {
	h := newHarness(t, nil)
	s, p := benchSpan(t, h.exporter)
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() { p.OnEnd(s) }); n != 0 {
		t.Errorf("OnEnd allocates %v times", n)
	}
	_, live := h.tracer.Start(ctx, "live")
	defer live.End()
	rw := live.(sdktrace.ReadWriteSpan)
	if n := testing.AllocsPerRun(1000, func() { p.OnStart(ctx, rw) }); n != 0 {
		t.Errorf("OnStart allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() { h.exporter.Panicking(ctx, 0, false) }); n != 0 {
		t.Errorf("Panicking allocates %v times", n)
	}
}

func BenchmarkHealthySpan(b *testing.B) {
	e, err := New(ForEngine(engine), &store{}, DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	defer e.Shutdown(context.Background())
	s, p := benchSpan(b, e)
	b.ReportAllocs()
	for b.Loop() {
		p.OnEnd(s)
	}
}

func TestSamePanicWithoutATrace(t *testing.T) {
	m := newMemory(4)
	before := NewMark()
	rec := &record{at: time.Now(), panicking: true}
	m.remember(rec)
	for _, tt := range []struct {
		name string
		mark Mark
		seen time.Duration // ago
		want bool
	}{
		{"request began before", before, time.Hour, true},
		{"request began afterwards", NewMark(), 0, false},
		{"unknown, just now", 0, 0, true},
		{"unknown, long ago", 0, 2 * quietFor, false},
	} {
		rec.seen.Store(time.Now().Add(-tt.seen).UnixNano())
		if got := m.find(&sighting{panicking: true, raised: true, mark: tt.mark}) != nil; got != tt.want {
			t.Errorf("%s: found %v, want %v", tt.name, got, tt.want)
		}
	}
}
