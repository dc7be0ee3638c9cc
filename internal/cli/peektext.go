package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

// plainWidth is how wide a line with a value may be where the output is no
// terminal.
const plainWidth = 160

// peekPrinter prints one dump for people.
type peekPrinter struct {
	std *stdio
	f   *peekFlags
	p   *peeked
	h   *dump.Header
	b   strings.Builder
	s   style
}

// print writes the dump to std.out.
func (p *peeked) print(std *stdio, f *peekFlags) error {
	w := &peekPrinter{std: std, f: f, p: p, h: p.session.Header(), s: std.outStyle}
	w.reason()
	w.facts()
	w.values()
	if !w.p.sealed {
		w.frames()
		w.others()
	}
	w.unread()
	w.missing()
	w.spent()
	_, err := std.out.Write([]byte(w.b.String()))
	return err
}

func (w *peekPrinter) line(format string, args ...any) {
	fmt.Fprintf(&w.b, format+"\n", args...)
}

// reason prints what failed and where.
func (w *peekPrinter) reason() {
	reasons := w.p.session.Reasons()
	if len(reasons) == 0 {
		text := reasonText(w.h)
		if text == "" {
			text = "nothing failed"
		}
		w.line("%s %s", w.s.bold(clean(string(w.h.Trigger))+":"), clean(text))
	}
	for _, r := range reasons {
		word := "error:"
		switch {
		case r.Depth > 0:
			word = "wraps:"
		case r.Panic:
			word = "panic:"
		}
		indent := strings.Repeat("  ", r.Depth)
		lines := cleanLines(r.Message)
		if r.Message == "" {
			lines = []string{"(no message)"}
		}
		for i, l := range lines {
			if i == 0 {
				w.b.WriteString(indent + w.s.red(w.s.bold(word)) + " " + l)
			} else {
				w.b.WriteString("\n" + indent + strings.Repeat(" ", len(word)+1) + l)
			}
		}
		w.line(" %s", w.s.dim("("+r.Type+")"))
	}
	if at := w.h.Failing; at.Func != "" {
		w.line("%s %s, %s", w.s.bold("in"), w.s.cyan(clean(at.Func)), clean(fileLine(at.File, at.Line)))
	}
	w.line("")
}

// facts prints where the dump comes from.
func (w *peekPrinter) facts() {
	h := w.h
	w.fact("time", timeText(h.Time, w.std.local)+" ("+ageText(w.std.now().Sub(h.Time))+" ago)")
	w.fact("service", orNone(h.Service))
	if h.TraceID.IsZero() {
		if g := w.p.session.Home().Goroutine(); g != nil && !g.TraceID.IsZero() {
			w.fact("trace", g.TraceID.String()+", in the goroutine's context")
		} else {
			w.fact("trace", "none")
		}
	} else {
		w.fact("trace", h.TraceID.String())
		w.fact("span", strings.TrimSpace(idText(h.SpanID)+" "+h.SpanName))
	}
	w.fact("dump", fmt.Sprintf("%s, made by %s, %s", h.ID, h.Trigger, bytesText(w.p.size)))
	if h.Name != "" {
		w.fact("name", h.Name)
	}
	if h.Description != "" {
		w.fact("described", h.Description)
	}
	w.fact("process", w.process())
	w.fact("holds", fmt.Sprintf("%s, %s, %s, %s", plural(h.Counts.Goroutines, "goroutine"), plural(h.Counts.Frames, "frame"),
		plural(h.Counts.Variables, "variable"), plural(h.Counts.Objects, "object")))
	if n := w.p.session.NumPackageVars(); n > 0 {
		w.fact("package", plural(n, "variable")+" of packages; coredumpy load, then vars, prints them")
	}
	if w.f.verbose {
		for _, kv := range h.Resource {
			w.fact("resource", kv.Key+"="+kv.Value)
		}
	}
	w.fact("file", w.p.file)
	if w.p.damage != nil {
		w.fact("damage", w.p.damage.Error())
	}
}

func (w *peekPrinter) fact(name, text string) {
	lines := cleanLines(text)
	w.line("  %s %s", w.s.dim(fmt.Sprintf("%-9s", name)), lines[0])
	for _, l := range lines[1:] {
		w.line("  %9s %s", "", l)
	}
}

func (w *peekPrinter) process() string {
	h := w.h
	text := fmt.Sprintf("pid %d on %s, %s %s/%s", h.PID, orNone(h.Host), orNone(h.GoVersion), h.GOOS, h.GOARCH)
	if h.Module.Path != "" {
		text += ", " + strings.TrimSpace(h.Module.Path+" "+h.Module.Version)
	}
	if h.VCS.Revision != "" {
		text += ", revision " + shorten(h.VCS.Revision, 13)
		if h.VCS.Modified {
			text += " modified"
		}
	}
	return text
}

func orNone(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// values prints what belongs to the goroutine rather than to a frame.
func (w *peekPrinter) values() {
	home := w.p.session.Home()
	vars := home.Watches()
	if len(vars) == 0 {
		return
	}
	w.line("")
	w.line("%s", w.s.bold("values"))
	w.vars(vars)
}

// frames prints the frames of the failing goroutine. Frames of others than the
// program's own functions are counted only.
func (w *peekPrinter) frames() {
	home := w.p.session.Home()
	g := home.Goroutine()
	w.line("")
	if g == nil {
		w.line("%s none", w.s.bold("frames"))
		return
	}
	w.line("%s of goroutine %d", w.s.bold("frames"), g.ID)
	left := 0
	skipped := func() {
		if left > 0 {
			w.line("      %s", w.s.dim("… "+plural(left, "frame")+" of libraries"))
		}
		left = 0
	}
	for i := range g.Frames {
		f := &g.Frames[i]
		if !w.f.allFrames && (i < home.FrameIndex() || !f.User && i != home.FrameIndex()) {
			if i > home.FrameIndex() {
				left++
			}
			continue
		}
		skipped()
		sc, err := home.AtFrame(i)
		if err != nil {
			continue // there is no such case
		}
		w.frame(i, i == home.FrameIndex(), f, sc.Variables())
	}
	skipped()
}

// mostOthers is how many groups of goroutines are printed.
const mostOthers = 8

// others prints what the goroutines besides the failing one do.
func (w *peekPrinter) others() {
	g := w.p.session.Home().Goroutine()
	if g == nil || len(g.Others) == 0 {
		return
	}
	w.line("")
	w.line("%s", w.s.bold("other goroutines"))
	left, runtimes, shown := w.h.Counts.Goroutines-1, 0, 0
	for i := range g.Others {
		o := &g.Others[i]
		if strings.HasPrefix(o.At.Func, "runtime.") && !w.f.verbose {
			runtimes += o.Count
			left -= o.Count
			continue
		}
		if shown++; shown > mostOthers && !w.f.verbose {
			continue
		}
		left -= o.Count
		state := clean(o.Status)
		if o.WaitReason != "" {
			state = clean(o.WaitReason)
		}
		if o.Longest > 0 {
			state += " " + o.Longest.Round(time.Millisecond).String()
		}
		at := "no frames"
		if o.At.Func != "" {
			at = w.s.cyan(clean(o.At.Func)) + " " + w.s.dim(clean(fileLine(o.At.File, o.At.Line)))
		}
		w.line("  %5d × %s [%s]", o.Count, at, state)
	}
	if runtimes > 0 {
		w.line("  %s", w.s.dim(fmt.Sprintf("%5d inside of the runtime", runtimes)))
	}
	if left > 0 {
		w.line("  %s", w.s.dim(fmt.Sprintf("%5d more in other places", left)))
	}
}

func (w *peekPrinter) frame(i int, failing bool, f *dump.Frame, vars []debugger.Variable) {
	mark := " "
	if failing {
		mark = w.s.red(">")
	}
	inlined := ""
	if f.Inlined {
		inlined = w.s.dim(" (inlined)")
	}
	w.line("%s %2d  %s%s", mark, i, w.s.cyan(clean(f.Func)), inlined)
	w.line("      %s %s", w.s.dim("at"), clean(fileLine(f.File, f.Line)))
	w.vars(vars)
	for _, m := range f.Missing {
		w.line("          %s", w.s.yellow(clean(m.What)+": "+clean(m.Why)))
	}
}

// vars prints variables, their names in a column.
func (w *peekPrinter) vars(vars []debugger.Variable) {
	const mostName = 24
	const gutter = "          "
	names := 0
	for _, v := range vars {
		names = max(names, min(utf8.RuneCountInString(v.Name), mostName))
	}
	for _, v := range vars {
		head := gutter + padded(v.Name, names) + " " + w.s.dim(padded(v.Kind.String(), len("captured"))) + " "
		room := w.std.outWidth
		if room == 0 {
			room = plainWidth
		}
		room -= len(gutter) + max(names, utf8.RuneCountInString(v.Name)) + 1 + len("captured") + 1
		w.line("%s%s", head, w.value(&v, max(room, 40)))
	}
}

func (w *peekPrinter) value(v *debugger.Variable, room int) string {
	if v.Value.Missing() != "" {
		text := w.p.text(v.Value.Short(0))
		if t := v.Value.TypeName(); t != "" {
			text = clean(debugger.ShortenType(t)) + " " + text
		}
		return w.s.yellow(text)
	}
	note := v.Value.Note()
	if note != "" {
		note = " // " + clean(note)
	}
	if w.f.verbose {
		f := debugger.Format{LoadConfig: debugger.DefaultLoad(), Multiline: true, ShortTypes: true}
		return strings.ReplaceAll(w.p.text(v.Value.Format(f)), "\n", "\n            ") + w.s.yellow(note)
	}
	return shorten(w.p.text(v.Value.Format(shortValue)), max(room-len(note), 20)) + w.s.yellow(note)
}

// shortValue is how peek prints a value: on one line, with few elements and
// without the folders of package paths, but one level deeper than print does,
// so that the elements of a slice in a struct are seen.
var shortValue = debugger.Format{
	LoadConfig: debugger.LoadConfig{FollowPointers: true, MaxVariableRecurse: 2, MaxStringLen: 64, MaxArrayValues: 8, MaxStructFields: 8},
	ShortTypes: true,
}

func padded(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// unread says that there is more than was looked at.
func (w *peekPrinter) unread() {
	if w.p.partial {
		w.line("")
		w.line("%s", w.s.dim(fmt.Sprintf("only the first %s of %s were read; --full reads the rest", bytesText(headSize), bytesText(w.p.size))))
	}
}

// missing prints what the dump and its goroutine have not got. Frames say it
// themselves.
func (w *peekPrinter) missing() {
	all := w.h.Missing
	if g := w.p.session.Home().Goroutine(); g != nil {
		all = append(all[:len(all):len(all)], g.Missing...)
	}
	if len(all) == 0 {
		return
	}
	w.line("")
	w.line("%s", w.s.bold("missing"))
	for _, m := range all {
		w.line("  %s: %s", w.s.yellow(clean(m.What)), clean(m.Why))
		if m.Hint != "" {
			for _, l := range cleanLines(m.Hint) {
				w.line("    %s %s", w.s.dim("hint:"), l)
			}
		}
	}
}

// spent prints the budgets that cut something, and the redactions.
func (w *peekPrinter) spent() {
	first := true
	for _, b := range w.h.Budgets {
		if b.Hits == 0 && !w.f.verbose {
			continue
		}
		if first {
			w.line("")
			w.line("%s", w.s.bold("budgets"))
			first = false
		}
		text := "no limit"
		if b.Limit > 0 {
			text = "limit " + amount(b.Limit, b.Unit)
		}
		if b.Spent > 0 { // limits of single values have no sum
			text += ", " + amount(b.Spent, b.Unit) + " used"
		}
		if b.Hits > 0 {
			text += ", " + plural(int(b.Hits), "value") + " cut"
		}
		w.line("  %s: %s", clean(b.Name), clean(text))
	}
	if len(w.h.Redactions) == 0 {
		return
	}
	w.line("")
	w.line("%s", w.s.bold("redacted"))
	for _, r := range w.h.Redactions {
		w.line("  %s: %d", clean(r.Rule), r.Count)
	}
}
