package capture

import (
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var atomicSupports = []builtinType{
	{"sync/atomic.Bool", TypeSupport{Describe: func(v View, d *Description) {
		if n, ok := v.Field("v").Uint(); ok {
			d.Summary(pick(n != 0, "true", "false"))
		}
	}}},
	{"sync/atomic.Int32", TypeSupport{Describe: describeAtomic}},
	{"sync/atomic.Int64", TypeSupport{Describe: describeAtomic}},
	{"sync/atomic.Uint32", TypeSupport{Describe: describeAtomic}},
	{"sync/atomic.Uint64", TypeSupport{Describe: describeAtomic}},
	{"sync/atomic.Uintptr", TypeSupport{Describe: describeAtomic}},
	{"sync/atomic.Value", TypeSupport{Describe: func(v View, d *Description) {
		if f := v.Field("v"); f.OK() && f.Kind() == dump.Interface {
			d.Summary(brief(f))
		}
	}}},
	{"sync/atomic.Pointer[*]", TypeSupport{Describe: describeAtomicPointer, follow: func(w *walker, t *typ, data []byte, depth uint8, name string, secret bool) {
		if p := pointee(t); p != nil && len(data) >= 8 && p.name != trieNode {
			w.follow(p, data[len(data)-8:], depth, name, secret)
		}
	}}},
}

func describeAtomic(v View, d *Description) {
	if f := v.Field("v"); f.OK() && isFixed(f.Kind()) {
		d.Summary(brief(f))
	}
}

// pointee returns the type *T of an atomic.Pointer[T], nil if the type is not as known (sync/atomic/type.go): its
// pointer is an unsafe.Pointer behind a field of type [0]*T. A *T whose
// target is more than T says is none.
func pointee(t *typ) *typ {
	t.resolve()
	if t.kind != dump.Struct || t.size != 8 || len(t.fields) == 0 {
		return nil
	}
	a := t.fields[0].typ
	v := t.fieldNamed("v")
	if a.kind != dump.Array || v == nil || v.typ.kind != dump.UnsafePointer {
		return nil
	}
	p := a.resolve().elem
	if p == nil || p.kind != dump.Pointer {
		return nil
	}
	return p
}

// trieNode is a pointer to the first byte of a node of a sync.Map, which is no use to anybody.
const trieNode = "*internal/sync.node[interface {},interface {}]"

// describeAtomicPointer shows what the pointer leads to.
func describeAtomicPointer(v View, d *Description) {
	p := pointee(v.t)
	if p == nil || len(v.b) != 8 || p.name == trieNode {
		return
	}
	f := View{x: v.x, t: p, b: v.b, p: v.p}
	d.Summary(brief(f))
	if !f.IsNil() {
		d.Child("value", f)
	}
}
