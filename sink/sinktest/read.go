package sinktest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func testSizes(t *testing.T, h Harness) {
	s := h.New(t)
	for _, n := range []int{
		0, 1, 4095,
		64<<10 - 1, 64 << 10, 64<<10 + 1,
		1<<20 - 1, 1 << 20, 1<<20 + 1,
		64<<10 + 1<<20 - 1, 64<<10 + 1<<20, 64<<10 + 1<<20 + 1,
	} {
		id := newIdentity(now, "shop")
		b := put(t, s, id, n)
		for _, e := range append(trace(t, s, id.TraceID), entryOf(id)) {
			if got := read(t, s, e); !bytes.Equal(got, b) {
				t.Errorf("size %d: read %d bytes, which are not those that were put", n, len(got))
			}
		}
	}
}

func testRandomRanges(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	b := put(t, s, id, 5<<20)
	obj, err := s.Open(t.Context(), entryOf(id))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer obj.Close()
	if obj.Size() != int64(len(b)) {
		t.Fatalf("Size %d, want %d", obj.Size(), len(b))
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 50 {
				n := 1 + rng.IntN(1<<rng.IntN(23))
				n = min(n, len(b))
				off := rng.IntN(len(b) - n + 1)
				p := make([]byte, n)
				if got, err := obj.ReadAt(p, int64(off)); got != n || err != nil && !errors.Is(err, io.EOF) {
					t.Errorf("ReadAt %d bytes at %d: %d, %v", n, off, got, err)
					return
				}
				if !bytes.Equal(p, b[off:off+n]) {
					t.Errorf("ReadAt %d bytes at %d: not the bytes that were put", n, off)
					return
				}
			}
		})
	}
	wg.Wait()
}

func testReadAtEdges(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	b := put(t, s, id, 200<<10)
	obj, err := s.Open(t.Context(), entryOf(id))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	size := int64(len(b))
	for _, tc := range []struct {
		off     int64
		n, want int
		eof     bool
	}{
		{0, 0, 0, false},
		{size - 10, 10, 10, false}, // io.EOF is allowed as well
		{size - 10, 11, 10, true},
		{size - 10, 4 << 20, 10, true},
		{0, len(b) + 1, len(b), true},
		{size, 1, 0, true},
		{size + 1<<40, 1, 0, true},
	} {
		p := make([]byte, tc.n)
		n, err := obj.ReadAt(p, tc.off)
		if n != tc.want || (tc.eof || err != nil) && !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt %d bytes at %d of %d: %d, %v", tc.n, tc.off, size, n, err)
		}
		if n > 0 && !bytes.Equal(p[:n], b[tc.off:tc.off+int64(n)]) {
			t.Errorf("ReadAt %d bytes at %d: not the bytes that were put", tc.n, tc.off)
		}
	}
	if n, err := obj.ReadAt(make([]byte, 1), -1); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("ReadAt at -1: %d, %v", n, err)
	}
	if err := obj.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := obj.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("ReadAt after Close: no error")
	}
}

func wantNotFound(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, sink.ErrNotFound) {
		t.Errorf("%v, want sink.ErrNotFound in it", err)
	} else if !sink.IsPermanent(err) {
		t.Errorf("%v is not permanent", err)
	}
}

func testNotFound(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	for range 2 { // in an empty store, and in one that is not
		wantAbsent(t, s, id)
		if got := trace(t, s, id.TraceID); len(got) != 0 {
			t.Errorf("Trace of an unknown trace: %v", got)
		}
		// The right dump in the wrong trace is not there either.
		other := newIdentity(now, "shop")
		put(t, s, other, 10)
		mixed := other
		mixed.TraceID = id.TraceID
		_, err := s.Open(t.Context(), entryOf(mixed))
		wantNotFound(t, err)
	}
}
