package debugger_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
)

// withPackageVars is the shop with package variables of packages whose names and paths
// differ in every way.
func withPackageVars(t *testing.T) *debugger.Session {
	t.Helper()
	b := debuggertest.Shop()
	order, n, name := &debuggertest.Order{Base: debuggertest.Base{ID: "o-7"}}, 42, "other"
	add := func(pkg, name string, late bool, ptr any) {
		b.PackageVars = append(b.PackageVars, &dump.PackageVar{Package: pkg, Name: name, Late: late, Value: b.Value(ptr)})
	}
	add("github.com/acme/shop/store", "cache", false, &order)
	add("github.com/acme/shop/store", "name", true, &n)
	add("github.com/acme/shop/store", "far", false, &n) // hidden by a local variable
	add("github.com/acme/yaml/v3", "mode", false, &name)
	add("gopkg.example/toml.v2", "mode", false, &name)
	add("main", "hits", true, &n)
	add("a.example/x/log", "level", false, &n)
	add("b.example/y/log", "level", false, &name)
	b.PackageVars = append(b.PackageVars, &dump.PackageVar{
		Package: "main", Name: "gone", State: dump.VarMissing, Value: dump.Value{Type: b.Value(&n).Type, Reason: dump.TimeBudget},
	})
	s, err := debugger.New(b.Reader(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPackageVars(t *testing.T) {
	s := withPackageVars(t)
	home := s.Home()
	price, err := home.AtFrame(4) // of package store
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ frame, expr, want string }{
		{"store", "cache.ID", `"o-7"`},
		{"store", `"github.com/acme/shop/store".cache.ID`, `"o-7"`},
		{"store", "store.cache.Base.ID", `"o-7"`},
		{"store", "store.cache.Lines == nil", "true"},
		{"store", "name", `"inner"`}, // the local one
		{"store", "store.name + 1", "43 // late: read after the failure"},
		{"store", "main.hits", "42 // late: read after the failure"},
		{"store", "hits", "error: could not find symbol value for hits"},
		{"store", "main.gone", "(time budget spent)"},
		{"store", "main.gone + 1", "error: "},
		{"store", "main.nothing", "error: package main has no variable nothing in the dump"},
		{"store", "nowhere.x", "error: could not find symbol value for nowhere"},
		{"store", `"no/where".x`, "error: "},
		{"store", "yaml.mode", `"other"`},
		{"store", "toml.mode", `"other"`},
		{"store", "log.level", `error: log.level is ambiguous: "a.example/x/log".level, "b.example/y/log".level`},
		{"store", `"b.example/y/log".level`, `"other"`},
		{"store", "&store.cache", `("**github.com/acme/shop/store.Order")(0xADDR)`},
		{"store", "panic.err.SKU", `"pear"`},
	} {
		got := eval(price, c.expr)
		if got != c.want && !(strings.HasPrefix(got, c.want) && strings.HasSuffix(c.want, ": ")) {
			t.Errorf("%s is %s, want %s", c.expr, got, c.want)
		}
	}

	all, err := s.PackageVars(nil)
	if err != nil || len(all) != 9 || all[0].FullName() != "github.com/acme/shop/store.cache" {
		t.Errorf("package variables %v, %v", all, err)
	}
	some, err := s.PackageVars(regexp.MustCompile(`^main\.h`))
	if err != nil || len(some) != 1 || some[0].FullName() != "main.hits" {
		t.Errorf("package variables that match: %v, %v", some, err)
	}

	for expr, want := range map[string]string{"main.": "gone hits", "main.h": "hits", "store.ca": "cache", "ya": "yaml", "store.cache.Li": "Lines"} {
		_, got := price.Complete(expr)
		if strings.Join(got, " ") != want {
			t.Errorf("completions of %s: %q, want %q", expr, got, want)
		}
	}
	if n := shopSession(t).NumPackageVars(); n != 0 {
		t.Errorf("the shop has %d package variables", n)
	}
}
