package capture_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// benchmarkCPU is a benchmark loop that also reports the processor time of one round, the
// collector's included: on a busy machine it says more than the clock.
func benchmarkCPU(b *testing.B, f func()) {
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64((cpuTime()-start).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// BenchmarkGraph captures a graph of 100,000 objects, 420,000 nodes.
func BenchmarkGraph(b *testing.B) {
	e := engine(b, func(c *capture.Config) {
		c.MaxArrayValues, c.MaxObjects, c.MaxBytes, c.Goroutines = 200_000, 1_000_000, 1<<30, capture.ScopeNone
		c.Pause, c.Timeout = 1<<40, 1<<40
	})
	benchmarkWalk(b, e, graph(100_000))
}

// BenchmarkRing captures rings of objects that point at both of their neighbours and at one
// across, so that there are more ways through them than can be gone: the time must grow as the
// ring does.
func BenchmarkRing(b *testing.B) {
	type node struct {
		next, prev, across *node
		id                 int
	}
	for _, n := range []int{1_000, 10_000, 100_000} {
		ring := make([]*node, n)
		for i := range ring {
			ring[i] = &node{id: i}
		}
		for i, r := range ring {
			r.next, r.prev, r.across = ring[(i+1)%n], ring[(i+n-1)%n], ring[(i+n/2)%n]
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := engine(b, func(c *capture.Config) {
				c.MaxObjects, c.MaxBytes, c.MaxArrayValues, c.Goroutines = 1_000_000, 1<<30, 200_000, capture.ScopeNone
			})
			benchmarkWalk(b, e, ring)
		})
	}
}

func benchmarkWalk(b *testing.B, e *capture.Engine, v any) {
	ev := capture.Event{Trigger: dump.TriggerManual, Watches: []capture.Watch{{Name: "v", Value: v}}}
	b.Run("snapshot", func(b *testing.B) {
		benchmarkCPU(b, func() {
			s, err := e.Snapshot(ev)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(s.Bytes()), "held-B")
			s.Release()
		})
	})
	b.Run("snapshot+encode", func(b *testing.B) {
		benchmarkCPU(b, func() { captured(b, e, ev) })
	})
}

// captured does both phases.
func captured(b *testing.B, e *capture.Engine, ev capture.Event) {
	s, err := e.Snapshot(ev)
	if err != nil {
		b.Fatal(err)
	}
	n, err := s.Encode(context.Background(), io.Discard, &dump.Header{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	s.Release()
	b.ReportMetric(float64(n), "file-B")
}
