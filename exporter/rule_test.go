package exporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/exporter/internal/failing"
)

func TestParseRule(t *testing.T) {
	for in, want := range map[string]string{
		`drop`:                                             `drop`,
		"  keep\t":                                         `keep`,
		`drop kind=client route=/healthz*`:                 `drop kind=client route=/healthz*`,
		`keep package=example.com/shop/...`:                `keep package=example.com/shop/...`,
		`drop error=*net.OpError|*url.Error`:               `drop error=*net.OpError|*url.Error`,
		`drop message="connection reset*"`:                 `drop message="connection reset*"`,
		`drop span="GET "*`:                                `drop span="GET *"`,
		`drop message=a" b "c|"d|e"`:                       `drop message="a b c"|"d|e"`,
		`drop message="1 \* 2 \" \\ \x"`:                   `drop message="1 \* 2 \" \\ x"`,
		`drop message=C:\tmp`:                              `drop message="C:\\tmp"`,
		`drop message=""`:                                  `drop message=""`,
		`drop message=*`:                                   `drop message=*`,
		`drop attr.http.response.status_code=404|41*`:      `drop attr.http.response.status_code=404|41*`,
		`drop trigger=error_span service=shop scope=a.b/c`: `drop trigger=error_span service=shop scope=a.b/c`,
		`drop error=a error=b`:                             `drop error=a error=b`,
	} {
		r, err := ParseRule(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := r.String(); got != want {
			t.Errorf("%s: read as %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		``:                          `a rule is empty`,
		`dorp kind=client`:          `begins with "dorp", want drop or keep`,
		`kind=client`:               `begins with "kind=client"`,
		`drop client`:               `"client" is no condition`,
		`drop knid=client`:          `"knid" is no condition; there are trigger, error,`,
		`drop attr.=x`:              `"attr." is no condition`,
		`drop =x`:                   `"" is no condition`,
		`drop kind=cleint`:          `kind: "cleint" is none of internal, server, client, producer, consumer`,
		`drop kind=client|srever`:   `kind: "srever" is none of`,
		`drop trigger=manual`:       `trigger: "manual" is none of panic, error_span`,
		`drop span=`:                `span: a value is missing`,
		`drop span=a|`:              `span: a value is missing`,
		`drop span= a`:              `span: a value is missing`,
		`drop span="a`:              `span: a quote is not closed`,
		`drop span="a\"`:            `span: a quote is not closed`,
		`drop kind=client and more`: `"and" is no condition`,
	} {
		if r, err := ParseRule(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want an error with %s", in, r, err, want)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{
		`drop`, `keep package=example.com/shop/...`, `drop message="a \* b"|c* span=""`, `drop kind=client|"server"`, `drop attr.a.b=*`, "drop\xff a=\"",
		`drop error=**|"*\*"`, `drop message=a"b"c"\\"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRule(s)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a text")
			}
			return
		}
		again, err := ParseRule(r.String())
		if err != nil {
			t.Fatalf("%q is printed as %q, which is wrong: %v", s, r, err)
		}
		if fmt.Sprintf("%q", again) != fmt.Sprintf("%q", r) || len(again.conds) != len(r.conds) {
			t.Fatalf("%q is printed as %q, which is read as %q", s, r, again)
		}
		for i, c := range r.conds {
			for j, g := range c.values {
				if fmt.Sprintf("%q", g) != fmt.Sprintf("%q", again.conds[i].values[j]) {
					t.Fatalf("%q: %q became %q", s, g, again.conds[i].values[j])
				}
				if !g.match(strings.Join(g, "")) {
					t.Fatalf("%q does not match itself", g)
				}
				g.matchType(s)
				g.matchPackage(s)
			}
		}
	})
}

func TestGlob(t *testing.T) {
	glob := func(s string) glob {
		g, n, err := parseGlob(s, 0)
		if err != nil || n != len(s) {
			t.Fatalf("%s: %v", s, err)
		}
		return g
	}
	for _, tt := range []struct {
		glob, s string
		want    bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"a*", "ab", true},
		{"*a", "ba", true},
		{"*a*", "bab", true},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "acb", false},
		{"*", "", true},
		{"**", "x", true},
		{"/healthz*", "/healthz/live", true},
		{`"a\*"`, "a*", true},
		{`"a\*"`, "ab", false},
	} {
		if got := glob(tt.glob).match(tt.s); got != tt.want {
			t.Errorf("%s matches %q: %v", tt.glob, tt.s, got)
		}
	}
	for _, tt := range []struct {
		glob, s string
		want    bool
	}{
		{"*net.OpError", "*net.OpError", true},
		{"*net.OpError", "net.OpError", false},
		{"*net.OpError", "*subnet.OpError", false},
		{"*net.OpError", "*example.com/net.OpError", true}, // by its short name
		{"*net/url.Error", "*url.Error", true},             // the SDK writes no more
		{"*url.Error", "*net/url.Error", true},
		{"*net/url.Error", "*other/url.Error", false},
		{"*net.*", "*net.OpError", true},
		{"*Error", "*net.OpError", true},
		{"*.OpError", "*net.OpError", true},
		{"syscall.Errno", "syscall.Errno", true},
		{"example.com/shop.*", "example.com/shop.NotFound", true},
		{"*example.com/shop.*", "*example.com/shop.NotFound", true},
	} {
		if got := glob(tt.glob).matchType(tt.s); got != tt.want {
			t.Errorf("%s matches type %q: %v", tt.glob, tt.s, got)
		}
	}
	for _, tt := range []struct {
		glob, s string
		want    bool
	}{
		{"example.com/shop/...", "example.com/shop", true},
		{"example.com/shop/...", "example.com/shop/store", true},
		{"example.com/shop/...", "example.com/shopping", false},
		{"example.com/*", "example.com/shop/store", true},
		{"main", "main", true},
	} {
		if got := glob(tt.glob).matchPackage(tt.s); got != tt.want {
			t.Errorf("%s matches package %q: %v", tt.glob, tt.s, got)
		}
	}
}

func mustRules(t *testing.T, list ...string) []Rule {
	t.Helper()
	rs := []Rule{{}} // applies to nothing
	for _, s := range list {
		r, err := ParseRule(s)
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

// custom is an error type of the program.
type custom struct{ error }

func (c custom) Unwrap() error { return c.error }

func TestRules(t *testing.T) {
	// What fails is a client span "GET /healthz" of the scope "test" in the
	// service "shop".
	asSpan := func(h *harness) {
		_, s := h.tracer.Start(context.Background(), "GET /healthz", trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(attribute.String("url.path", "/healthz/live"), attribute.Int("http.response.status_code", 503)))
		fail(s, &net.OpError{Op: "read", Net: "tcp", Err: io.EOF}, "the peer has gone")
	}
	asError := func(h *harness) {
		ctx, s := h.tracer.Start(context.Background(), "GET /healthz", trace.WithSpanKind(trace.SpanKindClient))
		defer s.End()
		h.exporter.RecordError(ctx, custom{fmt.Errorf("healthz: %w", &net.OpError{Op: "read", Net: "tcp", Err: io.EOF})})
	}
	asPanic := func(h *harness) {
		caught(func() {
			_, s := h.tracer.Start(context.Background(), "GET /healthz", trace.WithSpanKind(trace.SpanKindClient))
			defer s.End()
			boom()
		})
	}
	// The value's message and what it wraps are known after phase one only.
	asOpaquePanic := func(h *harness) {
		caught(func() {
			_, s := h.tracer.Start(context.Background(), "GET /healthz", trace.WithSpanKind(trace.SpanKindClient))
			defer func() { s.End() }()
			panic(custom{errBoom})
		})
	}
	for _, tt := range []struct {
		rules    string // separated by ;
		fails    func(*harness)
		dropped  bool
		captures int64 // -1: none if dropped, else one
	}{
		{"drop", asSpan, true, -1},
		{"keep; drop", asSpan, false, -1},
		{"drop kind=server; drop kind=client", asSpan, true, -1},
		{"drop kind=client span=other", asSpan, false, -1},
		{"drop kind=server|client span=other|GET*", asSpan, true, -1},
		{"keep kind=client; drop", asSpan, false, -1},
		{"drop route=/healthz*", asSpan, true, -1},
		{"drop route=/other", asSpan, false, -1},
		{"drop attr.http.response.status_code=5*", asSpan, true, -1},
		{"drop attr.http.response.status_code=4*", asSpan, false, -1},
		{"drop attr.missing=*", asSpan, false, -1},
		{"drop service=shop scope=test", asSpan, true, -1},
		{"drop service=other", asSpan, false, -1},
		{"drop error=*net.OpError", asSpan, true, -1},
		{"drop error=*url.Error", asSpan, false, -1},
		{`drop message="read tcp: *"`, asSpan, true, -1},
		{`drop message="the peer*"`, asSpan, true, -1},
		{`drop message="the beer*"`, asSpan, false, -1},
		{"drop trigger=panic", asSpan, false, -1},
		{"drop package=github.com/otelcoredumpy/otelcoredumpy/...", asSpan, true, -1},
		{"drop package=example.com/...", asSpan, false, -1},

		{"drop error=*net.OpError", asError, true, -1},
		{"drop error=*custom", asError, true, -1},
		{"drop message=EOF", asError, true, -1},
		{"drop route=*", asError, false, -1},

		{"drop trigger=panic", asPanic, true, -1},
		{"drop error=*errors.errorString", asPanic, true, -1},
		{"drop message=boom", asPanic, true, -1},
		{"drop package=*/internal/failing", asPanic, true, -1},
		{"drop message=other", asPanic, false, -1},

		{"drop message=boom", asOpaquePanic, true, -1}, // from the SDK's event or phase one
		{"drop error=*errors.errorString", asOpaquePanic, true, 1},
		{"keep error=*errors.errorString; drop", asOpaquePanic, false, 1},
		{"keep error=*url.Error; drop", asOpaquePanic, true, 1},
		{"keep error=*url.Error kind=server; drop", asOpaquePanic, true, 0},
		{"drop error=*custom", asOpaquePanic, true, 0},
	} {
		t.Run(tt.rules, func(t *testing.T) {
			h := newHarness(t, func(c *Config) { c.Rules = mustRules(t, strings.Split(tt.rules, ";")...) })
			tt.fails(h)
			st := h.exporter.Stats()
			if tt.dropped {
				h.wantDumps(0)
				h.wantClean("GET /healthz")
				if st.Excluded != 1 {
					t.Errorf("stats %+v", st)
				}
			} else {
				h.wantDumps(1)
				h.wantSame("GET /healthz")
			}
			want := tt.captures
			if want < 0 && !tt.dropped {
				want = 1
			}
			if got := h.spy.calls.Load(); want >= 0 && got != want {
				t.Errorf("%d captures, want %d", got, want)
			}
		})
	}
}

func TestRulesDoNotConcernDump(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.Rules = mustRules(t, "drop")
		c.Sample = map[dump.Trigger]float64{dump.TriggerManual: 0}
	})
	if _, err := h.exporter.Dump(context.Background(), DumpOptions{}); err != nil {
		t.Error(err)
	}
	h.wantDumps(1)
}

var errSentinel = errors.New("not found")

// notFound says that it is errSentinel.
type notFound struct{ id int }

func (n notFound) Error() string        { return fmt.Sprint("no such order: ", n.id) }
func (n notFound) Is(target error) bool { return target == errSentinel }

// hostile panics when it is asked what it is.
type hostile struct{ error }

func (hostile) Is(error) bool { panic("hostile") }

func TestExcludeIs(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.ExcludeIs = []error{nil, errSentinel, context.Canceled} })
	n := uint64(0)
	record := func(name string, err error, excluded bool) {
		ctx, s := h.tracer.Start(context.Background(), name)
		h.exporter.RecordError(ctx, err)
		s.End()
		check(h, name, excluded, &n)
	}
	record("itself", errSentinel, true)
	record("wrapped", fmt.Errorf("get: %w", errSentinel), true)
	record("by its Is method", notFound{7}, true)
	record("canceled", fmt.Errorf("query: %w", context.Canceled), true)
	record("same text, other type", fmt.Errorf("not found"), false)
	record("other", errors.New("disk full"), false)
	record("hostile", hostile{errors.New("x")}, false)

	span := func(name string, err error, excluded bool) {
		_, s := h.tracer.Start(context.Background(), name)
		fail(s, err, "")
		check(h, name, excluded, &n)
	}
	span("span", errSentinel, true)
	span("span of another type", custom{errSentinel}, false)

	throw := func(name string, v any, excluded bool) {
		caught(func() {
			_, s := h.tracer.Start(context.Background(), name)
			defer func() { s.End() }()
			panic(v)
		})
		check(h, name, excluded, &n)
	}
	throw("panic", errSentinel, true)
	throw("panic with an equal one", errors.New(errSentinel.Error()), true) // as data it is the same
	throw("panic with a wrapped one", fmt.Errorf("get: %w", errSentinel), true)
	throw("panic with an own type around it", custom{errSentinel}, true) // seen in phase one
	throw("panic with something else", "not found", false)
	if st := h.exporter.Stats(); st.Excluded != n || st.Contained != 0 {
		t.Errorf("stats %+v, want %d excluded", st, n)
	}
}

func check(h *harness, name string, excluded bool, n *uint64) {
	h.t.Helper()
	if excluded {
		*n++
		h.wantClean(name)
		return
	}
	h.wantSame(name)
}

func TestPanicChain(t *testing.T) {
	var runtimeErr any
	caught(func() {
		defer func() { runtimeErr = recover() }()
		failing.NilMap(nil)
	})
	for _, tt := range []struct {
		v        any
		want     string
		complete bool
	}{
		{"text", "string:text", true},
		{42, "int:42", true},
		{errBoom, "*errors.errorString:boom", true},
		{fmt.Errorf("a: %w", errBoom), "*fmt.wrapError:a: boom *errors.errorString:boom", true},
		{fmt.Errorf("a: %w", custom{errBoom}), "*fmt.wrapError:a: boom " + ownPath + "/exporter.custom:", false},
		{evil{}, ownPath + "/exporter.evil:", false},
		{runtimeErr, "runtime.plainError:assignment to entry in nil map", true},
		{struct{ A int }{1}, "struct { A int }:", false},
		{nil, "", false},
	} {
		chain, complete := panicChain(tt.v)
		var got []string
		for i, c := range chain {
			got = append(got, c.Type+":"+c.Message)
			if c.Parent != i-1 || c.Panic != (i == 0) {
				t.Errorf("%v: %+v", tt.want, c)
			}
		}
		if strings.Join(got, " ") != tt.want || complete != tt.complete {
			t.Errorf("%q, %v; want %q, %v", strings.Join(got, " "), complete, tt.want, tt.complete)
		}
	}
}

func TestSampling(t *testing.T) {
	e := &Exporter{cfg: Config{Sample: map[dump.Trigger]float64{dump.TriggerErrorSpan: 0.25}}}
	const n = 20_000
	kept, low := 0, 0
	for i := range n {
		var id dump.TraceID
		for j := range id {
			id[j] = byte(mix(uint64(i*len(id) + j)))
		}
		f := &failure{trigger: dump.TriggerErrorSpan, sighting: sighting{trace: id}}
		in := e.sampled(f)
		if in != e.sampled(f) {
			t.Fatal("a trace does not agree with itself")
		}
		if in {
			kept++
			if id[8] < 128 {
				low++
			}
		}
		if f.trigger = dump.TriggerPanic; !e.sampled(f) {
			t.Fatal("a trigger without a fraction is sampled out")
		}
	}
	if kept < n*23/100 || kept > n*27/100 {
		t.Errorf("%d of %d traces kept, want a quarter", kept, n)
	}
	if low < kept*45/100 || low > kept*55/100 {
		t.Errorf("%d of %d kept traces are those that the SDK's sampler would keep, want half", low, kept)
	}
	for fraction, want := range map[float64]int{0: 0, -1: 0, 1: 100, 2: 100} {
		e.cfg.Sample[dump.TriggerErrorSpan] = fraction
		got := 0
		for i := range 100 {
			if e.sampled(&failure{trigger: dump.TriggerErrorSpan, sighting: sighting{trace: dump.TraceID{0: byte(i), 15: 1}}}) {
				got++
			}
			e.sampled(&failure{trigger: dump.TriggerErrorSpan}) // without a trace
		}
		if got != want {
			t.Errorf("fraction %v: %d of 100", fraction, got)
		}
	}
	// What services agree on must never change.
	if mix(1) != 0x910a2dec89025cc1 {
		t.Errorf("mix(1) = %#x", mix(1))
	}
}

func TestSampledOutSpans(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.Sample = map[dump.Trigger]float64{dump.TriggerErrorSpan: 0, dump.TriggerPanic: 0}
		c.RecoveredBy = []string{"github.com/otelcoredumpy/otelcoredumpy/exporter.serve"}
	})
	h.failSpan("error")
	serve(func() {
		_, s := h.tracer.Start(context.Background(), "panic")
		defer s.End()
		boom()
	})
	h.wantDumps(0)
	h.wantClean("error")
	if s := h.span("panic"); s.Status.Code != codes.Error || s.Status.Description != "panic: boom" || value(s, AttrDumpID) != "" {
		t.Errorf("span %+v: a panic is one whether or not it gets a dump", s)
	}
	caught(func() { // nobody is known to recover
		_, s := h.tracer.Start(context.Background(), "death")
		defer s.End()
		boom()
	})
	h.wantDumps(1)
	h.wantSame("death")
	if st := h.exporter.Stats(); st.Suppressed[SuppressedSampled] != 2 {
		t.Errorf("stats %+v", st)
	}
}

// A verdict after phase one holds for failures like that one only as far as the
// rules decide by what makes them alike.
func TestRulesThatDecideAfterPhaseOne(t *testing.T) {
	for _, tt := range []struct {
		rules string
		dumps int // of a failure of prod, after one of test
		calls int64
	}{
		{"drop error=*errors.errorString", 0, 1},
		{"drop error=*errors.errorString attr.tenant=test", 1, 2},
		{"keep attr.tenant=prod;drop error=*errors.errorString", 1, 2},
		{"keep attr.tenant=prod span=other;drop error=*errors.errorString", 0, 1},
		{"drop error=*errors.errorString message=boom*", 0, 2},
	} {
		t.Run(tt.rules, func(t *testing.T) {
			h, _ := newStormHarness(t, func(c *Config) { c.Rules = mustRules(t, strings.Split(tt.rules, ";")...) })
			for _, tenant := range []string{"test", "prod"} {
				serve(func() {
					_, s := h.tracer.Start(context.Background(), "s", trace.WithAttributes(attribute.String("tenant", tenant)))
					defer s.End()
					panic(custom{errBoom}) // what it wraps is known after phase one only
				})
			}
			h.wantDumps(tt.dumps)
			if n := h.spy.calls.Load(); n != tt.calls {
				t.Errorf("%d captures, want %d", n, tt.calls)
			}
		})
	}
}
