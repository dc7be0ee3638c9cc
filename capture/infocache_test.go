//go:build linux

package capture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// packed makes sections out of texts.
func packed(tb testing.TB, texts ...string) []section {
	tb.Helper()
	var out []section
	for i, text := range texts {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		if _, err := z.Write([]byte(text)); err != nil {
			tb.Fatal(err)
		}
		if err := z.Close(); err != nil {
			tb.Fatal(err)
		}
		out = append(out, section{name: fmt.Sprint("s", i), raw: b.Bytes(), size: uint64(len(text)), packing: packedZlib})
	}
	return out
}

func testCache(t *testing.T) (c *infoCache, warnings *[]string) {
	t.Helper()
	warnings = new([]string)
	return &infoCache{dir: filepath.Join(t.TempDir(), "a", "cache"), max: 1 << 20, warn: func(err error) { *warnings = append(*warnings, err.Error()) }}, warnings
}

func sameSections(got [][]byte, want ...string) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if string(got[i]) != want[i] {
			return false
		}
	}
	return true
}

func TestInfoCache(t *testing.T) {
	c, warnings := testCache(t)
	long := strings.Repeat("debug info ", 5000)
	secs, key := packed(t, "short", long), [32]byte{1}
	if c.load(key, secs) != nil {
		t.Fatal("an empty cache has something")
	}
	if got := c.fill(key, secs); !sameSections(got, "short", long) {
		t.Fatal("fill does not return the sections")
	}
	if got := c.load(key, secs); !sameSections(got, "short", long) {
		t.Fatal("load does not return what fill has left")
	}
	for _, p := range []string{c.dir, filepath.Join(c.dir, cacheFile(key))} {
		if st, err := os.Stat(p); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v %v", p, st.Mode(), err)
		}
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the cache has %v, %v", entries, err)
	}
	// Of the same name, but another key or other sections.
	other := key
	other[31] = 9
	if c.load(other, secs) != nil || c.load(key, secs[:1]) != nil || c.load(key, packed(t, "shorT", long[:len(long)-1]+"!")) == nil {
		t.Error("a file is taken for another's")
	}
	if len(*warnings) > 0 {
		t.Error(*warnings)
	}
}

// TestTornCache damages a file of the cache in every way that a crash or a bad disk
// does; none of them is used, and the next start makes it anew.
func TestTornCache(t *testing.T) {
	c, _ := testCache(t)
	text := strings.Repeat("0123456789", 1000)
	secs, key := packed(t, text, "x"), [32]byte{2}
	if c.fill(key, secs) == nil {
		t.Fatal("not filled")
	}
	path := filepath.Join(c.dir, cacheFile(key))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string]func(b []byte) []byte{
		"empty":         func([]byte) []byte { return nil },
		"cut":           func(b []byte) []byte { return b[:len(b)-1] },
		"cut to header": func(b []byte) []byte { return b[:cacheHeader] },
		"longer":        func(b []byte) []byte { return append(b, 0) },
		"zero pages":    func(b []byte) []byte { clear(b[cacheHeader:]); return b },
		"all zero":      func(b []byte) []byte { clear(b); return b },
		"a bit":         func(b []byte) []byte { b[cacheHeader+5000] ^= 4; return b },
		"size":          func(b []byte) []byte { binary.LittleEndian.PutUint64(b[56:], 1<<60); return b },
		"count":         func(b []byte) []byte { binary.LittleEndian.PutUint32(b[48:], 1<<30); return b },
	}
	for name, f := range damage {
		if err := os.WriteFile(path, f(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		if c.load(key, secs) != nil {
			t.Errorf("%s: a torn file is used", name)
		}
		if got := c.fill(key, secs); !sameSections(got, text, "x") {
			t.Errorf("%s: it is not made anew", name)
		}
		if got := c.load(key, secs); !sameSections(got, text, "x") {
			t.Errorf("%s: the new one is not used", name)
		}
	}
}

// TestUntrustedCache checks that nothing is read from, or written to, what somebody
// else could have written.
func TestUntrustedCache(t *testing.T) {
	secs, key := packed(t, "text"), [32]byte{3}
	for _, tt := range []struct {
		name string
		make func(c *infoCache) error
		want string
	}{
		{"folder of all", func(c *infoCache) error { return os.Chmod(c.dir, 0o777) }, "can be written by others"},
		{"folder of the group", func(c *infoCache) error { return os.Chmod(c.dir, 0o770) }, "can be written by others"},
		{"file of all", func(c *infoCache) error { return os.Chmod(filepath.Join(c.dir, cacheFile(key)), 0o666) }, "can be written by others"},
		{"link to a folder", func(c *infoCache) error {
			if err := os.Rename(c.dir, c.dir+"2"); err != nil {
				return err
			}
			return os.Symlink(c.dir+"2", c.dir)
		}, "symbolic link"},
		{"link to a file", func(c *infoCache) error {
			p := filepath.Join(c.dir, cacheFile(key))
			if err := os.Rename(p, p+"2"); err != nil {
				return err
			}
			return os.Symlink(p+"2", p)
		}, "no regular file"},
		{"a folder in its place", func(c *infoCache) error {
			p := filepath.Join(c.dir, cacheFile(key))
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o700)
		}, "no regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, warnings := testCache(t)
			if c.fill(key, secs) == nil {
				t.Fatal("not filled")
			}
			if err := tt.make(c); err != nil {
				t.Fatal(err)
			}
			if c.load(key, secs) != nil {
				t.Error("it is used")
			}
			if len(*warnings) != 1 || !strings.Contains((*warnings)[0], tt.want) {
				t.Errorf("warnings %q, want one with %q", *warnings, tt.want)
			}
		})
	}
	if os.Getuid() != 0 {
		return
	}
	c, warnings := testCache(t)
	if c.fill(key, secs) == nil {
		t.Fatal("not filled")
	}
	if err := os.Chown(c.dir, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if c.load(key, secs) != nil || c.fill(key, secs) != nil || len(*warnings) == 0 || !strings.Contains((*warnings)[0], "belongs to user 12345") {
		t.Errorf("another user's folder: %q", *warnings)
	}
}

// TestUnusableCache: what is not there, read-only or full is done without, silently.
func TestUnusableCache(t *testing.T) {
	secs, key := packed(t, "text"), [32]byte{4}
	c, warnings := testCache(t)
	if err := os.WriteFile(filepath.Dir(filepath.Dir(c.dir))+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.dir = filepath.Dir(filepath.Dir(c.dir)) + "/file/cache"
	if c.load(key, secs) != nil || c.fill(key, secs) != nil {
		t.Error("a folder that cannot be is used")
	}
	c.dir = "/proc/cache" // nothing can be made there, whoever asks
	if c.load(key, secs) != nil || c.fill(key, secs) != nil {
		t.Error("a folder that cannot be made is used")
	}
	small, _ := testCache(t)
	small.max = cacheHeader
	if small.fill(key, secs) != nil {
		t.Error("a file that is larger than the cache may be")
	}
	bad := packed(t, "some text that is damaged")
	bad[0].raw[len(bad[0].raw)-1] ^= 1
	d, _ := testCache(t)
	if d.fill(key, bad) != nil {
		t.Error("damaged sections go into the cache")
	}
	if entries, _ := os.ReadDir(d.dir); len(entries) > 0 {
		t.Errorf("something is left: %v", entries)
	}
	if len(*warnings) > 0 {
		t.Error(*warnings)
	}
	var none *infoCache
	if none.load(key, secs) != nil || none.fill(key, secs) != nil {
		t.Error("no cache has something")
	}
}

// TestCacheRace: several processes, which open the folder and its files each for themselves
// as these goroutines do, fill the same file at the same time.
func TestCacheRace(t *testing.T) {
	c, _ := testCache(t)
	text := strings.Repeat("abcdefghij", 10_000)
	secs, key := packed(t, text), [32]byte{5}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got := c.load(key, secs)
			if got == nil {
				got = c.fill(key, secs)
			}
			if got != nil && !sameSections(got, text) {
				t.Error("one of them has something else")
			}
		})
	}
	wg.Wait()
	if !sameSections(c.load(key, secs), text) {
		t.Error("none of them has filled it")
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the cache has %v, %v", entries, err)
	}
}

func TestCachePrune(t *testing.T) {
	c, _ := testCache(t)
	text := strings.Repeat("x", 100_000)
	secs := packed(t, text)
	_, size := cacheLayout(secs)
	c.max = 3 * int64(size)
	for i := range byte(5) {
		if c.fill([32]byte{10 + i}, secs) == nil {
			t.Fatal("not filled")
		}
		old := time.Now().Add(time.Duration(i)*time.Minute - time.Hour)
		if err := os.Chtimes(filepath.Join(c.dir, cacheFile([32]byte{10 + i})), old, old); err != nil {
			t.Fatal(err)
		}
	}
	for i := range byte(5) {
		if got := c.load([32]byte{10 + i}, secs) != nil; got != (i >= 2) {
			t.Errorf("file %d of 5 is there: %v", i+1, got)
		}
	}
	ancient := time.Now().Add(-2 * cacheAge)
	for _, name := range []string{cacheFile([32]byte{13}), "dead" + tempSuffix} {
		p := filepath.Join(c.dir, name)
		f, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := os.Chtimes(p, ancient, ancient); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(c.dir, "foreign"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c.fill([32]byte{20}, secs) == nil {
		t.Fatal("not filled")
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); strings.Contains(got, "dead") || strings.Contains(got, cacheFile([32]byte{13})) || !strings.Contains(got, "foreign") || !strings.Contains(got, cacheFile([32]byte{20})) {
		t.Errorf("after pruning: %s", got)
	}
}

// TestCutWhileMapped cuts the files of a debug info that is in use: what reads it finds
// nothing any more, and the process lives.
func TestCutWhileMapped(t *testing.T) {
	good := smallProgram(t)
	path := filepath.Join(t.TempDir(), "small")
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := openELF(path)
	if err != nil {
		t.Fatal(err)
	}
	syms := o.findSymbols(0)
	di, err := openDebugInfo(o, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	di.dicts = syms.dicts
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	guarded(func() {
		useAll(di, newTestTypes(di))
		if _, ok := di.frames.at(0x401000); ok {
			t.Error("a frame is found in a file that is gone")
		}
		if f := di.functionAt(di.ranges[0].low); f != nil {
			t.Error("a function is found in a file that is gone")
		}
	})
	if !di.lost.Load() {
		t.Error("it has not been noticed")
	}
	if s := o.findSymbols(0); s.allgs != 0 {
		t.Error("a symbol is found in a file that is gone")
	}
	if _, err := openDebugInfo(o, 0, nil); err == nil {
		t.Error("the file is opened again")
	}
}
