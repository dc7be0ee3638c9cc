package capture_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// traceback is a goroutine as runtime.Stack prints it.
type traceback struct {
	header  string
	id      int64
	state   string
	locked  bool
	frames  []string // "func file:line"
	created string   // the same
	parent  int64
}

var (
	traceHeader  = regexp.MustCompile(`^goroutine (\d+) \[([^\],]*)[^\]]*\]:$`)
	traceCreated = regexp.MustCompile(`^created by (.*) in goroutine (\d+)$`)
	tracePlace   = regexp.MustCompile(`^\t(.*:\d+)(?: \+0x[0-9a-f]+)?$`)
)

// parseTraces parses what runtime.Stack(all) has written.
func parseTraces(t *testing.T, text string) map[int64]*traceback {
	t.Helper()
	out := map[int64]*traceback{}
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(block, "\n")
		m := traceHeader.FindStringSubmatch(lines[0])
		if m == nil {
			t.Fatalf("the runtime printed %q", lines[0])
		}
		tr := &traceback{header: lines[0], state: m[2], locked: strings.Contains(lines[0], "locked to thread")}
		tr.id, _ = strconv.ParseInt(m[1], 10, 64)
		for i := 1; i+1 < len(lines); i += 2 {
			place := tracePlace.FindStringSubmatch(lines[i+1])
			if place == nil {
				t.Fatalf("the runtime printed %q", lines[i+1])
			}
			if c := traceCreated.FindStringSubmatch(lines[i]); c != nil {
				tr.created = c[1] + " " + place[1]
				tr.parent, _ = strconv.ParseInt(c[2], 10, 64)
				continue
			}
			fn := lines[i]
			if at := strings.LastIndexByte(fn, '('); at > 0 {
				fn = fn[:at]
			}
			tr.frames = append(tr.frames, fn+" "+place[1])
		}
		out[tr.id] = tr
	}
	return out
}

// shown are the frames of a goroutine that runtime.Stack shows (showframe in
// runtime/traceback.go).
func shown(g *dump.Goroutine) (out []string) {
	for i := range g.Frames {
		f := &g.Frames[i]
		if rest, ok := strings.CutPrefix(f.Func, "runtime."); ok && (rest[0] < 'A' || rest[0] > 'Z') {
			continue
		}
		out = append(out, fmt.Sprintf("%s %s:%d", f.Func, f.File, f.Line))
	}
	return out
}

// wantWait is what each of the target's functions waits for; the name of an address is that
// in facts.txt.
var wantWait = map[string][]struct {
	op, name, typ string
	len, cap      int64
}{
	"receiver":    {{"receive", "numbers", "chan int", 0, 0}},
	"sender":      {{"send", "payloads", "chan main.payload", 3, 3}},
	"chooser":     {{"receive", "numbers", "chan int", 0, 0}, {"send", "payloads", "chan main.payload", 3, 3}, {"receive", "texts", "chan *string", 0, 1}},
	"locker":      {{"lock", "mu", "sync.Mutex", 0, 0}},
	"reader":      {{"rlock", "rw", "sync.RWMutex", 0, 0}},
	"writer":      {{"lock", "rw2", "sync.RWMutex", 0, 0}},
	"waiter":      {{"wait", "group", "sync.WaitGroup", 0, 0}},
	"condition":   {{"wait", "cond", "sync.Cond", 0, 0}},
	"sleeper":     {{"sleep", "", "", 0, 0}},
	"nilReceiver": {},
	"nothing":     {},
	"network":     {{"read", "", "", 0, 0}},
	"locked":      {{"receive", "own", "chan int", 0, 0}},
	"labelled":    {{"receive", "own", "chan int", 0, 0}},
	"deep":        {{"receive", "own", "chan int", 0, 0}},
}

// TestParked holds what a dump says of goroutines that wait against what the runtime says
// of them at the same time.
func TestParked(t *testing.T) {
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			if testing.Short() && b.name != "default" {
				t.Skip("-short: the default build only")
			}
			dir := t.TempDir()
			bin := filepath.Join(dir, "target")
			args := append(append([]string{"build"}, b.flags...), "-o", bin, "./testdata/targets/parked")
			if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
				t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
			}
			if out, err := exec.Command(bin, dir).CombinedOutput(); err != nil {
				t.Fatalf("target: %v\n%s", err, out)
			}
			checkWaiting(t, dir, b.bare, b.whole)
		})
	}
}

func checkWaiting(t *testing.T, dir string, bare, whole bool) {
	text := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before, after := parseTraces(t, text("before.txt")), parseTraces(t, text("after.txt"))
	facts := map[string]string{}
	for _, l := range strings.Split(strings.TrimSpace(text("facts.txt")), "\n") {
		k, v, _ := strings.Cut(l, " ")
		facts[k] = v
	}
	r, err := dump.Open(filepath.Join(dir, "parked"+dump.Extension))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(); err != nil {
		t.Fatal(err)
	}
	failing, err := r.Failing()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{failing.ID: true}
	functions := map[string]int{}
	groups := map[string]int{}
	for g, err := range r.Goroutines() {
		if err != nil {
			t.Fatal(err)
		}
		if g.Failing {
			continue
		}
		seen[g.ID] = true
		key := []string{g.Status, g.WaitReason, fmt.Sprint(g.CreatedBy)}
		for i := range g.Frames {
			key = append(key, fmt.Sprintf("%#x %s", g.Frames[i].PC, g.Frames[i].Func))
		}
		groups[strings.Join(key, "\n")]++
		tr := before[g.ID]
		if tr == nil || after[g.ID] == nil || !g.System && tr.header != after[g.ID].header {
			if !g.System {
				t.Errorf("goroutine %d is not one that the runtime knows and that waits all the time", g.ID)
			}
			continue
		}
		state := g.Status
		if g.WaitReason != "" {
			state = g.WaitReason
		}
		if state != tr.state || g.Locked != tr.locked || g.ParentID != tr.parent {
			t.Errorf("goroutine %d is %q, locked %v, of %d; the runtime says %s of %d", g.ID, state, g.Locked, g.ParentID, tr.header, tr.parent)
		}
		if c := fmt.Sprintf("%s %s:%d", g.CreatedBy.Func, g.CreatedBy.File, g.CreatedBy.Line); c != tr.created {
			t.Errorf("goroutine %d was created by %s, the runtime says %s", g.ID, c, tr.created)
		}
		got := shown(g)
		if !slices.Equal(got, tr.frames) {
			t.Errorf("goroutine %d (%s) has the frames\n  %s\nthe runtime says\n  %s", g.ID, tr.state, strings.Join(got, "\n  "), strings.Join(tr.frames, "\n  "))
		}
		fn := ""
		for i := len(g.Frames) - 1; i >= 0 && fn == ""; i-- {
			fn, _ = strings.CutPrefix(g.Frames[i].Func, "main.")
			if fn == g.Frames[i].Func {
				fn = ""
			}
		}
		functions[fn]++
		if g.Status == "waiting" && g.WaitSince <= 0 {
			t.Errorf("%s: it is not known since when it waits, though the collector has seen it", fn)
		}
		if !bare || fn != "network" { // its file's descriptor is in variables
			checkWaits(t, fn, g, facts)
		}
		switch fn {
		case "labelled":
			want := []dump.KeyValue{{Key: "route", Value: "/pay"}, {Key: "tenant", Value: `a"b`}}
			if !slices.Equal(g.Labels, want) {
				t.Errorf("labels are %v, want %v", g.Labels, want)
			}
		case "traced":
			if bare {
				continue
			}
			if g.TraceID.String() != facts["trace"] || g.SpanID.String() != facts["span"] {
				t.Errorf("the context is of span %s of trace %s, want %s of %s", g.SpanID, g.TraceID, facts["span"], facts["trace"])
			}
		default:
			if !g.TraceID.IsZero() || len(g.Labels) > 0 {
				t.Errorf("%s: trace %s, labels %v", fn, g.TraceID, g.Labels)
			}
		}
	}
	for id, tr := range before {
		if !seen[id] && after[id] != nil {
			t.Errorf("the dump has no %s %v", tr.header, tr.frames)
		}
	}
	for fn := range wantWait {
		want := map[string]int{"receiver": 3, "locker": 2, "deep": 50}[fn]
		if functions[fn] != max(want, 1) {
			t.Errorf("%d goroutines run %s, want %d", functions[fn], fn, max(want, 1))
		}
	}
	if failing.TraceID.String() != facts["trace"] && whole {
		t.Errorf("the failing goroutine has the trace %s, want %s", failing.TraceID, facts["trace"])
	}
	// The groups are those that comparing all goroutines gives.
	var sizes []int
	for _, n := range groups {
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	slices.Reverse(sizes)
	var listed []int
	for _, o := range failing.Others {
		listed = append(listed, o.Count)
	}
	if !slices.Equal(sizes[:min(len(sizes), 32)], listed) {
		t.Errorf("groups of %v goroutines, want %v", listed, sizes)
	}
	if o := failing.Others[0]; o.Count != 50 || o.At.Func != "main.deep" || o.WaitReason != "chan receive" || o.CreatedBy.Func != "main.main" || o.Longest <= 0 {
		t.Errorf("the largest group is %+v", o)
	}
}

func checkWaits(t *testing.T, fn string, g *dump.Goroutine, facts map[string]string) {
	t.Helper()
	want, ok := wantWait[fn]
	if !ok {
		return
	}
	var got, wanted []string
	for _, w := range g.Waits {
		name := ""
		for n, at := range facts {
			if w.Addr != 0 && at == fmt.Sprintf("0x%x", w.Addr) {
				name = n
			}
		}
		got = append(got, fmt.Sprintf("%s %s %s %d/%d", w.Op, name, w.Type, w.Len, w.Cap))
		switch w.Op {
		case "sleep":
			if w.Left <= 0 || w.Left > time.Hour {
				t.Errorf("%s sleeps for %s", fn, w.Left)
			}
		case "read":
			if w.FD < 3 {
				t.Errorf("%s reads descriptor %d", fn, w.FD)
			}
		}
	}
	for _, w := range want {
		wanted = append(wanted, fmt.Sprintf("%s %s %s %d/%d", w.op, w.name, w.typ, w.len, w.cap))
	}
	slices.Sort(got) // the runtime has a select's cases in the order of their addresses
	slices.Sort(wanted)
	if !slices.Equal(got, wanted) {
		t.Errorf("%s waits for %q, want %q", fn, got, wanted)
	}
}
