package cli

import (
	"context"
	"errors"
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
	until   string
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
damaged. Dumps that wait in the spool of this machine are listed, too.

Without --limit a table ends after 50 dumps, and --until goes on where it ended; JSON
has all of them. A store of years is listed day by day, as it is printed.

Of an encrypted dump only the part of the header is known that is not.

In JSON each dump is an object with the header's fields as "coredumpy peek"
prints them, "uri", "size", "sealed" if it is encrypted, and "damage", which is ""
for a good dump.`,
		Example: `  coredumpy ls
  coredumpy ls --since 2h --service checkout
  coredumpy ls --since 2026-11-01 --until 2026-11-02 --limit 0
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
	fl.StringVar(&f.until, "until", "", "only dumps before this `TIME`")
	fl.StringVar(&f.service, "service", "", "only dumps of the service `NAME`")
	fl.StringVar(&f.trace, "trace", "", "only dumps of the trace `ID`")
	fl.StringVar(&f.trigger, "trigger", "", "only dumps made by `TRIGGER`: "+triggerNames())
	fl.IntVarP(&f.limit, "limit", "n", tableLimit, "at most `N` dumps; 0 means all")
	_ = cmd.RegisterFlagCompletionFunc("since", cobra.FixedCompletions([]string{"1h", "1d", "1w"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("until", cobra.FixedCompletions([]string{"1h", "1d", "1w"}, cobra.ShellCompDirectiveNoFileComp))
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
	Sealed bool   `json:"sealed"`
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
	out := newLsPrinter(std, f.format)
	found := 0
	var last dump.ID
	for l, err := range readHeaders(ctx, st, match.entries(ctx, st)) {
		if err != nil {
			return errors.Join(out.end(false), err) // says what was being done
		}
		if !match.header(&l) {
			continue
		}
		if found == limit {
			if err := out.end(true); err != nil || f.format == formatJSON {
				return err
			}
			fmt.Fprintf(std.err, "coredumpy: there are more than these %s; --limit 0 shows all", plural(found, "dump"))
			if !last.IsZero() {
				// The last one once more, as others may have the same time.
				fmt.Fprintf(std.err, ", --until %s goes on", last.Time().Add(time.Millisecond).Format(time.RFC3339Nano))
			}
			fmt.Fprintln(std.err)
			return nil
		}
		if err := out.add(l); err != nil {
			return err
		}
		found++
		last = l.ID
	}
	if err := out.end(true); err != nil {
		return err
	}
	if found == 0 && f.format != formatJSON {
		fmt.Fprintf(std.err, "coredumpy: no dumps%s in %s\n", match.words(), clean(st.String()))
		if st.noDir || st.config == "" && !st.chosen {
			fmt.Fprintf(std.err, "coredumpy: %s %s\n", std.errStyle.yellow("hint:"), clean(st.hintWhere()))
		}
	}
	return nil
}

// lsPrinter prints dumps as they come: a table in pieces, because the columns
// are as wide as their widest cell, and JSON one by one.
type lsPrinter struct {
	std    *stdio
	json   *jsonArray // nil for a table
	batch  []listed
	widest []int // the widths of the piece before
}

// lsBatch is how many dumps are a piece of the table.
const lsBatch = 500

func newLsPrinter(std *stdio, format outputFormat) *lsPrinter {
	p := &lsPrinter{std: std}
	if format == formatJSON {
		p.json = newJSONArray(std.out)
	}
	return p
}

func (p *lsPrinter) add(l listed) error {
	if p.json != nil {
		return p.json.add(newLsJSON(&l))
	}
	p.batch = append(p.batch, l)
	if len(p.batch) < lsBatch {
		return nil
	}
	return p.flush()
}

func (p *lsPrinter) flush() error {
	if len(p.batch) == 0 {
		return nil
	}
	t := lsTable(p.std, p.batch)
	t.after = p.widest
	err := t.write(p.std.out, p.std.outStyle, p.std.outWidth)
	p.widest = t.widest
	p.batch = p.batch[:0]
	return err
}

// end prints what is left. Of JSON that ended early nothing is printed if there
// is nothing yet.
func (p *lsPrinter) end(whole bool) error {
	if p.json == nil {
		return p.flush()
	}
	if !whole && p.json.n == 0 {
		return nil
	}
	return p.json.close()
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
		if m.query.Since, err = parseTime("since", f.since, std.now(), std.local); err != nil {
			return m, err
		}
	}
	if f.until != "" {
		if m.query.Until, err = parseTime("until", f.until, std.now(), std.local); err != nil {
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
			if (sink.Query{Since: m.query.Since, Until: m.query.Until}).Match(e.Identity) && !yield(e, nil) {
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
	if !m.query.Until.IsZero() {
		b.WriteString(" until " + m.query.Until.UTC().Format(time.RFC3339))
	}
	return b.String()
}

func newLsJSON(l *listed) lsJSON {
	h := l.header
	if h == nil {
		h = headerOfEntry(l.Entry)
	}
	j := lsJSON{headerJSON: newHeaderJSON(h), URI: l.URI, Size: l.Size, Sealed: l.sealed}
	if l.err != nil {
		j.Damage = l.err.Error()
	}
	return j
}

// headerOfEntry is what is known of a dump whose header cannot be read.
func headerOfEntry(e sink.Entry) *dump.Header { return headerOfIdentity(e.Identity) }

func headerOfIdentity(id dump.Identity) *dump.Header {
	h := &dump.Header{Identity: id}
	if !id.ID.IsZero() {
		h.Time = id.ID.Time()
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
	if l.sealed {
		reason = strings.TrimSuffix("encrypted: "+reason, ": ")
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
