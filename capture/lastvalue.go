package capture

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// flowList is what is known of the flow of values in a function, made when it is first asked
// for.
type flowList struct {
	flowOnce sync.Once
	flow     *flow

	flowMu  sync.Mutex
	last    map[flowKey]*lastPlaces
	entries map[int32][]places // what holds the registers' values at entry, by instruction
}

type flowKey struct {
	list int64
	insn int32
}

// lastPlaces is where the parts of a variable were last, and still are, at one
// instruction.
type lastPlaces struct {
	parts []part
	once  bool // the variable has one value all the time
}

type part struct {
	off, size uint64
	places    places
	// placed: the debug info has a place for it at this instruction.
	placed bool
}

// maxParts is how many parts of one variable are followed.
const maxParts = 24

// follow fills in a variable that the debug info has no place for at the frame's pc, or
// only a register that is lost, from places that still hold what it held when there last
// was one. Proof is the function's code: on all ways to the pc the same place holds it.
func (l *locator) follow(f *frame, v *variable, line int, r *root) {
	if v.list < 0 || !f.fn.unit.optimized || r.t.size == 0 || r.t.size > 8*maxParts || l.meter != nil && l.meter.tick(costScope) {
		return
	}
	fl := l.flowOf(f.fn)
	if fl == nil {
		return
	}
	at := fl.insnAt(f.lookup() - l.di.bias)
	if at < 0 || uint64(fl.cfa[at]) != f.cfa-f.sp {
		return
	}
	lp := l.lastPlacesOf(fl, v, r.t, at)
	if lp == nil {
		if r.data == nil && l.meter != nil && l.meter.over {
			r.reason = dump.TimeBudget
		}
		return
	}
	data := l.arena.alloc(int(r.t.size))
	clear(data)
	known := make([]bool, r.t.size)
	var n uint64
	live := true
	for i := range lp.parts {
		p := &lp.parts[i]
		if l.readPlace(f, fl, p, data[p.off:p.off+p.size]) {
			for k := range p.size {
				known[p.off+k] = true
			}
			n += p.size
			live = live && p.placed
		}
	}
	if n == 0 {
		return
	}
	whole := allKnown(known)
	if !whole && r.t.kind != dump.Struct && r.t.kind != dump.Array {
		return
	}
	c := root{name: r.name, kind: r.kind, declLine: r.declLine, t: r.t, data: data, state: dump.VarDead}
	switch {
	case live:
		c.state = dump.VarRecovered
	case !lp.once || v.kind == dump.VarLocal && v.declLine >= line && line > 0:
		return
	}
	if !whole {
		if r.data != nil {
			return
		}
		c.known, c.reason = known, dump.OptimizedOut
	}
	if !l.credible(&c) {
		return
	}
	*r = c
}

// shared reports whether the slots in which the debug info has the variable may hold
// something else by now. known is false if that cannot be told.
func (l *locator) shared(f *frame, v *variable, t *typ) (shared, known bool) {
	fl := l.flowOf(f.fn)
	if fl == nil {
		return false, false
	}
	at := fl.insnAt(f.lookup() - l.di.bias)
	if at < 0 || uint64(fl.cfa[at]) != f.cfa-f.sp {
		return false, false
	}
	lp := l.lastPlacesOf(fl, v, t, at)
	if lp == nil {
		return false, false
	}
	for i := range lp.parts {
		if p := &lp.parts[i]; p.placed && !p.places.has(clean) {
			return true, true
		}
	}
	return false, true
}

// stale reports whether a variable's slot may hold a value from before an
// assignment. In race builds, where nearly all is spilled, the compiler's debug info keeps a variable in
// the slot of the value that it was made from (h := seed) while it goes on in a register.
func (l *locator) stale(f *frame, v *variable, t *typ, pieces []piece) bool {
	if !slices.ContainsFunc(pieces, func(p piece) bool { return p.kind == pieceMemory }) {
		return false
	}
	fl := l.flowOf(f.fn)
	if fl == nil {
		return true
	}
	at := fl.insnAt(f.lookup() - l.di.bias)
	if at < 0 {
		return true
	}
	lp := l.lastPlacesOf(fl, v, t, at)
	if lp == nil || !lp.once {
		return true
	}
	// Is it in the place of an argument, too?
	for i := range f.fn.root.vars {
		o := &f.fn.root.vars[i]
		if o == v || o.list < 0 || o.kind != dump.VarArg {
			continue
		}
		e, _, _ := l.di.locationAt(f.fn.unit, o.list, f.lookup()-l.di.bias)
		ps, ok := locate(e, f.cfa, l.di.bias, f.regs)
		if !ok {
			continue
		}
		for _, a := range pieces {
			for _, b := range ps {
				if a.kind == pieceMemory && b.kind == pieceMemory && a.value == b.value {
					return true
				}
			}
		}
	}
	return false
}

// inMemory reports whether a variable that a bare location places in the frame lies
// there whole, because it is one that the compiler keeps in memory: one whose address is
// taken, or a result of a function with deferred calls (cmd/compile/internal/ssagen, canSSAName).
// Otherwise it may be the one part of it that is left.
func (l *locator) inMemory(f *frame, v *variable, p piece) bool {
	if p.kind != pieceMemory {
		return false
	}
	fl := l.flowOf(f.fn)
	if fl == nil {
		return false
	}
	same := true
	l.di.locations(f.fn.unit, v.list, func(expr []byte, _, _ uint64) bool {
		ps, ok := locate(expr, f.cfa, l.di.bias, nil)
		same = same && ok && len(ps) == 1 && ps[0] == p
		return same
	})
	if !same {
		return false
	}
	if v.kind == dump.VarResult && fl.defers {
		return true
	}
	for i := range fl.insns {
		if in := &fl.insns[i]; in.lea && fl.cfa[i] != 0 && f.cfa+uint64(int64(in.mem-fl.cfa[i])) == p.value {
			return true
		}
	}
	return false
}

// credible reports whether what a variable that is not live points to is surely
// there.
func (l *locator) credible(r *root) bool {
	r.t.resolve()
	if len(r.t.slots) == 0 {
		return true
	}
	r.doubt = l.collected
	for i := range r.t.slots {
		s := &r.t.slots[i]
		end := s.off + s.typ.size
		if end > uint64(len(r.data)) || s.typ.kind == dump.Array {
			return false
		}
		if r.known != nil && !allKnown(r.known[s.off:end]) {
			continue
		}
		at := s.off
		if s.typ.kind == dump.Interface {
			at += 8
		}
		p, n := word(r.data, int(at)), uint64(0)
		switch s.typ.kind {
		case dump.String:
			n = word(r.data, int(s.off)+8)
		case dump.Slice:
			n = word(r.data, int(s.off)+8)
			if n > word(r.data, int(s.off)+16) {
				return false
			}
			if e := s.typ.resolve().elem; e != nil && e.size != 0 {
				if n > 1<<40/e.size {
					return false
				}
				n *= e.size
			}
		}
		if p == 0 {
			if n != 0 {
				return false
			}
			continue
		}
		if n > 1<<40 || p < minAddress {
			return false
		}
		if _, moved := l.heap.moved(p); moved {
			continue
		}
		if !l.heap.holds(p, n) || l.collected && !l.heap.intact(p) {
			return false
		}
	}
	return true
}

// readPlace reads a part of a variable from the first place that can be read.
func (l *locator) readPlace(f *frame, fl *flow, p *part, to []byte) bool {
	for i, at := range fl.slots {
		if !p.places.has(firstSlot + i) {
			continue
		}
		a := f.cfa + uint64(int64(at))
		if f.inner != nil && a < f.argHi && a+p.size > f.argLow {
			continue
		}
		if l.mem.ReadAt(to, a) == nil {
			return true
		}
	}
	var regs *registers
	for i := range firstSlot {
		if !p.places.has(i) {
			continue
		}
		if regs == nil {
			if regs = l.registers(f); regs == nil {
				return false
			}
		}
		if val, ok := regs.get(uint64(registerOf(i))); ok {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], val)
			copy(to, b[:])
			return true
		}
	}
	return false
}

// registerOf returns the DWARF number of the register that a place is.
func registerOf(place int) int {
	if place >= 16 {
		return place + 1 // 16 is the return address
	}
	return place
}

func placeOf(reg uint64) int {
	switch {
	case reg < 16:
		return int(reg)
	case reg > 16 && reg < 33:
		return int(reg - 1)
	}
	return -2
}

// lastPlacesOf finds where the parts of v are at instruction at.
func (l *locator) lastPlacesOf(fl *flow, v *variable, t *typ, at int32) *lastPlaces {
	f := fl.fn
	key := flowKey{v.list, at}
	f.flowMu.Lock()
	lp, ok := f.last[key]
	f.flowMu.Unlock()
	if ok {
		return lp
	}
	lp = l.findLast(fl, v, t, at)
	if lp == nil && l.meter != nil && l.meter.over {
		return nil // not an answer to keep
	}
	f.flowMu.Lock()
	if f.last == nil {
		f.last = map[flowKey]*lastPlaces{}
	}
	f.last[key] = lp
	f.flowMu.Unlock()
	return lp
}

func (l *locator) findLast(fl *flow, v *variable, t *typ, at int32) *lastPlaces {
	type entry struct {
		low, high uint64
		pieces    []piece
		bad       bool
	}
	var entries []entry
	bounds := []uint64{0, t.size}
	l.di.locations(fl.fn.unit, v.list, func(expr []byte, low, high uint64) bool {
		if len(expr) == 0 || high <= fl.fn.low || low >= fl.fn.high {
			return true
		}
		ps, ok := locate(expr, 0, 0, nil)
		entries = append(entries, entry{low, high, ps, !ok})
		var off uint64
		for _, p := range ps {
			if p.size == 0 {
				break
			}
			off += p.size
			if off <= t.size {
				bounds = append(bounds, off)
			}
			if p.kind == pieceMemory {
				for k := off - p.size + 8; k < min(off, t.size); k += 8 {
					bounds = append(bounds, k)
				}
			}
		}
		return true
	})
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	if len(entries) == 0 || len(bounds) > maxParts+1 {
		return nil
	}
	lp := &lastPlaces{}
	var vals []tracked
	for i := 0; i+1 < len(bounds); i++ {
		n := bounds[i+1] - bounds[i]
		if n > 8 {
			return nil
		}
		lp.parts = append(lp.parts, part{off: bounds[i], size: n})
		vals = append(vals, tracked{size: uint8(n), entry: -1})
	}
	var covers []cover
	var here *cover
	for _, e := range entries {
		c := cover{low: uint32(max(e.low, fl.fn.low) - fl.fn.low), high: uint32(min(e.high, fl.fn.high) - fl.fn.low), at: make([]int, len(vals))}
		place := func(p piece, off uint64) int {
			switch p.kind {
			case pieceNone:
				return -1
			case pieceReg:
				return placeOf(p.value)
			case pieceMemory:
				if at := int64(p.value + off); at > -1<<30 && at < 1<<30 {
					if s := fl.slot(int32(at)); s >= 0 {
						return s
					}
				}
			}
			return -2
		}
		bare := len(e.pieces) == 1 && e.pieces[0].size == 0
		for k := range lp.parts {
			c.at[k] = -2
			if e.bad {
				continue
			}
			p := &lp.parts[k]
			if bare {
				if e.pieces[0].kind != pieceReg || p.off == 0 && p.size == t.size {
					c.at[k] = place(e.pieces[0], p.off)
				}
				continue
			}
			c.at[k] = -1
			var off uint64
			for _, pc := range e.pieces {
				if p.off >= off && p.off < off+pc.size {
					c.at[k] = -2
					if pc.kind != pieceReg || p.off == off && p.size == pc.size {
						c.at[k] = place(pc, p.off-off)
					}
				}
				off += pc.size
			}
		}
		if bare && !e.bad && manyParts(t) {
			if pl := place(e.pieces[0], 0); pl >= 0 {
				c.any = 1 + pl
			} else {
				for k := range c.at {
					c.at[k] = -2
				}
			}
		}
		covers = append(covers, c)
	}
	off := fl.insns[at].off
	for i := range covers {
		if off >= covers[i].low && off < covers[i].high {
			here = &covers[i]
			break
		}
	}
	st, changes := fl.follow(l.meter, vals, covers, at)
	if st == nil {
		return nil
	}
	// The value of a variable that is assigned to once is its last one. Of another one the last value may
	// be one that the compiler has never computed.
	lp.once = changes == 1
	found := false
	for k := range lp.parts {
		p := &lp.parts[k]
		p.places = st[k]
		p.placed = here != nil && here.any == 0 && here.at[k] != -1
		found = found || !p.places.empty()
	}
	if !found {
		return nil
	}
	return lp
}

// argRegisters are the places of the registers that may hold arguments, and the
// closure's (DX): AX, BX, CX, DI, SI, R8 … R11, X0 … X14 (cmd/compile/abi-internal.md).
var argRegisters = []int8{0, 3, 2, 5, 4, 8, 9, 10, 11, 1, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30}

// registers returns what is known of a frame's registers at its pc: those that the runtime
// has kept, or those that the callee was entered with and still has, mostly in the slots that
// it spills its arguments to.
func (l *locator) registers(f *frame) *registers {
	if f.regsDone || f.regs != nil {
		return f.regs
	}
	f.regsDone = true
	in := f.inner
	if f.exact || in == nil || in.fn == nil || l.meter != nil && l.meter.tick(costScope) {
		return nil
	}
	fl := l.flowOf(in.fn)
	if fl == nil {
		return nil
	}
	at := fl.insnAt(in.lookup() - l.di.bias)
	if at < 0 || uint64(fl.cfa[at]) != in.cfa-in.sp {
		return nil
	}
	in.fn.flowMu.Lock()
	st, ok := in.fn.entries[at]
	in.fn.flowMu.Unlock()
	if !ok {
		vals := make([]tracked, len(argRegisters))
		for i, r := range argRegisters {
			vals[i] = tracked{8, r}
		}
		st, _ = fl.follow(l.meter, vals, nil, at)
		if st == nil && l.meter != nil && l.meter.over {
			return nil // not an answer to keep
		}
		in.fn.flowMu.Lock()
		if in.fn.entries == nil {
			in.fn.entries = map[int32][]places{}
		}
		in.fn.entries[at] = st
		in.fn.flowMu.Unlock()
	}
	if st == nil {
		return nil
	}
	var regs registers
	for i := range st {
		if st[i].empty() {
			continue
		}
		var b [8]byte
		if l.readPlace(in, fl, &part{size: 8, places: st[i]}, b[:]) {
			regs.set(registerOf(int(argRegisters[i])), binary.LittleEndian.Uint64(b[:]))
		}
	}
	if regs.valid != 0 {
		f.regs = &regs
	}
	return f.regs
}
