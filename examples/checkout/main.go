// Command checkout is a small HTTP shop that shows otelcoredumpy at work. It listens on
// a loopback port of its own choosing and sends itself requests. Some succeed;
// the others fail, each in a way of its own, and leave a dump:
//
//	nil-deref     a nil pointer is dereferenced, in an inlined function
//	index         an index is out of range
//	nil-map       a method writes to a nil map
//	custom-panic  panic(err) with a wrapped error, through nested spans
//	error-span    an error ends up on a span, without a panic; twice: recorded
//	              where it was made, and where the span ends
//	goroutine     a goroutine panics, which ends a process
//
// For each failure it prints one line:
//
//	<scenario> trace_id=<32 hex digits> dump_id=<uuid> dump=<path or URI>
//
// The shop itself is in the folder shop; it holds what one would find in any
// service. What otelcoredumpy needs is in service.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
)

// options are the flags.
type options struct {
	dir      string // "" unless -dir was given
	config   string
	otlp     string
	scenario string
	verbose  bool
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings handed in. It returns the exit code: 0 if
// each failure left its dump, 1 if not, 2 if the command line is wrong.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parseFlags(args, stderr)
	switch {
	case err == flag.ErrHelp:
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "checkout: error: %v\n", err)
		return 2
	}
	if code, done := underGoRun(args); done {
		return code
	}
	level := slog.LevelWarn
	if opts.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))

	report := newReport(stdout, opts)
	service, err := start(ctx, opts, log, report)
	if err != nil {
		fmt.Fprintf(stderr, "checkout: error: %v\n", err)
		return 1
	}
	traffic := &traffic{base: service.url, opts: opts, log: log, report: report, stderr: stderr}
	if os.Getenv(childEnv) != "" {
		return traffic.child(ctx)
	}
	err = traffic.send(ctx)
	if stopErr := service.stop(ctx); err == nil {
		err = stopErr
	}
	if err != nil {
		fmt.Fprintf(stderr, "checkout: error: %v\n", err)
		return 1
	}
	report.next()
	return 0
}

func parseFlags(args []string, stderr io.Writer) (*options, error) {
	opts := &options{}
	flags := flag.NewFlagSet("checkout", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "./dumps", "keep the dumps in this `folder`")
	flags.StringVar(&opts.config, "config", "", "read otelcoredumpy's configuration from this `file`")
	flags.StringVar(&opts.otlp, "otlp", "", "send the spans to the collector at this `URL` (OTLP over HTTP)")
	flags.StringVar(&opts.scenario, "scenario", "", "fail only in this `way`: "+strings.Join(scenarioNames(), ", "))
	flags.BoolVar(&opts.verbose, "v", false, "log each request to stderr")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	// A folder that nobody asked for must not override the sink of a
	// configuration file.
	flags.Visit(func(f *flag.Flag) {
		if f.Name == "dir" {
			opts.dir = *dir
		}
	})
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if opts.scenario != "" && !slices.Contains(scenarioNames(), opts.scenario) {
		return nil, fmt.Errorf("unknown scenario %q: want one of %s", opts.scenario, strings.Join(scenarioNames(), ", "))
	}
	return opts, nil
}
