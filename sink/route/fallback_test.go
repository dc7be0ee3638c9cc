package route_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/route"
)

// The tests run on a clock that only goes on when everybody waits.

const after = 5 * time.Minute

type fallbackTest struct {
	*testing.T
	primary, second *fake
	sink            sink.Sink
	begun           time.Time
}

func runFallback(t *testing.T, takeover time.Duration, run func(f *fallbackTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fallbackTest{T: t, primary: newFake("primary"), second: newFake("second"), begun: time.Now()}
		f.sink = route.Fallback(f.primary, f.second, takeover)
		run(f)
	})
}

// put stores a dump and reports where it is, and how long that took.
func (f *fallbackTest) put(ctx context.Context) (where string, took time.Duration, err error) {
	id, start := newID(), time.Now()
	err = f.sink.Put(ctx, id, content())
	var in []string
	for _, s := range []*fake{f.primary, f.second} {
		if has(s, id) {
			in = append(in, strings.TrimPrefix(s.String(), "memory "))
		}
	}
	return strings.Join(in, "+"), time.Since(start), err
}

func (f *fallbackTest) wantPut(where string, wantErr error) {
	f.Helper()
	got, _, err := f.put(f.Context())
	if got != where || !errors.Is(err, wantErr) {
		f.Errorf("stored in %q, error %v; want %q, %v", got, err, where, wantErr)
	}
}

func TestFallbackTakesOverAndGivesBack(t *testing.T) {
	runFallback(t, after, func(f *fallbackTest) {
		f.wantPut("primary", nil)
		f.primary.fail(errDown)
		time.Sleep(time.Hour) // that it worked long ago is not that it fails for long
		f.wantPut("", errDown)
		time.Sleep(after - time.Second)
		f.wantPut("", errDown)
		time.Sleep(time.Second)
		f.wantPut("second", nil)

		// The primary is asked once a minute.
		for range 3 {
			before := f.primary.count()
			for range 10 {
				f.wantPut("second", nil)
			}
			if n := f.primary.count() - before; n != 0 {
				f.Errorf("it was tried %d times within the minute", n)
			}
			time.Sleep(time.Minute)
			before = f.primary.count()
			f.wantPut("second", nil)
			f.wantPut("second", nil)
			if n := f.primary.count() - before; n != 1 {
				f.Errorf("it was tried %d times after a minute", n)
			}
		}

		f.primary.fail(nil)
		f.wantPut("second", nil) // nobody knows yet
		time.Sleep(time.Minute)
		f.wantPut("primary", nil)
		f.wantPut("primary", nil)

		// And it has to fail as long as the first time before it is given up again.
		f.primary.fail(errDown)
		f.wantPut("", errDown)
		time.Sleep(after - 1)
		f.wantPut("", errDown)
		time.Sleep(time.Nanosecond)
		f.wantPut("second", nil)
	})
}

// A success in between starts the time anew.
func TestFallbackNotForHiccups(t *testing.T) {
	runFallback(t, after, func(f *fallbackTest) {
		for range 10 {
			f.primary.fail(errDown)
			f.wantPut("", errDown)
			time.Sleep(after - 1)
			f.primary.fail(nil)
			f.wantPut("primary", nil)
		}
		if f.second.count() != 0 {
			f.Errorf("the fallback got %d dumps", f.second.count())
		}
	})
}

func TestFallbackAtOnce(t *testing.T) {
	runFallback(t, 0, func(f *fallbackTest) {
		f.primary.fail(errDown)
		f.wantPut("second", nil)
		f.wantPut("second", nil)
		if n := f.primary.count(); n != 1 {
			f.Errorf("the primary was tried %d times", n)
		}
	})
}

// A dump that the primary can never take goes to the fallback at once, and says
// nothing of the others.
func TestFallbackPermanent(t *testing.T) {
	runFallback(t, after, func(f *fallbackTest) {
		f.primary.fail(errLarge)
		f.wantPut("second", nil)
		time.Sleep(2 * after)
		f.wantPut("second", nil)
		f.primary.fail(errDown)
		f.wantPut("", errDown) // fails for the first time now

		f.primary.fail(errLarge)
		f.second.fail(errLarge)
		if _, _, err := f.put(f.Context()); !sink.IsPermanent(err) || !strings.Contains(err.Error(), "memory primary") || !strings.Contains(err.Error(), "memory second") {
			f.Errorf("neither can take it: error %v", err)
		}
		f.second.fail(errDown)
		if _, _, err := f.put(f.Context()); sink.IsPermanent(err) || !errors.Is(err, errDown) {
			f.Errorf("the fallback is down: error %v", err)
		}
	})
}

// With both down the error has both, and the primary is tried although it is not
// its turn: it may be back.
func TestFallbackBothDown(t *testing.T) {
	runFallback(t, 0, func(f *fallbackTest) {
		f.primary.fail(errDown)
		f.wantPut("second", nil)
		f.second.fail(sink.WithRetryAfter(errors.New("slow down"), time.Minute))
		_, _, err := f.put(f.Context())
		if !errors.Is(err, errDown) || sink.RetryAfter(err) != time.Minute || !strings.Contains(err.Error(), "slow down") {
			f.Errorf("error %v", err)
		}
		f.primary.fail(nil)
		f.wantPut("primary", nil)
		f.second.fail(errDown)
		f.wantPut("primary", nil)
	})
}

// A primary that hangs gets half of the time, so the fallback can still store.
func TestFallbackHangs(t *testing.T) {
	runFallback(t, after, func(f *fallbackTest) {
		f.primary.hook = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		attempt := func(limit time.Duration) (string, time.Duration, error) {
			ctx, cancel := context.WithTimeout(f.Context(), limit)
			defer cancel()
			return f.put(ctx)
		}
		if where, took, err := attempt(40 * time.Second); where != "" || took != 40*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			f.Errorf("first: in %q after %v, error %v", where, took, err)
		}
		time.Sleep(after)
		for _, c := range []struct{ limit, took time.Duration }{
			{40 * time.Second, 20 * time.Second},
			{40 * time.Second, 0}, // not its turn
			{4 * time.Minute, 30 * time.Second},
		} {
			if where, took, err := attempt(c.limit); where != "second" || took != c.took || err != nil {
				f.Errorf("of %v: in %q after %v, error %v; want %v", c.limit, where, took, err, c.took)
			}
			if c.took == 0 {
				time.Sleep(time.Minute)
			}
		}
		time.Sleep(time.Minute)
		if where, took, err := f.put(f.Context()); where != "second" || took != 30*time.Second || err != nil {
			f.Errorf("without a deadline: in %q after %v, error %v", where, took, err)
		}
	})
}

// A primary that wants to be left alone is, but not for ever.
func TestFallbackRetryAfter(t *testing.T) {
	for _, c := range []struct{ says, waits time.Duration }{
		{time.Second, time.Minute},
		{10 * time.Minute, 10 * time.Minute},
		{30 * 24 * time.Hour, time.Hour},
	} {
		runFallback(t, 0, func(f *fallbackTest) {
			f.primary.fail(sink.WithRetryAfter(errDown, c.says))
			f.wantPut("second", nil)
			f.primary.fail(nil)
			time.Sleep(c.waits - 1)
			f.wantPut("second", nil)
			time.Sleep(time.Nanosecond)
			f.wantPut("primary", nil)
		})
	}
}

// Who waits as long as the primary wishes finds the fallback nevertheless.
func TestFallbackBeforeRetryAfter(t *testing.T) {
	runFallback(t, after, func(f *fallbackTest) {
		f.primary.fail(sink.WithRetryAfter(errDown, 24*time.Hour))
		for _, wait := range []time.Duration{0, time.Minute, 2 * time.Minute} {
			time.Sleep(wait)
			_, _, err := f.put(f.Context())
			if got, want := sink.RetryAfter(err), after-time.Since(f.begun); !errors.Is(err, errDown) || got != want {
				f.Errorf("after %v: %v, to be left alone for %v, want %v", time.Since(f.begun), err, got, want)
			}
		}
		f.primary.fail(sink.WithRetryAfter(errDown, time.Second))
		_, _, err := f.put(f.Context())
		if got := sink.RetryAfter(err); got != time.Second {
			f.Errorf("%v: to be left alone for %v, want 1s", err, got)
		}
		f.primary.fail(sink.WithRetryAfter(errDown, 24*time.Hour))
		_, _, err = f.put(f.Context())
		time.Sleep(sink.RetryAfter(err))
		f.wantPut("second", nil)

		// Also if the Put's time was over before it could go on to the fallback.
		time.Sleep(time.Hour)
		f.primary.hook = func(ctx context.Context) error {
			time.Sleep(time.Minute)
			return nil
		}
		ctx, cancel := context.WithTimeout(f.Context(), time.Second)
		defer cancel()
		if _, _, err := f.put(ctx); err == nil || sink.RetryAfter(err) != 0 {
			f.Errorf("%v: to be left alone for %v, want 0", err, sink.RetryAfter(err))
		}
	})
}

// A Put that is broken off says nothing of the store.
func TestFallbackCancelled(t *testing.T) {
	runFallback(t, 0, func(f *fallbackTest) {
		ctx, cancel := context.WithCancel(f.Context())
		f.primary.hook = func(ctx context.Context) error {
			cancel()
			return ctx.Err()
		}
		if where, _, err := f.put(ctx); where != "" || !errors.Is(err, context.Canceled) {
			f.Errorf("in %q, error %v", where, err)
		}
		if _, _, err := f.put(ctx); !errors.Is(err, context.Canceled) || f.primary.count() != 1 {
			f.Errorf("a context that is over: error %v, %d calls", err, f.primary.count())
		}
		f.primary.hook = nil
		f.wantPut("primary", nil)
		if f.second.count() != 0 {
			f.Errorf("the fallback was asked %d times", f.second.count())
		}
	})
}

// Of many at once only one tries the primary.
func TestFallbackOneTries(t *testing.T) {
	runFallback(t, 0, func(f *fallbackTest) {
		f.primary.fail(errDown)
		f.wantPut("second", nil)
		time.Sleep(time.Minute)
		before := f.primary.count()
		f.primary.hook = func(context.Context) error {
			time.Sleep(10 * time.Second)
			return nil
		}
		done := make(chan error)
		for range 20 {
			go func() { done <- f.sink.Put(f.Context(), newID(), content()) }()
		}
		for range 20 {
			if err := <-done; err != nil {
				f.Error(err)
			}
		}
		if n := f.primary.count() - before; n != 1 {
			f.Errorf("%d have tried the primary", n)
		}
	})
}

func TestFallbackNames(t *testing.T) {
	a, b, id := newFake("a"), newFake("b"), newID()
	s := route.Fallback(a, b, time.Minute)
	if s.URI(id) != a.URI(id) || sink.URIFor(s, id, dump.TriggerPanic) != a.URI(id) {
		t.Errorf("URI %q", s.URI(id))
	}
	if got := s.String(); !strings.HasPrefix(got, a.String()) || !strings.Contains(got, b.String()) {
		t.Errorf("it is called %q", got)
	}
}
