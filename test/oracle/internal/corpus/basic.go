package corpus

import (
	"math"
	"strings"
	"unsafe"
)

func init() {
	register("basic", func() { basic(3) })
	register("text", func() { text("p\x00q\xff") })
}

type (
	celsius  float64
	flags    uint8
	name     string
	switched bool
)

func basic(n int) {
	b, nb := true, switched(false)
	i8, i16, i32, i64, i := int8(-128), int16(-32768), int32(math.MinInt32), int64(math.MinInt64), -n
	u8, u16, u32, u64, u := uint8(255), uint16(65535), uint32(math.MaxUint32), uint64(math.MaxUint64), uint(n)
	up := uintptr(0xdeadbeef)
	f32, f64, nan, inf, negzero := float32(1.5), 0.1, math.NaN(), math.Inf(-1), math.Copysign(0, -1)
	c64, c128 := complex64(complex(1, -2)), complex(0.5, 1e300)
	r, by := 'ä', byte('x')
	temp, fl, nm := celsius(-273.15), flags(0b1010), name("n")
	var zero struct{}
	var nothing unsafe.Pointer
	something := unsafe.Pointer(&fl)
	if n > 100 {
		sink = []any{b, nb, i8, i16, i32, i64, i, u8, u16, u32, u64, u, up, f32, f64, nan, inf, negzero, c64, c128, r, by, temp, nm, zero, nothing, something}
	}
	fail("basic")
	if never {
		sink = []any{b, nb, i8, i16, i32, i64, i, u8, u16, u32, u64, u, up, f32, f64, nan, inf, negzero, c64, c128, r, by, temp, nm, zero, nothing, something}
	}
}

//go:noinline
func fail(why string) {
	panic(why)
}

func text(arg string) {
	empty, plain, invalid, nul := "", "plain", "a\xff\xfeb", "x\x00y"
	long := strings.Repeat("0123456789abcde\n", 200_000) // 3.2 MB
	cut := long[5:100_005]
	raw := []byte("bytes\x00\xff")
	var nobytes []byte
	emptybytes := []byte{}
	big := []byte(long)
	runes := []rune("aä€😀")
	array := [5]byte{1, 2, 3}
	parts := strings.Split("a,b,,c", ",")
	ps := &plain
	fail("text")
	if never {
		sink = []any{arg, empty, plain, invalid, nul, long, cut, raw, nobytes, emptybytes, big, runes, array, parts, ps}
	}
}
