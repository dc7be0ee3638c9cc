package debugger

import (
	"go/constant"
	"math"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// A value is printed in two steps, as in Delve: load reads as much of it as a
// LoadConfig allows into a tree of nodes, and a printer writes the tree. What
// is on one line and what on several depends on what was loaded, so the two
// cannot be one.

// node is a loaded value.
type node struct {
	kind    dump.Kind
	typ     string
	name    string // of a field or a captured variable
	text    string // a basic value; the bytes of a string; the name of a function; a description of a struct
	raw     any    // the basic value, for package fmt
	addr    uint64
	len     int64
	cap     int64
	isNil   bool // a nil pointer, slice, map, …; or what a nil pointer would point at
	unread  bool // a struct whose fields were not loaded: a limit of the LoadConfig was reached
	address bool // not even looked at: only its address and type are known
	missing string
	cut     string // why the dump has not got (all of) the children
	summary string // what a type support says of a value that is no struct, or of what an address leads to
	parts   []node // … the parts that it names
	kids    []node // of a map: key, value, key, value, …
}

// Bounds of one printed value, whatever the LoadConfig: a dump may be made to
// refer to itself in ways that no Go program can.
const (
	maxNodes = 1 << 18
	maxDepth = 200
)

type loader struct {
	s          *Session
	cfg        LoadConfig
	nodes      int
	depth      int
	dead, late bool // seen anywhere
}

// load reads x. level counts the structs, maps and interfaces round it.
func (l *loader) load(x *Value, level int) node {
	l.nodes++
	l.depth++
	defer func() { l.depth-- }()
	n := node{kind: x.Kind(), typ: x.TypeName(), addr: x.addr}
	switch {
	case l.nodes > maxNodes:
		n.missing = "too large to print"
		return n
	case l.depth > maxDepth:
		n.missing = "nested too deeply"
		return n
	case x.why != "":
		n.missing = x.why
		return n
	}
	l.late = l.late || x.late
	if x.null {
		n.isNil = true
		return n
	}
	if x.con != nil {
		loadConstant(&n, x.con)
		return n
	}
	l.dead = l.dead || x.v.Reason == dump.Dead
	n.isNil = x.IsNil()
	if n.kind != dump.Struct && n.kind != dump.Pointer && n.kind != dump.Interface {
		n.summary = Clean(x.v.Summary)
		n.parts = l.loadParts(x, level)
	}
	switch n.kind {
	case dump.Bool:
		b := x.v.Num != 0
		n.text, n.raw = strconv.FormatBool(b), b
	case dump.Int, dump.Int8, dump.Int16, dump.Int32, dump.Int64:
		i := int64(x.v.Num)
		n.text, n.raw = strconv.FormatInt(i, 10), i
	case dump.Uint, dump.Uint8, dump.Uint16, dump.Uint32, dump.Uint64, dump.Uintptr:
		n.text, n.raw = strconv.FormatUint(x.v.Num, 10), x.v.Num
	case dump.Float32, dump.Float64:
		f := math.Float64frombits(x.v.Num)
		n.text, n.raw = floatText(f, bits(n.kind)), f
	case dump.Complex64, dump.Complex128:
		c := complex(math.Float64frombits(x.v.Num), math.Float64frombits(x.v.Num2))
		n.text, n.raw = complexText(c, bits(n.kind)/2), c
	case dump.String:
		l.loadString(&n, x)
	case dump.Pointer:
		l.loadPointer(&n, x, level)
	case dump.UnsafePointer:
		n.text = "unsafe.Pointer(0x" + strconv.FormatUint(x.v.Ptr, 16) + ")"
	case dump.Slice, dump.Array:
		n.len, n.cap = x.Len(), x.Cap()
		if n.kind == dump.Slice && x.v.Reason != dump.Whole && x.v.Cap < 0 {
			n.cap = -1 // not known
		}
		l.loadElements(&n, x, level)
	case dump.Struct:
		l.loadStruct(&n, x, level)
	case dump.Map:
		l.loadMap(&n, x, level)
	case dump.Interface:
		l.loadInterface(&n, x, level)
	case dump.Chan:
		n.len, n.cap = x.Len(), x.Cap()
		l.loadChan(&n, x)
	case dump.Func:
		l.loadFunc(&n, x, level)
	default:
		n.missing = "unknown kind " + strconv.Itoa(int(n.kind))
	}
	return n
}

func (l *loader) loadString(n *node, x *Value) {
	b := x.v.Bytes
	n.len = x.Len()
	if int64(len(b)) > n.len || x.v.Reason == dump.Redacted {
		n.len = int64(len(b)) // a redaction's marker has a length of its own
	}
	if len(b) > l.cfg.MaxStringLen {
		b = b[:max(l.cfg.MaxStringLen, 0)]
	} else if int64(len(b)) < n.len {
		n.cut = x.Reason()
	}
	n.text = string(b)
	n.raw = n.text
}

func (l *loader) loadPointer(n *node, x *Value, level int) {
	elem := l.s.r.Type(x.typ.Elem)
	kid := node{addr: x.v.Ptr}
	if elem != nil {
		kid.kind, kid.typ = elem.Kind, Clean(elem.Name)
	} else if name, ok := strings.CutPrefix(x.typ.Name, "*"); ok {
		kid.typ = Clean(name) // a dump need not have the types of what it has no values of
	}
	next, limit := level, false
	switch kid.kind {
	case dump.Interface:
		next++
	case dump.Pointer:
		// Following a pointer is free, but a chain of pointers may never end.
		next++
		limit = level > l.cfg.MaxVariableRecurse
	}
	switch {
	case x.v.Ptr == 0 && x.to == nil:
		kid.isNil = true
	case !l.cfg.FollowPointers || limit || x.to != nil:
		kid.address = true // (& is asked for an address)
		switch {
		case x.to != nil:
		case x.v.Obj == 0:
			n.cut = x.Reason()
		case kid.kind == dump.Struct:
			n.summary = x.Target().described()
		}
	default:
		kid = l.load(x.Target(), next)
		if kid.missing != "" {
			n.cut = kid.missing
			kid = node{kind: kid.kind, typ: kid.typ, addr: x.v.Ptr, address: true}
		}
	}
	n.kids = []node{kid}
}

func (l *loader) loadElements(n *node, x *Value, level int) {
	if n.isNil {
		return
	}
	want := min(n.len, int64(max(l.cfg.MaxArrayValues, 0)))
	if want == 0 {
		return
	}
	e := x.elements()
	for i := int64(0); i < min(want, e.n); i++ {
		n.kids = append(n.kids, l.load(e.at(i, ""), level+1))
		if l.nodes > maxNodes {
			return
		}
	}
	if e.n < want {
		n.cut = e.why
	}
}

func (l *loader) loadStruct(n *node, x *Value, level int) {
	n.len = int64(len(x.typ.Fields))
	// Inside of something else the words will do: who wants the fields prints the value itself.
	if level > l.cfg.MaxVariableRecurse || level > 0 && x.v.Summary != "" {
		n.unread = n.len > 0
		n.text = Clean(x.v.Summary)
		return
	}
	n.text = x.summary()
	count := len(x.typ.Fields)
	if m := l.cfg.MaxStructFields; m >= 0 {
		count = min(count, m)
	}
	n.kids = l.loadParts(x, level)
	n.len += int64(len(n.kids))
	for i := range count {
		kid := l.load(x.Field(i), level+1)
		kid.name = Clean(x.typ.Fields[i].Name)
		n.kids = append(n.kids, kid)
		if l.nodes > maxNodes {
			return
		}
	}
}

// loadParts loads what a type support shows of a value besides its own parts. Their names are in
// brackets, as no field's name is.
func (l *loader) loadParts(x *Value, level int) []node {
	if level > l.cfg.MaxVariableRecurse || len(x.v.Children) == 0 {
		return nil
	}
	var kids []node
	for _, c := range x.parts(0, min(len(x.v.Children), max(l.cfg.MaxArrayValues, 0))) {
		kid := l.load(c.Value, level+1)
		kid.name = c.Name
		kids = append(kids, kid)
		if l.nodes > maxNodes {
			break
		}
	}
	return kids
}

func (l *loader) loadMap(n *node, x *Value, level int) {
	n.len = x.Len()
	want := min(n.len-x.off, int64(max(l.cfg.MaxArrayValues, 0)))
	if n.isNil || level > l.cfg.MaxVariableRecurse || want <= 0 {
		return
	}
	e := x.entries()
	for i := int64(0); i < min(want, e.n); i++ {
		k, v := x.entry(&e, i)
		n.kids = append(n.kids, l.load(k, level+1), l.load(v, level+1))
		if l.nodes > maxNodes {
			return
		}
	}
	if e.n < want {
		n.cut = e.why
	}
}

func (l *loader) loadInterface(n *node, x *Value, level int) {
	if n.isNil {
		return
	}
	d := x.Dynamic()
	if level <= l.cfg.MaxVariableRecurse || d.why != "" {
		n.kids = []node{l.load(d, level)}
		return
	}
	n.kids = []node{{kind: d.Kind(), typ: d.TypeName(), addr: d.addr, address: true}}
}

// loadChan loads what the dump has of a channel under the names that its fields
// have in the runtime, which dlv prints too.
func (l *loader) loadChan(n *node, x *Value) {
	if n.isNil {
		return
	}
	num := func(name string, v int64) node {
		return node{kind: dump.Uint, name: name, text: strconv.FormatInt(v, 10), raw: v}
	}
	buf := node{kind: dump.Array, name: "buf", len: n.len}
	if t := l.s.r.Type(x.typ.Elem); t != nil {
		buf.typ = "[" + strconv.FormatInt(n.len, 10) + "]" + Clean(t.Name)
	}
	sub := *l
	sub.cfg = DefaultLoad()
	sub.loadElements(&buf, x, 0)
	l.nodes, l.late, l.dead = sub.nodes, sub.late, sub.dead
	n.kids = []node{num("qcount", n.len), num("dataqsiz", n.cap), buf}
	if obj, _ := x.object(); obj != nil {
		n.kids = append(n.kids, num("closed", int64(obj.Value.Num)))
	}
}

func (l *loader) loadFunc(n *node, x *Value, level int) {
	if n.isNil {
		return
	}
	if n.text = Clean(x.v.Func); n.text == "" {
		n.text = "0x" + strconv.FormatUint(x.v.Ptr, 16)
	}
	c := x.captured()
	if c == nil || level > l.cfg.MaxVariableRecurse {
		return
	}
	for i := range c.typ.Fields {
		name, v := capturedVar(c, i)
		kid := l.load(v, level+1)
		kid.name = Clean(name)
		n.kids = append(n.kids, kid)
	}
}

func loadConstant(n *node, c constant.Value) {
	switch c.Kind() {
	case constant.Bool:
		n.raw = constant.BoolVal(c)
		n.text = c.ExactString()
	case constant.String:
		n.text = constant.StringVal(c)
		n.raw, n.len = n.text, int64(len(n.text))
	case constant.Int:
		n.raw = constant.Val(c) // int64 or *big.Int, both known to package fmt
		n.text = c.ExactString()
	case constant.Float:
		f, _ := constant.Float64Val(c)
		n.raw, n.text = f, floatText(f, 64)
	case constant.Complex:
		re, _ := constant.Float64Val(constant.Real(c))
		im, _ := constant.Float64Val(constant.Imag(c))
		n.raw, n.text = complex(re, im), complexText(complex(re, im), 64)
	default:
		n.missing = "unknown constant"
	}
}

// bits returns the size of a floating-point or complex kind in bits.
func bits(k dump.Kind) int {
	switch k {
	case dump.Float32:
		return 32
	case dump.Complex128:
		return 128
	}
	return 64
}

func floatText(f float64, size int) string { return strconv.FormatFloat(f, 'f', -1, size) }

func complexText(c complex128, size int) string {
	return "(" + floatText(real(c), size) + " + " + floatText(imag(c), size) + "i)"
}
