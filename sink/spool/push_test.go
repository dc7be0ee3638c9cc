package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func TestForward(t *testing.T) {
	for name, passive := range map[string]bool{"active": false, "passive": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{Passive: passive})
				// However long the pauses are, and before all that waits.
				w.dest.setHook(fails(errDown))
				for range 10 {
					w.put(dump.TriggerPanic)
				}
				time.Sleep(24 * time.Hour)
				w.dest.setHook(func(_ context.Context, id dump.Identity, _ int) error { return nil })
				id := w.put(dump.TriggerPanic)
				start := time.Now()
				if err := w.s.Forward(t.Context(), id.ID); err != nil || time.Since(start) > time.Millisecond {
					t.Errorf("Forward: %v after %v", err, time.Since(start))
				}
				if _, puts := w.dest.has(id.ID); puts != 1 {
					t.Errorf("the dump has arrived %d times", puts)
				}
				if err := w.s.Forward(t.Context(), id.ID); err != nil {
					t.Errorf("Forward of a dump that was delivered: %v", err)
				}
				if passive {
					if n := w.dest.count(); n != 1 {
						t.Errorf("%d dumps have arrived, want the one that was forwarded", n)
					}
				} else {
					time.Sleep(time.Minute) // it has shown that the destination is back
					if n := w.dest.count(); n != 11 {
						t.Errorf("%d dumps have arrived, want all", n)
					}
				}

				w.dest.setHook(fails(errDown))
				id = w.put(dump.TriggerPanic)
				if err := w.s.Forward(t.Context(), id.ID); !errors.Is(err, errDown) || errors.Is(err, sink.ErrLost) {
					t.Errorf("Forward: %v", err)
				}
				w.dest.setHook(func(ctx context.Context, _ dump.Identity, _ int) error {
					<-ctx.Done()
					return ctx.Err()
				})
				id = w.put(dump.TriggerPanic)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				start = time.Now()
				if err := w.s.Forward(ctx, id.ID); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
					t.Errorf("Forward: %v after %v", err, time.Since(start))
				}
				if err := w.s.Forward(ctx, id.ID); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Forward with a context that is done: %v", err)
				}
				cancel()
				if err := w.s.Forward(t.Context(), dump.NewID()); !errors.Is(err, sink.ErrNotFound) {
					t.Errorf("Forward of a dump that is none: %v", err)
				}
				w.end()
			})
		})
	}
}

// TestForwardJoins an upload that is under way, and makes one of its own if that
// fails.
func TestForwardJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.dest.setHook(func(_ context.Context, _ dump.Identity, call int) error {
			time.Sleep(time.Second)
			if call == 1 {
				return errDown
			}
			return nil
		})
		id := w.put(dump.TriggerPanic)
		time.Sleep(time.Second / 2)
		if err := w.s.Forward(t.Context(), id.ID); err != nil {
			t.Errorf("Forward: %v", err)
		}
		if n := w.dest.callCount(); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
		w.end()
	})
}

// TestForwardShowsTheWay: what the destination takes shows that it is back, and
// those that it has turned away before are tried at once.
func TestForwardShowsTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxBackoff: 100 * time.Hour})
		w.dest.setHook(fails(errDown))
		first := w.put(dump.TriggerPanic)
		time.Sleep(99 * time.Hour)
		w.dest.setHook(nil)
		if err := w.s.Forward(t.Context(), w.put(dump.TriggerPanic).ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if told := w.outcomes(first.ID); !slices.Equal(told, []Outcome{Delivered}) {
			t.Errorf("was told %v", told)
		}
		w.end()
	})
}

// TestForwardOfTheLost tells that they are.
func TestForwardOfTheLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxItems: 1, Passive: true})
		evicted, err := w.tryPut(dump.TriggerPanic, 0)
		if err != nil {
			t.Fatal(err)
		}
		damaged, err := w.tryPut(dump.TriggerPanic, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.s.Forward(t.Context(), evicted.ID); !errors.Is(err, sink.ErrLost) {
			t.Errorf("Forward of an evicted dump: %v", err)
		}
		root, err := w.mem.Open(memDir)
		if err != nil {
			t.Fatal(err)
		}
		if err := root.Remove(w.s.path(itemsDir, itemName(damaged))); err != nil {
			t.Fatal(err)
		}
		w.plant(itemsDir+"/"+itemName(damaged), []byte("garbage"))
		for range 2 {
			if err := w.s.Forward(t.Context(), damaged.ID); !errors.Is(err, sink.ErrLost) {
				t.Errorf("Forward of a damaged dump: %v", err)
			}
		}
		w.end()
	})
}

func TestPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true, Concurrency: 3})
		if stats, err := w.s.Push(t.Context(), nil); stats != (PushStats{}) || err != nil {
			t.Errorf("Push of an empty spool: %+v, %v", stats, err)
		}
		refused := map[dump.ID]bool{}
		var ids []dump.Identity
		bytesTotal := int64(0)
		for i := range 20 {
			id := newIdentity()
			put(t, w.s, id, 100*i)
			bytesTotal += int64(100 * i)
			refused[id.ID] = i%7 == 0
			ids = append(ids, id)
		}
		bad := newIdentity()
		w.plant(itemsDir+"/"+itemName(bad), make([]byte, 500))
		no := sink.Permanent(errors.New("not this one"))
		w.dest.setHook(func(_ context.Context, id dump.Identity, _ int) error {
			if refused[id.ID] {
				return no
			}
			return nil
		})
		var seen []Progress
		stats, err := w.s.Push(t.Context(), func(p Progress) { seen = append(seen, p) })
		if !errors.Is(err, no) || !strings.Contains(err.Error(), "3 of 21 dumps") {
			t.Errorf("Push: %v", err)
		}
		want := PushStats{Delivered: 17, Failed: 3, Damaged: 1, Bytes: bytesTotal - 100*(7+14), Took: stats.Took}
		if stats != want {
			t.Errorf("Push: %+v, want %+v", stats, want)
		}
		if len(seen) != 21 || seen[20].Done != 21 || seen[20].Total != 21 || seen[20].DoneBytes != seen[20].TotalBytes {
			t.Errorf("progress: %+v", seen)
		}
		errs := 0
		for i, p := range seen {
			if p.Done != i+1 {
				t.Errorf("progress %d: %+v", i, p)
			}
			if p.Err != nil {
				errs++
			}
		}
		if errs != 4 {
			t.Errorf("%d errors in the progress, want those of the refused and of the damaged one", errs)
		}
		w.dest.setHook(nil)
		if stats, err := w.s.Push(t.Context(), nil); stats.Delivered != 3 || err != nil {
			t.Errorf("Push once more: %+v, %v", stats, err)
		}
		for _, id := range ids {
			if _, puts := w.dest.has(id.ID); puts != 1 {
				t.Errorf("a dump has arrived %d times", puts)
			}
		}
		w.end()
	})
}

// TestPushStops when nothing arrives: nobody wants to wait ten thousand timeouts.
func TestPushStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true, Concurrency: 1})
		for range 100 {
			w.put(dump.TriggerPanic)
		}
		w.dest.setHook(fails(errDown))
		stats, err := w.s.Push(t.Context(), nil)
		if stats.Failed != tripAfter || stats.Left != 100-tripAfter || !errors.Is(err, errDown) {
			t.Errorf("Push: %+v, %v", stats, err)
		}
		// And when the context ends.
		ctx, cancel := context.WithCancel(t.Context())
		w.dest.setHook(func(context.Context, dump.Identity, int) error { cancel(); return nil })
		stats, err = w.s.Push(ctx, nil)
		if stats.Left < 98 || !errors.Is(err, context.Canceled) {
			t.Errorf("Push: %+v, %v", stats, err)
		}
		w.end()
	})
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true})
		var told []Outcome
		for range 5 {
			w.put(dump.TriggerPanic)
		}
		w.end()
		// A background that has failed for long enough to make long pauses.
		w.dest.setHook(fails(errDown))
		w.start(Config{MaxBackoff: 10 * time.Hour})
		time.Sleep(48 * time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := w.s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "5 dumps") {
			t.Errorf("Flush: %v", err)
		}
		cancel()
		w.dest.setHook(nil)
		start := time.Now()
		if err := w.s.Flush(t.Context()); err != nil || time.Since(start) > 10*time.Second {
			t.Errorf("Flush: %v after %v", err, time.Since(start))
		}
		// What came of it has been told.
		w.witness.mu.Lock()
		for _, r := range w.results {
			told = append(told, r.Outcome)
		}
		w.witness.mu.Unlock()
		if !slices.Equal(told, []Outcome{Delivered, Delivered, Delivered, Delivered, Delivered}) {
			t.Errorf("was told %v", told)
		}
		w.end()

		// A Spool without a background does it in the foreground.
		w.start(Config{Passive: true})
		id := w.put(dump.TriggerPanic)
		w.dest.setHook(func(_ context.Context, _ dump.Identity, call int) error {
			if call%3 != 0 {
				return fmt.Errorf("call %d: %w", call, errDown)
			}
			return nil
		})
		if err := w.s.Flush(t.Context()); err != nil {
			t.Errorf("Flush: %v", err)
		}
		if _, puts := w.dest.has(id.ID); puts != 1 {
			t.Errorf("the dump has arrived %d times", puts)
		}
		w.dest.setHook(fails(errDown))
		for range 10 {
			w.put(dump.TriggerPanic)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		before := w.dest.callCount()
		if err := w.s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "10 dumps") {
			t.Errorf("Flush: %v", err)
		}
		if n := w.dest.callCount() - before; n < 20 || n > 1000 {
			t.Errorf("%d calls in a minute", n)
		}
		cancel()
		w.end()
	})
}

// TestPutOfWhatWasDelivered asks the destination, and stores the dump again only
// if it has been deleted there.
func TestPutOfWhatWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		id := w.put(dump.TriggerPanic)
		synctest.Wait()
		other := bytes.NewReader([]byte("another content"))
		if err := w.s.Put(t.Context(), id, other); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := w.dest.callCount(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
		if err := w.dest.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
			t.Fatal(err)
		}
		if err := w.s.Put(t.Context(), id, other); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if b, _ := w.dest.has(id.ID); string(b) != "another content" {
			t.Errorf("the destination has %q", b)
		}
		if err := w.s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
			t.Fatal(err)
		}
		if err := w.s.Forward(t.Context(), id.ID); !errors.Is(err, sink.ErrNotFound) {
			t.Errorf("Forward of a dump that was deleted: %v", err)
		}
		w.end()
	})
}

// TestRemembersSoMuch bounds what is remembered of dumps that are gone.
func TestRemembersSoMuch(t *testing.T) {
	var st state
	st.init()
	first := dump.NewID()
	st.recent.add(first, Delivered)
	st.recent.forget(first)
	st.recent.add(first, Evicted)
	st.recent.add(first, Delivered)
	for range 3 * maxRecent {
		st.recent.add(dump.NewID(), Delivered)
	}
	if len(st.recent.m) > maxRecent || len(st.recent.ring) > maxRecent || st.recent.m[first] != "" {
		t.Errorf("%d dumps are remembered", len(st.recent.m))
	}
}

// TestDefect: an upload that panics has not delivered the dump.
func TestDefect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true})
		id := w.put(dump.TriggerPanic)
		w.mem.Before = func(op, _ string) {
			if op == "read" {
				panic("oops")
			}
		}
		var seen []Progress
		stats, err := w.s.Push(t.Context(), func(p Progress) { seen = append(seen, p) })
		if err == nil || strings.Contains(err.Error(), "%!") || stats.Failed != 1 || !errors.Is(err, errDefect) {
			t.Errorf("Push: %+v, %v", stats, err)
		}
		if len(seen) != 1 || seen[0].Err == nil {
			t.Errorf("progress: %+v", seen)
		}
		if err := w.s.Forward(t.Context(), id.ID); !errors.Is(err, errDefect) {
			t.Errorf("Forward: %v", err)
		}
		settled(t, w.s)
		if w.kinds()[TroublePanic] != 2 {
			t.Errorf("was told of %v", w.kinds())
		}
		w.mem.Before = nil
		if err := w.s.Forward(t.Context(), id.ID); err != nil || w.dest.count() != 1 {
			t.Errorf("Forward: %v", err)
		}
		w.end()
	})
}

// TestForwardOnAHungDisk does not wait for it longer than it is told to.
func TestForwardOnAHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true})
		w.put(dump.TriggerPanic)
		release := make(chan struct{})
		w.mem.Before = func(op, _ string) {
			if op == "readdir" {
				<-release
			}
		}
		time.AfterFunc(time.Hour, func() { close(release) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := w.s.Forward(ctx, dump.NewID()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Forward: %v after %v", err, time.Since(start))
		}
		time.Sleep(2 * time.Hour)
		w.end()
	})
}
