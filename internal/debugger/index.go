package debugger

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"strconv"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var errBounds = errors.New("index out of bounds")

func (ev *evaluator) index(e *ast.IndexExpr) (*Value, error) {
	x, err := ev.eval(e.X)
	if err != nil {
		return nil, err
	}
	i, err := ev.eval(e.Index)
	if err != nil {
		return nil, err
	}
	noIndex := fmt.Errorf("expression %q (%s) does not support indexing", ev.text(e.X), x.typeOrKind())
	if x.null {
		return nil, noIndex
	}
	if x, err = x.throughPointer(); err != nil {
		return nil, err
	}
	switch x.Kind() {
	case dump.Slice, dump.Array, dump.String:
		if x.Kind() == dump.Slice && x.IsNil() {
			return nil, fmt.Errorf("can not index %q: it is nil", ev.text(e.X))
		}
		n, err := i.asInt()
		if err != nil {
			return nil, err
		}
		y, err := x.Index(n)
		if err != nil {
			return nil, err
		}
		if y.typ != nil && y.name == "" {
			y.name = ev.text(e)
		}
		return y, nil
	case dump.Map:
		y, err := x.lookup(i)
		if err != nil {
			return nil, err
		}
		y.name = ev.text(e)
		return y, nil
	}
	return nil, noIndex
}

// throughPointer returns what x points at if it is a pointer, else x, and an
// error if there is no value.
func (x *Value) throughPointer() (*Value, error) {
	if err := x.need(); err != nil {
		return nil, err
	}
	if x.Kind() != dump.Pointer {
		return x, nil
	}
	if x.IsNil() {
		return nil, errors.New("nil pointer dereference")
	}
	y := x.Target()
	if err := y.need(); err != nil {
		return nil, err
	}
	return y, nil
}

// asInt returns an integer value, for an index.
func (x *Value) asInt() (int64, error) {
	if err := x.need(); err != nil {
		return 0, err
	}
	switch {
	case x.con != nil:
		c := constant.ToInt(x.con)
		if n, ok := constant.Int64Val(c); ok && c.Kind() == constant.Int {
			return n, nil
		}
		return 0, fmt.Errorf("can not convert constant %s to int", Clean(x.con.String()))
	case isSigned(x.Kind()):
		return int64(x.v.Num), nil
	case isUnsigned(x.Kind()):
		if int64(x.v.Num) < 0 {
			return 0, errBounds
		}
		return int64(x.v.Num), nil
	}
	return 0, fmt.Errorf("can not convert value of type %s to int", x.typeOrKind())
}

// Index returns element i of an array, slice or string. An element that exists
// but was not captured is an error that says why.
func (x *Value) Index(i int64) (*Value, error) {
	if err := x.need(); err != nil {
		return nil, err
	}
	if i < 0 || i >= x.Len() {
		return nil, errBounds
	}
	name := ""
	if x.name != "" {
		name = fmt.Sprintf("%s[%d]", x.name, i)
	}
	if x.Kind() == dump.String {
		b, why := x.text()
		if i >= int64(len(b)) {
			return nil, &MissingError{Expr: Clean(name), Why: why}
		}
		y := x.s.computed(&dump.Type{Name: "uint8", Kind: dump.Uint8, Size: 1}, dump.Value{Num: uint64(b[i])}).from(x)
		y.name = name
		return y, nil
	}
	if k := x.Kind(); k != dump.Array && k != dump.Slice {
		return nil, fmt.Errorf("%s does not support indexing", x.typeOrKind())
	}
	e := x.elements()
	if i >= e.n {
		return nil, &MissingError{Expr: Clean(name), Why: e.why}
	}
	return e.at(i, name), nil
}

// text returns the bytes of a string that are there, and why there are no more.
func (x *Value) text() (s string, why string) {
	if x.con != nil {
		return constant.StringVal(x.con), ""
	}
	b := x.v.Bytes
	if n := x.Len(); int64(len(b)) > n {
		b = b[:n]
	}
	if why = x.Reason(); why == "" {
		why = "not captured"
	}
	return string(b), why
}

// lookup returns the value of a map under a key.
func (x *Value) lookup(key *Value) (*Value, error) {
	if err := key.need(); err != nil {
		return nil, err
	}
	if x.IsNil() || x.Len() == 0 {
		return nil, errors.New("key not found")
	}
	if kt := x.s.r.Type(x.typ.Key); kt != nil && kt.Kind != dump.Interface {
		if key.typ != nil && !sameType(key.typ, kt) && key.Kind() != dump.Interface {
			return nil, fmt.Errorf("can not convert value of type %s to %s", key.TypeName(), Clean(kt.Name))
		}
		k, err := key.as(kt)
		if err != nil {
			return nil, err
		}
		key = k
	}
	e := x.entries()
	var unknown error
	for i := range e.n {
		k, v := x.entry(&e, i)
		eq, err := equal(k, key, 0)
		if err != nil {
			var m *MissingError
			if !errors.As(err, &m) {
				return nil, err
			}
			unknown = err
			continue
		}
		if eq {
			return v, nil
		}
	}
	switch all := x.Len() - x.off; {
	case e.n == 0 && all > 0:
		return nil, &MissingError{Expr: x.Name(), Why: e.why}
	case e.n < all:
		return nil, fmt.Errorf("key not found among the %d of %d entries that were captured (%s)", e.n, all, e.why)
	case unknown != nil:
		return nil, fmt.Errorf("key not found, but not every key is known: %w", unknown)
	}
	return nil, errors.New("key not found")
}

func (ev *evaluator) slice(e *ast.SliceExpr) (*Value, error) {
	if e.Slice3 {
		return nil, errors.New("3-index slice expressions not supported")
	}
	x, err := ev.eval(e.X)
	if err != nil {
		return nil, err
	}
	bad := fmt.Errorf("can not slice %q (type %s)", ev.text(e.X), x.typeOrKind())
	if x.null {
		return nil, bad
	}
	if x.Kind() == dump.Pointer {
		if x, err = x.throughPointer(); err != nil {
			return nil, err
		}
		if x.Kind() != dump.Array {
			return nil, bad
		}
	}
	if err := x.need(); err != nil {
		return nil, err
	}
	var low int64
	if e.Low != nil {
		if low, err = ev.bound(e.Low); err != nil {
			return nil, err
		}
	}
	high := x.Len()
	if e.High != nil {
		if x.Kind() == dump.Map {
			return nil, errors.New("second slice argument must be empty for maps")
		}
		if high, err = ev.bound(e.High); err != nil {
			return nil, err
		}
	}
	limit := x.Len()
	switch x.Kind() {
	case dump.Map:
		if low < 0 || low >= x.Len()-x.off {
			return nil, errors.New("map index out of bounds")
		}
		y := *x
		y.off += low
		return &y, nil
	case dump.Slice:
		if limit = x.Cap(); x.v != nil && x.v.Cap < 0 {
			limit = x.Len() // how much more there is is not known
		}
		if x.IsNil() && (low != 0 || high != 0) {
			return nil, fmt.Errorf("can not slice %q: it is nil", ev.text(e.X))
		}
	case dump.Array, dump.String:
	default:
		return nil, bad
	}
	if low < 0 || high < low || high > limit {
		return nil, errBounds
	}
	return x.cutOut(low, high, ev.text(e))
}

func (ev *evaluator) bound(e ast.Expr) (int64, error) {
	x, err := ev.eval(e)
	if err != nil {
		return 0, err
	}
	return x.asInt()
}

// cutOut returns x[low:high], whose bounds were checked.
func (x *Value) cutOut(low, high int64, name string) (*Value, error) {
	if x.Kind() == dump.String {
		s, why := x.text()
		if high > int64(len(s)) {
			if low >= int64(len(s)) && low < high {
				return nil, &MissingError{Expr: name, Why: why}
			}
			// The part that is there, and that it is a part.
			v := dump.Value{Bytes: []byte(s[min(low, int64(len(s))):]), Len: high - low, Reason: x.v.Reason, Detail: x.v.Detail}
			return x.s.computed(x.typ, v).from(x), nil
		}
		if x.con != nil {
			return x.s.constantValue(constant.MakeString(s[low:high])), nil
		}
		return x.s.computed(x.typ, dump.Value{Bytes: []byte(s[low:high]), Len: high - low}).from(x), nil
	}
	elem := x.s.r.Type(x.typ.Elem)
	if elem == nil {
		return nil, &MissingError{Expr: x.Name(), Why: "unreadable: its elements are of unknown type"}
	}
	y := *x
	y.name, y.addr, y.off = name, 0, x.off+low
	if x.Kind() == dump.Array {
		y.arr = x
		y.typ = &dump.Type{Name: "[]" + elem.Name, Kind: dump.Slice, Size: 24, Elem: x.typ.Elem}
		y.v = &dump.Value{Ptr: x.addr, Len: x.typ.Len, Cap: x.typ.Len}
	}
	v := *y.v
	if v.Ptr != 0 {
		v.Ptr += uint64(low) * elem.Size
	}
	v.Cap -= low
	v.Len = high - low
	y.v = &v
	return &y, nil
}

// mapKeyText returns a string key as it is written in an expression, "" for
// keys of other types.
func mapKeyText(k *Value) string {
	if k.why != "" || k.Kind() != dump.String || k.need() != nil {
		return ""
	}
	s, _ := k.text()
	if int64(len(s)) != k.Len() {
		return ""
	}
	return strconv.Quote(s)
}
