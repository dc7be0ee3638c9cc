package capture

// liveness is what the collector knows of a function's frame at a call: which words
// of it hold pointers that are still needed (cmd/compile/internal/liveness). A
// word that is not among them may be used for something else, though the debug
// info still says that a variable is there; what it points to may be gone, and if
// the stack has moved, the pointer was not adjusted.
//
// Addresses in it are relative to the frame's CFA, so that it holds for every frame at that pc.
type liveness struct {
	varp, argp   uint64
	locals, args bitmap
	objects      []stackObject
}

type bitmap struct {
	bits []byte
	n    uint64
}

func (b bitmap) has(i uint64) bool { return b.bits[i/8]&(1<<(i%8)) != 0 }

type stackObject struct{ low, high uint64 }

// Indices of PCDATA and FUNCDATA tables (internal/abi/symtab.go, Go 1.26).
const (
	pcdataStackMapIndex      = 1
	funcdataArgsPointerMaps  = 0
	funcdataLocalsPointerMap = 1
	funcdataStackObjects     = 2
	pcdataInlTreeIndex       = 2
	funcdataInlTree          = 3
)

// livenessAt reads the tables of the function that f is in, which must be at a call. ok is
// false if there are none.
func livenessAt(mem *reader, l *layout, f *frame) (lv liveness, ok bool) {
	fi := findfunc(uintptr(f.lookup()))
	if fi.fn == nil || fi.module == nil {
		return lv, false
	}
	fn, mod := uint64(uintptr(fi.fn)), uint64(uintptr(fi.module))
	h, err := mem.bytes(fn, int(l.funcSize))
	if err != nil {
		return lv, false
	}
	entryOff, npc, nfd := word(h, 0)&0xffffffff, word(h, int(l.funcNpcdata))&0xffffffff, uint64(h[l.funcNfuncdata])
	if npc <= pcdataStackMapIndex || npc > 64 {
		return lv, false
	}
	off, err := mem.word(fn + l.funcSize + 4*pcdataStackMapIndex)
	if err != nil {
		return lv, false
	}
	text, err1 := mem.word(mod + mdText)
	gofunc, err2 := mem.word(mod + l.mdGofunc)
	if err1 != nil || err2 != nil {
		return lv, false
	}
	index, ok := pcValue(mem, l, mod, off&0xffffffff, text+entryOff, f.lookup())
	if !ok {
		return lv, false
	}
	if index < 0 {
		index = 0 // before the first call: the function's entry
	}
	funcdata := func(i uint64) uint64 {
		if i >= nfd {
			return 0
		}
		o, err := mem.word(fn + l.funcSize + 4*npc + 4*i)
		if o &= 0xffffffff; err != nil || o == 0xffffffff {
			return 0
		}
		return gofunc + o
	}
	lv.argp = minFrame()
	if spReg() == 7 { // amd64: the return address and the caller's frame pointer
		lv.varp = ^uint64(15)
	} else if f.cfa > f.sp { // arm64: the frame pointer
		lv.varp = ^uint64(7)
	}
	if at := funcdata(funcdataLocalsPointerMap); at != 0 {
		if lv.locals, ok = readBitmap(mem, at, uint64(index)); !ok {
			return lv, false
		}
	}
	if at := funcdata(funcdataArgsPointerMaps); at != 0 {
		if lv.args, ok = readBitmap(mem, at, uint64(index)); !ok {
			return lv, false
		}
	}
	if at := funcdata(funcdataStackObjects); at != 0 {
		n, err := mem.word(at)
		if err != nil || n > 1<<16 {
			return lv, false
		}
		for i := range n {
			o, err := mem.word(at + 8 + 16*i)
			if err != nil {
				return lv, false
			}
			base := lv.varp
			if int32(o) >= 0 {
				base = lv.argp
			}
			low := base + uint64(int64(int32(o)))
			lv.objects = append(lv.objects, stackObject{low, low + o>>32})
		}
	}
	return lv, true
}

// parentPC returns the pc of the call that was inlined at pc, if pc is in an inlined
// function (runtime.inlinedCall, runtime/symtabinl.go): 16 bytes, of which the third word is
// an offset from the function's entry.
func parentPC(mem *reader, l *layout, pc uint64) (parent uint64, ok bool) {
	fi := findfunc(uintptr(pc))
	if fi.fn == nil || fi.module == nil {
		return 0, false
	}
	fn, mod := uint64(uintptr(fi.fn)), uint64(uintptr(fi.module))
	h, err := mem.bytes(fn, int(l.funcSize))
	if err != nil {
		return 0, false
	}
	entryOff, npc, nfd := word(h, 0)&0xffffffff, word(h, int(l.funcNpcdata))&0xffffffff, uint64(h[l.funcNfuncdata])
	if npc <= pcdataInlTreeIndex || npc > 64 || nfd <= funcdataInlTree {
		return 0, false
	}
	off, err1 := mem.word(fn + l.funcSize + 4*pcdataInlTreeIndex)
	tree, err2 := mem.word(fn + l.funcSize + 4*npc + 4*funcdataInlTree)
	text, err3 := mem.word(mod + mdText)
	gofunc, err4 := mem.word(mod + l.mdGofunc)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil || tree&0xffffffff == 0xffffffff {
		return 0, false
	}
	index, ok := pcValue(mem, l, mod, off&0xffffffff, text+entryOff, pc)
	if !ok || index < 0 {
		return 0, false
	}
	call, err := mem.bytes(gofunc+(tree&0xffffffff)+16*uint64(index), 16)
	if err != nil {
		return 0, false
	}
	return text + entryOff + (word(call, 8) & 0xffffffff), true
}

// readBitmap reads bitmap i of a runtime.stackmap.
func readBitmap(mem *reader, at, i uint64) (bitmap, bool) {
	h, err := mem.word(at)
	if err != nil {
		return bitmap{}, false
	}
	n, nbit := h&0xffffffff, h>>32
	if i >= n || nbit > 1<<24 {
		return bitmap{}, nbit == 0
	}
	size := (nbit + 7) / 8
	b := make([]byte, size)
	if mem.ReadAt(b, at+8+i*size) != nil {
		return bitmap{}, false
	}
	return bitmap{b, nbit}, true
}

// pcValue looks a pc up in a table of values by pc (runtime.pcvalue,
// runtime/symtab.go): pairs of varints, the zigzag difference of the value and the
// difference of the pc.
func pcValue(mem *reader, l *layout, mod, off, entry, target uint64) (int32, bool) {
	if off == 0 {
		return -1, true
	}
	tab, err1 := mem.word(mod + l.mdPctab)
	size, err2 := mem.word(mod + l.mdPctab + 8)
	if err1 != nil || err2 != nil || off >= size {
		return 0, false
	}
	val, pc := int32(-1), entry
	quantum := uint64(1)
	if spReg() != 7 {
		quantum = 4
	}
	var buf [128]byte
	for off < size {
		n := copyOf(buf[:], mem, tab+off, size-off)
		if n == 0 {
			return 0, false
		}
		r := &byteReader{b: buf[:n]}
		for len(r.b) >= 20 || uint64(len(r.b)) == size-off {
			before := len(r.b)
			d := r.uleb()
			if d == 0 && pc != entry || r.bad {
				return 0, false
			}
			if d&1 != 0 {
				val += ^int32(d >> 1)
			} else {
				val += int32(d >> 1)
			}
			pc += r.uleb() * quantum
			off += uint64(before - len(r.b))
			if target < pc {
				return val, true
			}
		}
	}
	return 0, false
}

// copyOf reads up to len(b), at most n, bytes and returns how many.
func copyOf(b []byte, mem *reader, addr, n uint64) int {
	s, err := mem.bytes(addr, int(min(uint64(len(b)), n)))
	if err != nil {
		return 0
	}
	return copy(b, s)
}

// dead reports whether the pointer in the word at addr, relative to the CFA, is one that the collector
// no longer counts. What lies in an object of its own, one that has an address, is always
// adjusted when the stack moves, but counts only as long as something that counts leads
// there; collected says that this matters.
func (lv *liveness) dead(addr uint64, collected bool) bool {
	for _, o := range lv.objects {
		if addr-o.low < o.high-o.low {
			return collected
		}
	}
	if n := 8 * lv.locals.n; addr-(lv.varp-n) < n {
		return !lv.locals.has((addr - (lv.varp - n)) / 8)
	}
	if addr-lv.argp < 8*lv.args.n {
		return !lv.args.has((addr - lv.argp) / 8)
	}
	return false
}
