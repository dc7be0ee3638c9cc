package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// maxErrors is how many errors of a tree are described.
const maxErrors = 32

// chain describes a panic value or an error and what it wraps, from the data of
// the values: no method of theirs is called.
type chain struct {
	w     *walker
	mem   reader
	left  *allowance
	limit int // bytes of a message
	infos []dump.ErrorInfo
	seen  map[[2]uint64]bool
}

// What is read to describe errors: of one value, and of all together (see
// allowance). A dump without its reason is worth little, so that it is told even if all time was
// spent on waiting; some hundred microseconds are the worst that it takes.
const (
	maxErrorBytes = 64 << 10
	maxChainWork  = 2 << 20
)

func newChain(w *walker, limit int) *chain {
	left := &allowance{w.mem.Memory, maxChainWork}
	return &chain{w: w, mem: reader{Memory: left}, left: left, limit: limit, seen: map[[2]uint64]bool{}}
}

// read returns up to maxErrorBytes of the n bytes at addr, nil if they cannot be read.
func (c *chain) read(addr, n uint64) []byte {
	n = min(n, maxErrorBytes)
	if int64(n) > int64(c.left.left) {
		return nil
	}
	b := make([]byte, n)
	if c.mem.ReadAt(b, addr) != nil {
		return nil
	}
	return b
}

// datum is a value of type t with the bytes b.
type datum struct {
	t *typ
	b []byte
}

// describe appends what the interface value (dynamic type t, data word) holds.
// It returns the index of what it appended, -1 for none.
func (c *chain) describe(t *typ, data uint64, parent int, isPanic bool) int {
	key := [2]uint64{uint64(t.id), data}
	if len(c.infos) >= maxErrors || c.seen[key] {
		return -1
	}
	c.seen[key] = true
	d := datum{t: t}
	if t.direct {
		d.b = binary.LittleEndian.AppendUint64(nil, data)
	} else {
		d.b = c.read(data, t.size)
	}
	i := len(c.infos)
	c.infos = append(c.infos, dump.ErrorInfo{Type: t.name, Parent: parent, Panic: isPanic, Runtime: implements(t, runtimeErrType)})
	if d.b == nil {
		return i
	}
	s := d
	if t.kind == dump.Pointer {
		if s = c.deref(d); s.b == nil {
			return i
		}
	}
	var kids []int
	if implements(t, unwrapType) || implements(t, unwrapSliceType) {
		for _, e := range c.wrapped(s) {
			if k := c.describe(e.t, e.data, i, false); k >= 0 {
				kids = append(kids, k)
			}
		}
	}
	msg := c.message(t, s, kids)
	if len(msg) > c.limit {
		msg = msg[:c.limit]
	}
	c.infos[i].Message = msg
	return i
}

func (c *chain) deref(d datum) datum {
	p := word(d.b, 0)
	e := d.t.resolve().elem
	if p == 0 || e == nil {
		return datum{}
	}
	b := c.read(p, e.size)
	if b == nil {
		return datum{}
	}
	return datum{e, b}
}

type dynamicValue struct {
	t    *typ
	data uint64
}

// wrapped returns the errors in the fields of s: those of interface type with
// methods that hold an error, and slices of such.
func (c *chain) wrapped(s datum) []dynamicValue {
	var out []dynamicValue
	add := func(b []byte, t *typ) {
		if dyn := c.w.dynamic(t, b); dyn != nil && implements(dyn, errorType) {
			out = append(out, dynamicValue{dyn, word(b, 8)})
		}
	}
	switch s.t.resolve(); s.t.kind {
	case dump.Struct:
		for i := range s.t.fields {
			f := &s.t.fields[i]
			b := s.field(f)
			if b == nil {
				continue
			}
			switch f.typ.kind {
			case dump.Interface:
				if f.typ.resolve().methods {
					add(b, f.typ)
				}
			case dump.Slice:
				out = append(out, c.wrapped(datum{f.typ, b})...)
			}
		}
	case dump.Slice:
		e := s.t.elem
		if e == nil || e.kind != dump.Interface || !e.resolve().methods {
			break
		}
		n := min(int64(word(s.b, 8)), maxErrors)
		if n <= 0 {
			break
		}
		if b := c.read(word(s.b, 0), uint64(n)*16); b != nil {
			for i := range n {
				add(b[i*16:i*16+16], e)
			}
		}
	}
	return out
}

func (d datum) field(f *field) []byte {
	if f.off+f.typ.size > uint64(len(d.b)) {
		return nil
	}
	return d.b[f.off : f.off+f.typ.size]
}

var (
	errorType       = reflect.TypeFor[error]()
	runtimeErrType  = reflect.TypeFor[runtime.Error]()
	unwrapType      = reflect.TypeFor[interface{ Unwrap() error }]()
	unwrapSliceType = reflect.TypeFor[interface{ Unwrap() []error }]()
)

// The linker drops methods that the program cannot call, and with them the fact
// that a type has them. errors.Is calls both forms of Unwrap, so that to refer to it
// keeps them.
var _ = errors.Is(errNoDebugInfo, errUnreadable)

// implements reports whether the type has the methods of an interface. Only
// type data is looked at.
func implements(t *typ, inter reflect.Type) bool {
	return t.rtype != 0 && reflectType(uintptr(t.rtype)).Implements(inter)
}

// text returns a string field's content, ok only if there is such a field.
func (c *chain) text(s datum, names ...string) (string, bool) {
	if s.t.kind != dump.Struct {
		return "", false
	}
	for _, n := range names {
		f := s.t.fieldNamed(n)
		if f == nil || f.typ.kind != dump.String {
			continue
		}
		if b := s.field(f); b != nil {
			if t, err := readStringAt(&c.mem, word(b, 0), int64(word(b, 8)), c.limit); err == nil {
				return t, true
			}
		}
	}
	return "", false
}

func (c *chain) integer(s datum, name string) (int64, bool) {
	f := s.t.fieldNamed(name)
	if f == nil {
		return 0, false
	}
	b := s.field(f)
	if b == nil || len(b) > 8 || len(b) == 0 {
		return 0, false
	}
	n, _ := basic(f.typ.kind, b)
	return int64(n), true
}

// message makes the text that the value's Error method, or print of a panic
// value, gives, as far as the data shows it.
func (c *chain) message(t *typ, s datum, kids []int) string {
	child := func() string {
		if len(kids) > 0 {
			return c.infos[kids[0]].Message
		}
		return "<nil>"
	}
	field := func(n string) string { v, _ := c.text(s, n); return v }
	switch t.name {
	case "runtime.errorString":
		return "runtime error: " + c.stringOf(s)
	case "runtime.errorAddressString":
		return "runtime error: " + field("msg")
	case "runtime.boundsError":
		return c.boundsMessage(s)
	case "*runtime.TypeAssertionError":
		return c.assertionMessage(s)
	case "*runtime.PanicNilError":
		return "panic called with nil argument"
	case "syscall.Errno":
		return syscall.Errno(word(append(s.b[:len(s.b):len(s.b)], make([]byte, 8)...), 0)).Error()
	case "context.deadlineExceededError":
		return "context deadline exceeded"
	case "*errors.joinError":
		var parts []string
		for _, k := range kids {
			parts = append(parts, c.infos[k].Message)
		}
		return strings.Join(parts, "\n")
	case "*io/fs.PathError":
		return field("Op") + " " + field("Path") + ": " + child()
	case "*os.SyscallError":
		return field("Syscall") + ": " + child()
	case "*os.LinkError":
		return field("Op") + " " + field("Old") + " " + field("New") + ": " + child()
	case "*net/url.Error":
		return field("Op") + " " + strconv.Quote(field("URL")) + ": " + child()
	case "*strconv.NumError":
		return "strconv." + field("Func") + ": parsing " + strconv.Quote(field("Num")) + ": " + child()
	}
	if v, ok := c.text(s, "msg", "message", "Message", "Msg", "s", "text", "Text", "errmsg", "reason", "Reason", "Detail", "detail", "description", "Description"); ok && v != "" {
		return v
	}
	if s.t.kind == dump.Struct {
		if len(s.t.fields) == 0 {
			return ""
		}
		if len(kids) > 0 && len(s.t.fields) <= 2 {
			return child() // a wrapper that adds a stack, say
		}
	}
	return c.literal(s)
}

func (c *chain) stringOf(s datum) string {
	if s.t.kind != dump.String || len(s.b) < 16 {
		return ""
	}
	v, _ := readStringAt(&c.mem, word(s.b, 0), int64(word(s.b, 8)), c.limit)
	return v
}

// literal renders a value's basic contents: a string or number as such, a struct
// as {A: 1, B: "x"}.
func (c *chain) literal(s datum) string {
	switch s.t.kind {
	case dump.String:
		return c.stringOf(s)
	case dump.Struct:
		var b strings.Builder
		b.WriteByte('{')
		n := 0
		for i := range s.t.fields {
			f := &s.t.fields[i]
			fb := s.field(f)
			if fb == nil {
				continue
			}
			v := ""
			switch f.typ.kind {
			case dump.String:
				v = strconv.Quote(c.stringOf(datum{f.typ, fb}))
			default:
				if v = formatBasic(f.typ.kind, fb); v == "" {
					continue
				}
			}
			if n > 0 {
				b.WriteString(", ")
			}
			n++
			b.WriteString(f.name + ": " + v)
			if b.Len() > c.limit {
				break
			}
		}
		b.WriteByte('}')
		if n == 0 {
			return ""
		}
		return b.String()
	}
	return formatBasic(s.t.kind, s.b)
}

// basic decodes a value of a basic kind: its number, or the bits of its float64s.
func basic(k dump.Kind, b []byte) (n, n2 uint64) {
	le := binary.LittleEndian
	switch k {
	case dump.Bool, dump.Uint8:
		return uint64(b[0]), 0
	case dump.Int8:
		return uint64(int64(int8(b[0]))), 0
	case dump.Int16:
		return uint64(int64(int16(le.Uint16(b)))), 0
	case dump.Uint16:
		return uint64(le.Uint16(b)), 0
	case dump.Int32:
		return uint64(int64(int32(le.Uint32(b)))), 0
	case dump.Uint32:
		return uint64(le.Uint32(b)), 0
	case dump.Int, dump.Int64, dump.Uint, dump.Uint64, dump.Uintptr, dump.Float64:
		return le.Uint64(b), 0
	case dump.Float32:
		return math.Float64bits(float64(math.Float32frombits(le.Uint32(b)))), 0
	case dump.Complex64:
		return math.Float64bits(float64(math.Float32frombits(le.Uint32(b)))), math.Float64bits(float64(math.Float32frombits(le.Uint32(b[4:]))))
	case dump.Complex128:
		return le.Uint64(b), le.Uint64(b[8:])
	}
	return 0, 0
}

// formatBasic prints a value of a basic kind as Go does, "" for any other.
func formatBasic(k dump.Kind, b []byte) string {
	n, n2 := basic(k, b)
	switch k {
	case dump.Bool:
		return strconv.FormatBool(n != 0)
	case dump.Int, dump.Int8, dump.Int16, dump.Int32, dump.Int64:
		return strconv.FormatInt(int64(n), 10)
	case dump.Uint, dump.Uint8, dump.Uint16, dump.Uint32, dump.Uint64, dump.Uintptr:
		return strconv.FormatUint(n, 10)
	case dump.Float32, dump.Float64:
		return strconv.FormatFloat(math.Float64frombits(n), 'g', -1, 64)
	case dump.Complex64, dump.Complex128:
		return strconv.FormatComplex(complex(math.Float64frombits(n), math.Float64frombits(n2)), 'g', -1, 128)
	}
	return ""
}

// boundsFormats and boundsNegative are the texts of runtime.boundsErrorFmts and
// boundsNegErrorFmts (runtime/error.go, Go 1.26) by abi.BoundsErrorCode.
var (
	boundsFormats = [...]string{
		"index out of range [%x] with length %y",
		"slice bounds out of range [:%x] with length %y",
		"slice bounds out of range [:%x] with capacity %y",
		"slice bounds out of range [%x:%y]",
		"slice bounds out of range [::%x] with length %y",
		"slice bounds out of range [::%x] with capacity %y",
		"slice bounds out of range [:%x:%y]",
		"slice bounds out of range [%x:%y:]",
		"cannot convert slice with length %y to array or pointer to array with length %x",
	}
	boundsNegative = [...]string{
		"index out of range [%x]",
		"slice bounds out of range [:%x]",
		"slice bounds out of range [:%x]",
		"slice bounds out of range [%x:]",
		"slice bounds out of range [::%x]",
		"slice bounds out of range [::%x]",
		"slice bounds out of range [:%x:]",
		"slice bounds out of range [%x::]",
	}
)

func (c *chain) boundsMessage(s datum) string {
	x, ok1 := c.integer(s, "x")
	y, ok2 := c.integer(s, "y")
	signed, ok3 := c.integer(s, "signed")
	code, ok4 := c.integer(s, "code")
	if !ok1 || !ok2 || !ok3 || !ok4 || code < 0 || int(code) >= len(boundsFormats) {
		return "runtime error: index or slice bounds out of range"
	}
	f := boundsFormats[code]
	xs := strconv.FormatUint(uint64(x), 10)
	if signed != 0 {
		xs = strconv.FormatInt(x, 10)
		if x < 0 && int(code) < len(boundsNegative) {
			f = boundsNegative[code]
		}
	}
	return "runtime error: " + strings.NewReplacer("%x", xs, "%y", strconv.FormatInt(y, 10)).Replace(f)
}

func (c *chain) assertionMessage(s datum) string {
	typeOf := func(name string) *typ {
		f := s.t.fieldNamed(name)
		if f == nil {
			return nil
		}
		if b := s.field(f); b != nil {
			return c.w.types.at(word(b, 0))
		}
		return nil
	}
	short := func(t *typ) string {
		if t == nil || t.rtype == 0 {
			return "interface"
		}
		return reflectType(uintptr(t.rtype)).String()
	}
	inter, concrete, asserted := typeOf("_interface"), typeOf("concrete"), typeOf("asserted")
	missing, _ := c.text(s, "missingMethod")
	switch {
	case concrete == nil:
		return fmt.Sprintf("interface conversion: %s is nil, not %s", short(inter), short(asserted))
	case missing != "":
		return fmt.Sprintf("interface conversion: %s is not %s: missing method %s", short(concrete), short(asserted), missing)
	}
	msg := fmt.Sprintf("interface conversion: %s is %s, not %s", short(inter), short(concrete), short(asserted))
	if short(concrete) == short(asserted) {
		if packageOf(concrete.name) != packageOf(asserted.name) {
			return msg + " (types from different packages)"
		}
		return msg + " (types from different scopes)"
	}
	return msg
}
