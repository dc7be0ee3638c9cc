package capture

import (
	"encoding/binary"
	"slices"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// root is a variable of a frame, with the bytes of its value as far as they are
// known.
type root struct {
	name     string
	kind     dump.VarKind
	state    dump.VarState
	declLine int
	escaped  bool
	t        *typ
	addr     uint64 // 0: in no one place
	data     []byte // nil: no value
	known    []bool // which bytes of data are; nil: all
	reason   dump.Reason
	detail   string
	// doubt: what it points to may have been collected. If something of it has, the
	// state says so, too.
	doubt bool
}

// locator reads the variables of a stack's frames.
type locator struct {
	di     *debugInfo
	types  *typeTable
	mem    *reader // with the copied stack laid over it
	arena  *arena
	heap   *heap
	layout *layout
	// collected: the collector has run since what is located began.
	collected bool
	meter     *meter // nil: there is no deadline
	// plan has where the variables of the call being read lie, as far as that is the
	// same in every frame at its pc; nil: that is not kept.
	plan []placed
	buf  []root // for roots to use, nil: it makes its own
	// pieces are good until the next variable.
	pieces []piece
}

// roots returns the variables that are in scope in one call of a frame. line is
// where the call stands.
func (l *locator) roots(f *frame, c *call, line int) []root {
	out := l.buf[:0]
	for i, v := range c.vars {
		if v.name[0] == '.' || v.name[0] == '~' || v.name[0] == '#' || v.name == "_" { // the compiler's own
			continue
		}
		// A variable on the stack has its place all through the function, also
		// before it has a value.
		if v.expr != nil && (v.kind == dump.VarLocal || v.kind == dump.VarCaptured) && v.closureOff < 0 && v.declLine >= line && line > 0 {
			continue
		}
		if l.meter != nil && l.meter.tick(costScope) {
			out = append(out, root{name: v.name, kind: v.kind, declLine: v.declLine, state: dump.VarMissing, reason: dump.TimeBudget})
			continue
		}
		var pl *placed
		if l.plan != nil {
			pl = &l.plan[i]
		}
		r := l.root(f, c, v, line, pl)
		// Nor is it one that was optimised away.
		if r.data == nil && v.kind == dump.VarLocal && v.declLine >= line && line > 0 {
			continue
		}
		// A named result of a function that defers, or one that escapes, has two DIEs, often
		// one of them without a place.
		if r.kind == dump.VarResult || r.escaped && r.kind == dump.VarLocal {
			if i := slices.IndexFunc(out, func(o root) bool {
				return o.name == r.name && o.declLine == r.declLine && o.kind == dump.VarResult
			}); i >= 0 {
				if out[i].data == nil || r.escaped && r.data != nil {
					r.kind = dump.VarResult
					out[i] = r
				}
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

func (l *locator) root(f *frame, c *call, v *variable, line int, pl *placed) root {
	r := root{name: v.name, kind: v.kind, declLine: v.declLine, state: dump.VarMissing}
	if pl == nil || pl.t == nil {
		r.t = l.typeOf(f, c, v)
		if pl != nil && v.dictIndex == 0 {
			pl.t = r.t
		}
	} else {
		r.t = pl.t
	}
	if r.t == nil {
		r.reason, r.detail = dump.Unsupported, "its type cannot be read from the debug info"
		return r
	}
	l.read(f, v, &r, pl)
	if r.data == nil || r.known != nil {
		l.follow(f, v, line, &r)
	}
	if r.data == nil && v.closureOff >= 0 {
		l.readCaptured(f, c, v, &r)
	}
	if r.name[0] == '&' {
		l.escape(&r)
	}
	return r
}

// typeOf returns a variable's type. That of a type parameter is looked up in the
// dictionary that the function was called with, if that can be had.
func (l *locator) typeOf(f *frame, c *call, v *variable) *typ {
	if v.dictIndex > 0 {
		p, ok := l.hidden(f, c, ".dict")
		if !ok && !c.inlined {
			p = l.dictionary(f)
			ok = p != 0
		}
		if ok {
			if rt, err := l.mem.word(p + 8*uint64(v.dictIndex-1)); err == nil {
				if t := l.types.at(rt); t != nil {
					return t
				}
			}
		}
	}
	return l.types.ofDIE(v.typ)
}

// hidden returns the value of one of the compiler's own pointer variables.
func (l *locator) hidden(f *frame, c *call, name string) (uint64, bool) {
	for _, v := range c.vars {
		if v.name != name {
			continue
		}
		r := root{t: l.types.word}
		if l.read(f, v, &r, nil); r.data == nil {
			// It does not change, so where it was last is as good.
			l.follow(f, v, 0, &r)
		}
		if r.data != nil && r.known == nil {
			p := word(r.data, 0)
			if now, ok := l.heap.moved(p); ok {
				p = now // a closure may lie on the stack
			}
			return p, true
		}
	}
	return 0, false
}

// read reads the variable from where the debug info places it.
func (l *locator) read(f *frame, v *variable, r *root, pl *placed) {
	list := v.expr == nil && v.list >= 0
	expr, pieces, low, high, ok := l.placeOf(f, v, r.t, pl)
	if len(expr) == 0 {
		r.reason = dump.OptimizedOut
		return
	}
	if ok && list && inRegisters(pieces, f.regs) {
		l.registers(f)
	}
	if list && !(v.kind == dump.VarArg && low == f.fn.low) {
		withoutZero(pieces)
	}
	switch {
	case !ok:
		r.reason = dump.UnavailableRegister
		return
	case len(pieces) == 0:
		r.reason = dump.OptimizedOut
		return
	}
	size := r.t.size
	if size > maxValueBytes {
		size = maxValueBytes
	}
	if len(pieces) == 1 && pieces[0].size == 0 {
		// The compiler writes a piece only when a variable has more than one part
		// left. A bare location of something that has several parts (a slice, a string)
		// is that of the one that is left, and nothing says which.
		if list && f.fn.unit.optimized && manyParts(r.t) && !l.inMemory(f, v, pieces[0]) && !l.wholeAt(f, &pieces[0], r.t.size) {
			r.reason, r.detail = dump.OptimizedOut, "only a part of it is kept"
			return
		}
		pieces[0].size = r.t.size
	}
	data := l.arena.alloc(int(size))
	clear(data)
	if l.meter != nil {
		l.meter.tick(int(size))
	}
	var known []bool // made when there is a part that is not
	know := func(lo, hi uint64, is bool) {
		if known == nil {
			if is {
				return
			}
			known = make([]bool, size)
			for i := range known[:lo] {
				known[i] = true
			}
		}
		for i := lo; i < hi; i++ {
			known[i] = is
		}
	}
	var off uint64
	missing := dump.Whole
	recovered, any := false, false
	for i, p := range pieces {
		n := min(p.size, size-min(off, size))
		part := data[off : off+n]
		why := dump.Whole
		switch p.kind {
		case pieceNone:
			why = dump.OptimizedOut
		case pieceMemory:
			if i == 0 {
				r.addr = p.value
			} else if r.addr != 0 && p.value != r.addr+off {
				r.addr = 0
			}
			if l.mem.ReadAt(part, p.value) != nil {
				why = dump.Unreadable
			}
		case pieceReg, pieceConst:
			r.addr = 0
			val, ok := p.value, true
			if p.kind == pieceReg {
				val, ok = f.regs.get(p.value)
				recovered = true
			}
			if !ok || n > 8 {
				why = dump.UnavailableRegister
				break
			}
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], val)
			copy(part, b[:])
		}
		know(off, off+n, why == dump.Whole)
		if why == dump.Whole {
			any = any || n > 0
		} else {
			missing = why
		}
		if p.kind != pieceMemory {
			r.addr = 0
		}
		off += n
	}
	if off < size {
		know(off, size, false)
		missing = dump.OptimizedOut
	}
	if !any && size > 0 {
		r.reason, r.addr = missing, 0
		if r.reason == dump.Whole {
			r.reason = dump.OptimizedOut
		}
		return
	}
	r.data, r.reason, r.state = data, dump.Whole, dump.VarLive
	if recovered {
		r.state = dump.VarRecovered
	}
	// What the collector does not count may have been collected. It was not adjusted,
	// either, when the stack moved; in race builds, whose frames are several times as large, that
	// is so often that the place where the stack lay is something else by now.
	if (l.collected || f.fn.unit.race) && (recovered && l.dead(f, r.t, pieces, true) || !recovered && pl.once(deadKnown, func() bool { return l.dead(f, r.t, pieces, false) })) {
		r.doubt = l.collected
		if f.fn.unit.race || !l.intact(r) {
			r.state = dump.VarDead
		}
	}
	if list && f.fn.unit.race && v.kind == dump.VarLocal && l.stale(f, v, r.t, pieces) {
		r.state = dump.VarDead
	}
	if list && f.fn.unit.optimized && (pl.once(overKnown, func() bool { return l.overwritten(f, v, r.t, pieces, low, high) }) || l.targetOverwritten(f, r, low, high)) {
		r.state = dump.VarDead
	}
	if missing != dump.Whole {
		r.known, r.reason, r.addr = known, missing, 0
	}
}

// withoutZero makes the number of a register that nothing can be told from one that is
// never known. The compiler for arm64 (Go 1.26) writes x0 for the zero register, too, and
// says of a variable that begins as zero that it stays there. Only an argument that came in
// x0, and has not left it since, is surely there.
func withoutZero(pieces []piece) {
	if spReg() == 7 {
		return
	}
	for i := range pieces {
		if p := &pieces[i]; p.kind == pieceReg && p.value == 0 {
			p.value = ^uint64(0)
		}
	}
}

// inRegisters reports whether a part of a variable is in a register that is not
// known.
func inRegisters(pieces []piece, regs *registers) bool {
	for _, p := range pieces {
		if p.kind == pieceReg {
			if _, ok := regs.get(p.value); !ok {
				return true
			}
		}
	}
	return false
}

// before reports whether the pieces are all in memory that the callee of f does not write to.
func (f *frame) before(pieces []piece, size uint64) bool {
	for _, p := range pieces {
		if p.size != 0 {
			size = p.size
		}
		if p.kind == pieceReg || p.kind == pieceMemory && p.value < f.argHi && p.value+size > f.argLow {
			return false
		}
	}
	return len(pieces) > 0
}

// dead reports whether the collector, which has run meanwhile, may have collected
// what the variable points to, and the memory may hold something else by now. It does not
// count the registers and the frame of a function that faulted, nor what is not needed any
// more behind a call.
func (l *locator) dead(f *frame, t *typ, pieces []piece, recovered bool) bool {
	if t.resolve(); len(t.slots) == 0 {
		return false
	}
	if recovered && f.inner != nil && f.inner.fn != nil && f.inner.fn.name == asyncPreempt {
		return false // the collector takes what is there for pointers as long as it stands there
	}
	if f.exact || recovered {
		return true
	}
	if l.liveness(f) == nil {
		return true
	}
	var off uint64
	for _, p := range pieces {
		n := p.size
		if n == 0 {
			n = t.size
		}
		if p.kind == pieceMemory {
			for _, s := range t.slots {
				at := s.off // of the pointer; an interface has its data behind the type
				if s.typ.kind == dump.Interface {
					at += 8
				}
				if at >= off && at < off+n && f.live.dead(p.value+at-off-f.cfa, l.collected) {
					return true
				}
			}
		}
		off += n
	}
	return false
}

// intact reports whether all that the variable points to is surely still there.
func (l *locator) intact(r *root) bool {
	for i := range r.t.resolve().slots {
		s := &r.t.slots[i]
		at := s.off
		switch s.typ.kind {
		case dump.Interface:
			at += 8
		case dump.Array:
			return false
		}
		if at+8 > uint64(len(r.data)) {
			return false
		}
		if p := word(r.data, int(at)); p != 0 && !l.heap.intact(p) {
			if _, moved := l.heap.moved(p); !moved {
				return false
			}
		}
	}
	return true
}

// overwritten reports whether a part of the variable lies in a stack slot into
// which the function also stores something else while the debug info, in [low,
// high), still has the variable there: the compiler shares spill slots among
// values, and does not tell. A store from a register that the variable itself is in at other
// times may be one of its own: what two calls return is in the same register.
func (l *locator) overwritten(f *frame, v *variable, t *typ, pieces []piece, low, high uint64) bool {
	size := t.size
	other, own := l.storedTo(f, v, pieces, size, low, high)
	if !other && !own {
		return false
	}
	// Looked at more closely: where does what is stored come from, and does it come here?
	if shared, known := l.shared(f, v, t); known {
		return shared
	}
	return other
}

// storedTo reports whether there are stores to the variable's slots in [low, high): from where it
// never is, or from registers that it is in at other times.
func (l *locator) storedTo(f *frame, v *variable, pieces []piece, size, low, high uint64) (other, same bool) {
	stores := l.di.storesOf(l.mem, f.fn)
	var off uint64 // of the piece in the variable
	var own map[[2]uint64]bool
	for _, p := range pieces {
		n := p.size
		if n == 0 {
			n = size
		}
		if p.kind == pieceMemory && p.value >= f.sp && p.value < f.cfa {
			for _, s := range stores {
				at := f.sp + s.off
				if s.pc < low || s.pc >= high || at >= p.value+n || at+s.size <= p.value {
					continue
				}
				if own == nil {
					own = l.di.registersOf(f.fn.unit, v.list)
				}
				if s.reg < 0 || !own[[2]uint64{off + at - p.value, uint64(s.reg)}] {
					return true, same
				}
				same = true
			}
		}
		off += n
	}
	return false, same
}

// targetOverwritten is overwritten for what the variable points to in its own frame: a
// string's or a slice's bytes may lie there, as long as the compiler thinks that they are
// needed.
func (l *locator) targetOverwritten(f *frame, r *root, low, high uint64) bool {
	for i := range r.t.resolve().slots {
		s := &r.t.slots[i]
		if s.off+s.typ.size > uint64(len(r.data)) || s.typ.kind != dump.String && s.typ.kind != dump.Slice {
			continue
		}
		p, n := word(r.data, int(s.off)), word(r.data, int(s.off)+8)
		if now, ok := l.heap.moved(p); ok {
			p = now
		}
		if p < f.sp || p >= f.cfa {
			continue
		}
		if e := s.typ.resolve().elem; e != nil {
			n *= e.size
		}
		for _, st := range l.di.storesOf(l.mem, f.fn) {
			if at := f.sp + st.off; st.pc >= low && st.pc < high && at < p+n && at+st.size > p {
				return true
			}
		}
	}
	return false
}

// registersOf lists which bytes of a variable, by their offset, are in which
// register anywhere in its location list.
func (di *debugInfo) registersOf(u *unit, list int64) map[[2]uint64]bool {
	out := map[[2]uint64]bool{}
	di.locations(u, list, func(expr []byte, _, _ uint64) bool {
		pieces, _ := locate(expr, 0, 0, nil)
		var off uint64
		for _, p := range pieces {
			if p.kind == pieceReg {
				out[[2]uint64{off, p.value}] = true
			}
			off += p.size
		}
		return true
	})
	return out
}

// wholeAt reports whether a variable that has one place in memory is there in whole, for its address is
// taken: then it is an object that the collector knows of.
func (l *locator) wholeAt(f *frame, p *piece, size uint64) bool {
	if p.kind != pieceMemory {
		return false
	}
	lv := l.liveness(f)
	return lv != nil && slices.Contains(lv.objects, stackObject{p.value, p.value + size})
}

// liveness returns what the collector knows of the frame, nil if nothing.
func (l *locator) liveness(f *frame) *liveness {
	if !f.liveDone {
		f.liveDone = true
		if lv, ok := livenessAt(l.mem, l.layout, f); ok {
			f.live = &lv
		}
	}
	return f.live
}

// inParts reports whether the compiler splits variables of the type up at all; others are kept in
// memory, in one place (cmd/compile/internal/ssa, CanSSA).
func inParts(t *typ) bool {
	const most = 4 // words, and fields
	t.resolve()
	switch {
	case t.size == 0:
		return true
	case t.size > most*8:
		return false
	case t.kind == dump.Array:
		return t.len <= 1 && (t.elem == nil || inParts(t.elem))
	case t.kind == dump.Struct && !t.direct:
		return len(t.fields) <= most && !slices.ContainsFunc(t.fields, func(f field) bool { return !inParts(f.typ) })
	}
	return true
}

// manyParts reports whether the compiler may keep the parts of a value in
// different places (cmd/compile/internal/ssa, decompose.go).
func manyParts(t *typ) bool {
	if !inParts(t) {
		return false
	}
	switch t.kind {
	case dump.String, dump.Slice, dump.Interface, dump.Complex64, dump.Complex128:
		return true
	case dump.Struct:
		t.resolve()
		return len(t.fields) > 1 || len(t.fields) == 1 && manyParts(t.fields[0].typ)
	case dump.Array:
		t.resolve()
		return t.len > 1 || t.len == 1 && t.elem != nil && manyParts(t.elem)
	}
	return false
}

// readCaptured reads a captured variable from the closure, which never changes
// once made.
func (l *locator) readCaptured(f *frame, c *call, v *variable, r *root) {
	p, ok := l.hidden(f, c, ".closureptr")
	if !ok {
		return
	}
	if !l.heap.holds(p, uint64(v.closureOff)+r.t.size) || l.collected && !l.heap.intact(p) {
		return
	}
	b := l.arena.alloc(int(min(r.t.size, maxValueBytes)))
	if l.mem.ReadAt(b, p+uint64(v.closureOff)) != nil {
		return
	}
	*r = root{name: r.name, kind: r.kind, declLine: r.declLine, t: r.t, state: dump.VarLive, data: b, addr: p + uint64(v.closureOff)}
}

// escape turns the pointer &x that the compiler made of an escaping variable x into
// that variable.
func (l *locator) escape(r *root) {
	r.name = r.name[1:]
	r.escaped = true
	t := r.t.resolve().elem
	if r.t.kind != dump.Pointer || t == nil {
		return
	}
	r.t = t
	r.addr = 0
	if r.data == nil || r.known != nil {
		r.data, r.known = nil, nil
		return
	}
	p := word(r.data, 0)
	if now, ok := l.heap.moved(p); ok {
		p = now
		if r.state == dump.VarLive {
			r.state = dump.VarRecovered
		}
	}
	if p != 0 && (!l.heap.holds(p, t.size) || r.doubt && !l.heap.intact(p)) {
		r.data, r.reason, r.detail, r.state = nil, dump.Unreadable, staleDetail, dump.VarMissing
		return
	}
	b := l.arena.alloc(int(min(t.size, maxValueBytes)))
	if p == 0 || l.mem.ReadAt(b, p) != nil {
		r.data, r.reason, r.state = nil, dump.Unreadable, dump.VarMissing
		if p == 0 {
			r.reason, r.detail = dump.OptimizedOut, "not yet allocated"
		}
		return
	}
	r.data, r.addr = b, p
}
