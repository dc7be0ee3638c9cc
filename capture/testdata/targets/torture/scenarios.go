package main

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// checked counts the frames whose values were held to their invariant.
var checked atomic.Int64

type node struct {
	Next  *node
	Table map[int]*node
	Text  string
	Any   any
	Queue chan int
}

var sink atomic.Pointer[node] // what the garbage collector has work with

// churn keeps goroutines busy with all that may disturb a reader: stacks that grow
// and shrink, maps that are written, objects that come and go, goroutines that end.
func churn() (world *node, stop func()) {
	world = &node{Table: map[int]*node{}, Queue: make(chan int, 8)}
	var stops []func()
	often := func(f func(n int)) {
		n := 0
		stops = append(stops, background(func() { n++; f(n) }))
	}
	often(func(n int) { // the map's only writer
		world.Table[n%512] = &node{Text: fmt.Sprint(n), Any: n, Next: world.Table[n/2%512]}
		delete(world.Table, n*7%512)
		if n%1000 == 0 {
			clear(world.Table)
		}
	})
	often(func(n int) {
		grow(n%200, func() {})
		runtime.Gosched()
	})
	often(func(n int) {
		together(4, func(i int) { keep(i, func() { grow(i*8, func() { sink.Store(&node{Text: "short lived"}) }) }) })
	})
	often(func(n int) {
		world.Any = []any{n, "text", &node{}, map[string]int{"a": n}, nil}[n%5]
		world.Text = string(bytes.Repeat([]byte{'x'}, n%300))
		select {
		case world.Queue <- n:
		default:
			<-world.Queue
		}
	})
	return world, func() {
		for _, s := range stops {
			s()
		}
	}
}

func init() {
	add("churn", func() {
		world, stop := churn()
		defer stop()
		release := make(chan struct{})
		var parked sync.WaitGroup
		defer parked.Wait()
		defer close(release)
		for i := range 20 {
			parked.Add(1)
			go func() { defer parked.Done(); keep(i, func() { <-release }) }()
		}
		for i := range rounds {
			keep(i, func() {
				snap(capture.Event{Watches: []capture.Watch{{Name: "world", Value: world}}})
				panicking(func() { keep(i, func() { panic(errors.New("churn")) }) })
				panicking(func() { keep(i, func() { var p *node; p.Text = "x" }) })
			})
			if i%3 == 0 {
				runtime.GC()
			}
		}
	})
	add("concurrent", func() {
		world, stop := churn()
		defer stop()
		together(8, func(i int) {
			for range rounds/2 + 1 {
				keep(i, func() { panicking(func() { keep(i, func() { _ = world.Queue; panic(i) }) }) })
			}
		})
	})
	add("gc", func() {
		stop := background(runtime.GC)
		defer stop()
		for i := range rounds {
			keep(i, func() { panicking(func() { keep(i+1, func() { panic(&node{Text: "gc"}) }) }) })
		}
	})
	add("finalizer", func() {
		done := make(chan struct{}, 2)
		for i := range min(rounds, 3) {
			// Each in a loop: what makes garbage of x is the end of the function.
			func() {
				x := &node{Text: "finalized"}
				runtime.SetFinalizer(x, func(x *node) {
					keep(i, func() { snap(capture.Event{Watches: []capture.Watch{{Name: "x", Value: x}}}) })
					done <- struct{}{}
				})
				y := &node{Text: "cleaned"}
				runtime.AddCleanup(y, func(i int) {
					panicking(func() { keep(i, func() { panic("cleanup") }) })
					done <- struct{}{}
				}, i)
			}()
			for range 2 {
				collectUntil(done)
			}
		}
	})
	add("signal", func() {
		c := make(chan os.Signal, 64)
		before := signalHandlers()
		signal.Notify(c, syscall.SIGUSR1)
		for i := range rounds {
			_ = syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			<-c
			keep(i, func() { panicking(func() { panic("signal") }) })
		}
		signal.Stop(c)
		signal.Reset(syscall.SIGUSR1)
		if now := signalHandlers(); now != before {
			die("signal handlers were\n%s, are\n%s", before, now)
		}
	})
	add("storm", func() { // signals while we read, the runtime's own and the profiler's
		var cpu, tr bytes.Buffer
		if err := pprof.StartCPUProfile(&cpu); err != nil {
			die("%v", err)
		}
		if err := trace.Start(&tr); err != nil {
			die("%v", err)
		}
		_, stop := churn()
		pid := os.Getpid()
		quiet := background(func() { _ = syscall.Kill(pid, syscall.SIGURG) })
		for i := range rounds {
			keep(i, func() {
				panicking(func() {
					keep(i, func() { var m map[string]int; m[string(rune(i))] = 1 })
				})
			})
		}
		quiet()
		stop()
		trace.Stop()
		pprof.StopCPUProfile()
		if cpu.Len() == 0 || tr.Len() == 0 {
			die("no profile or no trace")
		}
	})
	add("locked", func() {
		together(3, func(i int) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for range min(rounds, 5) {
				keep(i, func() { panicking(func() { keep(i, func() { var a []int; _ = a[i] }) }) })
			}
		})
		together(1, func(i int) { // ends with its thread
			runtime.LockOSThread()
			snap(capture.Event{})
		})
	})
	add("deep", func() {
		for i := range max(1, rounds/20) {
			r := panicking(func() { grow(200<<10, func() { keep(i, func() { panic("deep") }) }) })
			if r == nil {
				continue
			}
			g, err := r.Failing()
			if err != nil || len(g.Frames) < 100 {
				die("%v, %d frames", err, len(g.Frames))
			}
			runtime.GC()
			debug.FreeOSMemory()
		}
	})
	add("maxstack", func() {
		// The stack is as large as it may be, and nearly full: there is room for the program,
		// and none for us.
		defer debug.SetMaxStack(debug.SetMaxStack(1<<20 - 1))
		for depth := 300; depth <= 445; depth += 29 {
			for range min(rounds, 2) {
				together(1, func(int) {
					panicking(func() { grow(depth, func() { panic("full") }) })
					grow(depth, func() { snap(capture.Event{}) })
				})
			}
		}
	})
	add("nested", func() {
		for i := range rounds {
			panicking(func() {
				defer func() {
					panicking(func() { keep(i, func() { panic("inner") }) })
					snap(capture.Event{Trigger: dump.TriggerPanic})
					panic("again")
				}()
				keep(i, func() { panic("outer") })
			})
			panicking(func() {
				defer func() { v := recover(); panic(v) }()
				panic("repanicked")
			})
			together(1, func(int) {
				defer func() { snap(capture.Event{}) }()
				keep(i, runtime.Goexit)
			})
		}
	})
	add("timer", func() {
		for i := range min(rounds, 10) {
			done := make(chan struct{})
			time.AfterFunc(0, func() {
				defer close(done)
				panicking(func() { keep(i, func() { panic("timer") }) })
			})
			<-done
		}
	})
	add("pull", func() {
		for i := range rounds {
			next, stop := iter.Pull(func(yield func(int) bool) {
				keep(i, func() { panicking(func() { keep(i+1, func() { panic("pull") }) }) })
				yield(1)
				defer func() { snap(capture.Event{}) }()
				yield(2)
			})
			next()
			keep(i, func() { snap(capture.Event{}) }) // while the coroutine is parked
			next()
			stop()
		}
	})
	add("mutex", func() {
		type account struct {
			sync.Mutex
			rw      sync.RWMutex
			once    sync.Once
			Balance map[string]int
		}
		a := &account{Balance: map[string]int{"ada": 1}}
		for i := range rounds {
			a.Lock()
			a.rw.Lock()
			a.once.Do(func() { panicking(func() { keep(i, func() { panic(a) }) }) })
			panicking(func() { a.Balance = nil; a.Balance["x"] = i })
			snap(capture.Event{Watches: []capture.Watch{{Name: "a", Value: a}}})
			a.rw.Unlock()
			a.Unlock()
		}
	})
	add("fault", func() {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		for i := range rounds {
			keep(i, func() {
				panicking(func() { readAt(0xdead0000) })
				snap(capture.Event{})
			})
			if !debug.SetPanicOnFault(true) {
				die("SetPanicOnFault was taken back")
			}
		}
	})
	add("limit", func() { // nearly no memory left that the collector may use
		keepAlive := make([][]byte, 0, 64)
		for range 64 {
			keepAlive = append(keepAlive, make([]byte, 1<<20))
		}
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(32 << 20))
		for i := range min(rounds, 10) {
			keep(i, func() { panicking(func() { keep(i, func() { panic(keepAlive[i%64][:10]) }) }) })
		}
		runtime.KeepAlive(keepAlive)
	})
	add("goroutines", func() { // thousands that are born and die while they are listed
		stop := background(func() {
			together(500, func(i int) { keep(i, runtime.Gosched) })
		})
		defer stop()
		for i := range rounds {
			keep(i, func() { snap(capture.Event{}) })
		}
	})
	add("values", func() { // what was captured is true, also under all this
		world, stop := churn()
		defer stop()
		mine := map[string][]int{"a": {1, 2, 3}, "b": nil, "c": {4}}
		for range rounds {
			r := snap(capture.Event{Watches: []capture.Watch{{Name: "world", Value: world}, {Name: "mine", Value: mine}}})
			if r == nil {
				continue
			}
			g, err := r.Failing()
			if err != nil {
				die("%v", err)
			}
			seen := false
			for i := range g.Values {
				if v := &g.Values[i]; v.Name == "mine" {
					seen = true
					theMap(r, &v.Value, mine)
				}
			}
			if !seen {
				die("the watched map is not there")
			}
		}
	})
	add("overflow", func() { // nobody can recover; the runtime ends the program
		defer func() { snap(capture.Event{Trigger: dump.TriggerPanic}) }()
		debug.SetMaxStack(8 << 20)
		panicking(func() { endless(1) })
	})
	add("throw", func() { // concurrent writes to a map: fatal, with captures under way
		m := map[int]int{}
		together(4, func(i int) {
			for i > 0 {
				m[i*1000]++
				delete(m, i*1000)
			}
			for {
				snap(capture.Event{Watches: []capture.Watch{{Name: "m", Value: m}}})
			}
		})
	})
	for i, s := range scenarios {
		if s.name == "overflow" || s.name == "throw" {
			scenarios[i].before = func() {}
		}
	}
	scenarios = append(scenarios, scenario{name: "init", before: func() {}, run: func() {
		if !inInit {
			die("there was no capture in init")
		}
	}})
}

// inInit says that a capture was made before main.
var inInit = func() bool {
	if !slices.Contains(os.Args, "init") {
		return false
	}
	rounds = 1
	start()
	keep(1, func() { panicking(func() { keep(2, func() { panic("init") }) }) })
	return true
}()

// theMap checks that what the dump has of m is true.
func theMap(r *dump.Reader, v *dump.Value, m map[string][]int) {
	if v.Obj == 0 {
		return // says why
	}
	o, err := r.Object(v.Obj)
	if err != nil {
		die("%v", err)
	}
	if o.Value.Reason != dump.Whole {
		return
	}
	got := map[string][]int{}
	for i := 0; i+1 < len(o.Value.Elems); i += 2 {
		key := string(o.Value.Elems[i].Bytes)
		got[key] = nil
		if e := &o.Value.Elems[i+1]; e.Obj != 0 {
			list, err := r.Object(e.Obj)
			if err != nil {
				die("%v", err)
			}
			if list.Value.Reason != dump.Whole {
				got[key] = m[key]
				continue
			}
			for j := 0; j+8 <= len(list.Value.Raw); j += 8 {
				got[key] = append(got[key], int(list.Value.Raw[j]))
			}
		}
	}
	if !maps.EqualFunc(got, m, slices.Equal) {
		die("the dump has %v", got)
	}
}

//go:noinline
func endless(n int) int {
	defer func() { _ = recover() }()
	return endless(n+1) + n
}

//go:noinline
func readAt(p uintptr) byte { return *(*byte)(pointer(p)) }

// collectUntil makes the collector run until something has come.
func collectUntil(c chan struct{}) {
	for {
		runtime.GC()
		select {
		case <-c:
			return
		default:
			runtime.Gosched()
		}
	}
}
