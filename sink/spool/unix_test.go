//go:build unix

package spool

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// special returns foreign things that only some systems have.
func special(*testing.T) map[string]func(path string) error {
	return map[string]func(string) error{
		itemName(newIdentity()): func(path string) error { return syscall.Mkfifo(path, 0o600) },
	}
}

func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	s := newTestSpool(t, newStore(), Config{Dir: filepath.Join(t.TempDir(), "not", "yet"), Passive: true, MaxItems: 1})
	put(t, s, newIdentity(), 10)
	put(t, s, newIdentity(), 10) // evicts
	n := 0
	err := filepath.WalkDir(filepath.Dir(s.Dir()), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		n++
		return nil
	})
	if err != nil || n != 8 { // not, yet, home, destination, items, one item, lock, tmp
		t.Errorf("looked at %d files and folders: %v", n, err)
	}
}

// TestUntrusted has a spool folder where others may put what they like.
func TestUntrusted(t *testing.T) {
	shared := t.TempDir()
	// What t.TempDir returns lies in a folder that nobody else may enter.
	for dir, mode := range map[string]fs.FileMode{shared: 0o777 | fs.ModeSticky, filepath.Dir(shared): 0o755} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	dest := newStore()
	dir := filepath.Join(shared, "coredumpy-0", "spool")
	s := newTestSpool(t, dest, Config{Dir: dir})
	put(t, s, newIdentity(), 10)
	if err := s.Flush(t.Context()); err != nil || dest.count() != 1 {
		t.Errorf("in a folder of our own: %v", err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o777); err != nil {
		t.Fatal(err)
	}
	id := newIdentity()
	err := s.Put(t.Context(), id, bytes.NewReader(nil))
	if !errors.Is(err, fs.ErrPermission) || sink.IsPermanent(err) || !strings.Contains(err.Error(), filepath.Dir(dir)) || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("Put in a folder for everybody: %v", err)
	}
	if err := s.Flush(t.Context()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Flush: %v", err)
	}
	if _, err := s.Push(t.Context(), nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Push: %v", err)
	}
	shutdown(t, s)
	if os.Geteuid() != 0 {
		t.Log("only root can give a folder to somebody else")
		return
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Dir(dir), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), id, bytes.NewReader(nil)); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "user 12345") {
		t.Errorf("Put in a folder of somebody else: %v", err)
	}
}

// TestOpenWhileDelivered checks that who reads a dump can read on.
func TestOpenWhileDelivered(t *testing.T) {
	dest := newStore()
	s := newTestSpool(t, dest, Config{Passive: true})
	id := newIdentity()
	put(t, s, id, 10_000)
	obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	defer obj.Close()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, s)
	got := make([]byte, obj.Size())
	if _, err := obj.ReadAt(got, 0); err != nil || !bytes.Equal(got, contentOf(id.ID, 10_000)) {
		t.Errorf("ReadAt after it was delivered: %v", err)
	}
}
