package capture_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var spinning, stopSpinning atomic.Bool

// spin keeps all it has in registers, and calls nobody: it can only be preempted where it
// just is.
//
//go:noinline
func spin(seed int, scale float64, who *account) (int, float64) {
	triple := seed * 3
	half := scale / 2
	n, sum := 0, 0.0
	spinning.Store(true)
	for !stopSpinning.Load() {
		n += triple ^ seed
		sum = sum*half + scale
		n ^= who.ID
	}
	return n + triple + seed, sum + half + scale
}

// TestPreempted: a goroutine that was preempted in a loop has its variables, also floats.
func TestPreempted(t *testing.T) {
	e := engine(t, nil)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ended := make(chan struct{})
	stopSpinning.Store(false)
	who := &account{ID: 77, Name: "spinner"}
	go func() {
		defer close(ended)
		spin(1234, 2.5, who)
	}()
	defer func() {
		stopSpinning.Store(true)
		<-ended
	}()
	// With one processor this goroutine goes on only after that one was preempted.
	for !spinning.Load() {
		runtime.Gosched()
	}
	s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual, Since: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	r := encode(t, s, nil)
	want := map[string]string{
		"seed": "1234", "scale": "2.5", "triple": "3702", "half": "1.25", "who": "&" + `{ID:77 Name:"spinner" Limit:nil Next:nil}`,
	}
	for g, err := range r.Goroutines() {
		if err != nil {
			t.Fatal(err)
		}
		for i := range g.Frames {
			f := &g.Frames[i]
			if f.Func != "github.com/otelcoredumpy/otelcoredumpy/capture_test.spin" {
				continue
			}
			if i == 0 || g.Frames[i-1].Func != "runtime.asyncPreempt" {
				t.Fatalf("spin was not preempted: %s", g.Status)
			}
			checkVars(t, r, f, want, false)
			for _, name := range []string{"seed", "scale", "half"} {
				if v := variable(f, name); v == nil || v.State != dump.VarRecovered {
					t.Errorf("%s: %+v", name, v)
				}
			}
			return
		}
	}
	t.Error("the goroutine is not in the dump")
}

func variable(f *dump.Frame, name string) *dump.Variable {
	for i := range f.Vars {
		if f.Vars[i].Name == name && f.Vars[i].State != dump.VarMissing {
			return &f.Vars[i]
		}
	}
	return nil
}

type gauge struct{ level *float64 }

//go:noinline
func pressureOf(g *gauge, x, y float64, f32 float32) float64 {
	z := x * y
	w := f32 * 2
	return *g.level*z + x - y + float64(w)
}

// TestFaultFloats: the registers of SSE are there at a fault, too.
func TestFaultFloats(t *testing.T) {
	e := engine(t, nil)
	r := caught(t, e, time.Now(), func() { pressureOf(&gauge{}, 1.5, -3.25, 0.5) }, func() {})
	f := frameOf(t, r, "pressureOf")
	checkVars(t, r, f, map[string]string{"x": "1.5", "y": "-3.25", "z": "-4.875", "f32": "0.5", "w": "1"}, false)
	n := 0
	for _, name := range []string{"x", "y", "z", "f32", "w"} {
		if v := variable(f, name); v != nil && v.State == dump.VarRecovered {
			n++
		}
	}
	if n < 3 {
		t.Errorf("%d of the floats are recovered", n)
	}
}

type stepper struct {
	cur   int
	trace []string
}

//go:noinline
func (m *stepper) step(ev string, n int) {
	observe(len(ev))
	m.trace = append(m.trace, ev)
	m.cur += n
	keep = m
	if len(m.trace) > 0 {
		panic("stuck in " + ev + m.trace[0])
	}
}

//go:noinline
func drive(n int) {
	m := &stepper{cur: n}
	m.step("again", 4)
}

var keep *stepper

//go:noinline
func observe(n int) { spinning.Store(n > 100) }

// TestCalleeSpills: what a function had only in the registers that it has passed on is
// still where the callee has spilled it to.
func TestCalleeSpills(t *testing.T) {
	e := engine(t, nil)
	r := caught(t, e, time.Now(), func() { drive(21) }, func() {})
	v := variable(frameOf(t, r, "drive"), "m")
	if v == nil {
		t.Fatalf("m is missing: %+v", frameOf(t, r, "drive"))
	}
	if got := render(r, &v.Value); v.State != dump.VarRecovered || got != `&{cur:25 trace:["again"]}` {
		t.Errorf("m is %s: %s", v.StateName(), got)
	}
}

type row struct {
	id   int
	tags []string
	_    *row // a word more, so that a row is no power of two
}

//go:noinline
func less(rows []row, i, j int) bool {
	x, y := rows[i], rows[j]
	return x.tags[0] < y.tags[0]
}

// TestDead: variables that are not needed any more have their values if these are still
// somewhere, and are marked.
func TestDead(t *testing.T) {
	e := engine(t, nil)
	r := caught(t, e, time.Now(), func() { less([]row{{id: 1}, {id: 2, tags: []string{"a"}}}, 1, 0) }, func() {})
	f := frameOf(t, r, "less")
	dead := 0
	for name, want := range map[string]string{"i": "1", "j": "0"} {
		v := variable(f, name)
		if v == nil {
			continue
		}
		if got := render(r, &v.Value); got != want {
			t.Errorf("%s is %s: %s", name, v.StateName(), got)
		}
		if v.State == dump.VarDead {
			dead++
		}
	}
	if dead == 0 {
		t.Error("neither index is there, dead")
	}
}
