package debugger

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/scanner"
	"go/token"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// maxExpr is the length in bytes that an expression may have.
const maxExpr = 16 << 10

var errNoCalls = errors.New("function calls not allowed: a dump has no process that could run them")

// Eval evaluates a Go expression in the scope. Names are those of the frame's
// variables, then of the goroutine's values ("panic", "error", what was
// watched). A value that is missing is not an error, and says why when it is
// printed; an expression that needs it is ([MissingError]).
func (sc Scope) Eval(expr string) (*Value, error) {
	if sc.s == nil {
		return nil, errNoGoroutine
	}
	e, err := parse(expr)
	if err != nil {
		return nil, err
	}
	ev := evaluator{Scope: sc, src: expr}
	return ev.eval(e)
}

func parse(expr string) (ast.Expr, error) {
	if strings.TrimSpace(expr) == "" {
		return nil, errors.New("empty expression")
	}
	if len(expr) > maxExpr {
		return nil, fmt.Errorf("expression of %d bytes is too long", len(expr))
	}
	e, err := parser.ParseExpr(expr)
	if err != nil {
		var list scanner.ErrorList
		if errors.As(err, &list) && len(list) > 0 {
			return nil, fmt.Errorf("syntax error at column %d: %s", list[0].Pos.Column, Clean(list[0].Msg))
		}
		return nil, err
	}
	return e, nil
}

type evaluator struct {
	Scope
	src string
}

// text returns what the user wrote for a part of the expression.
func (ev *evaluator) text(e ast.Expr) string {
	from, to := int(e.Pos())-1, int(e.End())-1
	if from < 0 || to > len(ev.src) || from >= to {
		return "expression"
	}
	return Clean(ev.src[from:to])
}

func (ev *evaluator) eval(e ast.Expr) (*Value, error) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return ev.eval(e.X)
	case *ast.Ident:
		return ev.ident(e)
	case *ast.BasicLit:
		return ev.literal(e)
	case *ast.SelectorExpr:
		return ev.selector(e)
	case *ast.StarExpr:
		return ev.star(e)
	case *ast.UnaryExpr:
		return ev.unary(e)
	case *ast.BinaryExpr:
		return ev.binary(e)
	case *ast.IndexExpr:
		return ev.index(e)
	case *ast.SliceExpr:
		return ev.slice(e)
	case *ast.TypeAssertExpr:
		return ev.assert(e)
	case *ast.CallExpr:
		return ev.call(e)
	case *ast.CompositeLit:
		return nil, errors.New("composite literals are not supported")
	case *ast.FuncLit:
		return nil, errNoCalls
	}
	if name, ok := typeExpr(e, ev.pkg()); ok {
		return nil, fmt.Errorf("%s is a type, not an expression", Clean(name))
	}
	return nil, fmt.Errorf("expression %T not implemented", e)
}

func (ev *evaluator) ident(e *ast.Ident) (*Value, error) {
	if x, ok := ev.Lookup(e.Name); ok {
		return x, nil
	}
	if x := ev.ownPackageVar(e.Name); x != nil {
		return x, nil
	}
	switch e.Name {
	case "true", "false":
		return ev.s.constantValue(constant.MakeBool(e.Name == "true")), nil
	case "nil":
		return &Value{s: ev.s, name: "nil", null: true}, nil
	}
	return nil, fmt.Errorf("could not find symbol value for %s", Clean(e.Name))
}

func (ev *evaluator) literal(e *ast.BasicLit) (*Value, error) {
	if !reasonable(e) {
		return nil, errors.New("constant is too large")
	}
	c := constant.MakeFromLiteral(e.Value, e.Kind, 0)
	if c.Kind() == constant.Unknown {
		return nil, fmt.Errorf("malformed constant %s", Clean(e.Value))
	}
	if err := checkConstant(c); err != nil {
		return nil, err
	}
	return ev.s.constantValue(c), nil
}

// reasonable reports whether a number is short enough to be computed with; the
// time that go/constant needs grows with the exponent.
func reasonable(e *ast.BasicLit) bool {
	const (
		maxDigits   = 1200
		maxExponent = 5000
	)
	if e.Kind == token.STRING || e.Kind == token.CHAR {
		return true
	}
	marks := "eE"
	if strings.HasPrefix(e.Value, "0x") || strings.HasPrefix(e.Value, "0X") {
		marks = "pP"
	}
	if i := strings.IndexAny(e.Value, marks); i >= 0 {
		exp := strings.TrimRight(strings.ReplaceAll(e.Value[i+1:], "_", ""), "i")
		if n, err := strconv.Atoi(exp); err != nil || n > maxExponent || n < -maxExponent {
			return false
		}
	}
	return len(e.Value) <= maxDigits
}

func (ev *evaluator) selector(e *ast.SelectorExpr) (*Value, error) {
	if x, err := ev.qualified(e); x != nil || err != nil {
		return x, err
	}
	x, err := ev.eval(e.X)
	if err != nil {
		return nil, err
	}
	return x.Member(e.Sel.Name)
}

// qualified returns the package variable that a selector means (pkg.Var, "full/path".Var),
// nil if it means something else.
func (ev *evaluator) qualified(e *ast.SelectorExpr) (*Value, error) {
	pkg := ""
	switch x := e.X.(type) {
	case *ast.Ident:
		if _, ok := ev.Lookup(x.Name); ok || ev.ownPackageVar(x.Name) != nil {
			return nil, nil
		}
		pkg = x.Name
	case *ast.BasicLit:
		if x.Kind != token.STRING {
			return nil, nil
		}
		path, err := strconv.Unquote(x.Value)
		if err != nil {
			return nil, nil
		}
		pkg = path
	default:
		return nil, nil
	}
	v, err := ev.s.findPackageVar(pkg, e.Sel.Name)
	if v == nil && err == nil && ev.s.hasPackage(pkg) {
		return nil, fmt.Errorf("package %s has no variable %s in the dump", Clean(pkg), e.Sel.Name)
	}
	return v, err
}

func (ev *evaluator) star(e *ast.StarExpr) (*Value, error) {
	x, err := ev.eval(e.X)
	if err != nil {
		return nil, err
	}
	if x.null {
		return nil, errors.New("nil can not be dereferenced")
	}
	if err := x.need(); err != nil {
		return nil, err
	}
	if x.Kind() != dump.Pointer {
		return nil, fmt.Errorf("expression %q (%s) can not be dereferenced", ev.text(e.X), x.typeOrKind())
	}
	if x.IsNil() {
		return nil, errors.New("nil pointer dereference")
	}
	y := *x.Target()
	y.name = ev.text(e)
	return &y, nil
}

func (ev *evaluator) address(e *ast.UnaryExpr) (*Value, error) {
	x, err := ev.eval(e.X)
	if err != nil {
		return nil, err
	}
	if x.typ == nil || x.addr == 0 {
		if x.v != nil && x.name != "" {
			return nil, fmt.Errorf("can not take address of %q: it is not known", ev.text(e.X))
		}
		return nil, fmt.Errorf("can not take address of %q", ev.text(e.X))
	}
	y := &Value{s: ev.s, typ: ev.s.pointerTo(x.typ), v: &dump.Value{Ptr: x.addr}, to: x}
	return y.from(x), nil
}

func (ev *evaluator) assert(e *ast.TypeAssertExpr) (*Value, error) {
	x, err := ev.eval(e.X)
	if err != nil {
		return nil, err
	}
	if e.Type == nil {
		return nil, errors.New("x.(type) belongs into a switch statement")
	}
	if err := x.need(); err != nil {
		return nil, err
	}
	if x.Kind() != dump.Interface {
		return nil, fmt.Errorf("expression %q not an interface", ev.text(e.X))
	}
	if x.IsNil() {
		return nil, fmt.Errorf("interface conversion: %s is nil, not %s", x.TypeName(), ev.text(e.Type))
	}
	d := x.Dynamic()
	if id, ok := e.Type.(*ast.Ident); ok && id.Name == "data" {
		return d, nil
	}
	want, ok := typeExpr(e.Type, ev.pkg())
	if !ok {
		return nil, fmt.Errorf("type %s is not supported", ev.text(e.Type))
	}
	if d.typ == nil {
		return nil, &MissingError{Expr: ev.text(e.X), Why: d.why}
	}
	if got := d.typ.Name; !typeNameIs(got, want) {
		return nil, fmt.Errorf("interface conversion: %s is %s, not %s", x.TypeName(), Clean(got), Clean(want))
	}
	return d, nil
}

// typeNameIs reports whether a type's full name is the one that the user wrote,
// with full or with shortened package paths.
func typeNameIs(full, wrote string) bool {
	full, wrote = strings.ReplaceAll(full, ", ", ","), strings.ReplaceAll(wrote, ", ", ",")
	return full == wrote || ShortenType(full) == wrote
}

func (ev *evaluator) call(e *ast.CallExpr) (*Value, error) {
	id, ok := e.Fun.(*ast.Ident)
	if !ok || id.Name != "len" && id.Name != "cap" {
		if name, ok := typeExpr(e.Fun, ev.pkg()); ok {
			if t, err := ev.s.findType(name); t != nil || err != nil || predeclared[name] != "" {
				return nil, fmt.Errorf("conversions are not supported: %s", ev.text(e))
			}
		}
		return nil, errNoCalls
	}
	if len(e.Args) != 1 || e.Ellipsis != token.NoPos {
		return nil, fmt.Errorf("wrong number of arguments to %s: %d", id.Name, len(e.Args))
	}
	x, err := ev.eval(e.Args[0])
	if err != nil {
		return nil, err
	}
	invalid := fmt.Errorf("invalid argument %s (type %s) for %s", ev.text(e.Args[0]), x.typeOrKind(), id.Name)
	y := x
	if x.Kind() == dump.Pointer { // to an array
		if t := ev.s.r.Type(x.typ.Elem); t == nil || t.Kind != dump.Array {
			return nil, invalid
		}
		return ev.s.constantValue(constant.MakeInt64(max(ev.s.r.Type(x.typ.Elem).Len, 0))), nil
	}
	switch y.Kind() {
	case dump.Array:
		return ev.s.constantValue(constant.MakeInt64(y.Len())), nil
	case dump.Slice, dump.Chan:
	case dump.String, dump.Map:
		if id.Name == "cap" {
			return nil, invalid
		}
	default:
		return nil, invalid
	}
	// A redacted text has no length that could be told, and a header that is
	// partly missing may have lost this very word.
	if err := y.need(); err != nil {
		return nil, err
	}
	n := y.Len()
	if id.Name == "cap" {
		n = y.Cap()
	}
	if v := y.v; v != nil && (id.Name == "len" && v.Len < 0 || id.Name == "cap" && v.Cap < 0) {
		return nil, &MissingError{Expr: ev.text(e), Why: ev.s.reasonText(v.Reason, v.Detail)}
	}
	return (&Value{s: ev.s, con: constant.MakeInt64(n)}).from(y), nil
}
