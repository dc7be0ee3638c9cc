package capture

import (
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var reflectSupports = []builtinType{
	{"reflect.Value", TypeSupport{Leave: []string{"typ_"}, Describe: describeReflectValue, follow: func(w *walker, _ *typ, data []byte, depth uint8, name string, secret bool) {
		if t, p := reflected(w, data); t != nil && !t.opaque {
			if t.direct && word(data, 16)&flagIndir == 0 {
				w.scan(t, data[8:16], depth, name)
			} else if t.size > 0 {
				w.add(p, t, shapeValue, 0, depth+1, name, secret)
			}
		}
	}}},
	{"reflect.rtype", TypeSupport{Leave: []string{"t"}, Describe: describeRtype}},
	{"internal/abi.Type", TypeSupport{Leave: []string{"Equal", "GCData"}, Describe: describeRtype}},
}

// Bits of reflect.Value's flag (reflect/value.go, Go 1.26).
const (
	flagIndir  = 1 << 7 // the pointer points at the value
	flagMethod = 1 << 9
)

// reflected returns the type and the pointer of a reflect.Value with the bytes b: the words typ_, ptr, flag.
func reflected(w *walker, b []byte) (*typ, uint64) {
	if len(b) != 24 || word(b, 0) == 0 || word(b, 8) == 0 || word(b, 16)&flagMethod != 0 {
		return nil, 0
	}
	t := w.ofRtype(word(b, 0))
	if t == nil || uint64(t.kind) != word(b, 16)&31 {
		return nil, 0
	}
	return t, word(b, 8)
}

func describeReflectValue(v View, d *Description) {
	f := v.Field("flag")
	if v.Kind() != dump.Struct || v.Field("typ_").Kind() != dump.Pointer || v.Field("ptr").Kind() != dump.UnsafePointer || f.Kind() != dump.Uintptr {
		return
	}
	b := v.whole(24)
	if b == nil {
		return
	}
	if word(b, 0) == 0 {
		d.Summary("invalid")
		return
	}
	t, p := reflected(v.x.w, b)
	if t == nil {
		return
	}
	x := View{x: v.x, t: t, b: b[8:16], p: v.p}
	if !t.direct || word(b, 16)&flagIndir != 0 {
		pl := v.p
		pl.depth++
		x = v.target(p, t, pl)
		if t.size == 0 {
			x = View{x: v.x, t: t, p: v.p}
		}
	}
	text := brief(x)
	if text == t.name {
		d.Summary(t.name)
	} else {
		d.Summary(t.name + " " + text)
	}
	d.Child("value", x)
}

// describeRtype names a type by where its description lies.
func describeRtype(v View, d *Description) {
	if v.addr == 0 {
		return
	}
	if t := v.x.w.types.at(v.addr); t != nil {
		d.Summary(t.name)
	}
}
