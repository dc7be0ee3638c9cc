package capture

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
	"unsafe"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// What the program's memory says is nothing to allocate by or to loop over: these
// tests plant headers of every kind that claim the absurd, and count bytes.

// allocated returns how many bytes f allocates, memory outside of the heap not counted.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

type planted struct {
	text  string
	bytes []byte
	words []uint64
	boxes []any
	table map[string]int
	queue chan [64]uint64
	_     error
	next  *planted
}

// absurd returns a value all of whose headers are real, but for the lengths.
func absurd(n int) *planted {
	backing := make([]byte, 64<<10)
	at := unsafe.Pointer(&backing[0])
	header := func(p unsafe.Pointer) { *(*[3]uintptr)(p) = [3]uintptr{uintptr(at), uintptr(n), uintptr(n)} }
	v := &planted{table: map[string]int{"a": 1}, queue: make(chan [64]uint64, 1)}
	*(*[2]uintptr)(unsafe.Pointer(&v.text)) = [2]uintptr{uintptr(at), uintptr(n)}
	header(unsafe.Pointer(&v.bytes))
	header(unsafe.Pointer(&v.words))
	header(unsafe.Pointer(&v.boxes))
	m := (*[48]byte)(*(*unsafe.Pointer)(unsafe.Pointer(&v.table)))
	le := binary.LittleEndian
	le.PutUint64(m[go126.mapUsed:], uint64(n))
	le.PutUint64(m[go126.mapDirLen:], min(uint64(n), 1<<32))
	c := (*[96]byte)(*(*unsafe.Pointer)(unsafe.Pointer(&v.queue)))
	le.PutUint64(c[go126.cCount:], uint64(n))
	le.PutUint64(c[go126.cSize:], uint64(n))
	v.next = v
	return v
}

func TestAbsurdLengths(t *testing.T) {
	// The collector must not come upon them.
	defer func(p int) { debug.SetGCPercent(p) }(debug.SetGCPercent(-1))
	e := testEngine(t, Config{Goroutines: ScopeFailing, Pause: time.Minute, Timeout: time.Minute})
	for _, n := range []int{1 << 20, 1 << 31, 1 << 39, 1 << 47, math.MaxInt64, -1, math.MinInt64} {
		v := absurd(n)
		var s *Snapshot
		got := allocated(func() {
			var err error
			if s, err = e.Snapshot(Event{Trigger: dump.TriggerManual, Watches: []Watch{{"v", v}}}); err != nil {
				t.Fatal(err)
			}
		})
		if got > 8<<20 {
			t.Errorf("length %#x: a snapshot allocates %d bytes", n, got)
		}
		got = allocated(func() {
			if _, err := s.Encode(t.Context(), discard{}, &dump.Header{}, nil); err != nil {
				t.Error(err)
			}
		})
		if got > 64<<20 {
			t.Errorf("length %#x: encoding allocates %d bytes", n, got)
		}
		s.Release()
		*v = planted{}
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// synthetic is a memory of its own making, which answers every read.
type synthetic struct {
	word  func(addr uint64) uint64
	reads int
}

func (m *synthetic) ReadAt(b []byte, addr uint64) error {
	m.reads++
	if m.word == nil {
		return errUnreadable
	}
	for i := 0; i < len(b); i += 8 {
		var w [8]byte
		putWord(w[:], m.word(addr+uint64(i)))
		copy(b[i:], w[:])
	}
	return nil
}

// TestAbsurdGoroutines plants lists of goroutines that have no end, and stacks
// without bounds.
func TestAbsurdGoroutines(t *testing.T) {
	for _, c := range []struct {
		name string
		word func(uint64) uint64
	}{
		{"list of 16 million", func(a uint64) uint64 { return 1 << 24 }},
		{"list of more", func(a uint64) uint64 { return math.MaxUint64 }},
		{"one goroutine again and again", func(a uint64) uint64 {
			switch {
			case a == 0x1000:
				return 1 << 20
			case a == 0x1008:
				return 1 << 24
			case a < 1<<30 && a >= 1<<20:
				return 1 << 40
			}
			switch a - 1<<40 { // a parked goroutine with a stack of a gigabyte
			case go126.gStatus:
				return gWaiting
			case go126.gStack:
				return 1 << 32
			case go126.gStack + 8:
				return 1<<32 + 1<<30
			case go126.gSched + go126.bufSP:
				return 1 << 32
			}
			return 7
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &synthetic{word: c.word}
			var a arena
			defer a.release()
			var out []parked
			got := allocated(func() {
				out, _ = (&copier{mem: m, l: &go126, own: 1, arena: &a, maxBytes: 16 << 20}).copyAll(0x1000, 1000)
			})
			if got > 32<<20 || len(out) > 1000 {
				t.Errorf("%d goroutines, %d bytes allocated, %d reads", len(out), got, m.reads)
			}
		})
	}
}

// TestDeadlineIsLookedAt lets each loop of phase one run against a deadline that
// has passed, or passes at the first look: what it still does must be little.
func TestDeadlineIsLookedAt(t *testing.T) {
	const past = deadline(1)
	const some = 2 * costLook / costRead // reads
	t.Run("goroutines", func(t *testing.T) {
		m := &synthetic{word: func(a uint64) uint64 { return 1 << 23 }}
		var a arena
		c := copier{mem: m, l: &go126, own: 1, arena: &a, maxBytes: 1 << 30}
		c.meter.start(past)
		if _, left := c.copyAll(0x1000, 1<<30); left == 0 || m.reads > some {
			t.Errorf("%d reads, %d left", m.reads, left)
		}
	})
	e := testEngine(t, Config{})
	walker := func(m Memory) *walker {
		cfg := DefaultConfig()
		cfg.MaxMapEntries = 1 << 30
		w := newWalker(&cfg, 10, e.types, nil, &go126, 0)
		w.mem.Memory = m
		w.heap = newHeap(m, &go126, 0, &region{}, 0)
		return w
	}
	sparse := e.types.ofReflect(reflect.TypeFor[map[string]int]())
	huge := func(a uint64) uint64 { // a map of a million entries in a directory of a million tables, whose groups are empty
		switch {
		case a == 0x1000+go126.mapUsed:
			return 1 << 30
		case a == 0x1000+go126.mapDirPtr:
			return 1 << 20
		case a == 0x1000+go126.mapDirLen:
			return 1 << 30
		case a < 1<<30 && a >= 1<<20:
			return 1 << 40
		case a == 1<<40+go126.tabGroups+go126.groupsData:
			return 1 << 41
		case a == 1<<40+go126.tabGroups+go126.groupsLengthMask:
			return 1<<30 - 1
		case a == 1<<40+go126.tabIndex:
			return 0
		}
		return 0x8080808080808080
	}
	t.Run("map", func(t *testing.T) {
		m := &synthetic{word: huge}
		w := walker(m)
		w.add(0x1000, sparse, shapeMap, 0, 0, "m", false)
		w.meter.start(deadlineIn(time.Hour))
		w.meter.until = past // passes once the map is begun
		w.copyObject(w.objects.at(0))
		if m.reads > some || w.objects.at(0).done || len(w.again) != 1 {
			t.Errorf("%d reads, %+v", m.reads, w.objects.at(0))
		}
		// In phase two, what there is counts.
		w.late = true
		w.meter.start(0)
		w.meter.until = past
		w.copyObject(w.objects.at(0))
		if o := w.objects.at(0); !o.done || o.reason != dump.TimeBudget {
			t.Errorf("phase two: %+v", w.objects.at(0))
		}
	})
	t.Run("map without a deadline", func(t *testing.T) {
		m := &synthetic{word: huge}
		w := walker(m)
		w.add(0x1000, sparse, shapeMap, 0, 0, "m", false)
		w.run(0)
		if m.reads > maxMapVisits {
			t.Errorf("%d reads", m.reads)
		}
	})
	t.Run("directory that cannot be read", func(t *testing.T) {
		m := &synthetic{word: huge}
		cut := &cutOff{Memory: m, end: 1 << 30}
		w := walker(cut)
		w.add(0x1000, sparse, shapeMap, 0, 0, "m", false)
		w.meter.until = past
		w.copyObject(w.objects.at(0))
		if cut.faults > 2*costLook/costFault {
			t.Errorf("%d faults", cut.faults)
		}
	})
	t.Run("elements", func(t *testing.T) {
		m := &synthetic{word: func(a uint64) uint64 { return a + 1<<20 }}
		w := walker(m)
		w.cfg.MaxArrayValues = 1 << 20
		list := e.types.ofReflect(reflect.TypeFor[*uint64]())
		w.add(0x1000, list, shapeArray, 1<<20, 0, "s", false)
		w.meter.start(0)
		w.meter.until = past
		w.copyObject(w.objects.at(0))
		if w.objects.len() > some || len(w.rescan) != 1 {
			t.Errorf("%d objects were noted, %d are to be looked at again", w.objects.len(), len(w.rescan))
		}
		noted := w.objects.len()
		w.late = true
		w.meter.start(0)
		w.scanObject(w.objects.at(0))
		if w.objects.len() <= noted {
			t.Error("phase two noted no more")
		}
	})
	t.Run("unwinding", func(t *testing.T) {
		di := e.info.Load()
		if di == nil {
			t.Fatal("no debug info")
		}
		u := unwinder{di: di, stack: &region{}, mem: &reader{Memory: &synthetic{}}, max: 10, end: past}
		pc := uint64(reflect.ValueOf(TestDeadlineIsLookedAt).Pointer())
		frames, _ := u.unwind(pc, 1<<40, true)
		if len(frames) != 1 || frames[0].fn != nil || frames[0].why() == nil || frames[0].known()[0].name == "" {
			t.Errorf("%+v", frames)
		}
	})
}

// cutOff is a memory that ends somewhere.
type cutOff struct {
	Memory
	end    uint64
	faults int
}

func (c *cutOff) ReadAt(b []byte, addr uint64) error {
	if addr >= c.end {
		c.faults++
		return errUnreadable
	}
	return c.Memory.ReadAt(b, addr)
}

// TestErrorChainIsShort describes errors that have no end.
func TestErrorChainIsShort(t *testing.T) {
	type big struct {
		_ [1 << 20]byte
		_ error
	}
	e := testEngine(t, Config{})
	cfg := DefaultConfig()
	w := newWalker(&cfg, 10, e.types, nil, &go126, 0)
	joined := reflect.TypeOf(errors.Join(errors.New("a")))
	m := &synthetic{word: func(a uint64) uint64 { return a*0x9e3779b97f4a7c15>>20 + 1<<20 }}
	w.mem.Memory = m
	c := newChain(w, 4096)
	for i := range 64 {
		c.describe(e.types.ofReflect(reflect.TypeFor[*big]()), uint64(i)<<30, -1, false)
		c.describe(e.types.ofReflect(joined), uint64(i)<<31, -1, false)
	}
	if m.reads*costRead > 2*maxChainWork {
		t.Errorf("%d reads", m.reads)
	}
	if len(c.infos) > maxErrors {
		t.Errorf("%d errors", len(c.infos))
	}
	if got := allocated(func() {
		c := newChain(w, 4096)
		for i := range 1000 {
			c.describe(e.types.ofReflect(reflect.TypeFor[big]()), uint64(i)<<30, -1, false)
		}
	}); got > 4*maxChainWork {
		t.Errorf("%d bytes allocated", got)
	}
}
