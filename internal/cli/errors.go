package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes. They are part of the command's interface; see docs/cli.
const (
	exitOK      = 0
	exitFailed  = 1 // also: a file that is not there
	exitUsage   = 2 // bad arguments, bad configuration, malformed trace ID
	exitNoDump  = 3 // there is no such dump
	exitDamaged = 4 // damaged or foreign dump
)

// codeError is an error with the exit code that it leads to.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// hintError is an error with a line on what to try.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// runError marks an error that came out of a command's own work. What comes out
// of cobra without it is about the command line, so a usage error.
type runError struct{ err error }

func (e *runError) Error() string { return e.err.Error() }
func (e *runError) Unwrap() error { return e.err }

// reportedError ends the command with a code; what there was to say was already
// said, message by message, as things went wrong.
type reportedError struct{ code int }

func (e *reportedError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func withCode(code int, err error) error { return &codeError{code: code, err: err} }

func usageError(err error) error { return withCode(exitUsage, err) }

func usagef(format string, args ...any) error {
	return usageError(fmt.Errorf(format, args...))
}

// rewordedError is an error in other words.
type rewordedError struct {
	text string
	err  error
}

func (e *rewordedError) Error() string { return e.text }
func (e *rewordedError) Unwrap() error { return e.err }

// reword says an error in other words.
func reword(err error, format string, args ...any) error {
	return &rewordedError{fmt.Sprintf(format, args...), err}
}

// hint adds a hint to an error.
func hint(err error, format string, args ...any) error {
	return &hintError{err: err, hint: fmt.Sprintf(format, args...)}
}

// codeOf says which exit code an error leads to.
func codeOf(err error) int {
	var (
		code *codeError
		done *reportedError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &done):
		return done.code
	case errors.As(err, &code):
		return code.code
	case isDamage(err):
		return exitDamaged
	}
	return exitFailed
}

// report prints an error that ended the command and returns the exit code.
func report(ctx context.Context, std *stdio, err error) int {
	if err == nil {
		return exitOK
	}
	var (
		ran  *runError
		done *reportedError
	)
	code := codeOf(err)
	if !errors.As(err, &ran) && code == exitFailed {
		code = exitUsage // cobra's own: unknown command, wrong number of arguments, …
	}
	if errors.As(err, &done) {
		return code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	std.printError(err)
	return code
}

// printError prints one error and its hint as they go to stderr.
func (std *stdio) printError(err error) {
	for i, line := range strings.Split(strings.TrimRight(err.Error(), "\n"), "\n") {
		prefix := std.errStyle.red("error:") + " "
		if i > 0 {
			prefix = "  " // further lines of one message are indented
		}
		fmt.Fprintf(std.err, "coredumpy: %s%s\n", prefix, clean(line))
	}
	var h *hintError
	if errors.As(err, &h) {
		for line := range strings.SplitSeq(h.hint, "\n") {
			fmt.Fprintf(std.err, "coredumpy: %s %s\n", std.errStyle.yellow("hint:"), clean(line))
		}
	}
}

// markRunErrors wraps the RunE of a command and all below it, see runError.
func markRunErrors(c *cobra.Command) {
	if inner := c.RunE; inner != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if err := inner(cmd, args); err != nil {
				return &runError{err: err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		markRunErrors(sub)
	}
}

// unknownCommand is the Args of commands that only have other commands:
// whatever is left there is a command that does not exist.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := usagef("unknown command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		return hint(err, "did you mean %s?", strings.Join(like, " or "))
	}
	return hint(err, "see: %s --help", cmd.CommandPath())
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return hint(usagef("%s takes no arguments, got %q", cmd.CommandPath(), args[0]), "see: %s --help", cmd.CommandPath())
	}
	return nil
}

// needArgs wants at least lo arguments and at most hi (-1: no limit); what names
// them in the message.
func needArgs(lo, hi int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		var err error
		switch {
		case len(args) < lo:
			err = usagef("%s needs %s", cmd.CommandPath(), what)
		case hi >= 0 && len(args) > hi:
			err = usagef("%s takes only %s, got also %q", cmd.CommandPath(), what, args[hi])
		default:
			return nil
		}
		return hint(err, "see: %s --help", cmd.CommandPath())
	}
}

// bare is a system's error without the path, where the path was said already.
func bare(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
