package oracle

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/gen"
	"github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/verdict"
)

var (
	seeds = flag.Int("seeds", 40, "how many random programs to try")
	first = flag.Uint64("first", 1, "the first of their seeds")
)

// TestRandom runs programs that are made at random, whose values are known because the generator has chosen them.
func TestRandom(t *testing.T) {
	src, programs, err := gen.Source(*first, *seeds)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay := overlayOf(t, dir, src)
	var names []string
	for _, p := range programs {
		names = append(names, p.Name)
	}
	known := newExceptions()
	dumps := map[string]string{}
	for _, b := range []build{noopt, {"default", nil}} {
		t.Run(b.name, func(t *testing.T) {
			out := filepath.Join(dir, b.name)
			if err := os.Mkdir(out, 0o755); err != nil {
				t.Fatal(err)
			}
			dumps[b.name] = out
			args := []string{"-out", out}
			if b.name != noopt.name {
				args = append(args, "-truth", dumps[noopt.name])
			}
			bin := subject(t, build{b.name, append(slices.Clone(b.flags), "-overlay", overlay)}, "./subject", "random")
			rs := examine(t, bin, append(args, names...)...)
			var n tally
			for i := range rs {
				n.add(&rs[i])
				if b.name == noopt.name {
					compareWhole(t, known, &rs[i])
				} else {
					compareOptimised(t, known, &rs[i])
				}
			}
			right, missing := 0, 0
			for _, p := range programs {
				r, m := compareKnown(t, known, filepath.Join(out, p.Name+dump.Extension), p, b.name == noopt.name)
				right, missing = right+r, missing+m
			}
			t.Logf("%s; by the generator %d right, %d not whole", n.String(), right, missing)
			if right < 4*len(programs) {
				t.Errorf("only %d variables were compared with what the generator knows", right)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// overlayOf writes the file that tells go build to put a source in the place of package random's.
func overlayOf(t *testing.T, dir string, src []byte) string {
	t.Helper()
	at, err := filepath.Abs("internal/random/random.go")
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(dir, "random.go")
	if err := os.WriteFile(made, src, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{at: made}})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// compareKnown holds a dump against what the generator has put into the program: whatever is whole must be
// right, and if whole is set everything must be.
func compareKnown(t *testing.T, known *exceptions, path string, p gen.Program, whole bool) (right, missing int) {
	r, err := dump.Open(path)
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	defer r.Close()
	g, err := r.Failing()
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	frames := verdict.OfDump(r, g)
	for _, f := range p.Funcs {
		i := slices.IndexFunc(frames, func(x verdict.Frame) bool { return strings.HasSuffix(x.Func, "."+f.Name) })
		if i < 0 {
			t.Errorf("%s is not on the stack of %s", f.Name, p.Name)
			continue
		}
		for name, want := range f.Vars {
			k := slices.IndexFunc(frames[i].Vars, func(v verdict.Var) bool { return v.Name == name })
			if k < 0 {
				if missing++; whole {
					t.Errorf("%s: %s is not there", f.Name, name)
				}
				continue
			}
			v := &frames[i].Vars[k]
			switch got, all := v.Value.Full(); {
			case got == want:
				right++
			case !all || v.Dead:
				if missing++; whole {
					t.Errorf("%s: %s is %s, want %s", f.Name, name, got, want)
				}
			case whole || !slices.Contains(known.random, f.Name+" "+name):
				t.Errorf("%s: %s is %s, want %s", f.Name, name, got, want)
			}
		}
	}
	return right, missing
}
