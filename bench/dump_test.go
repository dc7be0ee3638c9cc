package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// record is one object of the graph that the dumps are of: 100,000 of them in a
// slice, each of which points at another one, or ten such slices. The same graph is
// in the benchmarks of package capture.
type record struct {
	ID    int
	Name  string
	Score float64
	Next  *record
}

const inSlice = 100_000

func graph(n int) [][]*record {
	rs := make([]*record, n)
	for i := range rs {
		rs[i] = &record{ID: i, Name: fmt.Sprint("record ", i), Score: float64(i) / 3}
	}
	for i := range rs {
		rs[i].Next = rs[(i*7+1)%n]
	}
	return slices.Collect(slices.Chunk(rs, inSlice))
}

// snapshot captures the graph with the frames of the functions that have it.
//
//go:noinline
func snapshot(tb testing.TB, e *capture.Engine, lists [][]*record) *capture.Snapshot {
	first, rs := lists[0][0], lists[len(lists)-1]
	s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual, Watches: []capture.Watch{{Name: "graph", Value: lists}}})
	if err != nil {
		tb.Fatal(err)
	}
	if first.ID != 0 || rs[0].ID%inSlice != 0 {
		tb.Fatal("the graph is not as it was made")
	}
	return s
}

func engine(tb testing.TB) *capture.Engine {
	tb.Helper()
	cfg := capture.DefaultConfig()
	cfg.Pause, cfg.Timeout = time.Minute, time.Minute
	cfg.MaxArrayValues, cfg.MaxObjects, cfg.MaxBytes = 1_000_000, 4_000_000, 1<<30
	e, err := capture.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := e.Ready(tb.Context()); err != nil {
		tb.Logf("no debug information: %v", err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	return e
}

// nodes counts the values in a dump's objects: structs, their fields, elements, …
// The elements of arrays that are kept as bytes do not count.
func nodes(tb testing.TB, r *dump.Reader) (n int) {
	var count func(v *dump.Value)
	count = func(v *dump.Value) {
		n++
		for i := range v.Elems {
			count(&v.Elems[i])
		}
	}
	for o, err := range r.Objects() {
		if err != nil {
			tb.Fatal(err)
		}
		count(&o.Value)
	}
	return n
}

// oneCore keeps a benchmark, and the garbage collection that it causes, on one
// core.
func oneCore(b *testing.B) {
	before := runtime.GOMAXPROCS(1)
	b.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// perNode reports how many values were dealt with in a second of processor time,
// which other work on the machine does not change as much as it does the time on
// the wall. spent is all of it, and n how many there are in one round.
func perNode(b *testing.B, n int, spent time.Duration) {
	b.ReportMetric(float64(n)*float64(b.N)/spent.Seconds()/1e6, "Mnodes/cpu-s")
}

// BenchmarkEncode is phase two of a capture on one core: what was copied of a
// graph of 100,000 objects is decoded, redacted, encoded and compressed.
func BenchmarkEncode(b *testing.B) {
	e := engine(b)
	rs := graph(100_000)
	s := snapshot(b, e, rs)
	var buf bytes.Buffer
	size, err := s.Encode(context.Background(), &buf, &dump.Header{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	s.Release()
	r, err := dump.NewReader(bytes.NewReader(buf.Bytes()), size)
	if err != nil {
		b.Fatal(err)
	}
	n := nodes(b, r)
	oneCore(b)
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		s := snapshot(b, e, rs)
		runtime.GC()
		b.StartTimer()
		start := cpu()
		if _, err := s.Encode(context.Background(), io.Discard, &dump.Header{}, nil); err != nil {
			b.Fatal(err)
		}
		spent += cpu() - start
		b.StopTimer()
		s.Release()
		b.StartTimer()
	}
	perNode(b, n, spent)
	b.ReportMetric(float64(size)/float64(n), "B/node")
}

// BenchmarkWrite is the writer of that alone: its objects are encoded and
// compressed.
func BenchmarkWrite(b *testing.B) {
	r := open(b, dumpOf(b, b.TempDir(), 100_000))
	n := nodes(b, r)
	var objects []*dump.Object
	for o, err := range r.Objects() {
		if err != nil {
			b.Fatal(err)
		}
		objects = append(objects, o)
	}
	oneCore(b)
	var size int64
	start := cpu()
	for b.Loop() {
		w := dump.NewWriter(io.Discard)
		for _, o := range objects {
			if err := w.Object(o); err != nil {
				b.Fatal(err)
			}
		}
		var err error
		if size, err = w.Close(&dump.Header{}); err != nil {
			b.Fatal(err)
		}
	}
	perNode(b, n, cpu()-start)
	b.ReportMetric(float64(size)/float64(n), "B/node")
}

// BenchmarkRead goes through all objects of a dump.
func BenchmarkRead(b *testing.B) {
	r := open(b, dumpOf(b, b.TempDir(), 100_000))
	n := nodes(b, r)
	oneCore(b)
	start := cpu()
	for b.Loop() {
		for _, err := range r.Objects() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	perNode(b, n, cpu()-start)
}

// dumpOf writes a dump of a graph of that many objects into the folder.
func dumpOf(tb testing.TB, dir string, objects int) string {
	tb.Helper()
	path := filepath.Join(dir, fmt.Sprintf("%d.cdmp", objects))
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	s := snapshot(tb, engine(tb), graph(objects))
	defer s.Release()
	h := &dump.Header{Reason: []dump.ErrorInfo{{Type: "*errors.errorString", Message: "out of stock", Parent: -1}}}
	if _, err := s.Encode(context.Background(), f, h, nil); err != nil {
		tb.Fatal(err)
	}
	r := open(tb, path)
	if err := r.Verify(); err != nil {
		tb.Fatal(err)
	}
	if n := r.NumObjects(); n < objects {
		tb.Fatalf("the dump has %d objects, want %d", n, objects)
	}
	return path
}

func open(tb testing.TB, path string) *dump.Reader {
	tb.Helper()
	r, err := dump.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close() })
	return r
}
