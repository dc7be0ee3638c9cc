package capture

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"
)

// symbols are the addresses in the process of what the engine needs of the runtime; 0 if unknown.
type symbols struct {
	allgs       uint64 // runtime.allgs, a []*g
	sigpanic0   uint64
	waitReasons uint64 // runtime.waitReasonStrings, a [...]string
	mheap       uint64 // runtime.mheap_
	maxStack    uint64 // runtime.maxstacksize
	dicts       *dictTable
}

// dictTable are the dictionaries of instantiated generic functions and types. Their
// names stay in the mapped file. A nil one is empty.
type dictTable struct {
	names   []byte
	bias    uint64
	entries []dictEntry // by address
}

type dictEntry struct {
	addr uint64 // in the file
	name uint32 // where it begins in names
}

// name returns the name of the dictionary at addr, "" if there is none.
func (t *dictTable) name(addr uint64) (name string) {
	if t == nil {
		return ""
	}
	defer func() { _ = recover() }() // the mapped file has been cut short
	i, ok := slices.BinarySearchFunc(t.entries, addr-t.bias, func(e dictEntry, a uint64) int { return cmp.Compare(e.addr, a) })
	if !ok {
		return ""
	}
	return strings.Clone(string(cString(t.names, t.entries[i].name)))
}

// only returns the address of the dictionary whose name begins with prefix, 0 if there
// are several of them or none.
func (t *dictTable) only(prefix string) (addr uint64) {
	if t == nil {
		return 0
	}
	defer func() {
		if recover() != nil {
			addr = 0
		}
	}()
	p := []byte(prefix)
	for _, e := range t.entries {
		if !bytes.HasPrefix(t.names[min(int(e.name), len(t.names)):], p) {
			continue
		}
		if addr != 0 {
			return 0
		}
		addr = e.addr + t.bias
	}
	return addr
}

// cString returns what lies in b at off up to the next zero.
func cString(b []byte, off uint32) []byte {
	if uint64(off) >= uint64(len(b)) {
		return nil
	}
	b = b[off:]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// findSymbols looks a few names up in .symtab, where it lies in the mapped file. What
// it does not find is zero.
func (o *elfFile) findSymbols(bias uint64) *symbols {
	s := &symbols{dicts: &dictTable{bias: bias}}
	_ = shielded(func() error {
		o.scanSymbols(s, bias)
		return nil
	})
	return s
}

// Sizes and types of symbols (gABI, chapter 4).
const (
	symbolSize = 24
	sttObject  = 1
	sttFunc    = 2
)

func (o *elfFile) scanSymbols(s *symbols, bias uint64) {
	tab := o.elf.SectionByType(elf.SHT_SYMTAB)
	if tab == nil || int(tab.Link) >= len(o.elf.Sections) {
		return
	}
	syms, str := o.raw(tab), o.raw(o.elf.Sections[tab.Link])
	want := map[string]*uint64{
		"allgs": &s.allgs, "sigpanic0": &s.sigpanic0, "sigpanic0.abi0": &s.sigpanic0, "waitReasonStrings": &s.waitReasons, "mheap_": &s.mheap, "maxstacksize": &s.maxStack,
	}
	prefix, dict := []byte("runtime."), []byte("..dict.")
	s.dicts.names = str
	for ; len(syms) >= symbolSize; syms = syms[symbolSize:] {
		kind := syms[4] & 15
		if kind != sttObject && kind != sttFunc {
			continue
		}
		off, value := binary.LittleEndian.Uint32(syms), binary.LittleEndian.Uint64(syms[8:])
		name := cString(str, off)
		switch {
		case bytes.HasPrefix(name, prefix):
			if p := want[string(name[len(prefix):])]; p != nil {
				*p = value + bias
			}
		case kind == sttObject && bytes.Contains(name, dict):
			s.dicts.entries = append(s.dicts.entries, dictEntry{value, off})
		}
	}
	slices.SortFunc(s.dicts.entries, func(a, b dictEntry) int { return cmp.Compare(a.addr, b.addr) })
	s.dicts.entries = slices.Clip(s.dicts.entries)
}
