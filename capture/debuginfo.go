package capture

import (
	"bytes"
	"compress/zlib"
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
)

// errNoDebugInfo is why a program's variables cannot be found.
var errNoDebugInfo = errors.New("the program has no debug info")

// debugInfo is the DWARF of a program: what of it is read at once (the units'
// address ranges, the frame table) and what is read as needed and kept (functions
// and their variables). It is safe for concurrent use.
type debugInfo struct {
	data     *dwarf.Data
	bias     uint64 // address in the process minus address in DWARF
	loclists []byte
	locs4    []byte // .debug_loc, DWARF 4
	addr     []byte
	frames   *frameTable
	dicts    map[uint64]string // see symbols
	units    []*unit           // in the order of .debug_info
	ranges   []unitRange       // by address

	mu    sync.Mutex
	funcs map[dwarf.Offset]*function
}

// unit is one compile unit.
type unit struct {
	off          dwarf.Offset // of its first DIE
	end          dwarf.Offset
	version      int
	name         string
	low          uint64
	optimized    bool
	race         bool
	addrBase     int64
	loclistsBase int64

	mu    sync.Mutex
	done  bool
	funcs []funcRange
	files []string
}

type unitRange struct {
	low, high uint64
	unit      *unit
}

type funcRange struct {
	low, high uint64
	off       dwarf.Offset
}

// maxSection bounds the inflated size of one debug section.
const maxSection = 4 << 30

// openDebugInfo reads the debug info of the ELF file r; bias is how far the
// process lies from the file's addresses.
//
// The symbols come also where there is no debug info.
func openDebugInfo(r io.ReaderAt, bias uint64) (syms *symbols, _ *debugInfo, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("debug info is damaged: %v", p)
		}
	}()
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the executable: %w", err)
	}
	syms = findSymbols(f, bias)
	sec := map[string][]byte{}
	for _, name := range []string{"abbrev", "info", "line", "frame", "loclists", "loc", "rnglists", "ranges", "addr", "str", "line_str", "str_offsets"} {
		s := f.Section(".debug_" + name)
		if s == nil {
			s = f.Section(".zdebug_" + name)
		}
		if s == nil || s.Type == elf.SHT_NOBITS {
			continue
		}
		if sec[name], err = sectionData(s); err != nil {
			return syms, nil, fmt.Errorf("reading section %s: %w", s.Name, err)
		}
	}
	if len(sec["info"]) == 0 || len(sec["abbrev"]) == 0 {
		return syms, nil, errNoDebugInfo
	}
	d, err := dwarf.New(sec["abbrev"], nil, nil, sec["info"], sec["line"], nil, sec["ranges"], sec["str"])
	if err != nil {
		return syms, nil, fmt.Errorf("reading debug info: %w", err)
	}
	for _, name := range []string{"addr", "line_str", "str_offsets", "rnglists", "loclists"} {
		if b := sec[name]; b != nil {
			if err := d.AddSection(".debug_"+name, b); err != nil {
				return syms, nil, fmt.Errorf("reading debug info: %w", err)
			}
		}
	}
	di := &debugInfo{
		dicts: syms.dicts, data: d, bias: bias, loclists: sec["loclists"], locs4: sec["loc"], addr: sec["addr"], funcs: map[dwarf.Offset]*function{},
	}
	di.frames, err = parseFrames(sec["frame"], f.ByteOrder)
	if err != nil {
		return syms, nil, fmt.Errorf("reading section .debug_frame: %w", err)
	}
	if err := di.readUnits(sec["info"]); err != nil {
		return syms, nil, err
	}
	return syms, di, nil
}

// sectionData returns a section's bytes, inflated into memory outside of the
// Go heap, so that the collector neither scans nor counts tens of megabytes.
func sectionData(s *elf.Section) ([]byte, error) {
	if s.Size > maxSection {
		return nil, fmt.Errorf("claims %d bytes", s.Size)
	}
	r := io.Reader(s.Open())
	n := s.Size
	if len(s.Name) > 2 && s.Name[1] == 'z' { // .zdebug_: "ZLIB", the size, a zlib stream
		var h [12]byte
		raw := io.NewSectionReader(s, 0, int64(s.FileSize))
		if _, err := io.ReadFull(raw, h[:]); err != nil || string(h[:4]) != "ZLIB" {
			return nil, errors.New("has no ZLIB header")
		}
		n = binary.BigEndian.Uint64(h[4:])
		if n > maxSection {
			return nil, fmt.Errorf("claims %d bytes", n)
		}
		z, err := zlib.NewReader(raw)
		if err != nil {
			return nil, err
		}
		r = z
	}
	if n == 0 {
		return nil, nil
	}
	b, err := allocOffHeap(int(n))
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r, b); err != nil {
		freeOffHeap(b)
		return nil, err
	}
	return b, nil
}

// symbols are the addresses in the process of what the engine needs of the runtime; 0 if unknown.
type symbols struct {
	allgs       uint64 // runtime.allgs, a []*g
	sigpanic0   uint64
	waitReasons uint64            // runtime.waitReasonStrings, a [...]string
	mheap       uint64            // runtime.mheap_
	maxStack    uint64            // runtime.maxstacksize
	dicts       map[uint64]string // dictionaries of instantiated generic functions and types, by address
}

// findSymbols looks a few names up in .symtab without making a list of all.
func findSymbols(f *elf.File, bias uint64) *symbols {
	s := &symbols{dicts: map[uint64]string{}}
	want := map[string]*uint64{
		"runtime.allgs": &s.allgs, "runtime.sigpanic0": &s.sigpanic0, "runtime.sigpanic0.abi0": &s.sigpanic0, "runtime.waitReasonStrings": &s.waitReasons,
		"runtime.mheap_": &s.mheap, "runtime.maxstacksize": &s.maxStack,
	}
	if f.Machine == elf.EM_AARCH64 {
		want["runtime.sigpanic"] = &s.sigpanic0 // it is entered without a detour there
	}
	tab := f.SectionByType(elf.SHT_SYMTAB)
	if tab == nil || int(tab.Link) >= len(f.Sections) || tab.Entsize != 24 || tab.Size > maxSection {
		return s
	}
	syms, err := tab.Data()
	if err != nil {
		return s
	}
	str, err := f.Sections[tab.Link].Data()
	if err != nil {
		return s
	}
	prefix, dict := []byte("runtime."), []byte("..dict.")
	for ; len(syms) >= 24; syms = syms[24:] {
		off := f.ByteOrder.Uint32(syms)
		if int64(off) >= int64(len(str)) {
			continue
		}
		name := str[off:]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		switch {
		case bytes.HasPrefix(name, prefix):
			if p := want[string(name)]; p != nil {
				*p = f.ByteOrder.Uint64(syms[8:]) + bias
			}
		case bytes.Contains(name, dict):
			s.dicts[f.ByteOrder.Uint64(syms[8:])+bias] = string(name)
		}
	}
	return s
}

// DWARF attributes that package dwarf has no name for, and Go's own
// (cmd/internal/dwarf/dwarf.go).
const (
	attrGoKind          = dwarf.Attr(0x2900)
	attrGoKey           = dwarf.Attr(0x2901)
	attrGoElem          = dwarf.Attr(0x2902)
	attrGoEmbedded      = dwarf.Attr(0x2903)
	attrGoRuntimeType   = dwarf.Attr(0x2904)
	attrGoPackageName   = dwarf.Attr(0x2905)
	attrGoDictIndex     = dwarf.Attr(0x2906)
	attrGoClosureOffset = dwarf.Attr(0x2907)
)

// readUnits walks the unit headers (DWARF 5, section 7.5.1), which package dwarf
// keeps to itself, and reads each unit's first DIE.
func (di *debugInfo) readUnits(info []byte) error {
	r := di.data.Reader()
	for off := 0; off+11 <= len(info); {
		n := int64(binary.LittleEndian.Uint32(info[off:]))
		if n >= 0xfffffff0 || n <= 0 || int64(off)+4+n > int64(len(info)) {
			return fmt.Errorf("reading debug info: unit at %#x has length %#x", off, n)
		}
		version := int(binary.LittleEndian.Uint16(info[off+4:]))
		first := off + 11
		if version >= 5 {
			first = off + 12 // unit type
		}
		u := &unit{off: dwarf.Offset(first), end: dwarf.Offset(off + 4 + int(n)), version: version}
		off += 4 + int(n)
		r.Seek(u.off)
		e, err := r.Next()
		if err != nil { // written by another compiler, in a way that package dwarf does not know
			continue
		}
		if e == nil || e.Tag != dwarf.TagCompileUnit {
			continue
		}
		u.name, _ = e.Val(dwarf.AttrName).(string)
		// "Go cmd/compile go1.26.8; -N -l regabi"
		producer, _ := e.Val(dwarf.AttrProducer).(string)
		u.optimized, u.race = !strings.Contains(producer, " -N"), strings.Contains(producer, " -race")
		u.low, _ = e.Val(dwarf.AttrLowpc).(uint64)
		u.addrBase = constant(e.Val(dwarf.AttrAddrBase), 0)
		u.loclistsBase = constant(e.Val(dwarf.AttrLoclistsBase), 0)
		di.units = append(di.units, u)
		ranges, err := di.data.Ranges(e)
		if err != nil {
			continue // a unit without code, or a damaged one
		}
		for _, x := range ranges {
			if x[0] < x[1] {
				di.ranges = append(di.ranges, unitRange{x[0], x[1], u})
			}
		}
	}
	sort.Slice(di.ranges, func(i, j int) bool { return di.ranges[i].low < di.ranges[j].low })
	return nil
}

func constant(v any, missing int64) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case uint64:
		return int64(v)
	}
	return missing
}

// unitAt returns the unit of a DWARF address.
func (di *debugInfo) unitAt(pc uint64) *unit {
	i := sort.Search(len(di.ranges), func(i int) bool { return di.ranges[i].high > pc })
	if i < len(di.ranges) && di.ranges[i].low <= pc {
		return di.ranges[i].unit
	}
	return nil
}

// functionsOf lists the functions of a unit by address.
func (di *debugInfo) functionsOf(u *unit) []funcRange {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done {
		return u.funcs
	}
	u.done = true
	r := di.data.Reader()
	r.Seek(u.off)
	if e, err := r.Next(); err != nil || e == nil || !e.Children {
		return nil
	}
	for {
		e, err := r.Next()
		if err != nil || e == nil || e.Tag == 0 {
			break
		}
		if e.Tag == dwarf.TagSubprogram {
			low, ok := e.Val(dwarf.AttrLowpc).(uint64)
			if ok {
				high := highPC(e, low)
				if low < high {
					u.funcs = append(u.funcs, funcRange{low, high, e.Offset})
				}
			}
		}
		if e.Children {
			r.SkipChildren()
		}
	}
	sort.Slice(u.funcs, func(i, j int) bool { return u.funcs[i].low < u.funcs[j].low })
	return u.funcs
}

func highPC(e *dwarf.Entry, low uint64) uint64 {
	switch v := e.Val(dwarf.AttrHighpc).(type) {
	case uint64:
		return v
	case int64:
		return low + uint64(v)
	}
	return 0
}

// filesOf returns the unit's file table.
func (di *debugInfo) filesOf(u *unit) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.files != nil {
		return u.files
	}
	u.files = []string{}
	r := di.data.Reader()
	r.Seek(u.off)
	e, err := r.Next()
	if err != nil || e == nil {
		return u.files
	}
	lr, err := di.data.LineReader(e)
	if err != nil || lr == nil {
		return u.files
	}
	for _, f := range lr.Files() {
		name := ""
		if f != nil {
			name = f.Name
		}
		u.files = append(u.files, name)
	}
	return u.files
}

// layout reads the offsets of the runtime's structures. What it does not find
// keeps its value in base.
func (di *debugInfo) layout(base layout) layout {
	byStruct := map[string][]layoutField{}
	for _, f := range base.fields() {
		byStruct[f.structure] = append(byStruct[f.structure], f)
	}
	// The linker puts all types into the runtime's unit, but nothing promises
	// that: look through every unit's top level, and stop when all are found.
	left := len(byStruct)
	r := di.data.Reader()
	for _, u := range di.typeUnits() {
		r.Seek(u.off)
		if e, err := r.Next(); err != nil || e == nil || !e.Children {
			continue
		}
		for left > 0 {
			e, err := r.Next()
			if err != nil || e == nil || e.Tag == 0 {
				break
			}
			if e.Tag == dwarf.TagStructType && e.Children {
				name, _ := e.Val(dwarf.AttrName).(string)
				if want := byStruct[name]; want != nil {
					left--
					for {
						m, err := r.Next()
						if err != nil || m == nil || m.Tag == 0 {
							break
						}
						n, _ := m.Val(dwarf.AttrName).(string)
						for _, f := range want {
							if f.field == n {
								*f.offset = uint64(constant(m.Val(dwarf.AttrDataMemberLoc), int64(*f.offset)))
							}
						}
						if m.Children {
							r.SkipChildren()
						}
					}
					continue
				}
			}
			if e.Children {
				r.SkipChildren()
			}
		}
	}
	return base
}

// typeUnits returns the units, the runtime's first.
func (di *debugInfo) typeUnits() []*unit {
	us := make([]*unit, 0, len(di.units))
	for _, u := range di.units {
		if u.name == "runtime" {
			us = append([]*unit{u}, us...)
		} else {
			us = append(us, u)
		}
	}
	return us
}
