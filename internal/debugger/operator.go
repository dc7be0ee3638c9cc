package debugger

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"math"
	"math/big"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Bounds of what an expression may compute; a dump is data, and evaluating it
// must not take the machine's memory.
const (
	maxConstantBits = 4096
	maxShift        = 512
	maxText         = 16 << 20 // bytes of a concatenated string
)

func checkConstant(c constant.Value) error {
	tooLarge := errors.New("constant is too large")
	switch c.Kind() {
	case constant.Int:
		if constant.BitLen(c) > maxConstantBits {
			return tooLarge
		}
	case constant.Float:
		switch v := constant.Val(c).(type) {
		case *big.Rat:
			if v.Num().BitLen() > maxConstantBits || v.Denom().BitLen() > maxConstantBits {
				return tooLarge
			}
		case *big.Float:
			if e := v.MantExp(nil); e > 1<<16 || e < -1<<16 {
				return tooLarge
			}
		}
	case constant.Complex:
		if err := checkConstant(constant.Real(c)); err != nil {
			return err
		}
		return checkConstant(constant.Imag(c))
	case constant.Unknown:
		return errors.New("constant can not be represented")
	}
	return nil
}

func isSigned(k dump.Kind) bool   { return k >= dump.Int && k <= dump.Int64 }
func isUnsigned(k dump.Kind) bool { return k >= dump.Uint && k <= dump.Uintptr }
func isInteger(k dump.Kind) bool  { return isSigned(k) || isUnsigned(k) }
func isFloat(k dump.Kind) bool    { return k == dump.Float32 || k == dump.Float64 }
func isComplex(k dump.Kind) bool  { return k == dump.Complex64 || k == dump.Complex128 }

// intBits returns the size of an integer type in bits.
func intBits(t *dump.Type) int {
	switch t.Kind {
	case dump.Int8, dump.Uint8:
		return 8
	case dump.Int16, dump.Uint16:
		return 16
	case dump.Int32, dump.Uint32:
		return 32
	case dump.Int, dump.Uint, dump.Uintptr:
		if t.Size == 4 {
			return 32
		}
	}
	return 64
}

// wrap cuts n to the size of an integer type, as Go's arithmetic does.
func wrap(t *dump.Type, n uint64) uint64 {
	shift := 64 - intBits(t)
	if isSigned(t.Kind) {
		return uint64(int64(n<<shift) >> shift)
	}
	return n << shift >> shift
}

// as converts an untyped constant to type t, as an operation with a value of
// that type does. A typed value must have the type already.
func (x *Value) as(t *dump.Type) (*Value, error) {
	if x.null {
		switch t.Kind {
		case dump.Pointer, dump.UnsafePointer, dump.Slice, dump.Map, dump.Chan, dump.Func, dump.Interface:
			return x, nil
		}
		return nil, fmt.Errorf("can not compare %s to nil", kindName(t.Kind))
	}
	if x.con == nil {
		if !sameType(x.typ, t) {
			return nil, fmt.Errorf("mismatched types %q and %q", Clean(t.Name), x.TypeName())
		}
		return x, nil
	}
	fail := fmt.Errorf("can not convert %s constant to %s", Clean(x.con.String()), Clean(t.Name))
	v := dump.Value{}
	switch {
	case t.Kind == dump.Bool && x.con.Kind() == constant.Bool:
		if constant.BoolVal(x.con) {
			v.Num = 1
		}
	case t.Kind == dump.String && x.con.Kind() == constant.String:
		v.Bytes = []byte(constant.StringVal(x.con))
		v.Len = int64(len(v.Bytes))
	case isInteger(t.Kind):
		c := constant.ToInt(x.con)
		if c.Kind() != constant.Int {
			return nil, fail
		}
		if isSigned(t.Kind) {
			n, ok := constant.Int64Val(c)
			if !ok || wrap(t, uint64(n)) != uint64(n) {
				return nil, fail
			}
			v.Num = uint64(n)
		} else {
			n, ok := constant.Uint64Val(c)
			if !ok || wrap(t, n) != n {
				return nil, fail
			}
			v.Num = n
		}
	case isFloat(t.Kind):
		c := constant.ToFloat(x.con)
		if c.Kind() != constant.Float {
			return nil, fail
		}
		f := roundFloat(t, c)
		if math.IsInf(f, 0) {
			return nil, fail
		}
		v.Num = math.Float64bits(f)
	case isComplex(t.Kind):
		c := constant.ToComplex(x.con)
		if c.Kind() != constant.Complex {
			return nil, fail
		}
		v.Num = math.Float64bits(roundFloat(t, constant.Real(c)))
		v.Num2 = math.Float64bits(roundFloat(t, constant.Imag(c)))
	default:
		return nil, fail
	}
	return x.s.computed(t, v).from(x), nil
}

func roundFloat(t *dump.Type, c constant.Value) float64 {
	if t.Kind == dump.Float32 || t.Kind == dump.Complex64 {
		f, _ := constant.Float32Val(c)
		return float64(f)
	}
	f, _ := constant.Float64Val(c)
	return f
}

func (ev *evaluator) unary(e *ast.UnaryExpr) (*Value, error) {
	if e.Op == token.AND {
		return ev.address(e)
	}
	if id, ok := e.X.(*ast.Ident); ok && e.Op == token.TILDE { // the compiler's name of a result: ~r0
		return ev.ident(&ast.Ident{Name: "~" + id.Name})
	}
	x, err := ev.eval(e.X)
	if err != nil {
		return nil, err
	}
	if err := x.need(); err != nil {
		return nil, err
	}
	bad := fmt.Errorf("operator %s can not be applied to %q", e.Op, ev.text(e.X))
	if x.con != nil {
		k := x.con.Kind()
		switch {
		case e.Op == token.NOT && k == constant.Bool, e.Op == token.XOR && k == constant.Int,
			(e.Op == token.ADD || e.Op == token.SUB) && k != constant.Bool && k != constant.String:
			y := &Value{s: ev.s, con: constant.UnaryOp(e.Op, x.con, 0)}
			return y.from(x), nil
		}
		return nil, bad
	}
	if x.null {
		return nil, bad
	}
	v := dump.Value{}
	switch k := x.Kind(); {
	case e.Op == token.NOT && k == dump.Bool:
		v.Num = 1
		if x.v.Num != 0 {
			v.Num = 0
		}
	case e.Op == token.ADD && (isInteger(k) || isFloat(k) || isComplex(k)):
		v.Num, v.Num2 = x.v.Num, x.v.Num2
	case e.Op == token.SUB && isInteger(k):
		v.Num = wrap(x.typ, -x.v.Num)
	case e.Op == token.XOR && isInteger(k):
		v.Num = wrap(x.typ, ^x.v.Num)
	case e.Op == token.SUB && (isFloat(k) || isComplex(k)):
		const sign = 1 << 63
		v.Num = x.v.Num ^ sign
		if isComplex(k) {
			v.Num2 = x.v.Num2 ^ sign
		}
	default:
		return nil, bad
	}
	return ev.s.computed(x.typ, v).from(x), nil
}

func (ev *evaluator) binary(e *ast.BinaryExpr) (*Value, error) {
	x, err := ev.eval(e.X)
	if err != nil {
		return nil, err
	}
	if e.Op == token.LAND || e.Op == token.LOR {
		return ev.logic(e, x)
	}
	y, err := ev.eval(e.Y)
	if err != nil {
		return nil, err
	}
	switch e.Op {
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
		res, err := ev.compare(e, x, y)
		if err != nil {
			return nil, err
		}
		return (&Value{s: ev.s, con: constant.MakeBool(res)}).from(x, y), nil
	}
	if x.null || y.null {
		return nil, fmt.Errorf("operator %s can not be applied to \"nil\"", e.Op)
	}
	for _, v := range []*Value{x, y} {
		if err := v.need(); err != nil {
			return nil, err
		}
	}
	if e.Op == token.SHL || e.Op == token.SHR {
		return ev.shift(e, x, y)
	}
	if x.con != nil && y.con != nil {
		c, err := constantOp(e.Op, x.con, y.con)
		if err != nil {
			return nil, err
		}
		return (&Value{s: ev.s, con: c}).from(x, y), nil
	}
	if x, y, err = match(x, y); err != nil {
		return nil, err
	}
	v, err := ev.arithmetic(e, x, y)
	if err != nil {
		return nil, err
	}
	return ev.s.computed(x.typ, v).from(x, y), nil
}

// match gives two operands one type.
func match(x, y *Value) (*Value, *Value, error) {
	var err error
	switch {
	case x.typ == nil && y.typ != nil:
		x, err = x.as(y.typ)
	case x.typ != nil:
		y, err = y.as(x.typ)
	}
	return x, y, err
}

func (ev *evaluator) logic(e *ast.BinaryExpr, x *Value) (*Value, error) {
	truth := func(v *Value, part ast.Expr) (bool, error) {
		if err := v.need(); err != nil {
			return false, err
		}
		switch {
		case v.con != nil && v.con.Kind() == constant.Bool:
			return constant.BoolVal(v.con), nil
		case v.Kind() == dump.Bool && v.v != nil:
			return v.v.Num != 0, nil
		}
		return false, fmt.Errorf("expression %q should be boolean not %s", ev.text(part), kindName(v.Kind()))
	}
	a, err := truth(x, e.X)
	if err != nil {
		return nil, err
	}
	if a == (e.Op == token.LOR) {
		return (&Value{s: ev.s, con: constant.MakeBool(a)}).from(x), nil
	}
	y, err := ev.eval(e.Y)
	if err != nil {
		return nil, err
	}
	b, err := truth(y, e.Y)
	if err != nil {
		return nil, err
	}
	return (&Value{s: ev.s, con: constant.MakeBool(b)}).from(x, y), nil
}

var errDivision = errors.New("division by zero")

func constantOp(op token.Token, x, y constant.Value) (constant.Value, error) {
	bad := fmt.Errorf("operator %s can not be applied to %s and %s", op, Clean(x.String()), Clean(y.String()))
	str := x.Kind() == constant.String
	if str != (y.Kind() == constant.String) || x.Kind() == constant.Bool || y.Kind() == constant.Bool || str && op != token.ADD {
		return nil, bad
	}
	ints := x.Kind() == constant.Int && y.Kind() == constant.Int
	switch op {
	case token.ADD, token.SUB, token.MUL:
	case token.QUO:
		if constant.Sign(y) == 0 {
			return nil, errDivision
		}
		if ints {
			op = token.QUO_ASSIGN // how go/constant spells integer division
		}
	case token.REM:
		if !ints {
			return nil, bad
		}
		if constant.Sign(y) == 0 {
			return nil, errDivision
		}
	case token.AND, token.OR, token.XOR, token.AND_NOT:
		if !ints {
			return nil, bad
		}
	default:
		return nil, fmt.Errorf("operator %s not supported", op)
	}
	c := constant.BinaryOp(x, op, y)
	return c, checkConstant(c)
}

func (ev *evaluator) shift(e *ast.BinaryExpr, x, y *Value) (*Value, error) {
	if k := x.Kind(); !isInteger(k) || x.con != nil && constant.ToInt(x.con).Kind() != constant.Int {
		return nil, fmt.Errorf("shift of type %s", kindName(k))
	}
	if k := y.Kind(); !isInteger(k) && (y.con == nil || constant.ToInt(y.con).Kind() != constant.Int) {
		return nil, fmt.Errorf("shift count type %s, must be unsigned integer", kindName(k))
	}
	n := uint64(math.MaxUint64)
	if y.con != nil {
		if constant.Sign(y.con) < 0 {
			return nil, errors.New("shift count must not be negative")
		}
		if u, ok := constant.Uint64Val(constant.ToInt(y.con)); ok {
			n = u
		}
	} else {
		n = y.v.Num
		if isSigned(y.Kind()) && int64(n) < 0 {
			return nil, errors.New("shift count must not be negative")
		}
	}
	if x.con != nil {
		if n > maxShift {
			return nil, fmt.Errorf("shift count %d is too large", n)
		}
		c := constant.Shift(constant.ToInt(x.con), e.Op, uint(n))
		if err := checkConstant(c); err != nil {
			return nil, err
		}
		return (&Value{s: ev.s, con: c}).from(x, y), nil
	}
	v := dump.Value{}
	switch {
	case e.Op == token.SHL:
		v.Num = wrap(x.typ, x.v.Num<<min(n, 64))
	case isSigned(x.Kind()):
		v.Num = uint64(int64(x.v.Num) >> min(n, 63))
	default:
		v.Num = x.v.Num >> min(n, 64)
	}
	return ev.s.computed(x.typ, v).from(x, y), nil
}

// arithmetic applies an operator to two values of one type, with the type's
// size and rounding.
func (ev *evaluator) arithmetic(e *ast.BinaryExpr, x, y *Value) (dump.Value, error) {
	bad := fmt.Errorf("operator %s can not be applied to %q", e.Op, ev.text(e.X))
	v := dump.Value{}
	switch k := x.Kind(); {
	case isInteger(k):
		n, err := integerOp(e.Op, isSigned(k), x.v.Num, y.v.Num)
		if err != nil {
			return v, err
		}
		v.Num = wrap(x.typ, n)
	case isFloat(k):
		a, b := math.Float64frombits(x.v.Num), math.Float64frombits(y.v.Num)
		var f float64
		switch e.Op {
		case token.ADD:
			f = a + b
		case token.SUB:
			f = a - b
		case token.MUL:
			f = a * b
		case token.QUO:
			f = a / b
		default:
			return v, bad
		}
		if k == dump.Float32 {
			f = float64(float32(f))
		}
		v.Num = math.Float64bits(f)
	case isComplex(k):
		a := complex(math.Float64frombits(x.v.Num), math.Float64frombits(x.v.Num2))
		b := complex(math.Float64frombits(y.v.Num), math.Float64frombits(y.v.Num2))
		var c complex128
		switch e.Op {
		case token.ADD:
			c = a + b
		case token.SUB:
			c = a - b
		case token.MUL:
			c = a * b
		case token.QUO:
			c = a / b
		default:
			return v, bad
		}
		if k == dump.Complex64 {
			c = complex128(complex64(c))
		}
		v.Num, v.Num2 = math.Float64bits(real(c)), math.Float64bits(imag(c))
	case k == dump.String && e.Op == token.ADD:
		a, why := x.text()
		if int64(len(a)) != x.Len() {
			return v, &MissingError{Expr: ev.text(e.X), Why: why}
		}
		b, why := y.text()
		if int64(len(b)) != y.Len() {
			return v, &MissingError{Expr: ev.text(e.Y), Why: why}
		}
		if len(a)+len(b) > maxText {
			return v, errors.New("string is too long")
		}
		v.Bytes = []byte(a + b)
		v.Len = int64(len(v.Bytes))
	default:
		return v, bad
	}
	return v, nil
}

func integerOp(op token.Token, signed bool, a, b uint64) (uint64, error) {
	switch op {
	case token.ADD:
		return a + b, nil
	case token.SUB:
		return a - b, nil
	case token.MUL:
		return a * b, nil
	case token.AND:
		return a & b, nil
	case token.OR:
		return a | b, nil
	case token.XOR:
		return a ^ b, nil
	case token.AND_NOT:
		return a &^ b, nil
	case token.QUO, token.REM:
		if b == 0 {
			return 0, errDivision
		}
		if !signed {
			if op == token.QUO {
				return a / b, nil
			}
			return a % b, nil
		}
		if op == token.QUO {
			return uint64(int64(a) / int64(b)), nil
		}
		return uint64(int64(a) % int64(b)), nil
	}
	return 0, fmt.Errorf("operator %s not supported", op)
}
