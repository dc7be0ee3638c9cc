package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/repl"
)

type loadFlags struct {
	commands []string
	init     string
}

func newLoad(std *stdio) *cobra.Command {
	var f loadFlags
	cmd := &cobra.Command{
		Use:   "load FILE",
		Short: "Look around in a dump as in a debugger",
		Long: `Open a dump at a prompt that speaks the language of dlv: bt, frame, up, down,
locals, args, print, whatis, goroutines, goroutine, list, source and others; type
help for all of them. It stands at first on the failing frame of the program. No
executable, source tree or Go toolchain is needed, and nothing in the dump is run.

With -c the commands are run, their output is printed, and that is all; the exit
code is 1 if one of them failed. When stdin is not a terminal, commands are read
from it, one a line.`,
		Example: `  coredumpy load d.cdmp
  coredumpy load d.cdmp -c bt -c 'print order.Lines[2].SKU'
  echo 'bt -full' | coredumpy load d.cdmp`,
		Args: needArgs(1, 1, "one dump file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return load(cmd.Context(), std, &f, args[0])
		},
		ValidArgsFunction: completeDumps(1),
	}
	// An array, not a slice: a command may have commas in it.
	cmd.Flags().StringArrayVarP(&f.commands, "command", "c", nil, "run the command `CMD` and exit; can be given several times")
	cmd.Flags().StringVar(&f.init, "init", "", "run the commands in `FILE` first")
	_ = cmd.RegisterFlagCompletionFunc("command", cobra.NoFileCompletions)
	return cmd
}

func load(ctx context.Context, std *stdio, f *loadFlags, path string) error {
	r, err := openDump(path)
	if err != nil {
		return err
	}
	defer r.Close()
	session, err := debugger.New(r)
	if err != nil {
		return err
	}
	failures := &failures{std: std}
	if problem := session.Problem(); problem != nil {
		failures.add(damageError(path, problem))
	}
	o := repl.Options{
		In: std.in, Out: std.out, Err: std.err, Commands: f.commands, Init: f.init,
		Terminal: std.inTerminal && std.outWidth > 0, Color: std.outStyle.colour,
	}
	if dir, err := os.Getwd(); err == nil {
		o.Dir = dir
	}
	if o.Terminal && len(f.commands) == 0 {
		// Ctrl-C ends a command there, not the session.
		ctx = context.WithoutCancel(ctx)
		signal.Reset(syscall.SIGTERM)
		if o.HistoryFile, err = repl.DefaultHistoryFile(); err != nil {
			o.HistoryFile = "" // no home, no history
		}
	}
	code, err := repl.Run(ctx, session, o)
	if err != nil {
		return err
	}
	failures.code = max(failures.code, code)
	return failures.err()
}
