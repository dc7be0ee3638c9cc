// Command scenarios fails in several ways, captures each failure from inside, and
// writes the dumps to the folder that is its argument. scenarios_test.go knows the
// true values.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

type Address struct{ Street, City string }

type Customer struct {
	Address
	Name string
	Tags map[string]int
}

type Line struct {
	SKU   string
	Qty   int
	Price float64
}

type Order struct {
	ID       int
	Customer *Customer
	Lines    []Line
	Self     *Order
	Meta     map[string]any
	Queue    chan int
	Scale    func(int) int
	Err      error
	Note     []byte
	Grid     [2][3]int16
	C        complex128
	Empty    struct{}
	Any      any
	Ratio    float32
	Flags    [4]bool
}

type StockError struct {
	SKU        string
	Want, Have int
}

func (e *StockError) Error() string { panic("Error must not be called") }

type Pair[K comparable, V any] struct {
	Key K
	Val V
}

type Stack[T any] struct{ items []T }

func (s *Stack[T]) Pop(n int) T {
	return s.items[len(s.items)-n]
}

var (
	engine *capture.Engine
	dir    string
	start  = time.Now()
)

//go:noinline
func total(o *Order, upto int) int {
	sum := 0
	for i := 0; i <= upto; i++ {
		l := o.Lines[i] // FAIL: index
		sum += l.Qty
	}
	return sum
}

func city(o *Order) string {
	return o.Customer.Address.City // FAIL: nil-deref (inlined)
}

type Ledger struct {
	name    string
	entries map[string]int
}

//go:noinline
func (l *Ledger) Post(key string, amount int) int {
	before := len(l.entries)
	l.entries[key] = amount // FAIL: nil-map
	return before + amount
}

//go:noinline
func divide(a, b, c int) int {
	sum := a + c
	q := sum / b // FAIL: divide
	return q + sum*a
}

//go:noinline
func pay(o *Order, attempt int) error {
	err := fmt.Errorf("pay order %d: %w", o.ID, errors.Join(&StockError{"A-1", 3, 1}, errors.New("card declined")))
	if attempt > 1 {
		panic(err) // FAIL: custom
	}
	return err
}

//go:noinline
func visit(o *Order, f func(l Line) error) {
	for i, l := range o.Lines {
		if err := f(l); err != nil {
			panic(fmt.Sprintf("line %d: %v", i, err)) // FAIL: closure
		}
	}
}

//go:noinline
func generic(o *Order) string {
	s := &Stack[Pair[string, int]]{items: []Pair[string, int]{{"a", 1}, {"b", 2}}}
	p := s.Pop(len(o.Lines) + 1) // FAIL: generic
	return p.Key
}

//go:noinline
func assertion(v any) int {
	n := v.(int) // FAIL: assertion
	return n
}

// fail runs f and captures its panic, whose value it swallows.
func fail(name string, f func()) {
	defer func() {
		if !capture.PanicInFlight() {
			fmt.Println(name, "did not panic")
			os.Exit(1)
		}
		snap(name, capture.Event{Trigger: dump.TriggerPanic})
		_ = recover()
	}()
	f()
}

func snap(name string, ev capture.Event) {
	ev.Since = start
	s, err := engine.Snapshot(ev)
	if err != nil {
		fmt.Println(name, err)
		os.Exit(1)
	}
	defer s.Release()
	f, err := os.Create(filepath.Join(dir, name+dump.Extension))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if _, err := s.Encode(context.Background(), f, &dump.Header{}, nil); err != nil {
		fmt.Println(name, err)
		os.Exit(1)
	}
	if err := f.Close(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func order() *Order {
	factor := 5
	o := &Order{
		ID:       42,
		Customer: &Customer{Address{"Main Street 1", "Wien"}, "Ada", map[string]int{"vip": 1, "eu": 2}},
		Lines:    []Line{{"A-1", 2, 9.5}, {"B-2", 1, 20}},
		Meta:     map[string]any{"n": 7, "s": "text", "p": &factor, "e": errors.New("boom"), "nil": nil},
		Queue:    make(chan int, 4),
		Scale:    func(x int) int { return x * factor },
		Err:      &StockError{"B-2", 9, 0},
		Note:     []byte("a note"),
		Grid:     [2][3]int16{{1, -2, 3}, {4, 5, -6}},
		C:        complex(1.5, -2),
		Any:      Pair[string, int]{"k", 8},
		Ratio:    0.25,
		Flags:    [4]bool{true, false, true, true},
	}
	o.Self = o
	o.Queue <- 11
	o.Queue <- 22
	o.Queue <- 33
	<-o.Queue
	return o
}

//go:noinline
func handle(o *Order, scenario string) (sum int) {
	label := "order-" + scenario
	weight := len(o.Lines) * 3
	switch scenario {
	case "index":
		sum = total(o, 7)
	case "nil-deref":
		c := *o
		c.Customer = nil
		sum = len(city(&c))
	case "nil-map":
		l := &Ledger{name: "main"}
		sum = l.Post(label, weight)
	case "divide":
		sum = divide(17, len(o.Lines)-2, 4)
	case "custom":
		err := pay(o, weight)
		sum = len(fmt.Sprint(err))
	case "closure":
		seen := 0
		visit(o, func(l Line) error {
			seen += l.Qty
			if strings.HasPrefix(l.SKU, "B") {
				return fmt.Errorf("bad %s after %d", l.SKU, seen)
			}
			return nil
		})
		sum = seen
	case "generic":
		sum = len(generic(o))
	case "assertion":
		sum = assertion(label)
	case "manual":
		watched := []string{"x", "y"}
		snap(scenario, capture.Event{Trigger: dump.TriggerManual, Watches: []capture.Watch{{Name: "watched", Value: watched}}})
		sum = len(watched)
	case "error":
		err := fmt.Errorf("outer: %w", &StockError{"C-3", 2, 1})
		snap(scenario, capture.Event{Trigger: dump.TriggerErrorSpan, Err: err})
	}
	fmt.Fprintln(os.Stderr, label, weight, o.ID) // keeps them alive
	return sum + weight
}

// waits reports whether the waiting goroutine has come to wait.
func waits() bool {
	buf := make([]byte, 1<<16)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "main.main.func1(") && strings.Contains(g, "[chan receive") {
			return true
		}
	}
	return false
}

func main() {
	dir = os.Args[1]
	debug.SetGCPercent(-1) // so that nothing is collected that the tests want to see
	cfg := capture.DefaultConfig()
	cfg.Timeout = 30e9 // the test machine may be slow
	cfg.Pause = 10e9
	e, err := capture.New(cfg)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	engine = e
	_ = e.Ready(context.Background())
	o := order()
	release := make(chan struct{})
	parked := make(chan struct{})
	go func(who string) {
		count := len(who) * 7
		close(parked)
		<-release
		fmt.Fprintln(os.Stderr, who, count)
	}("waiter")
	<-parked
	for !waits() {
		runtime.Gosched()
	}
	for _, name := range []string{"index", "nil-deref", "nil-map", "divide", "custom", "closure", "generic", "assertion"} {
		fail(name, func() { handle(o, name) })
	}
	handle(o, "manual")
	handle(o, "error")
	close(release)
}
