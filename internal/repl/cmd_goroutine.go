package repl

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

func goroutineCommands() []*command {
	return []*command{
		{
			names: []string{"goroutines", "grs"}, group: groupGoroutine, run: (*runner).goroutines,
			usage: []string{"goroutines [-u|-r|-g|-s] [-t [<depth>]] [-l]"},
			short: "List program goroutines.",
			long: `-u  shows the topmost frame in user code (default)
-r  shows the topmost frame, inside the runtime or not
-g  shows the go statement that created the goroutine
-s  shows the function that the goroutine began with
-t  shows the stack, at most 10 frames deep or depth
-l  shows the labels`,
		},
		{
			names: []string{"goroutine", "gr"}, group: groupGoroutine, run: (*runner).goroutine, complete: completeGoroutine,
			usage: []string{"goroutine", "goroutine <id>", "goroutine <id> <command>"},
			short: "Show or change the current goroutine.",
			long: `Without arguments it shows the current goroutine, with an ID it switches to that
goroutine, with a command it runs the command on that goroutine.`,
		},
	}
}

// goroutineFlags are those of goroutines.
type goroutineFlags struct {
	which  byte // u, r, g, s
	labels bool
	stack  int // 0: none
}

const defaultGoroutineDepth = 10

func parseGoroutineFlags(args string) (goroutineFlags, error) {
	f := goroutineFlags{which: 'u'}
	words := strings.Fields(args)
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "-u", "-r", "-g", "-s":
			f.which = w[1]
		case "-l":
			f.labels = true
		case "-t":
			f.stack = defaultGoroutineDepth
			if i+1 < len(words) {
				if n, err := strconv.Atoi(words[i+1]); err == nil && n > 0 {
					f.stack = n
					i++
				}
			}
		default:
			return f, fmt.Errorf("argument %q of goroutines is not supported", w)
		}
	}
	return f, nil
}

func (r *runner) goroutines(c call) error {
	flags, err := parseGoroutineFlags(c.args)
	if err != nil {
		return err
	}
	list, problem := r.s.Goroutines()
	selected := r.s.Scope().GoroutineID()
	for _, g := range list {
		if r.ctx.Err() != nil {
			return nil
		}
		mark := "  "
		if g.ID == selected {
			mark = "* "
		}
		fmt.Fprintf(r.out, "%sGoroutine ", mark)
		r.goroutineLine(g, flags.which)
		fmt.Fprintln(r.out)
		if flags.labels {
			r.labels(g.Labels)
		}
		if flags.stack > 0 {
			sc, err := r.s.AtGoroutine(g.ID)
			if err != nil {
				return err
			}
			if err := r.frames(sc, flags.stack+1, false, "\t"); err != nil {
				return err
			}
		}
	}
	if len(list) > 0 {
		fmt.Fprintf(r.out, "[%d goroutines]\n", len(list))
	} else if problem == nil {
		fmt.Fprintln(r.out, "(no goroutines)")
	}
	return problem
}

func (r *runner) goroutineLine(g debugger.GoroutineInfo, which byte) {
	name, at := "User", g.User
	switch which {
	case 'r':
		name, at = "Runtime", g.Runtime
	case 'g':
		name, at = "Go", g.Go
	case 's':
		name, at = "Start", g.Start
	}
	fmt.Fprintf(r.out, "%d - %s: ", g.ID, name)
	r.place(at)
	if g.WaitReason != "" {
		fmt.Fprintf(r.out, " [%s", g.WaitReason)
		if g.WaitSince > 0 {
			fmt.Fprintf(r.out, " %s", g.WaitSince)
		}
		fmt.Fprint(r.out, "]")
	} else if g.Status != "" && g.Status != "running" && g.Status != "runnable" {
		fmt.Fprintf(r.out, " [%s]", g.Status)
	}
	if g.Failing {
		r.out.print(red, " (failing)")
	}
}

// place prints "file:line function (0xpc)".
func (r *runner) place(at debugger.Place) {
	if at.Func == "" && at.File == "" {
		fmt.Fprint(r.out, "?")
		return
	}
	r.location(at.Source)
	fmt.Fprintf(r.out, " %s", at.Func)
	if at.PC != 0 {
		fmt.Fprintf(r.out, " (%#x)", at.PC)
	}
}

// maxLabels is how many labels of a goroutine are printed, as in dlv.
const maxLabels = 5

func (r *runner) labels(labels []dump.KeyValue) {
	if len(labels) == 0 {
		return
	}
	labels = slices.Clone(labels)
	slices.SortFunc(labels, func(a, b dump.KeyValue) int { return strings.Compare(a.Key, b.Key) })
	fmt.Fprint(r.out, "\tLabels: ")
	for i, l := range labels[:min(len(labels), maxLabels)] {
		if i > 0 {
			fmt.Fprint(r.out, ", ")
		}
		fmt.Fprintf(r.out, "%q:%q", l.Key, l.Value)
	}
	if more := len(labels) - maxLabels; more > 0 {
		fmt.Fprintf(r.out, "... (%d more)", more)
	}
	fmt.Fprintln(r.out)
}

func (r *runner) goroutine(c call) error {
	first, rest := word(c.args)
	if first == "" {
		info, err := c.scope.Describe()
		if err != nil {
			return err
		}
		fmt.Fprintf(r.out, "Goroutine %d:\n", info.ID)
		for _, p := range []struct {
			name string
			at   debugger.Place
		}{{"Runtime", info.Runtime}, {"User", info.User}, {"Go", info.Go}, {"Start", info.Start}} {
			fmt.Fprintf(r.out, "\t%s: ", p.name)
			r.place(p.at)
			fmt.Fprintln(r.out)
		}
		r.labels(info.Labels)
		return nil
	}
	id, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a goroutine ID", first)
	}
	sc, err := r.s.AtGoroutine(id)
	if err != nil {
		return err
	}
	if rest != "" {
		return r.call(call{scope: sc, scoped: true, args: rest})
	}
	if r.s.Scope().Goroutine() == nil {
		return errors.New("the dump has no goroutine")
	}
	fmt.Fprintf(r.out, "Switched from %d to %d\n", r.s.Scope().GoroutineID(), id)
	r.s.Select(sc)
	return nil
}
