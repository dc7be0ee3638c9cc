package verdict

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Class says in what two accounts differ.
type Class string

// The classes.
const (
	Stack   Class = "stack"   // the calls are not the same
	Absent  Class = "absent"  // a variable that only the other witness has
	Extra   Class = "extra"   // a variable that the other witness does not have
	Type    Class = "type"    // the type has another name or kind
	Role    Class = "role"    // local or argument, escaped or not
	Wrong   Class = "wrong"   // both have a value, and they differ
	Missing Class = "missing" // the other has a value where the first has none
	More    Class = "more"    // the first has a value where the other has none
)

// Diff is a difference between two accounts: ours and another one.
type Diff struct {
	Fixture string
	Class   Class
	Func    string
	Line    int
	Path    string // the variable, and the way from it
	Ours    string
	Theirs  string
	// Optimized is set if the code of the frame is.
	Optimized bool
	// Dead is set if ours says itself that the value may be stale.
	Dead bool
}

// Key names the variable of the difference.
func (d *Diff) Key() string {
	name, _, _ := strings.Cut(d.Path, ".")
	name, _, _ = strings.Cut(name, "[")
	return key(d.Func, d.Line, name)
}

func key(fn string, line int, name string) string { return fmt.Sprintf("%s:%d %s", fn, line, name) }

func (d Diff) String() string {
	return fmt.Sprintf("%s: %s: %s:%d %s: ours %s, theirs %s", d.Fixture, d.Class, d.Func, d.Line, d.Path, d.Ours, d.Theirs)
}

// Comparison compares accounts, and counts.
type Comparison struct {
	Fixture string
	// SameProcess is set if addresses are the same.
	SameProcess bool
	Frames      int
	Vars        int // variables that both have
	Values      int // values that both have, with those that variables lead to
	Diffs       []Diff
	// Agreed are the variables, by Key, of which ours has a value that nothing of the
	// other account contradicts.
	Agreed []string

	frame *Frame
	v     *Var
	told  int // differences of v
	// against is set if something contradicts v.
	against bool
	seen    map[[2]string]bool
}

// maxDiffs bounds how many differences of one variable are told: the elements of an array tend to
// differ all in the same way.
const maxDiffs = 10

func (c *Comparison) diff(class Class, path, ours, theirs string) {
	if class == Wrong || class == Type {
		c.against = true
	}
	if c.v != nil {
		if c.told++; c.told > maxDiffs {
			return
		}
	}
	d := Diff{Fixture: c.Fixture, Class: class, Path: path, Ours: short(ours), Theirs: short(theirs)}
	if c.frame != nil {
		d.Func, d.Line, d.Optimized = c.frame.Func, c.frame.Line, c.frame.Optimized
	}
	d.Dead = c.v != nil && c.v.Dead
	c.Diffs = append(c.Diffs, d)
}

func short(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// Stacks compares two stacks, call by call.
func (c *Comparison) Stacks(ours, theirs []Frame) {
	c.seen = map[[2]string]bool{}
	for i := 0; i < max(len(ours), len(theirs)); i++ {
		c.frame, c.v = nil, nil
		switch {
		case i >= len(ours):
			c.diff(Stack, fmt.Sprint("frame ", i), "nothing", frameText(&theirs[i]))
			return
		case i >= len(theirs):
			c.diff(Stack, fmt.Sprint("frame ", i), frameText(&ours[i]), "nothing")
			return
		}
		a, b := &ours[i], &theirs[i]
		same := a.Line == b.Line
		if c.SameProcess { // another build inlines other calls, and names their closures otherwise
			same = frameText(a) == frameText(b) && a.PC == b.PC
		}
		if !same {
			c.diff(Stack, fmt.Sprint("frame ", i), frameText(a), frameText(b))
			if i+1 < len(ours) && c.SameProcess && a.Inlined && a.PC == b.PC && ours[i+1].PC == b.PC {
				ours = slices.Delete(slices.Clone(ours), i, i+1) // Delve leaves an inlined call out
				i--
				continue
			}
			if !c.SameProcess || a.Func != b.Func || a.PC != b.PC {
				return
			}
		}
		c.Frames++
		c.frame = a
		if c.SameProcess {
			a.Optimized = b.Optimized
		}
		c.vars(a, b)
	}
}

func frameText(f *Frame) string {
	return fmt.Sprintf("%s:%d inlined=%t", f.Func, f.Line, f.Inlined)
}

// vars compares the variables of a call. Those of the same name are told apart by the line of their
// declaration, and by their order.
func (c *Comparison) vars(a, b *Frame) {
	used := make([]bool, len(b.Vars))
	for i := range a.Vars {
		x := &a.Vars[i]
		c.v, c.told = x, 0
		k := -1
		for j := range b.Vars {
			if !used[j] && b.Vars[j].Name == x.Name && c.sameLine(b.Vars[j].Line, x.Line) {
				k = j
				break
			}
		}
		if k < 0 {
			c.diff(Extra, x.Name, fmt.Sprintf("%s of line %d: %s", x.Kind, x.Line, x.Value.summary()), "nothing")
			continue
		}
		used[k] = true
		y := &b.Vars[k]
		c.Vars++
		// Delve forgets of an escaped variable that it is an argument.
		if x.Kind != y.Kind && c.SameProcess && !(x.Escaped && x.Kind == "arg") && !(x.Kind == "captured" && y.Kind == "local") { // Delve has no such kind
			c.diff(Role, x.Name, x.Kind, y.Kind)
		}
		if x.Escaped != y.Escaped && c.SameProcess {
			c.diff(Role, x.Name, fmt.Sprint("escaped ", x.Escaped), fmt.Sprint("escaped ", y.Escaped))
		}
		c.against = false
		c.value(x.Name, x.Value, y.Value, 0)
		if !c.against && x.Value.Why == "" {
			c.Agreed = append(c.Agreed, key(a.Func, a.Line, x.Name))
		}
	}
	c.v = nil
	for j := range b.Vars {
		if y := &b.Vars[j]; !used[j] {
			ours := "nothing"
			if slices.ContainsFunc(a.Vars, func(x Var) bool { return x.Name == y.Name && c.sameLine(x.Line, y.Line) }) {
				ours = "the same once"
			}
			c.diff(Absent, y.Name, ours, fmt.Sprintf("%s of line %d: %s", y.Kind, y.Line, y.Value.summary()))
		}
	}
}

// sameLine compares the lines of declarations. What was inlined often has none.
func (c *Comparison) sameLine(a, b int) bool { return a == b || !c.SameProcess && (a == 0 || b == 0) }

func (n *Node) summary() string {
	if n.Why != "" {
		return n.Type + " (" + n.Why + ")"
	}
	return n.Type + " " + n.text(2)
}

// maxNesting bounds a way through values; a longer one is a cycle that could not be told.
const maxNesting = 3000

func (c *Comparison) value(path string, a, b *Node, nesting int) {
	if nesting > maxNesting {
		c.diff(Wrong, path[:100], "a way without an end", "")
		return
	}
	// A type that one knows by another name is one difference, not one for each value of it.
	if !sameType(a, b) {
		c.diff(Type, path, a.Type, b.Type)
	}
	switch {
	case a.Why != "" && b.Why != "":
		return
	case a.Why != "":
		c.diff(Missing, path, a.Why, b.summary())
		return
	case b.Why != "":
		c.diff(More, path, a.summary(), b.Why)
		return
	}
	if kindClass(a.Kind) != kindClass(b.Kind) {
		c.diff(Wrong, path, a.Kind.String(), b.Kind.String())
		return
	}
	if a.ID != "" && b.ID != "" {
		k := [2]string{a.ID, b.ID}
		if c.seen[k] {
			return
		}
		c.seen[k] = true
	}
	c.Values++
	wrong := func(format string, x, y any) {
		c.diff(Wrong, path, fmt.Sprintf(format, x), fmt.Sprintf(format, y))
	}
	if a.Nil != b.Nil {
		wrong("nil %t", a.Nil, b.Nil)
		return
	}
	if a.Text != b.Text && (c.SameProcess || !ofOneBuild(a, b)) {
		wrong("%s", a.Text, b.Text)
		return
	}
	if c.SameProcess && a.Kind != reflect.Func && a.Ptr != b.Ptr && !(a.Kind == reflect.Slice && a.Cap == 0) {
		wrong("at %#x", a.Ptr, b.Ptr)
	}
	if a.Closed != b.Closed {
		wrong("closed %t", a.Closed, b.Closed)
	}
	if a.Kind != reflect.Array && (a.Len != b.Len || a.Cap != b.Cap) {
		c.diff(Wrong, path, fmt.Sprint("len ", a.Len, " cap ", a.Cap), fmt.Sprint("len ", b.Len, " cap ", b.Cap))
		return
	}
	if n := min(len(a.Data), len(b.Data)); a.Kind == reflect.String && a.Data[:n] != b.Data[:n] {
		wrong("%q", a.Data, b.Data)
		return
	}
	switch a.Kind {
	case reflect.Map:
		c.entries(path, a, b, nesting)
		return
	case reflect.Pointer, reflect.Interface:
		if len(a.Kids) != len(b.Kids) {
			if len(a.Kids) == 0 {
				c.diff(Missing, path, "nothing behind it", fmt.Sprint(len(b.Kids)))
			} else {
				c.diff(More, path, "something behind it", "nothing")
			}
			return
		}
	case reflect.Func:
		if !c.SameProcess {
			// What a closure captures depends on the build.
			for i := range a.Kids {
				if k := slices.IndexFunc(b.Kids, func(y Kid) bool { return y.Name == a.Kids[i].Name }); k >= 0 {
					c.value(path+"."+a.Kids[i].Name, a.Kids[i].Get(), b.Kids[k].Get(), nesting+1)
				}
			}
			return
		}
		fallthrough
	case reflect.Struct:
		if c.SameProcess && slices.Contains([]string{"runtime.g", "runtime.m", "runtime.p"}, a.Type) {
			return // they change all the time
		}
		if !c.SameProcess && strings.HasPrefix(a.Type, "internal/abi.") {
			return // the runtime's types lie elsewhere in every build
		}
		if len(a.Kids) != len(b.Kids) {
			wrong("parts: %s", strings.Join(names(a.Kids), " "), strings.Join(names(b.Kids), " "))
			return
		}
	default: // collections, which may be cut
		if len(a.Kids) < len(b.Kids) {
			c.diff(Missing, path, fmt.Sprint(len(a.Kids), " elements"), fmt.Sprint(len(b.Kids), " elements"))
		}
	}
	for i := range min(len(a.Kids), len(b.Kids)) {
		x, y := &a.Kids[i], &b.Kids[i]
		if x.Name != y.Name {
			wrong("name %s", x.Name, y.Name)
			continue
		}
		v, w := x.Get(), y.Get()
		if a.Kind == reflect.Func && w.Type == "*"+v.Type {
			c.diff(Type, path+"."+x.Name, v.Type, w.Type) // by value, or by reference?
			continue
		}
		c.value(path+"."+x.Name, v, w, nesting+1)
	}
}

func names(ks []Kid) []string {
	var out []string
	for i := range ks {
		out = append(out, ks[i].Name)
	}
	return out
}

// entries compares maps as sets.
func (c *Comparison) entries(path string, a, b *Node, nesting int) {
	if len(a.Kids) != len(b.Kids) {
		if int64(len(b.Kids))/2 == b.Len || len(b.Kids)/2 < limits.Entries { // else Delve was not asked for all
			c.diff(Wrong, path, fmt.Sprint(len(a.Kids)/2, " entries"), fmt.Sprint(len(b.Kids)/2, " entries"))
		}
		return
	}
	type entry struct {
		text     string
		key, val *Node
	}
	list := func(n *Node) []entry {
		var es []entry
		twice := map[string]int{}
		for i := 0; i+1 < len(n.Kids); i += 2 {
			k := n.Kids[i].Get()
			e := entry{k.text(4), k, n.Kids[i+1].Get()}
			if c.SameProcess {
				e.text += fmt.Sprint("@", k.deepPtr())
			}
			twice[e.text]++
			es = append(es, e)
		}
		for i := range es {
			if twice[es[i].text] > 1 { // NaN
				es[i].text += " " + es[i].val.text(4)
			}
		}
		slices.SortStableFunc(es, func(x, y entry) int { return strings.Compare(x.text, y.text) })
		return es
	}
	as, bs := list(a), list(b)
	for i := range as {
		at := path + "[" + short(as[i].key.text(2)) + "]"
		c.value(at+" (key)", as[i].key, bs[i].key, nesting+1)
		c.value(at, as[i].val, bs[i].val, nesting+1)
	}
}

// deepPtr is the address that a pointer key holds, also one in an interface.
func (n *Node) deepPtr() uint64 {
	if n.Kind == reflect.Interface && len(n.Kids) == 1 {
		return n.Kids[0].Get().deepPtr()
	}
	if n.Kind == reflect.Pointer || n.Kind == reflect.Chan {
		return n.Ptr
	}
	return 0
}

// text describes a value some levels deep, without addresses.
func (n *Node) text(depth int) string {
	var b strings.Builder
	n.write(&b, depth)
	return b.String()
}

func (n *Node) write(b *strings.Builder, depth int) {
	if b.Len() > 4000 {
		return
	}
	if n.Why != "" {
		b.WriteString("(" + n.Why + ")")
		return
	}
	switch n.Kind {
	case reflect.String:
		fmt.Fprintf(b, "%q", short(n.Data))
		return
	case reflect.Pointer, reflect.UnsafePointer, reflect.Interface, reflect.Slice, reflect.Map, reflect.Chan, reflect.Func:
		if n.Nil {
			b.WriteString("nil")
			return
		}
		if n.Kind == reflect.Interface && len(n.Kids) == 1 {
			k := n.Kids[0].Get()
			b.WriteString(k.Type + "(")
			k.write(b, depth)
			b.WriteString(")")
			return
		}
		if n.Kind == reflect.Pointer {
			b.WriteString("&")
		}
		if n.Kind == reflect.Slice {
			fmt.Fprintf(b, "len %d ", n.Len)
		}
	}
	b.WriteString(n.Text)
	if len(n.Kids) == 0 {
		return
	}
	if depth <= 0 {
		b.WriteString("…")
		return
	}
	b.WriteString("{")
	for i := range n.Kids {
		if i > 0 {
			b.WriteString(" ")
		}
		if i > 20 {
			b.WriteString("…")
			break
		}
		n.Kids[i].Get().write(b, depth-1)
	}
	b.WriteString("}")
}

// ofOneBuild reports whether the texts are of a kind that may differ between builds:
// addresses, and names of closures, which depend on what is inlined.
func ofOneBuild(a, b *Node) bool {
	return a.Kind == reflect.Uintptr || a.Kind == reflect.Func && closureName.MatchString(a.Text) && closureName.MatchString(b.Text)
}

var closureName = regexp.MustCompile(`\.func\d+|-range\d+$`)

// kindClass is the kind as far as Delve tells kinds apart.
func kindClass(k reflect.Kind) reflect.Kind {
	switch {
	case k >= reflect.Int && k <= reflect.Int64:
		return reflect.Int
	case k >= reflect.Uint && k <= reflect.Uintptr:
		return reflect.Uint
	}
	return k
}

// sameType reports whether the two types bear the same name, as far as the witnesses write
// names in the same way: in type literals the debug info has full package paths, also of the names of fields
// that are not exported, and it numbers types that are declared in functions.
func sameType(a, b *Node) bool {
	return a.Type == b.Type || plainType(a.Type) == plainType(b.Type)
}

var (
	importPath = regexp.MustCompile(`[\w.~-]+(/[\w.~-]+)*/`)
	qualified  = regexp.MustCompile(`\b\w+\.([a-z]\w*)( |\()`)
	numbered   = regexp.MustCompile(`·\d+`)
)

func plainType(s string) string {
	s = importPath.ReplaceAllString(s, "")
	s = qualified.ReplaceAllString(s, "$1$2")
	return numbered.ReplaceAllString(s, "")
}
