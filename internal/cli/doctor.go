package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// doctorTime is how long the store may take to answer.
const doctorTime = 15 * time.Second

type doctorFlags struct {
	where  where
	binary string
	format outputFormat
}

func newDoctor(std *stdio) *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the configuration, the store and a binary",
		Long: `Check which configuration and which store are used here, and whether the store
answers; whether the spool folder can be written to, how much of its disk is free,
and what waits there; and whether the keys for encryption can be read. Nothing is
stored anywhere. What the cache of debug information holds, and whether it can be
used, is said as well.

With --binary, check also what dumps of that program will have: whether it was built
with otelcoredumpy, and with the debug information that locals need, of which kind that
is, and where a separate file with it was looked for.

The exit code is 1 if something does not work, 2 if the configuration is wrong.`,
		Example: `  coredumpy doctor
  coredumpy doctor --binary ./bin/checkout`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return doctor(cmd.Context(), std, &f) },
	}
	f.where.addFlags(cmd)
	cmd.Flags().StringVar(&f.binary, "binary", "", "check the program `FILE`")
	addFormat(cmd, &f.format)
	return cmd
}

// The outcomes of a check.
const (
	statusOK   = "ok"
	statusWarn = "warn" // works, but something will be missing
	statusFail = "fail"
)

// check is one thing that doctor looked at.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Text   string `json:"text"`
	Hint   string `json:"hint"`
}

type doctorJSON struct {
	Checks []check `json:"checks"`
}

func doctor(ctx context.Context, std *stdio, f *doctorFlags) error {
	checks, code := checkStore(ctx, std, &f.where)
	cfg := config.Default()
	if f.where.dir == "" || f.where.config != "" {
		if c, _, err := f.where.load(); err == nil { // else checkStore has said so
			cfg = *c
		}
	}
	if f.binary != "" {
		checks = append(checks, checkBinary(f.binary, cfg.DebugInfoConfig())...)
	}
	checks = append(checks, checkCache(cfg.DebugInfoConfig()))
	for _, c := range checks {
		if c.Status == statusFail {
			code = max(code, exitFailed)
		}
	}
	if err := printChecks(std, f.format, checks); err != nil {
		return err
	}
	if code != exitOK {
		return &reportedError{code}
	}
	return nil
}

func printChecks(std *stdio, format outputFormat, checks []check) error {
	if format == formatJSON {
		return writeJSON(std.out, doctorJSON{Checks: checks})
	}
	paint := map[string]func(string) string{
		statusOK: std.outStyle.green, statusWarn: std.outStyle.yellow, statusFail: std.outStyle.red,
	}
	for _, c := range checks {
		if _, err := fmt.Fprintf(std.out, "%s  %s: %s\n", paint[c.Status](padded(c.Status, 4)), c.Name, clean(c.Text)); err != nil {
			return err
		}
		if c.Hint == "" {
			continue
		}
		if _, err := fmt.Fprintf(std.out, "      %s %s\n", std.outStyle.dim("hint:"), clean(c.Hint)); err != nil {
			return err
		}
	}
	return nil
}

// checkStore looks at the configuration and the store. The code is exitUsage if
// the configuration is wrong.
func checkStore(ctx context.Context, std *stdio, w *where) (checks []check, code int) {
	var cfg *config.Config
	if w.dir == "" || w.config != "" {
		var c []check
		if c, cfg = checkConfig(w); cfg == nil {
			return c, exitUsage
		}
		checks = c
	}
	st, err := w.open(ctx)
	if err != nil {
		return append(checks, failedCheck("sink", err)), exitOK
	}
	dest := st.destination() // the spool has checks of its own
	checks = append(checks, check{Name: "sink", Status: statusOK, Text: dest.String()})
	if st.noDir {
		checks = append(checks, check{Name: "listing", Status: statusWarn, Text: "the folder is not there yet", Hint: noFolderHint(st)})
	} else {
		checks = append(checks, checkListing(ctx, st, dest))
	}
	if cfg != nil && w.dir == "" {
		checks = append(checks, checkSpool(ctx, std, cfg)...)
		checks = append(checks, checkEncryption(cfg)...)
	}
	return checks, exitOK
}

func noFolderHint(st *opened) string {
	if st.chosen {
		return "give the right one with --dir"
	}
	return "the first dump makes it; a relative sink.local.dir starts at the working directory, which the service may have another of"
}

// checkConfig returns no configuration if it is wrong.
func checkConfig(w *where) (checks []check, cfg *config.Config) {
	cfg, file, err := w.load()
	if err != nil {
		return []check{failedCheck("configuration", err)}, nil
	}
	c := check{Name: "configuration", Status: statusOK, Text: file}
	if file == "" {
		c.Text = "no file; defaults and environment"
	}
	checks = append(checks, c)
	for _, text := range cfg.Warnings {
		checks = append(checks, check{Name: "configuration", Status: statusWarn, Text: text})
	}
	return checks, cfg
}

// checkListing lists one dump.
func checkListing(ctx context.Context, st *opened, dest store) check {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	for e, err := range dest.List(ctx, sink.Query{}) {
		if err != nil {
			c := failedCheck("listing", err)
			if c.Hint == "" && strings.HasPrefix(st.uri(dump.Identity{}), "s3:") {
				c.Hint = "the credentials come from where the AWS SDK looks for them, and need s3:ListBucket and s3:GetObject"
			}
			return c
		}
		text := "can be listed"
		if !e.ID.IsZero() {
			text += "; the newest dump is " + e.ID.String() + " of " + e.ID.Time().Format(time.RFC3339)
		}
		return check{Name: "listing", Status: statusOK, Text: text}
	}
	return check{Name: "listing", Status: statusOK, Text: "can be listed; there are no dumps"}
}

// failedCheck is the check for an error.
func failedCheck(name string, err error) check {
	c := check{Name: name, Status: statusFail, Text: err.Error()}
	if h := (*hintError)(nil); errors.As(err, &h) {
		c.Hint = h.hint
	}
	if errors.Is(err, os.ErrPermission) && c.Hint == "" {
		c.Hint = "the folder is readable by the user that the service runs as only"
	}
	return c
}
