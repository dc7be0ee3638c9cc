package debugger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Reason is one line of what failed: the panic value or an error, with the
// errors that it wraps behind it.
type Reason struct {
	Depth int // 0 for the root of a tree, one more for each Unwrap
	dump.ErrorInfo
}

// Reasons returns the header's panic value or error tree, each wrapped error
// after the one that wraps it. A tree whose parents make no sense is returned
// flat.
func (s *Session) Reasons() []Reason {
	infos := s.h.Reason
	kids := make([][]int, len(infos))
	var roots []int
	for i, e := range infos {
		// A parent comes before its children, so there can be no cycle.
		if e.Parent >= 0 && e.Parent < i {
			kids[e.Parent] = append(kids[e.Parent], i)
		} else {
			roots = append(roots, i)
		}
	}
	var list []Reason
	type item struct{ i, depth int }
	var stack []item
	for _, i := range slices.Backward(roots) {
		stack = append(stack, item{i, 0})
	}
	for len(stack) > 0 {
		it := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		e := infos[it.i]
		e.Type, e.Message = Clean(e.Type), CleanText(e.Message)
		list = append(list, Reason{it.depth, e})
		for _, k := range slices.Backward(kids[it.i]) {
			stack = append(stack, item{k, it.depth + 1})
		}
	}
	return list
}

// MissingError says that an expression needs a value that the dump has not got.
type MissingError struct {
	Expr string // as the user wrote it, as far as it is known
	Why  string // "optimized out", "past depth 10", "redacted by aws-access-key", …
}

// Error returns the expression and the reason.
func (e *MissingError) Error() string {
	if e.Expr == "" {
		return e.Why
	}
	return e.Expr + ": " + e.Why
}

// reasonText says why a value is not whole, for people.
func (s *Session) reasonText(r dump.Reason, detail string) string {
	text := ""
	switch r {
	case dump.Whole:
		return ""
	case dump.OptimizedOut:
		text = "optimized out"
	case dump.UnavailableRegister:
		text = "unavailable register"
	case dump.Dead:
		text = "dead"
	case dump.DepthLimit:
		for _, b := range s.h.Budgets {
			if b.Name == "depth" && b.Limit > 0 {
				return fmt.Sprintf("past depth %d", b.Limit)
			}
		}
		return "past the depth limit"
	case dump.CollectionLimit:
		text = "past the collection limit"
	case dump.StringLimit:
		text = "past the string limit"
	case dump.ByteBudget:
		text = "byte budget spent"
	case dump.TimeBudget:
		text = "time budget spent"
	case dump.Unreadable:
		text = "unreadable"
	case dump.Redacted:
		if detail != "" {
			return "redacted by " + Clean(detail)
		}
		return "redacted"
	case dump.Unsupported:
		text = "unsupported"
	default:
		text = "missing for an unknown reason"
	}
	if detail != "" {
		text += ": " + Clean(detail)
	}
	return text
}

// DescribeMissing says in one line what a dump, a goroutine or a frame has not
// got, why, and how to have it next time.
func DescribeMissing(m dump.Missing) string {
	var b strings.Builder
	b.WriteString(Clean(m.What))
	if m.Why != "" {
		b.WriteString(": " + Clean(m.Why))
	}
	if m.Hint != "" {
		b.WriteString(" (" + Clean(m.Hint) + ")")
	}
	return b.String()
}
