package capture

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"
)

// asm writes the bytes of debug sections.
type asm struct {
	b      []byte
	labels map[string]int
	refs   map[int]string // four bytes at the offset become the label's offset
}

func (a *asm) put(vs ...any) *asm {
	for _, v := range vs {
		switch v := v.(type) {
		case int: // ULEB128
			a.b = binary.AppendUvarint(a.b, uint64(v))
		case uint8:
			a.b = append(a.b, v)
		case uint16:
			a.b = binary.LittleEndian.AppendUint16(a.b, v)
		case uint32:
			a.b = binary.LittleEndian.AppendUint32(a.b, v)
		case uint64:
			a.b = binary.LittleEndian.AppendUint64(a.b, v)
		case []byte:
			a.b = append(a.b, v...)
		case string:
			a.b = append(append(a.b, v...), 0)
		case label:
			a.labels[string(v)] = len(a.b)
		case ref:
			a.refs[len(a.b)] = string(v)
			a.b = append(a.b, 0, 0, 0, 0)
		}
	}
	return a
}

type (
	label string
	ref   string
)

func newAsm() *asm { return &asm{labels: map[string]int{}, refs: map[int]string{}} }

func (a *asm) bytes() []byte {
	for at, name := range a.refs {
		to, ok := a.labels[name]
		if !ok {
			to = 0xfffffff
		}
		binary.LittleEndian.PutUint32(a.b[at:], uint32(to))
	}
	return a.b
}

// tinySections is debug info of one function with variables of all kinds of types. change, if it is not nil, is
// called with each reference's name and says where it leads instead.
func tinySections(change func(name string) string) map[string][]byte {
	to := func(name string) ref {
		if change != nil {
			name = change(name)
		}
		return ref(name)
	}
	abbrev := newAsm()
	const none, kids = uint8(0), uint8(1)
	decl := func(code, tag int, children uint8, attrs ...int) {
		abbrev.put(code, tag, children)
		for _, v := range attrs {
			abbrev.put(v)
		}
		abbrev.put(0, 0)
	}
	const name, typ, size, kind = 0x03, 0x49, 0x0b, 0x2900
	decl(1, 0x11, kids, name, formString, 0x25, formString, 0x11, formAddr, 0x12, formData8, 0x73, formSecOffset, 0x8c, formSecOffset)
	decl(2, 0x2e, kids, name, formString, 0x11, formAddrx, 0x12, formUdata, 0x3b, formUdata)
	decl(3, 0x34, none, name, formString, typ, formRef4, 0x02, formExprloc)
	decl(4, 0x05, none, name, formString, typ, formRef4, 0x02, formSecOffset)
	decl(5, 0x13, kids, name, formString, size, formUdata, kind, formData1)
	decl(6, 0x0d, none, name, formString, 0x38, formUdata, typ, formRef4)
	decl(7, 0x0f, none, name, formString, typ, formRef4, kind, formData1)
	decl(8, 0x24, none, name, formString, size, formData1, 0x3e, formData1, kind, formData1)
	decl(9, 0x01, kids, name, formString, typ, formRef4, size, formUdata, kind, formData1)
	decl(10, 0x21, none, typ, formRef4, 0x37, formUdata)
	decl(11, 0x16, none, name, formString, typ, formRef4)
	decl(12, 0x0b, kids, 0x11, formAddr, 0x12, formUdata)
	decl(13, 0x1d, kids, 0x31, formRef4, 0x11, formAddr, 0x12, formUdata, 0x59, formUdata)
	decl(14, 0x2e, none, name, formString, 0x3b, formUdata)
	abbrev.put(0)

	info := newAsm()
	info.put(uint32(0), uint16(5), uint8(1), uint8(8), uint32(0)) // the length comes last
	info.put(1, "main", "Go cmd/compile go1.26; regabi", uint64(0x1000), uint64(0x100), uint32(8), uint32(12))
	info.put(label("inlined"), 14, "main.inlined", 9)
	info.put(2, "main.f", 0, 0x80, 7)
	info.put(3, "i", to("int"), []byte{2, opFbreg, 0x70})
	info.put(4, "s", to("struct"), uint32(12))
	info.put(3, "p", to("pointer"), []byte{2, opFbreg, 0x60})
	info.put(3, "a", to("array"), []byte{3, opFbreg, 0x80, 0x7f})
	info.put(12, uint64(0x1010), 0x20, 3, "t", to("typedef"), []byte{1, opCallFrameCFA}, 0)
	info.put(13, to("inlined"), uint64(0x1040), 0x10, 8, 3, "x", to("int"), []byte{2, opFbreg, 0x68}, 0)
	info.put(0)
	info.put(label("int"), 8, "int", uint8(8), uint8(5), uint8(2))
	info.put(label("struct"), 5, "main.T", 24, uint8(25), 6, "A", 0, to("int"), 6, "Next", 8, to("pointer"), 6, "N", 16, to("int"), 0)
	info.put(label("pointer"), 7, "*main.T", to("struct"), uint8(22))
	info.put(label("array"), 9, "[4]int", to("int"), 32, uint8(17), 10, to("int"), 4, 0)
	info.put(label("typedef"), 11, "main.U", to("struct"))
	info.put(0)
	ib := info.bytes()
	binary.LittleEndian.PutUint32(ib, uint32(len(ib)-4))

	addr := newAsm().put(uint32(12), uint16(5), uint8(8), uint8(0), uint64(0x1000))
	lists := newAsm().put(uint32(0), uint16(5), uint8(8), uint8(0), uint32(0))
	lists.put(uint8(4), 0, 0x40, 2, []byte{opFbreg, 0x50}, uint8(4), 0x40, 0x80, 6, []byte{opReg0, opPiece, 8, opPiece, 8, opReg0 + 3}, uint8(0))
	binary.LittleEndian.PutUint32(lists.b, uint32(len(lists.b)-4))
	frame := newAsm().put(uint32(12), ^uint32(0), uint8(3), uint8(0), 1, uint8(0x7c), 16, uint8(0x0c), 7, 8)
	for len(frame.b) < 16 {
		frame.put(uint8(0))
	}
	frame.put(uint32(24), uint32(0), uint64(0x1000), uint64(0x100), uint8(0x41), uint8(0x0e), 32, uint8(0))
	return map[string][]byte{".debug_abbrev": abbrev.bytes(), ".debug_info": ib, ".debug_addr": addr.b, ".debug_loclists": lists.b, ".debug_frame": frame.b}
}

// tinyELF puts sections into an ELF file.
func tinyELF(secs map[string][]byte) []byte {
	names := newAsm().put("")
	type entry struct {
		name uint32
		off  int
		size int
	}
	var entries []entry
	out := make([]byte, 64)
	for _, name := range []string{".debug_abbrev", ".debug_info", ".debug_addr", ".debug_loclists", ".debug_frame"} {
		entries = append(entries, entry{uint32(len(names.b)), len(out), len(secs[name])})
		out = append(out, secs[name]...)
		names.put(name)
	}
	own := uint32(len(names.b))
	names.put(".shstrtab")
	entries = append(entries, entry{own, len(out), len(names.b)})
	out = append(out, names.b...)
	table := len(out)
	b := bytes.NewBuffer(out)
	_ = binary.Write(b, binary.LittleEndian, elf.Section64{})
	for i, e := range entries {
		kind := uint32(elf.SHT_PROGBITS)
		if i == len(entries)-1 {
			kind = uint32(elf.SHT_STRTAB)
		}
		_ = binary.Write(b, binary.LittleEndian, elf.Section64{Name: e.name, Type: kind, Off: uint64(e.off), Size: uint64(e.size)})
	}
	var h bytes.Buffer
	_ = binary.Write(&h, binary.LittleEndian, elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1,
		Shoff: uint64(table), Ehsize: 64, Shentsize: 64, Shnum: uint16(len(entries) + 1), Shstrndx: uint16(len(entries)),
	})
	copy(b.Bytes(), h.Bytes())
	return b.Bytes()
}

// TestTinyDebugInfo shows that what the tests below damage is read when it is whole.
func TestTinyDebugInfo(t *testing.T) {
	o, err := newELF("tiny", tinyELF(tinySections(nil)))
	if err != nil {
		t.Fatal(err)
	}
	di, err := openDebugInfo(o, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := di.functionAt(0x1015)
	if f == nil || f.name != "main.f" || f.low != 0x1000 || f.high != 0x1080 {
		t.Fatalf("function %+v", f)
	}
	var names []string
	for _, c := range f.callsAt(0x1045) {
		names = append(names, c.name)
		for _, v := range c.vars {
			names = append(names, v.name)
		}
	}
	if got := strings.Join(names, " "); got != "main.inlined x main.f i s p a" {
		t.Errorf("calls and variables: %s", got)
	}
	if row, ok := di.frames.at(0x1045); !ok || row.cfaOff != 32 || row.raOff != -64 && row.raReg {
		t.Logf("row %+v %v", row, ok)
	}
	tt := newTestTypes(di)
	for _, v := range f.root.vars {
		if typ := tt.ofDIE(di, v.typ); typ == nil {
			t.Errorf("%s has no type", v.name)
		} else if typ.resolve(); v.name == "s" && (len(typ.fields) != 3 || typ.fields[1].name != "Next" || typ.size != 24) {
			t.Errorf("type of s: %+v", typ)
		}
	}
	tryDebugInfo(t, o.data)
}

// TestBrokenDebugInfo damages debug info in each place, and in ways that byte errors seldom
// bring about: nothing crashes, hangs, or allocates what a number in it says.
func TestBrokenDebugInfo(t *testing.T) {
	whole := tinySections(nil)
	try := func(secs map[string][]byte) { tryDebugInfo(t, tinyELF(secs)) }
	with := func(name string, b []byte) map[string][]byte {
		out := map[string][]byte{}
		for k, v := range whole {
			out[k] = v
		}
		out[name] = b
		return out
	}
	t.Run("cut", func(t *testing.T) {
		for name, b := range whole {
			for n := range b {
				try(with(name, b[:n]))
			}
		}
	})
	t.Run("bytes", func(t *testing.T) {
		for name, b := range whole {
			for i := range b {
				for _, v := range []byte{0, 1, b[i] + 1, b[i] ^ 0x80, 0x7f, 0xff} {
					c := bytes.Clone(b)
					c[i] = v
					try(with(name, c))
				}
			}
		}
	})
	// Wherever a reference leads: to itself, in a circle, to what is no type, out of the unit.
	all := []string{"int", "struct", "pointer", "array", "typedef", "inlined", "nowhere"}
	t.Run("references", func(t *testing.T) {
		for _, from := range all {
			for _, to := range all {
				try(tinySections(func(name string) string {
					if name == from {
						return to
					}
					return name
				}))
			}
		}
		for _, to := range all {
			try(tinySections(func(string) string { return to }))
		}
	})
	t.Run("numbers", func(t *testing.T) {
		huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
		for name, b := range whole {
			for i := range b {
				c := append(append(bytes.Clone(b[:i]), huge...), b[i+1:]...)
				if name == ".debug_info" {
					binary.LittleEndian.PutUint32(c, uint32(len(c)-4))
				}
				try(with(name, c))
			}
		}
	})
}

// TestScanFunctions: the quick walk over a unit finds the functions that package
// dwarf finds.
func TestScanFunctions(t *testing.T) {
	o, err := newELF("small", smallProgram(t))
	if err != nil {
		t.Fatal(err)
	}
	di, err := openDebugInfo(o, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, u := range di.units {
		want := map[dwarf.Offset][2]uint64{}
		r := di.data.Reader()
		r.Seek(u.off)
		for {
			e, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if e == nil || e.Offset >= u.end {
				break
			}
			low, ok := e.Val(dwarf.AttrLowpc).(uint64)
			if !ok || e.Tag != dwarf.TagSubprogram {
				continue
			}
			switch high := e.Val(dwarf.AttrHighpc).(type) {
			case uint64:
				want[e.Offset] = [2]uint64{low, high}
			case int64:
				want[e.Offset] = [2]uint64{low, low + uint64(high)}
			}
		}
		got := di.functionsOf(u)
		n += len(got)
		if len(got) != len(want) {
			t.Errorf("%s: %d functions, want %d", u.name, len(got), len(want))
		}
		for _, f := range got {
			if want[f.off] != [2]uint64{f.low, f.high} {
				t.Errorf("%s: function at %#x is %#x–%#x, want %#x", u.name, f.off, f.low, f.high, want[f.off])
			}
		}
	}
	if n < 1000 {
		t.Errorf("only %d functions", n)
	}
}

// FuzzDebugInfo opens any bytes as a program with debug info, and asks it all.
func FuzzDebugInfo(f *testing.F) {
	f.Add(tinyELF(tinySections(nil)))
	f.Add(tinyELF(tinySections(func(string) string { return "struct" })))
	f.Add(tinyELF(tinySections(func(string) string { return "typedef" })))
	f.Fuzz(func(t *testing.T, b []byte) { tryDebugInfo(t, b) })
}
