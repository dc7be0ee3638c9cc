package capture

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// View is a read-only look at a captured value. It is what a type support (see
// [RegisterType]) reads: the copy that the capture has made, never the live object, and
// what a redaction rule withholds from the dump is not to be seen through it either.
//
// A View always answers. Where there is nothing, because a field of that name does not
// exist, because a limit cut the capture, because a rule withheld it, the result is a
// View that is not [View.OK]: numbers of it are not ok, its length is 0, its parts are
// missing, too, and [View.Missing] says why. So a chain of calls needs one check at its end.
//
// A View is good while the call lasts that it was handed to, and belongs to that call's
// goroutine.
type View struct {
	x   *looker
	t   *typ
	b   []byte
	p   place
	why string
	// addr is where the value lies, if it is an object's.
	addr uint64
}

// looker is what the views of one call have in common.
type looker struct {
	w     *walker
	d     *decoder // whose judge counts nothing; nil: nothing was copied, the memory itself is read, and texts are not redacted
	steps int      // how many more calls there may be
	gone  *atomic.Bool
	zones map[uint64]location
}

// maxViewBytes is how much of one value is read where nothing was copied.
const maxViewBytes = 64 << 10

// errSteps ends a support that does not come to an end.
var errSteps = errors.New("it took too many steps")

func (v View) step() {
	if v.x == nil {
		return
	}
	if v.x.steps--; v.x.steps < 0 || v.x.gone != nil && v.x.gone.Load() {
		panic(errSteps)
	}
}

func (v View) miss(why string) View {
	if v.why != "" {
		why = v.why
	}
	return View{x: v.x, p: v.p, why: why}
}

func (v View) missing(r dump.Reason) View {
	why := r.String()
	if why == "" {
		why = "not captured"
	}
	return v.miss(why)
}

// OK reports whether there is a value. It may still be cut or partly known, see [View.Missing].
func (v View) OK() bool { return v.t != nil && v.why == "" }

// Missing says why there is no value, or why it is not whole, "" if it is.
func (v View) Missing() string {
	switch {
	case v.why != "":
		return v.why
	case v.t == nil:
		return "not captured"
	case uint64(len(v.b)) < v.t.size:
		return dump.ByteBudget.String()
	case v.p.known != nil:
		return v.p.why.String()
	}
	return ""
}

// whole returns the value's bytes if all n of them are there and known.
func (v View) whole(n int) []byte {
	if !v.OK() || len(v.b) < n || uint64(n) > v.t.size || v.p.known != nil && !allKnown(v.p.known[:n]) {
		return nil
	}
	return v.b[:n]
}

// Type returns the type's name as Go source with full package paths, as [dump.Type] has
// it; "" for a value that is not there.
func (v View) Type() string {
	if v.t == nil {
		return ""
	}
	return v.t.name
}

// Kind returns the kind of the value's type, dump.Invalid for one that is not there.
func (v View) Kind() dump.Kind {
	if v.t == nil {
		return dump.Invalid
	}
	return v.t.kind
}

// Name returns the nearest name: of the variable, field or map key.
func (v View) Name() string { return v.p.name }

// NumField returns the number of fields of a struct, 0 for anything else.
func (v View) NumField() int {
	if !v.OK() || v.t.kind != dump.Struct {
		return 0
	}
	return len(v.t.resolve().fields)
}

// FieldName returns the name of field i, "" if there is none. embedded says that it is
// an embedded one.
func (v View) FieldName(i int) (name string, embedded bool) {
	if i < 0 || i >= v.NumField() {
		return "", false
	}
	return v.t.fields[i].name, v.t.fields[i].embedded
}

// FieldAt returns field i of a struct.
func (v View) FieldAt(i int) View {
	v.step()
	if i < 0 || i >= v.NumField() {
		return v.miss("it has no such field")
	}
	return v.field(&v.t.fields[i])
}

// Field returns the struct's own field of that name; promoted ones are fields of the
// embedded struct.
func (v View) Field(name string) View {
	v.step()
	if !v.OK() || v.t.kind != dump.Struct {
		return v.miss("it is not a struct")
	}
	f := v.t.fieldNamed(name)
	if f == nil {
		return v.miss("it has no field " + name)
	}
	return v.field(f)
}

func (v View) field(f *field) View {
	end := f.off + f.typ.size
	if end > uint64(len(v.b)) {
		return v.missing(dump.ByteBudget)
	}
	p := v.p.at(f.off, end).named(f.name).in(f)
	if v.x != nil && v.x.d != nil {
		p = p.pairName(v.x.w, v.t, f, v.b)
	}
	return View{x: v.x, t: f.typ, b: v.b[f.off:end], p: p}
}

// Path is Field for each name in turn, with pointers and interfaces between them
// followed.
func (v View) Path(names ...string) View {
	for _, n := range names {
		v = v.struct_().Field(n)
	}
	return v
}

// struct_ follows pointers and interfaces, a few at most.
func (v View) struct_() View {
	for range 4 {
		if k := v.Kind(); k != dump.Pointer && k != dump.Interface {
			break
		}
		v = v.Elem()
	}
	return v
}

// Int returns a signed or unsigned integer, or a bool as 0 or 1. ok is false for any other
// kind, for an unsigned one that does not fit, and if it is not known.
func (v View) Int() (n int64, ok bool) {
	u, ok := v.number()
	if !ok {
		return 0, false
	}
	switch v.t.kind {
	case dump.Uint, dump.Uint64, dump.Uintptr:
		if u > math.MaxInt64 {
			return 0, false
		}
	case dump.Float32, dump.Float64, dump.Complex64, dump.Complex128:
		return 0, false
	}
	return int64(u), true
}

// Uint returns an unsigned integer or an integer that is not negative.
func (v View) Uint() (n uint64, ok bool) {
	u, ok := v.number()
	if !ok {
		return 0, false
	}
	switch v.t.kind {
	case dump.Int, dump.Int8, dump.Int16, dump.Int32, dump.Int64:
		if int64(u) < 0 {
			return 0, false
		}
	case dump.Float32, dump.Float64, dump.Complex64, dump.Complex128:
		return 0, false
	}
	return u, true
}

// Bool returns a bool.
func (v View) Bool() (b, ok bool) {
	u, ok := v.number()
	if !ok || v.t.kind != dump.Bool {
		return false, false
	}
	return u != 0, true
}

// Float returns a float32 or float64.
func (v View) Float() (f float64, ok bool) {
	u, ok := v.number()
	if !ok || v.t.kind != dump.Float32 && v.t.kind != dump.Float64 {
		return 0, false
	}
	return math.Float64frombits(u), true
}

func (v View) number() (uint64, bool) {
	v.step()
	if !v.OK() || !isFixed(v.t.kind) {
		return 0, false
	}
	b := v.whole(int(min(v.t.size, 16)))
	if len(b) == 0 {
		return 0, false
	}
	n, _ := basic(v.t.kind, b)
	return n, true
}

// Pointer returns the address in a pointer, map, channel or function, the data pointer of
// a slice or string, or 0. It is good for telling one thing from another.
func (v View) Pointer() uint64 {
	switch v.Kind() {
	case dump.Pointer, dump.UnsafePointer, dump.Map, dump.Chan, dump.Func, dump.Slice, dump.String:
		if b := v.whole(8); b != nil {
			return word(b, 0)
		}
	}
	return 0
}

// IsNil reports whether the value is known to be a nil pointer, slice, map, channel,
// function or interface.
func (v View) IsNil() bool {
	switch v.Kind() {
	case dump.Pointer, dump.UnsafePointer, dump.Map, dump.Chan, dump.Func, dump.Slice, dump.Interface:
		b := v.whole(8)
		return b != nil && word(b, 0) == 0
	}
	return false
}

// Elem returns what a pointer points at, or the dynamic value of an interface.
func (v View) Elem() View {
	v.step()
	switch v.Kind() {
	case dump.Pointer:
		b := v.whole(8)
		switch {
		case b == nil:
			return v.missing(v.p.why)
		case word(b, 0) == 0:
			return v.miss("it is nil")
		case v.t.resolve().elem == nil:
			return v.missing(dump.Unsupported)
		}
		p := v.p
		p.depth++
		return v.target(word(b, 0), v.t.elem, p)
	case dump.Interface:
		b := v.whole(16)
		switch {
		case b == nil:
			return v.missing(v.p.why)
		case word(b, 0) == 0:
			return v.miss("it is nil")
		}
		dyn := v.x.w.dynamic(v.t, b)
		switch {
		case dyn == nil:
			return v.miss("its dynamic type is not known")
		case dyn.direct:
			return View{x: v.x, t: dyn, b: b[8:16], p: v.p}
		case dyn.size == 0:
			return View{x: v.x, t: dyn, p: v.p}
		}
		return v.target(word(b, 8), dyn, v.p)
	}
	return v.miss("it is neither a pointer nor an interface")
}

// target returns the object of type t at addr.
func (v View) target(addr uint64, t *typ, p place) View {
	o, why := v.x.object(addr, t, shapeValue, 0, p)
	if why != "" {
		return v.miss(why)
	}
	p = place{depth: p.depth, name: p.name}
	if o.name != "" && v.x.w.types.isSecret(o.name) {
		p.name = o.name
	}
	return View{x: v.x, t: t, b: o.data, p: p, addr: addr}
}

// object returns the copy of an object.
func (x *looker) object(addr uint64, t *typ, s shape, total int64, p place) (o object, why string) {
	if x.d == nil {
		return x.read(addr, t, s, total)
	}
	f := x.w.objects.find(addr, t, s, total)
	switch {
	case f == nil && p.left:
		return o, leftDetail
	case f == nil:
		return o, x.d.whyNot(p.depth).String()
	case f.data == nil && f.reason != dump.Whole:
		return o, f.reason.String()
	case !f.done:
		return o, dump.TimeBudget.String()
	case f.data == nil && t.size != 0 && s != shapeMap && s != shapeChan:
		return o, "not captured"
	}
	return *f, ""
}

// read reads an object that was not copied.
func (x *looker) read(addr uint64, t *typ, s shape, total int64) (o object, why string) {
	size := t.resolve().size
	o.total, o.n = total, total
	switch s {
	case shapeArray:
		if size > 0 {
			o.n = min(total, int64(maxViewBytes/size))
		}
		size *= uint64(o.n)
	case shapeText:
		o.n = min(total, maxViewBytes)
		size = uint64(o.n)
	case shapeValue:
		size = min(size, maxViewBytes)
	default:
		return o, dump.Unsupported.String()
	}
	if size == 0 {
		return o, ""
	}
	o.data = make([]byte, size)
	if !x.w.heap.holds(addr, size) || x.w.mem.ReadAt(o.data, addr) != nil {
		return o, dump.Unreadable.String()
	}
	return o, ""
}

// Len returns the true length of a string, array, slice, map or channel, and 0 for
// anything else. There may be less to see: limits cut what is long.
func (v View) Len() int {
	v.step()
	switch v.Kind() {
	case dump.Array:
		return int(v.t.resolve().len)
	case dump.String, dump.Slice:
		if b := v.whole(16); b != nil {
			if n := int64(word(b, 8)); n > 0 && n <= 1<<40 {
				return int(n)
			}
		}
	case dump.Map, dump.Chan:
		if o, why := v.contents(); why == "" {
			return int(o.total)
		}
	}
	return 0
}

// contents is the object of a map or channel.
func (v View) contents() (object, string) {
	b := v.whole(8)
	if b == nil || word(b, 0) == 0 {
		return object{}, "it is nil"
	}
	s := shapeMap
	if v.t.kind == dump.Chan {
		s = shapeChan
	}
	p := v.p
	p.depth++
	return v.x.object(word(b, 0), v.t, s, 0, p)
}

// elements is the part of an array or slice that is there.
func (v View) elements() (t *typ, b []byte, n int, p place, why string) {
	p = v.p
	switch v.Kind() {
	case dump.Array:
		if t = v.t.resolve().elem; t == nil {
			return nil, nil, 0, p, dump.Unsupported.String()
		}
		n = int(v.t.len)
		if t.size > 0 {
			n = min(n, int(uint64(len(v.b))/t.size))
		}
		return t, v.b, n, p, ""
	case dump.Slice:
		if t = v.t.resolve().elem; t == nil {
			return nil, nil, 0, p, dump.Unsupported.String()
		}
		h := v.whole(16)
		if h == nil {
			return nil, nil, 0, p, v.p.why.String()
		}
		total := int64(word(h, 8))
		if total == 0 {
			return t, nil, 0, p, ""
		}
		if total < 0 || total > 1<<40 {
			return nil, nil, 0, p, dump.Unreadable.String()
		}
		p.depth++
		o, why := v.x.object(word(h, 0), t, shapeArray, total, p)
		if why != "" {
			return nil, nil, 0, p, why
		}
		n = int(o.n)
		if t.size > 0 {
			n = min(n, int(uint64(len(o.data))/t.size))
		}
		p = place{depth: p.depth, name: p.name}
		if o.name != "" && v.x.w.types.isSecret(o.name) {
			p.name = o.name
		}
		return t, o.data, n, p, ""
	}
	return nil, nil, 0, p, "it has no elements"
}

// Index returns element i of an array or slice. The elements of a byte slice or array
// are those of [View.Bytes].
func (v View) Index(i int) View {
	v.step()
	t, b, n, p, why := v.elements()
	switch {
	case why != "":
		return v.miss(why)
	case i < 0 || i >= v.Len():
		return v.miss("it has no such element")
	case i >= n:
		return v.missing(dump.CollectionLimit)
	}
	if t.kind == dump.Uint8 {
		raw, whole := v.Bytes()
		if i >= len(raw) {
			if !whole {
				return v.missing(dump.Redacted)
			}
			return v.missing(dump.CollectionLimit)
		}
		b, p.known = raw, nil
	}
	lo := uint64(i) * t.size
	return View{x: v.x, t: t, b: b[lo : lo+t.size], p: p.at(lo, lo+t.size)}
}

// Entries calls f for each entry of a map that was captured, in no order, until f returns false.
func (v View) Entries(f func(key, value View) bool) {
	v.step()
	if v.Kind() != dump.Map {
		return
	}
	o, why := v.contents()
	if why != "" {
		return
	}
	key, elem := v.t.resolve().key, v.t.elem
	if key == nil || elem == nil {
		return
	}
	p := place{depth: v.p.depth + 1, name: v.p.name}
	secret := v.x.w.types.isSecret(p.name)
	for i := range o.n {
		v.step()
		at := uint64(i) * (key.size + elem.size)
		if at+key.size+elem.size > uint64(len(o.data)) {
			return
		}
		kp, ep := p, p
		kp.site = redact.SiteKey
		kb := o.data[at : at+key.size]
		if key.kind == dump.String && !secret {
			if text, ok := v.x.w.textOf(kb); ok && len(text) <= 64 {
				ep.name = string(text)
			}
		}
		if !f(View{x: v.x, t: key, b: kb, p: kp}, View{x: v.x, t: elem, b: o.data[at+key.size : at+key.size+elem.size], p: ep}) {
			return
		}
	}
}

// Text returns a string as it stands in the dump: what a rule withholds is replaced by the
// rule's marker, and what is longer than the limit of strings is cut. ok is false if
// it is not a string or was not captured; whole says that nothing was cut or replaced.
func (v View) Text() (s string, whole, ok bool) {
	v.step()
	if v.Kind() != dump.String {
		return "", false, false
	}
	h := v.whole(16)
	if h == nil {
		return "", false, false
	}
	n := int64(word(h, 8))
	switch {
	case n == 0:
		return "", true, true
	case n < 0 || n > 1<<40:
		return "", false, false
	}
	o, why := v.x.object(word(h, 0), v.x.w.types.bytes, shapeText, n, v.p)
	if why != "" {
		return "", false, false
	}
	if v.x.d == nil {
		return string(o.data), o.n == n, true
	}
	name := v.p.name
	if v.x.w.types.isSecret(o.name) {
		name = o.name
	}
	b, reason, _ := v.x.d.text(o.data, n, redact.Text{Name: name, Type: v.t.name, Site: v.p.site})
	return string(b), reason == dump.Whole, true
}

// String returns the text of a string, "" if there is none.
func (v View) String() string {
	s, _, _ := v.Text()
	return s
}

// Bytes returns the bytes of a byte slice or array, as many as were captured. Bytes in
// which a rule found something are not there. whole says that all are there. They must
// not be changed.
func (v View) Bytes() (b []byte, whole bool) {
	v.step()
	t, raw, n, p, why := v.elements()
	if why != "" || t.kind != dump.Uint8 || p.known != nil {
		return nil, false
	}
	raw = raw[:n]
	total := v.Len()
	if total == 0 {
		return raw, true
	}
	if v.x.d == nil {
		return raw, n == total
	}
	out, reason, _ := v.x.d.text(raw, int64(total), redact.Text{Name: v.p.name, Type: "[]byte", Site: redact.SiteBytes})
	if reason == dump.Redacted {
		return nil, false
	}
	return slices.Clip(out), reason == dump.Whole
}

// Words returns the elements of an array or slice of integers as unsigned words, as many as
// were captured; whole says that all are there.
func (v View) Words() (ws []uint64, whole bool) {
	v.step()
	t, b, n, p, why := v.elements()
	if why != "" || p.known != nil || !isFixed(t.kind) || t.kind == dump.Complex128 || t.size == 0 {
		return nil, false
	}
	if t.kind == dump.Uint8 {
		if b, _ = v.Bytes(); len(b) < n {
			return nil, false
		}
	}
	ws = make([]uint64, n)
	for i := range ws {
		ws[i], _ = basic(t.kind, b[uint64(i)*t.size:])
	}
	return ws, n == v.Len()
}

// FuncName returns the name of the function in a func value, "" if it is nil or not known.
func (v View) FuncName() string {
	v.step()
	if v.Kind() != dump.Func || v.x.d == nil {
		return ""
	}
	b := v.whole(8)
	if b == nil {
		return ""
	}
	var out dump.Value
	v.x.d.fn(&out, word(b, 0), v.p)
	return out.Func
}

// Closure returns the variables that a func value has captured, as a struct. Those captured
// by reference have an & before their name and are pointers.
func (v View) Closure() View {
	v.step()
	if v.Kind() != dump.Func {
		return v.miss("it is not a function")
	}
	b := v.whole(8)
	if b == nil || word(b, 0) == 0 || v.x.d == nil {
		return v.miss("it is nil")
	}
	_, ct := v.x.w.closure(word(b, 0))
	if ct == nil {
		return v.miss("it has captured nothing, or what it has is not known")
	}
	p := v.p
	p.depth++
	return v.target(word(b, 0), ct, p)
}
