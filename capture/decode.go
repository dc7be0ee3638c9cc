package capture

import (
	"runtime"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// decoder makes the values of a dump from copied memory.
type decoder struct {
	w      *walker
	judge  *judge
	types  typeNumbers
	limit  int    // bytes of a text
	waits  uint64 // address of runtime.waitReasonStrings
	slab   []dump.Value
	nslab  int
	vars   []dump.Variable
	nvars  int
	counts dump.Counts
	// gone: what the values lead to was read too late to be believed.
	gone bool
	// describer asks the supports of types; nil asks none.
	describer *describer
}

// alloc returns n cleared values; they are good until reset.
func (d *decoder) alloc(n int) []dump.Value {
	if n > len(d.slab)-d.nslab {
		d.slab = make([]dump.Value, max(4096, n))
		d.nslab = 0
	}
	v := d.slab[d.nslab : d.nslab+n : d.nslab+n]
	d.nslab += n
	clear(v)
	return v
}

func (d *decoder) reset() { d.nslab, d.nvars = 0, 0 }

// allocVars returns n variables, good until reset, not cleared.
func (d *decoder) allocVars(n int) []dump.Variable {
	if n > len(d.vars)-d.nvars {
		d.vars = make([]dump.Variable, max(1024, n))
		d.nvars = 0
	}
	v := d.vars[d.nvars : d.nvars+n : d.nvars+n]
	d.nvars += n
	return v
}

// place is where a value stands: how deep, and under which name, for the redactor.
type place struct {
	depth uint8
	name  string
	known []bool      // which bytes are known; nil: all
	why   dump.Reason // why the others are not
	site  redact.Site
	left  bool // a type support has it left out
	fixed bool // the name is a secret one, from a pair's key: it holds for all that is inside
}

func (p place) at(lo, hi uint64) place {
	if p.known != nil {
		p.known = p.known[lo:hi]
		if allKnown(p.known) {
			p.known = nil
		}
	}
	return p
}

// in is the place of a field.
func (p place) in(f *field) place {
	p.left = p.left || f.left
	if f.near && p.depth > 0 {
		p.depth--
	}
	return p
}

func (p place) named(n string) place {
	if n != "" && !p.fixed {
		p.name = n
	}
	return p
}

// value decodes a value of type t with the bytes b, and has it described.
func (d *decoder) value(v *dump.Value, t *typ, b []byte, p place) {
	d.plain(v, t, b, p)
	if t.support != nil && d.describer != nil && !d.gone {
		d.describer.describe(v, t, b, p)
	}
}

// plain decodes a value as its type has it.
func (d *decoder) plain(v *dump.Value, t *typ, b []byte, p place) {
	v.Type = d.types.of(t)
	t.resolve()
	switch t.kind {
	case dump.Struct:
		v.Elems = d.alloc(len(t.fields))
		for i := range t.fields {
			f := &t.fields[i]
			end := f.off + f.typ.size
			if end > uint64(len(b)) {
				v.Elems[i] = dump.Value{Type: d.types.of(f.typ), Reason: dump.ByteBudget}
				continue
			}
			d.value(&v.Elems[i], f.typ, b[f.off:end], p.at(f.off, end).named(f.name).in(f).pairName(d.w, t, f, b))
		}
		return
	case dump.Array:
		if t.elem != nil {
			d.array(v, t.elem, b, t.len, p)
		}
		return
	}
	if uint64(len(b)) < t.size || t.size == 0 {
		v.Reason = dump.ByteBudget
		if t.size == 0 || t.kind == dump.Invalid {
			v.Reason = dump.Unsupported
		}
		return
	}
	if d.gone && d.far(v, t, b) {
		return
	}
	if p.known != nil {
		d.partial(v, t, b, p)
		return
	}
	switch t.kind {
	case dump.String:
		d.string(v, word(b, 0), int64(word(b, 8)), t, p)
	case dump.Pointer:
		v.Ptr = word(b, 0)
		if v.Ptr != 0 && t.elem != nil {
			d.link(v, v.Ptr, t.elem, shapeValue, 0, p)
		}
		if v.Ptr != 0 && t.elem == nil {
			v.Reason, v.Detail = dump.Unsupported, "the type argument that it stands for is not known here"
		}
	case dump.UnsafePointer:
		v.Ptr = word(b, 0)
	case dump.Slice:
		v.Ptr, v.Len, v.Cap = word(b, 0), int64(word(b, 8)), int64(word(b, 16))
		switch {
		case v.Len < 0 || v.Cap < v.Len || v.Len > 1<<48:
			v.Reason, v.Detail = dump.Unreadable, "its header does not make sense"
		case v.Len > 0 && t.elem != nil:
			d.link(v, v.Ptr, t.elem, shapeArray, v.Len, p)
		}
	case dump.Map:
		v.Ptr = word(b, 0)
		if v.Ptr != 0 {
			if o := d.link(v, v.Ptr, t, shapeMap, 0, p); o != nil {
				v.Len = o.total
			}
		}
	case dump.Chan:
		v.Ptr = word(b, 0)
		if v.Ptr != 0 {
			if o := d.link(v, v.Ptr, t, shapeChan, 0, p); o != nil {
				v.Len, v.Cap = o.total, o.cap
			}
		}
	case dump.Func:
		d.fn(v, word(b, 0), p)
	case dump.Interface:
		d.iface(v, t, b, p)
	default:
		v.Num, v.Num2 = basic(t.kind, b)
	}
}

const goneDetail = "the goroutine went on before it was read"

// far decodes a value that leads elsewhere without following it, and reports whether it is
// one.
func (d *decoder) far(v *dump.Value, t *typ, b []byte) bool {
	switch t.kind {
	case dump.String, dump.Slice, dump.Pointer, dump.Map, dump.Chan, dump.Func, dump.Interface:
	default:
		return false
	}
	if allZero(b[:t.size]) {
		return false // it leads nowhere
	}
	v.Reason, v.Detail = dump.Unreadable, goneDetail
	return true
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// partial decodes a value of which only some bytes are known.
func (d *decoder) partial(v *dump.Value, t *typ, b []byte, p place) {
	v.Reason = p.why
	has := func(off int) bool { return allKnown(p.known[off : off+8]) }
	// Numbers that are not known read as -1, never as 0.
	switch t.kind {
	case dump.String, dump.Slice:
		v.Len, v.Cap = -1, -1
		if has(0) {
			v.Ptr = word(b, 0)
		}
		if has(8) {
			v.Len = int64(word(b, 8))
		}
		if t.kind == dump.Slice && has(16) {
			v.Cap = int64(word(b, 16))
		}
		if t.kind == dump.String && v.Len == 0 && has(8) {
			v.Reason, v.Cap = dump.Whole, 0
			return
		}
		// A slice's capacity matters to nobody who wants to see its elements.
		if t.kind == dump.Slice && has(0) && has(8) && t.elem != nil && v.Len > 0 {
			d.link(v, v.Ptr, t.elem, shapeArray, v.Len, p)
			v.Reason, v.Detail = p.why, "its capacity is not known"
			return
		}
		v.Detail = "only a part of it is known"
	case dump.Interface:
		v.Detail = "only a part of it is known"
		if t.methods || !has(0) {
			return
		}
		if dyn := d.w.ofRtype(word(b, 0)); dyn != nil {
			v.Elems = d.alloc(1)
			v.Elems[0] = dump.Value{Type: d.types.of(dyn), Reason: p.why}
		}
	}
}

// link points v at an object, or says why it is not there.
func (d *decoder) link(v *dump.Value, addr uint64, t *typ, s shape, total int64, p place) *object {
	o := d.w.objects.find(addr, t, s, total)
	if o == nil && t.opaque {
		v.Reason, v.Detail = dump.Unsupported, opaqueDetail
		return nil
	}
	if o == nil && p.left {
		v.Reason, v.Detail = dump.Unsupported, leftDetail
		return nil
	}
	if o == nil {
		v.Reason = d.whyNot(p.depth + 1)
		return nil
	}
	if o.id != 0 {
		v.Obj = o.id
	}
	return o
}

// whyNot says why an object at that depth was not captured.
func (d *decoder) whyNot(depth uint8) dump.Reason {
	switch {
	case depth > d.w.depth:
		return dump.DepthLimit
	case d.w.objects.len() >= d.w.maxObjects:
		return dump.ByteBudget
	case d.w.stop != dump.Whole:
		return d.w.stop
	case d.w.cut != dump.Whole:
		return d.w.cut
	}
	return dump.Unreadable
}

func (d *decoder) string(v *dump.Value, addr uint64, n int64, t *typ, p place) {
	v.Len = n
	if n == 0 {
		return
	}
	if n < 0 || n > 1<<40 {
		v.Len = 0
		v.Reason, v.Detail = dump.Unreadable, "its length does not make sense"
		return
	}
	o := d.w.objects.find(addr, d.w.types.bytes, shapeText, n)
	switch {
	case o == nil && p.left:
		v.Reason, v.Detail = dump.Unsupported, leftDetail
	case o == nil:
		v.Reason = d.whyNot(min(p.depth, d.w.depth))
	case o.data == nil:
		v.Reason = dump.Unreadable
		if o.stale {
			v.Detail = staleDetail
		}
	default:
		name := p.name
		if d.w.types.isSecret(o.name) {
			name = o.name // the key that said so may not be in the dump
		}
		v.Bytes, v.Reason, v.Detail = d.text(o.data, n, redact.Text{Name: name, Type: t.name, Site: p.site})
	}
}

// text judges and cuts the bytes of a text of n bytes of which b are there.
func (d *decoder) text(b []byte, n int64, t redact.Text) ([]byte, dump.Reason, string) {
	t.Value = unsafeString(b)
	out, rules := d.judge.apply(t)
	if rules != "" {
		if len(out) > d.limit {
			out = out[:d.limit]
		}
		return []byte(out), dump.Redacted, rules
	}
	if int64(len(b)) < n || len(b) > d.limit {
		return b[:min(len(b), d.limit)], dump.StringLimit, ""
	}
	return b, dump.Whole, ""
}

func (d *decoder) fn(v *dump.Value, p uint64, at place) {
	v.Ptr = p
	if p == 0 {
		return
	}
	pc, err := d.w.mem.word(p)
	if err != nil {
		v.Reason = dump.Unreadable
		return
	}
	f := runtime.FuncForPC(uintptr(pc))
	if f == nil || uint64(f.Entry()) != pc {
		v.Reason, v.Detail = dump.Unreadable, "it does not point at a function"
		return
	}
	var ct *typ
	if v.Func, ct = d.w.closure(p); ct != nil {
		d.link(v, p, ct, shapeValue, 0, at)
	}
}

func (d *decoder) iface(v *dump.Value, t *typ, b []byte, p place) {
	if word(b, 0) == 0 {
		return
	}
	dyn := d.w.dynamic(t, b)
	if dyn == nil {
		v.Reason, v.Detail = dump.Unreadable, "its dynamic type is not known"
		return
	}
	v.Elems = d.alloc(1)
	d.dynamic(&v.Elems[0], dyn, word(b, 8), p)
}

// dynamic decodes the dynamic value of an interface.
func (d *decoder) dynamic(v *dump.Value, t *typ, data uint64, p place) {
	var b [8]byte
	putWord(b[:], data)
	switch {
	case t.direct:
		d.value(v, t, b[:], p)
	case t.size == 0:
		d.value(v, t, nil, p)
	default:
		v.Type = d.types.of(t)
		p.depth-- // a box is no step away
		d.link(v, data, t, shapeValue, 0, p)
	}
}

// array decodes n elements of type t, of which b has the first.
func (d *decoder) array(v *dump.Value, t *typ, b []byte, n int64, p place) {
	v.Len = n
	have := n
	if t.size > 0 {
		have = min(n, int64(uint64(len(b))/t.size))
	}
	if have < n {
		v.Reason = dump.CollectionLimit
	}
	if t.kind == dump.Uint8 && p.known == nil {
		raw, reason, rules := d.text(b[:have], n, redact.Text{Name: p.name, Type: "[]byte", Site: redact.SiteBytes})
		if reason == dump.Redacted {
			v.Bytes, v.Reason, v.Detail = raw, reason, rules
			return
		}
		v.Raw = raw
		if int64(len(raw)) < n {
			v.Reason = dump.StringLimit
		}
		return
	}
	if isFixed(t.kind) && p.known == nil {
		v.Raw = b[:uint64(have)*t.size]
		return
	}
	have = min(have, int64(d.w.cfg.MaxArrayValues))
	if have < n {
		v.Reason = dump.CollectionLimit
	}
	v.Elems = d.alloc(int(have))
	for i := range v.Elems {
		lo := uint64(i) * t.size
		d.value(&v.Elems[i], t, b[lo:lo+t.size], p.at(lo, lo+t.size))
	}
}

// isFixed reports whether arrays of a kind are kept as memory bytes.
func isFixed(k dump.Kind) bool { return k >= dump.Bool && k <= dump.Complex128 }

const leftDetail = "left out by the support of its type"

const opaqueDetail = "otelcoredumpy leaves out its own state"

const staleDetail = "what it points to is no longer there"

// object decodes an object.
func (d *decoder) object(out *dump.Object, o *object) {
	*out = dump.Object{ID: o.id, Addr: o.addr, Late: o.late}
	v := &out.Value
	v.Addr = o.addr
	p := place{depth: o.depth, name: o.name}
	switch o.shape {
	case shapeValue, shapeMap, shapeChan:
		v.Type = d.types.of(o.t)
	case shapeArray:
		v.Type = d.types.array(o.t, o.n)
	}
	if o.data == nil && !(o.done && o.reason == dump.Whole) {
		v.Reason = o.reason
		if o.stale {
			v.Detail = staleDetail
		}
		if !o.done {
			v.Reason = d.w.stop
			if v.Reason == dump.Whole {
				v.Reason = dump.TimeBudget
			}
		}
		return
	}
	switch o.shape {
	case shapeValue:
		d.value(v, o.t, o.data, p)
	case shapeArray:
		d.array(v, o.t, o.data, o.n, p)
		if o.n < o.total && v.Reason == dump.Whole {
			v.Reason = dump.CollectionLimit
		}
		v.Len = o.n
	case shapeMap:
		d.mapping(v, o, p)
	case shapeChan:
		d.array(v, o.t.elem, o.data, o.n, p)
		v.Len, v.Cap = o.total, o.cap
		if v.Raw != nil || v.Bytes != nil { // a channel's elements are never packed
			v.Raw, v.Bytes = nil, nil
			v.Elems = d.alloc(int(o.n))
			for i := range v.Elems {
				lo := uint64(i) * o.t.elem.size
				d.value(&v.Elems[i], o.t.elem, o.data[lo:lo+o.t.elem.size], p)
			}
		}
		if o.closed {
			v.Num = 1
		}
	}
	if o.n < o.total && v.Reason == dump.Whole && o.shape != shapeValue {
		v.Reason = dump.CollectionLimit
		if o.reason == dump.TimeBudget {
			v.Reason = dump.TimeBudget
		}
	}
}

func (d *decoder) mapping(v *dump.Value, o *object, p place) {
	v.Len = o.total
	key, elem := o.t.key, o.t.elem
	v.Elems = d.alloc(int(2 * o.n))
	secret := d.w.types.isSecret(o.name) // what is under a secret name is secret, whatever its key
	for i := range o.n {
		at := uint64(i) * (key.size + elem.size)
		kb := o.data[at : at+key.size]
		kv := &v.Elems[2*i]
		kp := p
		kp.site = redact.SiteKey
		d.value(kv, key, kb, kp)
		ep := p
		if key.kind == dump.String && !secret {
			if text, ok := d.w.textOf(kb); ok && len(text) <= 64 {
				ep.name = string(text)
			}
		}
		d.value(&v.Elems[2*i+1], elem, o.data[at+key.size:at+key.size+elem.size], ep)
	}
}

// variable decodes a variable of a frame.
func (d *decoder) variable(out *dump.Variable, r *root) {
	*out = dump.Variable{Name: r.name, Kind: r.kind, State: r.state, DeclLine: r.declLine, Escaped: r.escaped}
	d.counts.Variables++
	if r.data == nil {
		if r.t != nil {
			out.Value.Type = d.types.of(r.t)
		}
		out.Value.Reason, out.Value.Detail = r.reason, r.detail
		out.State = dump.VarMissing
		return
	}
	d.value(&out.Value, r.t, r.data, place{name: r.name, known: r.known, why: r.reason})
	if out.Value.Addr == 0 {
		out.Value.Addr = r.addr
	}
}

// judge applies the redactor and counts what it does, unless counts is nil.
type judge struct {
	engine *redact.Engine
	counts map[string]int64
}

// apply redacts a text. rules names the rules that found something, "" if none did.
func (j *judge) apply(t redact.Text) (out, rules string) {
	out, found := j.engine.Apply(t)
	if len(found) == 0 {
		return t.Value, ""
	}
	for i, f := range found {
		if j.counts != nil {
			j.counts[f.Rule]++
		}
		if i == 0 || !strings.Contains(rules, f.Rule) {
			if rules != "" {
				rules += ","
			}
			rules += f.Rule
		}
	}
	return out, rules
}

// lines is apply for texts that belong together.
func (j *judge) lines(site redact.Site, lines []string) []string {
	out, found := j.engine.ApplyLines(site, lines)
	for _, f := range found {
		j.counts[f.Rule]++
	}
	return out
}

func (j *judge) text(s *string, name string, site redact.Site) {
	if *s != "" {
		*s, _ = j.apply(redact.Text{Value: *s, Name: name, Site: site})
	}
}

// typeNumbers numbers the types that a dump needs.
type typeNumbers struct {
	ids    map[*typ]dump.TypeID
	arrays map[arrayOf]dump.TypeID
	list   []numbered
}

type arrayOf struct {
	elem *typ
	n    int64
}

type numbered struct {
	t     *typ
	array arrayOf // if t is nil
}

func newTypeNumbers() typeNumbers {
	return typeNumbers{ids: map[*typ]dump.TypeID{}, arrays: map[arrayOf]dump.TypeID{}}
}

func (n *typeNumbers) of(t *typ) dump.TypeID {
	id := n.ids[t]
	if id == 0 {
		n.list = append(n.list, numbered{t: t})
		id = dump.TypeID(len(n.list))
		n.ids[t] = id
	}
	return id
}

func (n *typeNumbers) array(elem *typ, size int64) dump.TypeID {
	k := arrayOf{elem, size}
	id := n.arrays[k]
	if id == 0 {
		n.list = append(n.list, numbered{array: k})
		id = dump.TypeID(len(n.list))
		n.arrays[k] = id
	}
	return id
}
