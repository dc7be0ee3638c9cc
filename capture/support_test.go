package capture_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

const here = "github.com/otelcoredumpy/otelcoredumpy/capture_test."

func register(t testing.TB, pattern string, s capture.TypeSupport) {
	t.Helper()
	if err := capture.RegisterType(pattern, s); err != nil {
		t.Fatal(err)
	}
}

func says(text string) capture.TypeSupport {
	return capture.TypeSupport{Describe: func(_ capture.View, d *capture.Description) { d.Summary(text) }}
}

type (
	matchExact      struct{ N int }
	matchPattern    struct{ N int }
	matchLonger     struct{ N int }
	matchPair       [2]int
	matchBox[T any] struct{ V T }
	matchLast       int
	matchNone       int
)

func TestRegisterType(t *testing.T) {
	for _, bad := range []string{"", "int", "map[string]int", "[]main.T", "Order", "a b.C"} {
		if capture.RegisterType(bad, capture.TypeSupport{}) == nil {
			t.Errorf("%q is taken for the name of a type", bad)
		}
	}
	register(t, here+"match*", says("pattern"))
	register(t, here+"matchL*", says("longer pattern"))
	register(t, here+"matchExact", says("exact"))
	register(t, here+"matchBox[*]", says("generic"))
	register(t, here+"matchBox[string]", says("instance"))
	register(t, here+"matchLast", says("first"))
	register(t, here+"matchLast", says("last"))
	register(t, "*.matchNone", says("")) // less than match*
	e := engine(t, func(c *capture.Config) { c.Goroutines = capture.ScopeNone })
	for _, c := range []struct {
		v    any
		want string
	}{
		{matchExact{}, "exact"},
		{&matchExact{}, "exact"},
		{matchPattern{}, "pattern"},
		{matchLonger{}, "longer pattern"},
		{matchPair{}, "pattern"},
		{matchBox[int]{}, "generic"},
		{matchBox[matchPair]{}, "generic"},
		{matchBox[string]{}, "instance"},
		{matchLast(1), "last"},
		{matchNone(1), "pattern"},
		{struct{ N int }{}, ""},
		{[]matchExact(nil), ""},
		{5, ""},
	} {
		r, v := watch(t, e, c.v)
		if got := described(t, r, v).Summary; got != c.want {
			t.Errorf("%T is described as %q, want %q", c.v, got, c.want)
		}
	}
}

type (
	failPanic   struct{ N int }
	failRuntime struct{ N int }
	failNasty   struct{ N int }
	failEndless struct{ Next *failEndless }
	failExit    struct{ N int }
	failHang    struct{ N int }
	failLarge   struct{ N int }
	failSelf    struct{ N int }
	failKept    struct{ N int }
	fine        struct{ N int }
)

type nasty struct{}

func (nasty) Error() string { panic("Error must not be called") }

// TestSupportContained registers supports that do all that a support must not. The values
// stay, the dump says what failed, and what is captured next is described as ever.
func TestSupportContained(t *testing.T) {
	var hung, hang atomic.Bool
	var kept atomic.Pointer[capture.View]
	hang.Store(true)
	describe := func(name string, f func(v capture.View, d *capture.Description)) {
		register(t, here+name, capture.TypeSupport{Describe: func(v capture.View, d *capture.Description) {
			d.Summary("must not be seen")
			f(v, d)
		}})
	}
	describe("failPanic", func(capture.View, *capture.Description) { panic("on purpose") })
	describe("failRuntime", func(capture.View, *capture.Description) { var p *fine; p.N++ })
	describe("failNasty", func(capture.View, *capture.Description) { panic(nasty{}) })
	describe("failEndless", func(v capture.View, _ *capture.Description) {
		for {
			v = v.Field("Next").Elem()
		}
	})
	describe("failExit", func(capture.View, *capture.Description) { runtime.Goexit() })
	describe("failHang", func(capture.View, *capture.Description) {
		hung.Store(true)
		for hang.Load() {
			runtime.Gosched()
		}
	})
	describe("failLarge", func(v capture.View, d *capture.Description) {
		for i := range 400 {
			d.Child(strings.Repeat("n", i), v.Field("N"))
			d.Text("text", strings.Repeat("t", 1<<16))
		}
		d.Summary(strings.Repeat("s ", 1<<20) + "\nnext line")
	})
	describe("failSelf", func(v capture.View, d *capture.Description) {
		d.Summary("self")
		for range 100 {
			d.Child("self", v)
		}
	})
	describe("failKept", func(v capture.View, d *capture.Description) {
		d.Summary("kept")
		kept.Store(&v)
	})
	register(t, here+"fine", says("fine"))
	e := engine(t, func(c *capture.Config) { c.Goroutines = capture.ScopeNone })
	before := runtime.NumGoroutine()
	loop := &failEndless{}
	loop.Next = loop
	for _, c := range []struct {
		v    any
		why  string // in the header
		want string // the summary begins so
	}{
		{failPanic{1}, "on purpose", ""},
		{failRuntime{1}, "nil pointer dereference", ""},
		{failNasty{1}, "nasty", ""},
		{loop, "too many steps", ""},
		{failExit{1}, "ended its goroutine", ""},
		{failHang{1}, "did not return", ""},
		{failHang{1}, "", ""}, // it is not asked again
		{failLarge{1}, "", strings.Repeat("s ", 500)},
		{failSelf{1}, "", "self"},
		{failKept{1}, "", "kept"},
	} {
		t.Run(fmt.Sprintf("%T", c.v), func(t *testing.T) {
			type both struct {
				Bad  any
				Good fine
			}
			r, v := watch(t, e, both{c.v, fine{2}})
			v, err := r.Resolve(v)
			if err != nil {
				t.Fatal(err)
			}
			bad := described(t, r, &v.Elems[0])
			if !strings.HasPrefix(bad.Summary, c.want) || c.want == "" && bad.Summary != "" || len(bad.Summary) > 1100 || strings.Contains(bad.Summary, "\n") {
				t.Errorf("the summary is %.100q (%d bytes), want %.20q", bad.Summary, len(bad.Summary), c.want)
			}
			if len(bad.Children) > 64 {
				t.Errorf("it has %d children", len(bad.Children))
			}
			for i := range bad.Children {
				if c := &bad.Children[i]; len(c.Name) > 300 || len(c.Value.Bytes) > 1100 || len(c.Value.Children) > 0 {
					t.Errorf("child %d has a name of %d bytes, a text of %d, %d children", i, len(c.Name), len(c.Value.Bytes), len(c.Value.Children))
				}
			}
			if got := render(r, bad); !strings.Contains(got, "1") && !strings.Contains(got, "again") {
				t.Errorf("the value itself is %s", got)
			}
			if got := v.Elems[1].Summary; got != "fine" {
				t.Errorf("the other value is described as %q", got)
			}
			var whys []string
			for _, m := range r.Header().Missing {
				if m.What == fmt.Sprintf("descriptions of %s%s", here, strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", c.v), "*"), "capture_test.")) {
					whys = append(whys, m.Why)
				}
			}
			if c.why != "" && (len(whys) != 1 || !strings.Contains(whys[0], c.why) || !strings.Contains(whys[0], "1 times")) || c.why == "" && len(whys) > 0 {
				t.Errorf("the header says %q, want %q", whys, c.why)
			}
		})
	}
	if !hung.Load() {
		t.Error("the support that hangs was not called")
	}
	// One that keeps its view reads what was copied, or nothing.
	func() {
		defer func() { _ = recover() }()
		_ = kept.Load().Field("N").Missing()
	}()
	hang.Store(false)
	for runtime.NumGoroutine() > before { // or the test times out
		runtime.Gosched()
	}
}

type slow struct{ N int }

// A registered support that has not come back when capture.timeout is over has used it up, and is
// asked again in the next dump.
func TestSupportWithinTimeout(t *testing.T) {
	release := make(chan struct{})
	var calls atomic.Int64
	register(t, here+"slow", capture.TypeSupport{Describe: func(_ capture.View, d *capture.Description) {
		calls.Add(1)
		<-release
		d.Summary("slow")
	}})
	values := make([]slow, 70)
	e := engine(t, func(c *capture.Config) {
		c.Goroutines, c.Pause, c.Timeout = capture.ScopeNone, time.Minute, 300*time.Millisecond
	})
	r, _ := watch(t, e, values)
	if n := calls.Load(); n != 1 {
		t.Errorf("it was called %d times", n)
	}
	if got := fmt.Sprint(r.Header().Missing); !strings.Contains(got, "descriptions of values") || strings.Contains(got, "not used any more") {
		t.Errorf("missing %s", got)
	}
	close(release)
	e = engine(t, func(c *capture.Config) { c.Goroutines = capture.ScopeNone })
	r, v := watch(t, e, values[0])
	if got := described(t, r, v).Summary; got != "slow" {
		t.Errorf("afterwards %q, missing %v", got, r.Header().Missing)
	}
}

type (
	login struct {
		User     string
		Password string
		Raw      []byte
		Headers  map[string]string
		Key      apiKey
	}
	apiKey  [16]byte
	session struct{ Token string }
)

// TestSupportRedaction has a support that tells all that it sees. What a rule withholds from the value
// is not in the summary and not in the children either.
func TestSupportRedaction(t *testing.T) {
	const secret = "correct-horse-9"
	register(t, here+"login", capture.TypeSupport{Describe: func(v capture.View, d *capture.Description) {
		var all []string
		for i := range v.NumField() {
			f := v.FieldAt(i)
			name, _ := v.FieldName(i)
			d.Child("c"+name, f)
			s, _, _ := f.Text()
			all = append(all, s)
			b, _ := f.Bytes()
			all = append(all, string(b))
			for j := range f.Len() {
				if n, ok := f.Index(j).Uint(); ok {
					all = append(all, string(rune(n)))
				}
			}
			ws, _ := f.Words()
			for _, w := range ws {
				all = append(all, string(rune(w)))
			}
			f.Entries(func(k, e capture.View) bool {
				ks, es := k.String(), e.String()
				all = append(all, ks, es)
				d.Text(ks, es)
				return true
			})
		}
		d.Text("password", "correct-"+"horse-9")
		d.Text("plain", "password=correct-"+"horse-9")
		d.Summary(strings.Join(all, " "))
	}})
	register(t, here+"session", capture.TypeSupport{Describe: func(v capture.View, d *capture.Description) {
		// A secret that the support has taken apart, so that no rule for texts knows it.
		d.Summary("correct horse 9")
	}})
	e := engine(t, func(c *capture.Config) { c.Goroutines = capture.ScopeNone })
	l := login{"ada", secret, []byte("password=" + secret), map[string]string{"X-Api-Key": secret}, apiKey([]byte("password=" + secret))}
	r, v := watch(t, e, &l)
	d := described(t, r, v)
	var all strings.Builder
	fmt.Fprintf(&all, "%q %q\n", d.Summary, strings.ReplaceAll(d.Summary, " ", ""))
	for i := range d.Children {
		fmt.Fprintf(&all, "%s=%s\n", d.Children[i].Name, render(r, &d.Children[i].Value))
	}
	for _, part := range []string{secret, "horse"} {
		if strings.Contains(all.String(), part) {
			t.Errorf("%q is in the description:\n%s", part, all.String())
		}
	}
	if !strings.Contains(d.Summary, "ada") || !strings.Contains(d.Summary, "redacted") || len(d.Children) < 7 {
		t.Errorf("the description is %s", all.String())
	}
	// A variable whose name is that of a secret hides what its type's support says.
	s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual, Watches: []capture.Watch{{Name: "password", Value: &session{"x"}}}})
	if err != nil {
		t.Fatal(err)
	}
	r = encode(t, s, nil)
	g, err := r.Failing()
	if err != nil {
		t.Fatal(err)
	}
	if d := described(t, r, &g.Values[0].Value); strings.Contains(d.Summary, "horse") || !strings.Contains(d.Summary, "redacted") {
		t.Errorf("a secret's summary is %q", d.Summary)
	}
}

type left struct {
	Keep  *int
	Large []int
	Text  string
	Map   map[string]int
	Any   any
}

type chain struct {
	Next *chain
	N    int
}

func TestLeaveAndNear(t *testing.T) {
	register(t, here+"left", capture.TypeSupport{Leave: []string{"Large", "Text", "Map", "Any", "NoSuchField"}})
	register(t, here+"chain", capture.TypeSupport{Near: []string{"Next"}})
	e := engine(t, func(c *capture.Config) { c.Goroutines, c.Depth = capture.ScopeNone, 3 })
	n := 7
	shared := map[string]int{"a": 1}
	r, v := watch(t, e, &left{&n, []int{1, 2}, fmt.Sprint("text", n), map[string]int{"b": n}, n})
	o, err := r.Object(v.Obj)
	if err != nil {
		t.Fatal(err)
	}
	for i := range o.Value.Elems {
		f := &o.Value.Elems[i]
		if f.Type == 0 {
			t.Fatal("a field has no type")
		}
		if i == 4 {
			f = &f.Elems[0]
		}
		if want := i > 0; (f.Reason == dump.Unsupported && strings.Contains(f.Detail, "left out")) != want {
			t.Errorf("field %d is %q %q", i, f.Reason, f.Detail)
		}
	}
	if got := render(r, &o.Value.Elems[0]); got != "&7" {
		t.Errorf("what is kept is %s", got)
	}
	// What something else leads to is there all the same.
	r, v = watch(t, e, []any{&left{Map: shared}, shared})
	if got := render(r, v); !strings.Contains(got, `Map:map(1){"a":1}`) {
		t.Errorf("what is shared is %s", got)
	}
	var first *chain
	for i := range 50 {
		first = &chain{first, i}
	}
	r, v = watch(t, e, first)
	if got := strings.Count(render(r, v), "N:"); got != 50 {
		t.Errorf("%d of 50 near values are there", got)
	}
}

// A view answers whatever it is asked.
func TestViewOfNothing(t *testing.T) {
	var v capture.View
	_ = v.Field("x").Elem().Index(3).Path("a", "b").FieldAt(1)
	v.Entries(func(capture.View, capture.View) bool { t.Error("there is an entry"); return true })
	_, n := v.Int()
	_, f := v.Float()
	_, b := v.Bool()
	_, u := v.Uint()
	_, _, s := v.Text()
	_, w := v.Words()
	if v.OK() || n || f || b || u || s || w || v.Len() != 0 || v.IsNil() || v.Missing() == "" || v.FuncName() != "" || v.Closure().OK() || v.Type() != "" {
		t.Error("the zero View says something")
	}
}

type viewed struct {
	I   int8
	U   uint16
	F   float32
	B   bool
	S   string
	Raw []byte
	Arr [3]uint32
	P   *int
	E   error
	M   map[string]int
	C   chan int
	Fn  func() int
	Nil *int
}

// TestViewReads reads every kind of value.
func TestViewReads(t *testing.T) {
	var got []any
	register(t, here+"viewed", capture.TypeSupport{Describe: func(v capture.View, _ *capture.Description) {
		got = got[:0]
		note := func(xs ...any) { got = append(got, xs...) }
		i, ok := v.Field("I").Int()
		_, unsigned := v.Field("I").Uint()
		note(i, ok, unsigned)
		u, ok := v.Field("U").Uint()
		f, ok2 := v.Field("F").Float()
		b, ok3 := v.Field("B").Bool()
		note(u, ok, f, ok2, b, ok3)
		s, whole, ok := v.Field("S").Text()
		note(s, whole, ok)
		raw, whole := v.Field("Raw").Bytes()
		third, ok := v.Field("Raw").Index(2).Uint()
		note(string(raw), whole, third, ok)
		ws, whole := v.Field("Arr").Words()
		note(ws, whole, v.Field("Arr").Len())
		p, ok := v.Field("P").Elem().Int()
		note(p, ok, v.Path("E", "s").String(), v.Field("E").Elem().Type())
		var entries []string
		v.Field("M").Entries(func(k, e capture.View) bool {
			n, _ := e.Int()
			entries = append(entries, fmt.Sprint(k, n, e.Name()))
			return true
		})
		slices.Sort(entries)
		note(entries, v.Field("M").Len(), v.Field("C").Len())
		c := v.Field("Fn").Closure()
		note(c.NumField(), v.Field("Nil").IsNil(), v.Field("Nil").Elem().Missing(), v.Field("Nope").Missing(), v.Index(0).OK())
	}})
	e := engine(t, func(c *capture.Config) { c.Goroutines = capture.ScopeNone })
	n := 42
	ch := make(chan int, 2)
	ch <- 1
	watch(t, e, &viewed{
		-5, 500, 1.5, true, "text", []byte("raw"), [3]uint32{1, 2, 3}, &n, errors.New("boom"), map[string]int{"a": 1, "b": 2}, ch, func() int { return n }, nil,
	})
	want := []any{
		int64(-5), true, false, uint64(500), true, 1.5, true, true, true, "text", true, true, "raw", true, uint64('w'), true,
		[]uint64{1, 2, 3},
		true, 3,
		int64(42), true, "boom", "*errors.errorString",
		[]string{"a 1a", "b 2b"},
		2, 1, 1, true, "it is nil", "it has no field Nope", false,
	}
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("read\n%s, want\n%s", g, w)
	}
}
