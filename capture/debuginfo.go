package capture

import (
	"cmp"
	"debug/dwarf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
)

// errNoDebugInfo is why a program's variables cannot be found.
var errNoDebugInfo = errors.New("the program has no debug info")

// debugInfo is the DWARF of a program or a plugin: what of it is read at once (the units'
// address ranges, where the frame table's entries are) and what is read as needed and
// kept (functions and their variables). Its sections lie outside of the Go heap, most
// of them in mapped files, which somebody may cut short: each of its methods that
// reads them is shielded, and finds nothing from then on. It is safe for concurrent use.
type debugInfo struct {
	data     *dwarf.Data
	bias     uint64 // address in the process minus address in DWARF
	info     []byte
	loclists []byte
	locs4    []byte // .debug_loc, DWARF 4
	addr     []byte
	abbrevs  abbrevTables
	frames   *frameTable
	dicts    *dictTable
	units    []*unit     // in the order of .debug_info
	ranges   []unitRange // by address

	types uint64 // of a plugin: moduledata.types

	lost atomic.Bool // the sections cannot be read any more

	mu    sync.Mutex
	funcs map[dwarf.Offset]*function
}

// shield is deferred by what reads the sections. A fault, or whatever else damaged data
// may bring about in package dwarf, ends the reading, not the capture. The
// goroutine has debug.SetPanicOnFault set (see [guarded]).
func (di *debugInfo) shield() {
	if p := recover(); p != nil {
		if _, fault := p.(interface{ Addr() uintptr }); fault {
			di.lost.Store(true)
		}
	}
}

// unit is one compile unit.
type unit struct {
	di           *debugInfo
	header       dwarf.Offset
	off          dwarf.Offset // of its first DIE
	end          dwarf.Offset
	version      int
	abbrev       uint32 // where its abbreviations are in .debug_abbrev
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

// openDebugInfo reads the debug info in the file o of a program that lies bias away
// from the file's addresses. cache may be nil.
func openDebugInfo(o *elfFile, bias uint64, cache *infoCache) (di *debugInfo, err error) {
	err = shielded(func() error {
		di, err = readDebugInfo(o, bias, cache)
		return err
	})
	if err != nil {
		return nil, err
	}
	return di, nil
}

func readDebugInfo(o *elfFile, bias uint64, cache *infoCache) (*debugInfo, error) {
	secs, err := o.debugSections()
	if err != nil {
		return nil, err
	}
	if !hasInfo(secs) {
		return nil, errNoDebugInfo
	}
	sec, err := o.unpackSections(secs, cache)
	if err != nil {
		return nil, err
	}
	d, err := dwarf.New(sec["abbrev"], nil, nil, sec["info"], sec["line"], nil, sec["ranges"], sec["str"])
	if err != nil {
		return nil, fmt.Errorf("reading debug info: %w", err)
	}
	for _, name := range []string{"addr", "line_str", "str_offsets", "rnglists", "loclists"} {
		if b := sec[name]; b != nil {
			if err := d.AddSection(".debug_"+name, b); err != nil {
				return nil, fmt.Errorf("reading debug info: %w", err)
			}
		}
	}
	di := &debugInfo{
		data: d, bias: bias, info: sec["info"], loclists: sec["loclists"], locs4: sec["loc"], addr: sec["addr"], funcs: map[dwarf.Offset]*function{},
	}
	di.abbrevs.section = sec["abbrev"]
	di.frames, err = parseFrames(sec["frame"])
	if err != nil {
		return nil, fmt.Errorf("reading section .debug_frame: %w", err)
	}
	if err := di.readUnits(); err != nil {
		return nil, err
	}
	return di, nil
}

// hasInfo reports whether there is debug info that describes variables.
func hasInfo(secs []section) bool {
	n := 0
	for _, s := range secs {
		if s.name == "info" || s.name == "abbrev" {
			n++
		}
	}
	return n == 2
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
func (di *debugInfo) readUnits() error {
	info, r := di.info, di.data.Reader()
	for off := 0; off+12 <= len(info); {
		n := int64(binary.LittleEndian.Uint32(info[off:]))
		if n >= 0xfffffff0 || n <= 0 || int64(off)+4+n > int64(len(info)) {
			return fmt.Errorf("reading debug info: unit at %#x has length %#x", off, n)
		}
		version := int(binary.LittleEndian.Uint16(info[off+4:]))
		first := off + 11
		if version >= 5 {
			first = off + 12 // unit type
		}
		u := &unit{di: di, header: dwarf.Offset(off), off: dwarf.Offset(first), end: dwarf.Offset(off + 4 + int(n)), version: version}
		u.abbrev = binary.LittleEndian.Uint32(info[off+6:])
		if version >= 5 {
			u.abbrev = binary.LittleEndian.Uint32(info[off+8:])
		}
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
	slices.SortFunc(di.ranges, func(a, b unitRange) int { return cmp.Compare(a.low, b.low) })
	di.ranges = slices.Clip(di.ranges)
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
	defer di.shield()
	u.funcs = di.scanFunctions(u)
	return u.funcs
}

// filesOf returns the unit's file table.
func (di *debugInfo) filesOf(u *unit) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.files != nil {
		return u.files
	}
	u.files = []string{}
	defer di.shield()
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
