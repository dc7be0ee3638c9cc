package capture_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// The goroutines of this test change their own frames all the time and keep an invariant
// whenever they wait: in each frame b is the complement of a, and all frames
// have the same turn.

const tornDepth = 6

//go:noinline
func tornOuter(n, turn int, in chan int) int {
	a, b := tornTwo(turn)
	r := 0
	if n == 0 {
		r = tornInner(turn, in)
	} else {
		r = tornOuter(n-1, turn, in)
	}
	return r + tornKeep(a, b, turn)
}

//go:noinline
func tornInner(turn int, in chan int) int {
	a, b := tornTwo(turn)
	got := <-in
	return got + tornKeep(a, b, turn)
}

//go:noinline
func tornTwo(turn int) (a, b int) { return turn, ^turn }

//go:noinline
func tornKeep(a, b, turn int) int { return a ^ b ^ turn }

// TestTorn captures in a loop while thousands of goroutines start, wait, run, grow their
// stacks and exit. What is captured of one must belong together: a copy that was made while
// it ran must not be shown.
func TestTorn(t *testing.T) {
	e := engine(t, func(c *capture.Config) { c.SourceLines = -1 })
	var stop atomic.Bool
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for turn := 1; !stop.Load(); turn++ {
				in := make(chan int)
				var some sync.WaitGroup
				for range 16 {
					some.Go(func() {
						for i := range 3 {
							now := turn*4 + i
							if i == 1 {
								grow(20)
							}
							tornOuter(tornDepth, now, in)
						}
					})
				}
				for range 16 * 3 {
					in <- turn
				}
				some.Wait()
			}
		})
	}
	checked, moved := 0, 0
	for range 20 {
		s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual})
		if err != nil {
			t.Fatal(err)
		}
		r := encode(t, s, nil)
		ids := map[int64]bool{}
		for g, err := range r.Goroutines() {
			if err != nil {
				t.Fatal(err)
			}
			if ids[g.ID] && g.ID != 0 {
				t.Errorf("goroutine %d is there twice", g.ID)
			}
			ids[g.ID] = true
			if len(g.Frames) == 0 {
				moved++
				if len(g.Missing) == 0 {
					t.Errorf("goroutine %d (%s) has no frames, and does not say why", g.ID, g.Status)
				}
			}
			checked += checkTorn(t, r, g)
		}
	}
	stop.Store(true)
	all.Wait()
	t.Logf("%d frames checked, %d goroutines without frames", checked, moved)
	if checked == 0 {
		t.Error("no frame was checked")
	}
}

// checkTorn checks the frames of one goroutine and returns how many it has checked.
func checkTorn(t *testing.T, r *dump.Reader, g *dump.Goroutine) (n int) {
	t.Helper()
	turn, depth := uint64(0), 0
	for i := range g.Frames {
		f := &g.Frames[i]
		fn, ok := strings.CutPrefix(f.Func, "github.com/otelcoredumpy/otelcoredumpy/capture_test.torn")
		if !ok || g.Frames[0].Func != "runtime.gopark" {
			continue // a goroutine that does not wait may be about to fill its frame
		}
		if fn == "Outer" || fn == "Inner" {
			depth++
		}
		num := map[string]uint64{}
		for k := range f.Vars {
			if v := &f.Vars[k]; v.State == dump.VarLive && v.Value.Reason == dump.Whole {
				num[v.Name] = v.Value.Num
			}
		}
		a, okA := num["a"]
		b, okB := num["b"]
		if !okA || !okB {
			continue
		}
		if n++; a != ^b || turn != 0 && a != turn {
			t.Errorf("goroutine %d, frame %d: %d and %d, and the inner frames have turn %d", g.ID, i, int64(a), int64(b), turn)
		}
		turn = a
	}
	if depth > 0 && g.Frames[0].Func == "runtime.gopark" && len(g.Missing) == 0 && depth != tornDepth+2 {
		t.Errorf("goroutine %d waits in %d frames, want %d", g.ID, depth, tornDepth+2)
	}
	return n
}
