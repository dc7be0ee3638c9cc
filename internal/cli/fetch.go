package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

type fetchFlags struct {
	where  where
	format outputFormat
	out    string
	span   string
	peek   bool
	load   bool
	force  bool
}

func newFetch(std *stdio) *cobra.Command {
	var f fetchFlags
	cmd := &cobra.Command{
		Use:   "fetch <trace-id>...",
		Short: "Bring the dumps of a trace here",
		Long: `Find all dumps of the given traces in the configured sink, or in the folder
--dir, and copy them into the folder -o, each as <dump-id>.cdmp. Their paths are
printed on stdout, one a line, the oldest dump of each trace first.

A trace ID is 32 hexadecimal digits of either case. A traceparent header, or the
address of a page with one trace ID in it, does as well.

Each copy is checked before it gets its name. A copy that is already there is
kept; a file of that name with other content is an error, unless --force is
given. A dump that is damaged in the store is brought all the same, with exit
code 4: peek and load show what can be read.

--load opens one dump: of several the oldest, which is nearest to the cause.`,
		Example: `  coredumpy fetch 4bf92f3577b34da6a3ce929d0e0e4736
  coredumpy fetch --dir ./dumps -o /tmp --peek 4bf92f3577b34da6a3ce929d0e0e4736
  coredumpy fetch --span 00f067aa0ba902b7 --load 4bf92f3577b34da6a3ce929d0e0e4736
  coredumpy fetch 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`,
		Args: needArgs(1, -1, "a trace ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return fetch(cmd.Context(), std, &f, args)
		},
	}
	cmd.ValidArgsFunction = completeTraces(&f.where)
	f.where.addFlags(cmd)
	addFormat(cmd, &f.format)
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", ".", "put the dumps into the folder `DIR`; it is made if it is not there")
	fl.StringVar(&f.span, "span", "", "only dumps of the span `ID`")
	fl.BoolVar(&f.peek, "peek", false, "show the dumps, as coredumpy peek does")
	fl.BoolVar(&f.load, "load", false, "open the dump, as coredumpy load does")
	fl.BoolVar(&f.force, "force", false, "replace files that are there with other content")
	_ = cmd.MarkFlagDirname("output")
	_ = cmd.RegisterFlagCompletionFunc("span", cobra.NoFileCompletions)
	cmd.MarkFlagsMutuallyExclusive("peek", "load")
	return cmd
}

// fetchJSON is a dump in the JSON of fetch.
type fetchJSON struct {
	ID      string  `json:"id"`
	TraceID string  `json:"trace_id"`
	SpanID  string  `json:"span_id"`
	Service string  `json:"service"`
	Trigger string  `json:"trigger"`
	Time    *string `json:"time"`
	URI     string  `json:"uri"`
	Path    string  `json:"path"`
	Size    int64   `json:"size"`
	Kept    bool    `json:"kept"` // was there already
	Damage  string  `json:"damage"`
}

func fetch(ctx context.Context, std *stdio, f *fetchFlags, args []string) error {
	if f.load && f.format == formatJSON {
		return usagef("--load and --format json do not go together")
	}
	traces, span, err := f.parse(args)
	if err != nil {
		return err
	}
	st, err := f.where.open(ctx)
	if err != nil {
		return err
	}
	failures := &failures{std: std}
	entries, err := findTraces(ctx, st, traces, span, failures)
	if err != nil {
		return err
	}
	copies := copyAll(ctx, std, st, entries, f, failures)
	if err := ctx.Err(); err != nil {
		return err
	}
	if !f.peek || f.format == formatText {
		if err := printCopies(std, f.format, copies); err != nil {
			return err
		}
	}
	paths := make([]string, 0, len(copies))
	for _, c := range copies {
		paths = append(paths, c.path)
	}
	switch {
	case f.peek && (len(paths) > 0 || f.format == formatJSON):
		failures.add(peek(ctx, std, &peekFlags{format: f.format, told: damagedPaths(copies)}, paths))
	case f.load && len(paths) > 0:
		oldest := slices.MinFunc(copies, func(a, b copied) int { return strings.Compare(a.entry.ID.String(), b.entry.ID.String()) })
		if len(paths) > 1 {
			fmt.Fprintf(std.err, "coredumpy: opening the oldest of %s, %s\n", plural(len(paths), "dump"), clean(oldest.path))
		}
		failures.add(load(ctx, std, &loadFlags{}, oldest.path))
	}
	return failures.err()
}

// parse checks the arguments. A trace that is given twice counts once.
func (f *fetchFlags) parse(args []string) (traces []dump.TraceID, span dump.SpanID, err error) {
	for _, arg := range args {
		id, err := parseTrace(arg)
		if err != nil {
			return nil, span, err
		}
		if !slices.Contains(traces, id) {
			traces = append(traces, id)
		}
	}
	if f.span != "" {
		span, err = parseSpan(f.span)
	}
	return traces, span, err
}

// findTraces finds the dumps of the traces, and of the span if there is one. A
// trace without dumps is a failure among others, not an error.
func findTraces(ctx context.Context, st *opened, traces []dump.TraceID, span dump.SpanID, failures *failures) ([]sink.Entry, error) {
	var all []sink.Entry
	for _, trace := range traces {
		entries, err := st.Trace(ctx, trace)
		if err != nil {
			return nil, err // says what was being done
		}
		if len(entries) == 0 {
			err := fmt.Errorf("no dump of trace %s in %s", trace, st)
			failures.add(withCode(exitNoDump, hint(err, "%s", st.hintWhere())))
			continue
		}
		if !span.IsZero() {
			if entries, err = ofSpan(ctx, st, entries, trace, span); err != nil {
				if codeOf(err) != exitNoDump {
					return nil, err
				}
				failures.add(err)
			}
		}
		all = append(all, entries...)
	}
	return all, nil
}

// ofSpan returns those of a trace's dumps that belong to the span. Only the
// headers know.
func ofSpan(ctx context.Context, st *opened, entries []sink.Entry, trace dump.TraceID, span dump.SpanID) ([]sink.Entry, error) {
	var (
		ours   []sink.Entry
		others []string
	)
	for l, err := range readHeaders(ctx, st, seqOf(entries)) {
		switch {
		case err != nil:
			return nil, err
		case l.header == nil:
			others = append(others, "unknown (damaged)")
		case l.header.SpanID == span:
			ours = append(ours, l.Entry)
		default:
			if s := idText(l.header.SpanID); !slices.Contains(others, s) {
				others = append(others, s)
			}
		}
	}
	if len(ours) == 0 {
		err := fmt.Errorf("no dump of span %s of trace %s in %s", span, trace, st)
		return nil, withCode(exitNoDump, hint(err, "the trace has %s, of span %s; leave out --span to have all",
			plural(len(entries), "dump"), strings.Join(others, ", ")))
	}
	return ours, nil
}

func seqOf(entries []sink.Entry) func(func(sink.Entry, error) bool) {
	return func(yield func(sink.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func printCopies(std *stdio, format outputFormat, copies []copied) error {
	if format == formatJSON {
		out := make([]fetchJSON, 0, len(copies))
		for _, c := range copies {
			out = append(out, c.json())
		}
		return writeJSON(std.out, out)
	}
	for _, c := range copies {
		if _, err := fmt.Fprintln(std.out, c.path); err != nil {
			return err
		}
	}
	return nil
}

func (c *copied) json() fetchJSON {
	h := c.header
	if h == nil {
		h = headerOfEntry(c.entry)
	}
	j := newHeaderJSON(h)
	out := fetchJSON{
		ID: c.entry.ID.String(), TraceID: j.TraceID, SpanID: j.SpanID, Service: j.Service, Trigger: j.Trigger, Time: j.Time,
		URI: c.entry.URI, Path: c.path, Size: c.size, Kept: c.kept,
	}
	if c.damage != nil {
		out.Damage = c.damage.Error()
	}
	return out
}

func damagedPaths(copies []copied) map[string]bool {
	told := make(map[string]bool)
	for _, c := range copies {
		if c.damage != nil {
			told[c.path] = true
		}
	}
	return told
}

// failures are errors with one of several things, each printed as it happens.
// The others go on.
type failures struct {
	std  *stdio
	code int
}

// add prints an error and keeps its code, if it is one. Of several codes the
// highest is the command's.
func (f *failures) add(err error) {
	if err == nil {
		return
	}
	f.code = max(f.code, codeOf(err))
	if done := (*reportedError)(nil); !errors.As(err, &done) {
		f.std.printError(err)
	}
}

func (f *failures) err() error {
	if f.code == exitOK {
		return nil
	}
	return &reportedError{f.code}
}
