package debugger

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"math"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// compare applies a comparison operator by the rules of the language, and says
// so when the answer hangs on something that the dump has not got.
func (ev *evaluator) compare(e *ast.BinaryExpr, x, y *Value) (bool, error) {
	eq := e.Op == token.EQL || e.Op == token.NEQ
	if x.null || y.null {
		other, text := x, ev.text(e.X)
		if x.null {
			other, text = y, ev.text(e.Y)
		}
		if !eq || other.null {
			return false, fmt.Errorf("operator %s can not be applied to \"nil\"", e.Op)
		}
		if other.why != "" {
			return false, &MissingError{Expr: text, Why: other.why}
		}
		switch other.Kind() {
		case dump.Pointer, dump.UnsafePointer, dump.Slice, dump.Map, dump.Chan, dump.Func, dump.Interface:
			return other.IsNil() == (e.Op == token.EQL), nil
		}
		return false, fmt.Errorf("can not compare %s to nil", kindName(other.Kind()))
	}
	if !eq {
		return ev.order(e, x, y)
	}
	for _, v := range []*Value{x, y} {
		if err := v.need(); err != nil {
			return false, err
		}
	}
	var res bool
	var err error
	xi, yi := x.Kind() == dump.Interface && x.typ != nil, y.Kind() == dump.Interface && y.typ != nil
	switch {
	case x.con != nil && y.con != nil:
		if !comparable2(x.con, y.con) {
			return false, fmt.Errorf("can not compare %s to %s", kindName(x.Kind()), kindName(y.Kind()))
		}
		res = constant.Compare(x.con, token.EQL, y.con)
	case xi != yi:
		// An interface and a value that may lie in it.
		if xi {
			x, y = y, x
		}
		res, err = equalDynamic(y, x, 0)
	case xi && yi:
		res, err = equal(x, y, 0)
	default:
		if x, y, err = match(x, y); err != nil {
			return false, err
		}
		switch k := x.Kind(); k {
		case dump.Slice, dump.Map, dump.Func:
			return false, fmt.Errorf("can not compare %s variables", kindName(k))
		}
		res, err = equal(x, y, 0)
	}
	if err != nil {
		return false, err
	}
	return res == (e.Op == token.EQL), nil
}

// comparable2 reports whether two constants can be compared.
func comparable2(x, y constant.Value) bool {
	class := func(k constant.Kind) int {
		switch k {
		case constant.Bool:
			return 0
		case constant.String:
			return 1
		}
		return 2
	}
	return class(x.Kind()) == class(y.Kind())
}

// order applies <, <=, > or >=.
func (ev *evaluator) order(e *ast.BinaryExpr, x, y *Value) (bool, error) {
	for _, v := range []*Value{x, y} {
		if err := v.need(); err != nil {
			return false, err
		}
	}
	undefined := func(k dump.Kind) error { return fmt.Errorf("operator %s not defined on %s", e.Op, kindName(k)) }
	if x.con != nil && y.con != nil {
		if !comparable2(x.con, y.con) || x.con.Kind() == constant.Bool || x.con.Kind() == constant.Complex || y.con.Kind() == constant.Complex {
			return false, undefined(x.Kind())
		}
		return constant.Compare(x.con, e.Op, y.con), nil
	}
	x, y, err := match(x, y)
	if err != nil {
		return false, err
	}
	c := 0
	switch k := x.Kind(); {
	case isSigned(k):
		c = cmp(int64(x.v.Num), int64(y.v.Num))
	case isUnsigned(k):
		c = cmp(x.v.Num, y.v.Num)
	case isFloat(k):
		a, b := math.Float64frombits(x.v.Num), math.Float64frombits(y.v.Num)
		if math.IsNaN(a) || math.IsNaN(b) {
			return false, nil
		}
		c = cmp(a, b)
	case k == dump.String:
		if c, err = orderStrings(x, y); err != nil {
			return false, err
		}
	default:
		return false, undefined(k)
	}
	switch e.Op {
	case token.LSS:
		return c < 0, nil
	case token.LEQ:
		return c <= 0, nil
	case token.GTR:
		return c > 0, nil
	default:
		return c >= 0, nil
	}
}

func cmp[T int64 | uint64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// orderStrings compares two strings of which only the beginnings may be there.
func orderStrings(x, y *Value) (int, error) {
	a, whyA := x.text()
	b, whyB := y.text()
	n := min(len(a), len(b))
	if c := bytes.Compare([]byte(a[:n]), []byte(b[:n])); c != 0 {
		return c, nil
	}
	if len(a) == n && int64(n) < x.Len() {
		return 0, &MissingError{Expr: x.label(), Why: whyA}
	}
	if len(b) == n && int64(n) < y.Len() {
		return 0, &MissingError{Expr: y.label(), Why: whyB}
	}
	return cmp(int64(len(a)), int64(len(b))), nil
}

// maxCompare is how deep values are compared; deeper ones are no Go values.
const maxCompare = 100

// equal reports whether two values of one type are equal. Where a part is
// missing the answer is still false if other parts differ, else an error.
func equal(x, y *Value, depth int) (bool, error) {
	if depth > maxCompare {
		return false, errors.New("nested too deeply for comparison")
	}
	for _, v := range []*Value{x, y} {
		if err := v.need(); err != nil {
			return false, err
		}
	}
	if !(x.Kind() == dump.Interface || y.Kind() == dump.Interface) && (x.con != nil || y.con != nil || x.null || y.null) {
		var err error
		if x, y, err = match(x, y); err != nil {
			return false, err
		}
		if x.null || y.null {
			return x.IsNil() && y.IsNil(), nil
		}
		if x.con != nil && y.con != nil {
			return comparable2(x.con, y.con) && constant.Compare(x.con, token.EQL, y.con), nil
		}
	}
	if xi, yi := x.Kind() == dump.Interface, y.Kind() == dump.Interface; xi != yi {
		if yi {
			x, y = y, x
		}
		return equalDynamic(x, y, depth)
	}
	if x.Kind() != y.Kind() {
		return false, nil
	}
	switch k := x.Kind(); k {
	case dump.Bool:
		return (x.v.Num != 0) == (y.v.Num != 0), nil
	case dump.Float32, dump.Float64:
		return math.Float64frombits(x.v.Num) == math.Float64frombits(y.v.Num), nil
	case dump.Complex64, dump.Complex128:
		return math.Float64frombits(x.v.Num) == math.Float64frombits(y.v.Num) &&
			math.Float64frombits(x.v.Num2) == math.Float64frombits(y.v.Num2), nil
	case dump.String:
		if x.Len() != y.Len() {
			return false, nil
		}
		c, err := orderStrings(x, y)
		return c == 0, err
	case dump.Pointer, dump.UnsafePointer, dump.Chan:
		return x.v.Ptr == y.v.Ptr, nil
	case dump.Interface:
		if x.IsNil() || y.IsNil() {
			return x.IsNil() && y.IsNil(), nil
		}
		return equalDynamic(x, y.Dynamic(), depth+1)
	case dump.Struct:
		if len(x.typ.Fields) != len(y.typ.Fields) {
			return false, nil
		}
		return equalParts(len(x.typ.Fields), func(i int) (bool, error) {
			if x.typ.Fields[i].Name == "_" {
				return true, nil
			}
			return equal(x.Field(i), y.Field(i), depth+1)
		})
	case dump.Array:
		if x.Len() != y.Len() {
			return false, nil
		}
		ex, ey := x.elements(), y.elements()
		n := min(ex.n, ey.n)
		eq, err := equalParts(int(n), func(i int) (bool, error) {
			return equal(ex.at(int64(i), ""), ey.at(int64(i), ""), depth+1)
		})
		if eq && err == nil && n < x.Len() {
			return false, &MissingError{Expr: x.label(), Why: "array too long for comparison: " + ex.why}
		}
		return eq, err
	default:
		if isInteger(k) {
			return x.v.Num == y.v.Num, nil
		}
		return false, fmt.Errorf("can not compare %s variables", kindName(k))
	}
}

// equalParts compares part by part; a part that differs settles it, whatever
// parts are missing.
func equalParts(n int, part func(i int) (bool, error)) (bool, error) {
	var unknown error
	for i := range n {
		eq, err := part(i)
		var m *MissingError
		switch {
		case errors.As(err, &m):
			unknown = err
		case err != nil:
			return false, err
		case !eq:
			return false, nil
		}
	}
	return unknown == nil, unknown
}

// equalDynamic compares what is in interface i with a value that is not an
// interface.
func equalDynamic(i, y *Value, depth int) (bool, error) {
	if i.IsNil() {
		return y.null, nil
	}
	d := i.Dynamic()
	if d.typ == nil {
		return false, &MissingError{Expr: i.label(), Why: d.why}
	}
	if y.con != nil {
		// A constant in an interface has its default type.
		want := kindName(y.Kind())
		if d.typ.Name != want && !(y.con.Kind() == constant.Int && d.typ.Name == "int32") {
			return false, nil
		}
		z, err := y.as(d.typ)
		if err != nil {
			return false, nil
		}
		y = z
	}
	if y.typ == nil || !sameType(d.typ, y.typ) {
		return false, nil
	}
	return equal(d, y, depth+1)
}
