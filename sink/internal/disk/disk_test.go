package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk/disktest"
)

func open(t *testing.T, dir string) disk.Folder {
	t.Helper()
	root, err := disk.OS.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, root disk.Folder, name string) disk.File {
	t.Helper()
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	return f
}

// TestLocks: a lock keeps every other opening of the file out, also one of the same
// process, and stops nothing else.
func TestLocks(t *testing.T) {
	dir := t.TempDir()
	root := open(t, dir)
	first, second := create(t, root, "file"), create(t, root, "file")
	lock := func(f disk.File, want bool) {
		t.Helper()
		if got, err := f.TryLock(); got != want || err != nil {
			t.Errorf("TryLock: %t, %v, want %t", got, err, want)
		}
	}
	lock(first, true)
	lock(first, true)
	lock(second, false)
	if _, err := first.Write([]byte("text")); err != nil {
		t.Errorf("writing a file that is locked: %v", err)
	}
	b := make([]byte, 4)
	if _, err := second.ReadAt(b, 0); err != nil || string(b) != "text" {
		t.Errorf("reading a file that is locked: %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(b) != "text" {
		t.Errorf("reading a file that is locked: %q, %v", b, err)
	}
	must(t, first.Unlock())
	lock(second, true)
	lock(first, false)
	must(t, root.Rename("file", "other"))
	lock(first, false)
	must(t, second.Close()) // ends the lock
	lock(first, true)
	must(t, root.Remove("other"))
	again := create(t, root, "other")
	lock(again, true) // another file of that name
	must(t, again.Close())
	must(t, first.Close())
	if _, err := first.TryLock(); err == nil {
		t.Error("TryLock of a closed file: no error")
	}

	must(t, create(t, root, "read").Close())
	reader, err := root.OpenFile("read", os.O_RDONLY, 0)
	must(t, err)
	lock(reader, true)
	must(t, reader.Close())
}

func TestSame(t *testing.T) {
	root := open(t, t.TempDir())
	f := create(t, root, "a")
	defer f.Close()
	create(t, root, "b").Close()
	mine, err := f.Stat()
	must(t, err)
	for name, want := range map[string]bool{"a": true, "b": false} {
		info, err := root.Lstat(name)
		must(t, err)
		if got := root.Same(mine, info); got != want {
			t.Errorf("Same as %s: %t", name, got)
		}
	}
}

func TestMakeDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		must(t, disk.OS.MakeDir(dir))
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, bad := range []string{file, filepath.Join(file, "below")} {
		if err := disk.OS.MakeDir(bad); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("MakeDir(%q): %v", bad, err)
		}
	}
	if err := disk.OS.MakeDir(file); !errors.Is(err, disk.ErrNotDir) {
		t.Errorf("MakeDir(%q): %v", file, err)
	}
}

func TestFree(t *testing.T) {
	n, err := disk.OS.Free(t.TempDir())
	if err != nil || n == 0 {
		t.Errorf("Free: %d, %v", n, err)
	}
	if n, err := disk.OS.Free(filepath.Join(t.TempDir(), "none")); err == nil && n >= 0 {
		t.Errorf("Free of a folder that is not there: %d", n)
	}
}

// TestNothingLeadsOut has links and names that lead out of a folder.
func TestNothingLeadsOut(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	must(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "file")))
	root := open(t, dir)
	for _, name := range []string{"link/secret", "file", "../" + filepath.Base(outside) + "/secret", filepath.Join(outside, "secret")} {
		if f, err := root.OpenFile(name, os.O_RDONLY, 0); err == nil {
			f.Close()
			t.Errorf("%s was opened", name)
		}
		if err := root.Rename(name, "mine"); err == nil && name != "file" {
			t.Errorf("%s was renamed", name)
		}
	}
	if err := root.Mkdir("link/new", 0o700); err == nil {
		t.Error("a folder was made outside")
	}
	if list, err := root.ReadDir("link"); err == nil {
		t.Errorf("ReadDir shows %v", list)
	}
	if err := root.SyncDir("link"); err == nil {
		t.Error("a folder outside was opened")
	}
	if _, err := os.Stat(filepath.Join(outside, "secret")); err != nil {
		t.Error(err)
	}
}

// TestMade makes folders on a disk that loses its power afterwards.
func TestMade(t *testing.T) {
	mem := disktest.NewMem()
	must(t, mem.MakeDir("/top"))
	root, err := mem.Open("/top")
	must(t, err)
	var ops []string
	mem.Before = func(op, name string) { ops = append(ops, op+" "+name) }
	m := disk.Made{Forget: func(dir string) bool { return dir == "a/b" }}
	must(t, m.Mkdirs(root, "a/b/c", 0o700))
	left, err := mem.Crash(nil, disktest.KeepNone, disktest.KeepNone).Open("/top")
	must(t, err)
	if info, err := left.Lstat("a/b/c"); err != nil || !info.IsDir() {
		t.Errorf("after a power failure: %v, %v", info, err)
	}
	// What is known to be on the disk is not flushed again, but is made again
	// if it is gone.
	ops = nil
	must(t, m.Mkdirs(root, "a/b/c", 0o700))
	if got := strings.Join(ops, ", "); got != "mkdir a, mkdir a/b, lstat a/b, syncdir a, mkdir a/b/c" {
		t.Errorf("the second time: %s", got)
	}
	must(t, root.Remove("a/b/c"))
	must(t, m.Mkdirs(root, "a/b/c", 0o700))
	if _, err := root.Lstat("a/b/c"); err != nil {
		t.Error(err)
	}
	f, err := root.OpenFile("a/file", os.O_WRONLY|os.O_CREATE, 0o600)
	must(t, err)
	must(t, f.Close())
	if err := m.Mkdirs(root, "a/file/x", 0o700); !errors.Is(err, disk.ErrNotDir) && !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file in the way: %v", err)
	}
}
