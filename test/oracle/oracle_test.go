package oracle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/verdict"
)

var keep = flag.String("bin", "", "folder in which the subjects are built and kept, so that they need not be linked again")

// build is a way in which the subject is compiled.
type build struct {
	name  string
	flags []string
}

// noopt is the build whose dumps are the truth about the others: every variable has its value there, and
// Delve says the same.
var noopt = build{"noopt", []string{"-gcflags=all=-N -l"}}

var optimised = []build{
	{"default", nil},
	{"race", []string{"-race"}},
	{"pie", []string{"-buildmode=pie"}},
	{"trimpath", []string{"-trimpath"}},
}

// subject builds the program of a package of this module and returns its path.
func subject(t *testing.T, b build, pkg, name string) string {
	t.Helper()
	dir := *keep
	if dir == "" {
		dir = t.TempDir()
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, name+"-"+b.name)
	args := append(append([]string{"build"}, b.flags...), "-o", bin, pkg)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return bin
}

// examine runs a subject.
func examine(t *testing.T, bin string, args ...string) []verdict.Result {
	t.Helper()
	cmd := exec.Command(bin, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(bin), strings.Join(args, " "), err, stderr.String())
	}
	var rs []verdict.Result
	for sc := json.NewDecoder(bufio.NewReader(bytes.NewReader(out))); sc.More(); {
		var r verdict.Result
		if err := sc.Decode(&r); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	if len(rs) == 0 {
		t.Fatal("the subject has examined nothing")
	}
	return rs
}

// TestOracle compares every variable of every frame of the corpus, in all builds, with what Delve has, and in
// optimised builds with the truth.
func TestOracle(t *testing.T) {
	dumps := t.TempDir()
	known := newExceptions()
	t.Run(noopt.name, func(t *testing.T) {
		rs := examine(t, subject(t, noopt, "./subject", "subject"), "-out", dumps)
		var n tally
		for i := range rs {
			n.add(&rs[i])
			compareWhole(t, known, &rs[i])
		}
		if n.vars < 1000 || n.values < 50_000 {
			t.Errorf("only %d variables with %d values were compared", n.vars, n.values)
		}
		t.Log(n.String())
	})
	if t.Failed() {
		t.Fatal("what is to be the truth is not certain")
	}
	for _, b := range optimised {
		t.Run(b.name, func(t *testing.T) {
			rs := examine(t, subject(t, b, "./subject", "subject"), "-truth", dumps)
			var n tally
			for i := range rs {
				n.add(&rs[i])
				compareOptimised(t, known, &rs[i])
			}
			if n.right <= n.delveRight {
				t.Errorf("%d variables are right, Delve has %d", n.right, n.delveRight)
			}
			t.Log(n.String())
		})
	}
	if !t.Failed() {
		known.stale(t)
	}
}

// compareWhole checks a fixture of the build without optimisation: both accounts must be the same. The runtime
// is optimised there, too.
func compareWhole(t *testing.T, known *exceptions, r *verdict.Result) {
	for i := range r.Delve.Diffs {
		d := &r.Delve.Diffs[i]
		if d.Optimized && d.Class == verdict.Missing {
			continue // counted
		}
		if !known.covers(d) {
			t.Error(d)
		}
	}
}

// compareOptimised checks a fixture of an optimised build: nothing may be false, and nothing may be told that
// Delve does not tell, or tells otherwise, unless it is true.
func compareOptimised(t *testing.T, known *exceptions, r *verdict.Result) {
	for i := range r.Truth.Diffs {
		d := &r.Truth.Diffs[i]
		switch d.Class {
		case verdict.Wrong, verdict.Stack:
			if !d.Dead && !known.misplaced(d) {
				t.Errorf("false: %v", d)
			}
		}
	}
	for i := range r.Delve.Diffs {
		d := &r.Delve.Diffs[i]
		switch d.Class {
		case verdict.Missing:
			continue // counted
		case verdict.Extra, verdict.More, verdict.Wrong, verdict.Type:
			// The parameters of what was inlined from the made programs' own helpers are in no truth.
			if d.Dead || d.Class == verdict.More && d.Path == "x" && strings.Contains(d.Func, "/internal/random.") {
				continue
			}
			if slices.Contains(r.Truth.Agreed, d.Key()) || d.Class == verdict.Extra && strings.Contains(d.Ours, " (") {
				continue // it is true, or no value
			}
		}
		if !known.covers(d) && !known.misplaced(d) {
			t.Error(d)
		}
	}
}

// tally counts over fixtures.
type tally struct {
	fixtures, frames, vars, values int
	byClass                        map[verdict.Class]int
	right, wrong, missing, dead    int // of ours, by the truth
	delveRight, delveWrong         int
}

func (n *tally) add(r *verdict.Result) {
	n.fixtures++
	n.frames += r.Delve.Frames
	n.vars += r.Delve.Vars
	n.values += r.Delve.Values
	if n.byClass == nil {
		n.byClass = map[verdict.Class]int{}
	}
	for _, d := range r.Delve.Diffs {
		n.byClass[d.Class]++
	}
	if r.Truth == nil {
		return
	}
	n.right += len(r.Truth.Agreed)
	n.delveRight += len(r.DelveTruth.Agreed)
	for _, d := range r.Truth.Diffs {
		switch {
		case d.Class == verdict.Wrong && d.Dead:
			n.dead++
		case d.Class == verdict.Wrong:
			n.wrong++
		case d.Class == verdict.Missing, d.Class == verdict.Absent:
			n.missing++
		}
	}
	for _, d := range r.DelveTruth.Diffs {
		if d.Class == verdict.Wrong {
			n.delveWrong++
		}
	}
}

func (n *tally) String() string {
	s := fmt.Sprintf("%d fixtures, %d frames, %d variables with %d values compared; differences from Delve: %v", n.fixtures, n.frames, n.vars, n.values, n.byClass)
	if n.right > 0 {
		s += fmt.Sprintf("; by the truth %d variables right, %d values wrong, %d wrong but marked dead, %d missing (Delve: %d right, %d wrong)", n.right, n.wrong, n.dead, n.missing, n.delveRight, n.delveWrong)
	}
	return s
}
