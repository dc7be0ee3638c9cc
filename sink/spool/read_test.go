package spool

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// at returns an identity of that minute.
func at(minute int) dump.Identity {
	id := newIdentity()
	ms := time.Date(2026, 3, 1, 12, minute, 0, 0, time.UTC).UnixMilli()
	for i := range 6 {
		id.ID[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// TestUnion has dumps in the spool, at the destination, and in both.
func TestUnion(t *testing.T) {
	dest := newStore()
	s := newTestSpool(t, dest, Config{Passive: true})
	ids := []dump.Identity{at(0), at(1), at(2), at(3), at(4), at(5)}
	for i, id := range ids {
		if i%2 == 0 {
			put(t, s, id, 10)
		}
		if i%2 == 1 || i == 4 {
			if err := dest.Put(t.Context(), id, bytes.NewReader(contentOf(id.ID, 20))); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(what string, got []sink.Entry, indices ...int) {
		t.Helper()
		var gotIDs, wantIDs []dump.ID
		for _, e := range got {
			gotIDs = append(gotIDs, e.ID)
			if e.URI != dest.URI(e.Identity) || e.Key != sink.TraceKey(e.Identity) || e.Size == 0 {
				t.Errorf("%s: %+v", what, e)
			}
		}
		for _, i := range indices {
			wantIDs = append(wantIDs, ids[i].ID)
		}
		if !slices.Equal(gotIDs, wantIDs) {
			t.Errorf("%s: %v, want %v (%v)", what, gotIDs, indices, wantIDs)
		}
	}
	list := func(q sink.Query) (entries []sink.Entry, err error) {
		for e, err := range s.List(t.Context(), q) {
			if err != nil {
				return entries, err
			}
			entries = append(entries, e)
		}
		return entries, nil
	}
	all, err := list(sink.Query{})
	if err != nil {
		t.Fatal(err)
	}
	want("List", all, 5, 4, 3, 2, 1, 0)
	some, _ := list(sink.Query{Since: ids[1].ID.Time(), Until: ids[5].ID.Time()})
	want("List of a time", some, 4, 3, 2, 1)
	none, _ := list(sink.Query{Service: "till"})
	want("List of another service", none)
	trace, err := s.Trace(t.Context(), ids[0].TraceID)
	if err != nil {
		t.Fatal(err)
	}
	want("Trace", trace, 0, 1, 2, 3, 4, 5)
	for stop := 1; stop <= len(ids); stop++ {
		n := 0
		for range s.List(t.Context(), sink.Query{}) {
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Errorf("List yields %d entries, want %d", n, stop)
		}
	}
	if b, err := readAll(t, s, ids[4]); err != nil || len(b) != 10 {
		t.Errorf("a dump in both is not read from the spool: %d bytes, %v", len(b), err)
	}

	// The destination does not answer: what is in the spool is shown all the
	// same, and the error behind it.
	dest.unread = errors.New("no route to host")
	dest.dumps = nil
	some, err = list(sink.Query{})
	want("List without the destination", some, 4, 2, 0)
	if !errors.Is(err, dest.unread) {
		t.Errorf("List: %v, want the destination's error", err)
	}
	some, err = s.Trace(t.Context(), ids[0].TraceID)
	want("Trace without the destination", some, 0, 2, 4)
	if !errors.Is(err, dest.unread) {
		t.Errorf("Trace: %v, want the destination's error", err)
	}
	if b, err := readAll(t, s, ids[0]); err != nil || len(b) != 10 {
		t.Errorf("Open without the destination: %v", err)
	}
	if _, err := readAll(t, s, ids[1]); !errors.Is(err, dest.unread) {
		t.Errorf("Open of what is not in the spool: %v", err)
	}
}

// TestSpoolUnreadable is the other way round: a file in the place of the spool
// folder.
func TestSpoolUnreadable(t *testing.T) {
	dest := newStore()
	dir := filepath.Join(t.TempDir(), "spool")
	if err := os.WriteFile(dir, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newTestSpool(t, dest, Config{Dir: dir, Passive: true})
	id := newIdentity()
	if err := dest.Put(t.Context(), id, bytes.NewReader([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	entries, err := s.Trace(t.Context(), id.TraceID)
	if len(entries) != 1 || err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Trace: %v, %v", entries, err)
	}
	n := 0
	for e, lerr := range s.List(t.Context(), sink.Query{}) {
		if err = lerr; err == nil {
			n++
			if e.ID != id.ID {
				t.Errorf("List: %+v", e)
			}
		}
	}
	if n != 1 || err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("List: %d entries, %v", n, err)
	}
	if b, err := readAll(t, s, id); err != nil || string(b) != "x" {
		t.Errorf("Open: %q, %v", b, err)
	}
	if _, err := readAll(t, s, newIdentity()); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open of a dump that is nowhere to be seen: %v", err)
	}
	if _, err := s.Items(t.Context()); err == nil {
		t.Error("Items: no error")
	}
	if err := s.Put(t.Context(), id, bytes.NewReader(nil)); err == nil || !strings.Contains(err.Error(), "move the file away") {
		t.Errorf("Put: %v", err)
	}
}

// TestDamagedIsNotShown: what is damaged is not opened, nor listed if that can be
// told from its end.
func TestDamagedIsNotShown(t *testing.T) {
	dest := newStore()
	s := newTestSpool(t, dest, Config{Passive: true})
	bad, there := newIdentity(), newIdentity()
	for _, id := range []dump.Identity{bad, there} {
		put(t, s, id, 1000)
		name := filepath.Join(s.dir, s.home, itemsDir, itemName(id))
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[500] ^= 1
		if err := os.WriteFile(name, b, fileMode); err != nil {
			t.Fatal(err)
		}
	}
	if err := dest.Put(t.Context(), there, bytes.NewReader([]byte("whole"))); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, s, bad); !errors.Is(err, errDamaged) {
		t.Errorf("Open: %v", err)
	}
	if b, err := readAll(t, s, there); string(b) != "whole" || err != nil {
		t.Errorf("Open of a dump that the destination has: %q, %v", b, err)
	}
	if err := os.Truncate(filepath.Join(s.dir, s.home, itemsDir, itemName(bad)), 700); err != nil {
		t.Fatal(err)
	}
	entries, err := s.Trace(t.Context(), bad.TraceID)
	if err != nil || len(entries) != 1 || entries[0].ID != there.ID {
		t.Errorf("Trace: %v, %v", entries, err)
	}
	// Putting them again repairs them.
	for _, id := range []dump.Identity{bad, there} {
		put(t, s, id, 1000)
		if b, err := readAll(t, s, id); err != nil || !bytes.Equal(b, contentOf(id.ID, 1000)) {
			t.Errorf("Open after another Put: %d bytes, %v", len(b), err)
		}
	}
	settled(t, s)
	wantFiles(t, s, damagedDir+"/"+itemName(bad), itemsDir+"/"+itemName(bad), damagedDir+"/"+itemName(there), itemsDir+"/"+itemName(there))
	if err := s.Delete(t.Context(), sink.Entry{Identity: bad}); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, s, damagedDir+"/"+itemName(there), itemsDir+"/"+itemName(there))
}

// TestDamagedIsNotUploaded: every byte of an item is looked at before the
// destination sees it.
func TestDamagedIsNotUploaded(t *testing.T) {
	dir, dest, w := t.TempDir(), newStore(), &witness{}
	writer := newTestSpool(t, dest, Config{Dir: dir, Passive: true})
	const size = 2*copySize + 10
	damage := map[dump.ID]bool{}
	var want []string
	for _, at := range []int64{-1, 0, copySize, size - 1, size, size + trailerLen - 1} {
		id := newIdentity()
		put(t, writer, id, size)
		if at < 0 {
			continue
		}
		damage[id.ID] = true
		want = append(want, damagedDir+"/"+itemName(id))
		name := filepath.Join(dir, writer.home, itemsDir, itemName(id))
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[at] ^= 0x10
		if err := os.WriteFile(name, b, fileMode); err != nil {
			t.Fatal(err)
		}
	}
	s := newTestSpool(t, dest, w.watch(Config{Dir: dir}))
	if err := s.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	shutdown(t, s)
	if dest.callCount() != 1 || dest.count() != 1 {
		t.Errorf("the destination was called %d times, and has %d dumps", dest.callCount(), dest.count())
	}
	wantFiles(t, s, want...)
	for id := range damage {
		if r := w.last(t, id); r.Outcome != Damaged || !errors.Is(r.Err, sink.ErrLost) || !errors.Is(r.Err, errDamaged) {
			t.Errorf("%+v", r)
		}
	}
	if w.kinds()[TroubleDamaged] != len(damage) || s.Stats().DamagedItems != len(damage) {
		t.Errorf("was told of %v, %+v", w.kinds(), s.Stats())
	}
}

// TestDeleteWhileUploaded cancels the upload, and nothing comes back.
func TestDeleteWhileUploaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.dest.setHook(func(ctx context.Context, _ dump.Identity, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		})
		id := w.put(dump.TriggerPanic)
		synctest.Wait()
		if st := w.s.Stats(); st.Uploading != 1 {
			t.Fatalf("%+v", st)
		}
		start := time.Now()
		if err := w.s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil || time.Since(start) > time.Second {
			t.Errorf("Delete: %v after %v", err, time.Since(start))
		}
		w.dest.setHook(nil)
		time.Sleep(time.Hour)
		if w.dest.callCount() != 1 || len(w.files()) > 0 || w.s.Stats().Items != 0 || len(w.outcomes(id.ID)) > 0 {
			t.Errorf("%d calls, %q, %+v", w.dest.callCount(), w.files(), w.s.Stats())
		}
		// Another process's upload is waited for.
		w.dest.setHook(func(context.Context, dump.Identity, int) error {
			time.Sleep(3 * time.Second)
			return nil
		})
		id = w.put(dump.TriggerPanic)
		synctest.Wait()
		first := w.s
		w.start(Config{Passive: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := w.s.Delete(ctx, sink.Entry{Identity: id}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Delete: %v", err)
		}
		cancel()
		if err := w.s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
			t.Errorf("Delete: %v", err)
		}
		if w.dest.count() != 0 || len(w.files()) > 0 {
			t.Errorf("%d dumps are at the destination, the spool holds %q", w.dest.count(), w.files())
		}
		w.end()
		w.s = first
		w.end()
	})
}

// TestURIOfARouter: what the destination says for a trigger is passed on.
func TestURIOfARouter(t *testing.T) {
	dest := routed{newStore()}
	s := newTestSpool(t, dest, Config{Passive: true})
	id := newIdentity()
	if err := s.Put(t.Context(), id, bytes.NewReader(dumpOf(t, id, dump.TriggerPanic))); err != nil {
		t.Fatal(err)
	}
	if got := sink.URIFor(s, id, dump.TriggerManual); got != "manual:"+id.ID.String() {
		t.Errorf("URIFor: %q", got)
	}
	list, err := s.Trace(t.Context(), id.TraceID)
	if err != nil || len(list) != 1 || list[0].URI != "panic:"+id.ID.String() {
		t.Errorf("Trace: %+v, %v", list, err)
	}
	if s.URI(id) != dest.URI(id) || s.Destination() != sink.Sink(dest) {
		t.Errorf("URI: %q", s.URI(id))
	}
}

type routed struct{ *store }

func (routed) URIFor(id dump.Identity, t dump.Trigger) string {
	return string(t) + ":" + id.ID.String()
}

// upwards is a store that lists dumps of one millisecond the other way round.
type upwards struct{ *store }

func (u upwards) List(_ context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		entries, err := u.list(q.Match)
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(sink.Entry{}, err)
		}
	}
}

// TestListWithinAMillisecond: the order is that of the time only.
func TestListWithinAMillisecond(t *testing.T) {
	dest := upwards{newStore()}
	s := newTestSpool(t, dest, Config{Passive: true})
	var want []dump.ID
	first := at(0)
	for i := range 4 {
		id := first
		id.ID[15] = byte(i)
		want = append(want, id.ID)
		if i != 1 {
			put(t, s, id, 10)
		}
		if i != 2 {
			put(t, dest, id, 10)
		}
	}
	var got []dump.ID
	for e, err := range s.List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.ID)
	}
	slices.SortFunc(got, func(a, b dump.ID) int { return bytes.Compare(a[:], b[:]) })
	if !slices.Equal(got, want) {
		t.Errorf("List: %v, want %v", got, want)
	}
	shutdown(t, s)
}

// TestDeleteIsFlushed before the dump is deleted at the destination: else it could be
// there again after a power failure.
func TestDeleteIsFlushed(t *testing.T) {
	dest := newStore()
	id := newIdentity()
	broken := ""
	s, f := newFaulty(t, dest, Config{Dir: t.TempDir(), Passive: true}, func(_ int, op, name string) error {
		if op == "syncdir" && name == broken {
			return syscall.EIO
		}
		return nil
	})
	put(t, s, id, 10)
	put(t, dest, id, 10)
	items := s.path(itemsDir)
	f.Reset()
	broken = items
	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); !errors.Is(err, syscall.EIO) || dest.count() != 1 {
		t.Errorf("Delete that cannot be flushed: %v, %d dumps at the destination", err, dest.count())
	}
	broken = ""
	f.Reset()
	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil || dest.count() != 0 {
		t.Errorf("Delete: %v, %d dumps at the destination", err, dest.count())
	}
	// The first one has removed the file, the second has to flush that.
	if !slices.Contains(f.Ops(), "syncdir "+items) {
		t.Errorf("Delete did %q", f.Ops())
	}
	put(t, s, id, 10)
	f.Reset()
	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
		t.Error(err)
	}
	removed, flushed := slices.Index(f.Ops(), "remove "+s.path(itemsDir, itemName(id))), slices.Index(f.Ops(), "syncdir "+items)
	if removed < 0 || flushed < removed {
		t.Errorf("Delete did %q", f.Ops())
	}
	shutdown(t, s)
}
