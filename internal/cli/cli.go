// Package cli is the command coredumpy: what the user types, what is printed,
// and the exit code. The work behind it is done elsewhere: packages sink and
// dump find and read the dumps, internal/debugger and internal/repl open them.
//
// Each command has a file of its own, named like the command. What they share:
//
//   - cli.go makes the command tree and runs it; errors.go turns an error into a
//     message, a hint and an exit code;
//   - stdio.go knows what the streams are (terminal, width, colour), and
//     clean.go makes text from a dump safe for them: a dump is a stranger's file,
//     and no string in it may move the cursor or reorder a line;
//   - open.go finds the dumps: the configured sink, or a folder given with --dir;
//   - headerjson.go is the JSON form of a dump's header, the same in every
//     command.
//
// Nothing in this package is specific to a terminal session except through
// stdio: every command runs on given streams, arguments and environment, so that
// tests are terminal sessions (testdata/script).
package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

//go:generate go test -run ^TestManual$ -update .

// Main runs the command with the process's arguments and streams and returns
// its exit code. An interrupt ends what is under way at the next step; a second
// one kills the process.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, osStdio(), os.Args[1:])
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, std *stdio, args []string) int {
	root := newRoot(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return report(ctx, std, err)
}

// newRoot makes the command tree. It has no state but std.
func newRoot(std *stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "coredumpy",
		Short: "Find, show and open the dumps of failed spans",
		Long: `coredumpy finds, shows and opens the dumps that otelcoredumpy made when a span
of a Go service failed: the goroutines, the frames and the values of their
variables, at the moment of the failure.

Take the trace ID from the failed span in the tracing system:

    coredumpy fetch <trace-id>      bring the trace's dumps here
    coredumpy peek FILE             what failed, where, with which values
    coredumpy load FILE             look around in the dump as in a debugger

The dump's ID or address, which the span carries as well, does in place of the trace
ID and of the file.

Where dumps are stored is read from --config, else from $COREDUMPY_CONFIG,
./config.yaml, $XDG_CONFIG_HOME/coredumpy/config.yaml or
/etc/coredumpy/config.yaml; the environment (COREDUMPY_SINK_TYPE, …) goes before
the file. --dir DIR reads a folder of dumps without any configuration.

Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 there is no such
dump; 4 a dump is damaged, or a file is not a dump.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hint(usageError(err), "see: %s --help", cmd.CommandPath())
	})
	root.AddCommand(
		newFetch(std), newLs(std), newPeek(std), newLoad(std), newExport(std), newVerify(std),
		newPush(std), newPrune(std), newConfig(std), newDoctor(std), newVersion(std),
	)
	root.SetHelpCommand(newHelp())
	root.InitDefaultCompletionCmd("")
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			// Cobra's own shows its help for a shell that it does not know.
			c.Args = unknownCommand
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	markRunErrors(root)
	return root
}

// newHelp is cobra's help command with an error for an unknown topic.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil || topic == nil || len(rest) > 0 {
				return usagef("there is no command %q to help with", args)
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			topic, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, c := range topic.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
