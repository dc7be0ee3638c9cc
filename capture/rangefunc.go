package capture

import (
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// The body of a loop over a function is a function of its own, f-range1, which the iterator calls
// (cmd/compile/internal/rangefunc). Nobody who reads the source thinks of it as one: what is in
// scope in the loop are the variables of f.

// rangeParent returns the name of the function that has the loop of which fn is the
// body, "" if it is none.
func rangeParent(fn string) string {
	i := strings.LastIndex(fn, "-range")
	if i <= 0 || i+len("-range") == len(fn) || strings.Trim(fn[i+len("-range"):], "0123456789") != "" {
		return ""
	}
	return fn[:i]
}

// callSite is what a call was read from.
type callSite struct {
	frame *frame
	call  *call
}

// addEnclosing adds the variables of the enclosing functions to those of loop bodies. sites are those of
// the last calls of out.
func (l *locator) addEnclosing(out []snapFrame, sites []callSite) {
	out = out[len(out)-len(sites):]
	own := make([][]root, len(out)) // what each has by itself
	for i := range out {
		own[i] = out[i].vars
	}
	for i := range out {
		parent := rangeParent(out[i].name)
		if parent == "" || sites[i].frame == nil {
			continue
		}
		chain := l.enclosing(out, sites, i, parent)
		var vars, captured []root
		for k := len(chain) - 1; k >= 0; k-- {
			j := chain[k]
			body := j != chain[len(chain)-1] || len(chain) == 1
			for _, r := range own[j] {
				switch {
				case body && r.kind == dump.VarCaptured && len(chain) > 1:
					captured = append(captured, r) // a variable of one of the others
					continue
				case body && r.kind == dump.VarArg:
					r.kind = dump.VarLocal
				}
				if j != i {
					r.data = slices.Clone(r.data)
				}
				vars = append(vars, r)
			}
		}
		restore(vars, captured)
		out[i].vars = vars
	}
}

// restore gives variables that are lost in their own function the value that a loop's body has
// captured, as far as their names tell which they are.
func restore(vars, captured []root) {
	for i := range vars {
		v := &vars[i]
		if v.data != nil || slices.ContainsFunc(vars, func(o root) bool { return o.name == v.name && o.declLine != v.declLine }) {
			continue
		}
		for j := range captured {
			if c := &captured[j]; c.name == v.name && c.t == v.t && c.data != nil {
				kind, line := v.kind, v.declLine
				*v = *c
				v.kind, v.declLine, v.data = kind, line, slices.Clone(c.data)
			}
		}
	}
}

// enclosing lists the calls whose variables are in scope in the loop body at i: itself, bodies of
// loops around it, and at last the function. If that is not found it is i alone: an
// iterator may call the body from another goroutine.
func (l *locator) enclosing(out []snapFrame, sites []callSite, i int, parent string) []int {
	chain := []int{i}
	inner := i
	for j := i + 1; j < len(out); j++ {
		name := out[j].name
		if name != parent && rangeParent(name) != parent || sites[j].frame == nil || !l.madeIn(sites, inner, j) {
			continue
		}
		chain = append(chain, j)
		if name == parent {
			return chain
		}
		inner = j
	}
	return chain[:1]
}

// madeIn reports whether the closure that is running at inner was made by the call at
// outer, of the same function's several calls on the stack.
func (l *locator) madeIn(sites []callSite, inner, outer int) bool {
	in, out := sites[inner], sites[outer]
	p := uint64(0)
	if !in.call.inlined {
		p, _ = l.hidden(in.frame, in.call, ".closureptr")
	}
	switch {
	case p == 0:
		return in.call.inlined || in.frame.fn.unit.optimized // it is the nearest one
	case l.heap.onStack(p):
		return p >= out.frame.sp && p < out.frame.cfa
	}
	for _, v := range out.call.vars {
		if !strings.HasPrefix(v.name, "#yield") {
			continue
		}
		r := root{t: l.types.word}
		if l.read(out.frame, v, &r, nil); r.data != nil && r.known == nil && word(r.data, 0) == p {
			return true
		}
	}
	return false
}
