package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// report prints a line for each dump. To know which scenario a dump is of, it
// notes the trace of each request that is about to fail.
type report struct {
	opts *options

	mu       sync.Mutex
	out      io.Writer
	failures map[string]*failure // by the request's X-Request-Id
	traces   map[dump.TraceID]*failure
	first    string // the first line that was printed
}

// failure is a request that is to fail.
type failure struct {
	scenario string
	key      string
	done     chan error // gets nil when the dump is stored
}

func newReport(out io.Writer, opts *options) *report {
	return &report{
		opts:     opts,
		out:      out,
		failures: make(map[string]*failure),
		traces:   make(map[dump.TraceID]*failure),
	}
}

// expect returns a new failure, for a request that is about to be sent.
func (r *report) expect(scenario string) *failure {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := &failure{scenario: scenario, key: strconv.Itoa(len(r.failures) + 1), done: make(chan error, 1)}
	r.failures[f.key] = f
	return f
}

// noteTrace is a middleware that notes in which trace an expected failure is.
func (r *report) noteTrace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		if f := r.failures[req.Header.Get("X-Request-Id")]; f != nil {
			r.traces[dump.TraceID(trace.SpanContextFromContext(req.Context()).TraceID())] = f
		}
		r.mu.Unlock()
		next.ServeHTTP(w, req)
	})
}

// stored is called by otelcoredumpy for each dump.
func (r *report) stored(ref otelcoredumpy.Ref, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := "unexpected"
	f := r.traces[ref.TraceID]
	if f != nil {
		name = f.scenario
	}
	if err == nil {
		r.line(fmt.Sprintf("%s trace_id=%s dump_id=%s dump=%s", name, ref.TraceID, ref.ID, r.place(ref.URI)))
	}
	if f != nil {
		select {
		case f.done <- err:
		default: // a second dump of the same request
		}
	}
}

// line prints the line of a dump. The caller holds the lock.
func (r *report) line(line string) {
	fmt.Fprintln(r.out, line)
	if r.first == "" {
		r.first = line
	}
}

// place returns a dump's URI, or its path if it is a file.
func (r *report) place(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" {
		return uri
	}
	path := filepath.FromSlash(u.Path)
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}

// next says what can be done with the dumps.
func (r *report) next() {
	r.mu.Lock()
	defer r.mu.Unlock()
	fields := make(map[string]string)
	for _, field := range strings.Fields(r.first) {
		key, value, _ := strings.Cut(field, "=")
		fields[key] = value
	}
	if fields["trace_id"] == "" {
		return
	}
	where := ""
	if r.opts.config != "" {
		where += " --config " + r.opts.config
	}
	if r.opts.dir != "" {
		where += " --dir " + r.opts.dir
	}
	file := fields["dump"]
	if strings.Contains(file, "://") {
		file = fields["dump_id"] + dump.Extension // where fetch puts it
	}
	fmt.Fprintf(r.out, `
What to do next, with the ID of any of these traces:

  go run ./cmd/coredumpy fetch %s%s
  go run ./cmd/coredumpy peek %s
  go run ./cmd/coredumpy load %s
`, fields["trace_id"], where, file, file)
}
