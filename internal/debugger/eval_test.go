package debugger_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
)

func shopSession(t testing.TB) *debugger.Session {
	t.Helper()
	s, err := debugger.New(debuggertest.Shop().Reader(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func eval(sc debugger.Scope, expr string) string {
	v, err := sc.Eval(expr)
	if err != nil {
		return "error: " + err.Error()
	}
	return normal(v.Format(debugger.Format{LoadConfig: debugger.DefaultLoad(), Notes: true}))
}

func TestEval(t *testing.T) {
	s := shopSession(t)
	line, err := s.AtGoroutine(18)
	if err != nil {
		t.Fatal(err)
	}
	price, err := line.AtFrame(4)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ frame, expr, want string }{
		// The frame that failed.
		{"line", "l.SKU", `"pear"`},
		{"line", "l.Price", "*github.com/acme/shop/store.Money nil"},
		{"line", "l.Price.Cents", "error: l.Price is nil"},
		{"line", "price", "*github.com/acme/shop/store.Money nil // recovered"},
		{"line", "price == nil", "true // recovered"},
		{"line", "price.Cents", "error: price is nil"},
		{"line", "*l", `github.com/acme/shop/store.Line {SKU: "pear", Count: 1, Price: *github.com/acme/shop/store.Money nil}`},
		// Names.
		{"price", "name", `"inner"`},
		{"line", "name", "error: could not find symbol value for name"},
		{"price", "n", "1"},
		{"line", "panic.msg", `"pricing order o-1001: pear: shelf is empty"`},
		{"line", "panic.err.SKU", `"pear"`},
		{"line", "panic.err.Err.s", `"shelf is empty"`},
		{"line", `registry["o-1001"].ID`, `"o-1001" // late: read after the failure`},
		{"line", "len(registry)", "1"},
		{"line", "registry", `map[string]*github.com/acme/shop/store.Order ["o-1001": *{Base: (*"github.com/acme/shop/store.Base")(0xADDR), Lines: []github.com/acme/shop/store.Line len: 2, cap: 2, [(*"github.com/acme/shop/store.Line")(0xADDR),(*"github.com/acme/shop/store.Line")(0xADDR)], Meta: map[string]string [...], Parent: *(*"github.com/acme/shop/store.Order")(0xADDR), Token: ""}, ] // late: read after the failure`},
		{"line", "whatis", "error: could not find symbol value for whatis"},
		{"line", "panic.(data)", `error: expression "panic" not an interface`},
		// Embedding, chains, types.
		{"price", "o.ID", `"o-1001"`},
		{"price", "o.Base.ID", `"o-1001"`},
		{"price", "o.Parent.Parent.Lines[0].Price.Cents", "199"},
		{"price", `o.Meta["channel"]`, `"web"`},
		{"price", `o.Meta["nope"]`, "error: key not found"},
		{"price", "o.Nope", "error: o has no member Nope"},
		{"price", `stock.(Shelf)["apple"]`, "7"},
		{"price", `stock.(store.Shelf)["apple"] + 1`, "8"},
		{"price", `stock.("github.com/acme/shop/store".Shelf)`, "error: syntax error at column 8: expected type, found \"github.com/acme/shop/store\""},
		{"price", `stock.(*Order)`, "error: interface conversion: github.com/acme/shop/store.Stock is github.com/acme/shop/store.Shelf, not *github.com/acme/shop/store.Order"},
		{"price", `o.Created`, "time.Time(2026-11-23T03:20:00Z){wall: 0, ext: 63931000800, loc: *time.Location nil}"},
		{"price", `err.(data).msg == "x"`, "false"},
		{"price", `o == o.Parent`, "true"},
		{"price", `o.Lines[0] == o.Lines[0]`, "true"},
		{"price", `o.Base == o.Parent.Base`, "true"},
		{"price", `*o == *o`, "error: can not compare slice variables"},
		{"price", `stock == stock`, "error: can not compare map variables"},
		{"price", `ids[1:][0]`, "2"},
		{"price", `missing == nil && len(missing) == 0`, "true"},
		// What is not there.
		{"line", "~r0", "(optimized out)"},
		{"line", "~r1", "error: could not find symbol value for ~r1"},
		{"price", "ctx", "(unavailable register: rcx)"},
		{"price", "ctx == nil", "error: ctx: unavailable register: rcx"},
		{"price", "ctx.x", "error: ctx: unavailable register: rcx"},
		{"price", "ctx.(data)", "error: ctx: unavailable register: rcx"},
		{"price", "total", "597 // dead: may be stale"},
		{"price", "total + 3", "600 // dead: may be stale"},
		{"price", "-total > 0 || total == 597", "true // dead: may be stale"},
		{"price", "token", `"‹redacted:aws-access-key:len=20›"`},
		{"price", `token == "x"`, "error: token: redacted by aws-access-key"},
		{"price", `token != ""`, "error: token: redacted by aws-access-key"},
		{"price", `token + "x"`, "error: token: redacted by aws-access-key"},
		{"price", "token[0]", "error: token: redacted by aws-access-key"},
		{"price", "token[1:]", "error: token: redacted by aws-access-key"},
		{"price", "len(token)", "error: token: redacted by aws-access-key"},
		{"price", "far", `("*github.com/acme/shop/store.Order")(0xADDR) (past depth 10)`},
		{"price", "far == nil", "false"},
		{"price", "far == o", "true"},
		{"price", "far.ID", "error: far: past depth 10"},
		{"price", "*far", "(past depth 10)"},
		{"price", "(*far).ID", "error: *far: past depth 10"},
		{"price", "lost", "(unreadable fault at 0x10)"},
		{"price", "lost + 1", "error: lost: unreadable: fault at 0x10"},
		{"price", "-lost", "error: lost: unreadable: fault at 0x10"},
		{"price", "lost == 0", "error: lost: unreadable: fault at 0x10"},
		{"price", "lost < 0", "error: lost: unreadable: fault at 0x10"},
		{"price", "ids[lost]", "error: lost: unreadable: fault at 0x10"},
		{"price", "ids[lost:]", "error: lost: unreadable: fault at 0x10"},
		{"price", "o.Meta[token]", "error: token: redacted by aws-access-key"},
		{"price", "true || lost == 0", "true"},
		{"price", "false || lost == 0", "error: lost: unreadable: fault at 0x10"},
		{"price", "lost == 0 && true", "error: lost: unreadable: fault at 0x10"},
		// Syntax.
		{"price", "", "error: empty expression"},
		{"price", "o.", "error: syntax error at column 3: expected selector or type assertion, found 'EOF'"},
		{"price", "o[", "error: syntax error at column 3: expected operand, found 'EOF'"},
		{"price", "func() int { return 1 }()", "error: function calls not allowed: a dump has no process that could run them"},
		{"price", "o.Lines[0:1:1]", "error: 3-index slice expressions not supported"},
		{"price", "store.Line{}", "error: composite literals are not supported"},
		{"price", "[]int", "error: []int is a type, not an expression"},
		{"price", "int64(total)", "error: conversions are not supported: int64(total)"},
		{"price", "Line(l)", "error: conversions are not supported: Line(l)"},
		{"price", "<-ids", "error: operator <- can not be applied to \"ids\""},
		{"price", "1 << 100000", "error: shift count 100000 is too large"},
		{"price", "1e100000000 * 1", "error: constant is too large"},
		{"price", strings.Repeat("1+", 10000) + "1", "error: expression of 20001 bytes is too long"},
		{"price", "\"\x1b[31m\" + 1", `error: operator + can not be applied to "\x1b[31m" and 1`},
		{"price", "\x1b[31m", `error: syntax error at column 1: illegal character U+001B`},
	}
	for _, tt := range tests {
		sc := line
		if tt.frame == "price" {
			sc = price
		}
		if got := eval(sc, tt.expr); got != tt.want {
			t.Errorf("frame %s: %s:\n got %s\nwant %s", tt.frame, tt.expr, got, tt.want)
		}
	}
	_, err = price.Eval("far.ID")
	var missing *debugger.MissingError
	if !errors.As(err, &missing) || missing.Expr != "far" || missing.Why != "past depth 10" {
		t.Errorf("far.ID: %#v, want a MissingError", err)
	}
}

func TestVariables(t *testing.T) {
	s := shopSession(t)
	sc, err := s.Home().AtFrame(4)
	if err != nil {
		t.Fatal(err)
	}
	list := func(vars []debugger.Variable) string {
		var b strings.Builder
		for _, v := range vars {
			name := v.Name
			if v.Shadowed {
				name = "(" + name + ")"
			}
			b.WriteString(name + " ")
		}
		return strings.TrimSpace(b.String())
	}
	if got, want := list(sc.Args()), "o stock ctx err"; got != want {
		t.Errorf("args: %s, want %s", got, want)
	}
	if got, want := list(sc.Locals()), "total (name) name token far lost ids missing n"; got != want {
		t.Errorf("locals: %s, want %s", got, want)
	}
	if got, want := list(sc.Watches()), "panic registry"; got != want {
		t.Errorf("watches: %s, want %s", got, want)
	}
}

// TestCuts checks that what a capture left out is told apart from what is not
// there, and never read as a zero.
func TestCuts(t *testing.T) {
	b := debuggertest.New()
	b.MaxString, b.MaxElems, b.Depth = 5, 3, 2
	type deep struct{ Next *deep }
	var (
		str    = "0123456789"
		same   = "0123456789"
		ints   = []int{1, 2, 3, 4, 5}
		strs   = []string{"a", "b", "c", "d"}
		m      = map[int]string{1: "a", 2: "b", 3: "c", 4: "d"}
		array  = [4]int{1, 2, 3, 4}
		chain  = &deep{&deep{&deep{&deep{nil}}}}
		boxed  any
		ifaces = []any{1}
	)
	boxed = &ifaces
	g := &dump.Goroutine{ID: 1, Failing: true, Frames: []dump.Frame{{Func: "main.main", Vars: []dump.Variable{
		b.Var("str", dump.VarLocal, &str), b.Var("same", dump.VarLocal, &same), b.Var("ints", dump.VarLocal, &ints),
		b.Var("strs", dump.VarLocal, &strs), b.Var("m", dump.VarLocal, &m), b.Var("array", dump.VarLocal, &array),
		b.Var("chain", dump.VarLocal, &chain), b.Var("boxed", dump.VarLocal, &boxed),
		// A slice of which only the pointer is known, and an int of which
		// nothing is.
		{Name: "half", State: dump.VarRecovered, Value: dump.Value{Type: b.Type(reflect.TypeFor[[]int]()), Ptr: 0x1000, Reason: dump.UnavailableRegister}},
		{Name: "zero", Value: dump.Value{Type: b.Type(reflect.TypeFor[int]()), Reason: dump.OptimizedOut}},
	}}}}
	b.Goroutines = []*dump.Goroutine{g}
	s, err := debugger.New(b.Reader(t))
	if err != nil {
		t.Fatal(err)
	}
	sc := s.Scope()
	for _, tt := range []struct{ expr, want string }{
		{"str", `"01234...+5 more" (past the string limit)`},
		{"len(str)", "10"},
		{"str[4]", "52"},
		{"str[5]", "error: str[5]: past the string limit"},
		{"str[1:4]", `"123"`},
		{"str[1:8]", `"1234...+3 more" (past the string limit)`},
		{"str[6:8]", "error: str[6:8]: past the string limit"},
		{"str[6:11]", "error: index out of bounds"},
		{"str == same", "error: str: past the string limit"},
		{`str == "01234"`, "false"},
		{`str == "0123x56789"`, "false"},
		{`str < "1"`, "true"},
		{`str < "01234"`, "error: str: past the string limit"},
		{"str + str", "error: str: past the string limit"},
		{"ints", "[]int len: 5, cap: 5, [1,2,3,...+2 more (past the collection limit)]"},
		{"ints[2]", "3"},
		{"ints[3]", "error: ints[3]: past the collection limit"},
		{"ints[5]", "error: index out of bounds"},
		{"ints[2:]", "[]int len: 3, cap: 3, [3,...+2 more (past the collection limit)]"},
		{"ints[4:]", "[]int len: 1, cap: 1, [...] (past the collection limit)"},
		{"strs[3:][0]", "error: strs[3:][0]: past the collection limit"},
		{"m", `map[int]string [1: "a", 2: "b", 3: "c", ,...+1 more (past the collection limit)]`},
		{"m[1]", `"a"`},
		{"m[4]", "error: key not found among the 3 of 4 entries that were captured (past the collection limit)"},
		{"array", "[4]int [1,2,3,...+1 more (past the collection limit)]"},
		{"array[3]", "error: array[3]: past the collection limit"},
		{"array == array", "error: array: array too long for comparison: past the collection limit"},
		{"chain.Next.Next", `("*github.com/otelcoredumpy/otelcoredumpy/internal/debugger_test.deep")(0xADDR) (past the depth limit)`},
		{"chain.Next.Next.Next", "error: chain.Next.Next: past the depth limit"},
		{"boxed", `interface {}(*[]interface {}) *[(past the depth limit)]`},
		{"boxed.(data)[0]", "interface {}(int) (past the depth limit)"},
		{"boxed.(data)[0] == 1", "error: boxed[0]: past the depth limit"},
		{"half", "(unavailable register)"},
		{"len(half)", "error: half: unavailable register"},
		{"half == nil", "error: half: unavailable register"},
		{"zero", "(optimized out)"},
		{"zero == 0", "error: zero: optimized out"},
	} {
		if got := eval(sc, tt.expr); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.expr, got, tt.want)
		}
	}
}
