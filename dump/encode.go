package dump

import (
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Wire types, to write a field's tag as number<<3 | type.
const (
	wireVarint  = uint64(protowire.VarintType)
	wireFixed64 = uint64(protowire.Fixed64Type)
	wireBytes   = uint64(protowire.BytesType)
	wireFixed32 = uint64(protowire.Fixed32Type)
)

// recordTag is the field of every section message that holds its records.
const recordTag = 1<<3 | wireBytes

// itemLimit is where the writer stops, so that it can still say that it did.
const itemLimit = maxItems - 1

// manyElems is from how many elements on a value says how many there are.
const manyElems = 1024

// encoder appends protobuf messages to b by hand. Fields with default values are
// left out.
type encoder struct {
	b []byte
	// items counts the repeated elements of the record under way.
	items int
	// flags are those that a section with what is in b must have.
	flags uint16
}

func (e *encoder) uint(field uint64, v uint64) {
	if v != 0 {
		e.b = protowire.AppendVarint(e.b, field<<3|wireVarint)
		e.b = protowire.AppendVarint(e.b, v)
	}
}

func (e *encoder) int(field uint64, v int64) { e.uint(field, uint64(v)) }

func (e *encoder) bool(field uint64, v bool) {
	if v {
		e.b = protowire.AppendVarint(e.b, field<<3|wireVarint)
		e.b = append(e.b, 1)
	}
}

func (e *encoder) fixed64(field uint64, v uint64) {
	if v != 0 {
		e.b = protowire.AppendVarint(e.b, field<<3|wireFixed64)
		e.b = protowire.AppendFixed64(e.b, v)
	}
}

func (e *encoder) bytes(field uint64, v []byte) {
	if len(v) != 0 {
		e.b = protowire.AppendVarint(e.b, field<<3|wireBytes)
		e.b = protowire.AppendBytes(e.b, v)
	}
}

// string writes a string field. Protobuf demands UTF-8, but what a process holds
// may be anything: other bytes become U+FFFD.
func (e *encoder) string(field uint64, v string) {
	if v != "" {
		e.element(field, v)
	}
}

// element writes one element of a repeated string field, empty ones too.
func (e *encoder) element(field uint64, v string) {
	e.b = protowire.AppendVarint(e.b, field<<3|wireBytes)
	if !utf8.ValidString(v) {
		v = strings.ToValidUTF8(v, string(utf8.RuneError))
	}
	e.b = protowire.AppendString(e.b, v)
}

// time writes a google.protobuf.Timestamp; the zero time is left out.
func (e *encoder) time(field uint64, t time.Time) {
	if t.IsZero() {
		return
	}
	at := e.open(field)
	e.int(1, t.Unix())
	e.int(2, int64(t.Nanosecond()))
	e.close(at)
}

// open begins an embedded message; what is appended until close is its content.
func (e *encoder) open(field uint64) (at int) {
	e.b = protowire.AppendVarint(e.b, field<<3|wireBytes)
	e.b = append(e.b, 0) // room for a length below 128
	return len(e.b)
}

// close ends the message that began at at. Most are short; the content of the
// others moves up to make room for the length.
func (e *encoder) close(at int) {
	n := len(e.b) - at
	if n < 0x80 {
		e.b[at-1] = byte(n)
		return
	}
	var pad [binary.MaxVarintLen64]byte
	extra := protowire.SizeVarint(uint64(n)) - 1
	e.b = append(e.b, pad[:extra]...)
	copy(e.b[at+extra:], e.b[at:at+n])
	binary.PutUvarint(e.b[at-1:], uint64(n))
}

// closeSingle is close for a field that is not repeated: an empty message is
// taken back. The field's number must be below 16.
func (e *encoder) closeSingle(at int) {
	if len(e.b) == at {
		e.b = e.b[:at-2]
		return
	}
	e.close(at)
}

// grant says how many of n repeated elements the record may still have.
func (e *encoder) grant(n int) int {
	n = max(0, min(n, itemLimit-e.items))
	e.items += n
	return n
}

// value appends the fields of v. depth is 1 for the value of a variable or an
// object, and grows with every level of Elems.
//
// The elements come last, so that whoever wants only the first few of very many
// need not go through all of them.
func (e *encoder) value(v *Value, depth int) {
	reason, detail, elems, kids := v.Reason, v.Detail, v.Elems, v.Children
	if len(kids) != 0 {
		limit := Whole
		if depth >= maxDepth {
			limit, kids = DepthLimit, nil
		}
		if n := e.grant(len(kids)); n < len(kids) {
			limit, kids = CollectionLimit, kids[:n]
		}
		if limit != Whole && reason == Whole {
			reason, detail = limit, "parts of its description were left out"
		}
	}
	if len(elems) != 0 {
		limit := Whole
		switch room := itemLimit - e.items; {
		case depth >= maxDepth:
			limit, elems = DepthLimit, nil
		case len(elems) > room:
			// An even number, because keys have their values behind them.
			limit, elems = CollectionLimit, elems[:max(room, 0)&^1]
		}
		if limit != Whole && reason == Whole {
			reason = limit
		}
	}
	e.uint(1, uint64(v.Type))
	if v.Num>>56 == 0 {
		e.uint(2, v.Num)
	} else {
		e.fixed64(3, v.Num)
	}
	e.fixed64(4, v.Num2)
	e.uint(5, v.Ptr)
	e.int(6, v.Len)
	e.int(7, v.Cap)
	e.bytes(8, v.Bytes)
	e.bytes(9, v.Raw)
	e.uint(10, uint64(v.Obj))
	e.uint(12, v.Addr)
	e.uint(13, uint64(reason))
	e.string(14, detail)
	e.string(15, v.Func)
	e.string(16, v.Summary)
	for i := range kids {
		at := e.open(18)
		e.string(1, kids[i].Name)
		in := e.open(2)
		e.value(&kids[i].Value, depth+1)
		e.closeSingle(in)
		e.close(at)
	}
	if len(elems) >= manyElems {
		e.int(17, int64(len(elems)))
	}
	e.items += len(elems)
	for i := range elems {
		at := e.open(11)
		e.value(&elems[i], depth+1)
		e.close(at)
	}
}

// object appends the fields of o, the value last for the same reason as the
// elements in a value. Nearly every value lies where its object does: its address
// is left out then, which old readers must not take for no address.
func (e *encoder) object(o *Object) {
	v := &o.Value
	e.uint(2, o.Addr)
	e.bool(3, o.Late)
	if v.Addr == o.Addr && v.Addr != 0 {
		e.bool(4, true)
		e.flags |= flagInPlace
		in := *v
		in.Addr = 0
		v = &in
	}
	at := e.open(1)
	e.value(v, 1)
	e.closeSingle(at)
}

func (e *encoder) typ(t *Type) {
	e.string(1, t.Name)
	e.uint(2, uint64(t.Kind))
	e.uint(3, t.Size)
	e.uint(4, uint64(t.Elem))
	e.uint(5, uint64(t.Key))
	e.int(6, t.Len)
	for i := range t.Fields[:e.grant(len(t.Fields))] {
		f := &t.Fields[i]
		at := e.open(7)
		e.string(1, f.Name)
		e.uint(2, uint64(f.Type))
		e.uint(3, f.Offset)
		e.bool(4, f.Embedded)
		e.string(5, f.Tag)
		e.close(at)
	}
	e.bool(8, t.Named)
}

func (e *encoder) goroutine(g *Goroutine) {
	e.int(1, g.ID)
	e.int(2, g.ParentID)
	e.string(3, g.Status)
	e.string(4, g.WaitReason)
	e.int(5, int64(g.WaitSince))
	e.bool(6, g.Failing)
	if g.CreatedBy != (Location{}) {
		e.location(7, &g.CreatedBy)
	}
	e.keyValues(8, g.Labels)
	// The values and what is missing are few and worth more than frame one
	// million of a runaway recursion: they go first.
	e.variables(10, g.Values)
	e.missing(11, g.Missing)
	for i := range g.Waits[:e.grant(len(g.Waits))] {
		e.wait(12, &g.Waits[i])
	}
	if !g.TraceID.IsZero() {
		e.bytes(13, g.TraceID[:])
	}
	if !g.SpanID.IsZero() {
		e.bytes(14, g.SpanID[:])
	}
	e.bool(15, g.System)
	e.bool(16, g.Locked)
	for i := range g.Others[:e.grant(len(g.Others))] {
		e.group(17, &g.Others[i])
	}
	for i := range g.Frames {
		f := &g.Frames[i]
		if e.items+1+len(f.Vars)+len(f.Missing) > itemLimit {
			e.miss(11, &Missing{
				What: "frames",
				Why:  "the goroutine has more frames and values than a dump file can hold of one goroutine",
			})
			break
		}
		e.items++
		at := e.open(9)
		e.frame(f)
		e.close(at)
	}
}

func (e *encoder) wait(field uint64, w *Wait) {
	at := e.open(field)
	e.string(1, w.Op)
	e.uint(2, w.Addr)
	e.string(3, w.Type)
	e.int(4, w.Len)
	e.int(5, w.Cap)
	e.bool(6, w.Closed)
	e.int(7, w.FD)
	e.int(8, int64(w.Left))
	e.close(at)
}

func (e *encoder) group(field uint64, g *GoroutineGroup) {
	at := e.open(field)
	e.int(1, int64(g.Count))
	e.int(2, g.ID)
	e.string(3, g.Status)
	e.string(4, g.WaitReason)
	if g.At != (Location{}) {
		e.location(5, &g.At)
	}
	if g.CreatedBy != (Location{}) {
		e.location(6, &g.CreatedBy)
	}
	e.int(7, int64(g.Longest))
	e.close(at)
}

func (e *encoder) frame(f *Frame) {
	e.string(1, f.Func)
	e.string(2, f.File)
	e.int(3, int64(f.Line))
	e.uint(4, f.PC)
	e.uint(5, f.CFA)
	e.int(6, int64(f.FuncLine))
	e.bool(7, f.Inlined)
	e.bool(8, f.User)
	e.variables(9, f.Vars)
	e.missing(10, f.Missing)
}

func (e *encoder) variables(field uint64, vars []Variable) {
	for i := range vars[:e.grant(len(vars))] {
		v := &vars[i]
		at := e.open(field)
		e.string(1, v.Name)
		e.uint(2, uint64(v.Kind))
		e.uint(3, uint64(v.State))
		e.int(4, int64(v.DeclLine))
		e.bool(5, v.Escaped)
		value := e.open(6)
		e.value(&v.Value, 1)
		e.closeSingle(value)
		e.close(at)
	}
}

func (e *encoder) missing(field uint64, list []Missing) {
	for i := range list[:e.grant(len(list))] {
		e.miss(field, &list[i])
	}
}

func (e *encoder) miss(field uint64, m *Missing) {
	at := e.open(field)
	e.string(1, m.What)
	e.string(2, m.Why)
	e.string(3, m.Hint)
	e.close(at)
}

func (e *encoder) keyValues(field uint64, list []KeyValue) {
	for i := range list[:e.grant(len(list))] {
		at := e.open(field)
		e.string(1, list[i].Key)
		e.string(2, list[i].Value)
		e.close(at)
	}
}

func (e *encoder) location(field uint64, l *Location) {
	at := e.open(field)
	e.string(1, l.Func)
	e.string(2, l.File)
	e.int(3, int64(l.Line))
	e.int(4, l.Goroutine)
	e.int(5, int64(l.Frame))
	e.close(at)
}

func (e *encoder) source(s *Source) {
	e.string(1, s.File)
	for i := range s.Blocks {
		bl := &s.Blocks[i]
		if e.items+1+len(bl.Lines) > itemLimit {
			break
		}
		e.items += 1 + len(bl.Lines)
		at := e.open(2)
		e.int(1, int64(bl.First))
		for _, line := range bl.Lines {
			e.element(2, line)
		}
		e.close(at)
	}
}
