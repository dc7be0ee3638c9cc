package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

const module = "github.com/otelcoredumpy/otelcoredumpy"

// variant is one way to build the example.
type variant struct {
	name  string
	flags []string
	// unoptimised builds have every local.
	unoptimised bool
	// stripped builds have no debug information.
	stripped bool
	// trimmed builds do not know where their source is.
	trimmed bool
	// moved builds do not run at the addresses that their debug information
	// names.
	moved bool
}

var variants = []variant{
	{name: "default"},
	{name: "unoptimised", flags: []string{"-gcflags=all=-N -l"}, unoptimised: true},
	{name: "race", flags: []string{"-race"}},
	{name: "stripped", flags: []string{"-ldflags=-s -w"}, stripped: true},
	{name: "trimpath", flags: []string{"-trimpath"}, trimmed: true},
	{name: "pie", flags: []string{"-buildmode=pie"}, moved: true},
}

// forVariants runs a test for each variant that it wants.
func forVariants(t *testing.T, want func(v *variant) bool, test func(t *testing.T, v *variant)) {
	for i := range variants {
		v := &variants[i]
		if !want(v) {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			if testing.Short() && v.name != "default" {
				t.Skip("only the default build with -short")
			}
			test(t, v)
		})
	}
}

func variantNamed(t *testing.T, name string) *variant {
	t.Helper()
	i := slices.IndexFunc(variants, func(v variant) bool { return v.name == name })
	if i < 0 {
		t.Fatalf("no variant %q", name)
	}
	return &variants[i]
}

// binDir is where binaries are built; TestMain makes it.
var binDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "coredumpy-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		// A test runs the example as another user.
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		binDir = dir
		return m.Run()
	}())
}

type build struct {
	once sync.Once
	path string
	err  error
}

var (
	buildsMu sync.Mutex
	builds   = map[string]*build{}
)

// goBuild builds a package of this module, once for each name.
func goBuild(t *testing.T, name, pkg string, flags ...string) string {
	t.Helper()
	buildsMu.Lock()
	b := builds[name]
	if b == nil {
		b = &build{}
		builds[name] = b
	}
	buildsMu.Unlock()
	b.once.Do(func() {
		b.path = filepath.Join(binDir, name)
		args := append([]string{"build", "-o", b.path}, flags...)
		cmd := exec.Command("go", append(args, module+"/"+pkg)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

func buildCheckout(t *testing.T, v *variant) string {
	t.Helper()
	return goBuild(t, "checkout-"+v.name, "examples/checkout", v.flags...)
}

func buildCoredumpy(t *testing.T) string {
	t.Helper()
	return goBuild(t, "coredumpy", "cmd/coredumpy")
}
