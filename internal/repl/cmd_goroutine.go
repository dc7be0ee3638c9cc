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
			usage: []string{"goroutines [-u|-r|-g|-s] [-t [<depth>]] [-l] [-w] [-chan <expression>] [-group <what>]"},
			short: "List program goroutines.",
			long: `-u  shows the topmost frame in user code (default)
-r  shows the topmost frame, inside the runtime or not
-g  shows the go statement that created the goroutine
-s  shows the function that the goroutine began with
-t  shows the stack, at most 10 frames deep or depth, and what the goroutine waits for
-l  shows the labels
-w  shows what the goroutine waits for, and who else does

-chan <expression>  lists only goroutines that wait for a channel, or for a mutex or another
thing that the expression is or points to. The expression has no spaces.

-group groups the goroutines, the largest group first, and shows five of each:

	-group stack       by their whole stack, state, wait reason and creator
	-group userloc     by the topmost frame in user code
	-group curloc      by the topmost frame
	-group goloc       by the go statement that created them
	-group startloc    by the function that they began with
	-group running     by whether they are running
	-group user        by whether they are the program's or the runtime's
	-group trace       by the trace that they work for
	-group label <key> by a label`,
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
	waits  bool
	stack  int    // 0: none
	on     string // an expression: only those that wait for it
	group  string // what to group by; "" is not to
	label  string // which label, if that is what
}

// groupings are what goroutines can be grouped by, label apart.
var groupings = []string{"stack", "userloc", "curloc", "goloc", "startloc", "running", "user", "trace"}

// maxGroupMembers is how many goroutines of a group are shown, as in dlv.
const maxGroupMembers = 5

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
		case "-w":
			f.waits = true
		case "-chan", "-group":
			if i++; i >= len(words) {
				return f, fmt.Errorf("%s wants an argument", w)
			}
			if w == "-chan" {
				f.on = words[i]
				break
			}
			switch f.group = words[i]; {
			case f.group == "label":
				if i++; i >= len(words) {
					return f, errors.New("-group label wants a label's key")
				}
				f.label = words[i]
			case !slices.Contains(groupings, f.group):
				return f, fmt.Errorf("goroutines cannot be grouped by %q; try %s or label <key>", f.group, strings.Join(groupings, ", "))
			}
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
	if flags.on != "" {
		if list, err = r.waitingOn(c.scope, flags.on, list); err != nil {
			return err
		}
	}
	if flags.group != "" {
		return errors.Join(r.groups(list, flags), problem)
	}
	if err := r.goroutineList(list, flags, ""); err != nil {
		return err
	}
	if len(list) > 0 {
		fmt.Fprintf(r.out, "[%d goroutines]\n", len(list))
	} else if problem == nil {
		fmt.Fprintln(r.out, "(no goroutines)")
	}
	return problem
}

// goroutineList prints goroutines.
func (r *runner) goroutineList(list []debugger.GoroutineInfo, flags goroutineFlags, indent string) error {
	selected := r.s.Scope().GoroutineID()
	for _, g := range list {
		if r.ctx.Err() != nil {
			return nil
		}
		mark := "  "
		if g.ID == selected {
			mark = "* "
		}
		fmt.Fprintf(r.out, "%s%sGoroutine ", indent, mark)
		r.goroutineLine(g, flags.which)
		fmt.Fprintln(r.out)
		if flags.labels {
			r.labels(g.Labels)
		}
		if flags.waits || flags.stack > 0 {
			r.waits(&g)
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
	return nil
}

// waitingOn selects the goroutines that wait for what an expression is or points to.
func (r *runner) waitingOn(sc debugger.Scope, expr string, list []debugger.GoroutineInfo) ([]debugger.GoroutineInfo, error) {
	v, err := sc.Eval(expr)
	if err != nil {
		return nil, err
	}
	at := v.Pointee()
	if at == 0 {
		return nil, fmt.Errorf("%s is nothing that has an address", expr)
	}
	return slices.DeleteFunc(slices.Clone(list), func(g debugger.GoroutineInfo) bool {
		return !slices.ContainsFunc(g.Waits, func(w dump.Wait) bool { return w.Addr == at })
	}), nil
}

// groups prints goroutines in groups.
func (r *runner) groups(list []debugger.GoroutineInfo, flags goroutineFlags) error {
	groups := debugger.GroupBy(list, func(g *debugger.GoroutineInfo) (name, key string) {
		at := func(p debugger.Place) (string, string) {
			name := fmt.Sprintf("%s:%d %s", p.File, p.Line, p.Func)
			if p.Func == "" && p.File == "" {
				name = "?"
			}
			return name, name
		}
		yes := func(what string, is bool) (string, string) {
			name := fmt.Sprintf("%s: %v", what, is)
			return name, name
		}
		switch flags.group {
		case "userloc":
			return at(g.User)
		case "curloc":
			return at(g.Runtime)
		case "goloc":
			return at(g.Go)
		case "startloc":
			return at(g.Start)
		case "running":
			return yes("running", g.Status == "running")
		case "user":
			return yes("user", !g.System)
		case "trace":
			if g.TraceID.IsZero() {
				return "no trace", ""
			}
			return "trace " + g.TraceID.String(), g.TraceID.String()
		case "label":
			for _, l := range g.Labels {
				if l.Key == flags.label {
					return fmt.Sprintf("%q=%q", l.Key, l.Value), l.Value
				}
			}
			return fmt.Sprintf("no label %q", flags.label), "\x00"
		}
		name, _ = at(g.User)
		return name, fmt.Sprint(g.Stack)
	})
	for i, g := range groups {
		if r.ctx.Err() != nil {
			return nil
		}
		if i > 0 {
			fmt.Fprintln(r.out)
		}
		fmt.Fprintln(r.out, debugger.Clean(g.Name))
		if err := r.goroutineList(g.Goroutines[:min(len(g.Goroutines), maxGroupMembers)], flags, "\t"); err != nil {
			return err
		}
		fmt.Fprintf(r.out, "\tTotal: %d\n", len(g.Goroutines))
	}
	if len(groups) == 0 {
		fmt.Fprintln(r.out, "(no goroutines)")
	}
	return nil
}

// maxWaiters is how many other goroutines that wait for the same are named.
const maxWaiters = 8

// waits prints what a goroutine waits for, and who else waits for the same.
func (r *runner) waits(g *debugger.GoroutineInfo) {
	for i := range g.Waits {
		w := &g.Waits[i]
		fmt.Fprintf(r.out, "\tWaits: %s", debugger.WaitText(w))
		ids, _ := r.s.Waiters(w.Addr) // what is missing the list of goroutines has told
		ids = slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return id == g.ID })
		if len(ids) > 0 {
			fmt.Fprint(r.out, "; so do")
			for k, id := range ids[:min(len(ids), maxWaiters)] {
				if k > 0 {
					fmt.Fprint(r.out, ",")
				}
				fmt.Fprintf(r.out, " %d", id)
			}
			if more := len(ids) - maxWaiters; more > 0 {
				fmt.Fprintf(r.out, " and %d more", more)
			}
		}
		fmt.Fprintln(r.out)
	}
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
		if info.WaitReason != "" {
			fmt.Fprintf(r.out, "\tWaiting: %s", info.WaitReason)
			if info.WaitSince > 0 {
				fmt.Fprintf(r.out, " for at least %s", info.WaitSince)
			}
			fmt.Fprintln(r.out)
		}
		r.waits(&info)
		if !info.TraceID.IsZero() {
			fmt.Fprintf(r.out, "\tTrace: %s, span %s\n", info.TraceID, info.SpanID)
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
