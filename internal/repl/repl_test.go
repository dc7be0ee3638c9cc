package repl

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
)

var update = flag.Bool("update", false, "rewrite the golden files and docs/load.md")

func shop(t testing.TB) *debugger.Session {
	t.Helper()
	return session(t, debuggertest.Shop())
}

func session(t testing.TB, b *debuggertest.Builder) *debugger.Session {
	t.Helper()
	s, err := debugger.New(b.Reader(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// heap matches the addresses that differ from run to run; those of code and
// frames are made up and do not.
var heap = regexp.MustCompile(`0xc000[0-9a-f]+|0x[0-9a-f]{7,}\b`)

func normal(s string) string {
	return heap.ReplaceAllStringFunc(s, func(a string) string {
		if strings.HasPrefix(a, "0x0000000000") {
			return a // a PC
		}
		return "0xADDR"
	})
}

// TestTranscripts runs scripts and compares what they print with what they
// printed before. Each command stands before its output.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.in")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			r := &runner{ctx: t.Context(), s: shop(t), load: debugger.DefaultLoad(), out: &screen{w: &out}, err: &screen{w: &out}}
			r.banner()
			for _, line := range strings.Split(strings.TrimSpace(string(script)), "\n") {
				out.WriteString("> " + line + "\n")
				if r.line(line); r.quit {
					out.WriteString("(exit)\n")
					break
				}
			}
			golden(t, strings.TrimSuffix(file, ".in")+".golden", normal(out.String()))
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) == got {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			t.Fatalf("%s differs from line %d on (write it anew with -update):\n got %s", file, i+1, strings.Join(g[i:min(i+10, len(g))], "\n     "))
		}
	}
	t.Fatalf("%s has %d lines more", file, len(w)-len(g))
}

func TestRun(t *testing.T) {
	tests := []struct {
		name     string
		o        Options
		in       string
		exit     int
		out, err string // what must be in the output, or all of it after =
	}{
		{"commands", Options{Commands: []string{"print 1+1", "frame 4 print ids"}}, "print 3", 0, "=2\n[]int len: 3, cap: 3, [1,2,3]\n", "="},
		{"failed command", Options{Commands: []string{"print nope", "print 2"}}, "", 1, "=2\n", "=Command failed: could not find symbol value for nope\n"},
		{"exit stops", Options{Commands: []string{"exit", "print 2"}}, "", 0, "=", "="},
		{"exit after failure", Options{Commands: []string{"nope", "exit", "print 2"}}, "", 1, "=", "command not available"},
		{"missing value is no failure", Options{Commands: []string{"frame 4 print lost"}}, "", 0, "=(unreadable fault at 0x10)\n", "="},
		{"expression over a missing value is", Options{Commands: []string{"frame 4 print lost+1"}}, "", 1, "=", "lost: unreadable: fault at 0x10"},
		{"stdin", Options{}, "print 1\n\n# nothing\nprint 2", 0, "11:\t", "="},
		{"stdin failure", Options{}, "print nope\nprint 2\n", 1, "2\n", "nope"},
		{"stdin shows the failure first", Options{}, "", 0, "panic: pricing order o-1001: pear: shelf is empty [*fmt.wrapError]\n  wraps: ", "="},
		{"init file", Options{Init: "testdata/inner.txt", Commands: []string{"print 7"}}, "", 1, "2\n7\n", "testdata/inner.txt:4: "},
		{"init file that is not there", Options{Init: "testdata/none", Commands: []string{"print 7"}}, "", 1, "=7\n", "testdata/none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			tt.o.In, tt.o.Out, tt.o.Err = strings.NewReader(tt.in), &out, &errs
			exit, err := Run(t.Context(), shop(t), tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if exit != tt.exit {
				t.Errorf("exit code %d, want %d", exit, tt.exit)
			}
			for _, c := range []struct{ what, got, want string }{{"stdout", out.String(), tt.out}, {"stderr", errs.String(), tt.err}} {
				if all, ok := strings.CutPrefix(c.want, "="); ok && c.got != all || !ok && !strings.Contains(c.got, c.want) {
					t.Errorf("%s is %q, want %q", c.what, c.got, c.want)
				}
			}
			if strings.Contains(out.String(), "\x1b") || strings.Contains(out.String(), Prompt) {
				t.Errorf("colours or a prompt without a terminal: %q", out.String())
			}
		})
	}
}

func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	exit, err := Run(ctx, shop(t), Options{Out: &out, Commands: []string{"print 1"}})
	if exit != 1 || err == nil || out.Len() != 0 {
		t.Errorf("exit %d, error %v, output %q", exit, err, out.String())
	}
}

// failing is a writer that is full.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestRunCannotWrite(t *testing.T) {
	if exit, err := Run(t.Context(), shop(t), Options{Out: failing{}, Commands: []string{"print 1"}}); exit != 1 || err == nil {
		t.Errorf("exit %d, error %v", exit, err)
	}
}

// TestColor checks that colours are the only escape sequences, and that text is
// the same with and without them.
func TestColor(t *testing.T) {
	script := "bt -full\nlist\nup\nlocals -v\nargs -v\ngoroutines\ninfo\nhelp\npanic\nprint nope\n"
	run := func(color bool) string {
		var out bytes.Buffer
		if _, err := Run(t.Context(), shop(t), Options{In: strings.NewReader(script), Out: &out, Color: color}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	colored := run(true)
	if !strings.Contains(colored, string(red)) {
		t.Error("no colours")
	}
	sgr := regexp.MustCompile("\x1b\\[[0-9]*m")
	bare := sgr.ReplaceAllString(colored, "")
	if strings.Contains(bare, "\x1b") {
		t.Errorf("escape sequences besides colours: %q", bare)
	}
	if got, want := normal(bare), normal(run(false)); got != want {
		t.Errorf("the text differs with colours:\n%s\nwithout:\n%s", got, want)
	}
}

// TestHostileText puts what terminals act on wherever a dump has text.
func TestHostileText(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x1b[2J\r\u202e\u009b31m\xff\x00x"
	b := debuggertest.Shop()
	h := &b.Header
	h.Service, h.Name, h.Description, h.SpanName, h.Host, h.GoVersion = evil, evil, evil, evil, evil, evil
	h.Module = dump.Module{Path: evil, Version: evil}
	h.VCS.Revision = evil
	h.Reason[0].Message, h.Reason[1].Type = evil+"\n"+evil, evil
	h.Resource = []dump.KeyValue{{Key: evil, Value: evil}}
	h.Missing = []dump.Missing{{What: evil, Why: evil, Hint: evil}}
	h.Redactions = []dump.RuleCount{{Rule: evil, Count: 1}}
	h.Budgets = []dump.Budget{{Name: evil, Unit: evil, Limit: 1}}
	h.Trigger = evil
	for _, g := range b.Goroutines {
		g.WaitReason, g.Status, g.CreatedBy.Func, g.CreatedBy.File = evil, evil, evil, evil
		g.Labels = []dump.KeyValue{{Key: evil, Value: evil}}
		for i := range g.Frames {
			f := &g.Frames[i]
			f.Func += evil
			f.Missing = []dump.Missing{{What: evil, Why: evil}}
			for j := range f.Vars {
				f.Vars[j].Name += evil
				f.Vars[j].Value.Func = evil
				f.Vars[j].Value.Summary = evil
			}
			f.Vars = append(f.Vars, dump.Variable{Name: "evil", Value: dump.Value{Type: stringType(b), Bytes: []byte(evil), Len: int64(len(evil))}})
		}
	}
	for _, typ := range b.Types {
		typ.Name += evil
		for i := range typ.Fields {
			typ.Fields[i].Name += evil
		}
	}
	for _, s := range b.Sources {
		for i := range s.Blocks {
			for j := range s.Blocks[i].Lines {
				s.Blocks[i].Lines[j] += evil
			}
		}
	}
	script := "bt -full\nlist\nup\nlocals -v\nargs -v\ngoroutines -l -t\ngoroutine\ninfo\npanic\nprint evil\nprint %s evil\nconfig show-raw-strings true\n" +
		"print evil\nwhatis evil\nlist 12\nlist x" + evil + "\nprint " + evil + "\n" + evil + "\nhelp " + evil + "\nsource " + evil + "\n"
	var out, errs bytes.Buffer
	if _, err := Run(t.Context(), session(t, b), Options{In: strings.NewReader(script), Out: &out, Err: &errs, Dir: "/home/ci"}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{out.String(), errs.String()} {
		for i, r := range text {
			if r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\u202e' {
				t.Fatalf("%q gets out: %q", r, text[max(0, i-80):min(len(text), i+20)])
			}
		}
	}
	if !strings.Contains(out.String(), `\x1b]0;owned`) {
		t.Error("the text was not shown at all")
	}
}

func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out}
	for _, b := range []byte("aé\u202e€\x1b\n") { // characters cut apart
		if n, err := s.Write([]byte{b}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	s.Write([]byte("\xe2\x82")) // and one that never ends
	s.print(plain, "!")
	if got, want := out.String(), `aé\u202e€\x1b`+"\n"+`\xe2\x82!`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSuggestion(t *testing.T) {
	for name, want := range map[string]string{"prnt": "print", "lcoals": "locals", "gorutines": "goroutines", "fram": "frame", "xyzzy": ""} {
		msg := unknown(name).Error()
		if want == "" && strings.Contains(msg, "did you mean") || want != "" && !strings.Contains(msg, "did you mean "+want+"?") {
			t.Errorf("%s: %s", name, msg)
		}
	}
}

func stringType(b *debuggertest.Builder) dump.TypeID {
	for _, t := range b.Types {
		if t.Kind == dump.String {
			return t.ID
		}
	}
	return 0
}

func openBytes(data []byte) (*debugger.Session, error) {
	r, err := dump.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	return debugger.New(r)
}
