package capture

import "encoding/binary"

// allRegs are the places of all registers: 16 general ones by their DWARF numbers,
// then 16 of SSE.
const allRegs = 1<<32 - 1

// gpr and xmm return the place of a register by the machine's number.
func gpr(n byte) int8 { return int8(dwarfRegister[n&15]) }
func xmm(n byte) int8 { return int8(16 + n&15) }

// operand is the second operand of an instruction, described by ModRM and SIB
// bytes (Intel SDM volume 2, 2.1).
type operand struct {
	reg     byte // the other operand's number, or more of the opcode
	rm      byte // register, if direct
	direct  bool
	sp      bool // at disp(SP)
	indexed bool // base is SP, with an index
	rip     bool
	base    byte // of memory that has one
	disp    int32
	n       int // bytes of ModRM, SIB and displacement
}

func modRM(code []byte, rex byte) (o operand, ok bool) {
	if len(code) < 1 {
		return o, false
	}
	m := code[0]
	o.reg = m>>3&7 | rex<<1&8
	o.rm = m&7 | rex<<3&8
	o.n = 1
	mod := m >> 6
	if mod == 3 {
		o.direct = true
		return o, true
	}
	o.base = o.rm
	size := 0
	switch mod {
	case 1:
		size = 1
	case 2:
		size = 4
	}
	switch m & 7 {
	case 4:
		if len(code) < 2 {
			return o, false
		}
		sib := code[1]
		o.n = 2
		o.base = sib&7 | rex<<3&8
		none := sib>>3&7 == 4 && rex&2 == 0
		if o.base == 4 {
			o.sp, o.indexed = none, !none
		}
		if sib&7 == 5 && mod == 0 {
			size = 4
			o.base = 0xff
		}
	case 5:
		if mod == 0 {
			o.rip, size = true, 4
		}
	}
	if len(code) < o.n+size {
		return o, false
	}
	switch size {
	case 1:
		o.disp = int32(int8(code[o.n]))
	case 4:
		o.disp = int32(binary.LittleEndian.Uint32(code[o.n:]))
	}
	o.n += size
	return o, true
}

// decoder decodes one instruction.
type insnDecoder struct {
	in   insn
	code []byte // of the instruction and what follows it
	at   int    // how much of it has been read
	rex  byte
	p66  bool
	rep  byte // f2 or f3
	bad  bool
	o    operand
}

// decodeInsn decodes the instruction at code[off:]. ok is false if it is none that
// this reader knows.
func decodeInsn(code []byte, off int) (insn, bool) {
	d := insnDecoder{code: code[off:]}
	d.in.off, d.in.target, d.in.base = uint32(off), -1, -1
prefixes:
	for d.at < len(d.code) && d.at < 8 {
		switch b := d.code[d.at]; b {
		case 0x66:
			d.p66 = true
		case 0xf2, 0xf3:
			d.rep = b
		case 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65:
		default:
			break prefixes
		}
		d.at++
	}
	op := d.u8()
	if op&0xf0 == 0x40 {
		d.rex = op
		op = d.u8()
	}
	switch op {
	case 0x0f:
		d.twoBytes()
	case 0xc4, 0xc5:
		d.vex(op)
	default:
		d.oneByte(op)
	}
	d.in.n = uint8(d.at)
	// A write to the stack pointer that is not understood.
	if d.in.kill&(1<<regRSP) != 0 {
		d.bad = true
	}
	return d.in, !d.bad && d.at <= 15
}

func (d *insnDecoder) u8() byte {
	if d.at >= len(d.code) {
		d.bad = true
		return 0
	}
	d.at++
	return d.code[d.at-1]
}

func (d *insnDecoder) imm(n int) int64 {
	if d.at+n > len(d.code) {
		d.bad = true
		return 0
	}
	b := d.code[d.at:]
	d.at += n
	switch n {
	case 1:
		return int64(int8(b[0]))
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(b)))
	}
	return 0
}

// immZ reads an immediate of the operand's size, of at most four bytes.
func (d *insnDecoder) immZ() int64 {
	if d.p66 && d.rex&8 == 0 {
		return d.imm(2)
	}
	return d.imm(4)
}

// width of an operand that is not a byte.
func (d *insnDecoder) width() uint8 {
	switch {
	case d.rex&8 != 0:
		return 8
	case d.p66:
		return 2
	}
	return 4
}

func (d *insnDecoder) modrm() {
	o, ok := modRM(d.code[min(d.at, len(d.code)):], d.rex)
	d.o, d.bad = o, d.bad || !ok
	d.at += o.n
}

func (d *insnDecoder) kill(place int8) { d.in.kill |= 1 << place }

// byteReg is the place of an 8-bit register; high is one of AH, CH, DH, BH.
func (d *insnDecoder) byteReg(n byte) (place int8, high bool) {
	if d.rex == 0 && n >= 4 && n < 8 {
		return gpr(n - 4), true
	}
	return gpr(n), false
}

// writes says that the ModRM operand is written to, n bytes if it is memory. sse: it is a
// register of SSE, if it is one.
func (d *insnDecoder) writes(n uint8, sse bool) {
	switch {
	case d.o.direct && sse:
		d.kill(xmm(d.o.rm))
	case d.o.direct && n == 1:
		p, _ := d.byteReg(d.o.rm)
		d.kill(p)
	case d.o.direct:
		d.kill(gpr(d.o.rm))
	case d.o.sp:
		d.in.mem, d.in.store = d.o.disp, n
	case d.o.indexed:
		d.in.wild = true
	}
}

// modifies is writes of what is made of the operand itself.
func (d *insnDecoder) modifies(n uint8) {
	d.writes(n, false)
	d.in.rmw = true
}

// copyTo is a move of n bytes from a register to the ModRM operand.
func (d *insnDecoder) copyTo(from int8, n uint8, sse bool) {
	d.writes(n, sse)
	d.in.from, d.in.width = from, n
	switch {
	case d.o.direct && sse:
		d.in.to = xmm(d.o.rm)
	case d.o.direct:
		d.in.to = gpr(d.o.rm)
	case d.o.sp:
		d.in.to = -1
	default:
		d.in.width = 0
	}
}

// copyFrom is a move of n bytes from the ModRM operand to a register.
func (d *insnDecoder) copyFrom(to int8, n uint8, sse bool) {
	d.kill(to)
	d.in.to, d.in.width = to, n
	switch {
	case d.o.direct && sse:
		d.in.from = xmm(d.o.rm)
	case d.o.direct:
		d.in.from = gpr(d.o.rm)
	case d.o.sp:
		d.in.from, d.in.mem, d.in.load = -1, d.o.disp, true
	default:
		d.in.width = 0
	}
}

// copiesSP minds a copy of the stack pointer: by any register but the frame pointer, which nobody
// stores through, the frame may be written to. The compiler makes none; assembly does.
func (d *insnDecoder) copiesSP(from, to byte) {
	if d.o.direct && gpr(from) == regRSP && gpr(to) != regRBP {
		d.in.wild = true
	}
}

// jump sets where a direct jump goes to; its displacement has been read.
func (d *insnDecoder) jump(kind insnKind, rel int64) {
	d.in.kind = kind
	d.in.target = int32(int64(d.in.off) + int64(d.at) + rel)
}

func (d *insnDecoder) oneByte(op byte) {
	const ax, cx, dx = 0, 2, 1 // places
	switch {
	case op < 0x40:
		switch op & 7 {
		case 0, 1:
			d.modrm()
			if op < 0x38 {
				n := uint8(1)
				if op&1 != 0 {
					n = d.width()
				}
				d.modifies(n)
			}
		case 2, 3:
			d.modrm()
			if op < 0x38 {
				p := gpr(d.o.reg)
				if op&1 == 0 {
					p, _ = d.byteReg(d.o.reg)
				}
				d.kill(p)
			}
		case 4:
			d.imm(1)
			if op < 0x38 {
				d.kill(ax)
			}
		case 5:
			d.immZ()
			if op < 0x38 {
				d.kill(ax)
			}
		default:
			d.bad = true
		}
	case op >= 0x50 && op < 0x58:
		d.in.spMove = -8
		d.in.mem, d.in.store = -8, 8
		d.in.from, d.in.to, d.in.width = gpr(op&7|d.rex<<3&8), -1, 8
	case op >= 0x58 && op < 0x60:
		d.in.spMove = 8
		d.in.load = true
		d.in.from, d.in.to, d.in.width = -1, gpr(op&7|d.rex<<3&8), 8
		d.kill(d.in.to)
	case op == 0x63:
		d.modrm()
		d.copyFrom(gpr(d.o.reg), 4, false)
	case op == 0x68, op == 0x6a:
		if op == 0x68 {
			d.immZ()
		} else {
			d.imm(1)
		}
		d.in.spMove, d.in.mem, d.in.store = -8, -8, 8
	case op == 0x69:
		d.modrm()
		d.immZ()
		d.kill(gpr(d.o.reg))
	case op == 0x6b:
		d.modrm()
		d.imm(1)
		d.kill(gpr(d.o.reg))
	case op >= 0x70 && op < 0x80:
		d.jump(insnBranch, d.imm(1))
	case op == 0x80, op == 0x81, op == 0x83:
		d.modrm()
		var v int64
		if op == 0x81 {
			v = d.immZ()
		} else {
			v = d.imm(1)
		}
		switch n := d.o.reg & 7; {
		case n == 7: // CMP
		case op != 0x80 && d.o.direct && d.o.rm == 4 && d.rex&8 != 0 && (n == 0 || n == 5):
			if n == 5 {
				v = -v
			}
			d.in.spMove = int32(v)
		case op == 0x80:
			d.modifies(1)
		default:
			d.modifies(d.width())
		}
	case op == 0x84, op == 0x85: // TEST
		d.modrm()
	case op == 0x86, op == 0x87:
		d.modrm()
		n := uint8(1)
		p, _ := d.byteReg(d.o.reg)
		if op == 0x87 {
			n, p = d.width(), gpr(d.o.reg)
		}
		d.writes(n, false)
		d.kill(p)
	case op == 0x88, op == 0x8a:
		d.modrm()
		r, high := d.byteReg(d.o.reg)
		if d.o.direct {
			_, h := d.byteReg(d.o.rm)
			high = high || h
		}
		if op == 0x88 {
			d.copyTo(r, 1, false)
		} else {
			d.copyFrom(r, 1, false)
		}
		if high {
			d.in.width = 0
			if d.o.direct {
				d.in.kill |= 15 // AX, DX, CX, BX, whichever
			}
		}
	case op == 0x89:
		d.modrm()
		d.copyTo(gpr(d.o.reg), d.width(), false)
		d.copiesSP(d.o.reg, d.o.rm)
	case op == 0x8b:
		d.modrm()
		d.copyFrom(gpr(d.o.reg), d.width(), false)
		d.copiesSP(d.o.rm, d.o.reg)
	case op == 0x8d:
		d.modrm()
		switch {
		case d.o.sp && d.o.reg == 4:
			d.in.spMove = d.o.disp
		case d.o.sp:
			d.in.lea, d.in.mem = true, d.o.disp
			d.kill(gpr(d.o.reg))
		case d.o.rip:
			d.in.to, d.in.hasData, d.in.data = gpr(d.o.reg), true, int64(d.in.off)+int64(d.at)+int64(d.o.disp)
			d.kill(gpr(d.o.reg))
		default:
			if d.o.indexed {
				d.in.wild = true // an address in the frame
			}
			d.kill(gpr(d.o.reg))
		}
	case op == 0x8f:
		d.bad = true
	case op >= 0x90 && op < 0x98:
		if n := op&7 | d.rex<<3&8; n != 0 {
			d.kill(gpr(n))
			d.kill(ax)
		}
	case op == 0x98:
		d.kill(ax)
	case op == 0x99:
		d.kill(dx)
	case op == 0x9c:
		d.in.spMove, d.in.mem, d.in.store = -8, -8, 8
	case op == 0x9d:
		d.in.spMove = 8
	case op >= 0xa4 && op < 0xa8, op >= 0xaa && op < 0xb0:
		d.in.kill |= 1<<ax | 1<<cx | 1<<4 | 1<<5 // SI, DI
	case op == 0xa8:
		d.imm(1)
	case op == 0xa9:
		d.immZ()
	case op >= 0xb0 && op < 0xb8:
		d.imm(1)
		p, _ := d.byteReg(op&7 | d.rex<<3&8)
		d.kill(p)
	case op >= 0xb8 && op < 0xc0:
		d.kill(gpr(op&7 | d.rex<<3&8))
		if d.rex&8 != 0 {
			d.imm(8)
		} else {
			d.immZ()
		}
	case op == 0xc0, op == 0xc1, op >= 0xd0 && op < 0xd4:
		d.modrm()
		if op < 0xd0 {
			d.imm(1)
		}
		n := uint8(1)
		if op&1 != 0 {
			n = d.width()
		}
		d.modifies(n)
	case op == 0xc2:
		d.imm(2)
		d.in.kind = insnReturn
	case op == 0xc3:
		d.in.kind = insnReturn
	case op == 0xc6:
		d.modrm()
		d.imm(1)
		d.writes(1, false)
	case op == 0xc7:
		d.modrm()
		d.immZ()
		d.writes(d.width(), false)
	case op == 0xcc, op == 0xf4:
		d.in.kind = insnStop
	case op == 0xcd:
		d.imm(1)
		d.in.kind = insnStop
	case op >= 0xd8 && op < 0xe0: // x87
		d.modrm()
		if !d.o.direct {
			d.writes(16, false)
		} else {
			d.kill(ax) // FNSTSW AX
		}
	case op >= 0xe0 && op < 0xe4:
		d.kill(cx)
		d.jump(insnBranch, d.imm(1))
	case op == 0xe8:
		d.in.kill = allRegs &^ (1 << regRSP)
		d.jump(insnCall, d.imm(4))
	case op == 0xe9:
		d.jump(insnJump, d.imm(4))
	case op == 0xeb:
		d.jump(insnJump, d.imm(1))
	case op == 0xf6, op == 0xf7:
		d.modrm()
		n := uint8(1)
		if op == 0xf7 {
			n = d.width()
		}
		switch d.o.reg & 7 {
		case 0, 1:
			if op == 0xf6 {
				d.imm(1)
			} else {
				d.immZ()
			}
		case 2, 3:
			d.modifies(n)
		default:
			d.in.kill |= 1<<ax | 1<<dx
		}
	case op == 0xf5, op == 0xf8, op == 0xf9, op == 0xfa, op == 0xfb, op == 0xfc, op == 0xfd: // flags
	case op == 0xfe:
		d.modrm()
		d.modifies(1)
	case op == 0xff:
		d.modrm()
		switch d.o.reg & 7 {
		case 0, 1:
			d.modifies(d.width())
		case 2:
			d.in.kind = insnCall
			d.in.kill = allRegs &^ (1 << regRSP)
		case 4:
			d.in.kind = insnJumpIndirect
			if !d.o.direct && !d.o.rip && !d.o.sp && !d.o.indexed && d.o.base != 0xff {
				d.in.base = gpr(d.o.base)
			}
		case 6:
			d.in.spMove, d.in.mem, d.in.store = -8, -8, 8
		default:
			d.bad = true
		}
	default:
		d.bad = true
	}
}

// scalar is how many bytes a move of SSE is, by its prefix.
func (d *insnDecoder) scalar() uint8 {
	switch d.rep {
	case 0xf2:
		return 8
	case 0xf3:
		return 4
	}
	return 16
}

func (d *insnDecoder) twoBytes() {
	const ax, bx, cx, dx, r11 = 0, 3, 2, 1, 11
	op := d.u8()
	switch {
	case op == 0x05:
		d.in.kill |= 1<<ax | 1<<cx | 1<<r11
		return
	case op == 0x0b:
		d.in.kind = insnStop
		return
	case op == 0x01:
		d.modrm()
		d.in.kill |= 1<<ax | 1<<cx | 1<<dx // XGETBV, RDTSCP
		if !d.o.direct {
			d.bad = true
		}
		return
	case op == 0x31:
		d.in.kill |= 1<<ax | 1<<dx
		return
	case op == 0x77:
		return
	case op >= 0x80 && op < 0x90:
		d.jump(insnBranch, d.imm(4))
		return
	case op == 0xa2:
		d.in.kill |= 1<<ax | 1<<bx | 1<<cx | 1<<dx
		return
	case op >= 0xc8 && op < 0xd0:
		d.kill(gpr(op&7 | d.rex<<3&8))
		return
	case op == 0x38, op == 0x3a:
		sub := d.u8()
		d.modrm()
		if op == 0x3a {
			d.imm(1)
		}
		d.kill(xmm(d.o.reg))
		if d.o.reg != 4 {
			d.kill(gpr(d.o.reg))
		}
		if op == 0x3a || sub >= 0xf0 {
			d.writes(16, true)
			if d.o.direct && d.o.rm != 4 {
				d.kill(gpr(d.o.rm))
			}
		}
		return
	}
	d.modrm()
	reg, x := gpr(d.o.reg), xmm(d.o.reg)
	switch {
	case op == 0x0d, op >= 0x18 && op < 0x20: // PREFETCH, NOP
	case op == 0x10:
		d.copyFrom(x, d.scalar(), true)
	case op == 0x11:
		d.copyTo(x, d.scalar(), true)
	case op == 0x13, op == 0x17:
		d.writes(8, true)
	case op == 0x28, op == 0x6f:
		d.copyFrom(x, 16, true)
	case op == 0x29, op == 0x7f:
		d.copyTo(x, 16, true)
	case op == 0x2b, op == 0xe7:
		d.writes(16, true)
	case op == 0x2c, op == 0x2d, op == 0x50, op == 0xd7:
		d.kill(reg)
	case op == 0x2e, op == 0x2f: // compare
	case op >= 0x12 && op < 0x18, op == 0x2a, op >= 0x51 && op < 0x6e:
		d.kill(x)
	case op == 0x6e:
		n := uint8(4)
		if d.rex&8 != 0 {
			n = 8
		}
		d.copyFrom(x, n, false)
	case op == 0x70, op == 0xc2, op == 0xc4, op == 0xc6:
		d.imm(1)
		d.kill(x)
	case op == 0x71, op == 0x72, op == 0x73:
		d.imm(1)
		d.kill(xmm(d.o.rm))
	case op == 0x7e && d.rep == 0xf3:
		d.copyFrom(x, 8, true)
	case op == 0x7e:
		n := uint8(4)
		if d.rex&8 != 0 {
			n = 8
		}
		d.copyTo(x, n, false)
	case op >= 0x74 && op < 0x7e, op >= 0xd0 && op != 0xd6 && op < 0xff:
		d.kill(x)
	case op >= 0x40 && op < 0x50: // CMOV
		d.kill(reg)
	case op >= 0x90 && op < 0xa0: // SET
		d.writes(1, false)
	case op == 0xa3: // BT
	case op == 0xa4, op == 0xac:
		d.imm(1)
		d.writes(d.width(), false)
	case op == 0xa5, op == 0xad, op == 0xab, op == 0xb3, op == 0xbb:
		d.writes(d.width(), false)
		if !d.o.direct {
			d.in.wild = d.o.sp || d.o.indexed // a bit offset may lead anywhere
		}
	case op == 0xae:
		if !d.o.direct {
			if d.o.reg&7 == 0 || d.o.reg&7 >= 4 {
				d.in.wild = d.o.sp || d.o.indexed
			} else {
				d.writes(4, false)
			}
		}
	case op == 0xaf:
		d.kill(reg)
	case op == 0xb0, op == 0xb1:
		n := uint8(1)
		if op == 0xb1 {
			n = d.width()
		}
		d.writes(n, false)
		d.kill(ax)
	case op == 0xb6, op == 0xb7, op == 0xbe, op == 0xbf:
		n := uint8(1)
		if op&1 != 0 {
			n = 2
		}
		d.copyFrom(reg, n, false)
		if n == 1 && d.o.direct {
			if _, high := d.byteReg(d.o.rm); high {
				d.in.width = 0
			}
		}
	case op == 0xb8, op == 0xbc, op == 0xbd:
		d.kill(reg)
	case op == 0xba:
		d.imm(1)
		if d.o.reg&7 > 4 {
			d.writes(d.width(), false)
		}
	case op == 0xc0, op == 0xc1:
		n := uint8(1)
		if op == 0xc1 {
			n = d.width()
		}
		d.writes(n, false)
		if op == 0xc0 {
			reg, _ = d.byteReg(d.o.reg)
		}
		d.kill(reg)
	case op == 0xc3:
		d.writes(d.width(), false)
	case op == 0xc5:
		d.imm(1)
		d.kill(reg)
	case op == 0xc7:
		d.writes(16, false)
		d.in.kill |= 1<<ax | 1<<dx
	case op == 0xd6:
		d.writes(8, true)
		if !d.o.direct {
			d.copyTo(x, 8, true)
		}
	default:
		d.bad = true
	}
}

// vex decodes a VEX-encoded instruction (AVX, BMI): what it may write to.
func (d *insnDecoder) vex(op byte) {
	b := d.u8()
	table := byte(1)
	vvvv := ^b >> 3 & 15
	d.rex = ^b >> 5 & 4 // R
	if op == 0xc4 {
		d.rex = ^b >> 5 & 7
		table = b & 31
		w := d.u8()
		vvvv = ^w >> 3 & 15
	}
	sub := d.u8()
	if table == 1 && sub == 0x77 {
		d.in.kill |= allRegs &^ (1<<16 - 1) // VZEROUPPER, VZEROALL
		return
	}
	d.modrm()
	if table == 3 || table == 1 && (sub >= 0x70 && sub < 0x74 || sub == 0xc2 || sub == 0xc4 || sub == 0xc5 || sub == 0xc6) {
		d.imm(1)
	}
	if table < 1 || table > 3 {
		d.bad = true
	}
	for _, r := range []byte{d.o.reg, vvvv} {
		d.kill(xmm(r))
		if r != 4 {
			d.kill(gpr(r))
		}
	}
	d.writes(64, true)
	if d.o.direct && d.o.rm != 4 {
		d.kill(gpr(d.o.rm))
	}
}
