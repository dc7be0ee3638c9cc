// Parked is a program whose goroutines wait for everything that there is to wait for. It writes
// a dump and what the runtime itself says of the goroutines: runtime.Stack and the goroutine
// profile.
package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

type payload struct{ A, B int }

var (
	numbers  = make(chan int)
	payloads = make(chan payload, 3)
	texts    = make(chan *string, 1)
	closed   = make(chan bool)
	mu       sync.Mutex
	rw       sync.RWMutex
	rw2      sync.RWMutex
	group    sync.WaitGroup
	condMu   sync.Mutex
	cond     = sync.NewCond(&condMu)
	never    chan string
	sink     int
)

//go:noinline
func receiver(id int) { v := <-numbers; sink = v + id }

//go:noinline
func sender(p payload) { payloads <- p; sink = p.A }

//go:noinline
func chooser(tag string) {
	select {
	case v := <-numbers:
		sink = v
	case payloads <- payload{1, 2}:
	case <-texts:
	}
	sink = len(tag)
}

//go:noinline
func locker(n int) { mu.Lock(); sink = n; mu.Unlock() }

//go:noinline
func reader(n int) { rw.RLock(); sink = n; rw.RUnlock() }

//go:noinline
func writer(n int) { rw2.Lock(); sink = n; rw2.Unlock() }

//go:noinline
func waiter(n int) { group.Wait(); sink = n }

//go:noinline
func condition(n int) { condMu.Lock(); cond.Wait(); sink = n; condMu.Unlock() }

//go:noinline
func sleeper(d time.Duration) { time.Sleep(d); sink = int(d) }

//go:noinline
func nilReceiver() { sink = len(<-never) }

//go:noinline
func nothing() { select {} }

//go:noinline
func network(c net.Conn) {
	var b [1]byte
	n, _ := c.Read(b[:])
	sink = n
}

//go:noinline
func locked(c chan int) {
	runtime.LockOSThread()
	sink = <-c
}

//go:noinline
func labelled(ctx context.Context, c chan int) {
	pprof.SetGoroutineLabels(ctx)
	sink = <-c
}

//go:noinline
func traced(ctx context.Context, c chan int) {
	handle(ctx, 1, c)
	sink = len(fmt.Sprint(ctx.Err()))
}

//go:noinline
func handle(ctx context.Context, n int, c chan int) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, payload{}, n), time.Hour)
	defer cancel()
	select {
	case sink = <-c:
	case <-ctx.Done():
	}
	sink = len(fmt.Sprint(ctx.Err()))
}

//go:noinline
func deep(n int, c chan int) int {
	if n == 0 {
		return <-c
	}
	return deep(n-1, c) + n
}

func parked() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// waitFor waits until the runtime says that n goroutines wait for reason in a function. The
// goroutines announce nothing themselves: what they wait in is the last thing they do.
func waitFor(n int, reason, fn string) {
	for {
		count := 0
		for _, g := range strings.Split(parked(), "\n\n") {
			if strings.Contains(g, "["+reason) && strings.Contains(g, "main."+fn+"(") {
				count++
			}
		}
		if count >= n {
			return
		}
		runtime.Gosched()
	}
}

func main() {
	dir := os.Args[1]
	cfg := capture.DefaultConfig()
	cfg.Pause, cfg.Timeout = time.Minute, time.Minute
	engine, err := capture.New(cfg)
	check(err)
	_ = engine.Ready(context.Background())

	tp := sdktrace.NewTracerProvider()
	ctx, span := tp.Tracer("parked").Start(context.Background(), "request")
	own := make(chan int)
	server, client := pipe()
	defer client.Close()

	mu.Lock()
	rw.Lock()
	rw2.RLock()
	group.Add(1)
	for range cap(payloads) {
		payloads <- payload{}
	}
	for i := range 3 {
		go receiver(i)
	}
	go sender(payload{3, 4})
	go chooser("tag")
	for i := range 2 {
		go locker(i)
	}
	go reader(1)
	go writer(1)
	go waiter(1)
	go condition(1)
	go sleeper(time.Hour)
	go nilReceiver()
	go nothing()
	go network(server)
	go locked(own)
	go labelled(pprof.WithLabels(context.Background(), pprof.Labels("route", "/pay", "tenant", "a\"b")), own)
	go traced(ctx, own)
	for range 50 {
		go deep(8, own)
	}
	waitFor(3, "chan receive", "receiver")
	waitFor(1, "chan send", "sender")
	waitFor(1, "select", "chooser")
	waitFor(2, "sync.Mutex.Lock", "locker")
	waitFor(1, "sync.RWMutex.RLock", "reader")
	waitFor(1, "sync.RWMutex.Lock", "writer")
	waitFor(1, "sync.WaitGroup.Wait", "waiter")
	waitFor(1, "sync.Cond.Wait", "condition")
	waitFor(1, "sleep", "sleeper")
	waitFor(1, "chan receive (nil chan)", "nilReceiver")
	waitFor(1, "select (no cases)", "nothing")
	waitFor(1, "IO wait", "network")
	waitFor(1, "chan receive", "locked")
	waitFor(1, "chan receive", "labelled")
	waitFor(1, "select", "handle")
	waitFor(50, "chan receive", "deep")
	// The runtime notes since when a goroutine waits when the collector sees it waiting.
	runtime.GC()

	before := parked()
	snap, err := engine.Snapshot(capture.Event{Trigger: dump.TriggerManual})
	check(err)
	after := parked()
	f, err := os.Create(filepath.Join(dir, "parked"+dump.Extension))
	check(err)
	_, err = snap.Encode(context.Background(), f, &dump.Header{}, nil)
	check(err)
	snap.Release()
	check(f.Close())
	check(os.WriteFile(filepath.Join(dir, "before.txt"), []byte(before), 0o600))
	check(os.WriteFile(filepath.Join(dir, "after.txt"), []byte(after), 0o600))
	var profile bytes.Buffer
	check(pprof.Lookup("goroutine").WriteTo(&profile, 1))
	check(os.WriteFile(filepath.Join(dir, "profile.txt"), profile.Bytes(), 0o600))
	sc := trace.SpanContextFromContext(ctx)
	facts := fmt.Sprintf("trace %s\nspan %s\nnumbers %p\npayloads %p\ntexts %p\nown %p\nmu %p\nrw %p\nrw2 %p\ngroup %p\ncond %p\n",
		sc.TraceID(), sc.SpanID(), numbers, payloads, texts, own, &mu, &rw, &rw2, &group, cond)
	check(os.WriteFile(filepath.Join(dir, "facts.txt"), []byte(facts), 0o600))
	span.End()
	runtime.KeepAlive(closed)
}

func pipe() (server, client net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	check(err)
	server, err = l.Accept()
	check(err)
	return server, client
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
