package capture

import (
	"reflect"
	"runtime"
	"testing"
)

// TestGenuine believes every type that debug info has, and little else in the region
// where the types are; nothing that it believes crashes package reflect.
func TestGenuine(t *testing.T) {
	e := testEngine(t, DefaultConfig())
	tt := e.types
	di := e.info.Load()
	real := map[uint64]bool{}
	r := di.data.Reader()
	for _, u := range di.units {
		r.Seek(u.off)
		if x, err := r.Next(); err != nil || x == nil || !x.Children {
			continue
		}
		for {
			x, err := r.Next()
			if err != nil || x == nil || x.Tag == 0 {
				break
			}
			if rt := runtimeType(x); rt != 0 {
				real[tt.module.types+rt] = true
			}
			if x.Children {
				r.SkipChildren()
			}
		}
	}
	if len(real) < 500 {
		t.Fatalf("debug info has only %d runtime types", len(real))
	}
	guarded(func() {
		for a := range real {
			if !tt.genuine(a) {
				t.Errorf("the type at %#x is not believed: %v", a, reflectType(uintptr(a)))
			}
		}
		n, wrong := 0, 0
		for a := tt.module.types; a+typeHeader <= tt.module.etypes; a += 8 {
			n++
			if !real[a] && tt.genuine(a) {
				// Types that no DIE refers to are genuine all the same: what can be told of
				// them must not crash.
				rt := reflectType(uintptr(a))
				_ = typeName(rt)
				_ = rt.Implements(reflect.TypeFor[error]())
				wrong++
			}
		}
		// Every genuine type that no DIE refers to is one of the runtime's, too: a small
		// part of the region.
		if wrong > n/50 {
			t.Errorf("%d of %d places look like types that debug info does not have", wrong, n)
		}
		t.Logf("%d places, %d types in debug info, %d others that look like types", n, len(real), wrong)
	})
	for _, a := range []uint64{0, 8, tt.module.types + 1, tt.module.etypes - 8, ^uint64(7)} {
		if tt.genuine(a) {
			t.Errorf("%#x counts as a type", a)
		}
	}
	runtime.KeepAlive(e)
}
