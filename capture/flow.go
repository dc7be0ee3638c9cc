package capture

import (
	"runtime"
	"slices"
	"sort"
)

// flow is a function's machine code as far as it matters for where values lie: its
// instructions, where control goes, and the places of the frame that can be followed. It answers
// two questions about a pc, for all ways that lead there: which places hold what a
// variable held when the debug info last had a place for it, and which hold what a
// register held when the function was entered.
//
// A place is a register, or a slot of the frame that the compiler spills values to. Nobody has a spill
// slot's address, so only the function's own instructions write to it.
type flow struct {
	fn     *function
	insns  []insn
	cfa    []int32 // CFA minus the stack pointer before each instruction; 0: not reached
	block  []bool  // an instruction that begins a block
	next   [][]int32
	slots  []int32 // the frame's places, by their offset from the CFA, ascending
	beyond int32   // slots of the frame below this offset do not survive a call
	defers bool    // it has deferred calls
	seeds  []int32 // instructions that control reaches in ways that are not in next
}

// firstSlot is the place of the first slot; those below are the registers.
const firstSlot = 32

// maxPlaces is how many places are followed; a function has seldom more than some dozens.
const maxPlaces = 256

// clean stands in a set of places for: nothing else has been stored to where the location
// list has the value, as long as it has.
const clean = maxPlaces - 1

// maxFlowCode is how much code a function may have to be followed.
const maxFlowCode = 128 << 10

// places is a set of places.
type places [maxPlaces / 64]uint64

func (p *places) has(i int) bool    { return p[i/64]&(1<<(i%64)) != 0 }
func (p *places) add(i int)         { p[i/64] |= 1 << (i % 64) }
func (p *places) remove(i int)      { p[i/64] &^= 1 << (i % 64) }
func (p *places) meet(o *places)    { *p = places{p[0] & o[0], p[1] & o[1], p[2] & o[2], p[3] & o[3]} }
func (p *places) empty() bool       { return p[0]|p[1]|p[2]|p[3]&^(1<<63) == 0 }
func (p *places) killRegs(m uint32) { p[0] &^= uint64(m) }

// flowOf returns the function's flow, nil if its code is not understood.
func (l *locator) flowOf(f *function) *flow {
	f.flowOnce.Do(func() {
		n := f.high - f.low
		if n > maxFlowCode || runtime.GOARCH != "amd64" {
			return
		}
		code := make([]byte, n)
		if l.mem.ReadAt(code, f.low+l.di.bias) == nil {
			f.flow = l.makeFlow(f, code)
		}
	})
	return f.flow
}

func (l *locator) makeFlow(f *function, code []byte) *flow {
	fl := &flow{fn: f}
	for off := 0; off < len(code); {
		in, ok := decodeInsn(code, off)
		if !ok {
			return nil
		}
		fl.insns = append(fl.insns, in)
		off += int(in.n)
	}
	n := len(fl.insns)
	fl.block, fl.next, fl.cfa = make([]bool, n+1), make([][]int32, n), make([]int32, n)
	fl.block[0] = true
	for i := range fl.insns {
		in := &fl.insns[i]
		if in.wild {
			return nil
		}
		goesOn := false
		switch in.kind {
		case insnPlain:
			goesOn = true
		case insnCall:
			goesOn = true
			if in.target == -1 {
				break
			}
			name := ""
			if callee := runtime.FuncForPC(uintptr(f.low + l.di.bias + uint64(int64(in.target)))); callee != nil {
				name = callee.Name()
			}
			if name == "runtime.deferreturn" {
				// After a recovered panic the runtime continues here.
				fl.seeds = append(fl.seeds, int32(i))
				fl.block[i] = true
				fl.defers = true
			}
			goesOn = !neverReturns(name)
			fl.block[i+1] = fl.block[i+1] || !goesOn
		case insnBranch:
			goesOn = true
			fallthrough
		case insnJump:
			switch t := fl.index(in.target); {
			case t >= 0:
				fl.next[i] = append(fl.next[i], t)
			case in.target >= 0 && int(in.target) < len(code):
				return nil // into the middle of an instruction
			case in.kind == insnBranch:
				return nil
			}
			fl.block[i+1] = true
		case insnJumpIndirect:
			ts := l.jumpTable(fl, i)
			if ts == nil {
				return nil
			}
			fl.next[i] = ts
			fl.block[i+1] = true
		default:
			fl.block[i+1] = true
		}
		if goesOn && i+1 < n {
			fl.next[i] = append(fl.next[i], int32(i+1))
		}
		for _, t := range fl.next[i] {
			fl.block[t] = fl.block[t] || in.kind != insnPlain && in.kind != insnCall
		}
	}
	if !fl.stackPointer(l.di) {
		return nil
	}
	l.findSlots(fl)
	return fl
}

// index returns the instruction at an offset of the function, -1 if none begins there.
func (fl *flow) index(off int32) int32 {
	i, ok := slices.BinarySearchFunc(fl.insns, off, func(in insn, off int32) int { return int(int32(in.off) - off) })
	if !ok {
		return -1
	}
	return int32(i)
}

// jumpTable returns where the indirect jump i may lead to: what the table holds whose
// address is loaded before, and what lies behind it as long as that leads into the function, too. nil: unknown.
func (l *locator) jumpTable(fl *flow, i int) []int32 {
	base := fl.insns[i].base
	if base < 0 {
		return nil
	}
	for k := i - 1; k >= 0 && k >= i-24; k-- {
		in := &fl.insns[k]
		if in.kill&(1<<base) == 0 {
			continue
		}
		if !in.hasData {
			return nil
		}
		low := fl.fn.low + l.di.bias
		var out []int32
		for at := low + uint64(in.data); len(out) < 4096; at += 8 {
			pc, err := l.mem.word(at)
			if err != nil || pc < low || pc >= fl.fn.high+l.di.bias {
				break
			}
			t := fl.index(int32(pc - low))
			if t < 0 {
				return nil
			}
			out = append(out, t)
		}
		return out
	}
	return nil
}

// stackPointer finds how far the CFA is from the stack pointer before each
// instruction. ok is false if it is not the same on all ways.
func (fl *flow) stackPointer(di *debugInfo) (ok bool) {
	work := []int32{0}
	fl.cfa[0] = 8
	for unreached, known := 0, true; ; known = false {
		for len(work) > 0 {
			i := work[len(work)-1]
			work = work[:len(work)-1]
			after := fl.cfa[i] - fl.insns[i].spMove
			keep := fl.next[i][:0]
			for _, t := range fl.next[i] {
				switch fl.cfa[t] {
				case 0:
					if after < 8 {
						return false
					}
					fl.cfa[t] = after
					work = append(work, t)
				case after:
				default:
					if known {
						return false
					}
					continue // padding behind a call that does not return
				}
				keep = append(keep, t)
			}
			fl.next[i] = keep
		}
		for unreached < len(fl.cfa) && (fl.cfa[unreached] != 0 || fl.insns[unreached].kind == insnStop) {
			unreached++
		}
		if unreached == len(fl.cfa) {
			return true
		}
		// Nothing that is known leads there.
		row, ok := di.frames.at(fl.fn.low + uint64(fl.insns[unreached].off))
		if !ok || row.cfaReg != spReg() || row.cfaOff < 8 {
			return false
		}
		fl.cfa[unreached] = int32(row.cfaOff)
		fl.block[unreached] = true
		fl.seeds = append(fl.seeds, int32(unreached))
		work = append(work, int32(unreached))
	}
}

// findSlots collects the slots that are followed: those that a location list places
// something in, and those for the arguments that came in registers. What has an address, and what
// lies where variables with one lie, does not count.
func (l *locator) findSlots(fl *flow) {
	set := map[int32]bool{}
	type span struct{ low, high int64 }
	var fixed []span
	fl.beyond = 0 // those of the arguments are in the caller's frame
	var scan func(s *scope)
	scan = func(s *scope) {
		for i := range s.vars {
			v := &s.vars[i]
			if v.expr != nil {
				t := l.types.ofDIE(v.typ)
				ps, ok := locate(v.expr, 0, 0, nil)
				if !ok || len(ps) != 1 || ps[0].kind != pieceMemory {
					continue
				}
				at, size := int64(ps[0].value), int64(1<<16)
				if t != nil && t.size < 1<<30 {
					size = int64(t.size)
				}
				fixed = append(fixed, span{at, at + size})
				continue
			}
			if v.list < 0 {
				continue
			}
			l.di.locations(fl.fn.unit, v.list, func(expr []byte, low, high uint64) bool {
				ps, ok := locate(expr, 0, 0, nil)
				if !ok {
					return true
				}
				survives := fl.coversCall(low, high)
				for _, p := range ps {
					at := int64(p.value)
					if p.kind != pieceMemory || at < -1<<30 || at > 1<<30 {
						continue
					}
					if survives && at < 0 {
						fl.beyond = min(fl.beyond, int32(at))
					}
					for k := int64(0); k == 0 || k+8 <= int64(min(p.size, 64)); k += 8 {
						set[int32(at+k)] = true
					}
				}
				return true
			})
		}
		for i := range s.kids {
			scan(&s.kids[i])
		}
	}
	scan(&fl.fn.root)
	args := int32(min(argBytes(fl.fn.low+l.di.bias), 1<<16))
	for i := range fl.insns {
		in := &fl.insns[i]
		if in.lea && in.mem >= fl.cfa[i] {
			args = 0
		}
	}
	for i := range fl.insns {
		if in := &fl.insns[i]; in.store != 0 && fl.cfa[i] != 0 {
			if at := in.mem - fl.cfa[i]; at >= 0 && at < args {
				set[at] = true
			}
		}
	}
	for at := range set {
		if !slices.ContainsFunc(fixed, func(s span) bool { return int64(at) < s.high && int64(at)+8 > s.low }) {
			fl.slots = append(fl.slots, at)
		}
	}
	slices.Sort(fl.slots)
	if most := clean - firstSlot; len(fl.slots) > most {
		fl.slots = fl.slots[len(fl.slots)-most:]
	}
}

// coversCall reports whether a call, and the instruction behind it, lie in
// [low, high).
func (fl *flow) coversCall(low, high uint64) bool {
	i := sort.Search(len(fl.insns), func(i int) bool { return fl.fn.low+uint64(fl.insns[i].off) >= low })
	for ; i < len(fl.insns); i++ {
		in := &fl.insns[i]
		end := fl.fn.low + uint64(in.off) + uint64(in.n)
		if end >= high {
			return false
		}
		if in.kind == insnCall {
			return true
		}
	}
	return false
}

func (fl *flow) slot(at int32) int {
	if i, ok := slices.BinarySearch(fl.slots, at); ok {
		return firstSlot + i
	}
	return -1
}

// tracked is a value of up to eight bytes that is followed through a function.
type tracked struct {
	size uint8
	// at entry: the register that it is in, -1: nowhere
	entry int8
}

// cover is an entry of a location list: in [low, high) it has the tracked values at these places.
type cover struct {
	low, high uint32 // in the function
	at        []int  // by tracked value; -1: no place, -2: one that is not followed
	any       int    // if not 0: 1 + the place of one of the values, unknown which
}

// follow returns where the tracked values are before instruction target, as places; nil if
// that cannot be told. changes is at how many instructions the location list shows values that
// are not known to be the ones that it had before. It gives up when the meter m is over; m may be nil.
func (fl *flow) follow(m *meter, vals []tracked, covers []cover, target int32) (found []places, changes int) {
	n, w := len(fl.insns), len(vals)
	if w == 0 || target < 0 || int(target) >= n {
		return nil, 0
	}
	in := make([]places, 0, 64*w) // states at the beginnings of blocks
	at := make([]int32, n)        // 1 + index in in
	var work []int32
	reach := func(t int32, st []places) {
		if at[t] == 0 {
			at[t] = int32(len(in)/w) + 1
			in = append(in, st...)
			work = append(work, t)
			return
		}
		old := in[int(at[t]-1)*w:][:w]
		changed := false
		for k := range old {
			was := old[k]
			old[k].meet(&st[k])
			changed = changed || old[k] != was
		}
		if changed {
			work = append(work, t)
		}
	}
	state := make([]places, w)
	for k, v := range vals {
		if v.entry >= 0 {
			state[k].add(int(v.entry))
		}
	}
	reach(0, state)
	none := make([]places, w)
	for _, s := range fl.seeds {
		reach(s, none)
	}
	for steps := 0; len(work) > 0; steps++ {
		if steps > 64*n {
			return nil, 0
		}
		b := work[len(work)-1]
		work = work[:len(work)-1]
		copy(state, in[int(at[b]-1)*w:][:w])
		for i := b; ; i++ {
			fl.apply(state, covers, i)
			fl.transfer(state, vals, covers, i)
			if m != nil && m.tick(w*costFlow) {
				return nil, 0
			}
			if fl.ends(i) {
				for _, t := range fl.next[i] {
					reach(t, state)
				}
				break
			}
		}
	}
	for b := range int32(n) {
		if at[b] == 0 {
			continue
		}
		copy(state, in[int(at[b]-1)*w:][:w])
		for i := b; ; i++ {
			if fl.apply(state, covers, i) {
				changes++
			}
			if i == target {
				found = slices.Clone(state)
			}
			if fl.transfer(state, vals, covers, i) {
				changes++
			}
			if m != nil && m.tick(w*costFlow) {
				return nil, 0
			}
			if fl.ends(i) {
				break
			}
		}
	}
	return found, changes
}

// ends reports whether instruction i ends a block.
func (fl *flow) ends(i int32) bool {
	return int(i)+1 >= len(fl.insns) || fl.block[i+1] || len(fl.next[i]) != 1 || fl.next[i][0] != i+1
}

// apply takes in what the location list says at instruction i. A value that it has in
// a place which is not known to hold it already is a new one; the other places hold an old one
// then, and so do those of the variable's other parts which it has no place for. It reports
// whether there is a new one.
func (fl *flow) apply(state []places, covers []cover, i int32) (fresh bool) {
	off := fl.insns[i].off
	for c := range covers {
		cv := &covers[c]
		if off < cv.low || off >= cv.high {
			continue
		}
		if cv.any != 0 {
			for k := range state {
				if state[k].has(cv.any - 1) {
					return false
				}
			}
			clear(state)
			return true
		}
		for k, p := range cv.at {
			switch {
			case p == -1:
			case p < 0:
				state[k] = places{}
				fresh = true
			case !state[k].has(p):
				state[k] = places{}
				state[k].add(p)
				state[k].add(clean)
				fresh = true
			}
		}
		if fresh {
			for k, p := range cv.at {
				if p == -1 {
					state[k] = places{}
				}
			}
		}
		return fresh
	}
	return false
}

// transfer is what instruction i does to the places. It reports whether it stores something
// else to where the location list goes on to have the value: the compiler shares slots
// among values, and does not tell.
func (fl *flow) transfer(state []places, vals []tracked, covers []cover, i int32) (shared bool) {
	in := &fl.insns[i]
	if in.kill == 0 && in.store == 0 {
		return false
	}
	var here *cover
	if in.store != 0 && !in.rmw {
		for c := range covers {
			if cv := &covers[c]; in.off >= cv.low && in.off < cv.high {
				if cv.any == 0 && in.off+uint32(in.n) < cv.high {
					here = cv
				}
				break
			}
		}
	}
	from, to := -1, -1
	if in.width != 0 {
		from, to = int(in.from), int(in.to)
		mem := -1
		if in.load || in.store != 0 {
			mem = fl.slot(in.mem - fl.cfa[i])
		}
		if from < 0 {
			from = mem
		}
		if to < 0 {
			to = mem
		}
	}
	for k := range state {
		s := &state[k]
		if s.empty() {
			continue
		}
		n := vals[k].size
		home := -1
		if here != nil && here.at[k] >= firstSlot && s.has(here.at[k]) {
			home = here.at[k]
		}
		copies := from >= 0 && to >= 0 && in.width >= n && s.has(from)
		s.killRegs(in.kill)
		if in.store != 0 {
			low := in.mem - fl.cfa[i]
			j, _ := slices.BinarySearch(fl.slots, low-int32(n)+1)
			for ; j < len(fl.slots) && fl.slots[j] < low+int32(in.store); j++ {
				s.remove(firstSlot + j)
			}
		}
		if in.kind == insnCall {
			for j := 0; j < len(fl.slots) && fl.slots[j] < fl.beyond; j++ {
				s.remove(firstSlot + j)
			}
		}
		if copies {
			s.add(to)
		}
		if home >= 0 && !s.has(home) {
			*s = places{}
			s.add(home)
			shared = true
		}
	}
	return shared
}

// insnAt returns the instruction that the DWARF address pc is in, -1 if none.
func (fl *flow) insnAt(pc uint64) int32 {
	if pc < fl.fn.low || pc >= fl.fn.high {
		return -1
	}
	off := uint32(pc - fl.fn.low)
	i := sort.Search(len(fl.insns), func(i int) bool { return fl.insns[i].off > off })
	return int32(i - 1)
}
