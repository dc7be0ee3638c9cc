package capture_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// goBuild builds a target of testdata with cgo.
func goBuild(t *testing.T, pkg string, flags ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bin")
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", bin, "./testdata/targets/"+pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s %v (a C compiler is needed): %v\n%s", pkg, flags, err, out)
	}
	return bin
}

func failingOf(t *testing.T, path string) (*dump.Reader, *dump.Goroutine) {
	t.Helper()
	r, err := dump.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	g, err := r.Failing()
	if err != nil {
		t.Fatal(err)
	}
	return r, g
}

func frameEnding(t *testing.T, g *dump.Goroutine, fn string) *dump.Frame {
	t.Helper()
	for i := range g.Frames {
		if f := &g.Frames[i]; strings.HasSuffix(f.Func, fn) {
			return f
		}
	}
	t.Fatalf("no frame of %s in %v", fn, names(framePtrs(g)))
	return nil
}

func framePtrs(g *dump.Goroutine) (out []*dump.Frame) {
	for i := range g.Frames {
		out = append(out, &g.Frames[i])
	}
	return out
}

// TestPlugin: code that came by plugin.Open is read by its own debug info, and frames
// beyond it are found whether it has some or not.
func TestPlugin(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds a plugin")
	}
	host := goBuild(t, "plugin", "-gcflags=-N -l")
	for _, b := range []struct {
		name  string
		flags []string
		bare  bool
	}{
		{"default", []string{"-gcflags=-N -l"}, false},
		{"nodwarf", []string{"-ldflags=-w"}, true},
	} {
		t.Run(b.name, func(t *testing.T) {
			so, dir := goBuild(t, "plugin/plug", append([]string{"-buildmode=plugin"}, b.flags...)...), t.TempDir()
			if out, err := exec.Command(host, so, dir).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, name := range []string{"cold", "warm"} {
				r, g := failingOf(t, filepath.Join(dir, name+dump.Extension))
				f := frameEnding(t, g, ".run")
				checkVars(t, r, frameEnding(t, g, "main.fail"), map[string]string{"count": "3"}, true)
				if !f.User || !strings.HasSuffix(f.File, "plug/plug.go") {
					t.Errorf("%s: frame %s of %s is the user's: %v", name, f.Func, f.File, f.User)
				}
				if b.bare {
					if len(f.Vars) > 0 || len(f.Missing) != 1 || !strings.Contains(f.Missing[0].Why, "in the plugin ") || !strings.Contains(f.Missing[0].Why, "no debug info") {
						t.Errorf("%s: what is missing, and why: %+v %+v", name, f.Missing, f.Vars)
					}
					continue
				}
				checkVars(t, r, f, map[string]string{"label": `"job-a"`, "total": "12", "n": "3", "p": "{A:12 B:3}"}, true)
				found := false
				for i := range f.Vars {
					if v := &f.Vars[i]; v.Name == "j" {
						found = true
						got := render(r, &v.Value)
						if !strings.HasPrefix(got, `&{ID:7 Tags:["a" "b"] Limits:map(1){"cpu":4} Next:nil Any:`) || !strings.HasSuffix(got, "private({A:1 B:2})}") {
							t.Errorf("%s: j is %s", name, got)
						}
					}
				}
				if !found {
					t.Errorf("%s: j is not there: %+v", name, f.Missing)
				}
			}
		})
	}
}

// TestCgo: C on the stack, between a Go function that calls it and one that it calls.
func TestCgo(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds programs with cgo")
	}
	for _, b := range []struct {
		name  string
		flags []string
	}{
		{"default", []string{"-gcflags=-N -l"}},
		{"internal", []string{"-gcflags=-N -l", "-ldflags=-linkmode=internal"}},
		{"pie", []string{"-gcflags=-N -l", "-buildmode=pie"}},
	} {
		t.Run(b.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cgo"+dump.Extension)
			if out, err := exec.Command(goBuild(t, "cgo", b.flags...), path).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			r, g := failingOf(t, path)
			checkVars(t, r, frameEnding(t, g, "main.pick"), map[string]string{"t": `&{Name:"ada" Seat:[1 2]}`, "seat": "50"}, true)
			checkVars(t, r, frameEnding(t, g, "main.goFail"), map[string]string{"n": "5", "seat": "50"}, true)
			checkVars(t, r, frameEnding(t, g, "main.caller"), map[string]string{"n": "4", "label": `"call 4"`}, true)
		})
	}
}
