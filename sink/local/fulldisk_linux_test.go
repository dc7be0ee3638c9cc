package local_test

import (
	"bytes"
	"errors"
	"os"
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
		t.Skipf("cannot mount a small file system (%v); TestEachOperationFails covers a full disk in simulation", err)
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
	dir := tmpfs(t)
	s := newSink(t, filepath.Join(dir, "dumps"))
	small := newIdentity()
	if err := s.Put(t.Context(), small, content()); err != nil {
		t.Fatal(err)
	}
	big := newIdentity()
	err := s.Put(t.Context(), big, bytes.NewReader(make([]byte, 3<<20)))
	if !errors.Is(err, syscall.ENOSPC) || sink.IsPermanent(err) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Put: %v, want a full disk that names the folder and is not permanent", err)
	}
	t.Log(err)
	if got := keys(t, s.Dir()); len(got) != 2 {
		t.Errorf("the store holds %q, want one dump and its marker", got)
	}
	if n := count(t, s); n != 1 {
		t.Errorf("List shows %d dumps, want 1", n)
	}
	// The space is free again.
	if err := s.Put(t.Context(), big, bytes.NewReader(make([]byte, 512<<10))); err != nil {
		t.Errorf("Put of a dump that fits: %v", err)
	}
}

// TestReadOnly is an unwritable folder that stops root too.
func TestReadOnly(t *testing.T) {
	dir := tmpfs(t)
	s := newSink(t, filepath.Join(dir, "dumps"))
	id := newIdentity()
	if err := s.Put(t.Context(), id, content()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot make it read only: %v", err)
	}
	if err := s.Put(t.Context(), newIdentity(), content()); !errors.Is(err, syscall.EROFS) || sink.IsPermanent(err) {
		t.Errorf("Put: %v, want a read-only file system, not permanent", err)
	}
	if err := newSink(t, filepath.Join(dir, "other")).Put(t.Context(), id, content()); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Put in a folder that is to be made: %v, want a read-only file system", err)
	}
	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Delete: %v, want a read-only file system", err)
	}
	if n := count(t, s); n != 1 {
		t.Errorf("List shows %d dumps, want 1", n)
	}
	if _, err := os.Stat(s.Path(id)); err != nil {
		t.Error(err)
	}
}
