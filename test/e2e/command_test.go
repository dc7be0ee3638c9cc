package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// peeked is the part of `coredumpy peek --format json` that the issue names.
type peeked struct {
	ID      string `json:"id"`
	TraceID string `json:"trace_id"`
	Service string `json:"service"`
	Trigger string `json:"trigger"`
	Failing struct {
		Func string `json:"func"`
		Line int    `json:"line"`
	} `json:"failing"`
	Frames []struct {
		Func    string `json:"func"`
		File    string `json:"file"`
		Line    int    `json:"line"`
		Inlined bool   `json:"inlined"`
		Vars    []struct {
			Name  string          `json:"name"`
			Kind  string          `json:"kind"`
			Type  string          `json:"type"`
			Value json.RawMessage `json:"value"`
			State string          `json:"state"`
		} `json:"vars"`
	} `json:"frames"`
}

// TestCommands goes the way of somebody who has a trace ID: fetch, peek, load.
func TestCommands(t *testing.T) {
	run := runShop(t, variantNamed(t, "default"))
	for i := range failures {
		f := &failures[i]
		t.Run(f.name, func(t *testing.T) {
			l, _ := run.failure(t, f)
			walkTrace(t, f, l, "--dir", run.dir)
		})
	}
}

// walkTrace fetches a failure's dump by its trace ID and looks at it with peek
// and load. where is how fetch finds the store.
func walkTrace(t *testing.T, f *failure, l line, where ...string) {
	t.Helper()
	coredumpy := buildCoredumpy(t)
	out := t.TempDir()
	args := append([]string{"fetch", l.trace, "-o", out}, where...)
	fetched := execute(t, runOptions{}, coredumpy, args...)
	paths := strings.Fields(fetched.stdout)
	if fetched.exit != 0 || len(paths) != 1 {
		t.Fatalf("fetch: exit code %d, paths %q, want one\n%s", fetched.exit, paths, fetched.stderr)
	}
	if filepath.Dir(paths[0]) != out || !strings.Contains(filepath.Base(paths[0]), l.id) {
		t.Errorf("fetch: path %s, want one in %s with %s", paths[0], out, l.id)
	}

	rep := &report{t: t}
	shown := execute(t, runOptions{}, coredumpy, "peek", "--format", "json", paths[0])
	var dumps []peeked
	if err := json.Unmarshal([]byte(shown.stdout), &dumps); err != nil || len(dumps) != 1 || shown.exit != 0 {
		t.Fatalf("peek: exit code %d, %d dumps, %v\n%.2000s\n%s", shown.exit, len(dumps), err, shown.stdout, shown.stderr)
	}
	d := dumps[0]
	rep.equal("peek id", d.ID, l.id)
	rep.equal("peek trace_id", d.TraceID, l.trace)
	rep.equal("peek service", d.Service, "checkout")
	rep.equal("peek trigger", d.Trigger, string(f.trigger))
	if len(d.Frames) == 0 {
		t.Fatal("peek: no frames")
	}
	first := d.Frames[0]
	rep.equal("peek first frame", plainFunc(first.Func), shopName(f.frames[0].fn))
	checkPlace(rep, "peek first frame", first.File, first.Line, failPlaces(t, f.name))
	if len(first.Vars) == 0 {
		rep.mismatch("peek: the failing frame has no variables")
	}
	for _, v := range first.Vars {
		if v.Name == "" || v.Kind == "" || v.State == "" {
			rep.mismatch("peek: a variable lacks a field: %+v", v)
		}
	}

	text := execute(t, runOptions{}, coredumpy, "peek", paths[0])
	for _, want := range []string{f.reason[0].message, l.trace, "checkout", f.spans[0]} {
		if !strings.Contains(text.stdout, want) {
			rep.mismatch("peek does not show %q:\n%s", want, text.stdout)
		}
	}

	loaded := execute(t, runOptions{}, coredumpy, "load", paths[0], "-c", "bt", "-c", "list", "-c", "locals", "-c", "args")
	fn := strings.TrimPrefix(shopName(f.frames[0].fn), shopPath+"/")
	if loaded.exit != 0 || !strings.Contains(loaded.stdout, fn) {
		rep.mismatch("load: exit code %d, want %s in:\n%s%s", loaded.exit, fn, loaded.stdout, loaded.stderr)
	}
	for _, p := range failPlaces(t, f.name) {
		if lines, err := shopSource(); err == nil && strings.Contains(loaded.stdout, strings.TrimSpace(lines[p.file][p.line-1])) {
			return
		}
	}
	rep.mismatch("load: list does not show the failing line:\n%s", loaded.stdout)
}

// TestPrint checks expressions against the truth.
func TestPrint(t *testing.T) {
	run := runShop(t, variantNamed(t, "default"))
	tests := []struct{ failure, expr, want string }{
		{"custom-panic", "o.ID", `"A-1005"`},
		{"custom-panic", "o.Customer.City", `"Auckland"`},
		{"custom-panic", "o.Lines[1].SKU", `"CUP-7"`},
		{"custom-panic", "len(o.Lines)", "2"},
		{"custom-panic", `o.Customer.Settings["orders"]["email"]`, "true"},
		{"nil-map", "o.Customer.Card.Level.Name", `"gold"`},
		{"nil-map", "len(o.History)", "1"},
		{"error-span-leaf", `w.shelves["CUP-7"]`, "3"},
		{"error-span-leaf", "qty", "5"},
	}
	for _, test := range tests {
		t.Run(test.failure+" "+test.expr, func(t *testing.T) {
			for i := range failures {
				if f := &failures[i]; f.name == test.failure {
					l, _ := run.failure(t, f)
					got := execute(t, runOptions{}, buildCoredumpy(t), "load", l.place, "-c", "print "+test.expr)
					lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
					if got.exit != 0 || lines[len(lines)-1] != test.want {
						t.Errorf("exit code %d, got:\n%s%s\nwant %s", got.exit, got.stdout, got.stderr, test.want)
					}
				}
			}
		})
	}
}

// TestList checks that ls sees every dump.
func TestList(t *testing.T) {
	run := runShop(t, variantNamed(t, "default"))
	got := execute(t, runOptions{}, buildCoredumpy(t), "ls", "--dir", run.dir, "--format", "json")
	var dumps []peeked
	if err := json.Unmarshal([]byte(got.stdout), &dumps); err != nil || got.exit != 0 {
		t.Fatalf("ls: exit code %d, %v\n%.2000s\n%s", got.exit, err, got.stdout, got.stderr)
	}
	want := make(map[string]bool)
	for _, l := range run.lines {
		want[l.id] = true
	}
	for _, d := range dumps {
		if !want[d.ID] {
			t.Errorf("ls shows dump %s, which the example did not print", d.ID)
		}
		delete(want, d.ID)
	}
	if len(want) > 0 {
		t.Errorf("ls does not show %v", want)
	}
}

// TestUnknownTrace checks the exit codes for traces that are not there.
func TestUnknownTrace(t *testing.T) {
	run := runShop(t, variantNamed(t, "default"))
	coredumpy := buildCoredumpy(t)
	got := execute(t, runOptions{}, coredumpy, "fetch", strings.Repeat("ab", 16), "--dir", run.dir)
	if got.exit != 3 || !strings.Contains(got.stderr, run.dir) {
		t.Errorf("unknown trace: exit code %d, want 3 and where it looked: %s", got.exit, got.stderr)
	}
	got = execute(t, runOptions{}, coredumpy, "fetch", "12ab", "--dir", run.dir)
	if got.exit != 2 {
		t.Errorf("malformed trace ID: exit code %d, want 2: %s", got.exit, got.stderr)
	}
}

// TestDamaged checks the exit codes for files that are no dumps, or not whole.
func TestDamaged(t *testing.T) {
	run := runShop(t, variantNamed(t, "default"))
	l, _ := run.failure(t, &failures[0])
	whole, err := os.ReadFile(l.place)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
		want string // what can be read all the same
	}{
		{"half", whole[:len(whole)/2], l.trace},
		{"foreign", []byte("%PDF-1.7 is not a dump"), ""},
		{"empty", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.cdmp")
			if err := os.WriteFile(path, test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			got := execute(t, runOptions{}, buildCoredumpy(t), "peek", path)
			if got.exit != 4 || !strings.Contains(got.stdout, test.want) {
				t.Errorf("exit code %d, want 4 and %q:\n%s%s", got.exit, test.want, got.stdout, got.stderr)
			}
		})
	}
}

// TestUsage checks the example's own command line.
func TestUsage(t *testing.T) {
	checkout := buildCheckout(t, variantNamed(t, "default"))
	got := execute(t, runOptions{}, checkout, "-scenario", "fire")
	for _, f := range failures {
		if got.exit != 2 || !strings.Contains(got.stderr, f.scenario) {
			t.Errorf("exit code %d, want 2 and %s: %s", got.exit, f.scenario, got.stderr)
		}
	}
	if got := execute(t, runOptions{}, checkout, "-fire"); got.exit != 2 {
		t.Errorf("unknown flag: exit code %d, want 2: %s", got.exit, got.stderr)
	}
}

// TestOneScenario checks -scenario, and the default folder.
func TestOneScenario(t *testing.T) {
	checkout := buildCheckout(t, variantNamed(t, "default"))
	work := t.TempDir()
	got := execute(t, runOptions{dir: work, env: []string{"PWD=" + work}}, checkout, "-scenario", "index")
	lines, _ := parseLines(got.stdout)
	if got.exit != 0 || len(lines) != 1 || lines[0].scenario != "index" {
		t.Fatalf("exit code %d, want one line for index:\n%s%s", got.exit, got.stdout, got.stderr)
	}
	if !strings.HasPrefix(lines[0].place, "dumps/") {
		t.Errorf("dump=%s, want a path in dumps", lines[0].place)
	}
	openDump(t, filepath.Join(work, lines[0].place))
}
