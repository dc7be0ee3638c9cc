package capture

import (
	"debug/dwarf"
	"fmt"
	"go/token"
	"net/url"
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// This file reads package variables: those that Config.Variables asks for. Which ones there
// are is found once, in the background, in the compile units of the packages that can match;
// a capture only copies.

// globals are the package variables that a program has of those that were asked for.
type globals struct {
	vars []global
	// unmatched are patterns that no variable matches.
	unmatched []string
	// left is how many variables match beyond maxGlobals.
	left int
}

// global is one package variable.
type global struct {
	pkg, name string
	t         *typ
	addr      uint64
}

// globalValue is what was copied of a package variable.
type globalValue struct {
	root
	late bool
}

// Bounds of package variables, so that they cost a failing request next to nothing and cannot
// fill a dump.
const (
	// maxGlobals is how many are looked at.
	maxGlobals = 10_000
	// maxEarlyGlobal is up to which size the bytes of a variable itself are copied while the
	// failing goroutine waits, and maxEarlyGlobals how many bytes of all of them.
	maxEarlyGlobal  = 4 << 10
	maxEarlyGlobals = 256 << 10
	// globalShare is which part of the objects, of the bytes and of the time left they and what
	// they lead to may have: one of so many.
	globalShare = 4
)

// A globalPattern is a pattern of Config.Variables: text in which * stands for any run of
// characters.
type globalPattern string

// CheckVariables says what is wrong with a pattern of [Config].Variables, nil if nothing is.
func CheckVariables(s string) error {
	switch {
	case strings.TrimSpace(s) != s || strings.ContainsAny(s, " \t\n\"'"):
		return fmt.Errorf("%q has blanks or quotes in it", s)
	case strings.Trim(s, "*") == "":
		return fmt.Errorf("%q names no package; want import/path.Name, like main.*", s)
	case !strings.ContainsAny(s, ".*"):
		return fmt.Errorf("%q is no package variable; want import/path.Name, like main.cache or main.*", s)
	}
	return nil
}

func (p globalPattern) exact() bool { return !strings.Contains(string(p), "*") }

// matches reports whether the pattern matches a whole name.
func (p globalPattern) matches(name string) bool {
	parts := strings.Split(string(p), "*")
	if len(parts) == 1 {
		return name == parts[0]
	}
	name, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, parts[len(parts)-1])
}

// mayMatch reports whether a variable of a package can match.
func (p globalPattern) mayMatch(pkg string) bool {
	before, _, wild := strings.Cut(string(p), "*")
	if !wild {
		i := strings.LastIndexByte(before, '.')
		return i >= 0 && before[:i] == pkg
	}
	pkg += "."
	return strings.HasPrefix(before, pkg) || strings.HasPrefix(pkg, before)
}

// findGlobals looks for the package variables that patterns match. A pattern with a * is
// about the program's modules and those that it depends on, a whole name about any package;
// our own are always left out.
func (e *Engine) findGlobals(di *debugInfo, patterns []string) *globals {
	g := &globals{}
	used := make([]bool, len(patterns))
	for _, u := range di.units {
		if u.name == "" || isOurs(u.name) {
			continue
		}
		user := e.isUser(u.name+".f", "")
		may := func(i int) bool {
			p := globalPattern(patterns[i])
			return (user || p.exact()) && p.mayMatch(u.name)
		}
		var mine []int
		for i := range patterns {
			if may(i) {
				mine = append(mine, i)
			}
		}
		if len(mine) == 0 {
			continue
		}
		for _, v := range di.globalsOf(u) {
			full := u.name + "." + v.name
			found := false
			for _, i := range mine {
				if globalPattern(patterns[i]).matches(full) {
					used[i], found = true, true
				}
			}
			switch {
			case !found:
			case len(g.vars) == maxGlobals:
				g.left++
			default:
				if v.t = e.types.ofDIE(di, v.typ); v.t != nil {
					v.t.resolve()
				}
				g.vars = append(g.vars, v.global)
			}
		}
	}
	for i, p := range patterns {
		if !used[i] && !slices.Contains(g.unmatched, p) {
			g.unmatched = append(g.unmatched, p)
		}
	}
	slices.SortFunc(g.vars, func(a, b global) int {
		if c := strings.Compare(a.pkg, b.pkg); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	return g
}

type globalDIE struct {
	global
	typ dwarf.Offset
}

// globalsOf lists the package variables of a unit: the DW_TAG_variable entries on its top
// level that lie at one address (cmd/internal/dwarf.PutGlobal). The linker leaves out
// those of variables that it has left out; thread-local ones have another location, and Go
// has none.
func (di *debugInfo) globalsOf(u *unit) []globalDIE {
	defer di.shield()
	r := di.data.Reader()
	r.Seek(u.off)
	if e, err := r.Next(); err != nil || e == nil || !e.Children {
		return nil
	}
	var out []globalDIE
	for {
		e, err := r.Next()
		if err != nil || e == nil || e.Tag == 0 {
			return out
		}
		if e.Children {
			r.SkipChildren()
		}
		if e.Tag != dwarf.TagVariable {
			continue
		}
		name, _ := e.Val(dwarf.AttrName).(string)
		loc, _ := e.Val(dwarf.AttrLocation).([]byte)
		typ, ok := e.Val(dwarf.AttrType).(dwarf.Offset)
		const opAddr = 0x03 // DWARF 5, section 7.7.1
		if !ok || len(loc) != 9 || loc[0] != opAddr {
			continue
		}
		// The linker's name of a package escapes dots in its path's last element.
		pkg, name := splitSymbol(name)
		if plain, err := url.PathUnescape(pkg); err == nil {
			pkg = plain
		}
		// Other names are the compiler's.
		if pkg != u.name || !token.IsIdentifier(name) || name == "_" {
			continue
		}
		out = append(out, globalDIE{global{pkg: pkg, name: name, addr: word(loc, 1) + di.bias}, typ})
	}
}

// splitSymbol splits the name of a symbol into package and name.
func splitSymbol(s string) (pkg, name string) {
	slash := strings.LastIndexByte(s, '/') + 1
	pkg, name, ok := strings.Cut(s[slash:], ".")
	if !ok {
		return "", s
	}
	return s[:slash] + pkg, name
}

// UnmatchedVariables returns the patterns of Config.Variables that match no variable of the
// program. It is empty until [Engine.Ready] has returned, and if there is no debug info.
func (e *Engine) UnmatchedVariables() []string {
	g := e.globals.Load()
	if g == nil {
		return nil
	}
	return slices.Clone(g.unmatched)
}

// copyGlobals copies the small package variables' own bytes while the failing goroutine
// waits, so that they fit together with what it was doing. What they lead to comes late.
func (s *Snapshot) copyGlobals(end deadline) {
	g := s.e.globals.Load()
	if g == nil || len(g.vars) == 0 {
		return
	}
	s.globals = make([]globalValue, len(g.vars))
	m := meter{until: end}
	var used uint64
	for i := range g.vars {
		v := &g.vars[i]
		if v.t == nil || v.t.opaque || v.t.size > maxEarlyGlobal || used+v.t.size > maxEarlyGlobals {
			continue
		}
		if m.tick(costRead + int(v.t.size)) {
			return
		}
		used += v.t.size
		s.globals[i].root = s.readGlobal(v)
	}
}

// readGlobal copies one variable's own bytes.
func (s *Snapshot) readGlobal(v *global) root {
	r := root{name: v.name, state: dump.VarMissing, t: v.t, addr: v.addr}
	size := min(v.t.size, maxValueBytes)
	b := s.reads.alloc(int(size))
	if s.w.mem.ReadAt(b, v.addr) != nil {
		r.reason = dump.Unreadable
		return r
	}
	r.data, r.state = b, dump.VarLive
	return r
}

// readGlobals copies what is left to copy of the package variables, and what they
// lead to. They have a share of the limits, and come behind all that the failing goroutine leads to.
func (s *Snapshot) readGlobals(end deadline) {
	g := s.e.globals.Load()
	if g == nil || len(g.vars) == 0 {
		return
	}
	if s.globals == nil {
		s.globals = make([]globalValue, len(g.vars))
	}
	w := s.w
	start := s.reads.used + w.arena.used
	s.globalBudget = dump.Budget{Name: "package_variables", Unit: "bytes", Limit: s.e.cfg.MaxBytes / globalShare}
	full := func() bool {
		used := s.reads.used + w.arena.used
		return used-start >= s.globalBudget.Limit || used >= s.e.cfg.MaxBytes
	}
	m := meter{until: end}
	for i := range g.vars {
		v, out := &g.vars[i], &s.globals[i]
		switch {
		case out.t != nil: // it was copied in time
		case v.t == nil:
			out.root = root{name: v.name, state: dump.VarMissing, addr: v.addr, reason: dump.Unsupported, detail: "its type cannot be read from the debug info"}
		case v.t.opaque: // never copied
			out.root = root{name: v.name, state: dump.VarMissing, t: v.t, addr: v.addr, reason: dump.Unsupported, detail: opaqueDetail}
		case full():
			out.root = root{name: v.name, state: dump.VarMissing, t: v.t, addr: v.addr, reason: dump.ByteBudget}
			s.globalBudget.Hits++
		case m.tick(costRead + int(min(v.t.size, maxValueBytes))):
			out.root = root{name: v.name, state: dump.VarMissing, t: v.t, addr: v.addr, reason: dump.TimeBudget}
			s.globalBudget.Hits++
		default:
			out.root, out.late = s.readGlobal(v), true
		}
	}
	s.followGlobals(end)
	s.globalBudget.Spent = s.reads.used + w.arena.used - start
}

// followGlobals walks what the package variables lead to.
func (s *Snapshot) followGlobals(end deadline) {
	w := s.w
	if w.next < w.objects.len() || len(w.again) > 0 || len(w.rescan) > 0 {
		return // the failing goroutine has spent it all
	}
	bytes, objects, hits, stop, first := w.maxBytes, w.maxObjects, w.hits, w.stop, w.objects.len()
	w.maxBytes = min(bytes, w.arena.used+s.globalBudget.Limit)
	w.maxObjects = min(objects, first+objects/globalShare)
	f := snapFrame{vars: make([]root, len(s.globals))}
	for i := range s.globals {
		f.vars[i] = s.globals[i].root
	}
	share := deadlineIn(end.left() / globalShare)
	w.meter.start(share)
	w.addVars(&f, 0)
	w.run(share)
	for ; w.next < w.objects.len(); w.next++ {
		if o := w.objects.at(w.next); !o.done {
			o.done, o.reason = true, w.stop
			if w.stop == dump.TimeBudget {
				s.globalBudget.Hits++
			}
		}
	}
	s.globalBudget.Hits += w.hits.bytes - hits.bytes + w.hits.objects - hits.objects
	w.hits.bytes, w.hits.objects = hits.bytes, hits.objects
	if w.stop != dump.Whole {
		w.cut = w.stop
	} else if s.globalBudget.Hits > 0 {
		w.cut = dump.ByteBudget
	}
	w.meter.start(end)
	w.maxBytes, w.maxObjects, w.stop = bytes, objects, stop
}

// writeGlobals writes the package variables, and says which were asked for and are not there.
func (s *Snapshot) writeGlobals(w *dump.Writer, d *decoder) error {
	if len(s.e.cfg.Variables) == 0 {
		return nil
	}
	const what = "package variables"
	g := s.e.globals.Load()
	if g == nil {
		why := "the program's debug info was not yet read for them"
		if s.e.infoErr != nil && s.e.isReady() {
			why = s.e.infoErr.Error()
		}
		s.missing = append(s.missing, dump.Missing{What: what, Why: why})
		return nil
	}
	for _, p := range g.unmatched {
		s.missing = append(s.missing, dump.Missing{
			What: what, Why: "no variable of the program matches " + p,
			Hint: "capture.variables wants import/path.Name, with main for the main package and * for anything; the linker leaves out variables that nothing uses",
		})
	}
	if g.left > 0 {
		s.missing = append(s.missing, dump.Missing{
			What: what, Why: fmt.Sprintf("%d match, and %d are kept", len(g.vars)+g.left, len(g.vars)), Hint: "narrow capture.variables",
		})
	}
	for i := range s.globals {
		v := &s.globals[i]
		out := dump.PackageVar{Package: g.vars[i].pkg, Name: g.vars[i].name, Late: v.late}
		var dv dump.Variable
		d.variable(&dv, &v.root)
		out.State, out.Value = dv.State, dv.Value
		if err := w.PackageVar(&out); err != nil {
			return err
		}
		d.reset()
	}
	return nil
}

// isReady reports whether it is known what debug info there is.
func (e *Engine) isReady() bool {
	select {
	case <-e.ready:
		return true
	default:
		return false
	}
}
