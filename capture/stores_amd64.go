package capture

import "encoding/binary"

// dwarfRegister maps the machine's numbers of registers to DWARF's.
var dwarfRegister = [16]int{0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15}

// findStores finds the instructions of amd64 code that store to an address relative to
// RSP: MOV of 1 to 8 bytes from a register or an immediate, and moves of an SSE
// register. It looks at each byte as if an instruction's opcode were there: to take
// something else for a store makes a value look doubtful, to miss one would make a wrong
// value look right.
func findStores(code []byte, base uint64) []store {
	var out []store
	for i := 0; i+3 < len(code); i++ {
		op, j := code[i], i+1
		var size uint64
		prefix := func(k int) byte {
			if i-k >= 0 {
				return code[i-k]
			}
			return 0
		}
		rex := prefix(1)
		if rex&0xf0 != 0x40 {
			rex = 0
		}
		switch op {
		case 0x88, 0xc6:
			size = 1
		case 0x89, 0xc7:
			size = 4
			if rex&8 != 0 {
				size = 8
			} else if prefix(1) == 0x66 || rex != 0 && prefix(2) == 0x66 {
				size = 2
			}
		case 0x0f:
			switch code[j] {
			case 0x11, 0x29, 0x7f, 0xd6, 0xe7: // MOVUPS, MOVSD, MOVSS, MOVAPS, MOVDQ, MOVQ, MOVNT
				size = 16
				if p := prefix(1); p == 0xf2 || rex != 0 && prefix(2) == 0xf2 || code[j] == 0xd6 {
					size = 8
				} else if p == 0xf3 || rex != 0 && prefix(2) == 0xf3 {
					size = 4
				}
			default:
				continue
			}
			j++
		default:
			continue
		}
		if j+2 >= len(code) {
			break
		}
		// ModRM with a SIB byte that says RSP and no index, and a displacement.
		modrm, sib := code[j], code[j+1]
		if modrm&7 != 4 || sib != 0x24 {
			continue
		}
		var off uint64
		switch modrm >> 6 {
		case 0:
		case 1:
			off = uint64(int64(int8(code[j+2])))
		case 2:
			if j+6 > len(code) {
				continue
			}
			off = uint64(int64(int32(binary.LittleEndian.Uint32(code[j+2:]))))
		default:
			continue
		}
		reg := -1
		if op == 0x89 {
			reg = dwarfRegister[modrm>>3&7|rex<<1&8]
		}
		out = append(out, store{base + uint64(i), off, size, reg})
	}
	return out
}
