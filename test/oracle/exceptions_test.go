package oracle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/verdict"
)

// exception is a difference from Delve that is meant, or where Delve is wrong.
type exception struct {
	why   string
	is    func(d *verdict.Diff) bool
	found int
}

// misplacement is a variable that the compiler's debug info has the old value of: it puts an assignment off
// until after a call, and says that the variable has changed before. Delve shows the same.
type misplacement struct {
	fixture, name string
	why           string
	found         int
}

type exceptions struct {
	list   []exception
	places []misplacement
	random []string // functions and variables of random programs that both read alike, and not as the source has it
}

func newExceptions() *exceptions {
	has := strings.Contains
	return &exceptions{
		list: []exception{
			{why: "Delve shows temporaries of the compiler", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Absent && strings.HasPrefix(d.Path, ".autotmp_")
			}},
			{why: "results and parameters without a name are no variables of the program: ~r0, ~p1", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Absent && strings.HasPrefix(d.Path, "~")
			}},
			{why: "Delve shows a result twice if it escapes, or if the function defers: as a result and as a local, or without a place", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Absent && d.Ours == "the same once"
			}},
			{why: "… and the first of them is not escaped", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Role && d.Ours == "escaped true" && d.Theirs == "escaped false"
			}},
			{why: "Delve follows a pointer of an unknown type argument as *uint8, which shows a byte that is none", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Missing && has(d.Ours, "the type argument that it stands for is not known") && has(d.Theirs, "go.shape.")
			}},
			{why: "Delve looks what a register's piece points to up in the pieces themselves", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.More && has(d.Theirs, "read out of bounds") && d.Optimized
			}},
			{why: "in optimised builds Delve does not find the dictionary, and shows the shape of a type argument", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Type && has(d.Theirs, "go.shape.") && !has(d.Ours, "go.shape.")
			}},
			{why: "of an escaped variable that has no place Delve shows the type of the pointer to it; and what a closure has captured by value it takes for a pointer, if the closure lets it escape", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Type && d.Theirs == "*"+d.Ours
			}},
			{why: "Delve leaves out variables that are declared on the failing line; a location list says which of them have a value: that of a loop", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Extra && has(d.Ours, fmt.Sprintf("local of line %d:", d.Line)) && d.Optimized
			}},
			{why: "a variable that may have been captured by value or by reference is left out if nothing tells which; Delve always takes it for a reference", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Wrong && strings.HasPrefix(d.Ours, "parts: ") && len(d.Ours) < len(d.Theirs)
			}},
			{why: "a type support leaves out what says nothing: the runtime's description of a type", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Missing && has(d.Ours, "left out by the support of its type")
			}},
			{why: "Delve leaves out calls that were inlined into a function that faults, and takes its line for theirs", is: func(d *verdict.Diff) bool {
				return d.Class == verdict.Stack && (has(d.Ours, "inlined=true") || has(d.Theirs, "init.")) && has(d.Theirs, "inlined=false")
			}},
		},
		places: []misplacement{
			{fixture: "shadow", name: "err2", why: "err2 += int(err) is done after the call"},
			{fixture: "genericmethods", name: "n", why: "n++ is done after the call"},
		},
		random: []string{},
	}
}

func (e *exceptions) covers(d *verdict.Diff) bool {
	for i := range e.list {
		if x := &e.list[i]; x.is(d) {
			x.found++
			return true
		}
	}
	return false
}

func (e *exceptions) misplaced(d *verdict.Diff) bool {
	for _, r := range e.random {
		if fn, name, _ := strings.Cut(r, " "); strings.HasSuffix(d.Func, "."+fn) && (d.Path == name || strings.HasPrefix(d.Path, name+".")) {
			return true
		}
	}
	for i := range e.places {
		if p := &e.places[i]; p.fixture == d.Fixture && p.name == d.Path {
			p.found++
			return true
		}
	}
	return false
}

// stale fails for exceptions that nothing needs any more.
func (e *exceptions) stale(t *testing.T) {
	for _, x := range e.list {
		if x.found == 0 {
			t.Errorf("no difference is covered by: %s", x.why)
		}
	}
	for _, p := range e.places {
		if p.found == 0 {
			t.Errorf("%s of %s is right now: %s", p.name, p.fixture, p.why)
		}
	}
}
