// Package optimised holds what a dump of an optimised build shows against the truth, and
// against Delve. The truth is a run of the same program without optimisation, where every variable has a
// place of its own; what differs between two such runs (addresses, times) is not
// compared.
package optimised

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// Node, Var, Frame, Account and Report are what the subject prints.
type (
	Node struct {
		K, T, Why string
		N         int64
		Nil, Cut  bool
		Kids      []Node
	}
	Var struct {
		Name  string
		Decl  int
		State string
		Value *Node
	}
	Frame struct {
		Func string
		Line int
		User bool
		Vars []Var
	}
	Account struct {
		Frames []Frame
		Err    string
	}
	Report struct {
		Site  string
		Ours  Account
		Delve *Account
	}
)

// minSites is how many sites there are at least.
const minSites = 60

func TestTruth(t *testing.T) {
	truth := stable(t, build(t, "noopt", "", "-gcflags=all=-N -l"))
	checkKnown(t, truth)
	for _, b := range []struct {
		name  string
		delve bool
		flags []string
		args  []string
		env   []string
		less  bool // of what is pointed to something may be gone
	}{
		{name: "default", delve: true},
		{name: "gogc1", delve: true, env: []string{"GOGC=1"}, less: true},
		{name: "pressure", args: []string{"-pressure"}, less: true},
		{name: "trimpath", delve: true, flags: []string{"-trimpath"}},
		{name: "pie", delve: true, flags: []string{"-buildmode=pie"}},
		{name: "race", flags: []string{"-race"}, less: true},
	} {
		t.Run(b.name, func(t *testing.T) {
			tags := ""
			if b.delve {
				tags = "delve"
			}
			reports := run(t, build(t, b.name, tags, b.flags...), b.env, b.args...)
			var ours, theirs, oursUser, theirsUser tally
			var rows []string
			for _, r := range reports {
				tr := truth[r.Site]
				if tr == nil || r.Ours.Err != "" || r.Delve != nil && r.Delve.Err != "" {
					t.Errorf("%s: %s", r.Site, r.Ours.Err)
					continue
				}
				var o, d, ou, du tally
				judge(tr, &r.Ours, func(f *Frame, v *Var, user bool, out outcome) {
					o.add(v, out)
					if user {
						ou.add(v, out)
					}
					if out.missing && testing.Verbose() {
						t.Logf("missing: %s: %s:%d: %s (%s, declared at %d)", r.Site, f.Func, f.Line, v.Name, v.State, v.Decl)
					}
					if out.wrong != "" {
						text := fmt.Sprintf("%s: %s:%d: %s (%s, declared at %d): %s", r.Site, f.Func, f.Line, v.Name, v.State, v.Decl, out.wrong)
						if v.State == "dead" {
							t.Log("dead, and not what it is: ", text)
						} else {
							t.Error("wrong: ", text)
						}
					}
				})
				if r.Delve != nil {
					judge(tr, r.Delve, func(f *Frame, v *Var, user bool, out outcome) {
						d.add(v, out)
						if user {
							du.add(v, out)
						}
						if out.wrong != "" {
							t.Logf("delve is wrong: %s: %s:%d: %s: %s", r.Site, f.Func, f.Line, v.Name, out.wrong)
						}
					})
				}
				rows = append(rows, fmt.Sprintf("%-22s %s | %s", r.Site, &ou, &du))
				ours.sum(&o)
				theirs.sum(&d)
				oursUser.sum(&ou)
				theirsUser.sum(&du)
			}
			sort.Strings(rows)
			t.Logf("%-22s %s | delve: right wrong missing, of the program's own frames\n%s", "site", "right wrong missing dead-right dead-wrong", strings.Join(rows, "\n"))
			t.Logf("own frames: %s | delve %s", &oursUser, &theirsUser)
			t.Logf("all frames: %s | delve %s", &ours, &theirs)
			if n := len(rows); n < minSites {
				t.Errorf("only %d sites", n)
			}
			if oursUser.all() < 300 {
				t.Errorf("only %d variables", oursUser.all())
			}
			if b.delve && !b.less && (oursUser.right < theirsUser.right || ours.right < theirs.right) {
				t.Errorf("%d and %d are right, Delve has %d and %d", oursUser.right, ours.right, theirsUser.right, theirs.right)
			}
			if oursUser.deadWrong > 0 {
				t.Logf("%d dead values are not the last ones", oursUser.deadWrong)
			}
		})
	}
}

// known is what some variables are, worked out by hand, so that the truth itself is
// held against something.
var known = map[string]map[string]string{
	"checkout-range":  {"sum": "4005", "i": "3", "from": "0", "to": "5", "prefix": "TEN-OFF", "coupon": "ten-off", "limit": "5", "rate": "0.225"},
	"ship-short":      {"i": "2", "count": "3", "kg": "3.375", "factor": "1.5"},
	"reserve-panic":   {"sku": "C-3", "qty": "21", "have": "20", "left": "-1", "done": "2", "attempt": "3"},
	"average-zero":    {"n": "10", "buckets": "0"},
	"many-args":       {"a": "1", "h": "8", "s": "four", "x": "2.5", "y": "3.5", "sum": "204"},
	"percent":         {"i": "3", "whole": "60"},
	"expr-divide":     {"left": "8", "p": "2", "right": "0"},
	"key-values":      {"line": "c = x3", "key": "c ", "val": " x3", "n": "0", "i": "3"},
	"matrix":          {"y": "2", "row": "7 8", "width": "3"},
	"interpret-mod":   {"pc": "4", "sp": "1", "steps": "3"},
	"worker":          {"id": "3", "j": "2", "done": "2"},
	"rethrow":         {"id": "9", "code": "18", "width": "3"},
	"interface-nil":   {"i": "2", "biggest": "12", "sum": "30", "unit": "cm"},
	"newton-flat":     {"i": "0", "fx": "4.5", "d": "0", "x": "3", "eps": "0.5"},
	"mutate":          {"x": "70", "y": "75", "z": "150", "flag": "true"},
	"chi-error":       {"id": "12", "page": "10", "ok": "false"},
	"transfer":        {"amount": "4900", "charge": "245", "before": "5000", "memo": "rent", "fee": "0.05"},
	"slice-to-array":  {"n": "3", "sum": "0"},
	"http-handler":    {"id": "7", "verbose": "true", "status": "200"},
	"sort-less":       {},
	"errgroup":        {"i": "1", "u": "b"},
	"machine-stuck":   {"ev": "again", "n": "1", "next": "1"},
	"stringer":        {"joined": "a-bc", "width": "5", "pad": "....."},
	"strings-map":     {"r": "122"},
	"interpret-stack": {"sp": "-2"},
}

func checkKnown(t *testing.T, truth map[string]*Account) {
	t.Helper()
	for site, vars := range known {
		a := truth[site]
		if a == nil {
			t.Errorf("there is no site %s", site)
			continue
		}
		for name, want := range vars {
			found := false
			var have []string
			for i := range a.Frames {
				for k := range a.Frames[i].Vars {
					if v := &a.Frames[i].Vars[k]; v.Name == name && v.Value != nil {
						have = append(have, v.Value.T)
						found = found || v.Value.T == want
					}
				}
			}
			if !found {
				t.Errorf("%s: %s is %q, want %q", site, name, have, want)
			}
		}
	}
}

func build(t *testing.T, name, tags string, flags ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	args := append([]string{"build", "-tags=" + tags, "-o", bin}, flags...)
	if out, err := exec.Command("go", append(args, "./subject")...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return bin
}

func run(t *testing.T, bin string, env []string, args ...string) []Report {
	t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("subject: %v\n%s", err, stderr.Bytes())
	}
	if dir := os.Getenv("OPTIMISED_KEEP"); dir != "" {
		_ = os.WriteFile(filepath.Join(dir, filepath.Base(bin)+".json"), out, 0o600)
	}
	var reports []Report
	sc := bufio.NewScanner(bytes.NewReader(out))
	sc.Buffer(nil, 256<<20)
	for sc.Scan() {
		var r Report
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		reports = append(reports, r)
	}
	return reports
}

// stable returns what two runs agree on.
func stable(t *testing.T, bin string) map[string]*Account {
	t.Helper()
	out := map[string]*Account{}
	for _, r := range run(t, bin, []string{"GOGC=off"}) {
		if r.Ours.Err != "" {
			t.Errorf("%s: %s", r.Site, r.Ours.Err)
		}
		out[r.Site] = &r.Ours
	}
	for _, r := range run(t, bin, []string{"GOGC=off"}) {
		a := out[r.Site]
		for i := range a.Frames {
			if i >= len(r.Ours.Frames) || r.Ours.Frames[i].Func != a.Frames[i].Func {
				t.Fatalf("%s: two runs have different stacks", r.Site)
			}
			for k := range a.Frames[i].Vars {
				if k < len(r.Ours.Frames[i].Vars) {
					blur(a.Frames[i].Vars[k].Value, r.Ours.Frames[i].Vars[k].Value)
				}
			}
		}
	}
	return out
}

// blur marks in a what is not the same in b.
func blur(a, b *Node) {
	if a.Why != "" {
		return
	}
	if b.Why != "" || a.T != b.T || a.N != b.N || a.Nil != b.Nil || len(a.Kids) != len(b.Kids) {
		a.Why = "differs between runs"
		return
	}
	for i := range a.Kids {
		blur(&a.Kids[i], &b.Kids[i])
	}
}

// outcome is what comparing a variable came to.
type outcome struct {
	missing bool   // it has no value
	wrong   string // what is wrong
}

// judge compares an account's variables with the truth. Variables that the account does not have count as
// missing.
func judge(truth, got *Account, yield func(f *Frame, v *Var, user bool, out outcome)) {
	used := map[int]bool{}
	for i := range truth.Frames {
		tf := &truth.Frames[i]
		if strings.HasPrefix(tf.Func, "runtime.") || harness[tf.Func] {
			continue
		}
		var gf *Frame
		for k := range got.Frames {
			if f := &got.Frames[k]; !used[k] && f.Func == tf.Func && f.Line == tf.Line {
				used[k] = true
				gf = f
				break
			}
		}
		if gf == nil {
			continue // inlined so that it bears another name
		}
		for k := range tf.Vars {
			tv := &tf.Vars[k]
			if tv.Value.Why != "" || tv.State == "dead" {
				continue
			}
			var gv *Var
			for n := range gf.Vars {
				if v := &gf.Vars[n]; v.Name == tv.Name && v.Decl == tv.Decl && (gv == nil || gv.Value.Why != "") {
					gv = v
				}
			}
			if gv == nil || gv.Value.Why != "" {
				if gv == nil {
					gv = &Var{Name: tv.Name, Decl: tv.Decl, State: "absent"}
				}
				yield(tf, gv, tf.User, outcome{missing: true})
				continue
			}
			yield(tf, gv, tf.User, outcome{wrong: compare(tv.Value, gv.Value, "")})
		}
	}
}

// compare returns what is wrong with got, "" if nothing is.
func compare(truth, got *Node, path string) string {
	if truth.Why != "" || got.Why != "" {
		return ""
	}
	if truth.K == "uintptr" || got.K == "uintptr" {
		return ""
	}
	if truth.K != got.K {
		return fmt.Sprintf("%s is a %s, not a %s", path, got.K, truth.K)
	}
	if truth.Nil != got.Nil {
		if truth.K == "interface" && got.Cut {
			return ""
		}
		return fmt.Sprintf("%s is nil: %t", path, got.Nil)
	}
	switch truth.K {
	case "func", "unsafe":
		return ""
	case "string":
		if strings.Contains(truth.T, ".go:") {
			return "" // a place in the source, which -trimpath changes
		}
		n := min(len(truth.T), len(got.T))
		if truth.N != got.N || truth.T[:n] != got.T[:n] {
			return fmt.Sprintf("%s is %q, not %q", path, got.T, truth.T)
		}
		return ""
	case "interface":
		if got.Cut {
			return ""
		}
	case "array", "slice":
		if truth.N != got.N {
			return fmt.Sprintf("%s has %d elements, not %d", path, got.N, truth.N)
		}
	case "map":
		if !got.Cut && !truth.Cut && truth.N != got.N {
			return fmt.Sprintf("%s has %d entries, not %d", path, got.N, truth.N)
		}
		if len(truth.Kids) != len(got.Kids) {
			return ""
		}
		for i := 0; i < len(truth.Kids); i += 2 {
			if truth.Kids[i].Cut {
				return "" // the keys are not known, and so not in order
			}
		}
	}
	if truth.T != got.T {
		return fmt.Sprintf("%s is %q, not %q", path, got.T, truth.T)
	}
	for i := range min(len(truth.Kids), len(got.Kids)) {
		if s := compare(&truth.Kids[i], &got.Kids[i], fmt.Sprint(path, ".", i)); s != "" {
			return s
		}
	}
	return ""
}

// tally counts variables.
type tally struct{ right, wrong, missing, deadRight, deadWrong int }

func (c *tally) add(v *Var, o outcome) {
	switch {
	case o.missing:
		c.missing++
	case v.State == "dead" && o.wrong != "":
		c.deadWrong++
	case v.State == "dead":
		c.deadRight++
	case o.wrong != "":
		c.wrong++
	default:
		c.right++
	}
}

func (c *tally) sum(o *tally) {
	c.right += o.right
	c.wrong += o.wrong
	c.missing += o.missing
	c.deadRight += o.deadRight
	c.deadWrong += o.deadWrong
}

func (c *tally) all() int { return c.right + c.wrong + c.missing + c.deadRight + c.deadWrong }

func (c *tally) String() string {
	return fmt.Sprintf("%4d right %3d wrong %4d missing %3d dead-right %2d dead-wrong", c.right, c.wrong, c.missing, c.deadRight, c.deadWrong)
}

// harness are the subject's own functions, which are no part of a site.
var harness = map[string]bool{
	"main.protect": true, "main.hold": true, "main.report": true, "main.onPanic": true, "main.examine": true, "main.examine.func1": true,
}
