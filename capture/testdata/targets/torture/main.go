// Command torture captures over and over under conditions that are hard on whoever reads a
// process that goes on running, and checks after each that the dump opens, that
// values which belong together do, and in the end that nothing was left behind.
//
//	torture <rounds> <scenario>…
//
// It exits with 0 and prints "ok <scenario>" for each, or dies as the scenario says.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var (
	engine *capture.Engine
	rounds int
	// bare: there may be no debug info.
	bare bool
)

type scenario struct {
	name string
	run  func()
	// before runs first of all, before there is an engine.
	before func()
}

var scenarios []scenario

func add(name string, run func()) { scenarios = append(scenarios, scenario{name: name, run: run}) }

func main() {
	var err error
	if rounds, err = strconv.Atoi(os.Args[1]); err != nil {
		die("%v", err)
	}
	var todo []scenario
	for _, want := range os.Args[2:] {
		found := false
		for _, s := range scenarios {
			if s.name == want || want == "all" && s.before == nil {
				todo, found = append(todo, s), true
			}
		}
		if !found {
			die("there is no scenario %q", want)
		}
	}
	for _, s := range todo {
		if s.before != nil {
			s.before()
		}
	}
	start()
	// Package os/signal keeps a goroutine once it is used.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	signal.Reset(syscall.SIGUSR1)
	before := look()
	for _, s := range todo {
		s.run()
		fmt.Println("ok", s.name)
	}
	before.same(look())
}

func start() {
	if engine != nil {
		return
	}
	var err error
	if engine, err = capture.New(capture.Config{MaxObjects: 20_000, MaxBytes: 8 << 20, Timeout: 20 * time.Second, Pause: 50 * time.Millisecond, SourceLines: -1}); err != nil {
		die("%v", err)
	}
	if err := engine.Ready(context.Background()); err != nil && !bare {
		die("no debug info: %v", err)
	}
}

func die(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "torture: "+format+"\n", args...)
	os.Exit(1)
}

// snap captures the calling goroutine and checks the dump.
func snap(ev capture.Event) *dump.Reader {
	if ev.Trigger == "" {
		ev.Trigger = dump.TriggerManual
	}
	s, err := engine.Snapshot(ev)
	if errors.Is(err, capture.ErrBusy) || errors.Is(err, capture.ErrMemory) {
		return nil
	}
	if err != nil {
		die("snapshot: %v", err)
	}
	defer s.Release()
	var b bytes.Buffer
	if _, err := s.Encode(context.Background(), &b, &dump.Header{}, nil); err != nil {
		if errors.Is(err, capture.ErrMemory) {
			return nil
		}
		die("encode: %v", err)
	}
	return check(b.Bytes())
}

// check opens a dump and holds its values to what the program keeps true.
func check(file []byte) *dump.Reader {
	r, err := dump.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		die("open: %v", err)
	}
	if err := r.Verify(); err != nil {
		die("verify: %v", err)
	}
	for g, err := range r.Goroutines() {
		if err != nil {
			die("goroutine: %v", err)
		}
		for i := range g.Frames {
			invariant(r, &g.Frames[i])
		}
	}
	return r
}

// invariant checks the variables of a frame of keep, if it is one: b is 3*a+1 and
// text is a in decimal, wherever the dump claims to know them.
func invariant(r *dump.Reader, f *dump.Frame) {
	if f.Func != "main.keep" {
		return
	}
	var a, b, s *dump.Value
	for i := range f.Vars {
		v := &f.Vars[i]
		if v.State != dump.VarLive && v.State != dump.VarRecovered || v.Value.Reason != dump.Whole {
			continue
		}
		switch v.Name {
		case "a":
			a = &v.Value
		case "b":
			b = &v.Value
		case "text":
			s = &v.Value
		}
	}
	if a != nil && b != nil && b.Num != 3*a.Num+1 {
		die("b is %d, a %d", b.Num, a.Num)
	}
	if a != nil && s != nil && string(s.Bytes) != strconv.Itoa(int(a.Num)) {
		die("text is %q, a %d", s.Bytes, a.Num)
	}
	if a != nil && s != nil {
		checked.Add(1)
	}
}

// keep has values that belong together, on the stack and on the heap, while f runs.
//
//go:noinline
func keep(a int, f func()) {
	b := 3*a + 1
	text := strconv.Itoa(a)
	f()
	if b != 3*a+1 || text != strconv.Itoa(a) {
		die("a variable of the program was changed: %d %d %q", a, b, text)
	}
}

// panicking captures in a deferred function of a panic, and recovers.
func panicking(f func()) (r *dump.Reader) {
	defer func() {
		if !capture.PanicInFlight() {
			die("there is no panic")
		}
		r = snap(capture.Event{Trigger: dump.TriggerPanic})
		_ = recover()
	}()
	f()
	return nil
}

// grow deepens the stack by n kilobytes and runs f there.
//
//go:noinline
func grow(n int, f func()) byte {
	var pad [1024]byte
	pad[n%1024] = byte(n)
	if n <= 0 {
		f()
		return pad[0]
	}
	return grow(n-1, f) + pad[(n+1)%1024]
}

// together runs f so many times at once and waits.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() { defer wg.Done(); f(i) }()
	}
	wg.Wait()
}

// background runs f over and over until the function that it returns is called,
// which waits for its end.
func background(f func()) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				f()
			}
		}
	}()
	return func() { close(quit); <-done }
}

// state is what must be the same in the end.
type state struct {
	goroutines int
	files      int
	handlers   string
}

func look() state {
	return state{runtime.NumGoroutine(), openFiles(), signalHandlers()}
}

func (s state) same(now state) {
	// Goroutines that have nothing left to do may not have ended yet.
	for range 10_000 {
		if now.goroutines <= s.goroutines {
			break
		}
		time.Sleep(time.Millisecond)
		now.goroutines = runtime.NumGoroutine()
	}
	if now.goroutines > s.goroutines {
		buf := make([]byte, 1<<16)
		die("%d goroutines, before %d:\n%s", now.goroutines, s.goroutines, buf[:runtime.Stack(buf, true)])
	}
	if now.files > s.files {
		die("%d open files, before %d", now.files, s.files)
	}
	if now.handlers != s.handlers {
		die("signal handlers were\n%s, are\n%s", s.handlers, now.handlers)
	}
	if checked.Load() > 0 {
		fmt.Println("checked")
	}
}

func openFiles() int {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil && err != io.EOF {
		return 0
	}
	return len(names)
}
