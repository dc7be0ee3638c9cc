package capture

import (
	"debug/dwarf"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// typ is a Go type as the engine knows it. It comes from the runtime's own type data where the program has some for it (so that
// a variable's type and the dynamic type of an interface are one and the same),
// else from DWARF.
//
// What is above the line is set when the type is made, the rest by resolve.
type typ struct {
	id     uint32
	name   string
	kind   dump.Kind
	size   uint64
	named  bool
	rtype  uint64 // address of the abi.Type, 0 if there is none
	direct bool   // an interface holds it in its data word
	opaque bool   // our own machinery, which nobody wants to see and which is large

	// ----
	table    *typeTable
	die      dwarf.Offset // where it comes from, if rtype is 0
	resolved atomic.Bool
	elem     *typ
	key      *typ
	len      int64
	fields   []field
	methods  bool // an interface type with methods: its first word is an itab
	slots    []slot
	more     []slot   // values inside of which a support knows more to follow
	pair     pair     // of a struct, if it is one
	support  *support // that describes its values
	mapping  mapLayout
}

type field struct {
	name     string
	typ      *typ
	off      uint64
	embedded bool
	tag      string
	left     bool // a type support has what it leads to left out
	near     bool // … or has it count as no step away
}

// mapLayout is what of abi.MapType is needed to read a map of that type.
type mapLayout struct {
	groupSize, slotSize, elemOff uint64
	indirectKey, indirectElem    bool
}

// slot is a place in a value that leads to other memory.
type slot struct {
	off    uint64
	typ    *typ      // the type of what is in the slot; for an Array, of the array
	name   string    // of the field, "" for an element or the value itself
	secret bool      // a redaction rule knows the name
	near   bool      // what it leads to counts as no step away
	keys   []pairKey // of the pairs that it is in the value of
}

// typeTable makes and keeps types. It is safe for concurrent use, and types live as long as it does.
type typeTable struct {
	mem    Memory
	module module
	layout *atomic.Pointer[layout]
	info   *atomic.Pointer[debugInfo]
	secret func(name string) bool // nil: no name is
	// supports are those that were registered when the table was made.
	supports *supportSet

	closures sync.Map // entry pc -> *closure, closureKey -> *typ
	tries    sync.Map // *typ of a sync.Map's inner nodes -> *trie
	contexts sync.Map // *typ of a struct -> *field that leads to a context.Context, nil: none does

	mu      sync.Mutex
	all     []*typ
	byRtype map[uint64]*typ
	byDIE   map[dwarf.Offset]*typ
	bytes   *typ // [n]uint8 contents of strings
	text    *typ // string
	word    *typ
}

func newTypeTable(mem Memory, m module, l *atomic.Pointer[layout], info *atomic.Pointer[debugInfo]) *typeTable {
	t := &typeTable{mem: mem, module: m, layout: l, info: info, byRtype: map[uint64]*typ{}, byDIE: map[dwarf.Offset]*typ{}}
	t.supports = newSupportSet()
	t.text = t.ofReflect(reflect.TypeFor[string]())
	t.bytes = t.ofReflect(reflect.TypeFor[byte]())
	t.word = t.ofReflect(reflect.TypeFor[uintptr]())
	return t
}

// isSecret reports whether a redaction rule knows the name.
func (tt *typeTable) isSecret(name string) bool {
	return name != "" && tt.secret != nil && tt.secret(name)
}

func (tt *typeTable) ofReflect(rt reflect.Type) *typ {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.fromReflect(rt)
}

// at returns the type whose abi.Type is at addr, or nil if what is there does
// not look like one.
func (tt *typeTable) at(addr uint64) *typ {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.fromRtype(addr)
}

// fromRtype is at with the lock held.
func (tt *typeTable) fromRtype(addr uint64) *typ {
	if t, ok := tt.byRtype[addr]; ok {
		return t
	}
	if !tt.genuine(addr) {
		return nil
	}
	rt := reflectType(uintptr(addr))
	return tt.fromReflect(rt)
}

//go:nocheckptr
func reflectType(addr uintptr) reflect.Type {
	var e any
	*(*uintptr)(unsafe.Pointer(&e)) = addr
	return reflect.TypeOf(e)
}

// fromReflect returns the type; the lock is held.
func (tt *typeTable) fromReflect(rt reflect.Type) *typ {
	addr := uint64(uintptr(rtypePtr(rt)))
	if t, ok := tt.byRtype[addr]; ok {
		return t
	}
	t := &typ{
		table: tt, id: uint32(len(tt.all) + 1), name: typeName(rt), kind: dump.Kind(rt.Kind()), size: uint64(rt.Size()),
		named: rt.PkgPath() != "" && rt.Name() != "", rtype: addr, direct: isDirect(rt),
	}
	t.opaque = t.named && isOurs(packageOf(t.name))
	tt.all = append(tt.all, t)
	tt.byRtype[addr] = t
	return t
}

// isDirect reports whether an interface holds a value of the type in its data
// word: abi.TFlagDirectIface since Go 1.26, at offset 20 of abi.Type.
func isDirect(rt reflect.Type) bool {
	switch rt.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return true
	case reflect.Array:
		return rt.Len() == 1 && isDirect(rt.Elem())
	case reflect.Struct:
		// Blank and zero-size fields do not count since Go 1.26; the flag knows.
		return *(*uint8)(unsafe.Add(rtypePtr(rt), 20))&(1<<5) != 0
	}
	return false
}

// typeName returns the type as Go source with full package paths, as DWARF has
// it, where reflect's String has only a path's last element.
func typeName(rt reflect.Type) string {
	if rt.Name() != "" {
		switch p := rt.PkgPath(); p {
		case "":
			return rt.Name()
		case "go.shape": // their names may be type literals, of which Name is the end
			return rt.String()
		default:
			return p + "." + rt.Name()
		}
	}
	switch rt.Kind() {
	case reflect.Pointer:
		return "*" + typeName(rt.Elem())
	case reflect.Slice:
		return "[]" + typeName(rt.Elem())
	case reflect.Array:
		return "[" + strconv.Itoa(rt.Len()) + "]" + typeName(rt.Elem())
	case reflect.Map:
		return "map[" + typeName(rt.Key()) + "]" + typeName(rt.Elem())
	case reflect.Chan:
		switch rt.ChanDir() {
		case reflect.RecvDir:
			return "<-chan " + typeName(rt.Elem())
		case reflect.SendDir:
			return "chan<- " + typeName(rt.Elem())
		}
		if rt.Elem().Kind() == reflect.Chan && rt.Elem().ChanDir() == reflect.RecvDir && rt.Elem().Name() == "" {
			return "chan (" + typeName(rt.Elem()) + ")"
		}
		return "chan " + typeName(rt.Elem())
	case reflect.Func:
		var b strings.Builder
		b.WriteString("func(")
		for i := range rt.NumIn() {
			if i > 0 {
				b.WriteString(", ")
			}
			in := rt.In(i)
			if rt.IsVariadic() && i == rt.NumIn()-1 {
				b.WriteString("..." + typeName(in.Elem()))
			} else {
				b.WriteString(typeName(in))
			}
		}
		b.WriteString(")")
		switch n := rt.NumOut(); {
		case n == 1:
			b.WriteString(" " + typeName(rt.Out(0)))
		case n > 1:
			b.WriteString(" (")
			for i := range n {
				if i > 0 {
					b.WriteString(", ")
				}
				b.WriteString(typeName(rt.Out(i)))
			}
			b.WriteString(")")
		}
		return b.String()
	}
	return rt.String() // anonymous structs and interfaces
}

// resolve sees that the fields below the line are set, and returns t.
func (t *typ) resolve() *typ {
	if t.resolved.Load() {
		return t
	}
	t.table.mu.Lock()
	defer t.table.mu.Unlock()
	t.resolveLocked(0)
	return t
}

// maxTypeNesting bounds the recursion over types that contain each other by value,
// which only damaged debug info can make deep.
const maxTypeNesting = 100

func (t *typ) resolveLocked(nesting int) {
	if t.resolved.Load() {
		return
	}
	if nesting > maxTypeNesting {
		return
	}
	if t.rtype != 0 {
		t.resolveReflect(reflectType(uintptr(t.rtype)))
	} else {
		t.table.resolveDIE(t)
	}
	if t.kind == dump.Map {
		t.mapping = t.table.mapLayout(t)
	}
	t.attach()
	t.derive(nesting)
	t.more = t.appendMore()
	t.resolved.Store(true)
}

// derive sets what follows from the fields; the lock is held.
func (t *typ) derive(nesting int) {
	t.pair = pairOf(t.fields)
	t.slots = t.appendSlots(nil, 0, nesting)
}

func (t *typ) resolveReflect(rt reflect.Type) {
	tt := t.table
	switch t.kind {
	case dump.Array:
		t.elem, t.len = tt.fromReflect(rt.Elem()), int64(rt.Len())
	case dump.Pointer:
		if !t.isShape() {
			t.elem = tt.fromReflect(rt.Elem())
		}
	case dump.Chan, dump.Slice:
		t.elem = tt.fromReflect(rt.Elem())
	case dump.Map:
		t.key, t.elem = tt.fromReflect(rt.Key()), tt.fromReflect(rt.Elem())
	case dump.Interface:
		t.methods = rt.NumMethod() > 0
	case dump.Struct:
		t.fields = make([]field, rt.NumField())
		for i := range t.fields {
			f := rt.Field(i)
			t.fields[i] = field{name: f.Name, typ: tt.fromReflect(f.Type), off: uint64(f.Offset), embedded: f.Anonymous, tag: string(f.Tag)}
		}
	}
}

// maxFlatSlots is how many slots of an array inside a value are listed one by one.
const maxFlatSlots = 64

// appendSlots appends t's slots, as they lie in a value of t at offset off.
func (t *typ) appendSlots(s []slot, off uint64, nesting int) []slot {
	switch t.kind {
	case dump.Pointer, dump.String, dump.Slice, dump.Map, dump.Chan, dump.Func, dump.Interface:
		return append(s, slot{off: off, typ: t})
	case dump.Struct:
		first := len(s)
		for i := range t.fields {
			f := &t.fields[i]
			f.typ.resolveLocked(nesting + 1)
			if f.left {
				continue
			}
			n := len(s)
			s = f.typ.appendSlots(s, off+f.off, nesting+1)
			for i := n; i < len(s); i++ {
				s[i].near = s[i].near || f.near
				if s[i].name == "" && f.name != "" {
					s[i].name = f.name
					s[i].secret = t.table.isSecret(f.name)
				}
			}
			if nesting > maxTypeNesting {
				break
			}
		}
		if key, value := t.pair.key, t.pair.value; key != nil {
			for i := range s {
				if at := s[i].off; i >= first && at >= off+value.off && at < off+value.off+value.typ.size {
					s[i].keys = append(s[i].keys, pairKey{off + key.off, key.typ})
				}
			}
		}
	case dump.Array:
		if t.elem == nil {
			return s
		}
		t.elem.resolveLocked(nesting + 1)
		n := len(t.elem.slots)
		if n == 0 {
			return s
		}
		if t.len*int64(n) > maxFlatSlots {
			return append(s, slot{off: off, typ: t})
		}
		for i := range uint64(t.len) {
			s = t.elem.appendSlots(s, off+i*t.elem.size, nesting+1)
		}
	}
	return s
}

// mapLayout reads abi.MapType. A map type that the runtime has none for has no map.
func (tt *typeTable) mapLayout(t *typ) mapLayout {
	if t.rtype != 0 {
		l := tt.layout.Load()
		var b [128]byte
		if tt.mem.ReadAt(b[:], t.rtype) == nil {
			flags := uint32(word(b[:], int(l.mtFlags)))
			return mapLayout{
				groupSize: word(b[:], int(l.mtGroupSize)), slotSize: word(b[:], int(l.mtSlotSize)), elemOff: word(b[:], int(l.mtElemOff)),
				indirectKey: flags&(1<<2) != 0, indirectElem: flags&(1<<3) != 0,
			}
		}
	}
	return mapLayout{}
}

// isShape reports whether the type stands for every type of its kind that a type
// argument may be: "go.shape.*uint8" for all pointers. The code of a generic function
// is shared by them.
func (t *typ) isShape() bool { return strings.HasPrefix(t.name, "go.shape.") }

// fieldNamed returns the field of that name, promoted ones not included.
func (t *typ) fieldNamed(name string) *field {
	t.resolve()
	for i := range t.fields {
		if t.fields[i].name == name {
			return &t.fields[i]
		}
	}
	return nil
}
