package repl

import (
	"bytes"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
)

func TestVars(t *testing.T) {
	run := func(b *debuggertest.Builder, args string) string {
		t.Helper()
		var out bytes.Buffer
		r := &runner{ctx: t.Context(), s: session(t, b), load: debugger.DefaultLoad(), out: &screen{w: &out}, err: &screen{w: &out}}
		if err := r.call(call{scope: r.s.Scope(), args: args}); err != nil {
			return "error: " + err.Error()
		}
		return out.String()
	}
	b := debuggertest.Shop()
	b.Header.Missing = append(b.Header.Missing, dump.Missing{What: "package variables", Why: "no variable of the program matches main.x"})
	if got := run(b, "vars"); !strings.HasPrefix(got, "(no vars)\n") || !strings.Contains(got, "capture.variables") || !strings.Contains(got, "matches main.x") {
		t.Errorf("vars of a dump without: %s", got)
	}

	n, list := 7, []string{"a", "b"}
	b.PackageVars = []*dump.PackageVar{
		{Package: "github.com/acme/shop/store", Name: "queue", Value: b.Value(&list)},
		{Package: "main", Name: "hits", Late: true, Value: b.Value(&n)},
	}
	for args, want := range map[string]string{
		"vars":                "github.com/acme/shop/store.queue = []string len: 2, cap: 2, [...]\nmain.hits = 7 // late: read after the failure\n",
		"vars -v queue$":      "github.com/acme/shop/store.queue = []string len: 2, cap: 2, [\"a\",\"b\"]\n",
		"vars ^main":          "main.hits = 7 // late: read after the failure\n",
		"vars none":           "(no vars)\n",
		"vars (":              "error: malformed regular expression",
		"print main.hits + 1": "8 // late: read after the failure\n",
	} {
		got := run(b, args)
		if got != want && !strings.HasPrefix(got, want+":") && !(args == "vars none" && strings.HasPrefix(got, want)) {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}
