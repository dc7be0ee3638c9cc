package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// faultSize makes a dump that takes several writes.
const faultSize = 2*copySize + 100

// newFaulty returns a Spool on a disk of which some operations fail.
func newFaulty(t *testing.T, dest sink.Sink, c Config, fail func(n int, op, name string) error) (*Spool, *disktest.Faults) {
	t.Helper()
	f := &disktest.Faults{System: disk.OS, Fail: fail}
	if c.MinFree == 0 {
		c.MinFree = 1 // so that the free space is looked at
	}
	s, err := newSpool(dest, c, f)
	if err != nil {
		t.Fatal(err)
	}
	return s, f
}

// favour reports whether an operation is one whose failure takes nothing from a
// Put: writing the label, reading the free space, and what follows when the
// dump is safe.
func favour(op, name string) bool {
	base := filepath.Base(name)
	return op == "free" || op == "unlock" || op == "close" && !strings.HasPrefix(base, labelFile) ||
		strings.HasPrefix(base, labelFile)
}

// TestEachOperationOfPutFails lets every single operation of a Put fail once.
func TestEachOperationOfPutFails(t *testing.T) {
	faults := []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS}
	if testing.Short() || raceEnabled {
		faults = faults[:1]
	}
	for _, fault := range faults {
		for _, again := range []bool{false, true} { // also a Put of a dump that is there
			failed := map[string]bool{}
			for n := 1; ; n++ {
				dir, dest, id := t.TempDir(), newStore(), newIdentity()
				if again {
					s := newTestSpool(t, dest, Config{Dir: dir, Passive: true})
					put(t, s, id, faultSize)
				}
				hit, hitName := "", ""
				s, _ := newFaulty(t, dest, Config{Dir: dir, Passive: true}, func(i int, op, name string) error {
					if i == n {
						hit, hitName = op, name
						return fault
					}
					return nil
				})
				err := s.Put(t.Context(), id, bytes.NewReader(contentOf(id.ID, faultSize)))
				if hit == "" {
					if err != nil {
						t.Fatalf("Put without a fault: %v", err)
					}
					break
				}
				failed[hit] = true
				where := hit + " " + hitName
				switch {
				case err == nil && !favour(hit, hitName):
					t.Errorf("operation %d, %s: Put reports success", n, where)
				case err != nil && (!errors.Is(err, fault) || sink.IsPermanent(err)):
					t.Errorf("operation %d, %s: %v, want %v, not permanent", n, where, err, fault)
				case err != nil && (!strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), id.ID.String())):
					t.Errorf("operation %d, %s: %v names not folder and dump", n, where, err)
				case err != nil && fault == syscall.ENOSPC && !strings.Contains(err.Error(), "make room"):
					t.Errorf("operation %d, %s: %v does not say what to do", n, where, err)
				}
				for _, f := range inSpool(t, s) {
					if strings.HasPrefix(f, tmpDir) && !strings.Contains(f, labelFile) {
						t.Errorf("operation %d, %s: Put has left %s", n, where, f)
					}
				}
				if err != nil && !again {
					if items, _ := s.Items(t.Context()); len(items) > 0 {
						t.Errorf("operation %d, %s: Put has failed, and the spool holds %+v", n, where, items)
					}
				}
				if err := s.Put(t.Context(), id, bytes.NewReader(contentOf(id.ID, faultSize))); err != nil {
					t.Errorf("operation %d, %s: the Put after it: %v", n, where, err)
				}
				if err := s.Flush(t.Context()); err != nil {
					t.Errorf("operation %d, %s: Flush: %v", n, where, err)
				}
				if got, puts := dest.has(id.ID); puts != 1 || !bytes.Equal(got, contentOf(id.ID, faultSize)) {
					t.Errorf("operation %d, %s: the dump has arrived %d times, %d bytes", n, where, puts, len(got))
				}
				wantFiles(t, s)
				shutdown(t, s)
			}
			ops := []string{
				"makedir", "openroot", "trust", "free", "readdir", "lstat", "mkdir", "openfile", "lock", "stat", "write", "sync",
				"close", "rename", "syncdir",
			}
			if again {
				ops = []string{"makedir", "openroot", "trust", "lstat", "openfile", "read", "syncdir"}
			}
			for _, op := range ops {
				if !failed[op] {
					t.Errorf("again=%t: no %s has failed", again, op)
				}
			}
		}
	}
}

// TestDiesAtEachOperationOfPut lets the process die at every operation of a Put,
// and another one find what it has left.
func TestDiesAtEachOperationOfPut(t *testing.T) {
	leftovers, arrived := 0, 0
	for n := 1; ; n++ {
		dir, dest, id := t.TempDir(), newStore(), newIdentity()
		dead := false
		s, _ := newFaulty(t, dest, Config{Dir: dir, Passive: true}, func(i int, _, _ string) error {
			dead = dead || i == n
			if dead {
				return syscall.EIO
			}
			return nil
		})
		err := s.Put(t.Context(), id, bytes.NewReader(contentOf(id.ID, faultSize)))
		if !dead {
			break
		}
		leftovers += len(inSpool(t, s))
		w := &witness{}
		other := newTestSpool(t, dest, w.watch(Config{Dir: dir}))
		awaitSweep(other)
		if ferr := other.Flush(t.Context()); ferr != nil {
			t.Fatal(ferr)
		}
		shutdown(t, other)
		got, puts := dest.has(id.ID)
		if err == nil && puts != 1 {
			t.Errorf("death at operation %d: a dump that was reported has arrived %d times", n, puts)
		}
		if puts > 0 && !bytes.Equal(got, contentOf(id.ID, faultSize)) {
			t.Errorf("death at operation %d: half a dump has arrived", n)
		}
		arrived += puts
		wantFiles(t, other)
		if kinds := w.kinds(); len(kinds) > 0 {
			t.Errorf("death at operation %d: %v", n, kinds)
		}
	}
	if leftovers == 0 || arrived == 0 {
		t.Errorf("%d leftovers and %d dumps were found, so nothing was shown", leftovers, arrived)
	}
}

// TestEachOperationOfAnUploadFails lets every operation of the background fail
// once. The dumps arrive all the same, each once.
func TestEachOperationOfAnUploadFails(t *testing.T) {
	for _, op := range []string{"openroot", "trust", "readdir", "lstat", "openfile", "lock", "stat", "read", "remove", "unlock", "close"} {
		for n := 1; uploadWithFault(t, op, n); n++ {
			if n > 100 {
				t.Fatalf("there is no end to the operation %s", op)
			}
		}
	}
}

// uploadWithFault lets the n-th operation of that name fail, and reports whether
// there was one.
func uploadWithFault(t *testing.T, op string, n int) (hit bool) {
	t.Helper()
	dir, dest := t.TempDir(), newStore()
	ids := []dump.Identity{newIdentity(), newIdentity()}
	writer := newTestSpool(t, dest, Config{Dir: dir, Passive: true})
	for _, id := range ids {
		put(t, writer, id, faultSize)
	}
	var seen int
	where := ""
	w := &witness{}
	s, _ := newFaulty(t, dest, w.watch(Config{Dir: dir, MinBackoff: 1, MaxBackoff: 1}), func(_ int, o, name string) error {
		if o != op {
			return nil
		}
		if seen++; seen != n {
			return nil
		}
		hit, where = true, fmt.Sprintf("%s of %s (%d)", op, name, n)
		return syscall.EIO
	})
	awaitSweep(s)
	for attempt := 0; ; attempt++ {
		err := s.Flush(t.Context())
		if err == nil {
			break
		}
		// That of Flush itself may be the one that fails.
		if attempt > 0 || !errors.Is(err, syscall.EIO) {
			t.Fatalf("%s fails: Flush: %v", where, err)
		}
	}
	shutdown(t, s)
	for _, id := range ids {
		got, puts := dest.has(id.ID)
		if puts != 1 || !bytes.Equal(got, contentOf(id.ID, faultSize)) {
			t.Errorf("%s fails: a dump has arrived %d times", where, puts)
		}
		if told := w.outcomes(id.ID); !slices.Equal(told, []Outcome{Delivered}) {
			t.Errorf("%s fails: of a dump was told %v", where, told)
		}
	}
	// What could not be removed is removed by the next process.
	next := newTestSpool(t, dest, Config{Dir: dir})
	if err := next.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	shutdown(t, next)
	wantFiles(t, next)
	if !hit && n == 1 {
		t.Errorf("there was no %s to fail", op)
	}
	return hit
}

// TestFlushedInOrder follows what a Put has done: the content was flushed before it
// got its name, and every new entry of a folder was flushed.
func TestFlushedInOrder(t *testing.T) {
	s, f := newFaulty(t, newStore(), Config{Dir: filepath.Join(t.TempDir(), "new"), Passive: true}, nil)
	id := newIdentity()
	put(t, s, id, faultSize)
	item := s.path(itemsDir, itemName(id))
	unsyncedData, unsyncedDirs := map[string]bool{}, map[string]bool{}
	renamed := false
	for _, line := range f.Ops() {
		op, name, _ := strings.Cut(line, " ")
		switch op {
		case "write":
			unsyncedData[name] = true
		case "sync":
			delete(unsyncedData, name)
		case "mkdir":
			unsyncedDirs[filepath.Dir(name)] = true
		case "rename":
			if name == item {
				renamed = true
				unsyncedDirs[filepath.Dir(name)] = true
			}
			if len(unsyncedData) > 0 {
				t.Error("a file got its name before its content was flushed")
			}
		case "syncdir":
			delete(unsyncedDirs, name)
		}
	}
	if len(unsyncedDirs)+len(unsyncedData) > 0 || !renamed {
		t.Errorf("at the end of Put these are not flushed: %v %v; renamed: %t", unsyncedDirs, unsyncedData, renamed)
	}
}

// TestFastPath counts what a Put does while the bounds are far: it must not depend
// on how much lies in the spool.
func TestFastPath(t *testing.T) {
	s, f := newFaulty(t, newStore(), Config{Dir: t.TempDir(), Passive: true}, nil)
	var counts []int
	for n := range 40 {
		f.Reset()
		put(t, s, newIdentity(), 10)
		ops := f.Ops()
		if n > 0 {
			counts = append(counts, len(ops))
			for _, op := range ops {
				if strings.HasPrefix(op, "readdir") {
					t.Errorf("Put %d has read a folder: %q", n, ops)
				}
			}
		}
	}
	if slices.Max(counts) != slices.Min(counts) || counts[0] > 25 {
		t.Errorf("Puts have made %v operations", counts)
	}
}

// TestLocksThatDoNotWork is about file systems without locks: within a process
// everything still happens once.
func TestLocksThatDoNotWork(t *testing.T) {
	dir, dest := t.TempDir(), newStore()
	noLocks := func(_ int, op, _ string) error {
		if op == "lock" {
			return disk.ErrNoLocks
		}
		return nil
	}
	var spools []*Spool
	var ids []dump.Identity
	for range 3 {
		s, _ := newFaulty(t, dest, Config{Dir: dir}, noLocks)
		spools = append(spools, s)
	}
	for i := range 30 {
		id := newIdentity()
		ids = append(ids, id)
		put(t, spools[i%3], id, 1000)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, s := range spools {
		if err := s.Flush(ctx); err != nil {
			t.Error(err)
		}
		shutdown(t, s)
	}
	for _, id := range ids {
		if _, puts := dest.has(id.ID); puts != 1 {
			t.Errorf("a dump has arrived %d times", puts)
		}
	}
	wantFiles(t, spools[0])
	if len(held.m) > 0 {
		t.Errorf("claims are left: %v", held.m)
	}
}
