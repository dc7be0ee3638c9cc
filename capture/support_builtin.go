package capture

import (
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// The supports that are built in read fields by their names and check the kinds. Where a release
// of Go or of a module has a type changed, they are silent.

// builtinType is a support that is built in, and its pattern.
type builtinType struct {
	pattern string
	TypeSupport
}

var builtinSupports = sync.OnceValue(func() []*support {
	var out []*support
	for _, list := range [][]builtinType{timeSupports, syncSupports, atomicSupports, numberSupports, netSupports, textSupports, containerSupports, errorSupports, reflectSupports, contextSupports, otelSupports, sqlSupports, httpSupports, protoSupports} {
		for i := range list {
			out = append(out, list[i].support())
		}
	}
	return out
})

func (b *builtinType) support() *support {
	return &support{TypeSupport: b.TypeSupport, pattern: b.pattern, builtin: true}
}

// byShape returns the support of types that are told by their fields: messages of protobuf, and
// contexts that embed another. The table's lock is held.
func (s *supportSet) byShape(t *typ) *support {
	if t.kind != dump.Struct {
		return nil
	}
	for i := range t.fields {
		f := &t.fields[i]
		switch {
		case f.name == "state" && f.typ.name == messageState:
			return s.message
		case f.embedded && f.typ.name == contextName && f.typ.kind == dump.Interface:
			return s.embedding
		}
	}
	return nil
}

// maxBrief is how much of a text is shown where it is one of several.
const maxBrief = 128

// brief says in a few words what a value is.
func brief(v View) string { return briefly(v, 0) }

func briefly(v View, nesting int) string {
	v.step()
	if !v.OK() {
		return "(" + v.Missing() + ")"
	}
	if v.t.resolve(); nesting < 3 && v.t.support != nil && v.t.support.builtin && v.t.support.Describe != nil {
		var d Description
		v.t.support.Describe(v, &d)
		if d.summary != "" {
			return clip(d.summary, maxBrief)
		}
	}
	switch v.t.kind {
	case dump.String:
		s, _, ok := v.Text()
		if !ok {
			return "(not captured)"
		}
		return strconv.Quote(clip(s, maxBrief))
	case dump.Pointer:
		if v.IsNil() {
			return "nil"
		}
		if nesting < 3 {
			if e := v.Elem(); e.OK() {
				if e.t.resolve(); e.t.support != nil && e.t.support.builtin {
					return briefly(e, nesting+1)
				}
			}
		}
		return v.t.name
	case dump.Interface:
		if v.IsNil() {
			return "nil"
		}
		return briefly(v.Elem(), nesting+1)
	case dump.Slice, dump.Array, dump.Map, dump.Chan:
		if v.t.kind != dump.Array && v.IsNil() {
			return "nil"
		}
		return v.t.name + " of " + strconv.Itoa(v.Len())
	case dump.Func:
		if v.IsNil() {
			return "nil"
		}
		return v.FuncName()
	case dump.Struct:
		return v.t.name
	}
	if b := v.whole(int(v.t.size)); b != nil {
		if s := formatBasic(v.t.kind, b); s != "" {
			return s
		}
	}
	return v.t.name
}

// isZero reports whether a value is known to be its type's zero value, so far as its own bytes tell.
func isZero(v View) bool {
	if !v.OK() {
		return false
	}
	b := v.whole(int(min(v.t.size, math.MaxInt32)))
	if b == nil {
		return false
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// count is n with a noun in the singular or plural.
func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + many
}

// parts joins what is not empty.
func parts(s ...string) string {
	out := s[:0:0]
	for _, p := range s {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, ", ")
}
