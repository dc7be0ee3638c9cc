package debugger_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest/fixture"
)

var (
	update   = flag.Bool("update", false, "rewrite the golden files")
	delveBin = flag.String("dlv", "", "path of a dlv binary: record testdata/delve.golden anew from it")
)

const fixturePath = "github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest/fixture"

// fixtureBuilder captures the variables of fixture.Run, in one frame.
func fixtureBuilder() *debuggertest.Builder {
	b := debuggertest.New()
	b.Rename = map[string]string{fixturePath: "main"}
	f := dump.Frame{Func: "main.Run", File: "/src/main.go", Line: 3, FuncLine: 1, PC: 0x4c2485, User: true}
	fixture.Run(func(vars []fixture.Var, closures []fixture.Closure) {
		for _, c := range closures {
			b.Captured[entry(c.Func)] = c.Captured
		}
		for _, v := range vars {
			f.Vars = append(f.Vars, b.Var(v.Name, dump.VarLocal, v.Addr))
		}
	}, func() {})
	b.Goroutines = []*dump.Goroutine{{ID: 1, Status: "running", Failing: true, Frames: []dump.Frame{f}}}
	b.Header.Failing = dump.Location{Func: f.Func, File: f.File, Line: f.Line, Goroutine: 1}
	b.Sources = []*dump.Source{{File: f.File, Blocks: []dump.SourceBlock{{First: 1, Lines: []string{"one", "two", "three"}}}}}
	return b
}

func fixtureSession(t testing.TB) *debugger.Session {
	t.Helper()
	s, err := debugger.New(fixtureBuilder().Reader(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// delveExprs are evaluated by dlv and by us.
var delveExprs = strings.Fields(`
	a1[0] a1[2:5] a1[:3] a1[3:] a1[18:] a1[18] a1[0:19] a1[5:3] a1[-1] len(a1) cap(a1)
	a4[1] a4[2] a4[:1] a5[2:4] a5[1:2][0:4] a5[5] a5[:6] len(a5) cap(a5) cap(s3) len(nilslice) len(a4) len(arr) cap(arr)
	a6.Baz a6.Nope a7.Bur a9.Baz a9.Nope a11[1].Bur a13[2].Baz a13[0] a13[2] *a7 *a9 *a2 &a2 &a6 &a7 &a7.Bur &a11[1] &3 &nil *nil *3
	ms.Nest ms.Nest.Nest ms.Nest.Nest.Nest.Nest ms.Nest.Nest.Nest.Nest.Nest ms.Nest.Nest.Nest.Nest.Nest.Level
	b.val b.inner.val b.a.val b.ptr.val b.s b.leaf.s bnil.s bnil.leaf bnil.leaf.s bnil.ptr.val bnil.nope
	ba[64:] ba[199] s3[0] s3[:3] nilslice[0] nilslice[0:] nilslice[:0]
	sm["a"] sm["b"] sm[1] m1["Malone"] m1["Malone"].Baz m2[1] m2[1].Baz m2[idx].Bur m2["x"] m2[2] m4[1.5] m4[2] m6[true] m6[true][1]
	mnil["a"] mempty["a"] len(sm) len(mnil) cap(sm) sm[1:] m1[0:]
	err1.Op err1.Err err1.(*failure) err1.(*main.failure) err1.(*main.foo) err1.(data) err1.(data).Op err2.err errnil.(*main.foo) errtyped
	iface1.Baz iface1.(*main.foo).Bur iface2.(string) iface2.(int) iface3.Bur iface4.(data)[1] iface4.([]int) iface5.(data)["z"] iface6.(int) ifacenil.(int) a2.(int)
	sh.side ifaces[3] ifaces[8].(data)[1] ifaces[9] errs[0] errs[1]
	ch.qcount ch.dataqsiz len(ch) cap(ch) len(chnil) cap(chnil)
	pp.Baz **pp *pp arr[1] arr[5] pslice[1] pmap["a"] pstr[0] *pslice *pmap *pstr self *self
	lv lb mn[1] mn[1].Route pr.Key prp.Val[0] prp.Key.Bur wd zs anon.B u u.Host u.User bad badp badi badi.From
	a2+1 a2-7 a2*a2 a2/4 a2%4 -a2 +a2 ^a2 a2<<2 a2>>1 a2&3 a2|1 a2^2 a2&^2 u8+1 i8-1 -i8 u16*u16 a3/2 a3*2.0 a3+a2 a2+"x" a2+1.5 a2/0 1/0 1/2 1.0/2 7%3 1<<10
	a2==6 a2!=6 a2<7 a2<=6 a2>6 a2>=7 a1=="foofoofoofoofoofoo" a1<"g" a1>"a" a3==7.23 b1==true b1&&b2 b1||b2 !b1 !a2 b1&&a2 a6==a6 a6==a8 a4==a4 a5==a5
	a9==nil a7==nil nil==a9 nilslice==nil s3==nil mnil==nil chnil==nil ch==nil fn2==nil fn1==nil errnil==nil errtyped==nil err1==err1 err1==errnil iface1==iface1 a2==nil nil==nil
	a7==a7 a7!=a9 c64==c64 lv==3 lb=="red" lv+1 dur/1000
	1 1.5 10 "x" 'a' true nil 1+2i "a"+"b" 1==1.0 0x10 1e3 -1 !true
	nope nope.x main.nope fmt.Println(1) a2(1) int(a2) main.foo a2.x a1.x (a2) (a6).Baz a2[0] nil[0] nil.x a1[a3] a1["x"] a5["x"] m1[a2] len(a2) len() cap(a2) len(1) a2.Baz
	lstrs[2][2:5] long[70:] u.Path[1:] a12[1].Bur[0] grid[1] grid[1][1] grid[2] mps[0]["q"] root.Kids[0].Name root.Meta["n"] root.Kids[0].Kids ring.Next.Next.Next.Name
	mx.A[0] mx.B mx.D.Bur mx.N mx.K mx.L mx.Big t1.wall clos.n clos.a2 clos.nope fn1.x
	u64+1 u64 -neg neg>>70 1<<a2 a2<<-1 a2<<a3 bytes[1:3] r==233 r=='é' f32*2 c64*c64 c128==c128 up+1
`)

// differences are the expressions on which we differ from dlv, and why.
var differences = map[string]string{
	"print ch":              "a dump has of a channel its length, capacity, elements and whether it is closed, not the runtime's other fields",
	"print mx":              "as print ch, inside a struct",
	"print chnil":           "dlv prints a nil channel as chan string {}, its locals command as chan string nil",
	"whatis errnil":         "dlv says that the concrete type of a nil interface is void",
	"whatis ifacenil":       "as whatis errnil",
	"print t2":              "dlv loads a zone by its name; we use the rules in the value, so a zone without a name has its offset",
	"locals ^t2$":           "as print t2",
	"print a13[2].Baz":      "dlv does not know the name of what is nil",
	"print bnil.s":          "the embedded pointer is nil, not what it is embedded in",
	"print s3[:3]":          "what lies between length and capacity is not in a dump",
	"print nilslice[0]":     "we say why",
	"print nilslice[0:]":    "Go slices a nil slice so",
	"print nilslice[:0]":    "as print nilslice[0:]",
	`print mempty["a"]`:     "dlv trips over the empty group of an empty map",
	"print err1.(*failure)": "a name without a package is of the frame's package, as in the source",
	"print -i8":             "Go's int8 wraps round",
	"print a2/0":            "we use the compiler's words",
	"print 1/0":             "as print a2/0",
	"print a3==7.23":        "dlv compares a float64 with the exact constant; Go converts the constant first",
	"print !a2":             "dlv shows go/constant's panic",
	"print b1&&a2":          "we say which operand",
	"print nil==nil":        "not defined in Go",
	"print nope.x":          "dlv takes an unknown name before a dot for a package",
	"print main.nope":       "package variables are not captured, so main means nothing",
	"print main.foo":        "as print main.nope",
	"whatis main.nope":      "as print main.nope",
	"print fmt.Println(1)":  "a dump cannot call",
	"print a2(1)":           "a dump cannot call",
	"print int(a2)":         "conversions are not supported yet",
	"whatis error":          "dlv does not know the kind of an interface type",
	"whatis net/url.URL":    "methods are not in a dump",
	"whatis url.URL":        "dlv evaluates it as an expression",
}

type exchange struct{ cmd, out string }

// delveCommands is what is recorded: every variable in each form, then every
// expression.
func delveCommands() []string {
	var cmds []string
	fixture.Run(func(vars []fixture.Var, _ []fixture.Closure) {
		for _, v := range vars {
			cmds = append(cmds, "print "+v.Name, "locals ^"+v.Name+"$", "whatis "+v.Name)
		}
	}, func() {})
	for _, v := range []string{"a2", "u8", "a1", "a5", "a6", "a7", "bytes", "sm", "iface1", "c64", "a3", "b1"} {
		for _, verb := range []string{"%x", "%#x", "%d", "%s", "%q", "%v", "%08b"} {
			cmds = append(cmds, "print "+verb+" "+v)
		}
	}
	for _, e := range delveExprs {
		cmds = append(cmds, "print "+e)
	}
	for _, e := range []string{"main.foo", "*main.foo", "main.menu", "int", "main.nope", "[]int", "error", "a2+1", "&a2", "a5[1:]", "a4[1:]", "iface1.(data)", "net/url.URL", "url.URL"} {
		cmds = append(cmds, "whatis "+e)
	}
	return cmds
}

var addresses = regexp.MustCompile(`0x[0-9a-f]{5,}`)

// normal makes output comparable: addresses differ from run to run.
func normal(s string) string {
	return strings.TrimRight(addresses.ReplaceAllString(s, "0xADDR"), "\n")
}

// TestDelve compares our output with dlv's, which was recorded with
//
//	go test ./internal/debugger -run TestDelve -dlv $(which dlv)
func TestDelve(t *testing.T) {
	golden := filepath.Join("testdata", "delve.golden")
	if *delveBin != "" {
		recordDelve(t, golden)
	}
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]string{}
	for _, x := range parseExchanges(string(data)) {
		recorded[x.cmd] = x.out
	}
	sc := fixtureSession(t).Scope()
	same, differ := 0, 0
	var ours bytes.Buffer
	for _, cmd := range delveCommands() {
		want, ok := recorded[cmd]
		if !ok {
			t.Errorf("%s is not in %s", cmd, golden)
			continue
		}
		got := normal(runDelveCommand(sc, cmd))
		if got == want {
			if why, ok := differences[cmd]; ok {
				t.Errorf("%s: listed as different (%s), but is the same", cmd, why)
			}
			same++
			continue
		}
		differ++
		why, ok := differences[cmd]
		if !ok {
			t.Errorf("%s:\n got %s\nwant %s", cmd, got, want)
		}
		fmt.Fprintf(&ours, "> %s\n# %s\n# dlv: %s\n%s\n", cmd, why, strings.ReplaceAll(want, "\n", "\n#      "), got)
	}
	t.Logf("%d commands: %d alike, %d with a listed difference", same+differ, same, differ)
	checkGolden(t, filepath.Join("testdata", "differences.golden"), ours.String())
}

// runDelveCommand does what the command does in dlv.
func runDelveCommand(sc debugger.Scope, cmd string) string {
	verb, arg, _ := strings.Cut(cmd, " ")
	switch verb {
	case "print":
		f := debugger.DefaultFormat()
		if strings.HasPrefix(arg, "%") {
			f.Verb, arg, _ = strings.Cut(arg, " ")
		}
		v, err := sc.Eval(arg)
		if err != nil {
			return "error: " + err.Error()
		}
		return v.Format(f)
	case "locals":
		name := strings.Trim(arg, "^$")
		for _, v := range sc.Locals() {
			if v.Name == name {
				return name + " = " + v.Value.Format(debugger.ShortFormat())
			}
		}
		return "(no locals)"
	case "whatis":
		info, err := sc.WhatIs(arg)
		if err != nil {
			return "error: " + err.Error()
		}
		return info.String()
	}
	return "unknown command"
}

func parseExchanges(s string) []exchange {
	var list []exchange
	for _, part := range strings.Split("\n"+s, "\n> ")[1:] {
		cmd, out, _ := strings.Cut(part, "\n")
		list = append(list, exchange{cmd, strings.TrimRight(out, "\n")})
	}
	return list
}

// recordDelve runs the commands in dlv, over the fixture as a main package.
func recordDelve(t *testing.T, golden string) {
	dir := t.TempDir()
	src, err := os.ReadFile(filepath.Join("debuggertest", "fixture", "fixture.go"))
	if err != nil {
		t.Fatal(err)
	}
	main := strings.Replace(string(src), "package fixture", "package main", 1) +
		"\nfunc main() { Run(func([]Var, []Closure) {}, runtime.Breakpoint) }\n"
	main = strings.Replace(main, "import (", "import (\n\t\"runtime\"", 1)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("main.go", main)
	write("go.mod", "module fixture\n\ngo 1.26\n")
	cmds := delveCommands()
	var script strings.Builder
	script.WriteString("continue\n")
	for i, c := range cmds {
		fmt.Fprintf(&script, "print \"MARK %d\"\n%s\n", i, c)
	}
	fmt.Fprintf(&script, "print \"MARK %d\"\nexit\n", len(cmds))
	write("script", script.String())
	build := exec.Command("go", "build", "-gcflags=all=-N -l", "-o", "fixture", ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := exec.Command(*delveBin, "exec", "./fixture", "--init", "script", "--allow-non-terminal-interactive=true")
	run.Dir = dir
	run.Env = append(os.Environ(), "TERM=dumb", "HOME="+dir)
	out, err := run.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("%v\n%s", err, out)
	}
	var b strings.Builder
	b.WriteString("# What dlv printed; see TestDelve. Addresses are replaced by 0xADDR.\n")
	rest := string(out)
	position := regexp.MustCompile(`(?m)^script:\d+: `)
	for i, c := range cmds {
		_, after, ok := strings.Cut(rest, fmt.Sprintf("\"MARK %d\"\n", i))
		part, _, ok2 := strings.Cut(after, fmt.Sprintf("\"MARK %d\"\n", i+1))
		if !ok || !ok2 {
			t.Fatalf("no output of %s in\n%s", c, out)
		}
		rest = after
		part = strings.ReplaceAll(part, "\nGoroutines waiting on this channel:\n", "")
		fmt.Fprintf(&b, "> %s\n%s\n", c, normal(position.ReplaceAllString(part, "error: ")))
	}
	if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkGolden compares got with a golden file, or writes it with -update.
func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs (write it anew with -update):\n got %s\nwant %s", file, got, want)
	}
}
