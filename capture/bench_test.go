package capture_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// BenchmarkGoroutines captures 1,000 parked goroutines of about ten frames.
func BenchmarkGoroutines(b *testing.B) {
	e := engine(b, nil)
	const n = 1000
	stop, ready := make(chan struct{}), make(chan struct{}, n)
	for i := range n {
		go park(10, i, ready, stop)
	}
	for range n {
		<-ready
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(s.Pause().Microseconds()), "pause-us")
		if _, err := s.Encode(context.Background(), io.Discard, &dump.Header{}, nil); err != nil {
			b.Fatal(err)
		}
		s.Release()
	}
	close(stop)
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
