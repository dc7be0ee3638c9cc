package capture

import (
	"encoding/binary"
	"slices"
)

// registers are a frame's general registers by DWARF number, as far as they are
// known.
type registers struct {
	val   [33]uint64
	valid uint64 // bit n: val[n] is known
}

func (r *registers) get(n uint64) (uint64, bool) {
	if r == nil || n >= uint64(len(r.val)) || r.valid&(1<<n) == 0 {
		return 0, false
	}
	return r.val[n], true
}

func (r *registers) set(n int, v uint64) { r.val[n] = v; r.valid |= 1 << n }

// piece is where a part of a variable lies.
type piece struct {
	kind  pieceKind
	size  uint64 // bytes; 0: the whole variable
	value uint64 // address, register number, or constant
}

type pieceKind uint8

const (
	pieceNone   pieceKind = iota // no location for these bytes
	pieceMemory                  // at address value
	pieceReg                     // in register value
	pieceConst                   // is value itself
)

// The DWARF expression operations that Go's compiler writes, and those that it may
// well write (DWARF 5, section 7.7.1).
const (
	opAddr         = 0x03
	opDeref        = 0x06
	opConst1u      = 0x08
	opConst1s      = 0x09
	opConst2u      = 0x0a
	opConst2s      = 0x0b
	opConst4u      = 0x0c
	opConst4s      = 0x0d
	opConst8u      = 0x0e
	opConst8s      = 0x0f
	opConstu       = 0x10
	opConsts       = 0x11
	opPlus         = 0x22
	opPlusUconst   = 0x23
	opLit0         = 0x30
	opReg0         = 0x50
	opBreg0        = 0x70
	opRegx         = 0x90
	opFbreg        = 0x91
	opBregx        = 0x92
	opPiece        = 0x93
	opCallFrameCFA = 0x9c
	opStackValue   = 0x9f
)

// locate evaluates a location expression. ok is false if it uses something that
// this reader does not know or a register whose value is not known as a base.
func locate(expr []byte, cfa, bias uint64, regs *registers) (pieces []piece, ok bool) {
	r := &byteReader{b: expr}
	var stack []uint64
	push := func(v uint64) { stack = append(stack, v) }
	pop := func() uint64 {
		if len(stack) == 0 {
			r.bad = true
			return 0
		}
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		return v
	}
	cur := piece{}
	have := false // cur holds a register or a constant
	for len(r.b) > 0 && !r.bad {
		switch op := r.u8(); {
		case op == opAddr:
			push(r.u64() + bias)
		case op == opCallFrameCFA:
			push(cfa)
		case op == opFbreg: // the frame base of every Go function is the CFA
			push(cfa + uint64(r.sleb()))
		case op == opPlusUconst:
			push(pop() + r.uleb())
		case op == opPlus:
			push(pop() + pop())
		case op == opConst1u:
			push(uint64(r.u8()))
		case op == opConst1s:
			push(uint64(int8(r.u8())))
		case op == opConst2u:
			push(uint64(r.u16()))
		case op == opConst2s:
			push(uint64(int16(r.u16())))
		case op == opConst4u:
			push(uint64(r.u32()))
		case op == opConst4s:
			push(uint64(int32(r.u32())))
		case op == opConst8u, op == opConst8s:
			push(r.u64())
		case op == opConstu:
			push(r.uleb())
		case op == opConsts:
			push(uint64(r.sleb()))
		case op >= opLit0 && op < opLit0+32:
			push(uint64(op - opLit0))
		case op >= opReg0 && op < opReg0+32:
			cur, have = piece{kind: pieceReg, value: uint64(op - opReg0)}, true
		case op == opRegx:
			cur, have = piece{kind: pieceReg, value: r.uleb()}, true
		case op >= opBreg0 && op < opBreg0+32, op == opBregx:
			n := uint64(op - opBreg0)
			if op == opBregx {
				n = r.uleb()
			}
			v, known := regs.get(n)
			if !known {
				return nil, false
			}
			push(v + uint64(r.sleb()))
		case op == opStackValue:
			cur, have = piece{kind: pieceConst, value: pop()}, true
		case op == opPiece:
			n := r.uleb()
			switch {
			case have:
				cur.size = n
			case len(stack) > 0:
				cur = piece{kind: pieceMemory, size: n, value: pop()}
			default:
				cur = piece{kind: pieceNone, size: n}
			}
			if n > 1<<32 {
				return nil, false
			}
			pieces = append(pieces, cur)
			cur, have, stack = piece{}, false, stack[:0]
		default:
			return nil, false
		}
	}
	if r.bad {
		return nil, false
	}
	switch {
	case have:
		pieces = append(pieces, cur)
	case len(stack) > 0:
		pieces = append(pieces, piece{kind: pieceMemory, value: pop()})
	}
	return pieces, true
}

// locationAt returns the expression of the location list at off that holds at
// the DWARF address pc, nil if none does, and the addresses [low, high) at which it
// does.
func (di *debugInfo) locationAt(u *unit, off int64, pc uint64) (expr []byte, low, high uint64) {
	di.locations(u, off, func(e []byte, lo, hi uint64) bool {
		if lo <= pc && pc < hi {
			expr, low, high = slices.Clone(e), lo, hi
			return false
		}
		return true
	})
	return expr, low, high
}

// locations calls f for each entry of the location list at off until it returns
// false.
func (di *debugInfo) locations(u *unit, off int64, f func(expr []byte, low, high uint64) bool) {
	defer di.shield()
	if u.version < 5 {
		di.locations4(u, off, f)
		return
	}
	if off < 0 || off >= int64(len(di.loclists)) {
		return
	}
	r := &byteReader{b: di.loclists[off:]}
	base := u.low
	for !r.bad {
		kind := r.u8()
		var low, high uint64
		switch kind {
		case 0: // DW_LLE_end_of_list
			return
		case 1: // DW_LLE_base_addressx
			base = di.address(u, r.uleb())
			continue
		case 2: // DW_LLE_startx_endx
			low, high = di.address(u, r.uleb()), di.address(u, r.uleb())
		case 3: // DW_LLE_startx_length
			low = di.address(u, r.uleb())
			high = low + r.uleb()
		case 4: // DW_LLE_offset_pair
			low, high = base+r.uleb(), base+r.uleb()
		case 5: // DW_LLE_default_location
			low, high = 0, ^uint64(0)
		case 6: // DW_LLE_base_address
			base = r.u64()
			continue
		case 7: // DW_LLE_start_end
			low, high = r.u64(), r.u64()
		case 8: // DW_LLE_start_length
			low = r.u64()
			high = low + r.uleb()
		default:
			return
		}
		e := r.take(int(min(r.uleb(), uint64(len(r.b)+1))))
		if r.bad {
			break
		}
		if !f(e, low, high) {
			return
		}
	}
}

// locations4 is locations for DWARF 4's .debug_loc (section 2.6.2 there).
func (di *debugInfo) locations4(u *unit, off int64, f func(expr []byte, low, high uint64) bool) {
	if off < 0 || off >= int64(len(di.locs4)) {
		return
	}
	r := &byteReader{b: di.locs4[off:]}
	base := u.low
	for {
		low, high := r.u64(), r.u64()
		if r.bad || low == 0 && high == 0 {
			return
		}
		if low == ^uint64(0) {
			base = high
			continue
		}
		e := r.take(int(r.u16()))
		if r.bad {
			return
		}
		if !f(e, base+low, base+high) {
			return
		}
	}
}

// address returns entry i of the unit's part of .debug_addr.
func (di *debugInfo) address(u *unit, i uint64) uint64 {
	off := uint64(u.addrBase) + i*8
	if i > uint64(len(di.addr)) || off+8 > uint64(len(di.addr)) {
		return 0
	}
	return binary.LittleEndian.Uint64(di.addr[off:])
}
