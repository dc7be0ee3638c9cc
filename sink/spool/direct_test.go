package spool

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// TestDirect is about a spool that cannot take dumps.
func TestDirect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(file, "spool")
	dest := newStore()
	w := &witness{}
	s := newTestSpool(t, dest, w.watch(Config{Dir: dir, Direct: true}))
	defer shutdown(t, s)

	id := newIdentity()
	put(t, s, id, 1000)
	settled(t, s)
	if r := w.last(t, id.ID); r.Identity != id || r.Outcome != Delivered || r.Size != 1000 || len(w.outcomes(id.ID)) != 1 {
		t.Errorf("%+v", r)
	}
	w.mu.Lock()
	if !slices.ContainsFunc(w.troubles, func(line string) bool {
		return strings.HasPrefix(line, TroubleDirect+": ") && strings.Contains(line, dir)
	}) {
		t.Errorf("was told of %q", w.troubles)
	}
	w.mu.Unlock()
	if err := s.Forward(t.Context(), id.ID); err != nil {
		t.Errorf("Forward of what is there: %v", err)
	}

	// Neither here nor there.
	gone := errors.New("bucket is gone")
	for _, hook := range []func(context.Context, dump.Identity, int) error{
		func(context.Context, dump.Identity, int) error { return gone },
		func(context.Context, dump.Identity, int) error { panic(gone) },
	} {
		dest.setHook(hook)
		err := s.Put(t.Context(), newIdentity(), bytes.NewReader([]byte("dump")))
		if err == nil || !strings.Contains(err.Error(), gone.Error()) || !strings.Contains(err.Error(), dir) {
			t.Errorf("Put: %v, want both reasons", err)
		}
	}
	dest.setHook(nil)

	plain := newTestSpool(t, dest, Config{Dir: dir})
	defer shutdown(t, plain)
	if err := plain.Put(t.Context(), newIdentity(), bytes.NewReader([]byte("dump"))); err == nil {
		t.Error("without Direct a dump went past the spool")
	}
}

// newFull returns a Spool with Direct that holds a panic, so that it has no room
// for what is worth less.
func newFull(t *testing.T, c Config) *world {
	t.Helper()
	c.MaxItems, c.Passive, c.Direct = 1, true, true
	w := newWorld(t, c)
	w.put(dump.TriggerPanic)
	return w
}

// TestDirectHeedsTheBreaker: nobody waits for a destination that is left alone.
func TestDirectHeedsTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFull(t, Config{})
		put := func() error {
			_, err := w.tryPut(dump.TriggerErrorSpan, 0)
			return err
		}
		w.dest.setHook(fails(errDown))
		for n := range 2 * tripAfter {
			err := put()
			if !errors.Is(err, errDown) || !errors.Is(err, ErrFull) {
				t.Errorf("Put %d: %v, want both reasons", n+1, err)
			}
		}
		st := w.s.Stats()
		if st.Breaker != BreakerOpen || st.Attempts != tripAfter || st.Failures != tripAfter || w.dest.callCount() != tripAfter || !errors.Is(st.LastError, errDown) {
			t.Errorf("%d calls, %+v", w.dest.callCount(), st)
		}
		settled(t, w.s)
		if w.kinds()[TroubleDestination] != 1 {
			t.Errorf("was told of %v", w.kinds())
		}
		time.Sleep(time.Second)
		w.dest.setHook(nil)
		if err := put(); err != nil {
			t.Error(err)
		}
		if st := w.s.Stats(); st.Breaker != BreakerClosed || st.Delivered != 1 || st.Attempts != tripAfter+1 {
			t.Errorf("%+v", st)
		}

		// What it asks for, it gets, and the caller learns of it.
		w.dest.setHook(fails(sink.WithRetryAfter(errDown, time.Hour)))
		if err := put(); sink.RetryAfter(err) != time.Hour {
			t.Errorf("Put: %v, to be repeated after %v", err, sink.RetryAfter(err))
		}
		w.dest.setHook(nil)
		time.Sleep(59 * time.Minute)
		calls := w.dest.callCount()
		if err := put(); err == nil || sink.RetryAfter(err) < time.Minute-time.Second || w.dest.callCount() != calls {
			t.Errorf("Put: %v, to be repeated after %v", err, sink.RetryAfter(err))
		}
		time.Sleep(time.Minute + time.Second)
		if err := put(); err != nil {
			t.Error(err)
		}
		w.end()
	})
}

// TestDirectBlames only what is to blame.
func TestDirectBlames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFull(t, Config{})
		bad := errors.New("bad memory")
		for range 2 * tripAfter {
			if err := w.s.Put(t.Context(), newIdentity(), failing{bad}); !errors.Is(err, bad) {
				t.Errorf("Put: %v", err)
			}
			w.dest.setHook(fails(sink.Permanent(errDown)))
			if _, err := w.tryPut(dump.TriggerErrorSpan, 0); err == nil {
				t.Error("no error")
			}
			w.dest.setHook(fails(sink.WithPartial(errDown)))
			if _, err := w.tryPut(dump.TriggerErrorSpan, 0); err == nil {
				t.Error("no error")
			}
			ctx, cancel := context.WithCancel(t.Context())
			w.dest.setHook(func(context.Context, dump.Identity, int) error { cancel(); return ctx.Err() })
			if err := w.s.Put(ctx, newIdentity(), bytes.NewReader(nil)); !errors.Is(err, context.Canceled) {
				t.Errorf("Put: %v", err)
			}
			w.dest.setHook(nil)
		}
		if st := w.s.Stats(); st.Breaker != BreakerClosed {
			t.Errorf("%+v", st)
		}
		w.end()
	})
}

type failing struct{ err error }

func (failing) Size() int64                               { return 10 }
func (f failing) ReadAt(b []byte, off int64) (int, error) { return 0, f.err }

// TestDirectPermanent: it is no use to try again only if neither will ever take the
// dump.
func TestDirectPermanent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFull(t, Config{MaxBytes: 10_000})
		for _, tc := range []struct {
			size      int
			err       error
			permanent bool
		}{
			{0, errDown, false},
			{0, sink.Permanent(errDown), false},
			{0, sink.Permanent(sink.WithRetryAfter(errDown, time.Hour)), false},
			{20_000, errDown, false},
			{20_000, sink.Permanent(errDown), true},
		} {
			w.dest.setHook(fails(tc.err))
			_, err := w.tryPut(dump.TriggerErrorSpan, tc.size)
			if sink.RetryAfter(err) != sink.RetryAfter(tc.err) {
				t.Errorf("%v: to be repeated after %v", err, sink.RetryAfter(err))
			}
			if err == nil || sink.IsPermanent(err) != tc.permanent || !strings.Contains(err.Error(), errDown.Error()) {
				t.Errorf("%d bytes, %v: %v, permanent: %t", tc.size, tc.err, err, sink.IsPermanent(err))
			}
		}
		// Not even if the latest failure, that of another dump, was.
		w.s.mu.Lock()
		w.s.breaker.until = time.Now().Add(time.Hour)
		w.s.mu.Unlock()
		if _, err := w.tryPut(dump.TriggerErrorSpan, 20_000); err == nil || sink.IsPermanent(err) || !strings.Contains(err.Error(), errDown.Error()) {
			t.Errorf("Put: %v", err)
		}
		w.end()
	})
}

// TestDirectHangs: a destination that ignores its context is left behind, and
// after a few times not called any more.
func TestDirectHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFull(t, Config{})
		release := make(chan struct{})
		w.dest.setHook(func(context.Context, dump.Identity, int) error {
			<-release
			return nil
		})
		var reads atomic.Int32
		for n := range maxStuck + 1 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start := time.Now()
			if err := w.s.Put(ctx, newIdentity(), shortLived{&reads}); err == nil {
				t.Error("no error")
			}
			if d := time.Since(start); d > 2*time.Second || n == maxStuck && d > 0 {
				t.Errorf("Put %d took %v", n+1, d)
			}
			cancel()
			time.Sleep(time.Minute) // whatever the breaker says
		}
		if st := w.s.Stats(); st.Stuck != maxStuck || w.dest.callCount() != maxStuck || st.Attempts != maxStuck {
			t.Errorf("%d calls, %+v", w.dest.callCount(), st)
		}
		before := reads.Load()
		close(release)
		synctest.Wait()
		if reads.Load() != before {
			t.Error("a dump was read after its Put")
		}
		if st := w.s.Stats(); st.Stuck != 0 || st.Delivered != 0 || w.dest.count() != 0 {
			t.Errorf("%+v", st)
		}
		w.end()
	})
}

// shortLived is a source that must not be read when its Put has returned.
type shortLived struct{ reads *atomic.Int32 }

func (shortLived) Size() int64 { return 10 }

func (u shortLived) ReadAt(b []byte, _ int64) (int, error) {
	u.reads.Add(1)
	return min(len(b), 10), nil
}
