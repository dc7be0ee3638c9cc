package debugger

import (
	"fmt"
	"go/constant"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Value is a value as the debugger sees it: captured, computed from captured
// values, or a constant. It is a small view: children are read from the dump
// when they are asked for. A Value does not change and is safe for concurrent
// use. The zero Value is not useful.
type Value struct {
	s    *Session
	name string     // what the user would write to get it, for error messages
	typ  *dump.Type // nil: an untyped constant, nil, or a type that the dump has not got
	v    *dump.Value
	con  constant.Value // an untyped constant; v is nil then
	null bool           // the untyped nil; v is nil then
	why  string         // there is no value, and this is why
	addr uint64

	state dump.VarState // of the variable that it was reached from
	late  bool          // read after the failing goroutine went on

	to   *Value // a pointer made by &: what it points at
	more *more  // elements of v that are not in v
	arr  *Value // a slice made by slicing an array: the array
	off  int64  // where a slice, or a view of a map, begins in what was captured
}

// origin is what a value inherits from the one that it was reached from.
type origin struct {
	name  string
	typ   dump.TypeID // the type if the value names none
	addr  uint64      // the address if the value names none
	state dump.VarState
	late  bool
}

// maxHops bounds how many boxes are opened for one value; a real dump has one.
const maxHops = 4

// view makes a Value of a captured value. It opens the box of a dynamic value
// that lies in an object of its own.
func (s *Session) view(v *dump.Value, o origin) *Value {
	x := &Value{s: s, name: o.name, v: v, addr: v.Addr, state: o.state, late: o.late}
	id := v.Type
	if id == 0 {
		id = o.typ
	}
	x.typ = s.r.Type(id)
	for hop := 0; boxed(x.v, x.typ); hop++ {
		if hop == maxHops {
			x.why = "unreadable: it refers to itself"
			return x
		}
		obj, err := s.object(x.v.Obj)
		if err != nil || obj == nil {
			x.why = "unreadable: " + objectProblem(x.v.Obj, err)
			return x
		}
		x.late, x.more = x.late || obj.Late, obj.more
		if x.v = &obj.Value; x.v.Type != 0 {
			x.typ = s.r.Type(x.v.Type)
		}
		if x.addr = x.v.Addr; x.addr == 0 {
			x.addr = obj.Addr
		}
	}
	if x.addr == 0 {
		x.addr = o.addr
	}
	if x.typ == nil {
		if x.why = s.reasonText(x.v.Reason, x.v.Detail); x.why == "" {
			x.why = fmt.Sprintf("unreadable: its type (number %d) is not in the dump", id)
		}
		return x
	}
	x.why = x.absent()
	return x
}

func objectProblem(id dump.ObjectID, err error) string {
	if err == nil {
		return fmt.Sprintf("object %d is not in the dump", id)
	}
	return Clean(err.Error())
}

// boxed reports whether v is only a reference to the object that it lies in, as
// dynamic values of interfaces are ([dump.Reader.Resolve]).
func boxed(v *dump.Value, t *dump.Type) bool {
	if v.Obj == 0 {
		return false
	}
	if t == nil {
		return v.Type == 0
	}
	switch t.Kind {
	case dump.Slice:
		return v.Ptr == 0
	case dump.Array, dump.String, dump.Struct:
		return true
	}
	return t.Kind >= dump.Bool && t.Kind <= dump.Complex128
}

// absent says why there is no value at all, "" if there is one. A value that is
// only partly known (a pointer whose target was not captured, a cut string) is
// there.
func (x *Value) absent() string {
	v, t := x.v, x.typ
	if v.Reason == dump.Whole || v.Reason == dump.Dead {
		return ""
	}
	there := false
	switch t.Kind {
	case dump.Struct, dump.Interface:
		there = len(v.Elems) > 0
	case dump.Array:
		there = len(v.Elems) > 0 || len(v.Raw) > 0
	case dump.String:
		there = len(v.Bytes) > 0 || v.Len > 0 && limited(v.Reason)
	case dump.Pointer, dump.UnsafePointer, dump.Chan:
		there = v.Ptr != 0
	case dump.Func:
		there = v.Ptr != 0 && v.Func != ""
	case dump.Map:
		there = v.Ptr != 0 && (v.Len > 0 || v.Obj != 0 || limited(v.Reason))
	case dump.Slice:
		there = v.Ptr != 0 && (v.Cap > 0 && v.Len <= v.Cap || v.Cap < 0 && v.Len > 0 && v.Obj != 0)
	}
	if there {
		return ""
	}
	return x.s.reasonText(v.Reason, v.Detail)
}

// limited reports whether the reason cuts what lies behind a value and leaves
// the value's own words (length, capacity, address) whole.
func limited(r dump.Reason) bool {
	switch r {
	case dump.DepthLimit, dump.CollectionLimit, dump.StringLimit, dump.ByteBudget, dump.TimeBudget:
		return true
	}
	return false
}

// constantValue makes a Value of an untyped constant.
func (s *Session) constantValue(c constant.Value) *Value { return &Value{s: s, con: c} }

// computed makes a Value of type t that was not captured but calculated.
func (s *Session) computed(t *dump.Type, v dump.Value) *Value {
	v.Type = t.ID
	return &Value{s: s, typ: t, v: &v}
}

// missing makes a Value that has none.
func (s *Session) missing(o origin, t *dump.Type, why string) *Value {
	return &Value{s: s, name: o.name, typ: t, v: &dump.Value{}, why: why, addr: o.addr, state: o.state, late: o.late}
}

// from gives x the state of the values that it was calculated from.
func (x *Value) from(ys ...*Value) *Value {
	for _, y := range ys {
		x.late = x.late || y.late
		if x.state == dump.VarLive || y.state == dump.VarDead {
			x.state = y.state
		}
	}
	return x
}

// Name returns what the user would write to get the value, "" for a result.
func (x *Value) Name() string { return Clean(x.name) }

// Kind returns the kind of the value's type: of an untyped constant the kind of
// its default type, of nil and of values of an unknown type Invalid.
func (x *Value) Kind() dump.Kind {
	if x.typ != nil {
		return x.typ.Kind
	}
	if x.con != nil {
		switch x.con.Kind() {
		case constant.Bool:
			return dump.Bool
		case constant.String:
			return dump.String
		case constant.Int:
			return dump.Int
		case constant.Float:
			return dump.Float64
		case constant.Complex:
			return dump.Complex128
		}
	}
	return dump.Invalid
}

// Type returns the value's type, nil if it has none in the dump. It must not be
// changed.
func (x *Value) Type() *dump.Type { return x.typ }

// TypeName returns the name of the value's type with full package paths, ""
// for an untyped constant.
func (x *Value) TypeName() string {
	switch {
	case x.typ != nil:
		return Clean(x.typ.Name)
	case x.null:
		return "nil"
	}
	return ""
}

// kindName is how error messages name the type of a constant.
func (x *Value) typeOrKind() string {
	if n := x.TypeName(); n != "" {
		return n
	}
	return kindName(x.Kind())
}

// Addr returns the address where the value lay, 0 if it had none or if it is
// not known.
func (x *Value) Addr() uint64 { return x.addr }

// Missing returns why there is no value at all, "" if there is one.
func (x *Value) Missing() string { return x.why }

// Reason returns why the value is not whole, "" if it is: the text of
// [Value.Missing], or what was left out of a value that is there.
func (x *Value) Reason() string {
	if x.why != "" {
		return x.why
	}
	if x.v == nil {
		return ""
	}
	return x.s.reasonText(x.v.Reason, x.v.Detail)
}

// State says how the variable that the value was reached from was had.
func (x *Value) State() dump.VarState { return x.state }

// Note says what to keep in mind about a value that is there: "recovered",
// "dead: may be stale", "late: …". It is "" if there is nothing.
func (x *Value) Note() string {
	return noteText(x.state, x.why == "" && x.v != nil && x.v.Reason == dump.Dead, x.late)
}

func noteText(state dump.VarState, dead, late bool) string {
	var n []string
	switch {
	case state == dump.VarRecovered:
		n = append(n, "recovered")
	case state == dump.VarDead || dead:
		n = append(n, "dead: may be stale")
	}
	if late {
		n = append(n, "late: read after the failure")
	}
	return strings.Join(n, "; ")
}

// need returns an error if x cannot be computed with: it is missing, or the
// text that stands in its place is a redaction's.
func (x *Value) need() error {
	if x.why != "" {
		return &MissingError{Expr: x.Name(), Why: x.why}
	}
	if x.v != nil && x.v.Reason == dump.Redacted {
		return &MissingError{Expr: x.Name(), Why: x.s.reasonText(x.v.Reason, x.v.Detail)}
	}
	return nil
}

// Len returns the true length of a string, array, slice, map or channel, and 0
// for anything else.
func (x *Value) Len() int64 {
	if x.con != nil && x.con.Kind() == constant.String {
		return int64(len(constant.StringVal(x.con)))
	}
	if x.typ == nil || x.v == nil || x.why != "" {
		return 0
	}
	switch x.typ.Kind {
	case dump.Array:
		return max(x.typ.Len, 0)
	case dump.String, dump.Slice, dump.Map, dump.Chan:
		return max(x.v.Len, 0)
	}
	return 0
}

// Cap returns the capacity of an array, slice or channel, and 0 for anything
// else.
func (x *Value) Cap() int64 {
	if x.typ == nil || x.v == nil || x.why != "" {
		return 0
	}
	switch x.typ.Kind {
	case dump.Array:
		return max(x.typ.Len, 0)
	case dump.Slice, dump.Chan:
		return max(x.v.Cap, 0)
	}
	return 0
}

// IsNil reports whether the value is a nil pointer, slice, map, channel,
// function or interface, or the word nil.
func (x *Value) IsNil() bool {
	if x.null {
		return true
	}
	if x.typ == nil || x.v == nil || x.why != "" {
		return false
	}
	switch x.typ.Kind {
	case dump.Pointer, dump.UnsafePointer, dump.Map, dump.Chan:
		return x.v.Ptr == 0
	case dump.Slice:
		return x.v.Ptr == 0 && x.arr == nil && x.v.Len == 0 && x.v.Cap == 0
	case dump.Func:
		return x.v.Ptr == 0 && x.v.Func == ""
	case dump.Interface:
		return len(x.v.Elems) == 0
	}
	return false
}

// origin returns what children of x inherit from it.
func (x *Value) origin() origin { return origin{state: x.state, late: x.late} }

// object returns the object behind x: a pointer's target, a slice's elements
// and so on. why says what is in the way.
func (x *Value) object() (obj *object, why string) {
	if x.v.Obj == 0 {
		if why = x.s.reasonText(x.v.Reason, x.v.Detail); why == "" {
			why = "not captured"
		}
		return nil, why
	}
	obj, err := x.s.object(x.v.Obj)
	if err != nil || obj == nil {
		return nil, "unreadable: " + objectProblem(x.v.Obj, err)
	}
	return obj, ""
}

// Target returns what a non-nil pointer points at. The result may be missing.
func (x *Value) Target() *Value {
	if x.to != nil {
		return x.to
	}
	o := x.origin()
	o.name, o.typ, o.addr = x.name, x.typ.Elem, x.v.Ptr
	obj, why := x.object()
	if obj == nil {
		return x.s.missing(o, x.s.r.Type(x.typ.Elem), why)
	}
	o.late = o.late || obj.Late
	y := x.s.view(&obj.Value, o)
	if y.v == &obj.Value {
		y.more = obj.more
	}
	if y.addr == 0 {
		y.addr = x.v.Ptr
	}
	return y
}

// Dynamic returns the dynamic value of a non-nil interface. The result may be
// missing.
func (x *Value) Dynamic() *Value {
	o := x.origin()
	o.name = x.name
	if len(x.v.Elems) == 0 {
		return x.s.missing(o, nil, "not captured")
	}
	return x.s.view(&x.v.Elems[0], o)
}

// elements are the captured elements of an array, slice or channel, or the
// captured keys and values of a map.
type elements struct {
	s    *Session
	v    *dump.Value
	more *more  // those that are not in v
	last piece  // of those, what was read last
	o    origin // of every element; addr is that of element 0
	size uint64
	off  int64 // index in v of element 0
	n    int64 // how many there are from off on
	why  string
}

// at returns element i, 0 ≤ i < n.
func (e *elements) at(i int64, name string) *Value {
	o := e.o
	o.name = name
	if o.addr != 0 {
		o.addr += uint64(i) * e.size
	}
	return e.view(int(e.off+i), o)
}

// view makes a Value of element j of v.
func (e *elements) view(j int, o origin) *Value {
	switch {
	case e.more == nil && len(e.v.Raw) != 0:
		v := e.s.r.Elem(e.v, j)
		return e.s.view(&v, o)
	case e.more == nil || j < len(e.v.Elems):
		return e.s.view(&e.v.Elems[j], o)
	}
	v, err := e.more.elem(j, &e.last)
	if err != nil {
		return e.s.missing(o, e.s.r.Type(o.typ), "unreadable: "+objectProblem(e.more.id, err))
	}
	return e.s.view(v, o)
}

// count returns how many elements v has.
func (e *elements) count() int {
	if e.more != nil {
		return e.more.total
	}
	return e.s.r.NumElems(e.v)
}

// elements returns the captured elements of an array, slice or channel.
func (x *Value) elements() elements {
	e := elements{s: x.s, o: x.origin(), off: x.off}
	e.o.typ = x.typ.Elem
	if t := x.s.r.Type(x.typ.Elem); t != nil {
		e.size = t.Size
	}
	switch {
	case x.typ.Kind == dump.Array:
		e.v, e.more, e.o.addr = x.v, x.more, x.addr
		e.why = x.s.reasonText(x.v.Reason, x.v.Detail)
	case x.arr != nil:
		e.v, e.more, e.o.addr = x.arr.v, x.arr.more, x.v.Ptr
		e.why = x.s.reasonText(x.arr.v.Reason, x.arr.v.Detail)
	default:
		obj, why := x.object()
		if obj == nil {
			e.why = why
			return e
		}
		e.v, e.more, e.o.late = &obj.Value, obj.more, e.o.late || obj.Late
		if x.typ.Kind == dump.Slice {
			e.o.addr = x.v.Ptr
		} else {
			e.size = 0 // the buffer of a channel has no known place
		}
		e.why = x.s.reasonText(obj.Value.Reason, obj.Value.Detail)
		if e.why == "" {
			e.why = x.s.reasonText(x.v.Reason, x.v.Detail)
		}
		if t := x.s.r.Type(obj.Value.Type); t != nil && t.Kind != dump.Array && t.Kind != dump.Chan {
			e.v, e.more, e.why = nil, nil, "unreadable: its elements are of type "+Clean(t.Name)
			return e
		}
	}
	if n := int64(e.count()) - e.off; n > 0 {
		e.n = min(n, x.Len())
	}
	if e.why == "" {
		e.why = "not captured"
	}
	return e
}

// entries returns the captured keys and values of a map: key i is element 2i,
// its value element 2i+1.
func (x *Value) entries() elements {
	e := elements{s: x.s, o: x.origin(), off: 2 * x.off}
	obj, why := x.object()
	if obj == nil {
		e.why = why
		return e
	}
	e.v, e.more, e.o.late = &obj.Value, obj.more, e.o.late || obj.Late
	if e.why = x.s.reasonText(obj.Value.Reason, obj.Value.Detail); e.why == "" {
		if e.why = x.s.reasonText(x.v.Reason, x.v.Detail); e.why == "" {
			e.why = "not captured"
		}
	}
	n := len(e.v.Elems)
	if e.more != nil {
		n = e.more.total
	}
	e.n = max(0, int64(n)/2-x.off)
	return e
}

// entry returns key and value number i, 0 ≤ i < e.n.
func (x *Value) entry(e *elements, i int64) (key, val *Value) {
	at := func(j int64, t dump.TypeID) *Value {
		o := e.o
		o.typ = t
		return e.view(int(j), o)
	}
	return at(e.off+2*i, x.typ.Key), at(e.off+2*i+1, x.typ.Elem)
}

// Field returns field i of a struct, 0 ≤ i < len(Type().Fields).
func (x *Value) Field(i int) *Value {
	f := &x.typ.Fields[i]
	o := x.origin()
	o.name, o.typ = f.Name, f.Type
	if x.name != "" {
		o.name = x.name + "." + f.Name
	}
	if x.addr != 0 {
		o.addr = x.addr + f.Offset
	}
	if i >= len(x.v.Elems) {
		why := x.Reason()
		if why == "" {
			why = "not captured"
		}
		return x.s.missing(o, x.s.r.Type(f.Type), why)
	}
	return x.s.view(&x.v.Elems[i], o)
}

// captured returns the variables that a function value captured, as a struct
// value, or nil if there are none. Those captured by reference have an & before
// their name and are pointers.
func (x *Value) captured() *Value {
	if x.v.Obj == 0 {
		return nil
	}
	obj, why := x.object()
	if why != "" {
		return nil
	}
	o := x.origin()
	o.name, o.late = x.name, o.late || obj.Late
	y := x.s.view(&obj.Value, o)
	if y.why != "" || y.Kind() != dump.Struct {
		return nil
	}
	return y
}

// capturedVar returns captured variable i of the struct of captured, by its
// name in the source.
func capturedVar(y *Value, i int) (name string, v *Value) {
	name = y.typ.Fields[i].Name
	v = y.Field(i)
	if ref, ok := strings.CutPrefix(name, "&"); ok && v.Kind() == dump.Pointer && v.why == "" && !v.IsNil() {
		return ref, v.Target()
	}
	return name, v
}

// Summary returns what a type support says of the value, "" if none did: "2026-11-30T03:00:00Z" of a
// time.Time.
func (x *Value) Summary() string { return x.described() }

// behind follows pointers and interfaces to the value that is described, nil if that is missing.
func (x *Value) behind() *Value {
	for range maxHops {
		if x.why != "" || x.v == nil || x.typ == nil || x.IsNil() || x.to != nil {
			break
		}
		switch x.typ.Kind {
		case dump.Pointer:
			x = x.Target()
			continue
		case dump.Interface:
			x = x.Dynamic()
			continue
		}
		break
	}
	if x.why != "" || x.v == nil || x.typ == nil {
		return nil
	}
	return x
}

// parts returns n of the parts that a type support shows of the value, from number from on.
func (x *Value) parts(from, n int) []Child {
	list := make([]Child, 0, n)
	for i := range x.v.Children[from : from+n] {
		c := &x.v.Children[from+i]
		name := "[" + Clean(c.Name) + "]"
		o := x.origin()
		o.name = x.name
		list = append(list, Child{name, x.s.view(&c.Value, o)})
	}
	return list
}

// Child is a part of a value, for a face that shows values as a tree.
type Child struct {
	Name  string // field name, "[3]", the key of a map as it is printed, "*" of a pointer, "[deadline]" of what a type support shows
	Value *Value
}

// NumChildren returns how many children the dump has of the value: what a type
// support shows of it, then the fields of a struct, the captured elements of an array, slice, map or channel, the target
// of a pointer, the dynamic value of an interface, the variables of a function.
func (x *Value) NumChildren() int {
	if x.typ == nil || x.v == nil || x.why != "" || x.IsNil() {
		return 0
	}
	return len(x.v.Children) + x.ownChildren()
}

// ownChildren is NumChildren without what a type support shows.
func (x *Value) ownChildren() int {
	switch x.typ.Kind {
	case dump.Struct:
		return len(x.typ.Fields)
	case dump.Array, dump.Slice, dump.Chan:
		e := x.elements()
		return int(e.n)
	case dump.Map:
		e := x.entries()
		return int(e.n)
	case dump.Pointer, dump.Interface:
		return 1
	case dump.Func:
		if c := x.captured(); c != nil {
			return len(c.typ.Fields)
		}
	}
	return 0
}

// Children returns at most n children from number from on.
func (x *Value) Children(from, n int) []Child {
	from = max(from, 0)
	n = min(n, x.NumChildren()-from)
	if n <= 0 {
		return nil
	}
	list := make([]Child, 0, n)
	if k := min(n, len(x.v.Children)-from); k > 0 {
		list = append(list, x.parts(from, k)...)
		n -= k
		from += k
	}
	from -= len(x.v.Children)
	if n == 0 {
		return list
	}
	switch x.typ.Kind {
	case dump.Struct:
		for i := from; i < from+n; i++ {
			list = append(list, Child{Clean(x.typ.Fields[i].Name), x.Field(i)})
		}
	case dump.Array, dump.Slice, dump.Chan:
		e := x.elements()
		for i := from; i < from+n; i++ {
			name := fmt.Sprintf("[%d]", i)
			list = append(list, Child{name, e.at(int64(i), x.name+name)})
		}
	case dump.Map:
		e := x.entries()
		for i := from; i < from+n; i++ {
			k, v := x.entry(&e, int64(i))
			list = append(list, Child{k.Format(Format{LoadConfig: ShortLoad()}), v})
		}
	case dump.Pointer:
		list = append(list, Child{"*", x.Target()})
	case dump.Interface:
		list = append(list, Child{"data", x.Dynamic()})
	case dump.Func:
		c := x.captured()
		for i := from; i < from+n; i++ {
			name, v := capturedVar(c, i)
			list = append(list, Child{Clean(name), v})
		}
	}
	return list
}
