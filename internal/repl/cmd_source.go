package repl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

func sourceCommands() []*command {
	return []*command{
		{
			names: []string{"list", "ls", "l"}, group: groupSource, scoped: true, run: (*runner).list, complete: completeLocation,
			usage: []string{"list [<location>]"},
			short: "Show source code.",
			long: `Shows the lines round the current frame, or round a location:

	<line>            a line of the current file
	+<n>, -<n>        that many lines after or before the current one
	<file>:<line>     the file by its name, or by the end of its path
	<function>[:<n>]  the beginning of a function, or n lines after it

A dump holds the lines round its frames, and of functions those that have a
frame in it.`,
		},
		{
			names: []string{"source"}, group: groupOther, run: (*runner).source, complete: completeFile,
			usage: []string{"source <path>"},
			short: "Run the commands in a file.",
			long:  `A command a line; blank lines and lines that begin with # are skipped.`,
		},
	}
}

// around is how many lines before and behind are shown, as in dlv.
const around = 5

func (r *runner) list(c call) error {
	at, arrow := c.scope.Location(), true
	switch {
	case c.args != "":
		var err error
		if at, err = c.scope.Find(c.args); err != nil {
			return err
		}
		arrow = false
		fmt.Fprint(r.out, "Showing ")
		r.location(at)
		fmt.Fprintln(r.out)
	case c.scope.Frame() == nil:
		return errors.New("the dump has no frame to show")
	case c.scoped || !r.atStop(c.scope):
		f := c.scope.Frame()
		fmt.Fprintf(r.out, "Goroutine %d frame %d at ", c.scope.GoroutineID(), c.scope.FrameIndex())
		r.location(at)
		fmt.Fprintf(r.out, " (PC: %#x)\n", f.PC)
	default:
		r.stopLine(c.scope)
	}
	lines, err := r.s.Lines(at.File, at.Line-around, at.Line+around)
	if err != nil {
		return err
	}
	r.lines(lines, at.Line, arrow)
	return nil
}

// atStop reports whether the scope is where its goroutine stands: the failing
// user frame of the failing goroutine, the innermost frame of others.
func (r *runner) atStop(sc debugger.Scope) bool {
	stop, err := r.s.AtGoroutine(sc.GoroutineID())
	return err == nil && stop.FrameIndex() == sc.FrameIndex()
}

// excerpt prints the lines round a place, or in words that there are none.
func (r *runner) excerpt(at debugger.Source, arrow bool) {
	lines, err := r.s.Lines(at.File, at.Line-around, at.Line+around)
	if err != nil {
		r.out.print(grey, "("+err.Error()+")")
		fmt.Fprintln(r.out)
		return
	}
	r.lines(lines, at.Line, arrow)
}

func (r *runner) lines(lines []debugger.Line, current int, arrow bool) {
	var text []string
	for _, l := range lines {
		text = append(text, l.Text)
	}
	styled := highlight(text)
	found := false
	for i, l := range lines {
		found = found || l.N == current
		mark := "  "
		if arrow && l.N == current {
			mark = "=>"
		}
		r.out.print(yellow, mark)
		r.out.print(blue, fmt.Sprintf("%4d:", l.N))
		r.out.print(plain, "\t")
		for _, p := range styled[i] {
			r.out.print(p.style, p.text)
		}
		r.out.print(plain, "\n")
	}
	if !found {
		r.out.print(grey, fmt.Sprintf("(line %d is not in the dump)", current))
		fmt.Fprintln(r.out)
	}
}

// maxSourceDepth is how many source commands may lie in each other.
const maxSourceDepth = 16

func (r *runner) source(c call) error {
	if c.args == "" {
		return errors.New("wrong number of arguments: source <filename>")
	}
	return r.file(expandHome(c.args))
}

// file runs the commands of a file. Those that fail are told with their line,
// and the others run all the same.
func (r *runner) file(name string) error {
	if filepath.Ext(name) == ".star" {
		return errors.New("scripts in Starlark are not supported")
	}
	if r.depth >= maxSourceDepth {
		return fmt.Errorf("source commands lie more than %d deep in each other", maxSourceDepth)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		// The path is in the user's own words already.
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
		return fmt.Errorf("reading commands from %s: %w", name, err)
	}
	r.depth++
	defer func() { r.depth-- }()
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if r.quit || r.ctx.Err() != nil {
			break
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if err := r.execute(line); err != nil {
			r.failed = true
			fmt.Fprintf(r.err, "%s:%d: %s\n", name, i+1, err)
		}
	}
	return nil
}

func expandHome(path string) string {
	if path != "~" && !strings.HasPrefix(path, "~/") {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, path[1:])
}
