package capture

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sort"
)

// frameTable is .debug_frame (DWARF 5, section 6.4): for each function how to find
// the canonical frame address (CFA) and the return address at each of its
// instructions. Only where its entries lie is kept, four bytes for each function.
type frameTable struct {
	section []byte
	fdes    []uint32 // offsets of the entries, by address
	cies    map[uint32]*cie
}

type cie struct {
	codeAlign uint64
	dataAlign int64
	raReg     uint64
	program   []byte
}

// frameRow is what the table says at one instruction.
type frameRow struct {
	cfaReg uint64 // DWARF number of the register that the CFA is relative to
	cfaOff int64
	raOff  int64 // the return address is at CFA+raOff …
	raReg  bool  // … or still in its register
}

var errFrames = errors.New("call frame information is damaged")

func parseFrames(b []byte) (*frameTable, error) {
	t := &frameTable{section: b, cies: map[uint32]*cie{}}
	if uint64(len(b)) > math.MaxUint32 {
		return nil, errFrames
	}
	t.fdes = make([]uint32, 0, len(b)/48) // most are about that long
	sorted, last := true, uint64(0)
	for off := 0; off+8 <= len(b); {
		n := int64(binary.LittleEndian.Uint32(b[off:]))
		start := off + 4
		if n == 0 {
			off = start
			continue
		}
		if n >= 0xfffffff0 || n < 4 || int64(start)+n > int64(len(b)) {
			return nil, errFrames
		}
		body := b[start : start+int(n)]
		id := binary.LittleEndian.Uint32(body)
		if id == math.MaxUint32 {
			c, err := parseCIE(body[4:])
			if err != nil {
				return nil, err
			}
			if len(t.cies) < maxCIEs {
				t.cies[uint32(off)] = c
			}
		} else if t.cies[id] != nil && len(body) >= 20 {
			low, size := binary.LittleEndian.Uint64(body[4:]), binary.LittleEndian.Uint64(body[12:])
			if size > 0 && low+size > low {
				t.fdes = append(t.fdes, uint32(off))
				sorted = sorted && low >= last
				last = low
			}
		}
		off = start + int(n)
	}
	t.fdes = slices.Clip(t.fdes)
	if !sorted {
		slices.SortStableFunc(t.fdes, func(x, y uint32) int {
			a, _ := t.bounds(x)
			b, _ := t.bounds(y)
			return cmp.Compare(a, b)
		})
	}
	return t, nil
}

// maxCIEs bounds the number of common entries: Go's linker writes one, others one for
// each file at most.
const maxCIEs = 1 << 16

// bounds returns the addresses that the entry at off is for.
func (t *frameTable) bounds(off uint32) (low, high uint64) {
	b := t.section[off+8:]
	low = binary.LittleEndian.Uint64(b)
	return low, low + binary.LittleEndian.Uint64(b[8:])
}

func parseCIE(b []byte) (*cie, error) {
	r := &byteReader{b: b}
	version := r.u8()
	aug := r.u8() // Go writes no augmentation
	if aug != 0 {
		return nil, errFrames
	}
	if version >= 4 {
		r.u8() // address size
		r.u8() // segment selector size
	}
	c := &cie{codeAlign: r.uleb(), dataAlign: r.sleb(), raReg: r.uleb()}
	c.program = slices.Clone(r.b)
	if r.bad {
		return nil, errFrames
	}
	return c, nil
}

// at returns the row for the DWARF address pc.
func (t *frameTable) at(pc uint64) (row frameRow, ok bool) {
	defer func() {
		if recover() != nil { // the mapped file has been cut short
			ok = false
		}
	}()
	i := sort.Search(len(t.fdes), func(i int) bool { _, high := t.bounds(t.fdes[i]); return high > pc })
	if i >= len(t.fdes) {
		return frameRow{}, false
	}
	off := t.fdes[i]
	low, _ := t.bounds(off)
	if low > pc {
		return frameRow{}, false
	}
	n := binary.LittleEndian.Uint32(t.section[off:])
	c := t.cies[binary.LittleEndian.Uint32(t.section[off+4:])]
	if c == nil {
		return frameRow{}, false
	}
	program := t.section[off+24 : off+4+n]
	row.raReg = true // unless a rule says otherwise
	loc := low
	if !runCFA(c.program, c, &row, &loc, math.MaxUint64) {
		return frameRow{}, false
	}
	loc = low
	return row, runCFA(program, c, &row, &loc, pc)
}

// runCFA runs the instructions (DWARF 5, section 6.4.2) that apply at pc.
func runCFA(prog []byte, c *cie, row *frameRow, loc *uint64, pc uint64) bool {
	r := &byteReader{b: prog}
	advance := func(n uint64) bool { *loc += n * c.codeAlign; return *loc <= pc }
	for len(r.b) > 0 && !r.bad {
		op := r.u8()
		switch op & 0xc0 {
		case 0x40: // DW_CFA_advance_loc
			if !advance(uint64(op & 0x3f)) {
				return true
			}
			continue
		case 0x80: // DW_CFA_offset
			off := int64(r.uleb()) * c.dataAlign
			if uint64(op&0x3f) == c.raReg {
				row.raOff, row.raReg = off, false
			}
			continue
		case 0xc0: // DW_CFA_restore
			if uint64(op&0x3f) == c.raReg {
				row.raReg = true
			}
			continue
		}
		switch op {
		case 0x00: // DW_CFA_nop
		case 0x01: // DW_CFA_set_loc
			*loc = r.u64()
			if *loc > pc {
				return !r.bad
			}
		case 0x02:
			if !advance(uint64(r.u8())) {
				return true
			}
		case 0x03:
			if !advance(uint64(r.u16())) {
				return true
			}
		case 0x04:
			if !advance(uint64(r.u32())) {
				return true
			}
		case 0x05: // DW_CFA_offset_extended
			reg := r.uleb()
			off := int64(r.uleb()) * c.dataAlign
			if reg == c.raReg {
				row.raOff, row.raReg = off, false
			}
		case 0x06, 0x08, 0x07: // restore_extended, same_value, undefined
			if r.uleb() == c.raReg {
				row.raReg = true
			}
		case 0x0c: // DW_CFA_def_cfa
			row.cfaReg, row.cfaOff = r.uleb(), int64(r.uleb())
		case 0x0d: // DW_CFA_def_cfa_register
			row.cfaReg = r.uleb()
		case 0x0e: // DW_CFA_def_cfa_offset
			row.cfaOff = int64(r.uleb())
		case 0x11: // DW_CFA_offset_extended_sf
			reg := r.uleb()
			off := r.sleb() * c.dataAlign
			if reg == c.raReg {
				row.raOff, row.raReg = off, false
			}
		case 0x12: // DW_CFA_def_cfa_sf
			row.cfaReg, row.cfaOff = r.uleb(), r.sleb()*c.dataAlign
		case 0x13: // DW_CFA_def_cfa_offset_sf
			row.cfaOff = r.sleb() * c.dataAlign
		case 0x14, 0x15: // val_offset: of no register that matters here
			r.uleb()
			r.uleb()
		default:
			return false
		}
	}
	return !r.bad
}

// byteReader takes little-endian numbers off the front of b. Past the end it
// yields zeros and sets bad.
type byteReader struct {
	b   []byte
	bad bool
}

func (r *byteReader) take(n int) []byte {
	if n > len(r.b) {
		r.bad = true
		r.b = nil
		return make([]byte, min(n, 16))
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *byteReader) u8() uint8   { return r.take(1)[0] }
func (r *byteReader) u16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *byteReader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *byteReader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *byteReader) uleb() uint64 {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		c := r.u8()
		if shift < 64 {
			v |= uint64(c&0x7f) << shift
		}
		if c&0x80 == 0 || r.bad {
			return v
		}
	}
}

func (r *byteReader) sleb() int64 {
	var v int64
	for shift := uint(0); ; {
		c := r.u8()
		if shift < 64 {
			v |= int64(c&0x7f) << shift
		}
		shift += 7
		if c&0x80 == 0 || r.bad {
			if c&0x40 != 0 && shift < 64 {
				v |= -1 << shift
			}
			return v
		}
	}
}
