package repl

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

func otherCommands() []*command {
	return []*command{
		{
			names: []string{"help", "h"}, group: groupOther, run: (*runner).help, complete: completeHelp,
			usage: []string{"help [<command>]"},
			short: "Print the help message.",
			long:  `With the name of a command it prints more about that command.`,
		},
		{
			names: []string{"panic", "reason"}, group: groupData,
			usage: []string{"panic"},
			short: "Print what failed: the panic value or the error, and the errors that it wraps.",
			long: `The values themselves can be printed: they are called panic and error in
expressions, as in "print panic" and "print error.Op".`,
			run: (*runner).reason,
		},
		{
			names: []string{"info", "header"}, group: groupOther,
			usage: []string{"info"},
			short: "Print what the dump is of: service, trace, program, limits, redactions.",
			run:   (*runner).info,
		},
		{
			names: []string{"exit", "quit", "q"}, group: groupOther,
			usage: []string{"exit"},
			short: "Leave the debugger.",
			run:   func(r *runner, _ call) error { r.quit = true; return nil },
		},
	}
}

// liveCommands are commands of dlv that need what a dump has not got.
func liveCommands() []*command {
	const (
		run    = "can not continue execution of a dump: it is a record of a process, not a process"
		breaks = "can not set breakpoints in a dump: nothing runs that could stop at them"
		write  = "can not write to a dump: it is a record of a process, not a process"
		calls  = "can not call functions in a dump: nothing runs that could execute them"
		regs   = "a dump holds no registers"
		code   = "a dump holds no machine code"
		raw    = "a dump holds values, not raw memory; print &x shows an address"
		thread = "a dump holds goroutines, not threads; see goroutines"
		libs   = "a dump holds no list of libraries"
		own    = "this is a dump already"
	)
	var list []*command
	add := func(why string, names ...string) {
		list = append(list, &command{names: names, group: groupLive, live: why})
	}
	add(run, "continue", "c")
	add(run, "next", "n")
	add(run, "step", "s")
	add(run, "stepout", "so")
	add(run, "step-instruction", "si", "stepi")
	add(run, "next-instruction", "ni", "nexti")
	add(run, "restart", "r")
	add(run, "rebuild")
	add(run, "rewind", "rw")
	add(run, "rev")
	add(run, "checkpoint", "check")
	add(run, "checkpoints")
	add(run, "clear-checkpoint", "clearcheck")
	add(breaks, "break", "b")
	add(breaks, "trace", "t")
	add(breaks, "watch")
	add(breaks, "breakpoints", "bp")
	add(breaks, "clear")
	add(breaks, "clearall")
	add(breaks, "toggle")
	add(breaks, "on")
	add(breaks, "condition", "cond")
	add(write, "set")
	add(calls, "call")
	add(regs, "regs")
	add(code, "disassemble", "disass")
	add(raw, "examinemem", "x")
	add(thread, "threads")
	add(thread, "thread", "tr")
	add(libs, "libraries")
	add(run, "target")
	add(own, "dump")
	return list
}

func (r *runner) help(c call) error {
	if c.args != "" {
		name, _ := word(c.args)
		if name == topicExpressions {
			fmt.Fprintln(r.out, expressions)
			return nil
		}
		cmd := find(name)
		if cmd == nil {
			return unknown(name)
		}
		fmt.Fprintln(r.out, cmd.helpText())
		return nil
	}
	fmt.Fprintln(r.out, "The following commands are available:")
	for g := range groupLive {
		fmt.Fprintf(r.out, "\n%s:\n", groupNames[g])
		w := tabwriter.NewWriter(r.out, 0, 8, 0, '-', 0)
		for _, cmd := range sorted(g) {
			alias := ""
			if len(cmd.names) > 1 {
				alias = "(alias: " + strings.Join(cmd.names[1:], " | ") + ") "
			}
			fmt.Fprintf(w, "    %s %s\t %s\n", cmd.name(), alias, cmd.short)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(r.out, "\nType help followed by a command for full documentation, or help expressions.")
	return nil
}

// topicExpressions is a topic of help that is no command.
const topicExpressions = "expressions"

// expressions is what help says about expressions; the manual has it too.
const expressions = `Expressions are Go's:

	x, o.Items[2].SKU, m["key"]      variables, fields, elements
	s[2:5], text[:10], m[64:]        parts; of a map what follows the first 64 entries
	*p, &x                           what a pointer points at, the address of a variable
	x.(*store.Order), x.(data)       the value in an interface, by its type or whatever it is
	len(x), cap(x)
	store.Rates, "a.b/store".Rates   package variables, by the package's name or path
	a+b*2, a == b, !ok && n < 3      operators, with Go's types and rules
	10, 1.5, "text", 'a', nil, true  constants

A field is found through pointers, through embedded structs and through
interfaces. Of two variables with one name the inner one is meant. The names
panic and error mean the panic value and the recorded error, and what the
program watched has the name that it was given, unless a variable has that name.
A type can be written without its package's folders. Of a channel there are
ch.qcount, ch.dataqsiz and ch.closed, of a function value the captured variables.

Functions cannot be called and values cannot be converted or changed. An
expression that needs a value that the dump has not got fails and says why:
"optimized out", "past depth 10", "redacted by aws-access-key" and so on.`

// sorted returns the commands of a group by name.
func sorted(g group) []*command {
	var list []*command
	for _, c := range commands() {
		if c.group == g {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *command) int { return strings.Compare(a.name(), b.name()) })
	return list
}

// helpText is what help prints about a command.
func (c *command) helpText() string {
	if c.live != "" {
		return strings.ToUpper(c.live[:1]) + c.live[1:] + "."
	}
	var b strings.Builder
	b.WriteString(c.short + "\n")
	for _, u := range c.usage {
		b.WriteString("\n\t")
		if c.scoped {
			b.WriteString("[goroutine <n>] [frame <m>] ")
		}
		b.WriteString(u)
	}
	if c.long != "" {
		b.WriteString("\n\n" + c.long)
	}
	return b.String()
}

// reason prints the tree of errors.
func (r *runner) reason(call) error {
	list := r.s.Reasons()
	if len(list) == 0 {
		return errors.New("nothing failed: the dump was asked for (see info)")
	}
	r.reasons(list, len(list))
	return nil
}

// reasons prints the first n of what failed.
func (r *runner) reasons(list []debugger.Reason, n int) {
	for _, e := range list[:min(n, len(list))] {
		kind := "error"
		switch {
		case e.Depth > 0:
			kind = "wraps"
		case e.Panic:
			kind = "panic"
		}
		indent := strings.Repeat("  ", min(e.Depth, 20))
		r.out.print(red, indent+kind+": ")
		msg := strings.ReplaceAll(e.Message, "\n", "\n"+indent+"       ")
		fmt.Fprint(r.out, msg)
		if e.Type != "" {
			r.out.print(grey, " ["+e.Type+"]")
		}
		fmt.Fprintln(r.out)
	}
	if more := len(list) - n; more > 0 {
		fmt.Fprintf(r.out, "  … and %d more (see panic)\n", more)
	}
}

// Bounds of the banner.
const (
	bannerReasons = 6
	bannerMissing = 4
)

// banner says in a few lines what the dump is of, and shows where it failed.
func (r *runner) banner() {
	h := r.s.Header()
	if p := r.s.Problem(); p != nil {
		r.out.print(red, "damaged: "+p.Error())
		fmt.Fprintln(r.out)
	}
	if list := r.s.Reasons(); len(list) > 0 {
		r.reasons(list, bannerReasons)
	} else {
		what := string(h.Trigger) + " dump"
		for _, s := range []string{h.Name, h.Description} {
			if s != "" {
				what += ": " + debugger.Clean(s)
			}
		}
		fmt.Fprintln(r.out, debugger.Clean(what))
	}
	line := []string{"service " + or(debugger.Clean(h.Service), "unknown")}
	if !h.Time.IsZero() {
		line = append(line, h.Time.UTC().Format("2006-01-02 15:04:05.000 UTC"))
	}
	if !h.TraceID.IsZero() {
		line = append(line, "trace "+h.TraceID.String())
	}
	if h.SpanName != "" {
		line = append(line, "span "+debugger.Clean(h.SpanName))
	}
	fmt.Fprintln(r.out, strings.Join(line, ", "))
	for i, m := range h.Missing {
		if i == bannerMissing {
			fmt.Fprintf(r.out, "… and %d more (see info)\n", len(h.Missing)-i)
			break
		}
		r.out.print(grey, "missing "+debugger.DescribeMissing(m))
		fmt.Fprintln(r.out)
	}
	sc := r.s.Scope()
	r.stopLine(sc)
	if sc.Frame() != nil {
		r.excerpt(sc.Location(), true)
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// info prints the header.
func (r *runner) info(call) error {
	h := r.s.Header()
	w := tabwriter.NewWriter(r.out, 0, 8, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s:\t%s\n", name, debugger.Clean(value))
		}
	}
	row("dump", h.ID.String())
	row("name", h.Name)
	row("description", h.Description)
	row("trigger", string(h.Trigger))
	if !h.Time.IsZero() {
		row("time", h.Time.UTC().Format(time.RFC3339Nano))
	}
	row("service", h.Service)
	if !h.TraceID.IsZero() {
		row("trace", h.TraceID.String())
	}
	if !h.SpanID.IsZero() {
		row("span", strings.TrimSpace(h.SpanID.String()+" "+h.SpanName))
	}
	if h.Host != "" || h.PID != 0 {
		row("process", fmt.Sprintf("%d on %s", h.PID, or(h.Host, "an unknown host")))
	}
	row("go", strings.TrimSpace(h.GoVersion+" "+strings.Trim(h.GOOS+"/"+h.GOARCH, "/")))
	row("module", strings.TrimSpace(h.Module.Path+" "+h.Module.Version))
	if h.VCS.Revision != "" {
		state := ""
		if h.VCS.Modified {
			state = " (modified)"
		}
		row("revision", h.VCS.Revision+state)
	}
	if h.Failing.Func != "" {
		row("failed in", fmt.Sprintf("%s at %s:%d (goroutine %d frame %d)", h.Failing.Func, h.Failing.File, h.Failing.Line, h.Failing.Goroutine, h.Failing.Frame))
	}
	c := h.Counts
	row("holds", fmt.Sprintf("%d goroutines, %d frames, %d variables, %d objects, %d bytes of memory", c.Goroutines, c.Frames, c.Variables, c.Objects, c.Bytes))
	row("format", h.FormatVersion)
	for _, b := range h.Budgets {
		text := amount(b.Spent, b.Unit) + ", no limit"
		if b.Limit > 0 {
			text = amount(b.Spent, b.Unit) + " of " + amount(b.Limit, b.Unit)
		}
		if b.Hits > 0 {
			text += fmt.Sprintf(", values cut: %d", b.Hits)
		}
		row("budget "+debugger.Clean(b.Name), text)
	}
	for _, x := range h.Redactions {
		row("redacted", fmt.Sprintf("%d by %s", x.Count, x.Rule))
	}
	for _, m := range h.Missing {
		row("missing", debugger.DescribeMissing(m))
	}
	for _, kv := range h.Resource {
		row("resource", kv.Key+"="+kv.Value)
	}
	if p := r.s.Problem(); p != nil {
		row("damaged", p.Error())
	}
	return w.Flush()
}

func amount(n int64, unit string) string {
	if unit == "ns" {
		return time.Duration(n).String()
	}
	return strings.TrimSpace(strconv.FormatInt(n, 10) + " " + unit)
}
