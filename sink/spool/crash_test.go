package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk/disktest"
)

// moment is what is left of a world in which the power has failed.
type moment struct {
	what  string // was about to happen
	disk  *disktest.Mem
	lucky string // how much of the unflushed is left

	reported map[dump.ID]dump.Identity // Put had returned nil, or the spool told they were there
	lost     map[dump.ID]bool          // a Result had told so
	arrived  map[dump.ID]kept          // at the destination
}

// recorder takes down each moment of a run.
type recorder struct {
	mem  *disktest.Mem
	dest *store
	rng  *rand.Rand

	mu       sync.Mutex
	reported map[dump.ID]dump.Identity
	lost     map[dump.ID]bool
	moments  []moment
}

func newRecorder(seed uint64) *recorder {
	r := &recorder{
		mem: disktest.NewMem(), dest: newStore(), rng: rand.New(rand.NewPCG(seed, 1)),
		reported: map[dump.ID]dump.Identity{}, lost: map[dump.ID]bool{},
	}
	r.mem.FreeBytes = 1 << 40
	r.mem.Before = r.record
	return r
}

// record is called before each operation of the disk.
func (r *recorder) record(op, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// In this order: what was reported before the power fails has to be there,
	// what arrives while the copies are made may be.
	reported, lost := maps.Clone(r.reported), maps.Clone(r.lost)
	type luck struct {
		name          string
		entries, data disktest.Keep
	}
	first := len(r.moments)
	for _, l := range []luck{
		{"only what was flushed", disktest.KeepNone, disktest.KeepNone},
		{"names without content", disktest.KeepAll, disktest.KeepNone},
		{"names with torn content", disktest.KeepAll, disktest.KeepSome},
		{"some of everything", disktest.KeepSome, disktest.KeepSome},
		{"some names", disktest.KeepSome, disktest.KeepAll},
		{"everything", disktest.KeepAll, disktest.KeepAll},
	} {
		r.moments = append(r.moments, moment{
			what: op + " " + name, disk: r.mem.Crash(r.rng, l.entries, l.data), lucky: l.name,
			reported: reported, lost: lost,
		})
	}
	r.dest.mu.Lock()
	arrived := maps.Clone(r.dest.dumps)
	r.dest.mu.Unlock()
	for i := first; i < len(r.moments); i++ {
		r.moments[i].arrived = arrived
	}
}

func (r *recorder) config(c Config) Config {
	c.Dir = "/var/spool"
	c.OnResult = func(res Result) {
		if res.Outcome != Delivered && res.Outcome != GivenUp {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.lost[res.Identity.ID] = true
		}
	}
	return c
}

func (r *recorder) put(s *Spool, id dump.Identity) error {
	err := s.Put(context.Background(), id, bytes.NewReader(contentOf(id.ID, crashSize)))
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reported[id.ID] = id
	}
	return err
}

const crashSize = 1000

// check lets another process find the disk, and says what is wrong with it.
func (m *moment) check() error {
	dest := newStore()
	dest.dumps = maps.Clone(m.arrived)
	var mu sync.Mutex
	var told []string
	s, err := newSpool(dest, Config{
		Dir:      "/var/spool",
		OnResult: func(r Result) { mu.Lock(); told = append(told, fmt.Sprintf("%s %v", r.Outcome, r.Err)); mu.Unlock() },
		OnTrouble: func(kind string, err error) {
			mu.Lock()
			told = append(told, kind+": "+err.Error())
			mu.Unlock()
		},
		MinFree: -1,
	}, m.disk)
	if err != nil {
		return err
	}
	ctx := context.Background()
	awaitSweep(s)
	err = m.look(ctx, s)
	if ferr := s.Flush(ctx); err == nil {
		err = ferr
	}
	// What was given up.
	if _, perr := s.Push(ctx, nil); err == nil {
		err = perr
	}
	if serr := s.Shutdown(ctx); err == nil {
		err = serr
	}
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	for _, line := range told {
		if line != "delivered <nil>" {
			return fmt.Errorf("the spool tells: %s", line)
		}
	}
	for id := range m.reported {
		if _, ok := dest.dumps[id]; !ok && !m.lost[id] {
			return fmt.Errorf("dump %s is lost", id)
		}
	}
	for id, k := range dest.dumps {
		if !bytes.Equal(k.content, contentOf(id, crashSize)) {
			return fmt.Errorf("dump %s has arrived with another content", id)
		}
		if dest.puts[id] > 1 {
			return fmt.Errorf("dump %s was uploaded %d times", id, dest.puts[id])
		}
	}
	for name := range m.disk.Files("/var/spool/" + s.home) {
		if name != labelFile && name != "lock" {
			return fmt.Errorf("%s is left in the spool", name)
		}
	}
	return nil
}

// look reads everything that readers are shown.
func (m *moment) look(ctx context.Context, s *Spool) error {
	for e, err := range s.List(ctx, sink.Query{}) {
		if err != nil {
			return err
		}
		obj, err := s.Open(ctx, e)
		if errors.Is(err, sink.ErrNotFound) {
			return fmt.Errorf("dump %s is listed and cannot be opened: %w", e.ID, err)
		}
		if err != nil {
			return err
		}
		b, err := io.ReadAll(io.NewSectionReader(obj, 0, obj.Size()))
		_ = obj.Close()
		if err != nil || !bytes.Equal(b, contentOf(e.ID, crashSize)) {
			return fmt.Errorf("dump %s is seen with another content: %w", e.ID, err)
		}
	}
	return nil
}

// checkAll checks every moment, on as many goroutines as there are processors.
func (r *recorder) checkAll(t *testing.T) (failures []string) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan *moment)
	for range 4 {
		wg.Go(func() {
			for m := range next {
				if err := m.check(); err != nil {
					mu.Lock()
					failures = append(failures, fmt.Sprintf("power failure before %s, %s left: %v", m.what, m.lucky, err))
					mu.Unlock()
				}
			}
		})
	}
	for i := range r.moments {
		next <- &r.moments[i]
	}
	close(next)
	wg.Wait()
	slices.Sort(failures)
	return failures
}

// scenario puts and uploads dumps in several ways and records each moment.
func scenario(t *testing.T, seed uint64, ignores string) *recorder {
	t.Helper()
	r := newRecorder(seed)
	r.mem.Ignores = ignores
	open := func(c Config) *Spool {
		s, err := newSpool(r.dest, r.config(c), r.mem)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// A process that only writes, one that writes and uploads, with a
	// destination that fails at times and refuses one dump for good.
	first := open(Config{Passive: true, MinFree: -1})
	for range 3 {
		must(r.put(first, newIdentity()))
	}
	refused := newIdentity()
	must(r.put(first, refused))
	r.dest.setHook(func(_ context.Context, id dump.Identity, call int) error {
		switch {
		case id.ID == refused.ID && call < 6:
			return sink.Permanent(errors.New("too large"))
		case call%3 == 0:
			return errDown
		}
		return nil
	})
	second := open(Config{MinFree: -1, MinBackoff: 1, MaxBackoff: 1})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 2 {
				if err := r.put(second, newIdentity()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(second.Flush(t.Context()))
	r.mu.Lock()
	delete(r.reported, refused.ID)
	r.mu.Unlock()
	must(second.Delete(t.Context(), sink.Entry{Identity: refused}))
	must(second.Shutdown(t.Context()))
	must(first.Shutdown(t.Context()))
	return r
}

// TestCrash lets the power fail before every operation of the disk.
func TestCrash(t *testing.T) {
	seeds := 4
	if testing.Short() || raceEnabled {
		seeds = 1
	}
	for seed := range seeds {
		r := scenario(t, uint64(seed), "")
		failures := r.checkAll(t)
		for i, f := range failures {
			if i < 10 {
				t.Error(f)
			}
		}
		t.Logf("%d moments, %d wrong", len(r.moments), len(failures))
		if len(r.moments) < 1000 {
			t.Errorf("only %d moments were looked at", len(r.moments))
		}
	}
}

// TestCrashIsNoticed shows that TestCrash can fail: on a disk that does not flush
// files, or does not flush folders, dumps are lost.
func TestCrashIsNoticed(t *testing.T) {
	for _, ignores := range []string{"sync", "syncdir"} {
		if failures := scenario(t, 1, ignores).checkAll(t); len(failures) == 0 {
			t.Errorf("on a disk where %s does nothing, no crash was noticed", ignores)
		} else {
			t.Logf("%s: %d times, such as %s", ignores, len(failures), failures[0])
		}
	}
}

// TestCrashWhileEvicting is about a spool that is full.
func TestCrashWhileEvicting(t *testing.T) {
	r := newRecorder(1)
	r.dest.setHook(fails(errDown))
	s, err := newSpool(r.dest, r.config(Config{MaxItems: 3, MinFree: -1, Passive: true}), r.mem)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if err := r.put(s, newIdentity()); err != nil {
			t.Fatal(err)
		}
		// What was evicted is known to be lost when the next one comes.
		if err := s.events.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range r.moments {
		// Those whose loss is being told are missing in m.lost.
		missing := 0
		dest := newStore()
		s, err := newSpool(dest, Config{Dir: "/var/spool", MinFree: -1}, m.disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		shutdown(t, s)
		for id := range m.reported {
			if _, ok := dest.dumps[id]; !ok && !m.lost[id] {
				missing++
			}
		}
		if missing > 1 {
			t.Errorf("power failure before %s, %s left: %d dumps are lost that nobody was told of", m.what, m.lucky, missing)
		}
	}
}
