package capture

import (
	"errors"
	"net/http"
	"runtime"
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
