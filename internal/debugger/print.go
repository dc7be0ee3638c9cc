package debugger

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// The notation is that of dlv's print command (service/api/prettyprint.go of
// Delve 1.27), down to its trailing commas, with these additions: a value that
// the dump has not got is "(optimized out)", "(past depth 10)" and so on, and
// the same words stand behind what was cut by the capture rather than by the
// limits of printing.

// Format prints the value.
func (x *Value) Format(f Format) string {
	text, note := x.Print(f)
	if f.Notes && note != "" {
		text += " // " + note
	}
	return text
}

// Print prints the value, and says apart from it what [Value.Note] says of the
// value and of all the parts that were printed. Format.Notes has no meaning here.
func (x *Value) Print(f Format) (text, note string) {
	l := loader{s: x.s, cfg: f.LoadConfig}
	n := l.load(x, 0)
	p := printer{verb: f.Verb, short: f.ShortTypes, raw: f.RawStrings}
	p.node(&n, mode{top: true, types: true, lines: f.Multiline}, f.Indent)
	if n.missing == "" {
		note = noteText(x.state, l.dead, l.late)
	}
	return p.String(), note
}

// String prints the value on one line within the default limits.
func (x *Value) String() string { return x.Format(Format{LoadConfig: DefaultLoad()}) }

// mode says how one node is printed.
type mode struct {
	top   bool // it is not a part of another
	types bool // with its type
	lines bool // on several lines if it is long
}

type printer struct {
	strings.Builder
	verb  string
	short bool
	raw   bool
}

const indentation = "\t"

// maxShortString is how long a string may be without breaking the struct or
// array that it is in into lines.
const maxShortString = 7

func (p *printer) typ(n *node) string {
	if p.short {
		return ShortenType(n.typ)
	}
	return n.typ
}

// cut prints why the dump does not have more.
func (p *printer) cut(n *node) {
	if n.cut != "" {
		p.WriteString(" (" + n.cut + ")")
	}
}

func (p *printer) node(n *node, m mode, indent string) {
	if n.missing != "" {
		p.missing(n.missing)
		return
	}
	if n.summary != "" && p.verb == "" && n.kind != dump.Pointer {
		p.WriteString(p.typ(n) + "(" + n.summary + ") ")
		m.types = false
		p.parts(n, m, indent)
	}
	switch n.kind {
	case dump.Slice:
		if m.types {
			capacity := strconv.FormatInt(n.cap, 10)
			if n.cap < 0 {
				capacity = "?" // the compiler did not keep it
			}
			fmt.Fprintf(p, "%s len: %d, cap: %s, ", p.typ(n), n.len, capacity)
		}
		if n.isNil {
			p.WriteString("nil")
			return
		}
		p.elements(n, m, indent)
	case dump.Array:
		if m.types {
			p.WriteString(p.typ(n) + " ")
		}
		p.elements(n, m, indent)
	case dump.Pointer:
		p.pointer(n, m, indent)
	case dump.Struct:
		if n.text != "" {
			p.WriteString(p.typ(n) + "(" + n.text + ")")
			m.types = false
			if n.unread {
				return
			}
		}
		p.fields(n, m, indent)
	case dump.Interface:
		p.iface(n, m, indent)
	case dump.Map:
		if m.types {
			p.WriteString(p.typ(n) + " ")
		}
		if n.isNil {
			p.WriteString("nil")
			return
		}
		p.entries(n, m, indent)
	case dump.Chan:
		switch {
		case n.isNil:
			p.WriteString(p.typ(n) + " nil")
		case m.lines:
			n.len = int64(len(n.kids))
			p.fields(n, m, indent)
			p.cut(n)
		default:
			fmt.Fprintf(p, "%s %s/%s", p.typ(n), n.kids[0].text, n.kids[1].text)
		}
	case dump.Func:
		p.function(n, m, indent)
	case dump.UnsafePointer:
		if n.isNil {
			p.WriteString("unsafe.Pointer(0x0)")
			return
		}
		p.WriteString(n.text)
	case dump.String:
		p.str(n)
	case dump.Invalid:
		if n.isNil {
			p.WriteString("nil")
			return
		}
		p.WriteString("(unknown invalid)")
	default:
		if p.verb == "" {
			p.WriteString(n.text)
			return
		}
		fmt.Fprintf(p, p.verb, n.raw)
	}
}

// missing prints what stands for a value that is not there.
func (p *printer) missing(why string) {
	// dlv says "(unreadable why)", without a colon.
	if rest, ok := strings.CutPrefix(why, "unreadable: "); ok {
		why = "unreadable " + rest
	}
	p.WriteString("(" + why + ")")
}

func (p *printer) str(n *node) {
	if p.verb != "" {
		fmt.Fprintf(p, p.verb, n.raw)
		return
	}
	s := n.text
	if int64(len(s)) != n.len {
		s += fmt.Sprintf("...+%d more", n.len-int64(len(s)))
	}
	if !p.raw {
		s = strconv.Quote(s)
	}
	p.WriteString(s)
	p.cut(n)
}

func (p *printer) pointer(n *node, m mode, indent string) {
	if len(n.kids) == 0 {
		p.WriteString("nil")
		return
	}
	kid := &n.kids[0]
	switch {
	case kid.isNil:
		// What a nil pointer would point at stands behind its star.
		p.WriteString("*")
		if m.types {
			p.WriteString(p.typ(kid) + " ")
		}
		p.WriteString("nil")
		return
	case kid.address && kid.addr != 0:
		p.address(n, kid.addr)
		p.leads(n)
		p.cut(n)
		return
	}
	if m.top && m.lines && kid.addr != 0 {
		p.address(n, kid.addr)
		p.WriteString("\n")
	}
	p.WriteString("*")
	m.top = false
	p.node(kid, m, indent)
}

// address prints "(*T)(0x…)" for a node of type *T.
func (p *printer) address(n *node, addr uint64) {
	if strings.Contains(n.typ, "/") {
		fmt.Fprintf(p, "(%q)(%#x)", p.typ(n), addr)
	} else {
		fmt.Fprintf(p, "(%s)(%#x)", p.typ(n), addr)
	}
}

// leads prints what a type support says of what an address leads to.
func (p *printer) leads(n *node) {
	if n.summary != "" {
		p.WriteString(" (" + n.summary + ")")
	}
}

// parts prints what a type support shows of a value that is no struct.
func (p *printer) parts(n *node, m mode, indent string) {
	if len(n.parts) == 0 {
		return
	}
	p.fields(&node{kids: n.parts, len: int64(len(n.parts))}, m, indent)
	p.WriteString(" ")
}

// place prints "(*T)(0x…)" for a node of type T that was not loaded.
func (p *printer) place(n *node) {
	switch {
	case n.addr == 0:
		p.WriteString(p.typ(n) + " {...}")
	case strings.Contains(n.typ, "/"):
		fmt.Fprintf(p, "(*%q)(%#x)", p.typ(n), n.addr)
	default:
		fmt.Fprintf(p, "(*%s)(%#x)", p.typ(n), n.addr)
	}
}

func (p *printer) fields(n *node, m mode, indent string) {
	if n.unread || n.len > 0 && len(n.kids) == 0 {
		p.place(n)
		return
	}
	if m.types {
		p.WriteString(p.typ(n) + " ")
	}
	lines := m.lines && breakStruct(n)
	p.WriteString("{")
	for i := range n.kids {
		if lines {
			p.WriteString("\n" + indent + indentation)
		}
		p.WriteString(n.kids[i].name + ": ")
		p.node(&n.kids[i], mode{types: true, lines: lines}, indent+indentation)
		switch {
		case lines:
			p.WriteString(",")
		case i != len(n.kids)-1:
			p.WriteString(", ")
		}
	}
	if more := n.len - int64(len(n.kids)); more != 0 {
		if lines {
			p.WriteString("\n" + indent + indentation)
		} else {
			p.WriteString(",")
		}
		fmt.Fprintf(p, "...+%d more", more)
	}
	p.WriteString("}")
}

func (p *printer) elements(n *node, m mode, indent string) {
	lines := m.lines && breakArray(n)
	p.WriteString("[")
	for i := range n.kids {
		if lines {
			p.WriteString("\n" + indent + indentation)
		}
		p.node(&n.kids[i], mode{lines: lines}, indent+indentation)
		if i != len(n.kids)-1 || lines {
			p.WriteString(",")
		}
	}
	p.rest(n, n.len-int64(len(n.kids)), lines, indent)
	if lines {
		p.WriteString("\n" + indent)
	}
	p.WriteString("]")
	if len(n.kids) == 0 {
		p.cut(n)
	}
}

// rest prints how many elements or entries were left out.
func (p *printer) rest(n *node, more int64, lines bool, indent string) {
	switch {
	case more == 0:
		return
	case len(n.kids) == 0:
		p.WriteString("...")
		return
	case lines:
		p.WriteString("\n" + indent + indentation)
	default:
		p.WriteString(",")
	}
	fmt.Fprintf(p, "...+%d more", more)
	p.cut(n)
}

func (p *printer) entries(n *node, m mode, indent string) {
	lines := m.lines && len(n.kids) > 0
	p.WriteString("[")
	for i := 0; i+1 < len(n.kids); i += 2 {
		if lines {
			p.WriteString("\n" + indent + indentation)
		}
		p.node(&n.kids[i], mode{}, indent+indentation)
		p.WriteString(": ")
		p.node(&n.kids[i+1], mode{lines: lines}, indent+indentation)
		p.WriteString(", ") // dlv has it behind the last one too
	}
	p.rest(n, n.len-int64(len(n.kids)/2), lines, indent)
	if lines {
		p.WriteString("\n" + indent)
	}
	p.WriteString("]")
	if len(n.kids) == 0 {
		p.cut(n)
	}
}

func (p *printer) iface(n *node, m mode, indent string) {
	if n.isNil || len(n.kids) == 0 {
		if m.types {
			p.WriteString(p.typ(n) + " ")
		}
		p.WriteString("nil")
		return
	}
	data := &n.kids[0]
	if m.types {
		p.WriteString(p.typ(n))
		if data.typ != "" {
			p.WriteString("(" + p.typ(data) + ")")
		}
		p.WriteString(" ")
	}
	// The type of the data is printed once: here, or with it.
	inner := mode{types: !m.types, lines: m.lines}
	switch {
	case data.missing != "":
		p.missing(data.missing)
	case data.kind == dump.Pointer && data.address:
		p.WriteString("...")
	case data.kind == dump.Pointer && len(data.kids) > 0 && data.kids[0].isNil:
		p.WriteString("nil")
	case data.kind == dump.Pointer && len(data.kids) > 0 && data.kids[0].address:
		fmt.Fprintf(p, "%#x", data.kids[0].addr)
		p.leads(data)
		p.cut(data)
	case data.address && n.addr == 0:
		p.WriteString("...")
	case data.address:
		p.WriteString("*")
		p.place(n)
	default:
		p.node(data, inner, indent)
	}
}

func (p *printer) function(n *node, m mode, indent string) {
	if n.isNil {
		p.WriteString("nil")
		return
	}
	p.WriteString(n.text)
	if !m.lines || len(n.kids) == 0 {
		return
	}
	p.WriteString(" {\n")
	for i := range n.kids {
		p.WriteString(indent + indentation + n.kids[i].name + " " + p.typ(&n.kids[i]) + " = ")
		p.node(&n.kids[i], mode{lines: m.lines}, indent+indentation)
		p.WriteString("\n")
	}
	p.WriteString(indent + "}")
}

// breakStruct reports whether a struct goes on several lines: one of its fields
// is composite, or a long string.
func breakStruct(n *node) bool {
	for i := range n.kids {
		if breaks(&n.kids[i]) {
			return true
		}
	}
	return false
}

// breakArray is breakStruct for arrays and slices, whose elements are alike but
// for the lengths of strings.
func breakArray(n *node) bool {
	if len(n.kids) == 0 {
		return false
	}
	if k, _ := behindPointers(&n.kids[0]); k.kind != dump.String {
		return breaks(&n.kids[0])
	}
	return breakStruct(n)
}

func breaks(n *node) bool {
	k, pointer := behindPointers(n)
	switch k.kind {
	case dump.Slice, dump.Array, dump.Struct, dump.Map, dump.Interface:
		return true
	case dump.String:
		return pointer || len(k.text) > maxShortString
	}
	return false
}

// behindPointers returns what a node points at, through any number of pointers
// that were followed.
func behindPointers(n *node) (target *node, pointer bool) {
	for n.kind == dump.Pointer {
		pointer = true
		if len(n.kids) == 0 {
			break
		}
		n = &n.kids[0]
	}
	return n, pointer
}
