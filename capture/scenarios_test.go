package capture_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// builds are the ways in which targets are compiled.
var builds = []struct {
	name  string
	flags []string
	whole bool // every local has its value
	bare  bool // there is no debug info
}{
	{name: "default"},
	{name: "noopt", flags: []string{"-gcflags=all=-N -l"}, whole: true},
	{name: "race", flags: []string{"-race"}},
	{name: "trimpath", flags: []string{"-trimpath"}},
	{name: "pie", flags: []string{"-buildmode=pie"}},
	{name: "stripped", flags: []string{"-ldflags=-s -w"}, bare: true},
	{name: "nodwarf", flags: []string{"-ldflags=-w"}, bare: true},
}

const (
	target   = "testdata/targets/scenarios"
	line0    = `{SKU:"A-1" Qty:2 Price:9.5}`
	line1    = `{SKU:"B-2" Qty:1 Price:20}`
	customer = `&{Address:{Street:"Main Street 1" City:"Wien"} Name:"Ada" Tags:map(2){"eu":2 "vip":1}}`
)

func orderText(cust string) string {
	return `{ID:42 Customer:` + cust + ` Lines:[` + line0 + ` ` + line1 + `] Self:&SELF Meta:map(5){"e":*errors.errorString(&{s:"boom"}) "n":int(7) "nil":nil "p":*int(&5) "s":string("text")}` +
		` Queue:chan(2/4)[22 33] Scale:func main.order.func1{factor:&5} Err:*main.StockError(&{SKU:"B-2" Want:9 Have:0}) Note:["a note"] Grid:[[1 -2 3] [4 5 -6]] C:(1.5-2i) Empty:{}` +
		` Any:main.Pair[string,int]({Key:"k" Val:8}) Ratio:0.25 Flags:[true false true true]}`
}

// order is the order as seen through a pointer to it; copied is a copy of it.
var (
	order  = "&" + strings.Replace(orderText(customer), "&SELF", "&(again)", 1)
	copied = strings.Replace(orderText("nil"), "&SELF", "&"+strings.Replace(orderText(customer), "&SELF", "&(again)", 1), 1)
)

// expected are the failing user frame of each scenario and what its variables
// are. A variable that an optimised build has no value for may be absent or say so.
var scenarios = []struct {
	name, fn, marker string
	reason           []string
	vars             map[string]string
	callers          []string          // functions of the next user frames
	outer            map[string]string // variables of main.handle
}{
	{
		"index", "main.total", "FAIL: index",
		[]string{"runtime.boundsError: runtime error: index out of range [2] with length 2"},
		map[string]string{"o": order, "upto": "7", "sum": "3", "i": "2"},
		[]string{"main.handle", "main.main.func2", "main.fail", "main.main"},
		map[string]string{"label": `"order-index"`, "weight": "6", "scenario": `"index"`, "sum": "0", "o": order},
	},
	{
		"nil-deref", "main.city", "FAIL: nil-deref",
		[]string{"runtime.errorString: runtime error: invalid memory address or nil pointer dereference"},
		map[string]string{"o": "&" + copied},
		[]string{"main.handle", "main.main.func2", "main.fail", "main.main"},
		map[string]string{"label": `"order-nil-deref"`, "weight": "6", "c": copied, "sum": "0", "o": order, "scenario": `"nil-deref"`},
	},
	{
		"nil-map", "main.(*Ledger).Post", "FAIL: nil-map",
		[]string{"runtime.plainError: assignment to entry in nil map"},
		map[string]string{"l": `&{name:"main" entries:nil}`, "key": `"order-nil-map"`, "amount": "6", "before": "0"},
		[]string{"main.handle"},
		map[string]string{"label": `"order-nil-map"`, "weight": "6", "sum": "0", "l": `&{name:"main" entries:nil}`},
	},
	{
		"divide", "main.divide", "FAIL: divide",
		[]string{"runtime.errorString: runtime error: integer divide by zero"},
		map[string]string{"a": "17", "b": "0", "c": "4", "sum": "21"},
		[]string{"main.handle"},
		nil,
	},
	{
		"custom", "main.pay", "FAIL: custom",
		[]string{
			"*fmt.wrapError: pay order 42: NOT-CALLED", "*errors.joinError: x", `*main.StockError: {SKU: "A-1", Want: 3, Have: 1}`, "*errors.errorString: card declined",
		},
		map[string]string{"o": order, "attempt": "6"},
		[]string{"main.handle"},
		nil,
	},
	{
		"closure", "main.visit", "FAIL: closure",
		[]string{"string: line 1: bad B-2 after 3"},
		map[string]string{"o": order, "i": "1", "l": line1, "f": `func main.handle.func1{seen:&3}`},
		[]string{"main.handle"},
		map[string]string{"seen": "3"},
	},
	{
		"generic", "main.(*Stack[go.shape.struct { Key string; Val int }]).Pop", "return s.items[",
		[]string{"runtime.boundsError: runtime error: index out of range [-1]"},
		map[string]string{"s": `&{items:[{Key:"a" Val:1} {Key:"b" Val:2}]}`, "n": "3"},
		[]string{"main.generic", "main.handle"},
		nil,
	},
	{
		"assertion", "main.assertion", "FAIL: assertion",
		[]string{"*runtime.TypeAssertionError: interface conversion: interface {} is string, not int"},
		map[string]string{"v": `string("order-assertion")`},
		[]string{"main.handle"},
		nil,
	},
	{
		"manual", "main.snap", "engine.Snapshot(ev)", nil,
		map[string]string{"name": `"manual"`},
		[]string{"main.handle"},
		map[string]string{"watched": `["x" "y"]`, "label": `"order-manual"`, "weight": "6"},
	},
	{
		"error", "main.snap", "engine.Snapshot(ev)",
		[]string{"*fmt.wrapError: outer: NOT-CALLED", `*main.StockError: {SKU: "C-3", Want: 2, Have: 1}`},
		map[string]string{"name": `"error"`},
		[]string{"main.handle"},
		map[string]string{"err": `*fmt.wrapError(&{msg:"outer: NOT-CALLED" err:*main.StockError(&{SKU:"C-3" Want:2 Have:1})})`},
	},
}

func TestScenarios(t *testing.T) {
	for _, b := range builds {
		if needsCgo(b.flags) {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			if testing.Short() && b.name != "default" {
				t.Skip("-short: the default build only")
			}
			dir := t.TempDir()
			bin := filepath.Join(dir, "target")
			goBuild(t, bin, "./"+target, b.flags...)
			if out, err := targetCommand(bin, dir).CombinedOutput(); err != nil {
				t.Fatalf("target: %v\n%s", err, out)
			}
			for _, sc := range scenarios {
				t.Run(sc.name, func(t *testing.T) {
					r, err := dump.Open(filepath.Join(dir, sc.name+dump.Extension))
					if err != nil {
						t.Fatal(err)
					}
					defer r.Close()
					if err := r.Verify(); err != nil {
						t.Fatal(err)
					}
					h := r.Header()
					g, err := r.Failing()
					if err != nil {
						t.Fatal(err)
					}
					checkReason(t, h.Reason, sc.reason)
					user := userFrames(g)
					if len(user) == 0 {
						t.Fatal("no user frames")
					}
					fn := sc.fn
					if b.bare && strings.Contains(fn, "[go.shape") {
						fn = "main.(*Stack[...]).Pop"
					}
					if f := user[0]; f.Func != fn || f.Line != lineOf(t, sc.marker) {
						t.Errorf("failing user frame is %s:%d, want %s:%d", f.Func, f.Line, fn, lineOf(t, sc.marker))
					}
					if h.Failing.Func != fn {
						t.Errorf("header says it failed in %s, want %s", h.Failing.Func, fn)
					}
					for i, want := range sc.callers {
						if i+1 >= len(user) || user[i+1].Func != want {
							t.Errorf("user frame %d is not %s: %v", i+1, want, names(user))
						}
					}
					if b.bare {
						if len(h.Missing) == 0 || h.Missing[0].What != "locals" || !strings.Contains(h.Missing[0].Why, "debug info") || h.Missing[0].Hint == "" {
							t.Errorf("header does not say why locals are missing: %+v", h.Missing)
						}
						checkStacks(t, r)
						return
					}
					checkVars(t, r, user[0], sc.vars, b.whole)
					for _, f := range user {
						if f.Func == "main.handle" {
							checkVars(t, r, f, sc.outer, b.whole)
						}
					}
					checkWaiter(t, r, b.whole)
				})
			}
		})
	}
}

func checkReason(t *testing.T, got []dump.ErrorInfo, want []string) {
	t.Helper()
	var texts []string
	for _, e := range got {
		texts = append(texts, e.Type+": "+e.Message)
	}
	if len(texts) != len(want) {
		t.Errorf("reason is %q, want %q", texts, want)
		return
	}
	for i := range want {
		w := want[i]
		// The text that fmt made of a wrapped error is not ours to foretell.
		if at := strings.Index(w, "NOT-CALLED"); at >= 0 && strings.HasPrefix(texts[i], w[:at]) || w == "*errors.joinError: x" && got[i].Type == "*errors.joinError" {
			continue
		}
		if texts[i] != w {
			t.Errorf("reason %d is %q, want %q", i, texts[i], w)
		}
	}
}

func userFrames(g *dump.Goroutine) []*dump.Frame {
	var out []*dump.Frame
	for i := range g.Frames {
		if g.Frames[i].User {
			out = append(out, &g.Frames[i])
		}
	}
	return out
}

func names(fs []*dump.Frame) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.Func)
	}
	return out
}

// checkVars checks that each variable that has a value has the true one, and, if
// whole, that each has a value.
func checkVars(t *testing.T, r *dump.Reader, f *dump.Frame, want map[string]string, whole bool) {
	t.Helper()
	seen := map[string]bool{}
	for i := range f.Vars {
		v := &f.Vars[i]
		w, ok := want[v.Name]
		if !ok {
			continue
		}
		if v.State == dump.VarMissing || v.Value.Reason == dump.OptimizedOut || v.Value.Reason == dump.UnavailableRegister {
			if whole {
				t.Errorf("%s: %s is missing (%s %s)", f.Func, v.Name, v.StateName(), v.Value.Detail)
			}
			t.Logf("%s: %s has no value: %s %s", f.Func, v.Name, v.Value.Reason, v.Value.Detail)
			continue
		}
		seen[v.Name] = true
		if v.State == dump.VarDead {
			continue // says itself that it may be stale
		}
		got := render(r, &v.Value)
		if at := strings.Index(w, "NOT-CALLED"); at >= 0 {
			if strings.HasPrefix(got, w[:at]) {
				continue
			}
		}
		if got != w {
			t.Errorf("%s: %s is\n  %s, want\n  %s", f.Func, v.Name, got, w)
		}
	}
	for name := range want {
		if !seen[name] && whole {
			t.Errorf("%s: %s is not there", f.Func, name)
		}
	}
}

// checkWaiter checks the goroutine that waits on a channel.
func checkWaiter(t *testing.T, r *dump.Reader, whole bool) {
	t.Helper()
	for g, err := range r.Goroutines() {
		if err != nil {
			t.Fatal(err)
		}
		for i := range g.Frames {
			f := &g.Frames[i]
			if f.Func != "main.main.func1" {
				continue
			}
			checkVars(t, r, f, map[string]string{"who": `"waiter"`, "count": "42"}, whole)
			if g.Status != "waiting" || g.WaitReason != "chan receive" || g.CreatedBy.Func != "main.main" {
				t.Errorf("the waiting goroutine is %q %q, created by %q", g.Status, g.WaitReason, g.CreatedBy.Func)
			}
			return
		}
	}
	t.Error("the waiting goroutine is not in the dump")
}

// checkStacks checks that the waiting goroutine's functions are there without debug
// info.
func checkStacks(t *testing.T, r *dump.Reader) {
	t.Helper()
	for g, err := range r.Goroutines() {
		if err != nil {
			t.Fatal(err)
		}
		for i := range g.Frames {
			if g.Frames[i].Func == "main.main.func1" && g.Status == "waiting" {
				return
			}
		}
	}
	t.Error("the waiting goroutine's stack is not in the dump")
}

// lineOf returns the line of the target's source that has the marker.
func lineOf(t *testing.T, marker string) int {
	t.Helper()
	f, err := os.Open(filepath.Join(target, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		if strings.Contains(sc.Text(), marker) {
			return n
		}
	}
	t.Fatal(fmt.Errorf("no line has %q", marker))
	return 0
}
