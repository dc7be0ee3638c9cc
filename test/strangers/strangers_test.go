// Package strangers has programs that stand on well-known modules of other people, built as anybody
// builds them, and fails them through their public interfaces. The tests look at the dumps
// with the command, as a user does.
package strangers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// bin is the folder with the programs and the command.
var bin string

func TestMain(m *testing.M) {
	code, err := func() (int, error) {
		dir, err := os.MkdirTemp("", "strangers")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		bin = dir
		// The default flags, all of them.
		if err := goBuild(".", "./web", "./bolt", "./pebble", "./badger", "./yq"); err != nil {
			return 1, err
		}
		if err := goBuild("../..", "./cmd/coredumpy"); err != nil { // as its own module has it
			return 1, err
		}
		return m.Run(), nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func goBuild(dir string, packages ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", bin + string(filepath.Separator)}, packages...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}

// check is an expression in the innermost frame of a function, and its true value.
type check struct {
	fn, expr, want string
	// register: the value is known only while a register is, which a signal may spoil.
	register bool
}

var programs = []struct {
	name    string
	args    []string
	crashes bool
	reason  string // type of the panic value
	failing string
	frames  []string // functions of strangers on the failing goroutine, innermost first
	checks  []check
}{
	{
		name: "web", reason: "runtime.errorString", failing: "main.inStock",
		frames: []string{
			"github.com/go-playground/validator/v10.(*validate).traverseField", "github.com/go-playground/validator/v10.(*validate).validateStruct",
			"github.com/gin-gonic/gin/binding.(*defaultValidator).ValidateStruct", "github.com/gin-gonic/gin.(*Context).ShouldBindJSON",
			"github.com/gin-gonic/gin.(*Context).Next", "github.com/gin-gonic/gin.(*Engine).ServeHTTP",
		},
		checks: []check{
			{"main.inStock", "s == nil", "true", true},
			{"main.newRouter.func2", "o.ID", `"o-4711"`, false},
			{"main.newRouter.func2", "len(o.Items)", "2", false},
			{"main.newRouter.func2", "o.Items[1].SKU", `"jug-03"`, false},
			{"main.newRouter.func2", "o.Items[1].Qty", "4", false},
			{"main.newRouter.func2", `o.Meta["channel"]`, `"phone"`, false},
			{"main.newRouter.func2", "tenant", `"acme"`, false},
			{"github.com/go-playground/validator/v10.(*validate).traverseField", "cf.name", `"SKU"`, false},
			{"github.com/gin-gonic/gin/binding.(*defaultValidator).validateStruct", "obj.(*main.order).ID", `"o-4711"`, false},
			{"github.com/gin-gonic/gin.(*Context).Next", "c.Request.Method", `"POST"`, false},
			{"github.com/gin-gonic/gin.(*Context).Next", "c.fullPath", `"/api/:tenant/orders"`, false},
			{"main.inStock", `main.stock["tea-01"].left`, "5", false},
			{"main.inStock", `stock["jug-03"] == nil`, "true", false},
			{"main.inStock", `"github.com/gin-gonic/gin".ginMode`, "1", false},
		},
	},
	{
		name: "bolt", reason: "runtime.boundsError", failing: "main.parse",
		frames: []string{"go.etcd.io/bbolt.(*Bucket).ForEach", "go.etcd.io/bbolt.(*DB).View"},
		checks: []check{
			{"main.parse", "len(record)", "3", false},
			{"main.parse", "record[0]", "98", false}, // of "bad", in a mapped page
			{"main.parse", "seen", "42", true},
			{"go.etcd.io/bbolt.(*Bucket).ForEach", "len(k)", "12", true},
			{"go.etcd.io/bbolt.(*Bucket).ForEach", "len(v)", "3", true},
			{"go.etcd.io/bbolt.(*DB).View", "tx.db.opened", "true", true},
		},
	},
	{
		name: "pebble", reason: "*fmt.wrapError", failing: "main.(*counter).add",
		frames: []string{
			"github.com/cockroachdb/pebble/v2.(*Iterator).mergeNext", "github.com/cockroachdb/pebble/v2.(*Iterator).findNextEntry",
			"github.com/cockroachdb/pebble/v2.(*DB).getInternal", "github.com/cockroachdb/pebble/v2.(*DB).Get",
		},
		checks: []check{
			{"main.(*counter).add", "c.key", `"hits/page-123"`, false},
			{"main.(*counter).add", "c.sum", "251", false}, // 126 + 125
			{"main.(*counter).add", "c.seen[1]", `"125"`, false},
			{"main.(*counter).add", "len(v)", "6", false},
			{"main.(*counter).add", "panic.err.Num", `"twelve"`, false},
			{"github.com/cockroachdb/pebble/v2.(*Iterator).mergeNext", "valueMerger.sum", "251", false},
			{"github.com/cockroachdb/pebble/v2.(*Iterator).mergeForward", "len(key.UserKey)", "13", false},
			{"github.com/cockroachdb/pebble/v2.(*DB).getInternal", "key[12]", "51", false}, // '3'
		},
	},
	{
		name: "badger", reason: "runtime.boundsError", failing: "main.render",
		frames: []string{"github.com/dgraph-io/badger/v4.(*Item).Value", "github.com/dgraph-io/badger/v4.(*DB).View"},
		checks: []check{
			{"main.render", "p.title", `"Title of page-17"`, true},
			{"main.render", "len(body)", "1200018", true},
			{"main.render", "body[0]", "111", true}, // in the mapped value log
			{"github.com/dgraph-io/badger/v4.(*Item).Value", "len(item.key)", "7", false},
			{"github.com/dgraph-io/badger/v4.(*Item).Value", "item.key[6]", "55", false},
			{"github.com/dgraph-io/badger/v4.(*Item).Value", "item.version", "18", false},
			{"github.com/dgraph-io/badger/v4.(*Item).Value", "item.txn.db.opt.NumCompactors", "4", false},
		},
	},
	{
		name: "yq", args: []string{"eval", "-p", "lines", "."}, crashes: true, reason: "runtime.boundsError", failing: "main.(*lines).Decode",
		frames: []string{
			"github.com/mikefarah/yq/v4/pkg/yqlib.(*streamEvaluator).Evaluate", "github.com/mikefarah/yq/v4/cmd.evaluateSequence",
			"github.com/spf13/cobra.(*Command).execute",
		},
		checks: []check{
			{"main.(*lines).Decode", "d.read", "3", false},
			{"main.(*lines).Decode", "d.in.end", "22", false},
			{"github.com/mikefarah/yq/v4/pkg/yqlib.(*streamEvaluator).Evaluate", "decoder.read", "3", false},
			{"github.com/mikefarah/yq/v4/pkg/yqlib.(*streamEvaluator).Evaluate", "node.Operation.StringValue", `"."`, false},
			{"github.com/mikefarah/yq/v4/pkg/yqlib.(*streamEvaluator).EvaluateFiles", "expression", `"."`, false},
			{"github.com/mikefarah/yq/v4/cmd.evaluateSequence", "cmd.Use", `"eval [expression] [yaml_file1]..."`, false},
		},
	},
}

func TestStrangers(t *testing.T) {
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			dir := t.TempDir()
			args := p.args
			if p.name == "yq" {
				in := filepath.Join(dir, "in.lines")
				if err := os.WriteFile(in, []byte("a: 1\nb: 2\nbroken\nc: 3\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, in)
			}
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(filepath.Join(bin, p.name), append([]string{dir}, args...)...)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); (err != nil) != p.crashes {
				t.Fatalf("the program ended with %v\n%s%s", err, &stdout, &stderr)
			}
			trace := strings.Fields(stdout.String())[0]

			// What a user does with the trace ID.
			path := strings.TrimSpace(coredumpy(t, "fetch", trace, "--dir", dir, "-o", filepath.Join(dir, "fetched")))
			if got := coredumpy(t, "peek", path); !strings.Contains(got, "in "+p.failing+",") || !strings.Contains(got, trace) {
				t.Errorf("peek says\n%s", got)
			}
			r, err := dump.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Verify(); err != nil {
				t.Fatal(err)
			}
			h := r.Header()
			if len(h.Reason) == 0 || h.Reason[0].Type != p.reason || h.Trigger != dump.TriggerPanic || h.Failing.Func != p.failing {
				t.Errorf("it is about %s in %s: %+v", h.Trigger, h.Failing.Func, h.Reason)
			}
			g, err := r.Failing()
			if err != nil {
				t.Fatal(err)
			}
			checkFrames(t, g, p.frames)
			checkValues(t, g, path, p.checks)
			report(t, r, g)
		})
	}
}

func coredumpy(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(filepath.Join(bin, "coredumpy"), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("coredumpy %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}

// checkFrames checks that the functions are on the stack in that order.
func checkFrames(t *testing.T, g *dump.Goroutine, want []string) {
	t.Helper()
	i := 0
	for k := range g.Frames {
		if i < len(want) && g.Frames[k].Func == want[i] {
			i++
		}
	}
	if i < len(want) {
		var all []string
		for k := range g.Frames {
			all = append(all, g.Frames[k].Func)
		}
		t.Errorf("%s is not on the stack, or not there: %q", want[i], all)
	}
	if last := g.Frames[len(g.Frames)-1].Func; last != "runtime.goexit" {
		t.Errorf("the stack ends with %s", last)
	}
}

// checkValues evaluates the expressions with the command.
func checkValues(t *testing.T, g *dump.Goroutine, path string, checks []check) {
	t.Helper()
	for _, c := range checks {
		frame := -1
		for i := range g.Frames {
			if g.Frames[i].Func == c.fn {
				frame = i
				break
			}
		}
		if frame < 0 {
			t.Errorf("%s is not on the stack", c.fn)
			continue
		}
		cmd := exec.Command(filepath.Join(bin, "coredumpy"), "load", path, "-c", fmt.Sprintf("frame %d print %s", frame, c.expr))
		out, err := cmd.CombinedOutput()
		got, note, _ := strings.Cut(strings.TrimSpace(string(out)), " // ")
		switch {
		case err == nil && got == c.want:
		case strings.HasPrefix(note, "dead"):
			t.Logf("%s: %s is %s, and says that it may be stale", c.fn, c.expr, got)
		case c.register && (strings.Contains(got, "optimized out") || strings.Contains(got, "unavailable register") || strings.Contains(got, "could not find symbol")):
			t.Logf("%s: %s has no value: %s", c.fn, c.expr, got)
		default:
			t.Errorf("%s: %s is %s, want %s (%v)", c.fn, c.expr, out, c.want, err)
		}
	}
}

// report says how much there is, and checks that no limit but those of single values cut anything.
func report(t *testing.T, r *dump.Reader, g *dump.Goroutine) {
	t.Helper()
	h := r.Header()
	for _, b := range h.Budgets {
		switch b.Name {
		case "pause", "timeout": // what a slow machine takes is for the log
			t.Logf("%s: %.2f ms of %d, %d hits", b.Name, float64(b.Spent)/1e6, b.Limit/1e6, b.Hits)
		case "objects", "bytes", "package_variables":
			if b.Hits > 0 {
				t.Errorf("budget %s: %+v", b.Name, b)
			}
			t.Logf("%s: %d of %d", b.Name, b.Spent, b.Limit)
		}
	}
	count := func(g *dump.Goroutine) (all, live, dead int) {
		for i := range g.Frames {
			for k := range g.Frames[i].Vars {
				v := &g.Frames[i].Vars[k]
				all++
				switch {
				case v.State == dump.VarDead:
					dead++
				case v.State != dump.VarMissing:
					live++
				}
			}
		}
		return all, live, dead
	}
	all, live, dead := count(g)
	t.Logf("failing goroutine: %d frames, %d variables, %d with values, %d dead, %d without", len(g.Frames), all, live, dead, all-live-dead)
	if live*5 < all*2 { // two of five; the compiler decides
		t.Errorf("only %d of %d variables have values", live, all)
	}
	var n, frames, oAll, oLive, oDead, none int
	for g, err := range r.Goroutines() {
		if err != nil {
			t.Fatal(err)
		}
		if g.Failing {
			continue
		}
		a, l, d := count(g)
		n, frames, oAll, oLive, oDead = n+1, frames+len(g.Frames), oAll+a, oLive+l, oDead+d
		if len(g.Frames) == 0 {
			none++
		}
	}
	t.Logf("%d other goroutines (%d without frames): %d frames, %d variables, %d with values, %d dead", n, none, frames, oAll, oLive, oDead)
	t.Logf("%d objects, %d package variables, %d bytes read, file of %d bytes", h.Counts.Objects, r.NumPackageVars(), h.Counts.Bytes, r.Size())
}
