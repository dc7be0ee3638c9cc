package capture_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

//go:noinline
func keepLate(a int, text string, ch chan int) int {
	<-ch
	if text != fmt.Sprintf("text-%020d", a) {
		panic("x")
	}
	return a
}

// What a goroutine's stack leads to has another use once it has gone on: never shown then.
func TestOthersLate(t *testing.T) {
	e := engine(t, func(c *capture.Config) { c.Goroutines = capture.ScopeAll })
	var stop atomic.Bool
	ch := make(chan int)
	go func() {
		for !stop.Load() {
			select {
			case ch <- 1:
			case <-time.After(time.Second):
			}
		}
	}()
	for k := range 100 {
		go func() {
			for a := k * 1e6; !stop.Load(); a++ {
				keepLate(a, fmt.Sprintf("text-%020d", a), ch)
			}
		}()
	}
	wrong, right, late, other := 0, 0, 0, 0
	for range 8 {
		s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual})
		if err != nil {
			continue
		}
		r := encode(t, s, nil)
		for g := range r.Goroutines() {
			for i := range g.Frames {
				f := &g.Frames[i]
				if !strings.HasSuffix(f.Func, "keepLate") {
					continue
				}
				a, text := -1, ""
				st := ""
				for j := range f.Vars {
					v := &f.Vars[j]
					if v.Value.Reason != dump.Whole {
						other++
						continue
					}
					switch v.Name {
					case "a":
						a = int(v.Value.Num)
					case "text":
						text, st = string(v.Value.Bytes), fmt.Sprintf("%s %+v", v.StateName(), v.Value)
					}
				}
				if a < 0 || text == "" {
					continue
				}
				if text == fmt.Sprintf("text-%020d", a) {
					right++
				} else if wrong++; wrong < 6 {
					t.Logf("WRONG: state %s a=%d text=%q status=%s", st, a, text, g.Status)
				}
			}
		}
	}
	stop.Store(true)
	if wrong > 0 || right+other == 0 {
		t.Errorf("%d texts of another call, %d right, %d that are not claimed", wrong, right, other)
	}
	t.Logf("right %d wrong %d late %d other %d", right, wrong, late, other)
}
