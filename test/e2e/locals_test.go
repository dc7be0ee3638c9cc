package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// TestLocals holds the frames and variables of each failure against the truth.
func TestLocals(t *testing.T) {
	forVariants(t, func(v *variant) bool { return !v.stripped }, func(t *testing.T, v *variant) {
		run := runShop(t, v)
		for i := range failures {
			f := &failures[i]
			t.Run(f.name, func(t *testing.T) {
				_, r := run.failure(t, f)
				rep := &report{t: t}
				checkHeader(rep, f, v, r)
				checkFrames(rep, f, v, r, true)
			})
		}
	})
}

// TestOutput holds what the example prints against the issue.
func TestOutput(t *testing.T) {
	forVariants(t, func(*variant) bool { return true }, func(t *testing.T, v *variant) {
		run := runShop(t, v)
		rep := &report{t: t}
		rep.equal("exit code", run.exit, 0)
		rep.equal("stderr", run.stderr, "")
		var got, want []string
		for _, l := range run.lines {
			got = append(got, l.scenario)
		}
		for _, f := range failures {
			want = append(want, f.scenario)
		}
		rep.equal("scenarios", strings.Join(got, " "), strings.Join(want, " "))
		for _, command := range []string{"fetch ", "peek ", "load "} {
			if !strings.Contains(run.rest, "go run ./cmd/coredumpy "+command) {
				rep.mismatch("stdout does not say what to do next with %q:\n%s", command, run.rest)
			}
		}
	})
}

var typeArguments = regexp.MustCompile(`\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]`)

// plainFunc writes the type arguments of a function's name as [...].
func plainFunc(name string) string { return typeArguments.ReplaceAllString(name, "[...]") }

// sameFunc reports whether a frame is of the function, want being as in
// frame.fn. The compiler calls a closure after the function in which it ended
// up: when onOrder is inlined into Handler, its closure is
// (*Server).Handler.onOrder[...].func3.
func sameFunc(got, want string) bool {
	got, want = plainFunc(got), shopName(want)
	if got == want {
		return true
	}
	m := closureName.FindStringSubmatch(strings.TrimPrefix(want, shopPath))
	return m != nil && strings.HasPrefix(got, shopPath) && inlinedClosure.MatchString(got) &&
		strings.Contains(got, "."+m[1]+".func")
}

var (
	closureName    = regexp.MustCompile(`^\.(.+)\.func\d+$`)
	inlinedClosure = regexp.MustCompile(`\.func\d+$`)
)

// shopName replaces S/ and S. by the shop's path.
func shopName(name string) string {
	for _, prefix := range []string{"", "*"} {
		if rest, ok := strings.CutPrefix(name, prefix+"S/"); ok {
			return prefix + shopPath + "/" + rest
		}
		if rest, ok := strings.CutPrefix(name, prefix+"S."); ok {
			return prefix + shopPath + "." + rest
		}
	}
	return name
}

func checkHeader(rep *report, f *failure, v *variant, r *dump.Reader) {
	rep.t.Helper()
	h := r.Header()
	rep.equal("header trigger", h.Trigger, f.trigger)
	rep.equal("header service", h.Service, "checkout")
	rep.equal("header failing function", plainFunc(h.Failing.Func), shopName(f.frames[0].fn))
	checkPlace(rep, "header failing place", h.Failing.File, h.Failing.Line, failPlaces(rep.t, f.name))
	rep.equal("header module", h.Module.Path, module)
	if f.spans[0] != h.SpanName {
		rep.equal("header span name", h.SpanName, f.spans[0])
	}

	for i, want := range f.reason {
		if i >= len(h.Reason) {
			rep.mismatch("reason[%d]: missing, want %s %q", i, want.typ, want.message)
			continue
		}
		got := h.Reason[i]
		if want.typ != "" && got.Type != shopName(want.typ) {
			rep.mismatch("reason[%d]: type %s, want %s", i, got.Type, shopName(want.typ))
		}
		if !strings.Contains(got.Message, want.message) {
			rep.mismatch("reason[%d]: message %q, want %q", i, got.Message, want.message)
		}
		if got.Parent != i-1 {
			rep.mismatch("reason[%d]: parent %d, want %d", i, got.Parent, i-1)
		}
		if isPanic := f.trigger == dump.TriggerPanic; got.Panic != (isPanic && i == 0) {
			rep.mismatch("reason[%d]: panic is %v", i, got.Panic)
		}
	}
	if len(f.reason) != len(h.Reason) && f.trigger == dump.TriggerPanic {
		rep.mismatch("reason has %d errors, want %d: %+v", len(h.Reason), len(f.reason), h.Reason)
	}

	g, err := r.Failing()
	if err != nil {
		rep.mismatch("failing goroutine: %v", err)
		return
	}
	rep.equal("failing goroutine is marked", g.Failing, true)
	rep.equal("failing goroutine's ID", g.ID, h.Failing.Goroutine)
	in := inspector{r}
	kind := dump.VarPanic
	if f.trigger != dump.TriggerPanic {
		kind = dump.VarError
	}
	for _, c := range f.value {
		checkValueOf(rep, in, g, kind, "", c)
	}
	checkValueOf(rep, in, g, dump.VarWatch, "order", check{".ID", fmt.Sprintf("%q", f.order)})
}

// checkValueOf checks a value that belongs to the goroutine: the first one of
// that kind, and name if there is one.
func checkValueOf(rep *report, in inspector, g *dump.Goroutine, kind dump.VarKind, name string, c check) {
	rep.t.Helper()
	for i := range g.Values {
		if v := &g.Values[i]; v.Kind == kind && (name == "" || v.Name == name) {
			got, err := in.inspect(&v.Value, c.path)
			if err != nil {
				got = err.Error()
			}
			rep.equal(fmt.Sprintf("%s %s%s", kind, v.Name, c.path), got, expand(c))
			return
		}
	}
	rep.mismatch("the failing goroutine has no value of kind %s %s", kind, name)
}

// expand replaces S/ in the type names of a check.
func expand(c check) string {
	if strings.HasSuffix(c.path, "#type") {
		return shopName(c.want)
	}
	return c.want
}

func checkPlace(rep *report, what, file string, line int, want []place) {
	rep.t.Helper()
	for _, p := range want {
		if strings.HasSuffix(file, p.file) && line == p.line {
			return
		}
	}
	rep.mismatch("%s: %s:%d, want %v", what, file, line, want)
}

// checkFrames checks the frames from the failing one outwards, and their
// variables.
func checkFrames(rep *report, f *failure, v *variant, r *dump.Reader, vars bool) {
	rep.t.Helper()
	g, err := r.Failing()
	if err != nil {
		rep.mismatch("failing goroutine: %v", err)
		return
	}
	h := r.Header()
	first := slices.IndexFunc(g.Frames, func(fr dump.Frame) bool { return fr.User })
	if first != h.Failing.Frame {
		rep.mismatch("the failing frame is %d, the first user frame %d", h.Failing.Frame, first)
	}
	if first < 0 {
		rep.mismatch("no user frames:\n%s", stack(g.Frames))
		return
	}
	var frames []*dump.Frame
	for i := first; i < len(g.Frames); i++ {
		fr := &g.Frames[i]
		name := strings.TrimSuffix(fr.Func, "-fm")
		if strings.HasPrefix(name, shopPath) && name == fr.Func {
			frames = append(frames, fr)
			if !fr.User {
				rep.mismatch("frame %s is not marked as the user's", fr.Func)
			}
		}
	}
	var got, want []string
	for _, fr := range frames {
		got = append(got, plainFunc(fr.Func))
	}
	for _, fr := range f.frames {
		want = append(want, shopName(fr.fn))
	}
	if !slices.EqualFunc(frames, f.frames, func(got *dump.Frame, want frame) bool { return sameFunc(got.Func, want.fn) }) {
		rep.mismatch("frames in the shop:\n\t%s\nwant:\n\t%s\nall:\n%s",
			strings.Join(got, "\n\t"), strings.Join(want, "\n\t"), stack(g.Frames))
	}
	checkOuterFrames(rep, f, g.Frames[first:])

	in := inspector{r}
	for i := range f.frames {
		want := &f.frames[i]
		j := slices.IndexFunc(frames, func(fr *dump.Frame) bool { return sameFunc(fr.Func, want.fn) })
		if j < 0 {
			continue // reported above
		}
		fr := frames[j]
		short := strings.TrimPrefix(fr.Func, shopPath)
		places := failPlaces(rep.t, f.name)
		if want.at != "" {
			places = textPlaces(rep.t, want.at)
		}
		checkPlace(rep, "frame "+short, fr.File, fr.Line, places)
		if v.name == "default" && fr.Inlined != want.inlined {
			rep.mismatch("frame %s: inlined is %v", short, fr.Inlined)
		}
		if vars {
			checkVars(rep, in, v, want, fr)
		}
	}
}

// checkOuterFrames checks what is round the shop.
func checkOuterFrames(rep *report, f *failure, frames []dump.Frame) {
	outer := []string{
		"(*report).noteTrace.func",
		"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
		"net/http.(*conn).serve",
	}
	if f.name == "goroutine" {
		outer = []string{module + ".Go"}
	}
	next := 0
	for _, fr := range frames {
		if next < len(outer) && strings.Contains(fr.Func, outer[next]) {
			next++
		}
		// By its name a closure of ours may be the user's: when Middleware is
		// inlined into main.start, it is main.start.(*Installed).Middleware.func1.
		if users := strings.Contains(fr.File, "/examples/checkout/"); fr.User != users && fr.File != "<autogenerated>" {
			rep.mismatch("frame %s %s: marked as the user's: %v", fr.Func, fr.File, fr.User)
		}
	}
	if next < len(outer) {
		rep.mismatch("no frame %s…:\n%s", outer[next], stack(frames))
	}
}

func stack(frames []dump.Frame) string {
	var b strings.Builder
	for i, fr := range frames {
		fmt.Fprintf(&b, "\t%2d user=%-5v inlined=%-5v %s %s:%d\n", i, fr.User, fr.Inlined, fr.Func, fr.File, fr.Line)
	}
	return b.String()
}

// fact is one line of frame.vars.
type fact struct {
	name string
	path string // behind the name
	want string
	any  bool // there, whatever it is
	none bool // without a value; or, in an optimised build, want
}

var factPattern = regexp.MustCompile(`^([~\w]+)(\S*) (-|=|:)(?: (.*))?$`)

// facts parses frame.vars.
func facts(t *testing.T, vars string) []fact {
	t.Helper()
	var list []fact
	for line := range strings.Lines(vars) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		m := factPattern.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("bad fact %q", line)
		}
		f := fact{name: m[1], path: m[2], none: m[3] == "-", want: m[4]}
		if m[3] == ":" {
			if typ, ok := strings.CutPrefix(f.want, "type "); ok {
				f.path, f.want = f.path+"#type", typ
			} else {
				f.any = true
			}
		}
		list = append(list, expandFact(t, f)...)
	}
	return list
}

// expandFact replaces a fact that names a group by the group's.
func expandFact(t *testing.T, f fact) []fact {
	t.Helper()
	group, ok := strings.CutPrefix(f.want, "$")
	if !ok {
		f.want = expand(check{f.path, f.want})
		return []fact{f}
	}
	lines, ok := groups[group]
	if !ok {
		t.Fatalf("no group %q", group)
	}
	var list []fact
	for line := range strings.Lines(lines) {
		path, want, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if ok {
			list = append(list, expandFact(t, fact{name: f.name, path: f.path + path, want: want})...)
		}
	}
	return list
}

var unnamed = regexp.MustCompile(`^(~r\d+|~p\d+|_|\..*)$`)

// zeroValue matches what the inspector prints for a result that is not set yet.
var zeroValue = regexp.MustCompile(`^(0|""|false|nil|\{(\w+:(0|""|false|nil) ?)*\})$`)

// checkVars holds the variables of one frame against what is true.
func checkVars(rep *report, in inspector, v *variant, want *frame, fr *dump.Frame) {
	rep.t.Helper()
	short := strings.TrimPrefix(plainFunc(fr.Func), shopPath)
	known := facts(rep.t, want.vars)
	for i := range fr.Vars {
		got := &fr.Vars[i]
		named := slices.ContainsFunc(known, func(f fact) bool { return f.name == got.Name })
		if named || got.State == dump.VarMissing || got.State == dump.VarDead {
			continue
		}
		if !unnamed.MatchString(got.Name) {
			s, err := in.inspect(&got.Value, "")
			rep.mismatch("%s: %s %s (declared in line %d) should not be there: %s %v", short, got.StateName(), got.Name, got.DeclLine, s, err)
			continue
		}
		if strings.HasPrefix(got.Name, "~r") {
			if s, err := in.inspect(&got.Value, ""); err == nil && !zeroValue.MatchString(s) {
				rep.mismatch("%s: result %s is not set yet, got %s", short, got.Name, s)
			}
		}
	}
	for _, f := range known {
		label := fmt.Sprintf("%s: %s%s", short, f.name, f.path)
		got := lastVar(fr, f.name)
		has := got != nil && got.State != dump.VarMissing && got.State != dump.VarDead
		switch {
		case f.none:
			if has {
				s, err := in.inspect(&got.Value, "")
				if !v.unoptimised && f.want != "" && s == f.want {
					break
				}
				rep.mismatch("%-60s got %s %s %v\n%62swant no value: it is not set yet", label, got.StateName(), s, err, "")
			}
		case !has:
			// A compiler that optimises may have dropped it; TestOracle says
			// whether it did. Behind the block of its declaration it is gone
			// in every build.
			if v.unoptimised && !strings.HasPrefix(f.name, "~") && (!want.atReturn || f.name != "err") {
				state := "not there"
				if got != nil {
					state = got.StateName() + " " + got.Value.Detail
				}
				rep.mismatch("%-60s got %s\n%62swant %s", label, state, "", f.want)
			}
		case f.any:
		default:
			s, err := in.inspect(&got.Value, f.path)
			if gap, ok := isIncomplete(err); ok && !v.unoptimised && lost(gap.reason) {
				break
			}
			if err != nil {
				s = err.Error()
			}
			if s != f.want {
				rep.mismatch("%-60s got %s\n%62swant %s   (%s)", label, s, "", f.want, got.StateName())
			}
		}
	}
}

// lost reports whether the compiler is to blame for a gap.
func lost(r dump.Reason) bool {
	return r == dump.OptimizedOut || r == dump.UnavailableRegister || r == dump.Dead
}

// lastVar returns the variable of that name, the innermost of several.
func lastVar(fr *dump.Frame, name string) *dump.Variable {
	for i := len(fr.Vars) - 1; i >= 0; i-- {
		if fr.Vars[i].Name == name {
			return &fr.Vars[i]
		}
	}
	return nil
}
