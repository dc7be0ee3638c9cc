package capture_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

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
	stop, ch := make(chan struct{}), make(chan int)
	var workers sync.WaitGroup
	for k := range 300 {
		workers.Go(func() {
			for a := k * 1e6; ; a++ {
				select {
				case <-stop:
					return
				default:
				}
				keepLate(a, fmt.Sprintf("text-%020d", a), ch)
			}
		})
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		for {
			select {
			case ch <- 1:
			case <-stop:
				close(ch)
				return
			}
		}
	}()
	wrong, right, unclaimed := 0, 0, 0
	// On a busy machine all of them may go on before they are read, again and again.
	for n := 0; n < 15 || right == 0 && n < 1000; n++ {
		s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual})
		if err != nil {
			continue
		}
		for g := range encode(t, s, nil).Goroutines() {
			for i := range g.Frames {
				f := &g.Frames[i]
				if !strings.HasSuffix(f.Func, ".keepLate") {
					continue
				}
				a, text := -1, ""
				for j := range f.Vars {
					switch v := &f.Vars[j]; {
					case v.Value.Reason != dump.Whole:
						unclaimed++
					case v.Name == "a":
						a = int(v.Value.Num)
					case v.Name == "text":
						text = string(v.Value.Bytes)
					}
				}
				switch {
				case a < 0 || text == "":
				case text == fmt.Sprintf("text-%020d", a):
					right++
				default:
					if wrong++; wrong < 6 {
						t.Logf("a is %d, text %q, in a goroutine that is %s", a, text, g.Status)
					}
				}
			}
		}
	}
	close(stop)
	workers.Wait()
	<-fed
	t.Logf("%d right, %d not claimed", right, unclaimed)
	if wrong > 0 || right == 0 {
		t.Errorf("%d texts of another call, %d right, %d not claimed", wrong, right, unclaimed)
	}
}
