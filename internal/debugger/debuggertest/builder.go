// Package debuggertest makes dumps out of live Go values, for tests of what
// reads dumps. It walks values by reflection, so it knows nothing of how the
// engine captures them; what it makes has the same form.
package debuggertest

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Builder collects what goes into one dump.
type Builder struct {
	// Rename maps package paths of the test's values to those in the dump.
	Rename map[string]string
	// Depth is how many pointers away values are captured; 0 is no limit.
	Depth int
	// MaxString and MaxElems cut strings and collections; 0 is no limit.
	MaxString, MaxElems int
	// Captured gives the variables that a closure captured: the address of a
	// struct, by the function's entry point.
	Captured map[uintptr]any

	Header      dump.Header
	Goroutines  []*dump.Goroutine
	Sources     []*dump.Source
	Extra       *dump.Extra
	PackageVars []*dump.PackageVar

	Types   []*dump.Type
	Objects []*dump.Object
	types   map[reflect.Type]dump.TypeID
	objects map[identity]dump.ObjectID
}

type identity struct {
	addr uintptr
	typ  reflect.Type
}

// New returns an empty Builder.
func New() *Builder {
	return &Builder{types: map[reflect.Type]dump.TypeID{}, objects: map[identity]dump.ObjectID{}, Captured: map[uintptr]any{}}
}

// Var makes a live variable of what ptr points at.
func (b *Builder) Var(name string, kind dump.VarKind, ptr any) dump.Variable {
	return dump.Variable{Name: name, Kind: kind, Value: b.Value(ptr)}
}

// Value makes a value of what ptr points at.
func (b *Builder) Value(ptr any) dump.Value {
	return b.value(reflect.ValueOf(ptr).Elem(), b.Depth)
}

// Missing makes a variable without a value, of the type that ptr points at.
func (b *Builder) Missing(name string, kind dump.VarKind, ptr any, why dump.Reason, detail string) dump.Variable {
	t := b.Type(reflect.TypeOf(ptr).Elem())
	return dump.Variable{Name: name, Kind: kind, State: dump.VarMissing, Value: dump.Value{Type: t, Reason: why, Detail: detail}}
}

// Bytes writes the dump.
func (b *Builder) Bytes() ([]byte, error) {
	var buf bytes.Buffer
	w := dump.NewWriter(&buf)
	for _, t := range b.Types {
		if err := w.Type(t); err != nil {
			return nil, err
		}
	}
	for _, g := range b.Goroutines {
		if err := w.Goroutine(g); err != nil {
			return nil, err
		}
	}
	for _, o := range b.Objects {
		if err := w.Object(o); err != nil {
			return nil, err
		}
	}
	for _, v := range b.PackageVars {
		if err := w.PackageVar(v); err != nil {
			return nil, err
		}
	}
	for _, s := range b.Sources {
		if err := w.Source(s); err != nil {
			return nil, err
		}
	}
	if b.Extra != nil {
		if err := w.Extra(b.Extra); err != nil {
			return nil, err
		}
	}
	if b.Header.ID.IsZero() {
		b.Header.ID = dump.NewID()
	}
	h := b.Header
	_, err := w.Close(&h)
	return buf.Bytes(), err
}

// Reader writes the dump and opens it.
func (b *Builder) Reader(tb testing.TB) *dump.Reader {
	tb.Helper()
	data, err := b.Bytes()
	if err != nil {
		tb.Fatalf("writing the dump: %v", err)
	}
	r, err := dump.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		tb.Fatalf("opening the dump: %v", err)
	}
	return r
}

// addressable returns a value that has an address and may be read without
// restrictions.
func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Elem()
}

func (b *Builder) value(v reflect.Value, depth int) dump.Value {
	v = addressable(v)
	x := dump.Value{Type: b.Type(v.Type()), Addr: uint64(v.UnsafeAddr())}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			x.Num = 1
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		x.Num = uint64(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		x.Num = v.Uint()
	case reflect.Float32, reflect.Float64:
		x.Num = math.Float64bits(v.Float())
	case reflect.Complex64, reflect.Complex128:
		x.Num, x.Num2 = math.Float64bits(real(v.Complex())), math.Float64bits(imag(v.Complex()))
	case reflect.String:
		s := v.String()
		x.Len = int64(len(s))
		if b.MaxString > 0 && len(s) > b.MaxString {
			s, x.Reason = s[:b.MaxString], dump.StringLimit
		}
		x.Bytes = []byte(s)
	case reflect.Struct:
		for i := range v.NumField() {
			x.Elems = append(x.Elems, b.value(v.Field(i), depth))
		}
	case reflect.Array:
		x.Len = int64(v.Len())
		b.elems(&x, v, v.Len(), depth)
	case reflect.Interface:
		if !v.IsNil() {
			x.Elems = []dump.Value{b.dynamic(v.Elem(), depth)}
		}
	default:
		b.reference(&x, v, depth)
	}
	return x
}

// elems fills in the elements of an array value.
func (b *Builder) elems(x *dump.Value, v reflect.Value, n, depth int) {
	if b.MaxElems > 0 && n > b.MaxElems {
		n, x.Reason = b.MaxElems, dump.CollectionLimit
	}
	switch size := int(v.Type().Elem().Size()); v.Type().Elem().Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		if n > 0 {
			x.Raw = slices.Clone(unsafe.Slice((*byte)(unsafe.Pointer(v.Index(0).UnsafeAddr())), n*size))
		}
		return
	}
	for i := range n {
		x.Elems = append(x.Elems, b.value(v.Index(i), depth))
	}
}

// dynamic makes the dynamic value of an interface.
func (b *Builder) dynamic(v reflect.Value, depth int) dump.Value {
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return b.value(v, depth)
	}
	box := dump.Value{Type: b.Type(v.Type())}
	if !b.nearer(&box, depth) {
		return box
	}
	v = addressable(v)
	box.Obj = b.object(v, 0, func() dump.Value { return b.value(v, depth-1) })
	return box
}

// nearer reports whether one more pointer may be followed, and notes in x if
// not.
func (b *Builder) nearer(x *dump.Value, depth int) bool {
	if b.Depth == 0 || depth > 0 {
		return true
	}
	x.Reason = dump.DepthLimit
	return false
}

// object returns the object of v, which is made by content when it is seen for
// the first time. addr is where v lies, 0 if v knows.
func (b *Builder) object(v reflect.Value, addr uintptr, content func() dump.Value) dump.ObjectID {
	if addr == 0 {
		addr = v.UnsafeAddr()
	}
	key := identity{addr, v.Type()}
	if id, ok := b.objects[key]; ok {
		return id
	}
	o := &dump.Object{ID: dump.ObjectID(len(b.Objects) + 1), Addr: uint64(addr)}
	b.objects[key] = o.ID
	b.Objects = append(b.Objects, o)
	o.Value = content()
	return o.ID
}

// reference fills in a value that refers to an object.
func (b *Builder) reference(x *dump.Value, v reflect.Value, depth int) {
	if v.Kind() != reflect.UnsafePointer && v.IsNil() {
		return
	}
	x.Ptr = uint64(v.Pointer())
	switch v.Kind() {
	case reflect.Pointer:
		if b.nearer(x, depth) {
			x.Obj = b.object(v.Elem(), 0, func() dump.Value { return b.value(v.Elem(), depth-1) })
		}
	case reflect.Slice:
		x.Len, x.Cap = int64(v.Len()), int64(v.Cap())
		if v.Len() > 0 && b.nearer(x, depth) {
			a := reflect.NewAt(reflect.ArrayOf(v.Len(), v.Type().Elem()), v.UnsafePointer()).Elem()
			x.Obj = b.object(a, 0, func() dump.Value {
				y := dump.Value{Type: b.Type(a.Type()), Addr: uint64(a.UnsafeAddr()), Len: int64(a.Len())}
				b.elems(&y, a, a.Len(), depth-1)
				return y
			})
		}
	case reflect.Map:
		x.Len = int64(v.Len())
		if b.nearer(x, depth) {
			x.Obj = b.object(v, v.Pointer(), func() dump.Value { return b.mapContent(v, depth-1) })
		}
	case reflect.Chan:
		x.Len, x.Cap = int64(v.Len()), int64(v.Cap())
		if b.nearer(x, depth) {
			x.Obj = b.object(v, v.Pointer(), func() dump.Value { return b.chanContent(v, depth-1) })
		}
	case reflect.Func:
		x.Func = b.rename(runtime.FuncForPC(v.Pointer()).Name())
		if c, ok := b.Captured[v.Pointer()]; ok {
			s := reflect.ValueOf(c).Elem()
			x.Obj = b.object(s, 0, func() dump.Value { return b.value(s, depth-1) })
		}
	}
}

func (b *Builder) mapContent(v reflect.Value, depth int) dump.Value {
	x := dump.Value{Type: b.Type(v.Type()), Len: int64(v.Len())}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, c reflect.Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(c)) })
	for i, k := range keys {
		if b.MaxElems > 0 && i == b.MaxElems {
			x.Reason = dump.CollectionLimit
			break
		}
		x.Elems = append(x.Elems, b.value(k, depth), b.value(v.MapIndex(k), depth))
	}
	return x
}

// chanContent takes the elements out of a channel's buffer and puts them back.
func (b *Builder) chanContent(v reflect.Value, depth int) dump.Value {
	x := dump.Value{Type: b.Type(v.Type()), Len: int64(v.Len()), Cap: int64(v.Cap())}
	for range v.Len() {
		e, _ := v.Recv()
		x.Elems = append(x.Elems, b.value(e, depth))
		v.Send(e)
	}
	return x
}

// Type returns the number of a type, with all that it is made of.
func (b *Builder) Type(t reflect.Type) dump.TypeID {
	if id, ok := b.types[t]; ok {
		return id
	}
	d := &dump.Type{ID: dump.TypeID(len(b.Types) + 1), Name: b.TypeName(t), Kind: dump.Kind(t.Kind()), Size: uint64(t.Size())}
	d.Named = t.PkgPath() != ""
	b.types[t] = d.ID
	b.Types = append(b.Types, d)
	switch t.Kind() {
	case reflect.Array:
		d.Len = int64(t.Len())
		d.Elem = b.Type(t.Elem())
	case reflect.Slice, reflect.Pointer, reflect.Chan:
		d.Elem = b.Type(t.Elem())
	case reflect.Map:
		d.Key, d.Elem = b.Type(t.Key()), b.Type(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Tag.Get("capture") == "ref" { // as the compiler names variables captured by reference
				f.Name = "&" + f.Name
			}
			d.Fields = append(d.Fields, dump.Field{
				Name: f.Name, Type: b.Type(f.Type), Offset: uint64(f.Offset), Embedded: f.Anonymous, Tag: string(f.Tag),
			})
		}
	}
	return d.ID
}

func (b *Builder) rename(name string) string {
	for from, to := range b.Rename {
		name = strings.ReplaceAll(name, from+".", to+".")
	}
	return name
}

// TypeName returns a type's name as a dump has it, with full package paths.
func (b *Builder) TypeName(t reflect.Type) string {
	if t.Name() != "" {
		if t.PkgPath() == "" {
			return t.Name()
		}
		return b.rename(t.PkgPath() + "." + t.Name())
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + b.TypeName(t.Elem())
	case reflect.Slice:
		return "[]" + b.TypeName(t.Elem())
	case reflect.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), b.TypeName(t.Elem()))
	case reflect.Map:
		return "map[" + b.TypeName(t.Key()) + "]" + b.TypeName(t.Elem())
	case reflect.Chan:
		return t.ChanDir().String() + " " + b.TypeName(t.Elem())
	case reflect.Struct:
		var fields []string
		for i := range t.NumField() {
			fields = append(fields, t.Field(i).Name+" "+b.TypeName(t.Field(i).Type))
		}
		if len(fields) == 0 {
			return "struct {}"
		}
		return "struct { " + strings.Join(fields, "; ") + " }"
	case reflect.Func:
		var in, out []string
		for i := range t.NumIn() {
			in = append(in, b.TypeName(t.In(i)))
		}
		for i := range t.NumOut() {
			out = append(out, b.TypeName(t.Out(i)))
		}
		s := "func(" + strings.Join(in, ", ") + ")"
		switch len(out) {
		case 0:
			return s
		case 1:
			return s + " " + out[0]
		}
		return s + " (" + strings.Join(out, ", ") + ")"
	}
	return t.String()
}
