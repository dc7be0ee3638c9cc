package capture

import (
	"bytes"
	"encoding/binary"
)

// lastLoaded returns the address that is in the first register for integer
// arguments, AX, or in the second, BX, at the call that code ends with, if a LEAQ
// address(RIP) put it there and no other call, of a function in text, came in
// between; else 0. code lies at base.
func lastLoaded(code []byte, base uint64, second bool, text func(uint64) bool) uint64 {
	// A call is E8 with four bytes. The one of a func value, FF /2, has no dictionary
	// among its arguments.
	end := len(code) - 5
	if end < 0 || code[end] != 0xe8 {
		return 0
	}
	lea := []byte{0x48, 0x8d, 0x05}
	if second {
		lea[2] = 0x1d
	}
	i := bytes.LastIndex(code[:end], lea)
	if i < 0 || i+7 > end {
		return 0
	}
	target := func(at int) uint64 { // of a displacement there
		return base + uint64(at) + 4 + uint64(int64(int32(binary.LittleEndian.Uint32(code[at:]))))
	}
	for k := i + 7; k < end; k++ {
		if code[k] == 0xe8 && text(target(k+1)) {
			return 0
		}
	}
	return target(i + 3)
}
