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
	where    where
	keys     *keys
	commands []string
	init     string
}

func newLoad(std *stdio) *cobra.Command {
	var f loadFlags
	cmd := &cobra.Command{
		Use:   "load FILE|ADDRESS|ID",
		Short: "Look around in a dump as in a debugger",
		Long: `Open a dump at a prompt that speaks the language of dlv: bt, frame, up, down,
locals, args, print, whatis, goroutines, goroutine, list, source and others; type
help for all of them. It stands at first on the failing frame of the program. No
executable, source tree or Go toolchain is needed, and nothing in the dump is run.

` + helpTargets + `
A dump that lies in a bucket is read where it lies, as far as it is looked at; of
several dumps of a trace the oldest is opened. An encrypted dump needs --identity.

With -c the commands are run, their output is printed, and that is all; the exit
code is 1 if one of them failed. When stdin is not a terminal, commands are read
from it, one a line.`,
		Example: `  coredumpy load d.cdmp
  coredumpy load 0190163d-8694-739b-aea5-966c26f8ad91
  coredumpy load d.cdmp -c bt -c 'print order.Lines[2].SKU'
  coredumpy load d.cdmp --identity key.txt
  echo 'bt -full' | coredumpy load d.cdmp`,
		Args: needArgs(1, 1, "one dump file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := newFinder(std, &f.where).one(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return load(cmd.Context(), std, &f, &t)
		},
		ValidArgsFunction: completeDumps(1),
	}
	f.where.addFlags(cmd)
	f.keys = newKeys(cmd, std, &f.where)
	// An array, not a slice: a command may have commas in it.
	cmd.Flags().StringArrayVarP(&f.commands, "command", "c", nil, "run the command `CMD` and exit; can be given several times")
	cmd.Flags().StringVar(&f.init, "init", "", "run the commands in `FILE` first")
	_ = cmd.RegisterFlagCompletionFunc("command", cobra.NoFileCompletions)
	return cmd
}

func load(ctx context.Context, std *stdio, f *loadFlags, t *target) error {
	if t.in != nil && len(f.commands) == 0 {
		return usagef("the dump and the commands cannot both come from stdin; give commands with -c")
	}
	interactive := std.inTerminal && std.outWidth > 0 && len(f.commands) == 0
	// The session reads the dump until its end. At a terminal Ctrl-C ends the
	// opening, but later a command, not the session.
	reads, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	detach := context.AfterFunc(ctx, cancel)
	c, err := openPlain(reads, t, f.keys)
	if err != nil {
		return err
	}
	defer c.Close()
	session, err := debugger.New(c.Reader)
	if err != nil {
		return err
	}
	failures := &failures{std: std}
	if problem := session.Problem(); problem != nil {
		failures.add(damageError(t.name, problem))
	}
	o := repl.Options{
		In: std.in, Out: std.out, Err: std.err, Commands: f.commands, Init: f.init,
		Terminal: std.inTerminal && std.outWidth > 0, Color: std.outStyle.colour,
	}
	if dir, err := os.Getwd(); err == nil {
		o.Dir = dir
	}
	if interactive {
		detach()
		ctx = reads
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
