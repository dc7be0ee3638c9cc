package repl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

func stackCommands() []*command {
	return []*command{
		{
			names: []string{"stack", "bt"}, group: groupStack, scoped: true, run: (*runner).stack,
			usage: []string{"stack [<depth>] [-full]"},
			short: "Print the stack trace.",
			long: `At most 50 frames are printed, or depth. With -full every frame is followed by its
arguments and local variables.`,
		},
		{
			names: []string{"frame"}, group: groupStack, scoped: true, complete: completeFrame(0),
			usage: []string{"frame <m>", "frame <m> <command>"},
			short: "Set the current frame, or run a command on a different frame.",
			run:   func(r *runner, c call) error { return r.frame(c, 0) },
		},
		{
			names: []string{"up"}, group: groupStack, complete: completeFrame(+1),
			usage: []string{"up [<m>]", "up [<m>] <command>"},
			short: "Move the current frame up.",
			long:  `Up is towards the callers. The second form runs the command on that frame.`,
			run:   func(r *runner, c call) error { return r.frame(c, +1) },
		},
		{
			names: []string{"down"}, group: groupStack, complete: completeFrame(-1),
			usage: []string{"down [<m>]", "down [<m>] <command>"},
			short: "Move the current frame down.",
			run:   func(r *runner, c call) error { return r.frame(c, -1) },
		},
	}
}

// defaultDepth is how many frames dlv prints.
const defaultDepth = 50

func (r *runner) stack(c call) error {
	depth, full := defaultDepth, false
	for _, arg := range strings.Fields(c.args) {
		switch arg {
		case "-full":
			full = true
		case "-offsets", "-defer", "-mode", "-a", "-adepth":
			return fmt.Errorf("flag %s of stack is not supported", arg)
		default:
			n, err := strconv.Atoi(arg)
			if err != nil || n < 0 {
				return errors.New("depth must be a number")
			}
			depth = n
		}
	}
	if c.scope.Goroutine() == nil {
		return errors.New("the dump has no goroutine")
	}
	if len(c.scope.Frames()) == 0 {
		fmt.Fprintln(r.out, "(no frames)")
		for _, m := range c.scope.Missing() {
			r.out.print(grey, "missing "+m)
			fmt.Fprintln(r.out)
		}
	}
	return r.frames(c.scope, depth+1, full, "")
}

// frames prints the first n frames of the scope's goroutine, in dlv's layout.
func (r *runner) frames(sc debugger.Scope, n int, full bool, indent string) error {
	frames := sc.Frames()
	digits := len(strconv.Itoa(max(min(n, len(frames))-1, 0)))
	for i := range frames[:min(n, len(frames))] {
		if err := r.ctx.Err(); err != nil {
			return nil // interruptible says so
		}
		f := &frames[i]
		fmt.Fprintf(r.out, "%s%*d  0x%016x in ", indent, digits, i, f.PC)
		r.out.print(bold, debugger.Clean(f.Func))
		gap := indent + strings.Repeat(" ", digits+2)
		fmt.Fprintf(r.out, "\n%sat ", gap)
		r.location(debugger.Source{File: f.File, Line: f.Line})
		fmt.Fprintln(r.out)
		if !full {
			continue
		}
		at, err := sc.AtFrame(i)
		if err != nil {
			return err
		}
		for _, vars := range [][]debugger.Variable{at.Args(), at.Locals()} {
			for _, v := range vars {
				fmt.Fprintf(r.out, "%s    %s = ", gap, v.Name)
				r.value(v.Value, debugger.ShortFormat())
			}
		}
		fmt.Fprintln(r.out)
	}
	if n < len(frames) {
		fmt.Fprintf(r.out, "%s(truncated)\n", indent)
	}
	return nil
}

// frame is frame (dir 0), up (+1) and down (-1).
func (r *runner) frame(c call, dir int) error {
	n, rest := 1, c.args
	first, after := word(c.args)
	switch m, err := strconv.Atoi(first); {
	case err == nil:
		n, rest = m, after
	case first == "" && dir == 0:
		return errArguments
	case dir == 0:
		return fmt.Errorf("%q is not a frame number", first)
	}
	if dir != 0 {
		n = c.scope.FrameIndex() + dir*n
	}
	sc, err := c.scope.AtFrame(n)
	if err != nil {
		return err
	}
	if rest != "" {
		return r.call(call{scope: sc, scoped: true, args: rest})
	}
	r.s.Select(sc)
	stop, err := r.s.AtGoroutine(sc.GoroutineID())
	if err == nil {
		r.stopLine(stop)
	}
	f := sc.Frame()
	fmt.Fprintf(r.out, "Frame %d: ", n)
	r.location(sc.Location())
	fmt.Fprintf(r.out, " (PC: %x)\n", f.PC)
	r.excerpt(sc.Location(), true)
	return nil
}

// stopLine prints where a goroutine stands, as dlv does when it stops.
func (r *runner) stopLine(sc debugger.Scope) {
	f := sc.Frame()
	if f == nil {
		fmt.Fprintln(r.out, "No current goroutine available")
		return
	}
	fmt.Fprintf(r.out, "> %s() ", debugger.Clean(f.Func))
	r.location(sc.Location())
	fmt.Fprintf(r.out, " (PC: %#x)\n", f.PC)
}

// location prints a place in a file.
func (r *runner) location(at debugger.Source) {
	file := debugger.Clean(r.path(at.File))
	slash := strings.LastIndexByte(file, '/') + 1
	fmt.Fprint(r.out, file[:slash])
	r.out.print(bold, fmt.Sprintf("%s:%d", file[slash:], at.Line))
}

// path makes a path relative to the user's folder if it lies in there.
func (r *runner) path(file string) string {
	if r.o.Dir == "" {
		return file
	}
	if rest, ok := strings.CutPrefix(file, strings.TrimSuffix(r.o.Dir, "/")+"/"); ok {
		return "./" + rest
	}
	return file
}
