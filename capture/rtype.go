package capture

import (
	"reflect"
	"unicode/utf8"
)

// typeHeader is the size of abi.Type (internal/abi/type.go, Go 1.26).
const typeHeader = 48

// kindShape is what abi.Type says of every type of a kind: its size and how many of
// its bytes hold pointers, -1 where that varies, and the size of the kind's own
// structure (abi.PtrType, abi.MapType, …), behind which an abi.UncommonType may follow.
var kindShape = [...]struct{ size, ptrs, length int64 }{
	reflect.Bool: {1, 0, 48}, reflect.Int: {8, 0, 48}, reflect.Int8: {1, 0, 48}, reflect.Int16: {2, 0, 48}, reflect.Int32: {4, 0, 48},
	reflect.Int64: {8, 0, 48}, reflect.Uint: {8, 0, 48}, reflect.Uint8: {1, 0, 48}, reflect.Uint16: {2, 0, 48}, reflect.Uint32: {4, 0, 48},
	reflect.Uint64: {8, 0, 48}, reflect.Uintptr: {8, 0, 48}, reflect.Float32: {4, 0, 48}, reflect.Float64: {8, 0, 48},
	reflect.Complex64: {8, 0, 48}, reflect.Complex128: {16, 0, 48}, reflect.Array: {-1, -1, 72}, reflect.Chan: {8, 8, 64},
	reflect.Func: {8, 8, 56}, reflect.Interface: {16, 16, 80}, reflect.Map: {8, 8, 112}, reflect.Pointer: {8, -1, 56},
	reflect.Slice: {24, 8, 56}, reflect.String: {16, 8, 48}, reflect.Struct: {-1, -1, 80}, reflect.UnsafePointer: {8, 8, 48},
}

// genuine reports whether there is an abi.Type at addr. Package reflect, which is
// asked for everything else, believes what it is given, and the runtime ends the program
// over an offset that is out of range; so what came out of the program's memory is
// held against all that is known of a type first. Only the types that the linker laid down are
// believed: one made at run time by package reflect lies on the heap, where
// nothing tells it from other data.
func (tt *typeTable) genuine(addr uint64) bool {
	m := tt.moduleOf(addr)
	if addr < m.types || addr+typeHeader > m.etypes || addr%8 != 0 {
		return false
	}
	var b [typeHeader]byte
	if tt.mem.ReadAt(b[:], addr) != nil {
		return false
	}
	size, ptrs := int64(word(b[:], 0)), int64(word(b[:], 8))
	flags, align, fieldAlign, kind := b[20], b[21], b[22], b[23]
	if kind == 0 || int(kind) >= len(kindShape) || size < 0 || size > 1<<40 || ptrs < 0 || ptrs > size || ptrs%8 != 0 || flags >= 1<<6 ||
		align == 0 || align > 16 || align&(align-1) != 0 || fieldAlign != align || size%int64(align) != 0 {
		return false
	}
	s := kindShape[kind]
	if s.size >= 0 && s.size != size || s.ptrs >= 0 && s.ptrs != ptrs {
		return false
	}
	// Equal and GCData point into read-only data, which the types are part of, or
	// are nil; a mask made on demand has its pointer among the variables.
	for _, p := range []uint64{word(b[:], 24), word(b[:], 32)} {
		if p != 0 && (p < m.text || p >= m.enoptrbss) {
			return false
		}
	}
	if !tt.genuineName(m, uint64(int64(int32(word(b[:], 40)))), flags) {
		return false
	}
	const uncommon = 1 << 0 // abi.TFlagUncommon
	if flags&uncommon != 0 {
		at := addr + uint64(s.length)
		var u [16]byte
		if at+16 > m.etypes || tt.mem.ReadAt(u[:], at) != nil {
			return false
		}
		w := word(u[:], 0)
		pkgPath, methods, exported, off := uint64(int64(int32(w))), w>>32&0xffff, w>>48, word(u[:], 8)&0xffffffff
		if m.types+pkgPath >= m.etypes || exported > methods || at+off+16*methods > m.etypes {
			return false
		}
	}
	return true
}

// genuineName reports whether there is an abi.Name at that offset: a flag byte, the
// length as a varint, the bytes.
func (tt *typeTable) genuineName(m *module, off uint64, flags uint8) bool {
	if off == 0 || off >= m.etypes-m.types {
		return false
	}
	at := m.types + off
	b := make([]byte, min(m.etypes-at, 4+256))
	if len(b) < 3 || tt.mem.ReadAt(b, at) != nil || b[0] > 15 {
		return false
	}
	n, i := int(b[1]), 2
	if n >= 0x80 {
		n, i = n&0x7f|int(b[2])<<7, 3
	}
	if n == 0 || n >= 1<<14 {
		return false
	}
	text := b[i:min(i+n, len(b))]
	if len(text) < n { // a long name, cut within a character
		for k := 0; k < utf8.UTFMax && !utf8.Valid(text); k++ {
			text = text[:len(text)-1]
		}
	}
	const extraStar = 1 << 1 // abi.TFlagExtraStar
	return utf8.Valid(text) && len(text) > 0 && (flags&extraStar == 0 || text[0] == '*')
}
