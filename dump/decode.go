package dump

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

var (
	errItems = errors.New("more elements in one record than the format allows")
	errDepth = errors.New("values nested deeper than the format allows")
	errCount = errors.New("a value has another number of elements than it says")
	errOrder = errors.New("something follows the elements of a value with many")
	errFixed = errors.New("an ID of the wrong length")
	errWire  = errors.New("not a protobuf message")
)

// fields goes through the fields of one message. A field whose number or wire
// type the caller does not know is skipped, as protobuf wants it.
type fields struct {
	b   []byte // what is left
	tag uint64 // number<<3 | wire type of the current field
	u   uint64 // its value, unless it has length
	v   []byte // its value, if it has length; part of b
	err error
}

// next moves to the next field. It returns false at the end and on an error.
func (f *fields) next() bool {
	if len(f.b) == 0 {
		return false
	}
	tag, n := protowire.ConsumeVarint(f.b)
	if n < 0 || tag>>3 < 1 || tag>>3 > uint64(protowire.MaxValidNumber) {
		f.err = errWire
		return false
	}
	b := f.b[n:]
	f.tag = tag
	switch tag & 7 {
	case wireVarint:
		f.u, n = protowire.ConsumeVarint(b)
	case wireFixed64:
		f.u, n = protowire.ConsumeFixed64(b)
	case wireBytes:
		f.v, n = protowire.ConsumeBytes(b)
	case wireFixed32:
		var u uint32
		u, n = protowire.ConsumeFixed32(b)
		f.u = uint64(u)
	default: // groups, which only a stranger would write
		n = protowire.ConsumeFieldValue(protowire.Number(tag>>3), protowire.Type(tag&7), b)
	}
	if n < 0 {
		f.err = errWire
		return false
	}
	f.b = b[n:]
	return true
}

// more counts the fields of the current one's tag from here on, itself included, up
// to limit.
func (f *fields) more(limit int) int {
	n := 1
	for rest := (fields{b: f.b}); n < limit && rest.next(); {
		if rest.tag == f.tag {
			n++
		}
	}
	return n
}

// decoder decodes records. It is not safe for concurrent use; what it returns
// shares no memory with what it reads.
type decoder struct {
	items int
	// blob is what the byte slices of the record under way are cut from.
	blob []byte
	// strings holds those that are likely to come again: functions, files,
	// names of variables.
	strings map[string]string
	// window is which elements of an object's value are wanted; nil: all.
	window *window
}

const (
	internMax   = 4096 // strings
	internBytes = 256  // the longest of them
)

var decoders = sync.Pool{New: func() any {
	return &decoder{strings: make(map[string]string)}
}}

// reset makes the decoder ready for a new record.
func (d *decoder) reset() *decoder {
	d.items, d.blob = 0, nil
	return d
}

func (d *decoder) free() {
	d.blob = nil
	decoders.Put(d)
}

func (d *decoder) take(n int) error {
	if n > maxItems-d.items {
		return errItems
	}
	d.items += n
	return nil
}

// grow appends an element for the current field of f and returns it. All the
// elements are allocated at the first of them; their number is bounded by the
// bytes at hand and by maxItems.
func grow[T any](d *decoder, f *fields, list *[]T) (*T, error) {
	if len(*list) == cap(*list) {
		n := f.more(math.MaxInt)
		if err := d.take(n); err != nil {
			return nil, err
		}
		*list = slices.Grow(*list, n)
	}
	var zero T
	*list = append(*list, zero)
	return &(*list)[len(*list)-1], nil
}

func (d *decoder) string(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) <= internBytes {
		if s, ok := d.strings[string(b)]; ok {
			return s
		}
	}
	s := string(b)
	if !utf8.ValidString(s) {
		return strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	if len(b) <= internBytes {
		if len(d.strings) >= internMax {
			clear(d.strings)
		}
		d.strings[s] = s
	}
	return s
}

// bytes copies b. rest is what is left of the message after it: an estimate of
// what there is still to be copied.
func (d *decoder) bytes(b, rest []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if cap(d.blob)-len(d.blob) < len(b) {
		d.blob = make([]byte, 0, len(b)+min(len(rest), len(b)))
	}
	at := len(d.blob)
	d.blob = append(d.blob, b...)
	return d.blob[at:len(d.blob):len(d.blob)]
}

func (d *decoder) time(b []byte) (time.Time, error) {
	var sec, nsec int64
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireVarint:
			sec = int64(f.u)
		case 2<<3 | wireVarint:
			nsec = int64(f.u)
		}
	}
	// The range that google.protobuf.Timestamp allows: years 1 to 9999.
	if sec < -62135596800 || sec > 253402300799 || nsec < 0 || nsec > 999999999 {
		return time.Time{}, f.err
	}
	return time.Unix(sec, nsec).UTC(), f.err
}

// fixedID copies an ID, whose length must be dst's.
func fixedID(dst, b []byte) error {
	if len(b) != len(dst) {
		return errFixed
	}
	copy(dst, b)
	return nil
}

// small narrows an enum: what this version cannot know becomes 255.
func small(u uint64) uint8 { return uint8(min(u, math.MaxUint8)) }

func (d *decoder) value(b []byte, v *Value, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	f := fields{b: b}
	w := d.window
	if depth > 1 {
		w = nil
	}
	many := 0 // how many elements there are if there are many
	for f.next() {
		if f.tag == elemTag {
			if w != nil {
				if err := d.element(w, &f, v); err != nil {
					return err
				}
				continue
			}
			elem, err := grow(d, &f, &v.Elems)
			if err != nil {
				return err
			}
			if err := d.value(f.v, elem, depth+1); err != nil {
				return err
			}
			continue
		}
		if many != 0 && (len(v.Elems) != 0 || w != nil && w.total != 0) {
			return errOrder
		}
		if err := d.valueField(&f, v, &many, depth); err != nil {
			return err
		}
	}
	if f.err == nil && many != 0 {
		all := len(v.Elems)
		if w != nil {
			all = w.total
		}
		if many != all {
			return errCount
		}
	}
	return f.err
}

// Tags of the elements of a value, of how many there are if they are many, and of its children.
const (
	elemTag  = 11<<3 | wireBytes
	countTag = 17<<3 | wireVarint
	childTag = 18<<3 | wireBytes
)

// valueField reads the current field of a value, which is not an element. depth is the value's.
func (d *decoder) valueField(f *fields, v *Value, many *int, depth int) error {
	switch f.tag {
	case 1<<3 | wireVarint:
		v.Type = TypeID(f.u)
	case 2<<3 | wireVarint, 3<<3 | wireFixed64:
		v.Num = f.u
	case 4<<3 | wireFixed64:
		v.Num2 = f.u
	case 5<<3 | wireVarint:
		v.Ptr = f.u
	case 6<<3 | wireVarint:
		v.Len = int64(f.u)
	case 7<<3 | wireVarint:
		v.Cap = int64(f.u)
	case 8<<3 | wireBytes:
		v.Bytes = d.bytes(f.v, f.b)
	case 9<<3 | wireBytes:
		v.Raw = d.bytes(f.v, f.b)
	case 10<<3 | wireVarint:
		v.Obj = ObjectID(f.u)
	case 12<<3 | wireVarint:
		v.Addr = f.u
	case 13<<3 | wireVarint:
		v.Reason = Reason(small(f.u))
	case 14<<3 | wireBytes:
		v.Detail = d.string(f.v)
	case 15<<3 | wireBytes:
		v.Func = d.string(f.v)
	case 16<<3 | wireBytes:
		v.Summary = d.string(f.v)
	case countTag:
		*many = int(min(f.u, math.MaxInt32))
	case childTag:
		c, err := grow(d, f, &v.Children)
		if err != nil {
			return err
		}
		return d.child(f.v, c, depth+1)
	}
	return nil
}

func (d *decoder) child(b []byte, c *Child, depth int) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			c.Name = d.string(f.v)
		case 2<<3 | wireBytes:
			// The window is for the elements of the object's own value.
			if err := d.value(f.v, &c.Value, max(depth, 2)); err != nil {
				return err
			}
		}
	}
	return f.err
}

func (d *decoder) object(b []byte, o *Object) error {
	f := fields{b: b}
	inPlace := false
	for f.next() {
		if f.tag == valueTag {
			if err := d.value(f.v, &o.Value, 1); err != nil {
				return err
			}
			continue
		}
		o.field(&f, &inPlace)
	}
	o.place(inPlace)
	return f.err
}

// valueTag is the tag of the value of an object.
const valueTag = 1<<3 | wireBytes

// field reads the current field of an object, which is not its value.
func (o *Object) field(f *fields, inPlace *bool) {
	switch f.tag {
	case 2<<3 | wireVarint:
		o.Addr = f.u
	case 3<<3 | wireVarint:
		o.Late = f.u != 0
	case 4<<3 | wireVarint:
		*inPlace = f.u != 0
	}
}

// place gives the value of an object the address that was left out.
func (o *Object) place(inPlace bool) {
	if inPlace && o.Value.Addr == 0 {
		o.Value.Addr = o.Addr
	}
}

func (d *decoder) typ(b []byte, t *Type) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			t.Name = d.string(f.v)
		case 2<<3 | wireVarint:
			t.Kind = Kind(small(f.u))
		case 3<<3 | wireVarint:
			t.Size = f.u
		case 4<<3 | wireVarint:
			t.Elem = TypeID(f.u)
		case 5<<3 | wireVarint:
			t.Key = TypeID(f.u)
		case 6<<3 | wireVarint:
			t.Len = int64(f.u)
		case 7<<3 | wireBytes:
			field, err := grow(d, &f, &t.Fields)
			if err != nil {
				return err
			}
			if err := d.field(f.v, field); err != nil {
				return err
			}
		case 8<<3 | wireVarint:
			t.Named = f.u != 0
		}
	}
	return f.err
}

func (d *decoder) field(b []byte, fl *Field) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			fl.Name = d.string(f.v)
		case 2<<3 | wireVarint:
			fl.Type = TypeID(f.u)
		case 3<<3 | wireVarint:
			fl.Offset = f.u
		case 4<<3 | wireVarint:
			fl.Embedded = f.u != 0
		case 5<<3 | wireBytes:
			fl.Tag = d.string(f.v)
		}
	}
	return f.err
}

func (d *decoder) goroutine(b []byte, g *Goroutine) error {
	f := fields{b: b}
	for f.next() {
		var err error
		switch f.tag {
		case 1<<3 | wireVarint:
			g.ID = int64(f.u)
		case 2<<3 | wireVarint:
			g.ParentID = int64(f.u)
		case 3<<3 | wireBytes:
			g.Status = d.string(f.v)
		case 4<<3 | wireBytes:
			g.WaitReason = d.string(f.v)
		case 5<<3 | wireVarint:
			g.WaitSince = time.Duration(f.u)
		case 6<<3 | wireVarint:
			g.Failing = f.u != 0
		case 7<<3 | wireBytes:
			err = d.location(f.v, &g.CreatedBy)
		case 8<<3 | wireBytes:
			err = d.keyValue(&f, &g.Labels)
		case 9<<3 | wireBytes:
			var fr *Frame
			if fr, err = grow(d, &f, &g.Frames); err == nil {
				err = d.frame(f.v, fr)
			}
		case 10<<3 | wireBytes:
			err = d.variable(&f, &g.Values)
		case 11<<3 | wireBytes:
			err = d.missing(&f, &g.Missing)
		case 12<<3 | wireBytes:
			var w *Wait
			if w, err = grow(d, &f, &g.Waits); err == nil {
				err = d.wait(f.v, w)
			}
		case 13<<3 | wireBytes:
			err = fixedID(g.TraceID[:], f.v)
		case 14<<3 | wireBytes:
			err = fixedID(g.SpanID[:], f.v)
		case 15<<3 | wireVarint:
			g.System = f.u != 0
		case 16<<3 | wireVarint:
			g.Locked = f.u != 0
		case 17<<3 | wireBytes:
			var o *GoroutineGroup
			if o, err = grow(d, &f, &g.Others); err == nil {
				err = d.group(f.v, o)
			}
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

func (d *decoder) wait(b []byte, w *Wait) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			w.Op = d.string(f.v)
		case 2<<3 | wireVarint:
			w.Addr = f.u
		case 3<<3 | wireBytes:
			w.Type = d.string(f.v)
		case 4<<3 | wireVarint:
			w.Len = int64(f.u)
		case 5<<3 | wireVarint:
			w.Cap = int64(f.u)
		case 6<<3 | wireVarint:
			w.Closed = f.u != 0
		case 7<<3 | wireVarint:
			w.FD = int64(f.u)
		case 8<<3 | wireVarint:
			w.Left = time.Duration(f.u)
		}
	}
	return f.err
}

func (d *decoder) group(b []byte, g *GoroutineGroup) error {
	f := fields{b: b}
	for f.next() {
		var err error
		switch f.tag {
		case 1<<3 | wireVarint:
			g.Count = int(f.u)
		case 2<<3 | wireVarint:
			g.ID = int64(f.u)
		case 3<<3 | wireBytes:
			g.Status = d.string(f.v)
		case 4<<3 | wireBytes:
			g.WaitReason = d.string(f.v)
		case 5<<3 | wireBytes:
			err = d.location(f.v, &g.At)
		case 6<<3 | wireBytes:
			err = d.location(f.v, &g.CreatedBy)
		case 7<<3 | wireVarint:
			g.Longest = time.Duration(f.u)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

func (d *decoder) frame(b []byte, fr *Frame) error {
	f := fields{b: b}
	for f.next() {
		var err error
		switch f.tag {
		case 1<<3 | wireBytes:
			fr.Func = d.string(f.v)
		case 2<<3 | wireBytes:
			fr.File = d.string(f.v)
		case 3<<3 | wireVarint:
			fr.Line = int(f.u)
		case 4<<3 | wireVarint:
			fr.PC = f.u
		case 5<<3 | wireVarint:
			fr.CFA = f.u
		case 6<<3 | wireVarint:
			fr.FuncLine = int(f.u)
		case 7<<3 | wireVarint:
			fr.Inlined = f.u != 0
		case 8<<3 | wireVarint:
			fr.User = f.u != 0
		case 9<<3 | wireBytes:
			err = d.variable(&f, &fr.Vars)
		case 10<<3 | wireBytes:
			err = d.missing(&f, &fr.Missing)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

// variable appends the current field of outer to list.
func (d *decoder) variable(outer *fields, list *[]Variable) error {
	v, err := grow(d, outer, list)
	if err != nil {
		return err
	}
	f := fields{b: outer.v}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			v.Name = d.string(f.v)
		case 2<<3 | wireVarint:
			v.Kind = VarKind(small(f.u))
		case 3<<3 | wireVarint:
			v.State = VarState(small(f.u))
		case 4<<3 | wireVarint:
			v.DeclLine = int(f.u)
		case 5<<3 | wireVarint:
			v.Escaped = f.u != 0
		case 6<<3 | wireBytes:
			if err := d.value(f.v, &v.Value, 1); err != nil {
				return err
			}
		}
	}
	return f.err
}

// missing appends the current field of outer to list.
func (d *decoder) missing(outer *fields, list *[]Missing) error {
	m, err := grow(d, outer, list)
	if err != nil {
		return err
	}
	f := fields{b: outer.v}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			m.What = d.string(f.v)
		case 2<<3 | wireBytes:
			m.Why = d.string(f.v)
		case 3<<3 | wireBytes:
			m.Hint = d.string(f.v)
		}
	}
	return f.err
}

// keyValue appends the current field of outer to list.
func (d *decoder) keyValue(outer *fields, list *[]KeyValue) error {
	kv, err := grow(d, outer, list)
	if err != nil {
		return err
	}
	f := fields{b: outer.v}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			kv.Key = d.string(f.v)
		case 2<<3 | wireBytes:
			kv.Value = d.string(f.v)
		}
	}
	return f.err
}

func (d *decoder) location(b []byte, l *Location) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			l.Func = d.string(f.v)
		case 2<<3 | wireBytes:
			l.File = d.string(f.v)
		case 3<<3 | wireVarint:
			l.Line = int(f.u)
		case 4<<3 | wireVarint:
			l.Goroutine = int64(f.u)
		case 5<<3 | wireVarint:
			l.Frame = int(f.u)
		}
	}
	return f.err
}

func (d *decoder) source(b []byte, s *Source) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			s.File = d.string(f.v)
		case 2<<3 | wireBytes:
			bl, err := grow(d, &f, &s.Blocks)
			if err != nil {
				return err
			}
			if err := d.block(f.v, bl); err != nil {
				return err
			}
		}
	}
	return f.err
}

func (d *decoder) block(b []byte, bl *SourceBlock) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireVarint:
			bl.First = int(f.u)
		case 2<<3 | wireBytes:
			line, err := grow(d, &f, &bl.Lines)
			if err != nil {
				return err
			}
			*line = d.string(f.v)
		}
	}
	return f.err
}
