package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk/disktest"
)

// world is a Spool on a disk in memory, in a bubble with a clock of its own.
type world struct {
	*witness
	t    *testing.T
	mem  *disktest.Mem
	dest *store
	s    *Spool
}

const memDir = "/var/spool"

func newWorld(t *testing.T, c Config) *world {
	t.Helper()
	w := &world{witness: &witness{}, t: t, mem: disktest.NewMem(), dest: newStore()}
	w.start(c)
	return w
}

// start begins another process on the same disk.
func (w *world) start(c Config) {
	w.t.Helper()
	c.Dir = memDir
	s, err := newSpool(w.dest, w.watch(c), w.mem)
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
}

// end shuts the Spool down without waiting for what is left.
func (w *world) end() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.s.Shutdown(ctx)
	synctest.Wait()
}

func (w *world) put(trigger dump.Trigger) dump.Identity {
	w.t.Helper()
	id := newIdentity()
	if err := w.s.Put(w.t.Context(), id, bytes.NewReader(dumpOf(w.t, id, trigger))); err != nil {
		w.t.Fatalf("Put: %v", err)
	}
	return id
}

// files returns the names of what lies in the spool.
func (w *world) files() []string {
	var list []string
	for name := range w.mem.Files(memDir + "/" + w.s.home) {
		if name != labelFile && name != "lock" {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// plant puts a file into the spool.
func (w *world) plant(name string, content []byte) {
	w.t.Helper()
	full := memDir + "/" + w.s.home + "/" + name
	if err := w.mem.MakeDir(path.Dir(full)); err != nil {
		w.t.Fatal(err)
	}
	root, err := w.mem.Open(path.Dir(full))
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := root.OpenFile(path.Base(full), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// timing records when the destination is called.
type timing struct {
	mu      sync.Mutex
	calls   []time.Time
	inside  int
	mostSim int // calls at once
}

func (tm *timing) enter() (leave func()) {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	tm.calls = append(tm.calls, time.Now())
	tm.inside++
	tm.mostSim = max(tm.mostSim, tm.inside)
	return func() {
		tm.mu.Lock()
		defer tm.mu.Unlock()
		tm.inside--
	}
}

func (tm *timing) gaps() (gaps []time.Duration) {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	for i := 1; i < len(tm.calls); i++ {
		gaps = append(gaps, tm.calls[i].Sub(tm.calls[i-1]))
	}
	return gaps
}

func (tm *timing) count() int {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	return len(tm.calls)
}

func TestBackoffGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MinBackoff: time.Second, MaxBackoff: time.Minute})
		var tm timing
		const failures = 40
		w.dest.hook = func(context.Context, dump.Identity, int) error {
			defer tm.enter()()
			if tm.count() <= failures {
				return errDown
			}
			return nil
		}
		id := w.put(dump.TriggerPanic)
		start := time.Now()
		time.Sleep(4 * time.Hour)
		if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) {
			t.Fatalf("was told %v after 4 h and %d attempts", told, tm.count())
		}
		r := w.last(t, id.ID)
		if r.Attempts != failures+1 || r.Age <= 0 || r.Age > time.Since(start) {
			t.Errorf("%+v, want %d attempts", r, failures+1)
		}
		for i, gap := range tm.gaps() {
			// The longer of the item's own pause and the destination's.
			longest := min(time.Second<<min(i, 20), time.Minute)
			if i >= tripAfter-1 {
				longest = time.Minute
			}
			if gap > longest+time.Millisecond {
				t.Errorf("pause %d took %v, want at most %v", i+1, gap, longest)
			}
			if i >= tripAfter+8 && gap < 30*time.Second {
				t.Errorf("pause %d took %v although the destination is left alone", i+1, gap)
			}
		}
		if w.kinds()[TroubleUpload] != failures || w.kinds()[TroubleDestination] == 0 {
			t.Errorf("was told of %v", w.kinds())
		}
		w.end()
	})
}

func TestBackoffIsSpread(t *testing.T) {
	const n = 10_000
	for _, tc := range []struct {
		attempt int
		most    time.Duration
	}{{1, time.Second}, {3, 4 * time.Second}, {9, 256 * time.Second}, {10, 5 * time.Minute}, {500, 5 * time.Minute}} {
		var quarters [4]int
		for range n {
			d := backoff(time.Second, 5*time.Minute, tc.attempt)
			if d < 0 || d > tc.most {
				t.Fatalf("attempt %d: a pause of %v, want at most %v", tc.attempt, d, tc.most)
			}
			quarters[min(int(4*d/tc.most), 3)]++
		}
		for _, q := range quarters {
			if q < n/5 {
				t.Errorf("attempt %d: the pauses are not spread: %v", tc.attempt, quarters)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for _, tc := range []struct{ asked, least, most time.Duration }{
		{10 * time.Minute, 10 * time.Minute, 10*time.Minute + 2*time.Second},
		{100 * time.Hour, maxRetryAfter, maxRetryAfter + 2*time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{MinBackoff: time.Second, MaxBackoff: 2 * time.Second})
			var tm timing
			w.dest.hook = func(_ context.Context, _ dump.Identity, call int) error {
				defer tm.enter()()
				if call == 1 {
					return fmt.Errorf("slow down: %w", sink.WithRetryAfter(errDown, tc.asked))
				}
				return nil
			}
			first := w.put(dump.TriggerPanic)
			synctest.Wait()
			second := w.put(dump.TriggerPanic) // it has to wait as well
			if st := w.s.Stats(); st.Breaker != BreakerOpen || time.Until(st.Until) < tc.least || st.Items != 2 || st.LastError == nil {
				t.Errorf("%+v", st)
			}
			// Not even somebody who is in a hurry gets in before.
			ctx, cancel := context.WithTimeout(t.Context(), tc.least/2)
			if err := w.s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Flush: %v", err)
			}
			cancel()
			time.Sleep(2 * tc.most)
			for _, id := range []dump.Identity{first, second} {
				if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) {
					t.Errorf("was told %v", told)
				}
			}
			if gap := tm.gaps()[0]; gap < tc.least || gap > tc.most {
				t.Errorf("the second attempt came after %v, want %v to %v", gap, tc.least, tc.most)
			}
			if st := w.s.Stats(); st.Breaker != BreakerClosed || st.Items != 0 {
				t.Errorf("%+v", st)
			}
			w.end()
		})
	}
}

// TestDestinationDown is an outage of a day, with a hundred dumps.
func TestDestinationDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Concurrency: 4})
		var tm timing
		var up atomic.Bool
		w.dest.hook = func(ctx context.Context, _ dump.Identity, _ int) error {
			defer tm.enter()()
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			if !up.Load() {
				return errDown
			}
			return nil
		}
		var ids []dump.Identity
		for range 100 {
			ids = append(ids, w.put(dump.TriggerErrorSpan))
		}
		time.Sleep(time.Hour)
		tm.mu.Lock()
		tm.mostSim = 0
		tm.mu.Unlock()
		inFirstHour := tm.count()
		time.Sleep(23 * time.Hour)
		if n := tm.count(); inFirstHour > 50 || n > 800 || n < 250 {
			t.Errorf("%d attempts in the first hour, %d in a day", inFirstHour, n)
		}
		if tm.mostSim != 1 {
			t.Errorf("%d attempts at once while the destination is down, want 1", tm.mostSim)
		}
		if st := w.s.Stats(); st.Items != 100 || st.Breaker == BreakerClosed {
			t.Errorf("%+v", st)
		}
		up.Store(true)
		time.Sleep(6 * time.Minute) // the longest pause, and the uploads
		for _, id := range ids {
			if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) {
				t.Fatalf("was told %v after it was up again for 6 minutes", told)
			}
			if _, puts := w.dest.has(id.ID); puts != 1 {
				t.Errorf("a dump has arrived %d times", puts)
			}
		}
		if left := w.files(); len(left) > 0 {
			t.Errorf("the spool holds %q", left)
		}
		w.end()
	})
}

// TestDownForAWholeRun is S3 down for the whole life of one process, and back in
// that of the next.
func TestDownForAWholeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.dest.setHook(fails(errDown))
		var ids []dump.Identity
		for range 10 {
			ids = append(ids, w.put(dump.TriggerPanic))
			time.Sleep(time.Minute)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		start := time.Now()
		err := w.s.Shutdown(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDown) || !strings.Contains(err.Error(), "10 dumps") {
			t.Errorf("Shutdown: %v, want what is left and why", err)
		}
		if d := time.Since(start); d > 11*time.Second {
			t.Errorf("Shutdown took %v", d)
		}
		if len(w.files()) != 10 {
			t.Errorf("the spool holds %q", w.files())
		}
		time.Sleep(time.Hour)
		w.dest.setHook(nil)
		w.start(Config{})
		time.Sleep(time.Minute)
		for _, id := range ids {
			if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) {
				t.Errorf("was told %v", told)
			}
		}
		if r := w.last(t, ids[0].ID); r.Age < time.Hour || r.Identity.Service != "shop" || r.Identity.SpanID != ids[0].SpanID {
			t.Errorf("%+v", r)
		}
		w.end()
	})
}

// TestShutdownTriesHard: an outage that ends while Shutdown waits.
func TestShutdownTriesHard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxBackoff: time.Hour})
		w.dest.setHook(fails(errDown))
		for range 10 {
			w.put(dump.TriggerPanic)
		}
		time.Sleep(12 * time.Hour) // pauses are an hour long by now
		time.AfterFunc(5*time.Second, func() { w.dest.setHook(nil) })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		if err := w.s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("Shutdown took %v", d)
		}
		if w.dest.count() != 10 {
			t.Errorf("%d dumps have arrived", w.dest.count())
		}
		if err := w.s.Shutdown(ctx); err != nil {
			t.Errorf("a second Shutdown: %v", err)
		}
		// What comes later is kept for the next process.
		w.put(dump.TriggerPanic)
		time.Sleep(time.Hour)
		if len(w.files()) != 1 {
			t.Errorf("the spool holds %q", w.files())
		}
	})
}

// TestPoison has dumps that always fail before one that does not.
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AttemptTimeout: 10 * time.Second})
		poison := map[dump.ID]bool{}
		var mu sync.Mutex
		w.dest.setHook(func(ctx context.Context, id dump.Identity, _ int) error {
			mu.Lock()
			bad := poison[id.ID]
			mu.Unlock()
			if bad {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		mu.Lock()
		for range 20 {
			poison[w.put(dump.TriggerPanic).ID] = true
		}
		mu.Unlock()
		time.Sleep(time.Hour)
		for range 20 {
			good := w.put(dump.TriggerPanic)
			time.Sleep(15 * time.Minute)
			if told := w.outcomes(good.ID); !slices.Equal(told, []Outcome{Delivered}) {
				t.Errorf("a good dump among bad ones: was told %v", told)
			}
		}
		w.end()
	})
}

func TestAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AttemptTimeout: 7 * time.Second})
		w.dest.setHook(func(ctx context.Context, _ dump.Identity, call int) error {
			if call > 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		id := w.put(dump.TriggerPanic)
		time.Sleep(6 * time.Second)
		if st := w.s.Stats(); st.Uploading != 1 || st.Attempts != 1 || st.Failures != 0 {
			t.Errorf("after 6 s: %+v", st)
		}
		time.Sleep(10 * time.Second)
		if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) {
			t.Errorf("was told %v", told)
		}
		if w.kinds()[TroubleStuck] > 0 {
			t.Errorf("was told of %v", w.kinds())
		}
		w.end()
	})
}

// TestHungDestination ignores its context.
func TestHungDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AttemptTimeout: 10 * time.Second})
		release := make(chan struct{})
		w.dest.setHook(func(context.Context, dump.Identity, int) error {
			<-release
			return nil
		})
		var ids []dump.Identity
		for range 10 {
			ids = append(ids, w.put(dump.TriggerPanic))
		}
		time.Sleep(24 * time.Hour)
		if st := w.s.Stats(); st.Stuck != maxStuck || w.dest.callCount() != maxStuck || st.Items != 10 {
			t.Errorf("%d calls, %+v", w.dest.callCount(), st)
		}
		if w.kinds()[TroubleStuck] != maxStuck {
			t.Errorf("was told of %v", w.kinds())
		}
		// Not even then does Forward wait longer than it is told to.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := w.s.Forward(ctx, ids[9].ID); err == nil {
			t.Error("Forward: no error")
		}
		cancel()
		close(release)
		time.Sleep(10 * time.Minute)
		if st := w.s.Stats(); st.Stuck != 0 || st.Items != 0 {
			t.Errorf("%+v", st)
		}
		for _, id := range ids {
			if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) {
				t.Errorf("was told %v", told)
			}
		}
		if left := w.files(); len(left) > 0 {
			t.Errorf("the spool holds %q", left)
		}
		w.end()
	})
}

// TestOthersTakeWhatIsStuck: an upload that hangs keeps no other process from the
// dump.
func TestOthersTakeWhatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AttemptTimeout: 10 * time.Second, MinBackoff: time.Hour, MaxBackoff: time.Hour})
		release := make(chan struct{})
		w.dest.setHook(func(context.Context, dump.Identity, int) error {
			<-release
			return errDown
		})
		w.put(dump.TriggerPanic)
		time.Sleep(10*time.Second + abortGrace + time.Second)
		first := w.s
		w.dest.setHook(nil)
		w.start(Config{Passive: true})
		if stats, err := w.s.Push(t.Context(), nil); stats.Delivered != 1 || err != nil {
			t.Errorf("Push: %+v, %v", stats, err)
		}
		w.end()
		close(release)
		w.s = first
		w.end()
	})
}

// TestShutdownLeavesTheStuckBehind does not wait for a destination that hangs.
func TestShutdownLeavesTheStuckBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		release := make(chan struct{})
		w.dest.setHook(func(context.Context, dump.Identity, int) error {
			<-release
			return errDown
		})
		w.put(dump.TriggerPanic)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := w.s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("Shutdown took %v", d)
		}
		if len(w.files()) != 1 {
			t.Errorf("the spool holds %q", w.files())
		}
		close(release)
		synctest.Wait()
	})
}

func TestDestinationThatPanics(t *testing.T) {
	for name, bad := range map[string]func(){
		"panic":       func() { panic("oops") },
		"panic error": func() { panic(errors.New("oops")) },
		"goexit":      runtime.Goexit,
		"index":       func() { _ = make([]int, 1)[runtime.NumCPU()] },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				w.dest.setHook(func(_ context.Context, _ dump.Identity, call int) error {
					if call <= 3 {
						bad()
					}
					return nil
				})
				id := w.put(dump.TriggerPanic)
				time.Sleep(time.Minute)
				if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) || w.last(t, id.ID).Attempts != 4 {
					t.Errorf("was told %v", told)
				}
				if w.kinds()[TroubleUpload] != 3 {
					w.log(t)
				}
				w.end()
			})
		})
	}
}

// readAll reads a dump as readers do.
func readAll(t *testing.T, s sink.Sink, id dump.Identity) ([]byte, error) {
	t.Helper()
	obj, err := s.Open(t.Context(), sink.Entry{Identity: dump.Identity{ID: id.ID, TraceID: id.TraceID}})
	if err != nil {
		return nil, err
	}
	defer obj.Close()
	return io.ReadAll(io.NewSectionReader(obj, 0, obj.Size()))
}

func TestGivenUp(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg      Config
		err      error
		attempts int // at least
	}{
		"refused for good": {Config{}, sink.Permanent(errors.New("larger than the store takes")), 1},
		"failed too long":  {Config{GiveUpAfter: time.Hour}, errDown, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tc.cfg)
				w.dest.setHook(fails(tc.err))
				id := w.put(dump.TriggerPanic)
				time.Sleep(2 * time.Hour)
				r := w.last(t, id.ID)
				if r.Outcome != GivenUp || !errors.Is(r.Err, tc.err) || errors.Is(r.Err, sink.ErrLost) || r.Attempts < tc.attempts {
					t.Errorf("%+v", r)
				}
				calls := w.dest.callCount()
				time.Sleep(24 * time.Hour)
				if n := w.dest.callCount(); n != calls {
					t.Errorf("%d attempts after it was given up", n-calls)
				}
				if want := failedDir + "/" + itemName(id); !slices.Equal(w.files(), []string{want}) {
					t.Errorf("the spool holds %q, want %q", w.files(), want)
				}
				if st := w.s.Stats(); st.Items != 0 || st.FailedItems != 1 || st.GivenUp != 1 {
					t.Errorf("%+v", st)
				}

				// It is still to be seen, and counts as there.
				if b, err := readAll(t, w.s, id); err != nil || !bytes.Equal(b, dumpOf(t, id, dump.TriggerPanic)) {
					t.Errorf("Open: %v", err)
				}
				if list, err := w.s.Trace(t.Context(), id.TraceID); len(list) != 1 || err != nil {
					t.Errorf("Trace: %v, %v", list, err)
				}
				if err := w.s.Put(t.Context(), id, bytes.NewReader(nil)); err != nil || len(w.files()) != 1 {
					t.Errorf("Put once more: %v, %q", err, w.files())
				}
				if err := w.s.Flush(t.Context()); err != nil {
					t.Errorf("Flush: %v", err)
				}

				// A push that fails changes nothing; one that does not brings it.
				if stats, err := w.s.Push(t.Context(), nil); stats.Failed != 1 || !errors.Is(err, tc.err) {
					t.Errorf("Push: %+v, %v", stats, err)
				}
				w.dest.setHook(nil)
				if stats, err := w.s.Push(t.Context(), nil); stats.Delivered != 1 || err != nil {
					t.Errorf("Push: %+v, %v", stats, err)
				}
				if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{GivenUp, Delivered}) {
					t.Errorf("was told %v", told)
				}
				if len(w.files()) > 0 {
					t.Errorf("the spool holds %q", w.files())
				}
				w.end()
			})
		})
	}
}

func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxAge: 24 * time.Hour})
		w.dest.setHook(fails(errDown))
		var ids []dump.Identity
		for range 20 {
			ids = append(ids, w.put(dump.TriggerPanic))
		}
		time.Sleep(23 * time.Hour)
		if len(w.files()) != 20 {
			t.Errorf("after 23 h the spool holds %d files", len(w.files()))
		}
		young := w.put(dump.TriggerPanic)
		time.Sleep(2 * time.Hour)
		if want := itemsDir + "/" + itemName(young); !slices.Equal(w.files(), []string{want}) {
			t.Errorf("the spool holds %q, want %q", w.files(), want)
		}
		for _, id := range ids {
			r := w.last(t, id.ID)
			if r.Outcome != Expired || !errors.Is(r.Err, sink.ErrLost) || len(w.outcomes(id.ID)) != 1 {
				t.Errorf("%+v", r)
			}
		}
		if st := w.s.Stats(); st.Expired != 20 || w.kinds()[TroubleExpired] == 0 {
			t.Errorf("%+v, %v", st, w.kinds())
		}
		w.end()
	})
}

// TestOldLeftovers are tried before they are thrown away.
func TestOldLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true})
		a, b := w.put(dump.TriggerPanic), w.put(dump.TriggerPanic)
		w.end()
		time.Sleep(30 * 24 * time.Hour)

		// Nobody throws away by hand what he asks for by hand.
		w.start(Config{Passive: true})
		w.dest.setHook(fails(errDown))
		if stats, err := w.s.Push(t.Context(), nil); stats.Failed != 2 || err == nil || len(w.files()) != 2 {
			t.Errorf("Push: %+v, %v, %q", stats, err, w.files())
		}
		w.end()

		w.start(Config{})
		w.dest.setHook(func(_ context.Context, id dump.Identity, _ int) error {
			if id.ID == a.ID {
				return errDown
			}
			return nil
		})
		time.Sleep(time.Minute)
		if told := w.outcomes(a.ID); !slices.Equal(told, []Outcome{Expired}) {
			t.Errorf("of one that does not go was told %v", told)
		}
		if told := w.outcomes(b.ID); !slices.Equal(told, []Outcome{Delivered}) {
			t.Errorf("of one that goes was told %v", told)
		}
		w.end()
	})
}

// TestClockJumps: a machine that boots in 1970 and learns the time later does not
// lose what it has spooled before.
func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true})
		past, future := newIdentity(), newIdentity()
		w.plant(itemsDir+"/"+itemName(past), itemOf(t, past, []byte("x"), dump.TriggerPanic, time.Unix(100, 0)))
		w.plant(itemsDir+"/"+itemName(future), itemOf(t, future, []byte("x"), dump.TriggerPanic, time.Now().AddDate(50, 0, 0)))
		w.start(Config{})
		time.Sleep(time.Minute)
		for _, id := range []dump.Identity{past, future} {
			if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) || w.last(t, id.ID).Age < 0 {
				t.Errorf("was told %v", told)
			}
		}
		w.end()
	})
}

// TestCallbacks misbehave.
func TestCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dest := newStore()
		n := 0
		c := Config{Dir: memDir, MinFree: -1}
		c.OnResult = func(Result) {
			n++
			switch n {
			case 1:
				panic("oops")
			case 2:
				runtime.Goexit()
			case 3:
				panic(nil)
			}
		}
		s, err := newSpool(dest, c, disktest.NewMem())
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			put(t, s, newIdentity(), 10)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if n != 5 || s.Stats().EventsDropped != 3 {
			t.Errorf("OnResult was called %d times, %+v", n, s.Stats())
		}
		shutdown(t, s)
	})
	// One that never returns holds up neither uploads nor Puts nor, longer than
	// it must, Shutdown.
	synctest.Test(t, func(t *testing.T) {
		dest, release := newStore(), make(chan struct{})
		s, err := newSpool(dest, Config{
			Dir: memDir, MinFree: -1,
			OnResult: func(Result) { <-release },
		}, disktest.NewMem())
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			put(t, s, newIdentity(), 10)
		}
		time.Sleep(time.Minute)
		if dest.count() != 10 {
			t.Errorf("%d dumps have arrived", dest.count())
		}
		for range maxEvents + 100 {
			s.trouble(TroubleItem, errDown)
			s.events.result(Result{})
		}
		if st := s.Stats(); st.EventsDropped < 100 {
			t.Errorf("%+v", st)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		close(release)
		synctest.Wait()
	})
}
