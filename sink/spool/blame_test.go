package spool

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// TestPartial: what a part of the destination refuses keeps nothing else from it, and
// waits by itself for as long as that part asks for.
func TestPartial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MinBackoff: time.Second, MaxBackoff: 2 * time.Second})
		half := sink.WithPartial(sink.WithRetryAfter(errDown, 10*time.Minute))
		w.dest.setHook(fails(half))
		const n = tripAfter + 3
		var bad []dump.Identity
		for range n {
			bad = append(bad, w.put(dump.TriggerPanic))
		}
		synctest.Wait()
		if st := w.s.Stats(); st.Breaker != BreakerClosed || st.Failures != n || !errors.Is(st.LastError, errDown) {
			t.Errorf("%+v", st)
		}
		w.dest.setHook(nil)
		good := w.put(dump.TriggerPanic)
		synctest.Wait()
		if told := w.outcomes(good.ID); !slices.Equal(told, []Outcome{Delivered}) {
			t.Errorf("was told %v", told)
		}
		// Not even somebody who is in a hurry gets in before.
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
		if err := w.s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush: %v", err)
		}
		cancel()
		if calls := w.dest.callCount(); calls != n+1 {
			t.Errorf("%d calls, want %d", calls, n+1)
		}
		time.Sleep(2 * time.Minute)
		for _, id := range bad {
			if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) {
				t.Errorf("was told %v", told)
			}
		}
		if w.kinds()[TroubleDestination] > 0 || w.kinds()[TroubleUpload] != n {
			w.log(t)
			t.Errorf("was told of %v", w.kinds())
		}
		w.end()

		// Commands go on as well.
		w.start(Config{Passive: true})
		w.dest.setHook(fails(half))
		for range n {
			w.put(dump.TriggerPanic)
		}
		if stats, err := w.s.Push(t.Context(), nil); stats.Failed != n || stats.Left > 0 || !errors.Is(err, errDown) {
			t.Errorf("Push: %+v, %v", stats, err)
		}
		calls := w.dest.callCount()
		ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
		if err := w.s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush: %v", err)
		}
		cancel()
		if calls = w.dest.callCount() - calls; calls < n {
			t.Errorf("Flush has tried %d, want all %d", calls, n)
		}
		w.end()
	})
}

// TestDestinationThatAborts takes a while to remove what it has uploaded so far. It
// is not stuck.
func TestDestinationThatAborts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AttemptTimeout: 7 * time.Second})
		aborting := 4 * time.Second
		w.dest.setHook(func(ctx context.Context, _ dump.Identity, call int) error {
			if call > 1 {
				return nil
			}
			<-ctx.Done()
			time.Sleep(aborting)
			return ctx.Err()
		})
		id := w.put(dump.TriggerPanic)
		time.Sleep(20 * time.Second)
		if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) || w.kinds()[TroubleStuck] > 0 {
			t.Errorf("was told %v, %v", told, w.kinds())
		}
		w.end()

		// Shutdown does not wait that long, also if it comes while that goes on.
		for _, at := range []time.Duration{6 * time.Second, 8 * time.Second} {
			w.start(Config{AttemptTimeout: 7 * time.Second})
			w.dest.setHook(func(ctx context.Context, _ dump.Identity, _ int) error {
				<-ctx.Done()
				time.Sleep(aborting)
				return ctx.Err()
			})
			w.put(dump.TriggerPanic)
			time.Sleep(at)
			start := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := w.s.Shutdown(ctx); time.Since(start) > grace || !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "does not end") {
				t.Errorf("Shutdown after %v took %v: %v", at, time.Since(start), err)
			}
			time.Sleep(time.Minute)
		}
	})
}

// TestForegroundLeavesTheProbe: an upload that somebody has asked for ends while the
// background tries whether the destination is back. That stays the only one.
func TestForegroundLeavesTheProbe(t *testing.T) {
	for name, answer := range map[string]error{"failure": errDown, "refusal": sink.Permanent(errDown)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{AttemptTimeout: 100 * time.Hour, MaxBackoff: time.Minute})
				w.dest.setHook(fails(errDown))
				for range 20 {
					w.put(dump.TriggerPanic)
				}
				time.Sleep(time.Hour)
				release := make(chan struct{})
				var probe dump.ID
				before := w.dest.callCount()
				w.dest.setHook(func(_ context.Context, id dump.Identity, call int) error {
					if call == before+1 {
						probe = id.ID
						<-release
						return nil
					}
					return answer
				})
				time.Sleep(2 * time.Minute)
				if st := w.s.Stats(); st.Breaker != BreakerHalfOpen || st.Uploading != 1 {
					t.Fatalf("%+v", st)
				}
				id := w.put(dump.TriggerPanic)
				if err := w.s.Forward(t.Context(), id.ID); !errors.Is(err, errDown) {
					t.Errorf("Forward: %v", err)
				}
				time.Sleep(time.Hour)
				if calls := w.dest.callCount() - before; calls != 2 {
					t.Errorf("%d calls, want that of the background and that of Forward", calls)
				}
				w.dest.setHook(nil)
				close(release)
				time.Sleep(time.Minute)
				if told := w.outcomes(probe); !slices.Equal(told, []Outcome{Delivered}) {
					t.Errorf("was told %v", told)
				}
				if st := w.s.Stats(); st.Items != 0 || st.Breaker != BreakerClosed {
					t.Errorf("%+v", st)
				}
				w.end()
			})
		})
	}
}

// TestRemovedLaterSaysNothing: that the file of a dump could be removed at last, or
// not, says nothing about the destination.
func TestRemovedLaterSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, kind := range []verdictKind{verdictDelivered, verdictKept} {
			w := newWorld(t, Config{Passive: true})
			w.put(dump.TriggerPanic)
			it := w.s.itemsNow(everyItem)[0]
			until := time.Now().Add(time.Hour)
			for _, taken := range []bool{false, true} {
				w.s.mu.Lock()
				it.delivered = true
				w.s.breaker.until = until
				w.s.conclude(it, &flight{taken: taken, verdict: verdict{kind, errDown}})
				down := w.s.breaker.down()
				w.s.mu.Unlock()
				if down == taken {
					t.Errorf("verdict %d, taken %t: left alone: %t", kind, taken, down)
				}
			}
			w.end()
		}
		// As a whole.
		w := newWorld(t, Config{Passive: true})
		w.put(dump.TriggerPanic)
		it := w.s.itemsNow(everyItem)[0]
		w.s.mu.Lock()
		it.delivered = true
		w.s.breaker.until = time.Now().Add(time.Hour)
		w.s.mu.Unlock()
		if v := w.s.attemptNow(t.Context(), it); v.kind != verdictDelivered || w.dest.callCount() != 0 {
			t.Errorf("%+v, %d calls", v, w.dest.callCount())
		}
		if st := w.s.Stats(); st.Breaker != BreakerOpen || len(w.files()) > 0 {
			t.Errorf("%+v, %q", st, w.files())
		}
		id := w.put(dump.TriggerPanic)
		if err := w.s.Forward(t.Context(), id.ID); err != nil {
			t.Error(err)
		}
		if st := w.s.Stats(); st.Breaker != BreakerClosed {
			t.Errorf("%+v", st)
		}
		w.end()
	})
}
