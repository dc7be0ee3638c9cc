// Command cgo calls C, which calls Go, which fails; it writes a dump of that to the file that
// is its argument.
package main

// int through(int n);
import "C"

import (
	"context"
	"fmt"
	"os"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var engine *capture.Engine

type ticket struct {
	Name string
	Seat []int
}

//export goFail
func goFail(n C.int) C.int {
	seat := int(n) * 10
	defer func() {
		s, err := engine.Snapshot(capture.Event{Trigger: dump.TriggerPanic})
		if err != nil {
			panic(err)
		}
		w, err := os.Create(os.Args[1])
		if err != nil {
			panic(err)
		}
		if _, err := s.Encode(context.Background(), w, &dump.Header{}, nil); err != nil {
			panic(err)
		}
		if err := w.Close(); err != nil {
			panic(err)
		}
		_ = recover()
	}()
	return C.int(pick(&ticket{"ada", []int{1, 2}}, seat))
}

//go:noinline
func pick(t *ticket, seat int) int {
	return t.Seat[seat] // FAIL: cgo
}

//go:noinline
func caller(n int) int {
	label := fmt.Sprint("call ", n)
	got := int(C.through(C.int(n)))
	fmt.Println(label, got)
	return got
}

func main() {
	cfg := capture.DefaultConfig()
	cfg.Pause, cfg.Timeout = 60e9, 60e9 // the test machine may be slow
	e, err := capture.New(cfg)
	if err != nil {
		panic(err)
	}
	if err := e.Ready(context.Background()); err != nil {
		panic(err)
	}
	engine = e
	caller(4)
}
