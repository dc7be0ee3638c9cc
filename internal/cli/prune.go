package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/prune"
)

type pruneFlags struct {
	where    where
	maxAge   string
	maxBytes string
	maxCount int
	dryRun   bool
	yes      bool
	format   outputFormat
}

func newPrune(std *stdio) *cobra.Command {
	var f pruneFlags
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete old dumps from a local store",
		Long: `Keep the newest dumps of a local store, as many as are within all limits that are
given, and delete the others: those older than --max-age, those beyond --max-bytes of
all together, those beyond --max-count.

The store is the configured one, or --dir. At a terminal it asks before it deletes;
--yes does not ask, and neither does a script. --dry-run lists what would be
deleted.

What processes that died have left half done is put right as well: their temporary
files go, and dumps that no listing shows are listed again.

Buckets are not pruned: a lifecycle rule of the bucket does that by itself and for
nothing; docs/storage.md has one to copy.`,
		Example: `  coredumpy prune --max-age 30d
  coredumpy prune --dir /var/lib/dumps --max-bytes 10GiB --max-count 5000 --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return pruneStore(cmd.Context(), std, &f) },
	}
	f.where.addFlags(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.maxAge, "max-age", "", "delete dumps that are older than this `TIME`: 12h, 30d, 8w")
	fl.StringVar(&f.maxBytes, "max-bytes", "", "keep at most this `SIZE` of dumps: 500MiB, 10GiB")
	fl.IntVar(&f.maxCount, "max-count", 0, "keep at most `N` dumps")
	fl.BoolVar(&f.dryRun, "dry-run", false, "list what would be deleted, and delete nothing")
	fl.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	addFormat(cmd, &f.format)
	_ = cmd.RegisterFlagCompletionFunc("max-age", cobra.FixedCompletions([]string{"1d", "1w", "30d"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("max-bytes", cobra.FixedCompletions([]string{"1GiB", "10GiB"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("max-count", cobra.NoFileCompletions)
	return cmd
}

// pruneJSON is the outcome of prune in JSON.
type pruneJSON struct {
	Store     string       `json:"store"`
	DryRun    bool         `json:"dry_run"`
	Dumps     []victimJSON `json:"dumps"` // to be deleted, the oldest first
	Deleted   int          `json:"deleted"`
	Bytes     int64        `json:"bytes"` // of those
	Failed    int          `json:"failed"`
	Kept      int          `json:"kept"`
	KeptBytes int64        `json:"kept_bytes"`
	Swept     sweptJSON    `json:"swept"`
}

type victimJSON struct {
	ID      string  `json:"id"`
	TraceID string  `json:"trace_id"`
	Service string  `json:"service"`
	Time    *string `json:"time"`
	Size    int64   `json:"size"`
	Reason  string  `json:"reason"` // age, bytes or count
}

type sweptJSON struct {
	TempFiles int   `json:"temp_files"`
	TempBytes int64 `json:"temp_bytes"`
	Unlisted  int   `json:"unlisted"` // got back into the listings
	Orphans   int   `json:"orphans"`  // markers without a dump
	Folders   int   `json:"folders"`
}

func pruneStore(ctx context.Context, std *stdio, f *pruneFlags) error {
	policy, err := f.policy(std)
	if err != nil {
		return err
	}
	store, err := f.store(ctx)
	if err != nil {
		return err
	}
	swept, err := store.Sweep(ctx, f.dryRun)
	if err != nil {
		return err
	}
	found, err := prune.Plan(ctx, store, policy)
	if err != nil {
		return err
	}
	out := pruneJSON{
		Store: store.String(), DryRun: f.dryRun, Dumps: make([]victimJSON, 0, len(found.Victims)),
		Kept: found.Kept, KeptBytes: found.KeptBytes, Swept: sweptJSON{
			TempFiles: swept.TempFiles, TempBytes: swept.TempBytes, Unlisted: swept.Unlisted, Orphans: swept.Orphans, Folders: swept.Folders,
		},
	}
	for i := range found.Victims {
		out.Dumps = append(out.Dumps, newVictimJSON(&found.Victims[i]))
	}
	if !f.dryRun && len(found.Victims) > 0 {
		if ok, err := f.confirm(std, store, found); err != nil || !ok {
			return err
		}
		var res prune.Result
		res, err = f.apply(ctx, std, store, found)
		out.Deleted, out.Bytes, out.Failed = res.Deleted, res.Bytes, res.Failed
	} else if f.dryRun {
		out.Bytes = found.Bytes
	}
	if f.format == formatJSON {
		return errors.Join(writeJSON(std.out, out), err)
	}
	if f.dryRun {
		if werr := victimTable(std, found).write(std.out, std.outStyle, std.outWidth); werr != nil {
			return werr
		}
	}
	return errors.Join(out.print(std), err)
}

// policy checks the flags.
func (f *pruneFlags) policy(std *stdio) (prune.Policy, error) {
	p := prune.Policy{MaxCount: f.maxCount, Now: std.now()}
	var ok bool
	var err error
	if f.maxAge != "" {
		if p.MaxAge, ok = parseDays(strings.TrimSpace(f.maxAge)); !ok || p.MaxAge <= 0 {
			return p, hint(usagef("--max-age %q is no span of time", f.maxAge), "give one like 12h, 30d or 8w")
		}
	}
	if f.maxBytes != "" {
		if p.MaxBytes, err = config.ParseSize(f.maxBytes); err != nil || p.MaxBytes <= 0 {
			return p, hint(usagef("--max-bytes %q is no size", f.maxBytes), "give one like 500MiB or 10GiB")
		}
	}
	if p.MaxCount < 0 {
		return p, usagef("--max-count %d is negative", p.MaxCount)
	}
	if p.MaxAge == 0 && p.MaxBytes == 0 && p.MaxCount == 0 {
		return p, hint(usagef("prune needs a limit"), "give --max-age 30d, --max-bytes 10GiB or --max-count 5000; \"coredumpy prune --help\" says more")
	}
	return p, nil
}

// store is the local store that is meant. What stands in front of it or beside
// it by configuration is not touched.
func (f *pruneFlags) store(ctx context.Context) (*local.Sink, error) {
	st, err := f.where.open(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case st.remote():
		return nil, hint(usagef("%s is not a local store, and only those are pruned", st.destination()),
			"a lifecycle rule of the bucket deletes old dumps by itself: docs/storage.md has one")
	case st.noDir:
		return nil, hint(fmt.Errorf("folder %s does not exist", st.dir), "%s", st.hintWhere())
	case st.sink == nil:
		return nil, hint(usagef("--dir %s is not a store, but a plain folder", st.dir), "a store has the folder v1/traces in it")
	}
	s, err := local.New(st.dir)
	if err != nil {
		return nil, usageError(err)
	}
	return s, nil
}

// confirm asks, if there is somebody to ask.
func (f *pruneFlags) confirm(std *stdio, store *local.Sink, found *prune.Selection) (bool, error) {
	if f.yes || !std.inTerminal || std.errWidth == 0 {
		return true, nil
	}
	n := len(found.Victims)
	fmt.Fprintf(std.err, "Delete %d of %s, %s, from %s? [y/N] ", n, plural(n+found.Kept, "dump"), bytesText(found.Bytes), clean(store.String()))
	answer, err := bufio.NewReader(std.in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	if err != nil {
		fmt.Fprintln(std.err)
	}
	fmt.Fprintln(std.err, "coredumpy: nothing was deleted")
	return false, nil
}

func (f *pruneFlags) apply(ctx context.Context, std *stdio, store *local.Sink, found *prune.Selection) (prune.Result, error) {
	bar := newProgress(std, "deleting", len(found.Victims))
	defer bar.close()
	bar.expect(found.Bytes)
	return prune.Apply(ctx, store, found, func(p prune.Progress) {
		bar.add(p.Last.Size)
		bar.done()
	})
}

// print prints the sum for people.
func (p *pruneJSON) print(std *stdio) error {
	n, verb := p.Deleted, "deleted"
	if p.DryRun {
		n, verb = len(p.Dumps), "to be deleted"
	}
	text := fmt.Sprintf("%s, %s, %s; %s, %s, stay in %s\n", plural(n, "dump"), bytesText(p.Bytes), verb,
		plural(p.Kept+p.Failed, "dump"), bytesText(p.KeptBytes), clean(p.Store))
	if n == 0 && p.Failed == 0 {
		text = fmt.Sprintf("nothing to delete; %s, %s, stay in %s\n", plural(p.Kept, "dump"), bytesText(p.KeptBytes), clean(p.Store))
	}
	if s := p.Swept; s.TempFiles+s.Unlisted+s.Orphans > 0 {
		var parts []string
		for _, part := range []struct {
			n    int
			noun string
		}{{s.TempFiles, "temporary file"}, {s.Unlisted, "dump without a marker"}, {s.Orphans, "marker without a dump"}} {
			if part.n > 0 {
				parts = append(parts, plural(part.n, part.noun))
			}
		}
		verb := "put right"
		if p.DryRun {
			verb = "to be put right"
		}
		text += verb + ": " + strings.Join(parts, ", ") + "\n"
	}
	_, err := fmt.Fprint(std.out, text)
	return err
}

func victimTable(std *stdio, found *prune.Selection) *table {
	t := &table{
		head:  []string{"TIME", "AGE", "SERVICE", "TRACE ID", "DUMP ID", "SIZE", "BEYOND"},
		flex:  []int{2},
		right: map[int]bool{1: true, 5: true},
	}
	if len(found.Victims) == 0 {
		t.head = nil
	}
	for i := range found.Victims {
		v := &found.Victims[i]
		at := v.ID.Time()
		t.rows = append(t.rows, []string{
			timeText(at, std.local), ageText(std.now().Sub(at)), clean(v.Service), idText(v.TraceID), v.ID.String(), bytesText(v.Size), "--max-" + string(v.Reason),
		})
	}
	return t
}

func newVictimJSON(v *prune.Victim) victimJSON {
	h := newHeaderJSON(headerOfIdentity(v.Identity))
	return victimJSON{ID: h.ID, TraceID: h.TraceID, Service: v.Service, Time: h.Time, Size: v.Size, Reason: string(v.Reason)}
}
