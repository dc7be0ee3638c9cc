package capture

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// smallProgram builds a small program with uncompressed debug info.
func smallProgram(tb testing.TB) []byte {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module small\n\ngo 1.26\n",
		"main.go": "package main\n\ntype T struct{ A int; B []string; M map[string]*T }\n\nfunc f(t *T, n int) int { x := t.A + n; println(x, t.B[n]); return x }\n\nfunc main() { f(&T{A: 1}, 2) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "small")
	cmd := exec.Command("go", "build", "-ldflags=-compressdwarf=false", "-o", bin, ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// useAll asks debug info everything that a capture may ask it.
func useAll(di *debugInfo, tt *typeTable) {
	for i, u := range di.units {
		if i%7 != 0 && u.name != "main" {
			continue
		}
		for _, fr := range di.functionsOf(u) {
			f := di.functionAt(fr.low)
			if f == nil {
				continue
			}
			for _, pc := range []uint64{fr.low, (fr.low + fr.high) / 2, fr.high - 1} {
				row, _ := di.frames.at(pc)
				_ = row
				fm := frame{pc: pc, exact: true, fn: f, cfa: 1 << 40}
				calls := f.callsAt(pc)
				di.positions(&fm, calls)
				a := &arena{}
				l := locator{di: di, types: tt, mem: &reader{Memory: self{}}, arena: a}
				for i := range calls {
					l.roots(&fm, &calls[i], 1<<20)
				}
				a.release()
			}
		}
	}
	for _, t := range tt.all {
		t.resolve()
	}
}

// TestDamagedDebugInfo flips bytes of a program's debug info: what is read from it
// may be an error, or wrong, but nothing crashes, hangs or allocates without bound.
func TestDamagedDebugInfo(t *testing.T) {
	good := smallProgram(t)
	o, err := newELF("small", good)
	if err != nil {
		t.Fatal(err)
	}
	if syms := o.findSymbols(0); syms.allgs == 0 || syms.sigpanic0 == 0 || syms.mheap == 0 || syms.waitReasons == 0 {
		t.Fatal(syms)
	}
	if _, err := openDebugInfo(o, 0, nil); err != nil {
		t.Fatal(err)
	}
	start := bytes.Index(good, []byte("small")) // any place; sections lie behind the data
	rng := rand.New(rand.NewPCG(1, 2))
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for range rounds {
		b := bytes.Clone(good)
		for range 1 + rng.IntN(40) {
			// The debug sections are at the file's end.
			at := len(b)/2 + rng.IntN(len(b)/2)
			at = max(at, start)
			b[at] = byte(rng.Uint32())
		}
		tryDebugInfo(t, b)
	}
	for cut := len(good) / 2; cut < len(good); cut += len(good) / 20 {
		tryDebugInfo(t, good[:cut])
	}
}

func tryDebugInfo(tb testing.TB, b []byte) {
	tb.Helper()
	o, err := newELF("damaged", b)
	if err != nil {
		return
	}
	syms := o.findSymbols(0)
	di, err := openDebugInfo(o, 0, nil)
	if err != nil {
		return
	}
	di.dicts = syms.dicts
	tt := newTestTypes(di)
	guarded(func() { useAll(di, tt) })
}

// newTestTypes makes a table of types that knows no type but those of di.
func newTestTypes(di *debugInfo) *typeTable {
	e := &Engine{}
	l := go126
	e.layout.Store(&l)
	e.info.Store(di)
	return newTypeTable(self{}, module{}, &e.layout, &e.info)
}

func FuzzLocate(f *testing.F) {
	f.Add([]byte{opCallFrameCFA, opPiece, 8, opReg0 + 3, opPiece, 8})
	f.Add([]byte{opFbreg, 0x78})
	f.Add([]byte{opConst1s, 0xff, opStackValue, opPiece, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, expr []byte) {
		var r registers
		r.set(3, 1<<40)
		ps, ok := locate(expr, 1<<40, 0, &r)
		if !ok && ps != nil {
			t.Error("pieces of an expression that is not understood")
		}
	})
}

func FuzzFrames(f *testing.F) {
	cie := []byte{0xff, 0xff, 0xff, 0xff, 3, 0, 1, 0x7c, 16, 0x0c, 7, 8}
	fde := append(append([]byte{0, 0, 0, 0}, binary.LittleEndian.AppendUint64(nil, 0x1000)...), binary.LittleEndian.AppendUint64(nil, 0x100)...)
	fde = append(fde, 0x41, 0x0e, 0x20, 0x02, 0x10, 0x0e, 8)
	b := append(binary.LittleEndian.AppendUint32(nil, uint32(len(cie))), cie...)
	b = append(append(b, binary.LittleEndian.AppendUint32(nil, uint32(len(fde)))...), fde...)
	f.Add(b, uint64(0x1010))
	f.Fuzz(func(t *testing.T, b []byte, pc uint64) {
		ft, err := parseFrames(b)
		if err != nil {
			return
		}
		ft.at(pc)
		for _, e := range ft.fdes {
			low, high := ft.bounds(e)
			ft.at(low)
			ft.at(high - 1)
		}
	})
}
