package capture

import "encoding/binary"

// findStores finds the instructions of arm64 code that store to an address relative to
// SP at a constant distance: STR, STUR and STP of general and vector registers (Arm
// ARM, C4.1, "Loads and Stores"). Those that move SP, in prologues and epilogues, are none.
func findStores(code []byte, base uint64) []store {
	var out []store
	add := func(at int, off int64, size uint64, reg uint32, vector bool) {
		s := store{base + uint64(at), uint64(off), size, -1}
		if !vector && size == 8 && reg != 0 && reg != 31 { // debug info takes x0 for the zero register, see withoutZero
			s.reg = int(reg)
		}
		out = append(out, s)
	}
	for at := 0; at+4 <= len(code); at += 4 {
		ins := binary.LittleEndian.Uint32(code[at:])
		if ins>>5&31 != 31 {
			continue
		}
		size, vector, opc, rt := ins>>30, ins>>26&1 != 0, ins>>22&3, ins&31
		switch {
		case ins&0x3b000000 == 0x39000000, ins&0x3b200c00 == 0x38000000:
			if vector && opc == 2 && size == 0 {
				size = 4
			} else if opc != 0 {
				continue // a load
			}
			off := int64(ins>>10&0xfff) << size
			if ins>>24&3 == 0 { // STUR
				off = int64(int32(ins<<11) >> 23)
			}
			add(at, off, 1<<size, rt, vector)
		case ins&0x3bc00000 == 0x29000000:
			log := 2 + size>>1
			if vector {
				log = 2 + size
			}
			off := int64(int32(ins<<10)>>25) << log
			add(at, off, 1<<log, rt, vector)
			add(at, off+1<<log, 1<<log, ins>>10&31, vector)
		}
	}
	return out
}
