package exporter

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/exporter/internal/failing"
)

func TestNormalise(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"connection refused", "connection refused"},
		{"order 42: not found", "order #: not found"},
		{"order42", "order#"},
		{"order 42 of 43", "order # of #"},
		{"dial tcp 10.0.0.7:5432: connect: connection refused", "dial tcp #: connect: connection refused"},
		{"dial tcp [2001:db8::17:1]:443: i/o timeout", "dial tcp [#::#]:#: i/o timeout"},
		{"at 2026-01-02T03:04:05.678Z", "at #T#Z"},
		{"took 1.5s", "took #s"},
		{"took 250ms", "took #ms"},
		{"user 0190163d-8694-739b-aea5-966c26f8ad91 gone", "user # gone"},
		{"user a190163d-8694-739b-aea5-966c26f8ad91 gone", "user # gone"},
		{"object deadbeef01 lost", "object # lost"},
		{"pointer 0xc000012345 and 0xC0FFEE", "pointer # and #"},
		{"deadbeef has no digits", "deadbeef has no digits"},
		{"token 01ARZ3NDEKTSV4RRFFQ69G5FAV expired", "token # expired"},
		{`Get "http://x/y?z=1": EOF`, `Get "#": EOF`},
		{"unknown field `name`", "unknown field `#`"},
		{"user 'joe' is gone", "user '#' is gone"},
		{"can't open user's file", "can't open user's file"},
		{`parsing "abc cut off`, `parsing "#"`},
		{"a '", "a '"},
		{"HTTP 500", "HTTP #"},
		{"x86 utf8 sha256", "x# utf# sha#"},
		{"größe 7", "größe #"},
		{"pq: 1, 2, 3", "pq: #, #, #"},
		{"1,2,3/4", "#"},
	} {
		var buf pattern
		if got := string(normalise(&buf, tt.in)); got != tt.want {
			t.Errorf("normalise(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	var buf pattern
	long := ""
	for range 100 {
		long += "word "
	}
	if n := testing.AllocsPerRun(100, func() { normalise(&buf, long) }); n != 0 || len(normalise(&buf, long)) != maxPattern {
		t.Errorf("%v allocations, %d bytes", n, len(normalise(&buf, long)))
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"", `"`, "'a'", "0x", "a-1-b", "\xff\"\x00", `Get "http://x": dial 1.2.3.4:5`, "000000000000000000000000000000#-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var buf pattern
		got := normalise(&buf, s)
		if len(got) > maxPattern {
			t.Fatalf("%d bytes", len(got))
		}
		for _, c := range got {
			if c >= '0' && c <= '9' {
				t.Fatalf("normalise(%q) = %q: a digit is left", s, got)
			}
		}
		if len(s) < 20 && utf8.ValidString(s) && !utf8.Valid(got) {
			t.Fatalf("normalise(%q) = %q", s, got)
		}
	})
}

//go:noinline
func siteA(f func()) { f() }

//go:noinline
func siteB(f func()) { f() }

//go:noinline
func recursive(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	recursive(n-1, f)
}

//go:noinline
func ping(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	pong(n, f)
}

//go:noinline
func pong(n int, f func()) { ping(n-1, f) }

// TestFingerprints checks which failures count as alike.
func TestFingerprints(t *testing.T) {
	stacks, prints := newStacks(nil), newFingerprints()
	base := tracetest.SpanStub{Name: "GET /orders/{id}", SpanKind: trace.SpanKindServer}
	base.InstrumentationScope.Name = "shop"
	stub := func(change func(*tracetest.SpanStub)) *failure {
		s := base
		if change != nil {
			change(&s)
		}
		return &failure{trigger: dump.TriggerErrorSpan, span: s.Snapshot()}
	}
	of := func(f *failure, err error) fingerprint {
		f.chain = errorChain(err)
		f.messages = messagesOf(f.chain)
		f.place = stacks.failed()
		return prints.of(f)
	}
	err := fmt.Errorf("order 1: %w", errLeaf)
	type variant struct {
		name  string
		alike bool
		site  func(func())
		span  func(*tracetest.SpanStub)
		trig  dump.Trigger
		err   error
	}
	var first fingerprint
	for i, v := range []variant{
		{name: "itself", alike: true},
		{name: "again", alike: true},
		{name: "another number in the message", alike: true, err: fmt.Errorf("order 42: %w", errLeaf)},
		{name: "another number in the span's name", alike: false, span: func(s *tracetest.SpanStub) { s.Name = "GET /orders/7" }},
		{name: "another message", err: fmt.Errorf("cart 1: %w", errLeaf)},
		{name: "another type", err: errors.New(err.Error())},
		{name: "another type within", err: fmt.Errorf("order 1: %w", &url.Error{})},
		{name: "another span", span: func(s *tracetest.SpanStub) { s.Name = "POST /orders" }},
		{name: "another kind", span: func(s *tracetest.SpanStub) { s.SpanKind = trace.SpanKindClient }},
		{name: "another scope", span: func(s *tracetest.SpanStub) { s.InstrumentationScope.Name = "cart" }},
		{name: "another trigger", trig: dump.TriggerPanic},
		{name: "another place", site: siteB},
	} {
		if v.site == nil {
			v.site = siteA
		}
		if v.err == nil {
			v.err = err
		}
		f := stub(v.span)
		if v.trig != "" {
			f.trigger = v.trig
		}
		var p fingerprint
		v.site(func() { p = of(f, v.err) })
		if i == 0 {
			first = p
		}
		if (p == first) != v.alike {
			t.Errorf("%s: alike is %v, want %v", v.name, p == first, v.alike)
		}
	}

	// However deep a recursion is, it is the same failure.
	for name, call := range map[string]func(int, func()){"one function": recursive, "two functions": ping} {
		seen := map[fingerprint][]int{}
		for _, depth := range []int{5, 6, 10, 30, 31, 200} {
			var p fingerprint
			call(2*depth, func() { p = of(stub(nil), err) })
			seen[p] = append(seen[p], depth)
		}
		if len(seen) != 1 {
			t.Errorf("recursion of %s: fingerprints by depth %v", name, seen)
		}
	}
	// Another process sees other fingerprints.
	a, b := newFingerprints(), newFingerprints()
	f := stub(nil)
	if a.of(f) == b.of(f) {
		t.Error("two seeds give one fingerprint")
	}
	if n := testing.AllocsPerRun(100, func() {
		f.place = stacks.failed()
		prints.of(f)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestPlaceOfAPanic checks that a panic comes from where it was raised, whoever
// asks.
func TestPlaceOfAPanic(t *testing.T) {
	s := newStacks(nil)
	places := map[string][]uintptr{}
	at := func(name string, f func()) {
		caught(func() {
			defer func() {
				p := s.panicked()
				places[name] = append([]uintptr(nil), p.pcs[:min(1, p.n)]...)
				if p.n == 0 || p.user == 0 || p.whole == 0 {
					t.Errorf("%s: %+v", name, p)
				}
				if got := packageAt(p.user); got != "github.com/otelcoredumpy/otelcoredumpy/exporter/internal/failing" {
					t.Errorf("%s: package %q", name, got)
				}
			}()
			f()
		})
	}
	at("boom", boom)
	at("boom, passed on", func() {
		defer func() {
			if r := recover(); r != nil {
				panic(r)
			}
		}()
		boom()
	})
	at("nil map", func() { failing.NilMap(nil) })
	if !slices.Equal(places["boom"], places["boom, passed on"]) || len(places["boom"]) != 1 || len(places["nil map"]) != 1 || places["boom"][0] == places["nil map"][0] {
		t.Errorf("places %v", places)
	}
}

func TestClasses(t *testing.T) {
	for pkg, want := range map[string]bool{
		"net/http": true, "fmt": true, "internal/poll": true, "main": false, "example.com/shop": false,
		"github.com/otelcoredumpy/otelcoredumpy/examples/checkout": false, "golang.org/x/net/http2": false, "vendor/golang.org/x/net": true,
	} {
		if got := isStd(pkg); got != want {
			t.Errorf("isStd(%q) = %v", pkg, got)
		}
	}
	for pkg, want := range map[string]bool{
		"go.opentelemetry.io/otel/sdk/trace": true, "go.opentelemetry.io/otel": true, "go.opentelemetry.io/oteltest": false,
		"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp": false,
		ownPath: true, ownPath + "/exporter": true, ownPath + "/capture": true, ownPath + "/examples/checkout": false, ownPath + "/exporter/internal/failing": false,
	} {
		if got := isMachinery(pkg); got != want {
			t.Errorf("isMachinery(%q) = %v", pkg, got)
		}
	}
	for fn, want := range map[string]string{
		"main.main": "main", "net/http.(*conn).serve": "net/http", "example.com/shop/store.(*Store).Get.func1": "example.com/shop/store",
		"a.b/c%2ed.F": "a.b/c.d", "a/b.(*T[c/d.E]).F": "a/b", "a/b.F[...]": "a/b", "": "", "x_cgo_init": "x_cgo_init",
	} {
		if got := packageOf(fn); got != want {
			t.Errorf("packageOf(%q) = %q, want %q", fn, got, want)
		}
	}
}

func TestBucket(t *testing.T) {
	for n, want := range map[int]float64{1: 1, 2: 2, 3: 3, 12: 3, 20: 5, 100: 25} {
		if l := newLimit(n, time.Hour, 4); l.burst != want || l.rate != float64(n)/3600 {
			t.Errorf("%d an hour: %+v, want a burst of %v", n, l, want)
		}
	}
	var b bucket
	now := time.Unix(1000, 0)
	l := newLimit(30, time.Minute, 3)
	took := 0
	take := func() {
		if b.has(now, l) {
			b.tokens--
			took++
		}
	}
	for range 100 {
		take()
	}
	if took != 10 {
		t.Errorf("%d at once, want 10", took)
	}
	for range 600 { // a minute
		now = now.Add(100 * time.Millisecond)
		take()
	}
	if took != 40 {
		t.Errorf("%d after a minute, want 40", took)
	}
	now = now.Add(-time.Hour) // a clock that was set back
	take()
	now = now.Add(24 * time.Hour)
	for range 100 {
		take()
	}
	if took != 50 {
		t.Errorf("%d after a day, want 50: the bucket has a size", took)
	}
	for range 100 {
		if !b.has(now, limit{}) {
			t.Fatal("no limit, but limited")
		}
	}
}
