package cli

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// tableLimit is how many dumps a table has if the user names no limit.
const tableLimit = 50

type lsFlags struct {
	where   where
	format  outputFormat
	since   string
	service string
	trace   string
	trigger string
	limit   int
	limited bool // --limit was given
}

func newLs(std *stdio) *cobra.Command {
	var f lsFlags
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List stored dumps, newest first",
		Long: `List the dumps in the configured sink, or in the folder --dir, newest first.

Only the beginning of each dump is read. A dump that cannot be read is listed as
damaged. Without --limit a table ends after 50 dumps, JSON has all of them.

In JSON each dump is an object with the header's fields as "coredumpy peek"
prints them, "uri", "size", and "damage", which is "" for a good dump.`,
		Example: `  coredumpy ls
  coredumpy ls --since 2h --service checkout
  coredumpy ls --trace 4bf92f3577b34da6a3ce929d0e0e4736
  coredumpy ls --dir ./dumps --trigger panic --format json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.limited = cmd.Flags().Changed("limit")
			return ls(cmd.Context(), std, &f)
		},
	}
	f.where.addFlags(cmd)
	addFormat(cmd, &f.format)
	fl := cmd.Flags()
	fl.StringVar(&f.since, "since", "", "only dumps since this `TIME`: 90m, 2h, 3d, 2026-11-01, or a time of RFC 3339")
	fl.StringVar(&f.service, "service", "", "only dumps of the service `NAME`")
	fl.StringVar(&f.trace, "trace", "", "only dumps of the trace `ID`")
	fl.StringVar(&f.trigger, "trigger", "", "only dumps made by `TRIGGER`: "+triggerNames())
	fl.IntVarP(&f.limit, "limit", "n", tableLimit, "at most `N` dumps; 0 means all")
	_ = cmd.RegisterFlagCompletionFunc("since", cobra.FixedCompletions([]string{"1h", "1d", "1w"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("trigger", cobra.FixedCompletions(strings.Split(triggerNames(), ", "), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("trace", completeTraces(&f.where))
	_ = cmd.RegisterFlagCompletionFunc("service", completeServices(&f.where))
	return cmd
}

func triggerNames() string {
	var names []string
	for _, t := range dump.Triggers() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

// lsJSON is a dump in the JSON of ls.
type lsJSON struct {
	headerJSON
	URI    string `json:"uri"`
	Size   int64  `json:"size"`
	Damage string `json:"damage"`
}

func ls(ctx context.Context, std *stdio, f *lsFlags) error {
	match, err := f.filter(std)
	if err != nil {
		return err
	}
	st, err := f.where.open(ctx)
	if err != nil {
		return err
	}
	if st.noDir && st.chosen {
		return fmt.Errorf("--dir %s does not exist", st.dir)
	}
	limit := f.limit
	if limit == 0 || f.format == formatJSON && !f.limited {
		limit = -1
	}
	var (
		found []listed
		more  bool
	)
	for l, err := range readHeaders(ctx, st, match.entries(ctx, st)) {
		if err != nil {
			return err // says what was being done
		}
		if !match.header(&l) {
			continue
		}
		if len(found) == limit {
			more = true
			break
		}
		found = append(found, l)
	}
	if f.format == formatJSON {
		out := make([]lsJSON, 0, len(found))
		for i := range found {
			out = append(out, newLsJSON(&found[i]))
		}
		return writeJSON(std.out, out)
	}
	if len(found) == 0 {
		fmt.Fprintf(std.err, "coredumpy: no dumps%s in %s\n", match.words(), clean(st.String()))
		if st.noDir || st.config == "" && !st.chosen {
			fmt.Fprintf(std.err, "coredumpy: %s %s\n", std.errStyle.yellow("hint:"), clean(st.hintWhere()))
		}
		return nil
	}
	if err := lsTable(std, found).write(std.out, std.outStyle, std.outWidth); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(std.err, "coredumpy: there are more than these %s; --limit 0 shows all\n", plural(len(found), "dump"))
	}
	return nil
}

// lsFilter is what ls looks for.
type lsFilter struct {
	query   sink.Query
	trace   dump.TraceID
	byTrace bool
	trigger dump.Trigger
}

// filter checks the flags.
func (f *lsFlags) filter(std *stdio) (m lsFilter, err error) {
	if f.limit < 0 {
		return m, usagef("--limit %d is negative", f.limit)
	}
	m.query.Service = f.service
	if f.since != "" {
		if m.query.Since, err = parseSince(f.since, std.now(), std.local); err != nil {
			return m, err
		}
	}
	if f.trace != "" {
		m.byTrace = true
		if m.trace, err = parseTrace(f.trace); err != nil {
			return m, err
		}
	}
	if f.trigger != "" {
		m.trigger = dump.Trigger(strings.ReplaceAll(strings.ToLower(f.trigger), "-", "_"))
		if !slices.Contains(dump.Triggers(), m.trigger) {
			return m, hint(usagef("--trigger %q is not a trigger", f.trigger), "one of: %s", triggerNames())
		}
	}
	return m, nil
}

// entries goes through what the store can tell without headers.
func (m *lsFilter) entries(ctx context.Context, st store) iter.Seq2[sink.Entry, error] {
	if !m.byTrace {
		return st.List(ctx, m.query)
	}
	return func(yield func(sink.Entry, error) bool) {
		entries, err := st.Trace(ctx, m.trace)
		if err != nil {
			yield(sink.Entry{}, err)
			return
		}
		for _, e := range slices.Backward(entries) {
			// The service is not known yet.
			if (sink.Query{Since: m.query.Since}).Match(e.Identity) && !yield(e, nil) {
				return
			}
		}
	}
}

// header reports whether a dump is wanted, now that its header is known. A
// damaged one is, unless the header would have to tell.
func (m *lsFilter) header(l *listed) bool {
	if l.header == nil {
		return m.trigger == "" && (m.query.Service == "" || !m.byTrace)
	}
	if m.trigger != "" && l.header.Trigger != m.trigger {
		return false
	}
	return m.query.Service == "" || sink.Service(l.header.Service) == sink.Service(m.query.Service)
}

// words says what was looked for.
func (m *lsFilter) words() string {
	var b strings.Builder
	if m.byTrace {
		b.WriteString(" of trace " + m.trace.String())
	}
	if m.query.Service != "" {
		b.WriteString(" of service " + clean(m.query.Service))
	}
	if m.trigger != "" {
		b.WriteString(" by " + string(m.trigger))
	}
	if !m.query.Since.IsZero() {
		b.WriteString(" since " + m.query.Since.UTC().Format(time.RFC3339))
	}
	return b.String()
}

func newLsJSON(l *listed) lsJSON {
	h := l.header
	if h == nil {
		h = headerOfEntry(l.Entry)
	}
	j := lsJSON{headerJSON: newHeaderJSON(h), URI: l.URI, Size: l.Size}
	if l.err != nil {
		j.Damage = l.err.Error()
	}
	return j
}

// headerOfEntry is what is known of a dump whose header cannot be read.
func headerOfEntry(e sink.Entry) *dump.Header {
	h := &dump.Header{Identity: e.Identity}
	if !e.ID.IsZero() {
		h.Time = e.ID.Time()
	}
	return h
}

func lsTable(std *stdio, found []listed) *table {
	t := &table{
		head:  []string{"TIME", "AGE", "TRIGGER", "SERVICE", "REASON", "FUNCTION", "TRACE ID", "DUMP ID", "SIZE"},
		flex:  []int{3, 4, 5},
		right: map[int]bool{1: true, 8: true},
	}
	for i := range found {
		t.rows = append(t.rows, lsRow(std, &found[i]))
	}
	t.paint = func(row, col int, text string) string {
		switch {
		case found[row].err != nil && (col == 2 || col == 4):
			return std.outStyle.red(text)
		case col == 6:
			return std.outStyle.cyan(text)
		}
		return text
	}
	return t
}

func lsRow(std *stdio, l *listed) []string {
	const most = 60 // columns of a reason or a function, also where lines may be long
	h := l.header
	if h == nil {
		h = headerOfEntry(l.Entry)
	}
	age, reason, trigger := "-", reasonText(h), string(h.Trigger)
	if !h.Time.IsZero() {
		age = ageText(std.now().Sub(h.Time))
	}
	if l.err != nil {
		trigger, reason = "damaged", l.err.Error()
	}
	row := []string{
		timeText(h.Time, std.local), age, trigger, h.Service, shorten(clean(reason), most),
		shorten(debugger.ShortFunc(h.Failing.Func), most), idText(h.TraceID), idText(h.ID), bytesText(l.Size),
	}
	if l.ID.IsZero() && l.header == nil {
		row[7] = shortFile(l.Key) // a file in a plain folder that does not say what it is
	}
	for i, cell := range row {
		if row[i] = clean(cell); cell == "" {
			row[i] = "-"
		}
	}
	return row
}

// idText is an ID in a table.
func idText[T interface {
	IsZero() bool
	String() string
}](id T) string {
	if id.IsZero() {
		return "-"
	}
	return id.String()
}

// reasonText says in one line why there is a dump: the outermost error's
// message, which has those of the errors inside it, or the caller's words.
func reasonText(h *dump.Header) string {
	if len(h.Reason) > 0 {
		r := h.Reason[0]
		if r.Message != "" {
			return r.Message
		}
		return r.Type
	}
	switch {
	case h.Name != "" && h.Description != "":
		return h.Name + ": " + h.Description
	case h.Name != "":
		return h.Name
	}
	return h.Description
}
