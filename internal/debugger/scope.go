package debugger

import (
	"fmt"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Scope is one frame of one goroutine: where variables are looked up and
// expressions evaluated. It does not change and is safe for concurrent use. A
// Scope of a dump without goroutines has neither goroutine nor frame.
type Scope struct {
	s     *Session
	g     *dump.Goroutine
	frame int
}

// Goroutine returns the scope's goroutine, nil if the dump has none. It must
// not be changed.
func (sc Scope) Goroutine() *dump.Goroutine { return sc.g }

// GoroutineID returns the ID of the scope's goroutine, 0 if there is none.
func (sc Scope) GoroutineID() int64 {
	if sc.g == nil {
		return 0
	}
	return sc.g.ID
}

// FrameIndex returns the number of the scope's frame; 0 is the innermost.
func (sc Scope) FrameIndex() int { return sc.frame }

// Frame returns the scope's frame, nil if there is none. It must not be changed.
func (sc Scope) Frame() *dump.Frame {
	if sc.g == nil || sc.frame < 0 || sc.frame >= len(sc.g.Frames) {
		return nil
	}
	return &sc.g.Frames[sc.frame]
}

// Frames returns the frames of the scope's goroutine, innermost first, inlined
// calls included. They must not be changed.
func (sc Scope) Frames() []dump.Frame {
	if sc.g == nil {
		return nil
	}
	return sc.g.Frames
}

// AtFrame returns the scope of frame n of the same goroutine.
func (sc Scope) AtFrame(n int) (Scope, error) {
	if sc.g == nil {
		return Scope{}, errNoGoroutine
	}
	if n < 0 || n >= len(sc.g.Frames) {
		return Scope{}, fmt.Errorf("invalid frame %d: goroutine %d has %s", n, sc.g.ID, plural(len(sc.g.Frames), "frame"))
	}
	return Scope{s: sc.s, g: sc.g, frame: n}, nil
}

var errNoGoroutine = fmt.Errorf("the dump has no goroutine")

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Variable is a named value in a frame or of a goroutine.
type Variable struct {
	Name     string
	Kind     dump.VarKind
	State    dump.VarState
	DeclLine int
	// Shadowed is set if a variable of the same name in an inner block hides
	// this one from expressions.
	Shadowed bool
	Value    *Value
}

// Args returns the parameters and results of the scope's function, in order.
func (sc Scope) Args() []Variable {
	return sc.vars(func(k dump.VarKind) bool { return k == dump.VarArg || k == dump.VarResult })
}

// Locals returns the local and the captured variables of the scope's frame, in
// order of declaration.
func (sc Scope) Locals() []Variable {
	return sc.vars(func(k dump.VarKind) bool { return k != dump.VarArg && k != dump.VarResult })
}

// Variables returns the variables of the scope's frame, in order of declaration.
func (sc Scope) Variables() []Variable { return sc.vars(func(dump.VarKind) bool { return true }) }

func (sc Scope) vars(want func(dump.VarKind) bool) []Variable {
	f := sc.Frame()
	if f == nil {
		return nil
	}
	last := map[string]int{}
	for i := range f.Vars {
		last[f.Vars[i].Name] = i
	}
	var list []Variable
	for i := range f.Vars {
		if v := &f.Vars[i]; want(v.Kind) {
			nv := sc.s.variable(v)
			nv.Shadowed = last[v.Name] != i
			list = append(list, nv)
		}
	}
	return list
}

// Watches returns what belongs to the scope's goroutine rather than to a frame:
// panic values, the recorded error, what the program handed in.
func (sc Scope) Watches() []Variable {
	if sc.g == nil {
		return nil
	}
	list := make([]Variable, 0, len(sc.g.Values))
	for i := range sc.g.Values {
		list = append(list, sc.s.variable(&sc.g.Values[i]))
	}
	return list
}

func (s *Session) variable(v *dump.Variable) Variable {
	x := s.view(&v.Value, origin{name: v.Name, state: v.State})
	if v.State == dump.VarMissing {
		if x.why = s.reasonText(v.Value.Reason, v.Value.Detail); x.why == "" {
			x.why = "missing"
		}
	}
	return Variable{Name: Clean(v.Name), Kind: v.Kind, State: v.State, DeclLine: v.DeclLine, Value: x}
}

// Lookup returns the variable that name means in the scope: the innermost of
// the frame's variables of that name, else the goroutine's value of that name,
// such as panic or error.
func (sc Scope) Lookup(name string) (*Value, bool) {
	if f := sc.Frame(); f != nil {
		for i := len(f.Vars) - 1; i >= 0; i-- {
			if f.Vars[i].Name == name {
				return sc.s.variable(&f.Vars[i]).Value, true
			}
		}
	}
	if sc.g != nil {
		for i := range sc.g.Values {
			if sc.g.Values[i].Name == name {
				return sc.s.variable(&sc.g.Values[i]).Value, true
			}
		}
	}
	return nil, false
}

// Missing says, a line each, what the scope's frame and goroutine have not got,
// why, and how to have it next time.
func (sc Scope) Missing() []string {
	var list []string
	if f := sc.Frame(); f != nil {
		for _, m := range f.Missing {
			list = append(list, DescribeMissing(m))
		}
	}
	if sc.g != nil {
		for _, m := range sc.g.Missing {
			list = append(list, DescribeMissing(m))
		}
	}
	return list
}

// Location returns where the scope's frame stands, the zero Source if there is
// no frame.
func (sc Scope) Location() Source {
	if f := sc.Frame(); f != nil {
		return Source{f.File, f.Line}
	}
	return Source{}
}

// ShortFunc returns a function's name without the folders of its package path:
// "store.(*Store).Get" of "github.com/acme/shop/store.(*Store).Get".
func ShortFunc(name string) string {
	// Type arguments in brackets may hold paths of their own.
	end := len(name)
	if i := strings.IndexByte(name, '['); i >= 0 {
		end = i
	}
	if i := strings.LastIndexByte(name[:end], '/'); i >= 0 {
		name = name[i+1:]
	}
	return Clean(name)
}
