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
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// tryPut puts a dump of that trigger and size, padded with garbage behind its
// end.
func (w *world) tryPut(trigger dump.Trigger, size int) (dump.Identity, error) {
	w.t.Helper()
	time.Sleep(time.Millisecond) // so that each is younger than those before
	id := newIdentity()
	b := dumpOf(w.t, id, trigger)
	if size > len(b) {
		b = append(b, make([]byte, size-len(b))...)
	}
	return id, w.s.Put(w.t.Context(), id, bytes.NewReader(b))
}

// ids returns which dumps lie in the spool, the oldest first.
func (w *world) ids() []dump.ID {
	w.t.Helper()
	items, err := w.s.Items(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var list []dump.ID
	for _, it := range items {
		list = append(list, it.ID)
	}
	return list
}

func TestMaxItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxItems: 4, Passive: true})
		var ids []dump.Identity
		put := func(trigger dump.Trigger) error {
			id, err := w.tryPut(trigger, 0)
			ids = append(ids, id)
			return err
		}
		want := func(indices ...int) {
			t.Helper()
			var list []dump.ID
			for _, i := range indices {
				list = append(list, ids[i].ID)
			}
			if got := w.ids(); !slices.Equal(got, list) {
				t.Fatalf("the spool holds %v, want %v", got, indices)
			}
		}
		const span, panicked, manual, other = dump.TriggerErrorSpan, dump.TriggerPanic, dump.TriggerManual, dump.TriggerTest
		for _, step := range []struct {
			trigger dump.Trigger
			full    bool
			want    []int
		}{
			{panicked, false, []int{0}},
			{span, false, []int{0, 1}},
			{other, false, []int{0, 1, 2}},
			{span, false, []int{0, 1, 2, 3}},
			{span, false, []int{0, 2, 3, 4}},      // the oldest span goes
			{panicked, false, []int{0, 2, 4, 5}},  // again
			{manual, false, []int{0, 2, 5, 6}},    // the last span
			{span, true, []int{0, 2, 5, 6}},       // worth less than all that is there
			{other, false, []int{0, 5, 6, 8}},     // the only one of its kind goes
			{panicked, false, []int{0, 5, 6, 9}},  // the other kind goes first
			{panicked, false, []int{5, 6, 9, 10}}, // then the oldest of all
			{other, true, []int{5, 6, 9, 10}},
		} {
			err := put(step.trigger)
			if errors.Is(err, ErrFull) != step.full || (err == nil) == step.full || sink.IsPermanent(err) {
				t.Fatalf("Put %d: %v", len(ids)-1, err)
			}
			if err != nil && (!strings.Contains(err.Error(), memDir) || !strings.Contains(err.Error(), "may hold 4 files")) {
				t.Errorf("Put: %v, want the folder and the bound in it", err)
			}
			want(step.want...)
		}
		settled(t, w.s)
		if st := w.s.Stats(); st.Evicted != 6 || w.kinds()[TroubleEvicted] != 6 {
			t.Errorf("%+v, %v", st, w.kinds())
		}
		for _, i := range []int{0, 1, 2, 3, 4, 8} {
			if r := w.last(t, ids[i].ID); r.Outcome != Evicted || !errors.Is(r.Err, sink.ErrLost) || r.Identity.Service != "shop" {
				t.Errorf("%+v", r)
			}
		}
		w.end()
	})
}

func TestMaxBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxBytes: 10_000, Passive: true})
		put := func(size int) dump.Identity {
			t.Helper()
			id, err := w.tryPut(dump.TriggerErrorSpan, size)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		a, b, c := put(2000), put(3000), put(3000)
		if got := w.ids(); !slices.Equal(got, []dump.ID{a.ID, b.ID, c.ID}) {
			t.Errorf("the spool holds %v", got)
		}
		d := put(4000) // as many of the oldest go as have to
		if got := w.ids(); !slices.Equal(got, []dump.ID{c.ID, d.ID}) {
			t.Errorf("the spool holds %v", got)
		}
		e := put(10_000 - trailerLen)
		if got := w.ids(); !slices.Equal(got, []dump.ID{e.ID}) {
			t.Errorf("the spool holds %v", got)
		}
		_, err := w.tryPut(dump.TriggerPanic, 10_000-trailerLen+1)
		if !sink.IsPermanent(err) {
			t.Errorf("a dump larger than the spool: %v, want a permanent error", err)
		}
		if got := w.ids(); !slices.Equal(got, []dump.ID{e.ID}) {
			t.Errorf("the spool holds %v", got)
		}
		w.end()
	})
}

// TestNotInVain: nothing is removed if that would not make room enough.
func TestNotInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxBytes: 10_000, Passive: true})
		var want []dump.ID
		for i, trigger := range []dump.Trigger{dump.TriggerErrorSpan, dump.TriggerPanic, dump.TriggerErrorSpan} {
			id, err := w.tryPut(trigger, []int{1000, 7000, 1000}[i])
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, id.ID)
		}
		if _, err := w.tryPut(dump.TriggerErrorSpan, 4000); !errors.Is(err, ErrFull) {
			t.Errorf("Put: %v", err)
		}
		if got := w.ids(); !slices.Equal(got, want) {
			t.Errorf("the spool holds %v, want %v", got, want)
		}
		w.end()
	})
}

// countingDisk has so much free space that files use up.
type countingDisk struct {
	disk.System
	free func() int64
}

func (d countingDisk) Free(string) (int64, error) { return d.free(), nil }

func TestMinFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true})
		total := int64(20_000)
		used := func() (n int64) {
			for _, b := range w.mem.Files(memDir) {
				n += int64(len(b))
			}
			return n
		}
		s, err := newSpool(w.dest, w.watch(Config{Dir: memDir, MinFree: 10_000, Passive: true}),
			countingDisk{w.mem, func() int64 { return total - used() }})
		if err != nil {
			t.Fatal(err)
		}
		w.s = s
		var ids []dump.ID
		for range 20 {
			id, err := w.tryPut(dump.TriggerErrorSpan, 2000)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id.ID)
			if left := total - used(); left < 10_000 {
				t.Fatalf("%d bytes are left free", left)
			}
		}
		if got := w.ids(); !slices.Equal(got, ids[len(ids)-4:]) {
			t.Errorf("the spool holds %d dumps", len(got))
		}
		// Somebody else fills the disk. For that nothing is removed, but a new dump
		// takes the room of old ones.
		total -= 10_000
		before := used()
		id, err := w.tryPut(dump.TriggerPanic, 2000)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.ids(); !slices.Equal(got, append(ids[len(ids)-3:], id.ID)) || used() > before {
			t.Errorf("the spool holds %v and has grown by %d", got, used()-before)
		}
		// If they would not make room enough, they stay.
		for _, size := range []int{2001, 9000} {
			_, err = w.tryPut(dump.TriggerPanic, size)
			if size == 2001 && err != nil {
				t.Error(err)
			}
		}
		if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "10000 are to stay free") {
			t.Errorf("Put on a full disk: %v", err)
		}
		if len(w.ids()) != 3 {
			t.Errorf("the spool holds %d dumps", len(w.ids()))
		}
		w.end()
	})
}

// TestNeverTheOneBeingUploaded has a full spool of which one dump is under way.
func TestNeverTheOneBeingUploaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxItems: 2, Concurrency: 1})
		var busy dump.ID
		release := make(chan struct{})
		w.dest.setHook(func(ctx context.Context, id dump.Identity, call int) error {
			if call == 1 {
				busy = id.ID
			}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil
		})
		first, err := w.tryPut(dump.TriggerErrorSpan, 0)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if busy != first.ID {
			t.Fatal("the first dump is not being uploaded")
		}
		var last dump.Identity
		for range 3 {
			if last, err = w.tryPut(dump.TriggerErrorSpan, 0); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.ids(); !slices.Equal(got, []dump.ID{first.ID, last.ID}) {
			t.Errorf("the spool holds %v, want the one that is being uploaded, and the latest", got)
		}
		// If another process uploads, its claim counts as well.
		other, err := newSpool(w.dest, Config{Dir: memDir, MaxItems: 1, Passive: true}, w.mem)
		if err != nil {
			t.Fatal(err)
		}
		id := newIdentity()
		if err := other.Put(t.Context(), id, bytes.NewReader(dumpOf(t, id, dump.TriggerPanic))); !errors.Is(err, ErrFull) {
			t.Errorf("Put of another process: %v", err)
		}
		if !slices.Contains(w.ids(), first.ID) {
			t.Error("the dump that is being uploaded was removed")
		}
		close(release)
		synctest.Wait()
		w.end()
	})
}

// TestGivenUpGoesFirst, and damaged ones before that.
func TestGivenUpGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxItems: 3})
		w.dest.setHook(fails(sink.Permanent(errors.New("no"))))
		givenUp, err := w.tryPut(dump.TriggerPanic, 0)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.dest.setHook(fails(errDown))
		bad := newIdentity()
		w.plant(itemsDir+"/"+itemName(bad), []byte("garbage"))
		a, err := w.tryPut(dump.TriggerErrorSpan, 0)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // finds the damaged one
		want := []string{damagedDir + "/" + itemName(bad), failedDir + "/" + itemName(givenUp), itemsDir + "/" + itemName(a)}
		if got := w.files(); !slices.Equal(got, want) {
			t.Fatalf("the spool holds %q, want %q", got, want)
		}
		b, err := w.tryPut(dump.TriggerErrorSpan, 0)
		if err != nil {
			t.Fatal(err)
		}
		want = []string{failedDir + "/" + itemName(givenUp), itemsDir + "/" + itemName(a), itemsDir + "/" + itemName(b)}
		if got := w.files(); !slices.Equal(got, want) {
			t.Fatalf("the spool holds %q, want %q", got, want)
		}
		c, err := w.tryPut(dump.TriggerErrorSpan, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.ids(); !slices.Equal(got, []dump.ID{a.ID, b.ID, c.ID}) {
			t.Errorf("the spool holds %v", got)
		}
		settled(t, w.s)
		if told := w.outcomes(givenUp.ID); !slices.Equal(told, []Outcome{GivenUp, Evicted}) {
			t.Errorf("was told %v", told)
		}
		if told := w.outcomes(bad.ID); !slices.Equal(told, []Outcome{Damaged}) {
			t.Errorf("was told %v", told)
		}
		w.end()
	})
}

// TestBoundsOfSeveral lets processes that know nothing of each other fill one
// folder.
func TestBoundsOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true})
		w.end()
		const limit, processes = 50, 4
		var spools []*Spool
		for range processes {
			s, err := newSpool(w.dest, w.watch(Config{Dir: memDir, MaxItems: limit, Passive: true}), w.mem)
			if err != nil {
				t.Fatal(err)
			}
			spools = append(spools, s)
		}
		put, most := 0, 0
		for range 100 {
			for _, w.s = range spools {
				if _, err := w.tryPut(dump.TriggerErrorSpan, 0); err != nil {
					t.Fatal(err)
				}
				put++
				most = max(most, len(w.ids()))
			}
			time.Sleep(100 * time.Millisecond)
		}
		// Each process may be behind by what the others put within its
		// freshness; ten seconds far from the bounds, one second near them.
		if most > 6*limit {
			t.Errorf("%d dumps were there at once, the bound is %d", most, limit)
		}
		left := len(w.ids())
		if left > limit+processes*11 {
			t.Errorf("%d dumps are left, the bound is %d", left, limit)
		}
		// A background brings them within the bound.
		w.dest.setHook(fails(errDown))
		w.start(Config{MaxItems: limit})
		time.Sleep(time.Minute)
		if left := len(w.ids()); left > limit {
			t.Errorf("%d dumps are left, the bound is %d", left, limit)
		}
		lost := 0
		w.mu.Lock()
		for _, r := range w.results {
			if r.Outcome == Evicted {
				lost++
			}
		}
		w.mu.Unlock()
		if lost+len(w.ids()) != put {
			t.Errorf("%d dumps were put, %d are there, and %d were told to be lost", put, len(w.ids()), lost)
		}
		w.end()
	})
}

// TestLoweredBounds is a restart with less.
func TestLoweredBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Passive: true})
		var ids []dump.ID
		for range 10 {
			id, err := w.tryPut(dump.TriggerPanic, 0)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id.ID)
		}
		w.end()
		w.dest.setHook(fails(errDown))
		w.start(Config{MaxItems: 3})
		time.Sleep(time.Second)
		if got := w.ids(); !slices.Equal(got, ids[7:]) {
			t.Errorf("the spool holds %v", got)
		}
		w.end()
	})
}

// TestDamagedIsBounded floods the spool with files that are none.
func TestDamagedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxBytes: 800_000})
		for i := range 3 * maxDamaged {
			w.plant(itemsDir+"/"+itemName(newIdentity()), fmt.Appendf(nil, "garbage %d", i))
		}
		big := newIdentity()
		w.plant(itemsDir+"/"+itemName(big), make([]byte, 500_000))
		time.Sleep(time.Minute)
		n, bytes := 0, 0
		for name, b := range w.mem.Files(memDir) {
			switch {
			case strings.Contains(name, damagedDir):
				n++
				bytes += len(b)
			case strings.Contains(name, itemsDir):
				t.Errorf("%s is left", name)
			}
		}
		if n > maxDamaged || bytes > 100_000 || n == 0 {
			t.Errorf("%d damaged files with %d bytes are kept", n, bytes)
		}
		if st := w.s.Stats(); st.Damaged != 3*maxDamaged+1 || st.DamagedItems != n || st.DamagedBytes != int64(bytes) || st.Items != 0 {
			t.Errorf("%+v", st)
		}
		good := w.put(dump.TriggerPanic)
		time.Sleep(time.Second)
		if told := w.outcomes(good.ID); !slices.Equal(told, []Outcome{Delivered}) {
			t.Errorf("was told %v", told)
		}
		w.end()
	})
}
