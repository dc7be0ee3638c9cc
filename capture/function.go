package capture

import (
	"debug/dwarf"
	"slices"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// function is a subprogram with code: its scopes, their variables, and what was
// inlined into it. It does not change once made, but for what is found out later.
type function struct {
	unit      *unit
	name      string
	low, high uint64
	declLine  int
	wrapper   bool
	root      scope
	storeList
	flowList
}

// scope is a function body, a lexical block, or an inlined call.
type scope struct {
	ranges [][2]uint64 // where in the code; of the function's own scope: none, it is everywhere
	vars   []variable
	kids   []scope
	// Of an inlined call:
	inlined            bool
	name               string
	callFile, callLine int
	declLine           int
}

// variable is a variable's DIE.
type variable struct {
	name       string
	kind       dump.VarKind
	typ        dwarf.Offset
	expr       []byte
	list       int64 // offset of its location list, -1: none
	declLine   int
	dictIndex  int   // 1 + index in the dictionary of a type parameter's type, 0: none
	closureOff int64 // offset in the closure, -1: not captured
}

// functionAt returns the function that holds the DWARF address pc, or nil.
func (di *debugInfo) functionAt(pc uint64) (f *function) {
	u := di.unitAt(pc)
	if u == nil {
		return nil
	}
	fs := di.functionsOf(u)
	lo, hi := 0, len(fs)
	for lo < hi {
		m := (lo + hi) / 2
		if fs[m].high > pc {
			hi = m
		} else {
			lo = m + 1
		}
	}
	if lo >= len(fs) || fs[lo].low > pc {
		return nil
	}
	fr := fs[lo]
	di.mu.Lock()
	defer di.mu.Unlock()
	if f, ok := di.funcs[fr.off]; ok {
		return f
	}
	defer di.shield()
	f = di.readFunction(u, fr)
	di.funcs[fr.off] = f
	return f
}

// maxScopes bounds the scopes of one function; only damaged debug info has more.
const maxScopes = 100_000

func (di *debugInfo) readFunction(u *unit, fr funcRange) *function {
	r := di.data.Reader()
	r.Seek(fr.off)
	e, err := r.Next()
	if err != nil || e == nil {
		return nil
	}
	f := &function{unit: u, low: fr.low, high: fr.high}
	f.name, f.declLine = di.nameOf(e)
	f.wrapper, _ = e.Val(dwarf.AttrTrampoline).(bool)
	if e.Children {
		n := 0
		di.readScope(r, &f.root, &n, 0)
	}
	return f
}

// nameOf returns the name and line of a subprogram, from its abstract origin if
// it has one.
func (di *debugInfo) nameOf(e *dwarf.Entry) (name string, line int) {
	name, _ = e.Val(dwarf.AttrName).(string)
	line = int(constant(e.Val(dwarf.AttrDeclLine), 0))
	if off, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset); ok && name == "" {
		r := di.data.Reader()
		r.Seek(off)
		if o, err := r.Next(); err == nil && o != nil {
			name, _ = o.Val(dwarf.AttrName).(string)
			line = int(constant(o.Val(dwarf.AttrDeclLine), 0))
		}
	}
	return name, line
}

func (di *debugInfo) readScope(r *dwarf.Reader, s *scope, n *int, nesting int) {
	for {
		e, err := r.Next()
		if err != nil || e == nil || e.Tag == 0 {
			return
		}
		*n++
		switch e.Tag {
		case dwarf.TagVariable, dwarf.TagFormalParameter:
			if v, ok := di.readVariable(e); ok {
				s.vars = append(s.vars, v)
			}
		case dwarf.TagLexDwarfBlock, dwarf.TagInlinedSubroutine:
			k := scope{ranges: di.rangesOf(e)}
			if e.Tag == dwarf.TagInlinedSubroutine {
				k.inlined = true
				k.name, k.declLine = di.nameOf(e)
				k.callFile = int(constant(e.Val(dwarf.AttrCallFile), 0))
				k.callLine = int(constant(e.Val(dwarf.AttrCallLine), 0))
			}
			if e.Children {
				if *n > maxScopes || nesting > maxTypeNesting {
					return
				}
				di.readScope(r, &k, n, nesting+1)
			}
			s.kids = append(s.kids, k)
			continue
		}
		if e.Children {
			r.SkipChildren()
		}
	}
}

func (di *debugInfo) rangesOf(e *dwarf.Entry) [][2]uint64 {
	rs, err := di.data.Ranges(e)
	if err != nil {
		return nil
	}
	return rs
}

func (di *debugInfo) readVariable(e *dwarf.Entry) (variable, bool) {
	v := variable{list: -1, closureOff: constant(e.Val(attrGoClosureOffset), -1)}
	switch l := e.Val(dwarf.AttrLocation).(type) {
	case []byte:
		v.expr = slices.Clone(l)
	case int64:
		v.list = l
	}
	param := e.Tag == dwarf.TagFormalParameter
	result, _ := e.Val(dwarf.AttrVarParam).(bool)
	// The name, type and line of a variable of an inlined function, or of a
	// function with an out-of-line copy, are at its abstract origin.
	r := di.data.Reader()
	for range 4 {
		if s, ok := e.Val(dwarf.AttrName).(string); ok && v.name == "" {
			v.name = s
		}
		if t, ok := e.Val(dwarf.AttrType).(dwarf.Offset); ok && v.typ == 0 {
			v.typ = t
		}
		if v.declLine == 0 {
			v.declLine = int(constant(e.Val(dwarf.AttrDeclLine), 0))
		}
		if b, ok := e.Val(dwarf.AttrVarParam).(bool); ok && b {
			result = true
		}
		if v.closureOff < 0 {
			v.closureOff = constant(e.Val(attrGoClosureOffset), -1)
		}
		off, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			break
		}
		r.Seek(off)
		o, err := r.Next()
		if err != nil || o == nil {
			break
		}
		e = o
	}
	if v.name == "" || v.typ == 0 {
		return v, false
	}
	switch {
	case param && result:
		v.kind = dump.VarResult
	case param:
		v.kind = dump.VarArg
	case v.closureOff >= 0:
		v.kind = dump.VarCaptured
	}
	// A type parameter's type is a typedef inside the function.
	r.Seek(v.typ)
	if t, err := r.Next(); err == nil && t != nil && t.Tag == dwarf.TagTypedef {
		if i := constant(t.Val(attrGoDictIndex), -1); i >= 0 {
			v.dictIndex = int(i) + 1
			if under, ok := t.Val(dwarf.AttrType).(dwarf.Offset); ok {
				v.typ = under
			}
		}
	}
	return v, true
}

// call is one function at a pc: the function itself or one inlined there.
type call struct {
	name               string
	declLine           int
	vars               []*variable
	inlined            bool
	callFile, callLine int // where the next outer call calls this one
}

// callsAt returns what is being called at the DWARF address pc, the innermost
// inlined call first, the function itself last, each with the variables in
// scope, in the order of their declaration.
func (f *function) callsAt(pc uint64) []call {
	calls := []call{{name: f.name, declLine: f.declLine}}
	f.root.collect(pc, &calls)
	for i, j := 0, len(calls)-1; i < j; i, j = i+1, j-1 {
		calls[i], calls[j] = calls[j], calls[i]
	}
	return calls
}

func (s *scope) collect(pc uint64, calls *[]call) {
	c := &(*calls)[len(*calls)-1]
	for i := range s.vars {
		c.vars = append(c.vars, &s.vars[i])
	}
	for i := range s.kids {
		k := &s.kids[i]
		if k.inlined || !k.holds(pc) {
			continue
		}
		k.collect(pc, calls)
	}
	for i := range s.kids {
		k := &s.kids[i]
		if !k.inlined || !k.holds(pc) {
			continue
		}
		*calls = append(*calls, call{name: k.name, declLine: k.declLine, inlined: true, callFile: k.callFile, callLine: k.callLine})
		k.collect(pc, calls)
		return
	}
}

func (s *scope) holds(pc uint64) bool {
	for _, r := range s.ranges {
		if r[0] <= pc && pc < r[1] {
			return true
		}
	}
	return false
}
