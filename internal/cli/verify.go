package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
)

type verifyFlags struct {
	where   where
	keys    *keys
	format  outputFormat
	since   string
	service string
	verbose bool
}

func newVerify(std *stdio) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [FILE|DIR|ADDRESS|ID...]",
		Short: "Check that dumps are whole",
		Long: `Read dumps from the first byte to the last and check everything in them: every
checksum, length and record, and that the dump is the one that its store calls it.

` + helpTargets + `
A folder stands for all dumps below it, - for stdin. Without an argument the whole
store is checked, the configured sink or --dir: only what is wrong is listed then,
and -v lists all.

Of a damaged dump it says what can still be read; peek, load and export read that.

Of an encrypted dump the container is checked, which shows whether it is as it was
written; with --identity what is inside as well.

The exit code is 0 if all dumps are whole, 4 if one is damaged or no dump, 1 if one
could not be read, 3 if there is none. In JSON each dump is an object with "file",
"status" (ok, truncated, damaged, foreign, newer or unreadable), "problem" and, of
a damaged one, "readable".`,
		Example: `  coredumpy verify 0190163d-8694-739b-aea5-966c26f8ad91.cdmp
  coredumpy verify 4bf92f3577b34da6a3ce929d0e0e4736
  coredumpy verify --dir ./dumps
  coredumpy verify --since 1d --service checkout --format json | jq '.[] | select(.status != "ok")'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return verify(cmd.Context(), std, &f, args)
		},
		ValidArgsFunction: completeDumps(-1),
	}
	f.where.addFlags(cmd)
	f.keys = newKeys(cmd, std, &f.where)
	addFormat(cmd, &f.format)
	fl := cmd.Flags()
	fl.StringVar(&f.since, "since", "", "of a store only dumps since this `TIME`: 90m, 2h, 3d, 2026-11-01, or a time of RFC 3339")
	fl.StringVar(&f.service, "service", "", "of a store only dumps of the service `NAME`")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "list also the dumps that are whole")
	_ = cmd.RegisterFlagCompletionFunc("since", cobra.FixedCompletions([]string{"1h", "1d", "1w"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("service", completeServices(&f.where))
	return cmd
}

// What verify says of a dump.
const (
	wholeDump      = "ok"
	truncatedDump  = "truncated"
	damagedDump    = "damaged"
	foreignDump    = "foreign" // no dump
	newerDump      = "newer"   // for a newer reader
	unreadableDump = "unreadable"
)

// verified is the outcome of checking a dump.
type verified struct {
	name     string
	size     int64
	identity dump.Identity
	header   *dump.Header // nil if it cannot be read
	status   string
	err      error     // what is wrong, nil if it is whole
	salvage  *readable // of a damaged dump of which something can be read
	sealed   bool      // encrypted, and what is inside was not checked
	note     string    // what somebody should hear of a whole dump
	gone     bool      // it was deleted after it had been listed
}

// readable is what can be read of a damaged dump.
type readable struct {
	Header       bool `json:"header"`
	Failing      bool `json:"failing"`    // the failing goroutine
	Goroutines   int  `json:"goroutines"` // including that
	OfGoroutines int  `json:"of_goroutines"`
	Objects      int  `json:"objects"`
	OfObjects    int  `json:"of_objects"`
	Types        int  `json:"types"`
	OfTypes      int  `json:"of_types"`
	Sources      int  `json:"sources"`
	Extra        bool `json:"extra"`
}

type verifyJSON struct {
	File     string    `json:"file"`
	Status   string    `json:"status"`
	Problem  string    `json:"problem"`
	ID       string    `json:"id"`
	TraceID  string    `json:"trace_id"`
	Service  string    `json:"service"`
	Trigger  string    `json:"trigger"`
	Time     *string   `json:"time"`
	Size     int64     `json:"size"`
	Sealed   bool      `json:"sealed"` // what is inside was not checked
	Note     string    `json:"note"`
	Readable *readable `json:"readable"` // null unless something of a damaged dump can be read
}

func verify(ctx context.Context, std *stdio, f *verifyFlags, args []string) error {
	store := len(args) == 0
	if !store && (f.since != "" || f.service != "") {
		return usagef("--since and --service choose from a whole store, so they go without arguments")
	}
	failures := &failures{std: std}
	var targets iter.Seq2[target, error]
	if store {
		var err error
		if targets, err = f.storeTargets(ctx, std); err != nil {
			return err
		}
	} else {
		// An argument that leads nowhere does not keep the others from being
		// checked.
		targets = func(yield func(target, error) bool) {
			for t, err := range newFinder(std, &f.where).each(ctx, args) {
				if err != nil {
					failures.add(err)
					continue
				}
				if !yield(t, nil) {
					return
				}
			}
		}
	}
	out := &verifyPrinter{std: std, failures: failures, all: !store || f.verbose, counts: make(map[string]int)}
	if f.format == formatJSON {
		out.json = newJSONArray(std.out)
	}
	bar := newProgress(std, "checking", 0)
	var err error
	check := func(ctx context.Context, t target) verified { return verifyTarget(ctx, &t, f.keys) }
	for v, verr := range inOrder(ctx, verifyWidth, targets, check) {
		if verr != nil {
			err = verr
			break
		}
		if v.gone {
			continue
		}
		bar.add(v.size)
		bar.done()
		if err = bar.print(func() error { return out.dump(&v) }); err != nil {
			break
		}
	}
	bar.close()
	if err = errors.Join(out.end(err == nil), err); err != nil {
		return err
	}
	return failures.err()
}

// verifyWidth is how many dumps are checked at a time. Reading one is waiting,
// decoding it is work.
var verifyWidth = max(4, runtime.GOMAXPROCS(0))

// verifyPrinter prints the outcomes as they come.
type verifyPrinter struct {
	std      *stdio
	failures *failures
	json     *jsonArray // nil for text
	all      bool       // also whole dumps
	counts   map[string]int
	dumps    int
	bytes    int64
}

func (p *verifyPrinter) dump(v *verified) error {
	p.dumps++
	p.bytes += v.size
	p.counts[v.status]++
	switch v.status {
	case wholeDump:
	case unreadableDump:
		p.failures.code = max(p.failures.code, codeOf(v.err))
	default:
		p.failures.code = max(p.failures.code, exitDamaged)
	}
	if p.json != nil {
		return p.json.add(v.json())
	}
	if v.status == wholeDump && !p.all && v.note == "" {
		return nil
	}
	_, err := p.std.out.Write([]byte(v.text(p.std.outStyle)))
	return err
}

// end prints the sum, unless something else ended the work.
func (p *verifyPrinter) end(whole bool) error {
	if p.json != nil {
		return p.json.close()
	}
	if !whole || p.dumps == 0 && p.failures.code != exitOK {
		return nil
	}
	var parts []string
	for _, c := range []struct{ status, word string }{
		{wholeDump, "whole"},
		{truncatedDump, "truncated"},
		{damagedDump, "damaged"},
		{foreignDump, "no dump"},
		{newerDump, "for a newer coredumpy"},
		{unreadableDump, "unreadable"},
	} {
		if n := p.counts[c.status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c.word))
		}
	}
	if p.dumps == 0 {
		parts = []string{"nothing to check"}
	}
	_, err := fmt.Fprintf(p.std.out, "%s, %s: %s\n", plural(p.dumps, "dump"), bytesText(p.bytes), strings.Join(parts, ", "))
	return err
}

// text is the outcome for people: a line, and what is wrong below it.
func (v *verified) text(s style) string {
	paint := s.red
	if v.status == wholeDump {
		paint = s.green
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s\n", paint(padded(v.status, len(unreadableDump))), clean(v.name), s.dim(bytesText(v.size)))
	line := func(text string) {
		for _, l := range cleanLines(text) {
			fmt.Fprintf(&b, "%*s  %s\n", len(unreadableDump), "", l)
		}
	}
	if v.err != nil {
		line(v.err.Error())
	}
	if v.salvage != nil {
		line("can be read: " + v.salvage.text())
	}
	if v.note != "" {
		line(v.note)
	}
	if v.sealed {
		line("encrypted; what is inside was not checked")
	}
	return b.String()
}

func (r *readable) text() string {
	var parts []string
	if r.Header {
		parts = append(parts, "the header")
	}
	if r.Failing {
		parts = append(parts, "the failing goroutine")
	}
	of := func(n, all int, noun string) {
		if all > 0 {
			parts = append(parts, fmt.Sprintf("%d of %s", n, plural(all, noun)))
		}
	}
	of(r.Goroutines, r.OfGoroutines, "goroutine")
	of(r.Objects, r.OfObjects, "object")
	of(r.Types, r.OfTypes, "type")
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func (v *verified) json() verifyJSON {
	h := v.header
	if h == nil {
		h = headerOfIdentity(v.identity)
	}
	full := newHeaderJSON(h)
	j := verifyJSON{
		File: v.name, Status: v.status, ID: full.ID, TraceID: full.TraceID, Service: full.Service, Trigger: full.Trigger,
		Time: full.Time, Size: v.size, Sealed: v.sealed, Note: v.note, Readable: v.salvage,
	}
	if h.ID.IsZero() {
		j.ID = ""
	}
	if v.err != nil {
		j.Problem = v.err.Error()
	}
	return j
}

// verifyTarget checks one dump.
func verifyTarget(ctx context.Context, t *target, k *keys) verified {
	v := verified{name: t.name, size: t.entry.Size, identity: t.entry.Identity}
	c, err := openContent(ctx, t, k, false)
	if c == nil {
		v.status, v.err = unreadableDump, err
		v.gone = t.listed && errors.Is(err, sink.ErrNotFound)
		return v
	}
	defer c.Close()
	v.size = c.object.Size()
	if c.Reader != nil {
		v.header, v.sealed = c.Header(), c.sealed
		if _, herr := dump.ReadHeader(c.plain, c.size); herr != nil {
			v.header = nil // an empty one stands for it
		}
		var closed *encrypt.NoIdentityError
		if errors.As(err, &closed) {
			v.note, err = err.Error(), nil // the container can be checked all the same
		}
		if err == nil {
			err = v.content(t, c)
		}
	}
	v.status, v.err = verdict(err), err
	if v.status == wholeDump {
		if note := t.markerMissing(v.header); note != "" {
			v.note = note
		}
	} else if c.Reader != nil && v.status != unreadableDump && !c.sealed {
		v.salvage = salvage(c.Reader, v.header != nil)
	}
	return v
}

// content checks an open dump, and the file that it was encrypted in.
func (v *verified) content(t *target, c *content) error {
	for _, r := range []*dump.Reader{c.Reader, c.outer} {
		if r == nil {
			continue
		}
		if err := r.Verify(); err != nil {
			return err
		}
	}
	if t.st != nil && t.st.sink != nil {
		return sameIdentity(c.Header(), t.entry.Identity, true)
	}
	return nil
}

func verdict(err error) string {
	switch {
	case err == nil:
		return wholeDump
	case errors.Is(err, dump.ErrNotDump):
		return foreignDump
	case errors.Is(err, dump.ErrVersion):
		return newerDump
	case errors.Is(err, dump.ErrTruncated):
		return truncatedDump
	case errors.Is(err, dump.ErrDamaged):
		return damagedDump
	}
	return unreadableDump
}

// salvage counts what can be read.
func salvage(r *dump.Reader, header bool) *readable {
	s := &readable{Header: header, OfGoroutines: r.NumGoroutines(), OfObjects: r.NumObjects(), OfTypes: r.NumTypes()}
	if g, err := r.Failing(); err == nil && g != nil {
		s.Failing = true
	}
	for _, err := range r.Goroutines() {
		if err == nil {
			s.Goroutines++
		}
	}
	for _, err := range r.Objects() {
		if err == nil {
			s.Objects++
		}
	}
	for id := dump.TypeID(1); int(id) <= r.NumTypes(); id++ {
		if r.Type(id) != nil {
			s.Types++
		}
	}
	files, _ := r.Sources()
	for _, file := range files {
		if _, err := r.Source(file); err == nil {
			s.Sources++
		}
	}
	_, err := r.Extra()
	s.Extra = err == nil
	return s
}

// storeTargets goes through the dumps of the store.
func (f *verifyFlags) storeTargets(ctx context.Context, std *stdio) (iter.Seq2[target, error], error) {
	q := sink.Query{Service: f.service}
	if f.since != "" {
		var err error
		if q.Since, err = parseTime("since", f.since, std.now(), std.local); err != nil {
			return nil, err
		}
	}
	st, err := f.where.open(ctx)
	if err != nil {
		return nil, err
	}
	if st.noDir {
		return nil, hint(fmt.Errorf("folder %s does not exist", st.dir), "%s", st.hintWhere())
	}
	entries := st.List(ctx, q)
	if q == (sink.Query{}) && st.dir != "" && st.sink != nil {
		entries = st.byTraces(ctx)
	}
	return func(yield func(target, error) bool) {
		for e, err := range entries {
			t := target{}
			if err == nil {
				t = inStore(st, e)
				t.listed = true
			}
			if !yield(t, err) {
				return
			}
		}
	}, nil
}

// byTraces goes through the dumps of a store in a folder by their traces, in no
// order of time. So those are found, too, whose marker is missing.
func (o *opened) byTraces(ctx context.Context) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		folders, err := os.ReadDir(filepath.Join(o.dir, filepath.FromSlash(sink.TracesPrefix)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(sink.Entry{}, err)
			return
		}
		for _, d := range folders {
			var trace dump.TraceID
			name := d.Name()
			if b, err := hex.DecodeString(name); err != nil || copy(trace[:], b) != len(b) || trace.String() != name {
				continue // foreign
			}
			entries, err := o.Trace(ctx, trace)
			if err != nil {
				yield(sink.Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// markerMissing says so if a dump of a store in a folder has no marker.
func (t *target) markerMissing(h *dump.Header) string {
	if t.st == nil || t.st.sink == nil || t.st.dir == "" {
		return ""
	}
	lies := func(key string) bool {
		_, err := os.Lstat(filepath.Join(t.st.dir, filepath.FromSlash(key)))
		return !errors.Is(err, fs.ErrNotExist)
	}
	if lies(sink.DayKey(h.Identity)) || !lies(sink.TraceKey(h.Identity)) { // such as one in a spool
		return ""
	}
	return "its marker is missing, so ls does not list it; fetch finds it by its trace"
}
