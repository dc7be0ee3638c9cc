package capture_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

const globalsTarget = "github.com/otelcoredumpy/otelcoredumpy/capture/testdata/targets/globals"

// trueGlobals are the values of the target's package variables.
var trueGlobals = map[string]string{
	"main.flag": "true", "main.count": "-3", "main.small": "7", "main.ratio": "0.5", "main.z": "(1+2i)",
	"main.greeting": `"hello hello "`,
	"main.ring":     `&{name:"one" next:&{name:"two" next:&(again)}}`,
	"main.byName":   `map(1){"one":&{name:"one" next:&{name:"two" next:&(again)}}}`,
	"main.missing":  "nil", "main.list": `["late" "b"]`, "main.alias": `["late"]`, "main.grid": "[[1 -2] [3 4]]",
	"main.where": "main.square({side:3})", "main.empty": "nil", "main.hook": "func main.work.func1{n:7}",
	"main.err":  `*fmt.wrapError(&{msg:"no stock: EOF" err:*errors.errorString(&{s:"EOF"})})`,
	"main.jobs": "chan(2/4)[11 22]", "main.table": `["zero" "one"]`,
	"main.apiToken": "!redacted name-token",
	"main.settings": `{Host:"db.internal" Password:!redacted name-password}`,
	"main.engine":   "!unsupported otelcoredumpy leaves out its own state",

	globalsTarget + "/store.v2.cache":  `{items:map(1){"odd":[7 9]} hits:1}`,
	globalsTarget + "/store.v2.Prices": `map(2){"A-1":9.5 "B-2":7}`,
	globalsTarget + "/store.v2.second": "42", globalsTarget + "/store.v2.base": "83",

	"github.com/klauspost/compress/zstd.bitMask32": bitMask32(),
	"io.EOF": `*errors.errorString(&{s:"EOF"})`,
}

// bitMask32 is what the variable of that name in package zstd is: 1<<i - 1.
func bitMask32() string {
	var s []string
	for i := range 32 {
		s = append(s, fmt.Sprint(uint32(1)<<i-1))
	}
	return "[" + strings.Join(s, " ") + "]"
}

func TestGlobals(t *testing.T) {
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			if testing.Short() && b.name != "default" {
				t.Skip("-short: the default build only")
			}
			file := filepath.Join(t.TempDir(), "globals.cdmp")
			bin := buildTarget(t, "globals", b.flags)
			out, err := targetCommand(bin, file, "main.*", globalsTarget+"/*", "github.com/klauspost/compress/zstd.bit*", "io.EOF", "main.unused", "example.com/no/such.*").CombinedOutput()
			if err != nil {
				t.Fatalf("target: %v\n%s", err, out)
			}
			r, err := dump.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Verify(); err != nil {
				t.Fatal(err)
			}
			if b.bare {
				m := missingOf(r.Header(), "package variables")
				if len(m) != 1 || !strings.Contains(m[0].Why, "debug info") || r.NumPackageVars() != 0 {
					t.Errorf("%d package variables; missing: %+v", r.NumPackageVars(), m)
				}
				return
			}
			checkGlobals(t, r, b.whole)
			var unmatched []string
			for _, m := range missingOf(r.Header(), "package variables") {
				unmatched = append(unmatched, m.Why)
				if m.Hint == "" {
					t.Errorf("no hint: %+v", m)
				}
			}
			want := []string{"no variable of the program matches main.unused", "no variable of the program matches example.com/no/such.*"}
			if !slices.Equal(unmatched, want) {
				t.Errorf("missing is %q, want %q", unmatched, want)
			}
			if got := strings.Fields(string(out)); !slices.Equal(got[1:], []string{"main.unused", "example.com/no/such.*"}) {
				t.Errorf("the engine says that %q match nothing", got[1:])
			}
		})
	}
}

func checkGlobals(t *testing.T, r *dump.Reader, whole bool) {
	t.Helper()
	seen := map[string]bool{}
	var order []string
	for v, err := range r.PackageVars() {
		if err != nil {
			t.Fatal(err)
		}
		name := v.Package + "." + v.Name
		seen[name] = true
		order = append(order, v.Package+"\x00"+v.Name)
		if v.State != dump.VarLive || v.Value.Addr == 0 {
			t.Errorf("%s is %v at %#x: %v %s", name, v.State, v.Value.Addr, v.Value.Reason, v.Value.Detail)
			continue
		}
		// What is small was copied while the failing goroutine waited.
		if size := r.Type(v.Value.Type).Size; v.Late != (size > 4096) {
			t.Errorf("%s of %d bytes: late is %v", name, size, v.Late)
		}
		if want, ok := trueGlobals[name]; ok {
			if got := render(r, &v.Value); got != want && (whole || want != got+"{n:7}") { // what a closure has captured may be optimised away
				t.Errorf("%s is\n  %s, want\n  %s", name, got, want)
			}
		}
		switch name {
		case "main.big":
			if n := r.NumElems(&v.Value); n == 0 || r.Elem(&v.Value, 0).Num != 1 {
				t.Errorf("main.big: %d elements", n)
			}
		case "main.deep":
			if got := render(r, &v.Value); strings.Count(got, `"link"`) != 10 || !strings.Contains(got, "!depth") {
				t.Errorf("main.deep is %s, want what is 10 pointers away and no more", got)
			}
		case "main.unused":
			t.Error("main.unused should have been left out by the linker")
		}
	}
	for name := range trueGlobals {
		if !seen[name] {
			t.Errorf("%s is not there", name)
		}
	}
	for _, name := range []string{"main.lock", "main.hits", "main.big", "main.deep"} {
		if !seen[name] {
			t.Errorf("%s is not there", name)
		}
	}
	if !slices.IsSorted(order) {
		t.Errorf("not in order: %q", order)
	}
}

func missingOf(h *dump.Header, what string) []dump.Missing {
	var out []dump.Missing
	for _, m := range h.Missing {
		if m.What == what {
			out = append(out, m)
		}
	}
	return out
}

// buildTarget compiles a target program and returns the executable's path.
func buildTarget(t *testing.T, name string, flags []string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	goBuild(t, bin, "./testdata/targets/"+name, flags...)
	return bin
}

func TestVariablePatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		ok      bool
	}{
		{"main.*", true},
		{"main.cache", true},
		{"github.com/acme/shop/store.cache", true},
		{"github.com/acme/*", true},
		{"*/store.cache*", true},
		{"", false},
		{"*", false},
		{"**", false},
		{"main", false},
		{" main.*", false},
		{`"main".x`, false},
	} {
		if err := capture.CheckVariables(c.pattern); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.pattern, err)
		}
	}
	cfg := capture.DefaultConfig()
	cfg.Variables = []string{"main"}
	if _, err := capture.New(cfg); err == nil || !strings.Contains(err.Error(), "Variables") {
		t.Errorf("a bad pattern: %v", err)
	}
}

// Package variables of this test.
var (
	heavyGlobal map[int][]string
	lightGlobal = 1
)

// What a package variable leads to has a share of the limits; who comes before and behind it loses nothing.
func TestGlobalBudget(t *testing.T) {
	heavyGlobal = map[int][]string{}
	for i := range 900 {
		for k := range 20 {
			heavyGlobal[i] = append(heavyGlobal[i], strings.Repeat("some text ", 10)+fmt.Sprint(i, k))
		}
	}
	lightGlobal++
	parked, done := make(chan bool), make(chan bool)
	go waiting(&tree{Name: "parked"}, parked, done)
	<-parked
	defer close(done)
	mine := &tree{Name: "mine", Up: &tree{Name: "left"}}
	for _, c := range []struct {
		name string
		set  func(*capture.Config)
	}{
		{"bytes", func(c *capture.Config) { c.MaxBytes = 2 << 20 }},
		{"objects", func(c *capture.Config) { c.MaxObjects = 10_000 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := engine(t, func(cfg *capture.Config) {
				c.set(cfg)
				cfg.Variables = []string{"*/capture_test.heavyGlobal", "github.com/otelcoredumpy/otelcoredumpy/capture_test.lightGlobal"}
			})
			s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual, Watches: []capture.Watch{{Name: "mine", Value: mine}}})
			if err != nil {
				t.Fatal(err)
			}
			r := encode(t, s, nil)
			var b dump.Budget
			for _, b = range r.Header().Budgets {
				if b.Name == "package_variables" {
					break
				}
			}
			if b.Hits == 0 || b.Spent == 0 || b.Spent > b.Limit+1<<20 {
				t.Errorf("the budget is %+v", b)
			}
			var names []string
			for v, err := range r.PackageVars() {
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, v.Name)
				text := render(r, &v.Value)
				switch {
				case v.Name == "lightGlobal" && text != "2":
					t.Errorf("lightGlobal is %s", text)
				case v.Name == "heavyGlobal" && (!strings.Contains(text, `"some text`) || !strings.Contains(text, "!byte_budget")) || strings.Contains(text, "!unreadable"):
					t.Errorf("heavyGlobal has no values, or does not say why some are missing: %.300s", text)
				}
			}
			if !slices.Equal(names, []string{"heavyGlobal", "lightGlobal"}) {
				t.Errorf("package variables %q", names)
			}
			g, err := r.Failing()
			if err != nil {
				t.Fatal(err)
			}
			if got := render(r, &g.Values[0].Value); !strings.Contains(got, `"left"`) {
				t.Errorf("the failing goroutine's value is %s", got)
			}
			checkParked(t, r)
		})
	}
}

//go:noinline
func waiting(own *tree, parked, done chan bool) {
	parked <- true
	<-done
	own.Name += "."
}

func checkParked(t *testing.T, r *dump.Reader) {
	t.Helper()
	for g, err := range r.Goroutines() {
		if err != nil {
			t.Fatal(err)
		}
		for i := range g.Frames {
			f := &g.Frames[i]
			if !strings.HasSuffix(f.Func, ".waiting") {
				continue
			}
			for k := range f.Vars {
				if v := &f.Vars[k]; v.Name == "own" {
					if got := render(r, &v.Value); !strings.Contains(got, `"parked"`) {
						t.Errorf("what another goroutine leads to is %s", got)
					}
					return
				}
			}
		}
	}
	t.Error("the parked goroutine's variable is not there")
}
