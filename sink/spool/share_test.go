package spool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
)

// TestSeveralSpools has several Spools put into one folder and upload from it at
// the same time, with a destination that fails now and then, while somebody
// reads. Each dump arrives once, and is never out of sight.
func TestSeveralSpools(t *testing.T) {
	const spools, writers, each = 4, 2, 25
	dir, dest := t.TempDir(), newStore()
	dest.setHook(func(_ context.Context, _ dump.Identity, call int) error {
		if call%5 == 0 {
			return errDown
		}
		return nil
	})
	var mu sync.Mutex
	results := map[dump.ID]int{}
	var list []*Spool
	for range spools {
		list = append(list, newTestSpool(t, dest, Config{
			Dir: dir, MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
			OnResult: func(r Result) {
				mu.Lock()
				defer mu.Unlock()
				if r.Outcome == Delivered {
					results[r.Identity.ID]++
				} else {
					t.Errorf("%+v", r)
				}
			},
		}))
	}
	var ids []dump.Identity
	var puts sync.WaitGroup
	for _, s := range list {
		for range writers {
			puts.Go(func() {
				for n := range each {
					id := newIdentity()
					id.TraceID = dump.TraceID{byte(n), 1}
					put(t, s, id, 100+n)
					mu.Lock()
					ids = append(ids, id)
					mu.Unlock()
				}
			})
		}
	}
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			mu.Lock()
			known := slices.Clone(ids)
			mu.Unlock()
			seen := map[dump.ID]int{}
			for e, err := range list[0].List(t.Context(), sink.Query{}) {
				if err != nil {
					t.Error(err)
					return
				}
				seen[e.ID]++
			}
			for _, id := range known {
				if seen[id.ID] != 1 {
					t.Errorf("dump %s is listed %d times", id.ID, seen[id.ID])
					return
				}
			}
		}
	})
	puts.Wait()
	for _, s := range list {
		if err := s.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	reader.Wait()
	for _, s := range list {
		shutdown(t, s)
	}
	if len(ids) != spools*writers*each || dest.count() != len(ids) {
		t.Errorf("%d dumps were put, %d have arrived", len(ids), dest.count())
	}
	for _, id := range ids {
		got, n := dest.has(id.ID)
		if n != 1 || !bytes.Equal(got, contentOf(id.ID, len(got))) || results[id.ID] != 1 {
			t.Errorf("a dump has arrived %d times, and was told %d times", n, results[id.ID])
		}
	}
	wantFiles(t, list[0])
}

// TestOneUploadsAtATime: what one process has claimed, others leave alone until it
// lets go or dies.
func TestOneUploadsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		release := make(chan error)
		w.dest.setHook(func(ctx context.Context, _ dump.Identity, call int) error {
			if call > 1 {
				return nil
			}
			return <-release
		})
		id := w.put(dump.TriggerPanic)
		synctest.Wait()
		first := w.s
		w.start(Config{})
		second := w.s
		time.Sleep(30 * time.Second)
		if n := w.dest.callCount(); n != 1 {
			t.Errorf("%d calls while the first one has claimed the dump", n)
		}
		if items, err := second.Items(t.Context()); len(items) != 1 || items[0].State != Uploading || err != nil {
			t.Errorf("Items: %+v, %v", items, err)
		}
		if stats, err := second.Push(t.Context(), nil); stats.Busy != 1 || err != nil {
			t.Errorf("Push: %+v, %v", stats, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := second.Forward(ctx, id.ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Forward: %v", err)
		}
		cancel()
		// What others have claimed does not hold up a Shutdown.
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
		start := time.Now()
		if err := second.Shutdown(ctx); err != nil || time.Since(start) > time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(start))
		}
		cancel()

		// The first one fails and takes a break; the claim is free meanwhile.
		w.start(Config{})
		synctest.Wait()
		release <- errDown
		time.Sleep(time.Minute)
		if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) || len(w.files()) > 0 {
			t.Errorf("was told %v; the spool holds %q", told, w.files())
		}
		w.end()
		w.s = first
		w.end()
	})
}

// TestForwardOfAnothersDump: another process delivers, or loses, what this one
// has put.
func TestForwardOfAnothersDump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true})
		delivered, lost, unsure := w.put(dump.TriggerPanic), w.put(dump.TriggerPanic), w.put(dump.TriggerPanic)
		mine := w.s
		w.start(Config{Passive: true})
		for _, id := range []dump.Identity{delivered, unsure} {
			if err := w.s.Forward(t.Context(), id.ID); err != nil {
				t.Error(err)
			}
		}
		if err := w.s.deleteItem(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		if err := mine.Forward(t.Context(), delivered.ID); err != nil {
			t.Errorf("a dump that was delivered: %v", err)
		}
		if err := mine.Forward(t.Context(), lost.ID); !errors.Is(err, sink.ErrLost) {
			t.Errorf("a dump that is lost: %v", err)
		}
		w.dest.unread = errors.New("403")
		if err := mine.Forward(t.Context(), unsure.ID); !errors.Is(err, w.dest.unread) || errors.Is(err, sink.ErrLost) {
			t.Errorf("a dump of which the destination does not tell: %v", err)
		}
	})
}

// TestIdentityTravels: the destination is told what the dump's Put was told, by
// another process as well.
func TestIdentityTravels(t *testing.T) {
	dir := t.TempDir()
	writer := newTestSpool(t, newStore(), Config{Dir: dir, Passive: true})
	id := newIdentity()
	id.Service = "shop/v2 ü"
	put(t, writer, id, 10)
	dest := newStore()
	reader := newTestSpool(t, dest, Config{Dir: dir})
	if err := reader.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	shutdown(t, reader)
	if got := dest.dumps[id.ID].id; got != id {
		t.Errorf("the destination was told %+v, want %+v", got, id)
	}
}

// TestDestinationsApart: two destinations share a spool folder and nothing else.
func TestDestinationsApart(t *testing.T) {
	dir := t.TempDir()
	a, b := newStore(), newStore()
	a.name, b.name = "bucket a", "bucket b\nwith a line"
	sa, sb := newTestSpool(t, a, Config{Dir: dir, Passive: true}), newTestSpool(t, b, Config{Dir: dir, Passive: true})
	ida, idb := newIdentity(), newIdentity()
	put(t, sa, ida, 10)
	put(t, sb, idb, 20)
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	list, err := Backlogs(dir)
	if err != nil || len(list) != 2 {
		t.Fatalf("Backlogs: %+v, %v", list, err)
	}
	for _, want := range []Backlog{
		{a.name, filepath.Join(dir, sa.home), 1, 10 + trailerLen, 0, 0},
		{b.name, filepath.Join(dir, sb.home), 1, 20 + trailerLen, 0, 0},
	} {
		if !slices.Contains(list, want) {
			t.Errorf("Backlogs: %+v, want %+v among them", list, want)
		}
	}
	if err := sa.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.count() != 1 || b.count() != 0 {
		t.Errorf("%d and %d dumps have arrived", a.count(), b.count())
	}
	if items, err := sb.Items(t.Context()); len(items) != 1 || items[0].ID != idb.ID || err != nil {
		t.Errorf("Items: %+v, %v", items, err)
	}
	if list, err := Backlogs(filepath.Join(dir, "none")); len(list) != 0 || err != nil {
		t.Errorf("Backlogs of nothing: %+v, %v", list, err)
	}
	if _, err := Backlogs(""); err == nil {
		t.Error("Backlogs without a folder: no error")
	}
}

// TestRaceForTemporaryFiles lets processes clean up while others write.
func TestRaceForTemporaryFiles(t *testing.T) {
	dir, dest := t.TempDir(), newStore()
	s := newTestSpool(t, dest, Config{Dir: dir, Passive: true})
	root, err := s.create()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	stop := make(chan struct{})
	var cleaner sync.WaitGroup
	for range 2 {
		cleaner.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.clean(root); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				put(t, s, newIdentity(), 10)
			}
		})
	}
	wg.Wait()
	close(stop)
	cleaner.Wait()
	if got := inSpool(t, s); len(got) != 200 {
		t.Errorf("%d dumps are in the spool, want 200", len(got))
	}
}

// TestCleansUp checks what of tmp is removed, and when.
func TestCleansUp(t *testing.T) {
	dir := t.TempDir()
	s := newTestSpool(t, newStore(), Config{Dir: dir, Passive: true})
	root, err := s.create()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tmp := filepath.Join(dir, s.home, tmpDir)
	plant := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(tmp, name), []byte("half"), fileMode); err != nil {
			t.Fatal(err)
		}
	}
	plant(tmpName(dump.NewID().String()))
	plant(tmpName(labelFile))
	plant("notes.tmp")
	plant("destination.tmp")
	if err := os.Mkdir(filepath.Join(tmp, tmpName(labelFile)), 0o700); err != nil {
		t.Fatal(err)
	}
	_, f, err := s.openTmp(root, dump.NewID().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.clean(root); err != nil {
		t.Fatal(err)
	}
	if got := filesBelow(t, tmp); len(got) != 3 {
		t.Errorf("tmp holds %q, want two foreign files and one that is being written", got)
	}
	f.Close()
	if err := s.clean(root); err != nil {
		t.Fatal(err)
	}
	if got := filesBelow(t, tmp); !slices.Equal(got, []string{"destination.tmp", "notes.tmp"}) {
		t.Errorf("tmp holds %q, want two foreign files", got)
	}

	// Without locks, age decides.
	young, old := tmpName(dump.NewID().String()), tmpName(dump.NewID().String())
	plant(young)
	plant(old)
	past := time.Now().Add(-staleAfter - time.Minute)
	if err := os.Chtimes(filepath.Join(tmp, old), past, past); err != nil {
		t.Fatal(err)
	}
	faulty, _ := newFaulty(t, newStore(), Config{Dir: dir, Passive: true}, func(_ int, op, _ string) error {
		if op == "lock" {
			return disk.ErrNoLocks
		}
		return nil
	})
	froot, err := faulty.open()
	if err != nil {
		t.Fatal(err)
	}
	defer froot.Close()
	if err := faulty.clean(froot); err != nil {
		t.Fatal(err)
	}
	if got := filesBelow(t, tmp); !slices.Equal(got, []string{young, "destination.tmp", "notes.tmp"}) {
		t.Errorf("tmp holds %q, want the young one and two foreign files", got)
	}
}

// TestReadersSeeOne reads dumps by all ways while they are delivered to a real
// folder.
func TestReadersSeeOne(t *testing.T) {
	dir := t.TempDir()
	dest, err := local.New(filepath.Join(dir, "dumps"))
	if err != nil {
		t.Fatal(err)
	}
	s := newTestSpool(t, dest, Config{Dir: filepath.Join(dir, "spool"), Concurrency: 4})
	defer shutdown(t, s)
	var readers sync.WaitGroup
	for n := range 60 {
		id := newIdentity()
		id.TraceID = dump.TraceID{byte(n), 7}
		put(t, s, id, 20_000)
		readers.Go(func() {
			for range 20 {
				entries, err := s.Trace(t.Context(), id.TraceID)
				if err != nil || len(entries) != 1 || entries[0].ID != id.ID || entries[0].Size != 20_000 {
					t.Errorf("Trace: %+v, %v", entries, err)
					return
				}
				obj, err := s.Open(t.Context(), entries[0])
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				b, err := io.ReadAll(io.NewSectionReader(obj, 0, obj.Size()))
				obj.Close()
				if err != nil || !bytes.Equal(b, contentOf(id.ID, 20_000)) {
					t.Errorf("read %d bytes that are not those that were put: %v", len(b), err)
					return
				}
			}
		})
	}
	readers.Wait()
}

// TestEmptiedByHand removes the spool folder under a running Spool.
func TestEmptiedByHand(t *testing.T) {
	dir, dest := filepath.Join(t.TempDir(), "spool"), newStore()
	dest.setHook(fails(errDown))
	s := newTestSpool(t, dest, Config{Dir: dir, MinBackoff: time.Hour})
	for i := range 3 {
		put(t, s, newIdentity(), 10)
		what := dir
		if i == 1 {
			what = filepath.Join(dir, s.home)
		}
		if err := os.RemoveAll(what); err != nil {
			t.Fatal(err)
		}
	}
	dest.setHook(nil)
	id := newIdentity()
	put(t, s, id, 10)
	if err := s.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if _, puts := dest.has(id.ID); puts != 1 {
		t.Errorf("the dump has arrived %d times", puts)
	}
	shutdown(t, s)
	if st := s.Stats(); st.Items != 0 || st.Bytes != 0 {
		t.Errorf("%+v", st)
	}
}

// TestSameDumpAtOnce is the same Put many times over, in two processes.
func TestSameDumpAtOnce(t *testing.T) {
	for range 20 {
		dir, dest, id := t.TempDir(), newStore(), newIdentity()
		a, b := newTestSpool(t, dest, Config{Dir: dir}), newTestSpool(t, dest, Config{Dir: dir})
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { put(t, []*Spool{a, b}[i%2], id, 5000) })
		}
		wg.Wait()
		for _, s := range []*Spool{a, b} {
			if err := s.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			shutdown(t, s)
		}
		if got, _ := dest.has(id.ID); !bytes.Equal(got, contentOf(id.ID, 5000)) {
			t.Errorf("%d bytes have arrived", len(got))
		}
		wantFiles(t, a)
	}
}

// TestDeliveredBetweenTwoLooks has a dump delivered between the moment at which
// the destination is read and any other.
func TestDeliveredBetweenTwoLooks(t *testing.T) {
	for _, before := range []bool{true, false} {
		dest := &slow{store: newStore(), before: before}
		s := newTestSpool(t, dest, Config{Passive: true})
		dest.meanwhile = func() {
			if err := s.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
		id := newIdentity()
		put(t, s, id, 10)
		if entries, err := s.Trace(t.Context(), id.TraceID); len(entries) != 1 || err != nil {
			t.Errorf("Trace (delivered before the destination looks: %t): %v, %v", before, entries, err)
		}
		other := newIdentity()
		put(t, s, other, 10)
		n := 0
		for _, err := range s.List(t.Context(), sink.Query{}) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if n != 2 {
			t.Errorf("List (delivered before the destination looks: %t): %d dumps, want 2", before, n)
		}
	}
}

// slow is a destination where something happens while it is read.
type slow struct {
	*store
	before    bool // it begins to look
	meanwhile func()
}

func (d *slow) Trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	if d.before {
		d.meanwhile()
	} else {
		defer d.meanwhile()
	}
	return d.store.Trace(ctx, trace)
}

func (d *slow) List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		if d.before {
			d.meanwhile()
		}
		entries, err := d.list(q.Match)
		if !d.before {
			d.meanwhile()
		}
		for _, e := range slices.Backward(entries) {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(sink.Entry{}, err)
		}
	}
}

// TestDeliveredDuringScan: what is delivered while the folders are read does not
// come back.
func TestDeliveredDuringScan(t *testing.T) {
	w := newWorld(t, Config{Passive: true})
	w.put(dump.TriggerPanic)
	root, err := w.mem.Open(memDir)
	if err != nil {
		t.Fatal(err)
	}
	w.mem.Before = func(op, name string) {
		if op == "readdir" && name == w.s.path(failedDir) {
			w.mem.Before = nil
			for _, it := range w.s.itemsNow(everyItem) {
				if v := w.s.attemptNow(t.Context(), it); v.kind != verdictDelivered {
					t.Errorf("%+v", v)
				}
			}
		}
	}
	if err := w.s.scan(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if st := w.s.Stats(); st.Items != 0 || st.Bytes != 0 || w.dest.count() != 1 {
		t.Errorf("%+v", st)
	}
}

// TestPutWhileItsUploadEnds: the file was removed, and nobody has taken note of that
// yet.
func TestPutWhileItsUploadEnds(t *testing.T) {
	w := newWorld(t, Config{Passive: true})
	id := w.put(dump.TriggerPanic)
	w.mem.Before = func(op, name string) {
		if op == "unlock" && name == w.s.path(itemsDir, itemName(id)) {
			w.mem.Before = nil
			put(t, w.s, id, 10)
		}
	}
	for _, it := range w.s.itemsNow(everyItem) {
		if v := w.s.attemptNow(t.Context(), it); v.kind != verdictDelivered {
			t.Errorf("%+v", v)
		}
	}
	if w.mem.Before != nil {
		t.Fatal("there was no such moment")
	}
	if st := w.s.Stats(); st.Items != 1 || st.Bytes != 10+trailerLen || len(w.files()) != 1 {
		t.Errorf("%+v, %q", st, w.files())
	}
	if err := w.s.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if st := w.s.Stats(); st.Items != 0 || st.Bytes != 0 || len(w.files()) != 0 {
		t.Errorf("%+v, %q", st, w.files())
	}
}

// TestPutDuringScan: what is put while the folders are read is not forgotten.
func TestPutDuringScan(t *testing.T) {
	w := newWorld(t, Config{Passive: true})
	w.put(dump.TriggerPanic)
	root, err := w.mem.Open(memDir)
	if err != nil {
		t.Fatal(err)
	}
	w.mem.Before = func(op, name string) {
		if op == "readdir" && name == w.s.path(failedDir) {
			w.mem.Before = nil
			w.put(dump.TriggerPanic)
		}
	}
	if err := w.s.scan(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if st := w.s.Stats(); st.Items != 2 {
		t.Errorf("%+v", st)
	}
}

// TestCountsOthersNearTheBound: whoever has to make room counts anew.
func TestCountsOthersNearTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10
		w := newWorld(t, Config{Passive: true, MaxItems: limit})
		a := w.s
		w.put(dump.TriggerPanic)
		w.start(Config{Passive: true, MaxItems: limit})
		for range limit - 1 {
			w.put(dump.TriggerPanic)
		}
		w.s = a
		time.Sleep(2 * freshFor)
		for range limit {
			w.put(dump.TriggerPanic)
		}
		if n := len(w.ids()); n != limit {
			t.Errorf("%d dumps are in the spool, the bound is %d", n, limit)
		}
	})
}
