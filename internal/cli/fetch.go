package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

type fetchFlags struct {
	where   where
	keys    *keys
	format  outputFormat
	out     string
	span    string
	peek    bool
	look    bool // --peek without -o: nothing is copied
	full    bool
	load    bool
	force   bool
	decrypt bool
}

func newFetch(std *stdio) *cobra.Command {
	var f fetchFlags
	cmd := &cobra.Command{
		Use:   "fetch <trace-id>|<dump-id>|ADDRESS...",
		Short: "Bring the dumps of a trace here",
		Long: `Find all dumps of the given traces in the configured sink, or in the folder
--dir, and copy them into the folder -o, each as <dump-id>.cdmp. Their paths are
printed on stdout, one a line, the oldest dump of each trace first.

A trace ID is 32 hexadecimal digits of either case. A traceparent header, or the
address of a page with one trace ID in it, does as well. What stands on the span
brings a single dump: its ID (coredumpy.dump.id), its address (coredumpy.dump.uri)
or that of its page (coredumpy.dump.url).

Of failures that are alike only the first has a dump, which may belong to another
trace; the spans of the others have its ID.

Each copy is checked before it gets its name. A copy that is already there is
kept; a file of that name with other content is an error, unless --force is
given. A dump that is damaged in the store is brought all the same, with exit
code 4: peek and load show what can be read. A fetch that was interrupted goes on
where it was when it is run again.

--peek shows the dumps, as coredumpy peek does: without -o where they lie, reading
no more than that needs, with -o the copies. --load opens one dump: of several the
oldest, which is nearest to the cause.

An encrypted dump is copied as it is; --decrypt copies what is inside.`,
		Example: `  coredumpy fetch 4bf92f3577b34da6a3ce929d0e0e4736
  coredumpy fetch --peek 4bf92f3577b34da6a3ce929d0e0e4736
  coredumpy fetch --dir ./dumps -o /tmp --load 0190163d-8694-739b-aea5-966c26f8ad91
  coredumpy fetch --span 00f067aa0ba902b7 --load 4bf92f3577b34da6a3ce929d0e0e4736
  coredumpy fetch 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
  coredumpy fetch --decrypt --identity key.txt 4bf92f3577b34da6a3ce929d0e0e4736`,
		Args: needArgs(1, -1, "a trace ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.look = f.peek && !cmd.Flags().Changed("output")
			return fetch(cmd.Context(), std, &f, args)
		},
	}
	cmd.ValidArgsFunction = completeTraces(&f.where)
	f.where.addFlags(cmd)
	f.keys = newKeys(cmd, std, &f.where)
	addFormat(cmd, &f.format)
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", ".", "put the dumps into the folder `DIR`; it is made if it is not there")
	fl.StringVar(&f.span, "span", "", "only those of the traces' dumps that are of the span `ID`")
	fl.BoolVar(&f.peek, "peek", false, "show the dumps, as coredumpy peek does; without -o nothing is copied")
	fl.BoolVar(&f.full, "full", false, "with --peek: of dumps in a bucket read also what lies behind the first 64 KiB")
	fl.BoolVar(&f.load, "load", false, "open the dump, as coredumpy load does")
	fl.BoolVar(&f.force, "force", false, "replace files that are there with other content")
	fl.BoolVar(&f.decrypt, "decrypt", false, "copy what is inside of encrypted dumps; needs --identity")
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
	Kept    bool    `json:"kept"`   // was there already
	Sealed  bool    `json:"sealed"` // the copy is encrypted
	Damage  string  `json:"damage"`
}

func fetch(ctx context.Context, std *stdio, f *fetchFlags, args []string) error {
	if f.load && f.format == formatJSON {
		return usagef("--load and --format json do not go together")
	}
	if f.look && f.decrypt {
		return usagef("--decrypt without -o has nothing to write; --identity alone lets --peek read encrypted dumps")
	}
	addresses, span, err := f.parse(args)
	if err != nil {
		return err
	}
	failures := &failures{std: std}
	found, err := findAll(ctx, newFinder(std, &f.where), addresses, span, failures)
	if err != nil {
		return err
	}
	if f.look {
		failures.add(peekTargets(ctx, std, &peekFlags{keys: f.keys, format: f.format, full: f.full}, seqOf(found)))
		return failures.err()
	}
	copies := copyAll(ctx, std, found, f, failures)
	if err := ctx.Err(); err != nil {
		return err
	}
	if !f.peek || f.format == formatText {
		if err := printCopies(std, f.format, copies); err != nil {
			return err
		}
	}
	files := make([]target, 0, len(copies))
	for _, c := range copies {
		files = append(files, target{name: c.path, path: c.path})
	}
	switch {
	case f.peek && (len(files) > 0 || f.format == formatJSON):
		failures.add(peekTargets(ctx, std, &peekFlags{keys: f.keys, format: f.format, told: damagedPaths(copies)}, seqOf(files)))
	case f.load && len(files) > 0:
		oldest := 0
		for i := range copies {
			if bytes.Compare(copies[i].id[:], copies[oldest].id[:]) < 0 {
				oldest = i
			}
		}
		if len(files) > 1 {
			fmt.Fprintf(std.err, "coredumpy: opening the oldest of %s, %s\n", plural(len(files), "dump"), clean(files[oldest].name))
		}
		failures.add(load(ctx, std, &loadFlags{keys: f.keys}, &files[oldest]))
	}
	return failures.err()
}

// parse checks the arguments. What is given twice counts once.
func (f *fetchFlags) parse(args []string) (addresses []address, span dump.SpanID, err error) {
	for _, arg := range args {
		a, err := parseStored(arg)
		if err != nil {
			return nil, span, err
		}
		same := func(b address) bool {
			a.arg, b.arg = "", ""
			return a == b
		}
		if !slices.ContainsFunc(addresses, same) {
			addresses = append(addresses, a)
		}
	}
	if f.span != "" {
		span, err = parseSpan(f.span)
	}
	return addresses, span, err
}

// findAll finds the dumps that the addresses mean, and of a trace only those of
// the span if there is one. That there are none is a failure among others, not
// an error. A dump that is meant twice is there once.
func findAll(ctx context.Context, finder *finder, addresses []address, span dump.SpanID, failures *failures) ([]target, error) {
	var all []target
	seen := make(map[dump.ID]bool)
	for i := range addresses {
		found, err := finder.find(ctx, &addresses[i])
		if len(found) > 0 && addresses[i].kind == addrTrace && !span.IsZero() {
			var serr error
			found, serr = ofSpan(ctx, found, addresses[i].trace, span)
			err = cmp.Or(err, serr)
		}
		if err != nil {
			if cerr := ctx.Err(); cerr != nil {
				return nil, cerr
			}
			failures.add(err)
		}
		for _, t := range found {
			if id := t.entry.ID; !id.IsZero() && seen[id] {
				continue
			}
			seen[t.entry.ID] = true
			all = append(all, t)
		}
	}
	return all, nil
}

// ofSpan returns those of a trace's dumps that belong to the span. Only the
// headers know.
func ofSpan(ctx context.Context, found []target, trace dump.TraceID, span dump.SpanID) ([]target, error) {
	var (
		ours    []target
		others  []string
		st      = found[0].st
		entries []sink.Entry
	)
	for _, t := range found {
		entries = append(entries, t.entry)
	}
	for l, err := range readHeaders(ctx, st, seqOf(entries)) {
		switch {
		case err != nil:
			return nil, err
		case l.header == nil:
			others = append(others, "unknown (damaged)")
		case l.header.SpanID == span:
			ours = append(ours, inStore(st, l.Entry))
		case l.sealed && l.header.SpanID.IsZero():
			others = append(others, "unknown (encrypted)")
		default:
			if s := idText(l.header.SpanID); !slices.Contains(others, s) {
				others = append(others, s)
			}
		}
	}
	if len(ours) == 0 {
		err := fmt.Errorf("no dump of span %s of trace %s in %s", span, trace, st)
		return nil, withCode(exitNoDump, hint(err, "the trace has %s, of span %s; leave out --span to have all",
			plural(len(found), "dump"), strings.Join(others, ", ")))
	}
	return ours, nil
}

// seqOf goes through a list of what cannot fail any more.
func seqOf[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range list {
			if !yield(v, nil) {
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
		ID: c.id.String(), TraceID: j.TraceID, SpanID: j.SpanID, Service: j.Service, Trigger: j.Trigger, Time: j.Time,
		URI: c.entry.URI, Path: c.path, Size: c.size, Kept: c.kept, Sealed: c.sealed,
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
