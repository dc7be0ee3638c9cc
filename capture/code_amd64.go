package capture

import (
	"bytes"
	"encoding/binary"
)

// lastLoaded returns the address that is in the first register for integer
// arguments, AX, or in the second, BX, at the call that code ends with, if a LEAQ
// address(RIP) put it there and no other call came in between; else 0. code lies at base.
func lastLoaded(code []byte, base uint64, second bool) uint64 {
	// A call is E8 with four bytes, FF /2 with two or more: the last one is the one in
	// question.
	end := len(code) - 5
	if end < 0 || code[end] != 0xe8 {
		return 0
	}
	lea := []byte{0x48, 0x8d, 0x05}
	if second {
		lea[2] = 0x1d
	}
	i := bytes.LastIndex(code[:end], lea)
	if i < 0 || i+7 > end || bytes.IndexByte(code[i+7:end], 0xe8) >= 0 {
		return 0
	}
	return base + uint64(i) + 7 + uint64(int64(int32(binary.LittleEndian.Uint32(code[i+3:]))))
}
