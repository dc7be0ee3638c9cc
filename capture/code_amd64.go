package capture

import "encoding/binary"

// addressesIn calls f for each address that an instruction LEAQ address(RIP), reg among the bytes of code, which lie at base,
// loads.
func addressesIn(code []byte, base uint64, f func(uint64)) {
	for i := 0; i+7 <= len(code); i++ {
		if code[i]&0xfb == 0x48 && code[i+1] == 0x8d && code[i+2]&0xc7 == 0x05 {
			f(base + uint64(i) + 7 + uint64(int64(int32(binary.LittleEndian.Uint32(code[i+3:])))))
		}
	}
}
