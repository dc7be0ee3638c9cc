package dump

import (
	"encoding/binary"
	"math"
)

// elemSize is the size in bytes of a value of type t if t is of a kind whose
// arrays are kept raw, else 0.
func elemSize(t *Type) int {
	if t == nil {
		return 0
	}
	switch t.Kind {
	case Bool, Int8, Uint8:
		return 1
	case Int16, Uint16:
		return 2
	case Int32, Uint32, Float32:
		return 4
	case Int64, Uint64, Float64, Complex64:
		return 8
	case Complex128:
		return 16
	case Int, Uint, Uintptr:
		if t.Size == 4 {
			return 4
		}
		return 8
	}
	return 0
}

// NumElems returns how many elements v holds: what is in Elems, or in Raw. elem is
// the element type if v is an array; it may be nil if v is anything else. It may be
// less than Len, and Reason then says why.
//
// [Reader.NumElems] finds elem by itself.
func (v *Value) NumElems(elem *Type) int {
	if size := elemSize(elem); size > 0 && len(v.Raw) > 0 {
		return len(v.Raw) / size
	}
	return len(v.Elems)
}

// Elem returns element i of v, which must be at least 0 and below
// v.NumElems(elem). Elements out of Raw have the address that follows from that
// of v.
//
// [Reader.Elem] finds elem by itself.
func (v *Value) Elem(elem *Type, i int) Value {
	size := elemSize(elem)
	if size == 0 || len(v.Raw) == 0 {
		return v.Elems[i]
	}
	b := v.Raw[i*size : (i+1)*size]
	e := Value{Type: elem.ID}
	if v.Addr != 0 {
		e.Addr = v.Addr + uint64(i*size)
	}
	e.Num, e.Num2 = decodeRaw(elem.Kind, b)
	return e
}

// decodeRaw reads a basic value as it lies in little-endian memory, into what
// Value.Num and Value.Num2 are for its kind.
func decodeRaw(kind Kind, b []byte) (num, num2 uint64) {
	le := binary.LittleEndian
	float32At := func(b []byte) uint64 {
		return math.Float64bits(float64(math.Float32frombits(le.Uint32(b))))
	}
	switch kind {
	case Float32:
		return float32At(b), 0
	case Complex64:
		return float32At(b), float32At(b[4:])
	case Complex128:
		return le.Uint64(b), le.Uint64(b[8:])
	}
	switch len(b) {
	case 1:
		num = uint64(b[0])
	case 2:
		num = uint64(le.Uint16(b))
	case 4:
		num = uint64(le.Uint32(b))
	default:
		num = le.Uint64(b)
	}
	switch kind {
	case Int, Int8, Int16, Int32, Int64:
		unused := 64 - 8*len(b)
		num = uint64(int64(num<<unused) >> unused)
	}
	return num, 0
}

// elemType returns the element type of v if v is of an array type, else nil.
func (r *Reader) elemType(v *Value) *Type {
	if len(v.Raw) == 0 {
		return nil // all is in Elems
	}
	t := r.Type(v.Type)
	if t == nil || t.Kind != Array {
		return nil
	}
	return r.Type(t.Elem)
}

// NumElems returns how many elements v holds, of whichever kind it is: elements of
// an array, fields of a struct, keys and values of a map's object, and so on.
func (r *Reader) NumElems(v *Value) int { return v.NumElems(r.elemType(v)) }

// Elem returns element i of v, from 0 to below [Reader.NumElems].
func (r *Reader) Elem(v *Value, i int) Value { return v.Elem(r.elemType(v), i) }

// Resolve returns the value that v stands for. For nearly all values that is v
// itself. The dynamic value of an interface that is not pointer-shaped lies in an
// object of its own; for that it is the object's value.
//
// If that object cannot be read, the error is that of [Reader.Object].
func (r *Reader) Resolve(v *Value) (*Value, error) {
	if v.Obj == 0 {
		return v, nil
	}
	t := r.Type(v.Type)
	if t == nil {
		return v, nil
	}
	switch t.Kind {
	case Pointer, UnsafePointer, Map, Chan, Func, Interface, Invalid:
		return v, nil
	case Slice:
		if v.Ptr != 0 { // a slice in place: Obj is its elements
			return v, nil
		}
	}
	o, err := r.Object(v.Obj)
	if err != nil {
		return nil, err
	}
	return &o.Value, nil
}
