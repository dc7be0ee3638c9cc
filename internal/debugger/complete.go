package debugger

import (
	"go/token"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// maxCompletions bounds what Complete returns.
const maxCompletions = 500

// Complete proposes how to finish an expression that ends where the cursor is:
// names of variables, fields after a dot, and keys after the bracket of a map
// with string keys. head is the part of expr that the proposals do not replace;
// each proposal continues it. Proposals are free of control characters.
func (sc Scope) Complete(expr string) (head string, proposals []string) {
	if sc.s == nil || len(expr) > maxExpr {
		return expr, nil
	}
	if i := mapKeyStart(expr); i >= 0 {
		return expr[:i], sc.completeKey(expr[:i], expr[i:])
	}
	i := len(expr)
	for i > 0 && identByte(expr[i-1]) {
		i--
	}
	head, part := expr[:i], expr[i:]
	var names []string
	if base, ok := strings.CutSuffix(head, "."); ok {
		operand := base[operandStart(base):]
		if x, err := sc.Eval(operand); err == nil {
			names = x.memberNames()
		} else if names = sc.s.packageVarNames(strings.Trim(operand, `"`)); len(names) == 0 {
			return head, nil
		}
	} else {
		names = sc.names()
	}
	return head, matching(names, part)
}

// names returns what an identifier can mean in the scope.
func (sc Scope) names() []string {
	var names []string
	if f := sc.Frame(); f != nil {
		for i := range f.Vars {
			names = append(names, f.Vars[i].Name)
		}
	}
	if sc.g != nil {
		for i := range sc.g.Values {
			names = append(names, sc.g.Values[i].Name)
		}
	}
	return append(names, sc.s.packageNames()...)
}

// matching returns the names that begin with part and that can be written in an
// expression, sorted.
func matching(names []string, part string) []string {
	var list []string
	for _, n := range names {
		if strings.HasPrefix(n, part) && token.IsIdentifier(n) && n != "_" && Clean(n) == n {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return list[:min(len(list), maxCompletions)]
}

// memberNames returns the names that Member understands.
func (x *Value) memberNames() []string {
	if x.why != "" || x.typ == nil {
		return nil
	}
	if x.Kind() == dump.Interface {
		if x.IsNil() {
			return nil
		}
		if x = x.Dynamic(); x.why != "" || x.typ == nil {
			return nil
		}
	}
	switch x.Kind() {
	case dump.Chan:
		return []string{"qcount", "dataqsiz", "closed"}
	case dump.Func:
		c := x.captured()
		if c == nil {
			return nil
		}
		var names []string
		for i := range c.typ.Fields {
			name, _ := capturedVar(c, i)
			names = append(names, name)
		}
		return names
	}
	t := x.typ
	if t.Kind == dump.Pointer {
		t = x.s.r.Type(t.Elem)
	}
	if t == nil || t.Kind != dump.Struct {
		return nil
	}
	var names []string
	x.s.fields(t, func(f *dump.Field, _ []int) bool {
		names = append(names, f.Name)
		return len(names) < 10*maxCompletions
	})
	return names
}

func identByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// operandStart returns where the operand that ends at the end of s begins: it
// goes back over names, dots, and balanced brackets.
func operandStart(s string) int {
	i := len(s)
	for i > 0 {
		switch c := s[i-1]; {
		case identByte(c), c == '.':
			i--
		case c == ')' || c == ']':
			j := opening(s[:i])
			if j < 0 {
				return i
			}
			i = j
		case c == '"' && quoteStart(s[:i]) >= 0:
			i = quoteStart(s[:i])
		default:
			return i
		}
	}
	return 0
}

// opening returns the index of the bracket that the last byte of s closes, -1 if
// there is none.
func opening(s string) int {
	depth := 0
	for i := len(s) - 1; i >= 0; i-- {
		switch s[i] {
		case ')', ']':
			depth++
		case '(', '[':
			if depth--; depth == 0 {
				return i
			}
		case '"':
			j := quoteStart(s[:i+1])
			if j < 0 {
				return -1
			}
			i = j
		}
	}
	return -1
}

// quoteStart returns where the string literal begins that the last byte of s
// closes, -1 if there is none.
func quoteStart(s string) int {
	for i := len(s) - 2; i >= 0; i-- {
		if s[i] == '"' && (i == 0 || s[i-1] != '\\') {
			return i
		}
	}
	return -1
}

// mapKeyStart returns where a string literal begins that is open at the end of
// s and stands behind an opening bracket, -1 if there is none.
func mapKeyStart(s string) int {
	open := -1
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && open >= 0:
			i++
		case s[i] == '"' && open >= 0:
			open = -1
		case s[i] == '"':
			open = i
		}
	}
	if open > 0 && s[open-1] == '[' {
		return open
	}
	return -1
}

func (sc Scope) completeKey(head, part string) []string {
	base := strings.TrimSuffix(head, "[")
	x, err := sc.Eval(base[operandStart(base):])
	if err != nil {
		return nil
	}
	if x, err = x.throughPointer(); err != nil || x.Kind() != dump.Map || x.IsNil() {
		return nil
	}
	var list []string
	e := x.entries()
	const maxScan = 20_000 // entries; completion must answer at once
	for i := range min(e.n, maxScan) {
		k, _ := x.entry(&e, i)
		if key := mapKeyText(k); key != "" && strings.HasPrefix(key, part) {
			if list = append(list, key+"]"); len(list) == maxCompletions {
				break
			}
		}
	}
	slices.Sort(list)
	return list
}
