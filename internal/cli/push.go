package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/sink/spool"
)

type pushFlags struct {
	where  where
	spool  string
	dryRun bool
	format outputFormat
}

func newPush(std *stdio) *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use:   "push",
		Short: "Bring the dumps in the spool to their destination now",
		Long: `Upload what lies in the spool for the configured sink, now and in the foreground:
what a process left that died, what could not be uploaded while the store was away,
and what was given up. A dump leaves the spool when the store has confirmed it.

A service does the same by itself when it starts and runs. Both may happen at once:
a dump is uploaded by one process at a time, and arrives once.

The spool is that of the configuration, or --spool. A spool folder may hold dumps
for several destinations; each is pushed with the configuration that names it.

The exit code is 1 if dumps are left that could not be uploaded, 4 if files were
found to be damaged, which are set aside. --dry-run lists what lies in the spool and
changes nothing.`,
		Example: `  coredumpy push
  coredumpy push --dry-run
  coredumpy push --config /etc/coredumpy/config.yaml --spool /var/spool/coredumpy`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return push(cmd.Context(), std, &f) },
	}
	f.where.addConfig(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.spool, "spool", "", "the spool folder `DIR` instead of the configured one")
	fl.BoolVar(&f.dryRun, "dry-run", false, "list what lies in the spool, and upload nothing")
	addFormat(cmd, &f.format)
	_ = cmd.MarkFlagDirname("spool")
	return cmd
}

// pushJSON is the outcome of push in JSON.
type pushJSON struct {
	Spool       string        `json:"spool"`
	Destination string        `json:"destination"`
	Delivered   int           `json:"delivered"`
	Bytes       int64         `json:"bytes"`
	Left        int           `json:"left"`    // could not be uploaded, or were not tried
	Busy        int           `json:"busy"`    // being uploaded by other processes
	Damaged     int           `json:"damaged"` // set aside
	Error       string        `json:"error"`
	Others      []backlogJSON `json:"others"` // what waits for other destinations
}

type backlogJSON struct {
	Destination string `json:"destination"`
	Dumps       int    `json:"dumps"`
	Bytes       int64  `json:"bytes"`
}

// pushItemJSON is a dump in the JSON of push --dry-run.
type pushItemJSON struct {
	ID      string  `json:"id"`
	TraceID string  `json:"trace_id"`
	Service string  `json:"service"`
	Trigger string  `json:"trigger"`
	Time    *string `json:"time"`
	State   string  `json:"state"` // waiting, uploading, failed or damaged
	Size    int64   `json:"size"`
	Path    string  `json:"path"`
	Problem string  `json:"problem"`
}

func push(ctx context.Context, std *stdio, f *pushFlags) error {
	cfg, _, err := f.where.load()
	if err != nil {
		return err
	}
	if f.spool != "" {
		cfg.Spool.Dir, cfg.Spool.Mode = f.spool, config.SpoolOn
	}
	s, err := cfg.OpenSpool(ctx)
	if err != nil {
		return configError(fmt.Errorf("open the spool: %w", err))
	}
	if s == nil {
		return hint(usagef("the configuration has no spool: dumps go straight to their store"), "--spool DIR pushes what lies in a folder")
	}
	if f.dryRun {
		return pushDry(ctx, std, f, s)
	}

	bar := newProgress(std, "pushing", 0)
	known := false
	stats, perr := s.Push(ctx, func(p spool.Progress) {
		if !known {
			known = true
			bar.expect(p.TotalBytes)
			bar.of(p.Total)
		}
		bar.add(p.Size)
		bar.done()
	})
	bar.close()
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	out := pushJSON{
		Spool: s.Dir(), Destination: s.Destination().String(), Delivered: stats.Delivered, Bytes: stats.Bytes,
		Left: stats.Failed + stats.Left, Busy: stats.Busy, Damaged: stats.Damaged, Others: otherBacklogs(s),
	}
	if perr != nil {
		out.Error = perr.Error()
	}
	if f.format == formatJSON {
		err = writeJSON(std.out, out)
	} else {
		err = out.print(std, stats.Took)
	}
	failures := &failures{std: std}
	failures.add(err)
	if perr != nil {
		failures.add(hint(perr, "what is left stays in the spool; \"coredumpy doctor\" checks the destination"))
	}
	if n := stats.Damaged; n > 0 {
		failures.add(withCode(exitDamaged, hint(fmt.Errorf("%s not what was put into the spool, and set aside", countWas(n, "file")),
			"what was set aside lies in the folder \"damaged\" of the spool; verify, peek and load show what can be read of it")))
	}
	return failures.err()
}

// countWas is "1 file is" or "2 files are".
func countWas(n int, noun string) string {
	if n == 1 {
		return plural(n, noun) + " is"
	}
	return plural(n, noun) + " are"
}

// print prints the outcome for people.
func (p *pushJSON) print(std *stdio, took time.Duration) error {
	var err error
	switch {
	case p.Delivered > 0:
		_, err = fmt.Fprintf(std.out, "%s, %s, delivered to %s in %s\n", plural(p.Delivered, "dump"), bytesText(p.Bytes),
			clean(p.Destination), took.Round(10*time.Millisecond))
	case p.Left == 0 && p.Busy == 0 && p.Damaged == 0:
		_, err = fmt.Fprintf(std.out, "nothing waits in the spool %s for %s\n", clean(p.Spool), clean(p.Destination))
	}
	if p.Busy > 0 {
		fmt.Fprintf(std.err, "coredumpy: %s being uploaded by another process\n", countWas(p.Busy, "dump"))
	}
	for _, o := range p.Others {
		fmt.Fprintf(std.err, "coredumpy: %s, %s, in the spool for %s: push them with the configuration that names it\n",
			countWas(o.Dumps, "more dump"), bytesText(o.Bytes), clean(orNone(o.Destination)))
	}
	return err
}

// otherBacklogs is what lies in a spool folder for others than the destination.
// It is told as a favour, so what cannot be read is left out.
func otherBacklogs(s *spool.Spool) []backlogJSON {
	list, _ := spool.Backlogs(s.Dir())
	others := []backlogJSON{}
	for _, b := range list {
		if b.Destination != s.Destination().String() && b.Items+b.Failed > 0 {
			others = append(others, backlogJSON{Destination: b.Destination, Dumps: b.Items + b.Failed, Bytes: b.Bytes})
		}
	}
	return others
}

// pushDry lists what lies in the spool.
func pushDry(ctx context.Context, std *stdio, f *pushFlags, s *spool.Spool) error {
	items, err := s.Items(ctx)
	if f.format == formatJSON {
		out := newJSONArray(std.out)
		for i := range items {
			if aerr := out.add(newPushItemJSON(&items[i])); aerr != nil {
				return aerr
			}
		}
		return errors.Join(out.close(), err)
	}
	if len(items) == 0 && err == nil {
		_, err = fmt.Fprintf(std.out, "nothing waits in the spool for %s\n", clean(s.Destination().String()))
		return err
	}
	t := &table{
		head:  []string{"TIME", "AGE", "STATE", "TRIGGER", "SERVICE", "TRACE ID", "DUMP ID", "SIZE"},
		flex:  []int{4},
		right: map[int]bool{1: true, 7: true},
	}
	for i := range items {
		it := &items[i]
		at := it.ID.Time()
		row := []string{
			timeText(at, std.local), ageText(std.now().Sub(at)), string(it.State), string(it.Trigger), it.Service,
			idText(it.TraceID), idText(it.ID), bytesText(it.Size),
		}
		if it.ID.IsZero() {
			row[0], row[1], row[6] = "-", "-", shortFile(it.Path)
		}
		for k, cell := range row {
			if row[k] = clean(cell); cell == "" {
				row[k] = "-"
			}
		}
		t.rows = append(t.rows, row)
	}
	t.paint = func(row, col int, text string) string {
		if col == 2 && (items[row].State == spool.Failed || items[row].State == spool.Broken) {
			return std.outStyle.red(text)
		}
		return text
	}
	return errors.Join(t.write(std.out, std.outStyle, std.outWidth), err)
}

func newPushItemJSON(it *spool.Item) pushItemJSON {
	h := newHeaderJSON(headerOfIdentity(it.Identity))
	j := pushItemJSON{
		ID: h.ID, TraceID: h.TraceID, Service: it.Service, Trigger: string(it.Trigger), Time: h.Time, State: string(it.State),
		Size: it.Size, Path: it.Path,
	}
	if it.ID.IsZero() {
		j.ID = ""
	}
	if it.Err != nil {
		j.Problem = it.Err.Error()
	}
	return j
}
