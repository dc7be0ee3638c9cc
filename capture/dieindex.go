package capture

import (
	"cmp"
	"debug/dwarf"
	"encoding/binary"
	"slices"
	"sync"
)

// Finding out which function is where takes a walk over all entries (DIEs) of a
// unit, of which there are a hundred thousand in large packages. Package dwarf
// makes an object with all attributes of each; this walk skips what it does not
// need, allocates nothing for an entry, and is an order of magnitude faster.

// abbrevTables are the tables of .debug_abbrev (DWARF 5, section 7.5.3), read when they
// are first needed. Go's linker writes one for all units, C compilers one for each.
type abbrevTables struct {
	section []byte
	mu      sync.Mutex
	byOff   map[uint32][]abbrev
}

// abbrev says what entries with its code look like.
type abbrev struct {
	tag      uint32
	children bool
	known    bool
	attrs    []attrForm
}

type attrForm struct {
	attr, form uint32
	implicit   int64
}

// maxAbbrevs bounds the codes of a table; those of real ones are small numbers.
const maxAbbrevs = 1 << 16

// at returns the table at off, by code.
func (t *abbrevTables) at(off uint32) []abbrev {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a, ok := t.byOff[off]; ok {
		return a
	}
	if t.byOff == nil {
		t.byOff = map[uint32][]abbrev{}
	}
	if uint64(off) > uint64(len(t.section)) {
		return nil
	}
	r := &byteReader{b: t.section[off:]}
	var table []abbrev
	for !r.bad {
		code := r.uleb()
		if code == 0 || code >= maxAbbrevs {
			break
		}
		a := abbrev{tag: uint32(r.uleb()), children: r.u8() != 0, known: true}
		for !r.bad {
			f := attrForm{attr: uint32(r.uleb()), form: uint32(r.uleb())}
			if f.form == formImplicitConst {
				f.implicit = r.sleb()
			}
			if f.attr == 0 && f.form == 0 {
				break
			}
			a.attrs = append(a.attrs, f)
		}
		for uint64(len(table)) <= code {
			table = append(table, abbrev{})
		}
		table[code] = a
	}
	t.byOff[off] = table
	return table
}

// The forms of attributes (DWARF 5, section 7.5.6).
const (
	formAddr          = 0x01
	formBlock2        = 0x03
	formBlock4        = 0x04
	formData2         = 0x05
	formData4         = 0x06
	formData8         = 0x07
	formString        = 0x08
	formBlock         = 0x09
	formBlock1        = 0x0a
	formData1         = 0x0b
	formFlag          = 0x0c
	formSdata         = 0x0d
	formStrp          = 0x0e
	formUdata         = 0x0f
	formRefAddr       = 0x10
	formRef1          = 0x11
	formRef2          = 0x12
	formRef4          = 0x13
	formRef8          = 0x14
	formRefUdata      = 0x15
	formIndirect      = 0x16
	formSecOffset     = 0x17
	formExprloc       = 0x18
	formFlagPresent   = 0x19
	formStrx          = 0x1a
	formAddrx         = 0x1b
	formRefSup4       = 0x1c
	formStrpSup       = 0x1d
	formData16        = 0x1e
	formLineStrp      = 0x1f
	formRefSig8       = 0x20
	formImplicitConst = 0x21
	formLoclistx      = 0x22
	formRnglistx      = 0x23
	formRefSup8       = 0x24
	formStrx1         = 0x25
	formStrx2         = 0x26
	formStrx3         = 0x27
	formStrx4         = 0x28
	formAddrx1        = 0x29
	formAddrx2        = 0x2a
	formAddrx3        = 0x2b
	formAddrx4        = 0x2c
	formGNURefAlt     = 0x1f20
	formGNUStrpAlt    = 0x1f21
)

// formSize is the size of the forms that have one; 0xff: it varies, or the form is not known.
var formSize = func() (s [0x2d]uint8) {
	for i := range s {
		s[i] = 0xff
	}
	for n, forms := range map[uint8][]uint32{
		0: {formFlagPresent, formImplicitConst},
		1: {formData1, formFlag, formRef1, formStrx1, formAddrx1},
		2: {formData2, formRef2, formStrx2, formAddrx2},
		3: {formStrx3, formAddrx3},
		4: {formData4, formStrp, formRefAddr, formRef4, formSecOffset, formRefSup4, formStrpSup, formLineStrp, formStrx4, formAddrx4},
		8: {formAddr, formData8, formRef8, formRefSig8, formRefSup8}, 16: {formData16},
	} {
		for _, f := range forms {
			s[f] = n
		}
	}
	return s
}()

// dieWalk goes over the entries of a unit.
type dieWalk struct {
	b   []byte // .debug_info up to the unit's end
	pos int
	bad bool
}

func (w *dieWalk) uleb() uint64 {
	if w.pos < len(w.b) && w.b[w.pos] < 0x80 {
		w.pos++
		return uint64(w.b[w.pos-1])
	}
	var v uint64
	for shift := uint(0); w.pos < len(w.b); shift += 7 {
		c := w.b[w.pos]
		w.pos++
		if shift < 64 {
			v |= uint64(c&0x7f) << shift
		}
		if c < 0x80 {
			return v
		}
	}
	w.bad = true
	return 0
}

// value returns an attribute's value as a number, if its form is one of a number, and goes
// past it.
func (w *dieWalk) value(form uint32) (v uint64) {
	if form < uint32(len(formSize)) && formSize[form] != 0xff {
		n := int(formSize[form])
		if n > len(w.b)-w.pos {
			w.bad = true
			return 0
		}
		p := w.b[w.pos:]
		w.pos += n
		switch n {
		case 1:
			return uint64(p[0])
		case 2:
			return uint64(binary.LittleEndian.Uint16(p))
		case 3:
			return uint64(p[0]) | uint64(p[1])<<8 | uint64(p[2])<<16
		case 4:
			return uint64(binary.LittleEndian.Uint32(p))
		case 8:
			return binary.LittleEndian.Uint64(p)
		}
		return 0
	}
	n := uint64(0)
	switch form {
	case formUdata, formSdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx: // nothing that is needed is signed
		return w.uleb()
	case formString:
		for w.pos < len(w.b) && w.b[w.pos] != 0 {
			w.pos++
		}
		n = 1
	case formBlock, formExprloc:
		n = w.uleb()
	case formBlock1:
		n = w.value(formData1)
	case formBlock2:
		n = w.value(formData2)
	case formBlock4:
		n = w.value(formData4)
	case formGNURefAlt, formGNUStrpAlt:
		n = 4
	case formIndirect:
		if f := w.uleb(); f != formIndirect && f != formImplicitConst {
			return w.value(uint32(f))
		}
		w.bad = true
		return 0
	default:
		w.bad = true
		return 0
	}
	if n > uint64(len(w.b)-w.pos) {
		w.bad = true
		return 0
	}
	w.pos += int(n)
	return 0
}

// isAddrx reports whether a form is an index into .debug_addr.
func isAddrx(form uint32) bool { return form == formAddrx || form >= formAddrx1 && form <= formAddrx4 }

// scanFunctions lists the functions with code of a unit, by address.
func (di *debugInfo) scanFunctions(u *unit) []funcRange {
	table := di.abbrevs.at(u.abbrev)
	if u.end > dwarf.Offset(len(di.info)) || u.off > u.end {
		return nil
	}
	w := dieWalk{b: di.info[:u.end], pos: int(u.off)}
	var out []funcRange
	for depth := 0; w.pos < len(w.b); {
		at := w.pos
		code := w.uleb()
		if code == 0 {
			if depth--; depth <= 0 {
				break
			}
			continue
		}
		if w.bad || code >= uint64(len(table)) || !table[code].known {
			break // damaged: what was found before is good
		}
		a := &table[code]
		wanted := a.tag == uint32(dwarf.TagSubprogram) && depth == 1
		var low, high, sibling uint64
		hasLow, relative := false, false
		for i := range a.attrs {
			f := &a.attrs[i]
			v := w.value(f.form)
			switch {
			case f.attr == uint32(dwarf.AttrSibling):
				if sibling = v; f.form != formRef4 || a.tag == uint32(dwarf.TagCompileUnit) {
					sibling = 0
				}
			case !wanted:
			case f.attr == uint32(dwarf.AttrLowpc):
				if hasLow = true; isAddrx(f.form) {
					low = di.address(u, v)
				} else {
					low = v
				}
			case f.attr == uint32(dwarf.AttrHighpc):
				switch {
				case isAddrx(f.form):
					high = di.address(u, v)
				case f.form == formImplicitConst:
					high, relative = uint64(f.implicit), true
				default:
					high, relative = v, f.form != formAddr
				}
			}
		}
		if w.bad {
			break
		}
		if relative {
			high += low
		}
		if wanted && hasLow && low < high {
			out = append(out, funcRange{low, high, dwarf.Offset(at)})
		}
		if !a.children {
			continue
		}
		// The sibling is relative to the unit's header.
		if to := uint64(u.header) + sibling; sibling != 0 && to > uint64(w.pos) && to <= uint64(u.end) && depth > 0 {
			w.pos = int(to)
			continue
		}
		depth++
	}
	slices.SortFunc(out, func(a, b funcRange) int { return cmp.Compare(a.low, b.low) })
	return slices.Clip(out)
}
