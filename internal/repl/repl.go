// Package repl is the terminal face of a debugging session: it reads commands in
// the language of dlv, from a terminal, a script or the command line, and prints
// what [debugger.Session] answers.
//
// Everything that comes out of a dump is a stranger's text. All output goes
// through a [screen], which lets no control character pass; the only escape
// sequences that reach a terminal are the colours that this package sets itself.
// Opening a dump reads no file that the dump names, and runs nothing.
package repl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

// Prompt is what stands before the cursor.
const Prompt = "(coredumpy) "

// Options say where commands come from and how answers look. The zero value of
// each field is fine; without In and Out nothing is read and nothing shown.
type Options struct {
	In       io.Reader
	Out, Err io.Writer
	// Commands are run instead of reading In, if there are any: all of them, even
	// if one fails. Nothing but their output is shown.
	Commands []string
	// Init is a file of commands to run first, "" for none.
	Init string
	// Terminal says that the process's standard input and output are a terminal
	// and are to be used, in place of In, with line editing, history and
	// completion.
	Terminal bool
	// Color says to use colours.
	Color bool
	// HistoryFile keeps what was typed at a terminal, "" for nowhere. See
	// [DefaultHistoryFile].
	HistoryFile string
	// Dir is the folder whose files are printed relative to it, as "./main.go";
	// "" to print full paths.
	Dir string
}

// Terminal tells whether in and out are a terminal, and whether colours are
// welcome there: not if NO_COLOR is set or TERM is dumb.
func Terminal(in, out *os.File) (terminal, color bool) {
	outTerm := term.IsTerminal(int(out.Fd()))
	color = outTerm && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return outTerm && term.IsTerminal(int(in.Fd())), color
}

// Run runs commands on the session until they end, exit is given, or ctx is
// done. At a terminal it is not ctx that ends the session but SIGTERM, and
// SIGINT stops a command. The exit code is 0, or 1 if a command failed that came from
// Options.Commands or from an In that is not a terminal (the others are run all
// the same). The error is about reading commands or writing answers, and comes
// with exit code 1.
func Run(ctx context.Context, s *debugger.Session, o Options) (exit int, err error) {
	if o.In == nil {
		o.In = strings.NewReader("")
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Err == nil {
		o.Err = io.Discard
	}
	r := &runner{
		ctx: ctx, s: s, o: o, load: debugger.DefaultLoad(),
		out: &screen{w: o.Out, color: o.Color}, err: &screen{w: o.Err, color: o.Color},
	}
	// What the user asked for by -c is all that is shown; else the failure comes
	// first.
	if len(o.Commands) == 0 {
		r.banner()
	}
	if o.Init != "" {
		if err := r.file(o.Init); err != nil {
			fmt.Fprintf(r.err, "Command failed: %s\n", err)
			r.failed = true
		}
	}
	switch {
	case r.quit:
	case len(o.Commands) > 0:
		for _, line := range o.Commands {
			if r.quit || ctx.Err() != nil {
				break
			}
			r.line(line)
		}
	case o.Terminal:
		fmt.Fprintln(r.out, "Type 'help' for list of commands.")
		// Ctrl-C belongs to the line or to the command that is running, whatever
		// the caller does with it; it must not end the session.
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
		defer stop()
		r.ctx = ctx
		err = r.interact()
		r.failed = false // whoever types sees it fail
	default:
		err = r.script(o.In)
	}
	if err == nil {
		err = errors.Join(r.out.err, r.err.err)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || r.failed {
		return 1, err
	}
	return 0, nil
}

// runner is one run.
type runner struct {
	ctx      context.Context // of the run, or of the command that is running
	s        *debugger.Session
	o        Options
	out, err *screen
	load     debugger.LoadConfig
	raw      bool // print strings as they are (config show-raw-strings)
	depth    int  // of source commands inside each other
	failed   bool // a command failed
	quit     bool // exit was given
}

// script runs the lines of in. A blank line and a line that begins with # are
// nothing.
func (r *runner) script(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for !r.quit && r.ctx.Err() == nil && lines.Scan() {
		r.line(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading commands: %w", err)
	}
	return nil
}

// line runs one line and says if it failed.
func (r *runner) line(line string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return
	}
	if err := r.execute(line); err != nil {
		r.failed = true
		fmt.Fprintf(r.err, "Command failed: %s\n", err)
	}
}

// execute runs one command in the selected scope.
func (r *runner) execute(line string) error {
	return r.call(call{scope: r.s.Scope(), args: line})
}

// interact reads commands from the terminal. An empty line repeats the last
// command, Ctrl-C drops the line or stops the command, Ctrl-D ends.
func (r *runner) interact() error {
	ed := newEditor(r)
	defer ed.close()
	last := ""
	for !r.quit {
		line, err := ed.read(r.ctx)
		switch {
		case errors.Is(err, errAborted):
			continue
		case errors.Is(err, io.EOF):
			fmt.Fprintln(r.out, "exit")
			return nil
		case r.ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		line = strings.TrimSpace(line)
		if line == "" {
			line = last
		}
		last = line
		r.interruptible(func() { r.line(line) })
	}
	return nil
}

// interruptible runs f with a context that Ctrl-C cancels.
func (r *runner) interruptible(f func()) {
	outer := r.ctx
	ctx, stop := signal.NotifyContext(outer, os.Interrupt)
	defer func() {
		stop()
		r.ctx = outer
	}()
	r.ctx = ctx
	f()
	if ctx.Err() != nil && outer.Err() == nil {
		fmt.Fprintln(r.out, "interrupted")
	}
}
