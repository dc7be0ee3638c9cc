package repl

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
)

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, f := range []string{"one.txt", "other.txt", ".hidden"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "odd"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := shop(t)
	sc, err := s.Home().AtFrame(4)
	if err != nil {
		t.Fatal(err)
	}
	s.Select(sc)
	r := &runner{ctx: t.Context(), s: s, load: debugger.DefaultLoad(), out: &screen{w: os.Stderr}, err: &screen{w: os.Stderr}}
	tests := []struct{ line, want string }{
		{"", "args config down exit frame goroutine goroutines grs header help info list locals panic print quit reason source stack up vars whatis"},
		{"lo", "locals"},
		{"go", "goroutine|goroutines"},
		{"cont", ""},
		{"p ", "ctx err far ids lost missing n name o panic registry stock token total"},
		{"print to", "print token|print total"},
		{"print %x to", "print %x token|print %x total"},
		{"print o.", "print o.Base|print o.Created|print o.ID|print o.Lines|print o.Meta|print o.Parent|print o.Token"},
		{"print o.L", "print o.Lines"},
		{"print 1 + o.Lines[0].", "print 1 + o.Lines[0].Count|print 1 + o.Lines[0].Price|print 1 + o.Lines[0].SKU"},
		{"print o.Lines[n].Pr", "print o.Lines[n].Price"},
		{"print len(o.Pa", "print len(o.Parent"},
		{"print (*o).Parent.M", "print (*o).Parent.Meta"},
		{"print err.(data).", "print err.(data).err|print err.(data).msg"},
		{"print err.", "print err.err|print err.msg"},
		{`print o.Meta["`, `print o.Meta["channel"]`},
		{`print o.Meta["ch`, `print o.Meta["channel"]`},
		{`print o.Meta["x`, ""},
		{`print registry["o-1001"].Me`, `print registry["o-1001"].Meta`},
		{"print far.", "print far.Base|print far.Created|print far.ID|print far.Lines|print far.Meta|print far.Parent|print far.Token"},
		{"print far.Base.", ""},
		{"print nope.", ""},
		{"print lost.", ""},
		{"print ids[", "print ids[ctx"},
		{"frame 3 print l.S", "frame 3 print l.SKU"},
		{"up 1 pri", "up 1 print"},
		{"down 1 print l.S", "down 1 print l.SKU"},
		{"goroutine 1", "goroutine 1|goroutine 18"},
		{"goroutine 1 frame 2 print i", "goroutine 1 frame 2 print ids"},
		{"locals t", "locals token|locals total"},
		{"locals -v t", "locals -v token|locals -v total"},
		{"help pr", "help print"},
		{"help e", "help exit|help expressions"},
		{"source o", "source odd/|source one.txt|source other.txt"},
		{"source .", "source .hidden"},
		{"source ./on", "source ./one.txt"},
		{"list st", "list store.(*Line).Total|list store.(*Store).Price|list store.go:"},
		{"config max-s", "config max-string-len"},
		{"exit x", ""},
		{"nope x", ""},
	}
	for _, tt := range tests {
		head, list := r.complete(tt.line)
		if !strings.HasPrefix(tt.line, head) {
			t.Errorf("%q: keeps %q", tt.line, head)
		}
		var got []string
		for _, l := range list {
			got = append(got, head+l)
		}
		text := strings.Join(got, "|")
		switch tt.line {
		case "", "p ":
			text = strings.Join(list, " ")
		case "print ids[":
			text = got[0]
		}
		if text != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.line, text, tt.want)
		}
	}
}

// TestCompleteHostile has names in the dump that a terminal would act on.
func TestCompleteHostile(t *testing.T) {
	b := debuggertest.Shop()
	f := &b.Goroutines[0].Frames[3]
	f.Func = "evil\x1b[2J.f"
	for i := range f.Vars {
		f.Vars[i].Name += "\x1b[31m"
	}
	b.Sources[0].File = "/x/\x1b[2Jevil.go"
	r := &runner{ctx: t.Context(), s: session(t, b)}
	for _, line := range []string{"print ", "locals ", "list "} {
		_, list := r.complete(line)
		if slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, "\x1b") }) {
			t.Errorf("%q proposes %q", line, list)
		}
	}
}
