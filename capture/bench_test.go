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

// record is three objects of twelve nodes altogether: itself, the elements of a slice, and a
// map.
type record struct {
	ID    int
	Name  string
	Tags  []string
	Attrs map[string]int
	Next  *record
}

// graph returns records of n objects together, which refer to each other.
func graph(n int) []*record {
	n /= 3
	rs := make([]*record, n)
	for i := range rs {
		rs[i] = &record{
			ID: i, Name: fmt.Sprint("record ", i), Tags: []string{fmt.Sprint("red ", i), fmt.Sprint("round ", i)},
			Attrs: map[string]int{fmt.Sprint("height ", i): i, fmt.Sprint("width ", i): 2 * i},
		}
	}
	for i := range rs {
		rs[i].Next = rs[(i*7+1)%n]
	}
	return rs
}

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

// timed is a record of types that have supports.
type timed struct {
	When time.Time
	Wait time.Duration
	Name string
	Next *timed
}

// BenchmarkSupports is what descriptions cost: a graph of 100,000 objects of types that have no
// support, and one of 20,000 with two values each that have, with and without supports.
func BenchmarkSupports(b *testing.B) {
	ts := make([]*timed, 20_000)
	for i := range ts {
		ts[i] = &timed{When: time.Unix(int64(i)*1000, int64(i)).In(time.Local), Wait: time.Duration(i), Name: fmt.Sprint("name ", i)}
	}
	for i := range ts {
		ts[i].Next = ts[(i*7+1)%len(ts)]
	}
	for _, g := range []struct {
		name string
		v    any
	}{{"none", graph(100_000)}, {"two-of-four", ts}} {
		for _, with := range []bool{false, true} {
			e := engine(b, func(c *capture.Config) {
				c.MaxArrayValues, c.MaxObjects, c.MaxBytes, c.Goroutines = 200_000, 1_000_000, 1<<30, capture.ScopeNone
			})
			name := g.name + "/with"
			if !with {
				e.WithoutSupports()
				name = g.name + "/without"
			}
			ev := capture.Event{Trigger: dump.TriggerManual, Watches: []capture.Watch{{Name: "graph", Value: g.v}}}
			b.Run(name, func(b *testing.B) {
				benchmarkCPU(b, func() { captured(b, e, ev) })
			})
		}
	}
}
