package capture_test

import (
	"errors"
	"runtime"
	"sort"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// These are the ways in which a capture may show a value that was never there, each found by
// trying.

type account struct {
	ID    int
	Name  string
	Limit *int
	Next  *account
}

var sink []*account

// caught runs f, which panics, runs cleanup while the panic is under way, and captures then.
func caught(t *testing.T, e *capture.Engine, since time.Time, f, cleanup func()) *dump.Reader {
	t.Helper()
	var s *capture.Snapshot
	func() {
		defer func() {
			var err error
			s, err = e.Snapshot(capture.Event{Trigger: dump.TriggerPanic, Since: since})
			if err != nil {
				t.Fatal(err)
			}
			_ = recover()
		}()
		defer cleanup()
		f()
	}()
	return encode(t, s, nil)
}

func frameOf(t *testing.T, r *dump.Reader, fn string) *dump.Frame {
	t.Helper()
	g, err := r.Failing()
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.Frames {
		if g.Frames[i].Func == "github.com/otelcoredumpy/otelcoredumpy/capture_test."+fn {
			return &g.Frames[i]
		}
	}
	t.Fatalf("no frame of %s: %v", fn, names(userFrames(g)))
	return nil
}

//go:noinline
func overdraw(id int, name string) int {
	a := &account{ID: id, Name: name + "!"}
	b := &account{ID: id + 1, Name: "b", Next: a}
	sum := a.ID + b.ID
	return sum + *b.Next.Limit + len(b.Name) // nil
}

// TestCollected: what a function that has faulted held is no root for the
// collector. Whatever took its place must not be taken for it.
func TestCollected(t *testing.T) {
	e := engine(t, nil)
	for _, collect := range []bool{false, true} {
		since := time.Now()
		r := caught(t, e, since, func() { overdraw(42, "Ada") }, func() {
			if !collect {
				return
			}
			for range 3 {
				runtime.GC()
				for range 10_000 {
					sink = append(sink, &account{ID: 666, Name: "somebody else's"})
				}
			}
			sink = nil
		})
		f := frameOf(t, r, "overdraw")
		if len(f.Vars) < 2 {
			t.Fatalf("%d variables", len(f.Vars))
		}
		living := 0
		for i := range f.Vars {
			v := &f.Vars[i]
			pointer := v.Name == "a" || v.Name == "b" || v.Name == "name"
			if collect && pointer && (v.State == dump.VarLive || v.State == dump.VarRecovered) {
				t.Errorf("after a collection %s is %s: %s", v.Name, v.StateName(), render(r, &v.Value))
			}
			if !collect && v.State != dump.VarDead {
				living++
			}
		}
		if !collect && living == 0 {
			t.Error("without a collection all is dead")
		}
	}
}

type point struct{ x *int }

//go:noinline
func deref(secret int, p *point) int {
	k := secret * 5
	return *p.x + k + secret
}

// TestEarlierFault: the thread's signal stack may hold the registers of another
// fault at the very same place.
func TestEarlierFault(t *testing.T) {
	e := engine(t, nil)
	r := caught(t, e, time.Now(), func() { deref(111, &point{}) }, func() {
		func() {
			defer func() { _ = recover() }()
			deref(999_000, &point{})
		}()
	})
	f := frameOf(t, r, "deref")
	checkVars(t, r, f, map[string]string{"secret": "111", "k": "555"}, false)
}

type byLimit []account

func (b byLimit) Len() int           { return len(b) }
func (b byLimit) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }
func (b byLimit) Less(i, j int) bool { return *b[i].Limit < *b[j].Limit }

// TestInlinedIntoWrapper: a method with a value receiver, called through an
// interface, is inlined into a wrapper that the compiler makes.
func TestInlinedIntoWrapper(t *testing.T) {
	e := engine(t, nil)
	r := caught(t, e, time.Now(), func() { sort.Sort(byLimit{{ID: 1}, {ID: 2}}) }, func() {})
	f := frameOf(t, r, "byLimit.Less")
	if f.Line == 0 {
		t.Errorf("%+v", f)
	}
	if got := r.Header().Failing.Func; got != f.Func {
		t.Errorf("it failed in %s", got)
	}
}

var errClosed = errors.New("closed")

//go:noinline
func siteA() { panic(errClosed) }

//go:noinline
func siteB() { panic(errClosed) }

// TestSameValueTwice: two panics with one value, none of them passed on, are two.
func TestSameValueTwice(t *testing.T) {
	e := engine(t, nil)
	var s *capture.Snapshot
	func() {
		defer func() { _ = recover() }()
		defer func() {
			defer func() {
				var err error
				if s, err = e.Snapshot(capture.Event{Trigger: dump.TriggerPanic}); err != nil {
					t.Fatal(err)
				}
				_ = recover()
			}()
			siteB()
		}()
		siteA()
	}()
	r := encode(t, s, nil)
	frameOf(t, r, "siteB")
	if got := r.Header().Failing.Func; got != "github.com/otelcoredumpy/otelcoredumpy/capture_test.siteB" {
		t.Errorf("it failed in %s", got)
	}
}
