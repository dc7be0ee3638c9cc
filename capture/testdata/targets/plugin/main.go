// Command plugin opens the plugin that is its first argument, calls its function
// Run, which fails, twice, and writes a dump of each failure to the folder that is its second: the first time the plugin's
// debug info is cold.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"plugin"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

//go:noinline
func fail(e *capture.Engine, f func(int) int, path string) {
	count := len(path) - len(path) + 3
	defer func() {
		s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerPanic})
		if err != nil {
			panic(err)
		}
		w, err := os.Create(path)
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
		fmt.Println(count)
	}()
	f(count)
	fmt.Println(count, path)
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
	p, err := plugin.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	run, err := p.Lookup("Run")
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"cold", "warm"} {
		fail(e, run.(func(int) int), filepath.Join(os.Args[2], name+dump.Extension))
	}
}
