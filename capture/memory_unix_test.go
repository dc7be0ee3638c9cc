//go:build unix

package capture

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// TestSelfReadAt reads from addresses that a process must not read from.
func TestSelfReadAt(t *testing.T) {
	none, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(none) }()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(8192); err != nil {
		t.Fatal(err)
	}
	cut, err := syscall.Mmap(int(f.Fd()), 0, 8192, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(cut) }()
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	gone, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	goneAt := uint64(uintptr(unsafe.Pointer(&gone[0])))
	if err := syscall.Munmap(gone); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	guarded(func() {
		for name, addr := range map[string]uint64{
			"nil": 0, "near nil": 8, "no access": uint64(uintptr(unsafe.Pointer(&none[0]))), "unmapped": goneAt,
			"truncated file": uint64(uintptr(unsafe.Pointer(&cut[0]))), "kernel": 0xffff800000000000, "non-canonical": 0xdeadbeefdeadbeef, "wraps": ^uint64(0) - 3,
		} {
			if err := (self{}).ReadAt(buf, addr); err == nil {
				t.Errorf("%s: reading %#x succeeded", name, addr)
			}
		}
		want := []byte("sixteen bytes ok")
		if err := (self{}).ReadAt(buf, uint64(uintptr(unsafe.Pointer(&want[0])))); err != nil || string(buf) != string(want) {
			t.Errorf("own memory: %q, %v", buf, err)
		}
	})
}

func TestOverlay(t *testing.T) {
	under := []byte("under under under under")
	at := uint64(uintptr(unsafe.Pointer(&under[0])))
	o := &overlay{region{at + 4, []byte("OVER")}, self{}}
	for _, c := range []struct {
		off  uint64
		n    int
		want string
	}{{4, 4, "OVER"}, {5, 2, "VE"}, {0, 4, "unde"}, {6, 4, "unde"[:0] + string(under[6:10])}, {8, 3, string(under[8:11])}} {
		b := make([]byte, c.n)
		var err error
		guarded(func() { err = o.ReadAt(b, at+c.off) })
		if err != nil || string(b) != c.want {
			t.Errorf("%d bytes at %d: %q, %v, want %q", c.n, c.off, b, err, c.want)
		}
	}
}

// While the program panics, which is when it is needed, a read must not be dearer.
func BenchmarkReadAt64(b *testing.B) {
	src := make([]byte, 64)
	at := uint64(uintptr(unsafe.Pointer(&src[0])))
	buf := make([]byte, 64)
	read := func(b *testing.B) {
		b.ReportAllocs()
		guarded(func() {
			for b.Loop() {
				if err := (self{}).ReadAt(buf, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("calm", read)
	b.Run("panicking", func(b *testing.B) {
		defer func() { _ = recover() }()
		defer read(b)
		panic("of the benchmark")
	})
}
