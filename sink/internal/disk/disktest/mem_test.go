package disktest

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// script runs steps on a new file system that has the folders /a and /b.
func script(t *testing.T, steps func(root disk.Folder, write func(name, text string) disk.File)) *Mem {
	t.Helper()
	m := NewMem()
	for _, dir := range []string{"/top/a", "/top/b"} {
		if err := m.MakeDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	root, err := m.Open("/top")
	if err != nil {
		t.Fatal(err)
	}
	steps(root, func(name, text string) disk.File {
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		must(t, err)
		return f
	})
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contents(m *Mem) map[string]string {
	got := map[string]string{}
	for name, b := range m.Files("/top") {
		got[name] = string(b)
	}
	return got
}

func wantCrash(t *testing.T, m *Mem, entries, data Keep, want map[string]string) {
	t.Helper()
	if got := contents(m.Crash(rand.New(rand.NewPCG(1, 1)), entries, data)); !maps.Equal(got, want) {
		t.Errorf("after a crash (entries %d, data %d): %q, want %q", entries, data, got, want)
	}
}

func TestCrash(t *testing.T) {
	type files = map[string]string
	unsynced := script(t, func(_ disk.Folder, write func(string, string) disk.File) { write("a/x", "text") })
	wantCrash(t, unsynced, KeepNone, KeepAll, files{})
	wantCrash(t, unsynced, KeepAll, KeepNone, files{"a/x": ""})
	wantCrash(t, unsynced, KeepAll, KeepAll, files{"a/x": "text"})
	if got := contents(unsynced); !maps.Equal(got, files{"a/x": "text"}) {
		t.Errorf("the crash has changed the original: %q", got)
	}

	noDir := script(t, func(_ disk.Folder, write func(string, string) disk.File) { must(t, write("a/x", "text").Sync()) })
	wantCrash(t, noDir, KeepNone, KeepNone, files{})
	wantCrash(t, noDir, KeepAll, KeepNone, files{"a/x": "text"})

	moved := func(sync ...string) *Mem {
		return script(t, func(root disk.Folder, write func(string, string) disk.File) {
			must(t, write("a/x", "text").Sync())
			must(t, root.SyncDir("a"))
			must(t, root.Rename("a/x", "b/y"))
			for _, dir := range sync {
				must(t, root.SyncDir(dir))
			}
		})
	}
	wantCrash(t, moved(), KeepNone, KeepNone, files{"a/x": "text"})
	wantCrash(t, moved(), KeepAll, KeepNone, files{"b/y": "text"})
	wantCrash(t, moved("b"), KeepNone, KeepNone, files{"a/x": "text", "b/y": "text"})
	wantCrash(t, moved("a"), KeepNone, KeepNone, files{"b/y": "text"})
	wantCrash(t, moved("b", "a"), KeepNone, KeepNone, files{"b/y": "text"})

	removed := script(t, func(root disk.Folder, write func(string, string) disk.File) {
		must(t, write("a/x", "text").Sync())
		must(t, root.SyncDir("a"))
		must(t, root.Remove("a/x"))
	})
	wantCrash(t, removed, KeepNone, KeepNone, files{"a/x": "text"})
	wantCrash(t, removed, KeepAll, KeepNone, files{})

	nested := script(t, func(root disk.Folder, write func(string, string) disk.File) {
		must(t, root.Mkdir("a/new", 0o700))
		must(t, write("a/new/x", "text").Sync())
		must(t, root.SyncDir("a/new"))
	})
	wantCrash(t, nested, KeepNone, KeepNone, files{})
}

// TestKeepSome sees every part of the unflushed left behind at some time, and
// nothing that never was.
func TestKeepSome(t *testing.T) {
	m := script(t, func(root disk.Folder, write func(string, string) disk.File) {
		write("a/x", "ab")
		must(t, root.Rename("a/x", "b/x"))
	})
	seen := map[string]bool{}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		for name, text := range contents(m.Crash(rng, KeepSome, KeepSome)) {
			seen[name+"="+text] = true
		}
	}
	var want []string
	for _, name := range []string{"a/x", "b/x"} {
		for _, text := range []string{"", "\x00", "\x00\x00", "a", "a\x00", "ab"} {
			want = append(want, name+"="+text)
		}
	}
	got := slices.Sorted(maps.Keys(seen))
	if !slices.Equal(got, want) {
		t.Errorf("after crashes there are %q, want %q", got, want)
	}
}

func TestLocks(t *testing.T) {
	script(t, func(root disk.Folder, write func(string, string) disk.File) {
		first := write("a/x", "")
		second, err := root.OpenFile("a/x", os.O_RDWR, 0)
		must(t, err)
		for _, tc := range []struct {
			do   func() (bool, error)
			want bool
		}{
			{first.TryLock, true},
			{first.TryLock, true},
			{second.TryLock, false},
			{func() (bool, error) { return true, first.Unlock() }, true},
			{second.TryLock, true},
			{func() (bool, error) { return true, second.Close() }, true},
			{first.TryLock, true},
		} {
			if got, err := tc.do(); got != tc.want || err != nil {
				t.Errorf("%t, %v, want %t", got, err, tc.want)
			}
		}
		if _, err := second.TryLock(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("a closed file: %v", err)
		}
	})
}
