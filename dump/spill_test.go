package dump

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// spillFile is a SpillFile in memory that can be made to fail.
type spillFile struct {
	bytes.Buffer
	room    int // how many bytes it takes, -1 for any number
	readErr error
	short   bool // ReadAt finds less than was written
}

func (f *spillFile) Write(b []byte) (int, error) {
	if f.room >= 0 && f.Len()+len(b) > f.room {
		n, _ := f.Buffer.Write(b[:f.room-f.Len()])
		return n, errDisk
	}
	return f.Buffer.Write(b)
}

func (f *spillFile) ReadAt(b []byte, off int64) (int, error) {
	if f.readErr != nil {
		return 0, f.readErr
	}
	all := f.Bytes()
	if f.short {
		all = all[:len(all)-1]
	}
	return bytes.NewReader(all).ReadAt(b, off)
}

// A dump is the same wherever its parts were before they were written.
func TestSpill(t *testing.T) {
	seeds := uint64(10)
	if raceEnabled {
		seeds = 2
	}
	for seed := range seeds {
		c := newGenerator(seed).dump(30)
		chunk := WithChunkSize(minChunk)
		want := c.file(t, chunk)
		for _, limit := range []int{0, 1, len(want) / 2, 1 << 30} {
			f := &spillFile{room: -1}
			if got := c.file(t, chunk, WithSpill(f, limit)); !bytes.Equal(got, want) {
				t.Fatalf("seed %d, limit %d: the file is another", seed, limit)
			}
			if limit == 0 && f.Len() == 0 && len(c.objects) > 0 || limit == 1<<30 && f.Len() != 0 {
				t.Errorf("seed %d, limit %d: %d bytes were spilled", seed, limit, f.Len())
			}
		}
	}
}

func TestSpillErrors(t *testing.T) {
	c := newGenerator(3).dump(30)
	size := len(c.file(t, WithChunkSize(minChunk)))
	write := func(f *spillFile) error {
		w := NewWriter(io.Discard, WithChunkSize(minChunk), WithSpill(f, 0))
		for _, o := range c.objects {
			if err := w.Object(o); err != nil {
				if _, again := w.Close(&Header{}); !errors.Is(again, err) {
					t.Errorf("Close afterwards: error %v, want %v", again, err)
				}
				return err
			}
		}
		_, err := w.Close(&Header{})
		return err
	}
	if err := write(&spillFile{room: -1}); err != nil {
		t.Fatal(err)
	}
	for room := 0; room < size/2; room += size / 20 {
		if err := write(&spillFile{room: room}); !errors.Is(err, errDisk) {
			t.Errorf("room for %d bytes: error %v", room, err)
		}
	}
	if err := write(&spillFile{room: -1, readErr: errNet}); !errors.Is(err, errNet) {
		t.Errorf("cannot be read: error %v", err)
	}
	if err := write(&spillFile{room: -1, short: true}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the end is missing: error %v", err)
	}
}

// heap is how much memory is in use, in bytes. What is only kept for later use is
// not counted.
func heap() int64 {
	runtime.GC()
	runtime.GC() // empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The memory that writing and reading take does not depend on how large a dump is.
func TestBoundedMemory(t *testing.T) {
	objects := 1_000_000
	if raceEnabled {
		objects = 50_000
	}
	const (
		most  = 8 << 20
		every = 16 // samples
	)
	dir := t.TempDir()
	spilled, err := os.Create(filepath.Join(dir, "spill"))
	if err != nil {
		t.Fatal(err)
	}
	defer spilled.Close()
	out, err := os.Create(filepath.Join(dir, "dump.cdmp"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	before, peak := heap(), int64(0)
	sample := func() { peak = max(peak, heap()-before) }

	w := NewWriter(out, WithSpill(spilled, 1<<20))
	_, object := benchGraph()
	var o Object
	for i := 1; i <= objects; i++ {
		object(i, &o)
		if err := w.Object(&o); err != nil {
			t.Fatal(err)
		}
		if i%(objects/every) == 0 {
			sample()
		}
	}
	size, err := w.Close(&Header{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(w)
	t.Logf("writing %d objects, %d bytes: at most %d KiB", objects, size, peak>>10)
	if peak > most {
		t.Errorf("writing takes %d KiB", peak>>10)
	}

	before, peak = heap(), 0
	r, err := NewReader(out, size)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for o, err := range r.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; int(o.ID) != n {
			t.Fatalf("object %d where %d is next", o.ID, n)
		}
		if n%(objects/every) == 0 {
			sample()
		}
	}
	t.Logf("reading them: at most %d KiB", peak>>10)
	if n != objects || peak > most {
		t.Errorf("reading %d objects takes %d KiB", n, peak>>10)
	}
	if err := r.Verify(); err != nil {
		t.Fatal(err)
	}
	if sample(); peak > most {
		t.Errorf("after verifying, %d KiB are in use", peak>>10)
	}
	runtime.KeepAlive(r)
}
