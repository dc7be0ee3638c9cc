package capture

import (
	"encoding/binary"
	"slices"
	"testing"
)

func TestFindStores(t *testing.T) {
	for _, c := range []struct {
		ins  uint32
		what string
		want []store
	}{
		{0xf90023e5, "MOVD R5, 64(RSP)", []store{{0x1000, 64, 8, 5}}},
		{0xb90043e5, "MOVW R5, 64(RSP)", []store{{0x1000, 64, 4, -1}}},
		{0x390013e5, "MOVB R5, 4(RSP)", []store{{0x1000, 4, 1, -1}}},
		{0xf81f83fd, "MOVD R29, -8(RSP)", []store{{0x1000, ^uint64(7), 8, 29}}},
		{0xa90187e0, "STP (R0, R1), 24(RSP)", []store{{0x1000, 24, 8, -1}, {0x1000, 32, 8, 1}}},
		{0x3d800be0, "FMOVQ F0, 32(RSP)", []store{{0x1000, 32, 16, -1}}},
		{0xfd000be0, "FMOVD F0, 16(RSP)", []store{{0x1000, 16, 8, -1}}},
		{0xf94023e5, "MOVD 64(RSP), R5", nil},
		{0xa94087e0, "LDP 8(RSP), (R0, R1)", nil},
		{0xf81f0ffe, "MOVD.W R30, -16(RSP)", nil},
		{0xf9002085, "MOVD R5, 64(R4)", nil},
	} {
		code := binary.LittleEndian.AppendUint32(nil, c.ins)
		if got := findStores(code, 0x1000); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}
