package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// line is what the example prints for a failure.
type line struct {
	scenario string
	trace    string
	id       string
	place    string // path or URI
}

var linePattern = regexp.MustCompile(`^(\S+) trace_id=([0-9a-f]{32}) dump_id=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) dump=(\S+)$`)

func parseLines(stdout string) (lines []line, rest string) {
	var other strings.Builder
	for l := range strings.Lines(stdout) {
		m := linePattern.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil {
			other.WriteString(l)
			continue
		}
		lines = append(lines, line{scenario: m[1], trace: m[2], id: m[3], place: m[4]})
	}
	return lines, other.String()
}

// result is what a program did.
type result struct {
	stdout, stderr string
	exit           int
}

// options for execute.
type runOptions struct {
	dir  string // working directory
	env  []string
	prep func(*exec.Cmd)
}

// execute runs a program to its end.
func execute(t *testing.T, o runOptions, path string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = o.dir
	if cmd.Dir == "" {
		cmd.Dir = t.TempDir() // no config.yaml there
	}
	cmd.Env = append(environment(), "XDG_CONFIG_HOME="+filepath.Join(cmd.Dir, "no-config"))
	cmd.Env = append(cmd.Env, o.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if o.prep != nil {
		o.prep(cmd)
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.String())
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), exit: cmd.ProcessState.ExitCode()}
}

// environment is the test's, without what would change the example.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		for _, prefix := range []string{"COREDUMPY_", "OTEL_", "AWS_", "PWD=", "GOTRACEBACK="} {
			if strings.HasPrefix(kv, prefix) {
				return true
			}
		}
		return false
	})
	// As in a shell in the source tree. The value of a variable is withheld
	// where it turns up in a dump; the paths of source files must survive that.
	return append(env, "PWD="+repoRoot())
}

// shopRun is one run of the example with every scenario, and what came of it.
type shopRun struct {
	result
	variant *variant
	binary  string
	dir     string
	lines   []line
	rest    string // of stdout
	spans   []span // that reached the collector
}

var (
	runsMu sync.Mutex
	runs   = map[string]*shopRun{}
)

// unhurried takes the clock out of captures. What they find is tested here, also
// on a machine with better things to do; how long they take is for bench.
//
// The garbage collector is off: what it may have collected during a request counts
// as dead, and whether it runs just then is chance.
var unhurried = []string{"COREDUMPY_CAPTURE_PAUSE=10s", "COREDUMPY_CAPTURE_TIMEOUT=20s", "GOGC=off"}

// runShop runs all scenarios of a variant, once for all tests. Tests must not
// change its folder.
func runShop(t *testing.T, v *variant) *shopRun {
	t.Helper()
	runsMu.Lock()
	defer runsMu.Unlock()
	if r := runs[v.name]; r != nil {
		return r
	}
	binary := buildCheckout(t, v)
	collector := newCollector(t)
	dir := filepath.Join(binDir, "dumps-"+v.name)
	r := &shopRun{variant: v, binary: binary, dir: dir}
	r.result = execute(t, runOptions{env: unhurried}, binary, "-dir", dir, "-otlp", collector.url)
	r.lines, r.rest = parseLines(r.stdout)
	r.spans = collector.stop()
	runs[v.name] = r
	return r
}

// failure finds the line of a failure, and opens its dump.
func (r *shopRun) failure(t *testing.T, f *failure) (line, *dump.Reader) {
	t.Helper()
	n := 0
	for _, l := range r.lines {
		if l.scenario != f.scenario {
			continue
		}
		if n == f.nth {
			return l, openDump(t, l.place)
		}
		n++
	}
	t.Fatalf("scenario %s: %d lines, want line %d; exit code %d\nstdout:\n%s\nstderr:\n%s",
		f.scenario, n, f.nth+1, r.exit, r.stdout, r.stderr)
	return line{}, nil
}

func openDump(t *testing.T, path string) *dump.Reader {
	t.Helper()
	r, err := dump.Open(path)
	if err != nil {
		t.Fatalf("open dump: %v", err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.Damage(); err != nil {
		t.Errorf("dump %s is damaged: %v", path, err)
	}
	return r
}

// report shows all mismatches of a test at once, each as one line.
type report struct {
	t *testing.T
	n int
}

func (r *report) mismatch(format string, args ...any) {
	r.t.Helper()
	r.n++
	r.t.Errorf(format, args...)
}

func (r *report) equal(what string, got, want any) {
	r.t.Helper()
	if got != want {
		r.mismatch("%-60s got %v\n%62swant %v", what, got, "", want)
	}
}
