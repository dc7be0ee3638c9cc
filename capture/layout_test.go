package capture

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

func testEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Ready(context.Background()); err != nil {
		t.Fatalf("debug info of the test binary: %v", err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// TestLayout fails first when a Go release moves what the engine knows by heart.
func TestLayout(t *testing.T) {
	e := testEngine(t, DefaultConfig())
	di := e.info.Load()
	// Starting from offsets that cannot be right shows that each was found.
	wrong := go126
	for _, f := range wrong.fields() {
		*f.offset = 1 << 30
	}
	got := di.layout(wrong)
	want := go126
	gf, wf := got.fields(), want.fields()
	for i := range gf {
		if *gf[i].offset != *wf[i].offset {
			t.Errorf("%s.%s is at %d in %s, the table says %d", gf[i].structure, gf[i].field, *gf[i].offset, runtime.Version(), *wf[i].offset)
		}
	}
	var p runtimePanic
	for _, f := range []struct {
		name string
		got  uintptr
		want uint64
	}{
		{"arg", unsafe.Offsetof(p.arg), go126.pArg},
		{"link", unsafe.Offsetof(p.link), go126.pLink},

		{"goexit", unsafe.Offsetof(p.flags) + 2, go126.pGoexit},
		{"g._panic", gPanicOffset, go126.gPanic},
	} {
		if uint64(f.got) != f.want {
			t.Errorf("runtimePanic has %s at %d, the table at %d", f.name, f.got, f.want)
		}
	}
}

// TestWaitReasons holds the table for programs without symbols against the runtime's own.
func TestWaitReasons(t *testing.T) {
	if !strings.HasPrefix(runtime.Version(), "go1.26") {
		t.Skipf("the table is that of Go 1.26, this is %s", runtime.Version())
	}
	e := testEngine(t, DefaultConfig())
	d := &decoder{waits: e.symbols.Load().waitReasons}
	if d.waits == 0 {
		t.Fatal("runtime.waitReasonStrings was not found")
	}
	guarded(func() {
		for n, want := range reasons126 {
			if got := d.waitReason(uint8(n)); got != want {
				t.Errorf("reason %d is %q, the table says %q", n, got, want)
			}
		}
	})
}

func TestThisModule(t *testing.T) {
	m, ok := thisModule()
	if !ok {
		t.Fatal("moduledata is not where Go 1.26 has it")
	}
	if a := uint64(uintptr(unsafe.Pointer(&go126))); a < m.data || a >= m.enoptrbss {
		t.Errorf("package variable at %#x is outside of %#x-%#x", a, m.data, m.enoptrbss)
	}
	e := testEngine(t, DefaultConfig())
	s := e.symbols.Load()
	if s.allgs == 0 || s.mheap == 0 || s.waitReasons == 0 || s.sigpanic0 == 0 && runtime.GOARCH == "amd64" {
		t.Errorf("symbols not found: %+v", s)
	}
}

// TestHeapHolds holds the reading of the runtime's span table against memory whose
// state is known.
func TestHeapHolds(t *testing.T) {
	e := testEngine(t, DefaultConfig())
	sp, hi, _, _ := copyStack(new(byte), 0)
	var stack region
	h := newHeap(self{}, e.layout.Load(), e.symbols.Load().mheap, &stack, 0)
	heapObject := new([100]int)
	guarded(func() {
		for _, c := range []struct {
			what string
			p    unsafe.Pointer
			want bool
		}{
			{"heap object", unsafe.Pointer(heapObject), true},
			{"package variable", unsafe.Pointer(&go126), true},
		} {
			if ok := h.holds(uint64(uintptr(c.p)), 8); ok != c.want {
				t.Errorf("%s: holds is %v, want %v", c.what, ok, c.want)
			}
		}
		if h.holds(uint64(uintptr(unsafe.Pointer(heapObject))), 1024) {
			t.Error("1024 bytes fit into an object of 800 in a class of 896")
		}
		if h.holds(uint64(sp), 8) {
			t.Error("a stack that was not copied counts as used")
		}
		stack = region{uint64(sp), make([]byte, hi-sp)}
		h = newHeap(self{}, e.layout.Load(), e.symbols.Load().mheap, &stack, uint64(hi))
		if !h.holds(uint64(sp), 8) {
			t.Error("the stack that was copied does not count as used")
		}
	})
	runtime.KeepAlive(heapObject)
}
