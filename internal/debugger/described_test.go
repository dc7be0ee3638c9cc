package debugger_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
)

type account struct {
	Cents    int64
	Currency string
}

type holder struct {
	Paid  account
	Wait  time.Duration
	Addrs []address
	Ptr   *account
}

type address []byte

// describe gives a value a summary and children, as a type support does.
func describe(v *dump.Value, summary string, kids ...dump.Child) {
	v.Summary, v.Children = summary, kids
}

func describedSession(t *testing.T) *debugger.Session {
	t.Helper()
	b := debuggertest.New()
	b.Rename = map[string]string{"github.com/otelcoredumpy/otelcoredumpy/internal/debugger_test": "main"}
	text := func(s string) dump.Value { return b.Value(&s) }
	acc := account{1250, "EUR"}
	h := holder{Paid: acc, Wait: 1500 * time.Millisecond, Addrs: []address{{192, 0, 2, 1}}, Ptr: &account{5, "CHF"}}
	var iface any = h.Ptr
	f := dump.Frame{Func: "main.run", File: "/src/main.go", Line: 3, User: true, Vars: []dump.Variable{
		b.Var("acc", dump.VarLocal, &acc), b.Var("h", dump.VarLocal, &h), b.Var("p", dump.VarLocal, &h.Ptr), b.Var("i", dump.VarLocal, &iface),
		b.Var("none", dump.VarLocal, new(*account)),
	}}
	describe(&f.Vars[0].Value, "12.50 EUR", dump.Child{Name: "whole", Value: text("12")}, dump.Child{Name: "cents", Value: text("50")})
	hv := &f.Vars[1].Value
	describe(&hv.Elems[0], "12.50 EUR")
	describe(&hv.Elems[1], "1.5s")
	for _, o := range b.Objects {
		switch v := &o.Value; b.Types[v.Type-1].Name {
		case "main.account":
			describe(v, "0.05 CHF", dump.Child{Name: "cents", Value: text("05")})
		case "[1]main.address":
			describe(&v.Elems[0], "192.0.2.1", dump.Child{Name: "class", Value: text("test\x1b")})
		}
	}
	b.Goroutines = []*dump.Goroutine{{ID: 1, Status: "running", Failing: true, Frames: []dump.Frame{f}}}
	b.Header.Failing = dump.Location{Func: f.Func, File: f.File, Line: f.Line, Goroutine: 1}
	s, err := debugger.New(b.Reader(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDescribed(t *testing.T) {
	s := describedSession(t)
	sc := s.Scope()
	for _, c := range []struct{ expr, print, short, whatis string }{
		{
			"acc",
			`main.account(12.50 EUR){[whole]: "12", [cents]: "50", Cents: 1250, Currency: "EUR"}`,
			`main.account(12.50 EUR){Cents: 1250, Currency: "EUR"}`,
			"main.account\nSummary: 12.50 EUR\n\t[whole]: \"12\"\n\t[cents]: \"50\"",
		},
		{
			"h.Wait", "time.Duration(1.5s) 1500000000", "time.Duration(1.5s) 1500000000", "time.Duration\nSummary: 1.5s",
		},
		{
			"h.Addrs[0]", `main.address(192.0.2.1) {[class]: "test\x1b"} [192,0,2,1]`, `main.address(192.0.2.1) [...]`,
			"main.address\nSummary: 192.0.2.1\n\t[class]: \"test\\x1b\"",
		},
		{"h.Paid.Cents", "1250", "1250", "int64"},
		{"none", "*main.account nil", "*main.account nil", "*main.account"},
	} {
		t.Run(c.expr, func(t *testing.T) {
			x, err := sc.Eval(c.expr)
			if err != nil {
				t.Fatal(err)
			}
			if got := x.Format(debugger.Format{LoadConfig: debugger.DefaultLoad(), Multiline: true}); got != c.print {
				t.Errorf("print is\n%s, want\n%s", got, c.print)
			}
			if got := x.Format(debugger.ShortFormat()); got != c.short {
				t.Errorf("locals is\n%s, want\n%s", got, c.short)
			}
			info, err := sc.WhatIs(c.expr)
			if err != nil {
				t.Fatal(err)
			}
			if info.String() != c.whatis {
				t.Errorf("whatis is\n%s, want\n%s", info, c.whatis)
			}
		})
	}
}

// What is not loaded, because of the limits of printing, shows its summary all the same.
func TestDescribedFar(t *testing.T) {
	s := describedSession(t)
	sc := s.Scope()
	for expr, want := range map[string]string{
		"p": `^\(\*main\.account\)\(0x[0-9a-f]+\) \(0\.05 CHF\)$`,
		"i": `^interface \{\}\(\*main\.account\) 0x[0-9a-f]+ \(0\.05 CHF\)$`,
	} {
		x, err := sc.Eval(expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := x.Format(debugger.ShortFormat()); !match(want, got) {
			t.Errorf("%s is %s, want %s", expr, got, want)
		}
	}
	x, err := sc.Eval("h")
	if err != nil {
		t.Fatal(err)
	}
	flat := debugger.ShortFormat()
	flat.MaxStructFields = -1
	if got := x.Format(flat); !match(`^main\.holder \{Paid: main\.account\(12\.50 EUR\), Wait: time\.Duration\(1\.5s\) 1500000000, Addrs: .*Ptr: \(\*main\.account\)\(0x[0-9a-f]+\) \(0\.05 CHF\)\}$`, got) {
		t.Errorf("h is %s", got)
	}
}

func TestDescribedTree(t *testing.T) {
	s := describedSession(t)
	x, err := s.Scope().Eval("acc")
	if err != nil {
		t.Fatal(err)
	}
	if x.Summary() != "12.50 EUR" || x.NumChildren() != 4 {
		t.Errorf("summary is %q, %d children", x.Summary(), x.NumChildren())
	}
	for from := range 5 {
		for n := range 5 {
			var got []string
			for _, c := range x.Children(from, n) {
				got = append(got, c.Name+"="+c.Value.String())
			}
			all := []string{`[whole]="12"`, `[cents]="50"`, "Cents=1250", `Currency="EUR"`}
			want := all[from:min(4, from+n)]
			if len(got) != len(want) {
				t.Fatalf("children %d+%d are %q, want %q", from, n, got, want)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("children %d+%d are %q, want %q", from, n, got, want)
				}
			}
		}
	}
}

func match(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }
