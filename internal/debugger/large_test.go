package debugger_test

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
)

// Collections of more elements than are read at once.
const (
	largeLen = 20_000
	largeMap = 6000
)

func largeSession(t testing.TB) *debugger.Session {
	t.Helper()
	b := debuggertest.New()
	var (
		slice  = make([]string, largeLen)
		array  = new([3000]string)
		twin   = new([3000]string)
		boxed  any
		m      = map[int]string{}
		ch     = make(chan string, 3000)
		fields = make([]reflect.StructField, 1500)
	)
	for i := range slice {
		slice[i] = fmt.Sprint("s", i)
	}
	for i := range array {
		array[i] = fmt.Sprint("a", i)
	}
	*twin = *array
	twin[2999] = "other"
	boxed = *array
	for i := range largeMap {
		m[i] = fmt.Sprint("m", i)
	}
	for i := range cap(ch) {
		ch <- fmt.Sprint("c", i)
	}
	for i := range fields {
		fields[i] = reflect.StructField{Name: fmt.Sprint("F", i), Type: reflect.TypeFor[int]()}
	}
	wide := reflect.New(reflect.PointerTo(reflect.StructOf(fields)))
	wide.Elem().Set(reflect.New(wide.Type().Elem().Elem()))
	wide.Elem().Elem().Field(1400).SetInt(7)
	b.Goroutines = []*dump.Goroutine{{ID: 1, Failing: true, Frames: []dump.Frame{{Func: "main.main", Vars: []dump.Variable{
		b.Var("slice", dump.VarLocal, &slice), b.Var("array", dump.VarLocal, &array), b.Var("twin", dump.VarLocal, &twin),
		b.Var("boxed", dump.VarLocal, &boxed), b.Var("m", dump.VarLocal, &m), b.Var("ch", dump.VarLocal, &ch),
		b.Var("wide", dump.VarLocal, wide.Interface()),
	}}}}}
	s, err := debugger.New(b.Reader(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Elements beyond those that are read with their object are the same as they
// would be in a small one.
func TestLarge(t *testing.T) {
	s := largeSession(t)
	sc := s.Scope()
	for _, i := range []int{0, 1, 1022, 1023, 1024, 1025, 1279, 1280, 2999} {
		for expr, want := range map[string]string{
			fmt.Sprintf("slice[%d]", i):        fmt.Sprintf(`"s%d"`, i),
			fmt.Sprintf("array[%d]", i):        fmt.Sprintf(`"a%d"`, i),
			fmt.Sprintf("boxed.(data)[%d]", i): fmt.Sprintf(`"a%d"`, i),
			fmt.Sprintf("array[10:][%d]", i):   fmt.Sprintf(`"a%d"`, i+10),
			fmt.Sprintf("slice[10:][%d]", i):   fmt.Sprintf(`"s%d"`, i+10),
			fmt.Sprintf("m[%d]", i):            fmt.Sprintf(`"m%d"`, i),
			fmt.Sprintf("m[%d]", largeMap-1-i): fmt.Sprintf(`"m%d"`, largeMap-1-i),
		} {
			if i == 2999 && strings.HasPrefix(expr, "array[10:]") {
				want = "error: index out of bounds"
			}
			if got := eval(sc, expr); got != want {
				t.Errorf("%s: got %s, want %s", expr, got, want)
			}
		}
	}
	for _, tt := range []struct{ expr, want string }{
		{"len(slice)", "20000"},
		{"slice[19999]", `"s19999"`},
		{"slice[20000]", "error: index out of bounds"},
		{"slice[19998:]", `[]string len: 2, cap: 2, ["s19998","s19999"]`},
		{"m[6000]", "error: key not found"},
		{"len(m)", "6000"},
		{"*array == *array", "true"},
		{"*array == *twin", "false"},
		{"len(ch)", "3000"},
		{"wide.F1400", "7"},
		{"wide.F1499", "0"},
	} {
		if got := eval(sc, tt.expr); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.expr, got, tt.want)
		}
	}
	// All of a value that is printed in full.
	x, err := sc.Eval("slice")
	if err != nil {
		t.Fatal(err)
	}
	cfg := debugger.DefaultLoad()
	cfg.MaxArrayValues = 1 << 20
	text := x.Format(debugger.Format{LoadConfig: cfg})
	if n := strings.Count(text, `"s`); n != largeLen || !strings.HasSuffix(text, `,"s19999"]`) {
		t.Errorf("%d elements were printed: …%s", n, text[max(0, len(text)-100):])
	}
	for _, tt := range []struct {
		expr, want string
		n          int
	}{{"slice", `"s%d"`, largeLen}, {"ch", `"c%d"`, 3000}, {"*array", `"a%d"`, 3000}} {
		x, err := sc.Eval(tt.expr)
		if err != nil {
			t.Fatal(err)
		}
		if n := x.NumChildren(); n != tt.n {
			t.Errorf("%s has %d children, want %d", tt.expr, n, tt.n)
		}
		for _, from := range []int{0, 1000, 1020, 2000, 2990} {
			for k, c := range x.Children(from, 10) {
				if got, want := c.Value.Short(0), fmt.Sprintf(tt.want, from+k); got != want || c.Name != fmt.Sprintf("[%d]", from+k) {
					t.Errorf("%s: child %d is %s %s, want %s", tt.expr, from+k, c.Name, got, want)
				}
			}
		}
	}
	x, err = sc.Eval("m")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, c := range x.Children(0, 1<<30) {
		if c.Value.Short(0) != `"m`+c.Name+`"` {
			t.Errorf("under %s is %s", c.Name, c.Value.Short(0))
		}
		keys[c.Name] = true
	}
	if len(keys) != largeMap || x.NumChildren() != largeMap {
		t.Errorf("%d keys, %d children, want %d", len(keys), x.NumChildren(), largeMap)
	}
}

// Several requests may look at one large value at the same time.
func TestLargeConcurrent(t *testing.T) {
	s := largeSession(t)
	x, err := s.Scope().Eval("slice")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for k := range 50 {
				i := (n*5000 + k*97) % largeLen
				y, err := x.Index(int64(i))
				if err != nil {
					t.Error(err)
					return
				}
				if got, want := y.Short(0), fmt.Sprintf(`"s%d"`, i); got != want {
					t.Errorf("element %d is %s, want %s", i, got, want)
				}
			}
		})
	}
	wg.Wait()
}

// What a large object says of itself need not be true.
func TestLargeHostile(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(b *debuggertest.Builder, o *dump.Object)
		expr string
		want string
	}{
		{"bytes beside elements", func(b *debuggertest.Builder, o *dump.Object) { o.Value.Raw = []byte{1, 2, 3} }, "v[1500]", "1500"},
		{"a slice in its place", func(b *debuggertest.Builder, o *dump.Object) { o.Value.Type = b.Type(reflect.TypeFor[[]int]()) }, "v[1500]", "error: v[1500]: unreadable: its elements are of type []int"},
		{"of unknown type", func(b *debuggertest.Builder, o *dump.Object) { o.Value.Type = 999 }, "v[1500]", "1500"},
		{"of a recursive type", func(b *debuggertest.Builder, o *dump.Object) {
			for _, t := range b.Types {
				if t.ID == o.Value.Type {
					t.Elem = t.ID
				}
			}
		}, "v[1500]", "1500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := debuggertest.New()
			v := make([]int, 2)
			variable := b.Var("v", dump.VarLocal, &v)
			variable.Value.Len, variable.Value.Cap = 3000, 3000
			o := b.Objects[variable.Value.Obj-1]
			o.Value.Raw = nil
			for i := range 3000 {
				o.Value.Elems = append(o.Value.Elems, dump.Value{Type: b.Type(reflect.TypeFor[int]()), Num: uint64(i)})
			}
			tt.do(b, o)
			b.Goroutines = []*dump.Goroutine{{ID: 1, Failing: true, Frames: []dump.Frame{{Func: "main.main", Vars: []dump.Variable{variable}}}}}
			s, err := debugger.New(b.Reader(t))
			if err != nil {
				t.Fatal(err)
			}
			if got := eval(s.Scope(), tt.expr); got != tt.want {
				t.Errorf("%s:\n got %s\nwant %s", tt.expr, got, tt.want)
			}
			explore(t, s)
		})
	}
}
