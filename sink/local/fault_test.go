package local

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk/disktest"
)

// newFaulty returns a Sink on a file system that fails.
func newFaulty(t *testing.T, dir string, fail func(n int, op string) error) (*Sink, *disktest.Faults) {
	t.Helper()
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := &disktest.Faults{System: disk.OS}
	if fail != nil {
		f.Fail = func(n int, op, _ string) error { return fail(n, op) }
	}
	s.sys = f
	return s, f
}

func newIdentity() dump.Identity {
	return dump.Identity{ID: dump.NewID(), TraceID: dump.TraceID{1, 2, 3}, Service: "shop"}
}

// source is a dump that takes several writes.
func source() *bytes.Reader { return bytes.NewReader(bytes.Repeat([]byte("dump "), 512<<10/5)) }

// files returns the paths of all files in the store.
func files(t *testing.T, dir string) []string {
	t.Helper()
	list := []string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		list = append(list, filepath.ToSlash(rel))
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return list
}

// wantWhole checks that the store shows the dump with its whole content, or
// does not show it. It returns whether Trace does.
func wantWhole(t *testing.T, dir string, id dump.Identity) bool {
	t.Helper()
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.Trace(t.Context(), id.TraceID)
	if err != nil {
		t.Fatal(err)
	}
	listed := 0
	for e, err := range s.List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		listed++
		if e.ID != id.ID {
			t.Errorf("List shows %s, which nobody put", e.ID)
		}
	}
	if listed > len(entries) {
		t.Error("List shows a dump that Trace does not")
	}
	obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
	if len(entries) == 0 {
		if !errors.Is(err, sink.ErrNotFound) {
			t.Errorf("Open: %v, but Trace shows no dump", err)
		}
		return false
	}
	if err != nil {
		t.Fatalf("Open: %v, but Trace shows the dump", err)
	}
	defer obj.Close()
	want := source()
	if obj.Size() != want.Size() || entries[0].Size != want.Size() {
		t.Errorf("the dump has %d bytes, want %d", obj.Size(), want.Size())
	}
	got := make([]byte, obj.Size())
	if _, err := obj.ReadAt(got, 0); err != nil || !bytes.Equal(got, bytes.Repeat([]byte("dump "), len(got)/5)) {
		t.Errorf("the dump has not the content that was put: %v", err)
	}
	return true
}

// TestEachOperationFails lets every single operation of a Put fail once.
func TestEachOperationFails(t *testing.T) {
	for _, again := range []bool{false, true} { // also a Put of a dump that is there
		failed := map[string]bool{}
		for n := 1; ; n++ {
			dir, id := t.TempDir(), newIdentity()
			if again {
				s, err := New(dir)
				if err == nil {
					err = s.Put(t.Context(), id, source())
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			hit := ""
			s, _ := newFaulty(t, dir, func(i int, op string) error {
				if i == n {
					hit = op
					return syscall.ENOSPC
				}
				return nil
			})
			err := s.Put(t.Context(), id, source())
			if hit == "" {
				if err != nil {
					t.Fatalf("Put without a fault: %v", err)
				}
				break
			}
			failed[hit] = true
			switch {
			case err == nil && hit != "readdir": // that of the clean-up, which is a favour
				t.Errorf("operation %d, %s: Put reports success", n, hit)
			case err != nil && (!errors.Is(err, syscall.ENOSPC) || sink.IsPermanent(err)):
				t.Errorf("operation %d, %s: %v, want ENOSPC, not permanent", n, hit, err)
			case err != nil && (!strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), id.ID.String())):
				t.Errorf("operation %d, %s: %v names not folder and dump", n, hit, err)
			}
			for _, f := range files(t, dir) {
				if strings.HasPrefix(f, tmpDir) {
					t.Errorf("operation %d, %s: Put has left %s", n, hit, f)
				}
			}
			wantWhole(t, dir, id)

			if err := s.Put(t.Context(), id, source()); err != nil {
				t.Errorf("operation %d, %s: the Put after it: %v", n, hit, err)
			}
			if !wantWhole(t, dir, id) {
				t.Errorf("operation %d, %s: the dump is not there after the second Put", n, hit)
			}
			want := []string{sink.DayKey(id), sink.TraceKey(id)}
			if got := files(t, dir); !slices.Equal(got, want) {
				t.Errorf("operation %d, %s: the store holds %q, want %q", n, hit, got, want)
			}
		}
		ops := []string{"makedir", "openroot", "readdir", "lstat", "mkdir", "openfile", "write", "sync", "close", "rename", "syncdir"}
		if again {
			ops = []string{"makedir", "openroot", "readdir", "lstat", "openfile", "syncdir"}
		}
		for _, op := range ops {
			if !failed[op] {
				t.Errorf("again=%t: no %s has failed", again, op)
			}
		}
	}
}

// TestDiesAtEachOperation lets the process die at every single operation of a
// Put, and another one find what it left.
func TestDiesAtEachOperation(t *testing.T) {
	leftovers := 0
	for n := 1; ; n++ {
		dir, id := t.TempDir(), newIdentity()
		dead := false
		s, _ := newFaulty(t, dir, func(i int, _ string) error {
			dead = dead || i == n
			if dead {
				return syscall.EIO
			}
			return nil
		})
		err := s.Put(t.Context(), id, source())
		if !dead {
			break
		}
		// The very last operations are closings whose failure loses nothing.
		there := wantWhole(t, dir, id)
		if err == nil && !there {
			t.Errorf("death at operation %d: a dump that was reported as stored is not there", n)
		}

		other, err := New(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Put(t.Context(), id, source()); err != nil {
			t.Errorf("death at operation %d: the Put after it: %v", n, err)
		}
		if !wantWhole(t, dir, id) {
			t.Errorf("death at operation %d: the dump is not there after the second Put", n)
		}

		// What is left of the first one is not taken away from a process that
		// may still be writing it, but a day later it is.
		later, err := New(dir)
		if err != nil {
			t.Fatal(err)
		}
		leftovers += len(files(t, dir)) - 2
		later.now = func() time.Time { return time.Now().Add(staleAfter + time.Minute) }
		if err := later.Put(t.Context(), id, source()); err != nil {
			t.Fatal(err)
		}
		want := []string{sink.DayKey(id), sink.TraceKey(id)}
		if got := files(t, dir); !slices.Equal(got, want) {
			t.Errorf("death at operation %d: a day later the store holds %q, want %q", n, got, want)
		}
	}
	if leftovers == 0 {
		t.Error("no death has left a temporary file, so nothing was shown")
	}
}

// TestFlushed follows what a Put has done, and checks that at its end nothing
// of it could be lost with the power: the content was flushed before it got its
// name, every new entry of a folder was flushed after it was made, and all that
// before the marker came.
func TestFlushed(t *testing.T) {
	dir, id := t.TempDir(), newIdentity()
	s, f := newFaulty(t, dir, nil)
	if err := s.Put(t.Context(), id, source()); err != nil {
		t.Fatal(err)
	}
	key, marker := sink.TraceKey(id), sink.DayKey(id)
	unsyncedData, unsyncedDirs := map[string]bool{}, map[string]bool{}
	for _, line := range f.Ops() {
		op, name, _ := strings.Cut(line, " ")
		switch op {
		case "write":
			unsyncedData[name] = true
		case "sync":
			delete(unsyncedData, name)
		case "mkdir":
			unsyncedDirs[path.Dir(name)] = true
		case "rename":
			if name != key {
				t.Errorf("%s: want %s", line, key)
			}
			if len(unsyncedData) > 0 {
				t.Error("the dump got its name before its content was flushed")
			}
			unsyncedDirs[path.Dir(name)] = true
		case "openfile":
			if name == marker {
				if len(unsyncedDirs) > 0 {
					t.Errorf("the marker came before %v was flushed", unsyncedDirs)
				}
				unsyncedDirs[path.Dir(name)] = true
			}
		case "syncdir":
			delete(unsyncedDirs, name)
		}
	}
	if len(unsyncedDirs)+len(unsyncedData) > 0 {
		t.Errorf("at the end of Put these are not flushed: %v %v", unsyncedDirs, unsyncedData)
	}
	for _, want := range []string{"sync", "rename " + key, "openfile " + marker, "syncdir " + path.Dir(marker)} {
		if !slices.ContainsFunc(f.Ops(), func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("there was no %q", want)
		}
	}

	// The same dump again flushes again: whoever made the entry may have died
	// before doing so.
	f.Reset()
	if err := s.Put(t.Context(), id, source()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"syncdir " + path.Dir(key), "syncdir v1/traces", "syncdir " + path.Dir(marker)} {
		if !slices.Contains(f.Ops(), want) {
			t.Errorf("the second Put made no %q", want)
		}
	}
}

// TestFlushedFolders is about folders that another process made. It may have
// died before it flushed them, so this one does, once.
func TestFlushedFolders(t *testing.T) {
	dir, id := t.TempDir(), newIdentity()
	other, err := New(dir)
	if err == nil {
		err = other.Put(t.Context(), id, source())
	}
	if err != nil {
		t.Fatal(err)
	}
	s, f := newFaulty(t, dir, nil)
	day := path.Dir(path.Dir(sink.DayKey(id)))
	for n, want := range []int{1, 0} {
		f.Reset()
		if err := s.Put(t.Context(), newIdentity(), source()); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{".", path.Dir(path.Dir(day)), path.Dir(day), day} {
			got := 0
			for _, op := range f.Ops() {
				if op == "syncdir "+dir {
					got++
				}
			}
			if got != want && (want == 0 || got == 0) {
				t.Errorf("Put %d has flushed %s %d times, want %d", n+1, dir, got, want)
			}
		}
	}
}

// TestCleansUp checks what clean takes and what it leaves.
func TestCleansUp(t *testing.T) {
	dir, id := t.TempDir(), newIdentity()
	if err := os.MkdirAll(filepath.Join(dir, tmpDir, "folder.tmp"), dirMode); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-staleAfter - time.Minute)
	plant := func(name string, at time.Time) string {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.WriteFile(p, []byte("half"), fileMode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, at, at); err != nil {
			t.Fatal(err)
		}
		return name
	}
	gone := plant(tmpName(dump.NewID()), old)
	young := plant(tmpName(dump.NewID()), time.Now())
	foreign := plant(tmpDir+"/notes.tmp", old)

	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range s.List(t.Context(), sink.Query{}) {
		t.Error("List shows a temporary file")
	}
	if err := s.Put(t.Context(), id, source()); err != nil {
		t.Fatal(err)
	}
	want := []string{sink.DayKey(id), sink.TraceKey(id), young, foreign}
	slices.Sort(want)
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("the store holds %q, want %q without %s", got, want, gone)
	}

	// It is not looked for at every Put.
	again := plant(gone, old)
	if err := s.Put(t.Context(), newIdentity(), source()); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(files(t, dir), again) {
		t.Error("the folder was searched again within the hour")
	}
	s.now = func() time.Time { return time.Now().Add(cleanEvery) }
	if err := s.Put(t.Context(), newIdentity(), source()); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(files(t, dir), again) {
		t.Error("the folder was not searched after an hour")
	}
}
