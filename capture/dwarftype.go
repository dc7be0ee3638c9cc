package capture

import (
	"debug/dwarf"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// ofDIE returns the type described at off, or nil if what is there describes
// none.
func (tt *typeTable) ofDIE(di *debugInfo, off dwarf.Offset) *typ {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.fromDIE(di, off, 0)
}

// dieKey tells DIEs of the program and its plugins apart.
type dieKey struct {
	di  *debugInfo
	off dwarf.Offset
}

// fromDIE is ofDIE with the lock held. A type that the runtime knows too is the
// runtime's: DW_AT_go_runtime_type is its offset from moduledata.types.
func (tt *typeTable) fromDIE(di *debugInfo, off dwarf.Offset, nesting int) *typ {
	if t, ok := tt.byDIE[dieKey{di, off}]; ok {
		return t
	}
	if di == nil || nesting > maxTypeNesting {
		return nil
	}
	defer di.shield()
	t := tt.makeDIE(di, off, nesting)
	if t != nil {
		tt.byDIE[dieKey{di, off}] = t
	}
	return t
}

func (tt *typeTable) makeDIE(di *debugInfo, off dwarf.Offset, nesting int) *typ {
	r := di.data.Reader()
	r.Seek(off)
	e, err := r.Next()
	if err != nil || e == nil {
		return nil
	}
	if rt := runtimeType(e); rt != 0 {
		types := tt.module.types
		if di.types != 0 {
			types = di.types
		}
		if t := tt.fromRtype(types + rt); t != nil {
			return t
		}
	}
	name, _ := e.Val(dwarf.AttrName).(string)
	kind := dump.Kind(constant(e.Val(attrGoKind), 0) & 31)
	under, _ := e.Val(dwarf.AttrType).(dwarf.Offset)
	t := &typ{table: tt, name: name, kind: kind, die: off, di: di, named: isNamed(name)}
	switch e.Tag {
	case dwarf.TagTypedef:
		u := tt.fromDIE(di, under, nesting+1)
		switch {
		case u == nil:
			return nil
		case kind == dump.Invalid && u.name == name:
			return u // the typedef of a struct only names it
		case kind == dump.Invalid || kind == u.kind:
			// A type whose DIE is the underlying one's: same contents, own name.
			t.kind, t.size, t.die, t.di = u.kind, u.size, u.die, u.di
			if u.rtype != 0 && !t.isShape() {
				return u
			}
		default: // interface, map, channel: the DIE below is the runtime's structure
			t.size = 8
			if kind == dump.Interface {
				t.size = 16
				t.methods = u.name == "runtime.iface"
			}
		}
	case dwarf.TagPointerType:
		t.size = 8
		if kind == dump.Invalid {
			t.kind = dump.Pointer
		}
	case dwarf.TagSubroutineType:
		t.size, t.kind = 8, dump.Func
	case dwarf.TagBaseType, dwarf.TagStructType, dwarf.TagArrayType:
		t.size = uint64(constant(e.Val(dwarf.AttrByteSize), 0))
		if kind == dump.Invalid {
			t.kind = baseKind(e, t.size)
		}
	default:
		return nil
	}
	if int(t.kind) < len(kindShape) && kindShape[t.kind].size > 0 && uint64(kindShape[t.kind].size) != t.size {
		return nil // damaged: what reads a string or slice relies on there being all of it
	}
	t.opaque = t.named && isOurs(packageOf(t.name))
	t.id = uint32(len(tt.all) + 1)
	tt.all = append(tt.all, t)
	switch t.kind {
	case dump.Pointer, dump.Map, dump.Chan, dump.Func, dump.UnsafePointer:
		t.direct = true
	}
	return t
}

func runtimeType(e *dwarf.Entry) uint64 {
	switch v := e.Val(attrGoRuntimeType).(type) {
	case uint64:
		return v
	case int64:
		return uint64(v)
	}
	return 0
}

// isNamed tells a defined type's name from a type literal or a predeclared type.
func isNamed(name string) bool {
	for _, p := range []string{"*", "[", "map[", "chan ", "<-chan ", "chan<- ", "func(", "struct {", "interface {"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return strings.Contains(name, ".")
}

// baseKind is for DIEs without DW_AT_go_kind: those of the runtime's internals
// that the linker synthesizes.
func baseKind(e *dwarf.Entry, size uint64) dump.Kind {
	if e.Tag == dwarf.TagStructType {
		return dump.Struct
	}
	if e.Tag == dwarf.TagArrayType {
		return dump.Array
	}
	switch enc := constant(e.Val(dwarf.AttrEncoding), 0); {
	case enc == 0x02:
		return dump.Bool
	case enc == 0x05 && size == 8:
		return dump.Int64
	case enc == 0x05 && size == 4:
		return dump.Int32
	case enc == 0x07 && size == 8:
		return dump.Uint64
	case enc == 0x07 && size == 4:
		return dump.Uint32
	case enc == 0x07 && size == 2:
		return dump.Uint16
	case (enc == 0x07 || enc == 0x08) && size == 1:
		return dump.Uint8
	case enc == 0x04 && size == 8:
		return dump.Float64
	case enc == 0x04 && size == 4:
		return dump.Float32
	}
	return dump.Invalid
}

// resolveDIE fills in what a type of DWARF consists of; the lock is held.
func (tt *typeTable) resolveDIE(t *typ) {
	di := t.di
	if di == nil || t.die == 0 {
		return
	}
	defer di.shield()
	r := di.data.Reader()
	r.Seek(t.die)
	e, err := r.Next()
	if err != nil || e == nil {
		return
	}
	ref := func(a dwarf.Attr) *typ {
		if off, ok := e.Val(a).(dwarf.Offset); ok {
			return tt.fromDIE(di, off, 1)
		}
		return nil
	}
	switch t.kind {
	case dump.Pointer, dump.Array:
		if t.kind == dump.Pointer && t.isShape() {
			return
		}
		t.elem = ref(dwarf.AttrType)
	case dump.Slice, dump.Chan:
		t.elem = ref(attrGoElem)
	case dump.Map:
		t.key, t.elem = ref(attrGoKey), ref(attrGoElem)
		if t.key == nil || t.elem == nil {
			t.key, t.elem = nil, nil
		}
	}
	if !e.Children {
		return
	}
	// The types that values are made of, one within the other, cannot be endless.
	defer func() {
		if contains(t, t, map[*typ]bool{}) {
			t.fields, t.elem, t.len = nil, nil, 0
		}
	}()
	t.fields = nil
	end := uint64(0) // of the field before
	for {
		c, err := r.Next()
		if err != nil || c == nil || c.Tag == 0 {
			return
		}
		switch c.Tag {
		case dwarf.TagSubrangeType:
			t.len = constant(c.Val(dwarf.AttrCount), 0)
			if t.elem == nil || t.len < 0 || t.elem.size > 0 && uint64(t.len) > t.size/t.elem.size {
				t.len = 0
			}
		case dwarf.TagMember:
			if t.kind != dump.Struct {
				break
			}
			off, ok := c.Val(dwarf.AttrType).(dwarf.Offset)
			if !ok {
				break
			}
			f := field{off: uint64(constant(c.Val(dwarf.AttrDataMemberLoc), 0)), typ: tt.fromDIE(di, off, 1)}
			f.name, _ = c.Val(dwarf.AttrName).(string)
			switch v := c.Val(attrGoEmbedded).(type) {
			case bool:
				f.embedded = v
			case int64:
				f.embedded = v != 0
			}
			if f.typ == nil || f.off < end || f.off > t.size || f.typ.size > t.size-f.off {
				break
			}
			end = f.off + f.typ.size
			t.fields = append(t.fields, f)
		}
		if c.Children {
			r.SkipChildren()
		}
	}
}

// contains reports whether a value of t holds one of in, as far as its parts' types are
// resolved: those that are not yet will find the others so.
func contains(t, in *typ, seen map[*typ]bool) bool {
	parts := make([]*typ, 0, len(t.fields)+1)
	switch t.kind {
	case dump.Struct:
		for i := range t.fields {
			parts = append(parts, t.fields[i].typ)
		}
	case dump.Array:
		parts = append(parts, t.elem)
	}
	for _, p := range parts {
		if p == nil || p.rtype != 0 || seen[p] {
			continue
		}
		if p == in {
			return true
		}
		if seen[p] = true; len(seen) > maxTypeNesting*100 || contains(p, in, seen) {
			return true
		}
	}
	return false
}
