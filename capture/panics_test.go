package capture

import (
	"errors"
	"net/http"
	"runtime"
	"slices"
	"testing"
)

// deferred runs f as a deferred function of a function that panics with v, and
// recovers.
func deferred(v any, f func()) {
	defer func() { _ = recover() }()
	defer f()
	panic(v)
}

func TestPanicInFlight(t *testing.T) {
	if PanicInFlight() {
		t.Error("a panic is in flight where there is none")
	}
	if _, ok := CurrentPanic(); ok {
		t.Error("there is a current panic where there is none")
	}
	ran := false
	deferred("x", func() {
		ran = true
		if !PanicInFlight() {
			t.Error("the panic is not seen")
		}
		if PanicValueIs("y") {
			t.Error("panics with another value")
		}
	})
	if !ran {
		t.Fatal("deferred function did not run")
	}
	if PanicInFlight() {
		t.Error("a panic is still in flight after recover")
	}
	deferred(http.ErrAbortHandler, func() {
		if !PanicValueIs(http.ErrAbortHandler) {
			t.Error("the value is not http.ErrAbortHandler")
		}
		if PanicValueIs(errors.New("net/http: abort Handler")) {
			t.Error("an equal error counts as the same")
		}
	})
}

func TestGoexitIsNoPanic(t *testing.T) {
	done := make(chan bool)
	go func() {
		defer close(done)
		defer func() { done <- PanicInFlight() }()
		runtime.Goexit()
	}()
	if <-done {
		t.Error("Goexit counts as a panic")
	}
	<-done
}

func TestCurrentPanicSurvivesRepanic(t *testing.T) {
	var inner, outer, other PanicKey
	func() {
		defer func() { _ = recover() }()
		defer func() { outer, _ = CurrentPanic() }()
		defer func() {
			// What the SDK's span.End does.
			r := recover()
			inner, _ = CurrentPanic()
			panic(r)
		}()
		panic(errors.New("x"))
	}()
	if inner != outer || inner == (PanicKey{}) {
		t.Errorf("the key changes: %v, then %v", inner, outer)
	}
	deferred(errors.New("x"), func() { other, _ = CurrentPanic() })
	if other == inner {
		t.Error("another panic has the same key")
	}
}

func TestPanicInDeferOfPanic(t *testing.T) {
	deferred("first", func() {
		deferred("second", func() {
			if !PanicValueIs("second") {
				t.Error("the newest panic is not the current one")
			}
		})
		if !PanicValueIs("first") {
			t.Error("the first panic is not the current one after the second was recovered")
		}
	})
}

func BenchmarkPanicInFlight(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if PanicInFlight() {
			b.Fatal("panic")
		}
	}
}

func TestPanicValue(t *testing.T) {
	if v := PanicValue(); v != nil {
		t.Errorf("the value %v of no panic", v)
	}
	boom := errors.New("boom")
	for _, want := range []any{boom, "text", 7, http.ErrAbortHandler} {
		deferred(want, func() {
			if got := PanicValue(); got != want {
				t.Errorf("PanicValue() = %v, want %v", got, want)
			}
			deferred("inner", func() {
				if got := PanicValue(); got != "inner" {
					t.Errorf("PanicValue() = %v of a panic within, want inner", got)
				}
			})
		})
	}
	deferred(nil, func() {
		if _, ok := PanicValue().(*runtime.PanicNilError); !ok {
			t.Errorf("PanicValue() = %v of panic(nil)", PanicValue())
		}
	})
	if n := testing.AllocsPerRun(100, func() { PanicValue() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRepanics(t *testing.T) {
	if n := Repanics(); n != 0 {
		t.Errorf("%d without a panic", n)
	}
	again := func(f func()) {
		defer func() {
			if v := recover(); v != nil {
				panic(v)
			}
		}()
		f()
	}
	var got []int
	note := func() { got = append(got, Repanics()) }
	deferred("x", func() {
		note() // 0
		deferred("cleaning up", note)
	})
	func() {
		defer func() { _ = recover() }()
		defer note() // 2
		again(func() {
			defer note() // 1
			again(func() {
				defer note() // 0
				panic("x")
			})
		})
	}()
	if want := []int{0, 0, 0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("Repanics() = %v, want %v", got, want)
	}
}
