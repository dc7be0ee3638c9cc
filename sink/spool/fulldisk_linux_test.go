package spool

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// tmpfs mounts a file system of 1 MiB, if the test may.
func tmpfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "size=1m,mode=0700"); err != nil {
		t.Skipf("cannot mount a small file system (%v); TestEachOperationOfPutFails covers a full disk in simulation", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk fills a real file system.
func TestFullDisk(t *testing.T) {
	dir, dest, w := filepath.Join(tmpfs(t), "spool"), newStore(), &witness{}
	s := newTestSpool(t, dest, w.watch(Config{Dir: dir, Passive: true}))
	first := newIdentity()
	put(t, s, first, 10_000)
	big := newIdentity()
	err := s.Put(t.Context(), big, bytes.NewReader(make([]byte, 3<<20)))
	if !errors.Is(err, syscall.ENOSPC) || sink.IsPermanent(err) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "make room there") {
		t.Errorf("Put: %v, want a full disk that names the folder and is not permanent", err)
	}
	t.Log(err)
	wantFiles(t, s, itemsDir+"/"+itemName(first))
	// One that fits if the first one goes, which is worth as much.
	fits := newIdentity()
	put(t, s, fits, 1<<20-16<<10)
	wantFiles(t, s, itemsDir+"/"+itemName(fits))
	settled(t, s)
	if r := w.last(t, first.ID); r.Outcome != Evicted || !strings.Contains(r.Err.Error(), "its disk is full") {
		t.Errorf("%+v", r)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Errorf("Flush: %v", err)
	}
	if _, puts := dest.has(fits.ID); puts != 1 {
		t.Errorf("the dump has arrived %d times", puts)
	}

	// With a bound that is kept, the disk never becomes full.
	s = newTestSpool(t, dest, Config{Dir: dir, Passive: true, MinFree: 512 << 10})
	for range 20 {
		put(t, s, newIdentity(), 100_000)
		if free, err := s.sys.Free(dir); err != nil || free < 512<<10 {
			t.Fatalf("%d bytes are free: %v", free, err)
		}
	}
	if n := len(inSpool(t, s)); n < 4 || n > 5 {
		t.Errorf("%d dumps are in the spool", n)
	}
}

// TestReadOnly is a spool that nothing can be written to any more, which stops
// root too.
func TestReadOnly(t *testing.T) {
	mount := tmpfs(t)
	dir, dest, w := filepath.Join(mount, "spool"), newStore(), &witness{}
	s := newTestSpool(t, dest, Config{Dir: dir, Passive: true})
	id := newIdentity()
	put(t, s, id, 10_000)
	if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot make it read only: %v", err)
	}
	for _, dir := range []string{dir, filepath.Join(mount, "other")} {
		s := newTestSpool(t, dest, Config{Dir: dir, Passive: true})
		err := s.Put(t.Context(), newIdentity(), bytes.NewReader(nil))
		if !errors.Is(err, syscall.EROFS) || sink.IsPermanent(err) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "read only") {
			t.Errorf("Put: %v, want a read-only file system that names the folder, not permanent", err)
		}
	}
	if b, err := readAll(t, s, id); err != nil || len(b) != 10_000 {
		t.Errorf("Open: %d bytes, %v", len(b), err)
	}
	if items, err := s.Items(t.Context()); len(items) != 1 || err != nil {
		t.Errorf("Items: %v, %v", items, err)
	}
	// What lies there is delivered all the same, once by each process, and not
	// over and over again.
	active := newTestSpool(t, dest, w.watch(Config{Dir: dir, MinBackoff: 1, MaxBackoff: 1}))
	if err := active.Flush(t.Context()); err != nil {
		t.Errorf("Flush: %v", err)
	}
	for w.kinds()[TroubleItem] < 3 {
		until(t, active, "several attempts to remove the file", func(Stats) bool { return true })
		settled(t, active)
	}
	shutdown(t, active)
	if _, puts := dest.has(id.ID); puts != 1 || len(w.outcomes(id.ID)) != 1 {
		t.Errorf("the dump has arrived %d times, and was told %v", puts, w.outcomes(id.ID))
	}
	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Delete: %v", err)
	}
}
