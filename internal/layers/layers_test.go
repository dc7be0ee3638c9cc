// Package layers holds the packages to the direction in which they may import each
// other: see docs/internals.md and the table here, which is the rule.
package layers

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/otelcoredumpy/otelcoredumpy"

// allowed lists, for each package, which of ours it may import. "" is the root.
// Packages that are not listed may import everything: commands, examples, tests.
var allowed = map[string][]string{
	"internal/bubble":      {},
	"dump":                 {"internal/bubble"},
	"dump/dumppb":          {},
	"redact":               {},
	"capture":              {"dump", "internal/bubble", "redact"},
	"sink":                 {"dump"},
	"sink/sinktest":        {"dump", "sink"},
	"sink/local":           {"dump", "sink", "sink/internal/calendar", "sink/internal/disk"},
	"sink/spool":           {"dump", "sink", "sink/internal/disk"},
	"sink/internal/disk":   {},
	"sink/internal/memory": {"dump", "sink"},
	"sink/route":           {"dump", "sink"},
	"sink/encrypt":         {"dump", "sink"},
	"sink/prune":           {"dump", "sink"},
	"sink/s3":              {"dump", "sink", "sink/internal/calendar"},
	"exporter":             {"capture", "dump", "internal/bubble", "redact", "sink"},
	"internal/debugger":    {"dump"},
	"internal/repl":        {"dump", "internal/debugger"},
	"internal/config":      {"capture", "dump", "exporter", "redact", "sink", "sink/encrypt", "sink/local", "sink/route", "sink/s3", "sink/spool"},
	"":                     {"capture", "dump", "exporter", "internal/config", "redact", "sink", "sink/local", "sink/spool"},
	"internal/cli":         {"capture", "dump", "internal/config", "internal/debugger", "internal/repl", "sink", "sink/encrypt", "sink/local", "sink/prune", "sink/spool"},
	"cmd/coredumpy":        {"internal/cli"},
}

// forbidden lists what must not come along with a package, however indirectly: a
// service that wants only the engine does not get a configuration library or a cloud.
var forbidden = map[string][]string{
	"capture":      {"github.com/spf13/", "github.com/aws/", "go.opentelemetry.io/"},
	"dump":         {"github.com/spf13/", "github.com/aws/", "go.opentelemetry.io/", "filippo.io/", "golang.org/x/crypto"},
	"redact":       {"github.com/"},
	"sink":         {"github.com/spf13/", "github.com/aws/", "go.opentelemetry.io/"},
	"sink/local":   {"github.com/spf13/", "github.com/aws/", "go.opentelemetry.io/"},
	"sink/spool":   {"github.com/spf13/", "github.com/aws/", "go.opentelemetry.io/"},
	"sink/route":   {"github.com/spf13/", "github.com/aws/", "go.opentelemetry.io/", "filippo.io/", "golang.org/x/crypto"},
	"sink/encrypt": {"github.com/spf13/", "github.com/aws/", "go.opentelemetry.io/"},
	"sink/prune":   {"github.com/spf13/", "github.com/aws/", "go.opentelemetry.io/", "filippo.io/", "golang.org/x/crypto"},
	"exporter":     {"github.com/spf13/", "github.com/aws/"},
	"sink/s3":      {"github.com/spf13/", "go.opentelemetry.io/"},
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestLayers(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"/...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	seen := map[string]bool{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		seen[name] = true
		may, listed := allowed[name]
		for _, i := range p.Imports {
			rest, ours := strings.CutPrefix(i, module)
			rest = strings.TrimPrefix(rest, "/")
			// A package's own internal packages are part of it.
			if !ours || !listed || slices.Contains(may, rest) || strings.HasPrefix(rest, name+"/internal/") {
				continue
			}
			t.Errorf("%s must not import %s", p.ImportPath, i)
		}
		for _, d := range p.Deps {
			for _, f := range forbidden[name] {
				if strings.HasPrefix(d, f) && !strings.HasPrefix(d, module) {
					t.Errorf("%s brings %s along", p.ImportPath, d)
				}
			}
		}
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("there is no package %q any more", name)
		}
	}
}
