// Command globals captures its package variables and writes the dump to the file that is its
// first argument; the others are patterns of capture.Config.Variables. globals_test.go knows
// the true values.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	store "github.com/otelcoredumpy/otelcoredumpy/capture/testdata/targets/globals/store.v2"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

type node struct {
	name string
	next *node
}

type shape interface{ area() float64 }

type square struct{ side float64 }

func (s square) area() float64 { return s.side * s.side }

var (
	flag     bool
	count    int64 = -3
	small    uint8
	ratio    = 0.5
	z        complex128
	greeting = "hello"
	ring     *node
	byName   = map[string]*node{}
	missing  map[string]int
	list     = []string{"a", "b"}
	alias    []string
	grid     = [2][2]int16{{1, -2}, {3, 4}}
	where    shape
	empty    shape
	err      error
	hook     func(int) int
	jobs     = make(chan int, 4)
	lock     sync.Mutex
	hits     atomic.Int64
	blank    struct{}
	apiToken string
	settings = struct {
		Host     string
		Password string
	}{"db.internal", "x"}
	big    [16 << 10]int32 // too large to be copied while a request waits
	engine *capture.Engine
	table  = [...]string{"zero", "one"} // never written
	deep   = chain(40)
)

// unused is left out by the linker.
var unused = 7

func chain(n int) *node {
	var first *node
	for range n {
		first = &node{"link", first}
	}
	return first
}

//go:noinline
func work(n int) int {
	flag, small, z, greeting = true, uint8(n), complex(1, 2), strings.Repeat("hello ", 2)
	ring = &node{name: "one"}
	ring.next = &node{name: "two", next: ring}
	byName["one"] = ring
	alias = list[:1]
	where, err = square{3}, fmt.Errorf("no stock: %w", io.EOF)
	hook = func(x int) int { return x + n }
	jobs <- 11
	jobs <- 22
	lock.Lock()
	hits.Add(5)
	apiToken = strings.Repeat("s3cr3t", 3)
	settings.Password = strings.Repeat("hunter", 3)
	big[0], big[len(big)-1] = 1, 2
	if n < 0 { // never, but the compiler does not know
		fmt.Println(missing, empty, blank, ratio, count, grid, table[n], deep, zstd.ErrMagicMismatch) // zstd is here for its own variables
	}
	return store.Use(n) + hook(len(jobs)) + len(missing) + len(table[n&1]) + int(ratio+float64(count)) + int(grid[n&1][0])
}

func main() {
	cfg := capture.DefaultConfig()
	cfg.Variables = os.Args[2:]
	e, oops := capture.New(cfg)
	if oops != nil {
		fmt.Println(oops)
		os.Exit(1)
	}
	engine = e
	if oops := e.Ready(context.Background()); oops != nil && !strings.Contains(oops.Error(), "no debug info") {
		fmt.Println(oops)
		os.Exit(1)
	}
	fmt.Println(work(7), strings.Join(e.UnmatchedVariables(), " "))
	for range 3 { // what only a package variable keeps alive stays alive
		runtime.GC()
	}
	s, oops := e.Snapshot(capture.Event{Trigger: dump.TriggerManual, Err: errors.New("test")})
	if oops != nil {
		fmt.Println(oops)
		os.Exit(1)
	}
	defer s.Release()
	list[0] = "late" // what is copied while the request waits is the header, not this
	f, oops := os.Create(os.Args[1])
	if oops != nil {
		fmt.Println(oops)
		os.Exit(1)
	}
	if _, oops := s.Encode(context.Background(), f, &dump.Header{}, nil); oops != nil {
		fmt.Println(oops)
		os.Exit(1)
	}
	if oops := f.Close(); oops != nil {
		fmt.Println(oops)
		os.Exit(1)
	}
	runtime.KeepAlive(e)
}
