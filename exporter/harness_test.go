package exporter

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/exporter/internal/failing"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// engine is the real engine, shared by the tests because it reads the test
// binary's debug info.
var engine *capture.Engine

func TestMain(m *testing.M) {
	cfg := capture.DefaultConfig()
	cfg.Goroutines, cfg.Depth, cfg.SourceLines, cfg.Pause = capture.ScopeFailing, 1, -1, time.Second
	var err error
	if engine, err = capture.New(cfg); err != nil {
		panic(err)
	}
	_ = engine.Ready(context.Background()) // a test binary without debug info is fine here
	code := m.Run()
	_ = engine.Close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// spy stands in front of the engine.
type spy struct {
	real Engine
	// before, if set, runs in each Snapshot; its error becomes Snapshot's.
	before func(capture.Event) error
	calls  atomic.Int64
	open   atomic.Int64 // snapshots not released

	mu     sync.Mutex
	events []capture.Event
}

func (s *spy) Snapshot(ev capture.Event) (Snapshot, error) {
	s.calls.Add(1)
	s.mu.Lock()
	s.events = append(s.events, ev)
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(ev); err != nil {
			return nil, err
		}
	}
	snap, err := s.real.Snapshot(ev)
	if err != nil {
		return nil, err
	}
	s.open.Add(1)
	return &spySnapshot{Snapshot: snap, spy: s}, nil
}

func (s *spy) last() capture.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[len(s.events)-1]
}

type spySnapshot struct {
	Snapshot
	spy      *spy
	released atomic.Bool
}

func (s *spySnapshot) Release() {
	if !s.released.Swap(true) {
		s.spy.open.Add(-1)
	}
	s.Snapshot.Release()
}

// store keeps dumps in memory.
type store struct {
	// before, if set, runs in each Put; its error becomes Put's.
	before func(ctx context.Context, id dump.Identity) error

	mu    sync.Mutex
	dumps map[dump.ID][]byte
	order []dump.Identity
}

func (s *store) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	if s.before != nil {
		if err := s.before(ctx, id); err != nil {
			return err
		}
	}
	b, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dumps == nil {
		s.dumps = make(map[dump.ID][]byte)
	}
	s.dumps[id.ID] = b
	s.order = append(s.order, id)
	return nil
}

func (s *store) URI(id dump.Identity) string { return "mem:" + id.ID.String() }
func (s *store) String() string              { return "memory" }

func (s *store) ids() []dump.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// next is the processor behind ours.
type next struct {
	sdktrace.SpanProcessor
	flushes atomic.Int64
	own     atomic.Int64
	onFlush func(context.Context) error
	onStart func(sdktrace.ReadWriteSpan)
}

func (n *next) OnStart(ctx context.Context, s sdktrace.ReadWriteSpan) {
	if n.onStart != nil {
		n.onStart(s)
	}
	n.SpanProcessor.OnStart(ctx, s)
}

func (n *next) OnEnd(s sdktrace.ReadOnlySpan) {
	if s.Name() == SpanName {
		n.own.Add(1)
	}
	n.SpanProcessor.OnEnd(s)
}

func (n *next) ForceFlush(ctx context.Context) error {
	n.flushes.Add(1)
	if n.onFlush != nil {
		return n.onFlush(ctx)
	}
	return n.SpanProcessor.ForceFlush(ctx)
}

// logs collects what the exporter reports.
type logs struct {
	slog.Handler
	lines chan string
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) Handle(_ context.Context, r slog.Record) error {
	l.lines <- r.Message
	return nil
}

// harness is an Exporter in a service.
type harness struct {
	t        *testing.T
	spy      *spy
	store    *store
	spans    *tracetest.InMemoryExporter
	next     *next
	logs     *logs
	exporter *Exporter
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

var testResource = sdkresource.NewSchemaless(attribute.String("service.name", "shop"), attribute.String("host.name", "h1"))

func newHarness(t *testing.T, change func(*Config), opts ...sdktrace.TracerProviderOption) *harness {
	t.Helper()
	h := &harness{
		t: t, spy: &spy{real: ForEngine(engine)}, store: &store{}, spans: tracetest.NewInMemoryExporter(),
		logs: &logs{lines: make(chan string, 1000)},
	}
	cfg := DefaultConfig()
	cfg.Timeout = 20 * time.Second // slow machines, race detector
	cfg.Pause = 10 * time.Second
	// Most tests are about single failures, however alike; those about storms
	// set these anew.
	cfg.Window, cfg.PerFailure, cfg.PerMinute = -1, -1, -1
	cfg.Logger = slog.New(h.logs)
	if change != nil {
		change(&cfg)
	}
	var err error
	if h.exporter, err = New(h.spy, h.store, cfg); err != nil {
		t.Fatal(err)
	}
	h.next = &next{SpanProcessor: sdktrace.NewSimpleSpanProcessor(h.spans)}
	opts = append([]sdktrace.TracerProviderOption{
		sdktrace.WithSpanProcessor(h.exporter.SpanProcessor(h.next)), sdktrace.WithResource(testResource),
	}, opts...)
	h.provider = sdktrace.NewTracerProvider(opts...)
	h.tracer = h.provider.Tracer("test")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := h.exporter.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		_ = h.provider.Shutdown(ctx)
		if n := h.spy.open.Load(); n != 0 {
			t.Errorf("%d snapshots were not released", n)
		}
	})
	return h
}

// flush waits for the background.
func (h *harness) flush() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := h.exporter.Flush(ctx); err != nil {
		h.t.Fatal(err)
	}
}

// span returns the span of that name, which must have ended.
func (h *harness) span(name string) tracetest.SpanStub {
	h.t.Helper()
	for _, s := range h.spans.GetSpans() {
		if s.Name == name {
			return s
		}
	}
	h.t.Fatalf("span %q has not ended", name)
	return tracetest.SpanStub{}
}

// own returns the dumps' own spans.
func (h *harness) own() []tracetest.SpanStub {
	var own []tracetest.SpanStub
	for _, s := range h.spans.GetSpans() {
		if s.Name == SpanName {
			own = append(own, s)
		}
	}
	return own
}

func value(s tracetest.SpanStub, key attribute.Key) string {
	v, n := "", 0
	for _, kv := range s.Attributes {
		if kv.Key == key {
			v = kv.Value.String()
			n++
		}
	}
	if n > 1 {
		return "several"
	}
	return v
}

// wantDumps checks that so many dumps were made, and returns them.
func (h *harness) wantDumps(n int) []dump.Identity {
	h.t.Helper()
	h.flush()
	ids := h.store.ids()
	if len(ids) != n {
		h.t.Fatalf("%d dumps were stored, want %d (stats %+v)", len(ids), n, h.exporter.Stats())
	}
	return ids
}

// wantSame checks that the spans carry one dump, and returns its ID.
func (h *harness) wantSame(names ...string) string {
	h.t.Helper()
	id := value(h.span(names[0]), AttrDumpID)
	if _, err := dump.ParseID(id); err != nil {
		h.t.Fatalf("span %s carries dump ID %q", names[0], id)
	}
	for _, name := range names[1:] {
		if got := value(h.span(name), AttrDumpID); got != id {
			h.t.Errorf("span %s carries dump %q, span %s %q", names[0], id, name, got)
		}
	}
	return id
}

// wantClean checks that the span has nothing of ours.
func (h *harness) wantClean(name string) {
	h.t.Helper()
	s := h.span(name)
	for _, kv := range s.Attributes {
		if strings.HasPrefix(string(kv.Key), "coredumpy.") || strings.HasPrefix(string(kv.Key), "code.") {
			h.t.Errorf("span %s has %s", name, kv.Key)
		}
	}
	if len(s.Links) != 0 {
		h.t.Errorf("span %s has links %v", name, s.Links)
	}
}

// line waits for a line of the log.
func (h *harness) line() string {
	h.t.Helper()
	select {
	case l := <-h.logs.lines:
		return l
	case <-time.After(10 * time.Second):
		h.t.Fatal("nothing was logged")
		return ""
	}
}

// caught calls f and returns what it panics with.
func caught(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

var (
	errBoom = failing.ErrBoom
	boom    = failing.Boom
)

// header opens a stored dump.
func (h *harness) header(id string) (*dump.Header, *dump.Extra) {
	h.t.Helper()
	h.flush()
	parsed, err := dump.ParseID(id)
	if err != nil {
		h.t.Fatal(err)
	}
	h.store.mu.Lock()
	b := h.store.dumps[parsed]
	h.store.mu.Unlock()
	r, err := dump.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		h.t.Fatal(err)
	}
	x, err := r.Extra()
	if err != nil {
		h.t.Fatal(err)
	}
	return r.Header(), x
}
