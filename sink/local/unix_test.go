//go:build unix

package local_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	s, id := newSink(t, filepath.Join(t.TempDir(), "not", "yet")), newIdentity()
	if err := s.Put(t.Context(), id, content()); err != nil {
		t.Fatal(err)
	}
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
	if err != nil || n < 10 {
		t.Errorf("looked at %d files and folders: %v", n, err)
	}
}

// TestUnwritable is for everybody but root, whom no mode stops.
func TestUnwritable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere; TestReadOnly is root's")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, filepath.Join(dir, "below")} {
		err := newSink(t, dir).Put(t.Context(), newIdentity(), content())
		if !errors.Is(err, fs.ErrPermission) || sink.IsPermanent(err) {
			t.Errorf("Put: %v, want a missing permission, not permanent", err)
		}
	}
}

// TestPipe has a named pipe in the place of a dump, which nothing must wait
// for.
func TestPipe(t *testing.T) {
	s, id := newSink(t, t.TempDir()), newIdentity()
	if err := os.MkdirAll(filepath.Dir(s.Path(id)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(s.Path(id), 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Open(t.Context(), sink.Entry{Identity: id})
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, sink.ErrNotFound) {
			t.Errorf("Open: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Open waits for the pipe's writer")
	}
	if entries, err := s.Trace(t.Context(), id.TraceID); len(entries) != 0 || err != nil {
		t.Errorf("Trace: %v, %v", entries, err)
	}
}

// TestOpenWhileDeleted checks that who reads a dump can read on.
func TestOpenWhileDeleted(t *testing.T) {
	s, id := newSink(t, t.TempDir()), newIdentity()
	if err := s.Put(t.Context(), id, content()); err != nil {
		t.Fatal(err)
	}
	obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	defer obj.Close()
	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, obj.Size())
	if _, err := obj.ReadAt(got, 0); err != nil || !bytes.Equal(got, []byte("the dump")) {
		t.Errorf("ReadAt after Delete: %q, %v", got, err)
	}
}
