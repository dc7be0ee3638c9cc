package capture_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// BenchmarkGoroutines captures parked goroutines of about ten frames each, all with the
// same stack, and writes them to a file. cpu-ms is what all threads together have used
// for one capture, the collector's among them.
func BenchmarkGoroutines(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := engine(b, nil)
			stop, ready := make(chan struct{}), make(chan struct{}, n)
			for i := range n {
				go park(10, i, ready, stop)
			}
			for range n {
				<-ready
			}
			b.ReportAllocs()
			var pauses []time.Duration
			size := int64(0)
			before := cpuTime()
			for b.Loop() {
				s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual})
				if err != nil {
					b.Fatal(err)
				}
				pauses = append(pauses, s.Pause())
				if size, err = s.Encode(context.Background(), io.Discard, &dump.Header{}, nil); err != nil {
					b.Fatal(err)
				}
				s.Release()
			}
			b.ReportMetric(float64((cpuTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms")
			slices.Sort(pauses)
			b.ReportMetric(float64(pauses[len(pauses)/2].Microseconds()), "pause-us")
			b.ReportMetric(float64(size), "file-bytes")
			close(stop)
		})
	}
}

//go:noinline
func park(depth, id int, ready, stop chan struct{}) int {
	label := fmt.Sprint("goroutine ", id)
	if depth == 0 {
		ready <- struct{}{}
		<-stop
		return len(label)
	}
	return park(depth-1, id, ready, stop) + len(label)
}

// BenchmarkPanic is a small failing call: what a request waits for.
func BenchmarkPanic(b *testing.B) {
	e := engine(b, nil)
	o := &tree{Name: "order", Kids: []*tree{{Name: "line"}, {Name: "line"}}}
	b.ReportAllocs()
	for b.Loop() {
		func() {
			defer func() {
				s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerPanic})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(s.Pause().Microseconds()), "pause-us")
				s.Release()
				_ = recover()
			}()
			failing(o, 3)
		}()
	}
}

//go:noinline
func failing(o *tree, n int) *tree { return o.Kids[n] }
