package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk/disktest"
)

// crashDump is small, because there are thousands of crashes.
var crashDump = bytes.Repeat([]byte("dump "), 400)

// moment is what is left of a store after the power failed.
type moment struct {
	what     string
	disk     *disktest.Mem
	reported map[dump.ID]dump.Identity // Put had returned nil
	deleted  map[dump.ID]bool          // Delete had been called
}

// crashes stores and deletes dumps on a disk that may ignore an operation, and
// returns what a power failure leaves before each operation of it.
func crashes(t *testing.T, seed uint64, ignores string) []moment {
	t.Helper()
	mem := disktest.NewMem()
	mem.Ignores = ignores
	var mu sync.Mutex
	var moments []moment
	rng := rand.New(rand.NewPCG(seed, 1))
	reported, deleted := map[dump.ID]dump.Identity{}, map[dump.ID]bool{}
	mem.Before = func(op, name string) {
		mu.Lock()
		defer mu.Unlock()
		for _, luck := range [][2]disktest.Keep{
			{disktest.KeepNone, disktest.KeepNone},
			{disktest.KeepAll, disktest.KeepNone},
			{disktest.KeepAll, disktest.KeepSome},
			{disktest.KeepSome, disktest.KeepSome},
			{disktest.KeepSome, disktest.KeepAll},
			{disktest.KeepAll, disktest.KeepAll},
		} {
			moments = append(moments, moment{
				what: fmt.Sprintf("%s %s, %v left", op, name, luck),
				disk: mem.Crash(rng, luck[0], luck[1]), reported: maps.Clone(reported), deleted: maps.Clone(deleted),
			})
		}
	}
	s, err := New("/dumps")
	if err != nil {
		t.Fatal(err)
	}
	s.sys = mem
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for n := range 4 {
				id := newIdentity()
				if err := s.Put(t.Context(), id, bytes.NewReader(crashDump)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				reported[id.ID] = id
				if n == 1 {
					deleted[id.ID] = true
				}
				mu.Unlock()
				if n == 1 {
					if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	return moments
}

// check lets another process find the disk.
func (m *moment) check() error {
	s, err := New("/dumps")
	if err != nil {
		return err
	}
	s.sys = m.disk
	ctx := context.Background()
	listed := map[dump.ID]bool{}
	for e, err := range s.List(ctx, sink.Query{}) {
		if err != nil {
			return err
		}
		listed[e.ID] = true
	}
	entries, err := s.Trace(ctx, dump.TraceID{1, 2, 3})
	if err != nil {
		return err
	}
	there := map[dump.ID]bool{}
	for _, e := range entries {
		there[e.ID] = true
		obj, err := s.Open(ctx, e)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(io.NewSectionReader(obj, 0, obj.Size()))
		if err == nil {
			err = obj.Close()
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(b, crashDump) {
			return fmt.Errorf("dump %s has another content", e.ID)
		}
	}
	for id, identity := range m.reported {
		if !m.deleted[id] && (!there[id] || !listed[id]) {
			return fmt.Errorf("dump %s is lost: found by its trace %t, by its day %t", id, there[id], listed[id])
		}
		// And whatever is left, the same Put is possible again.
		if err := s.Put(ctx, identity, bytes.NewReader(crashDump)); err != nil {
			return err
		}
	}
	return nil
}

// TestCrash lets the power fail before every operation of the disk. A dump that
// Put has reported is there, by its trace and by its day, and nobody sees half a
// one. On a disk that does not flush, that is not so, and the test notices.
func TestCrash(t *testing.T) {
	for _, tc := range []struct {
		ignores string
		seeds   uint64
	}{{"", 2}, {"sync", 1}, {"syncdir", 1}} {
		bad, all := 0, 0
		var last error
		for seed := range tc.seeds {
			for _, m := range crashes(t, seed, tc.ignores) {
				all++
				if err := m.check(); err != nil {
					bad++
					last = fmt.Errorf("power failure before %s: %w", m.what, err)
				}
			}
		}
		if last == nil {
			last = errors.New("none")
		}
		if (bad > 0) != (tc.ignores != "") || all < 1000 {
			t.Errorf("%q does nothing: %d of %d crashes went wrong, the last: %v", tc.ignores, bad, all, last)
		}
	}
}
