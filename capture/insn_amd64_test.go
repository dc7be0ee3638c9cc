package capture

import (
	"bufio"
	"bytes"
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestInstructions: the decoder finds the same instructions in a program as the
// toolchain's disassembler, and knows all that the compiler writes.
func TestInstructions(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "target")
	if out, err := exec.Command("go", "build", "-o", bin, "./testdata/targets/scenarios").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text := f.Section(".text")
	code, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "tool", "objdump", "-s", `^(main|fmt|net/http|encoding/json|github.com/.*|strconv|sort|math/big|regexp|crypto/.*)\.`, bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	var (
		fn       string
		last     uint64
		expect   uint64
		skip     bool
		checked  int
		fns, bad int
	)
	sc := bufio.NewScanner(bytes.NewReader(out))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		if rest, ok := strings.CutPrefix(line, "TEXT "); ok {
			fn, skip, expect = rest, strings.Contains(rest, ".s"), 0
			fns++
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 4 || skip {
			continue
		}
		pc, err := strconv.ParseUint(strings.TrimPrefix(fields[1], "0x"), 16, 64)
		if err != nil {
			continue
		}
		if fields[3] == "?" { // the disassembler does not know it
			skip = true
			continue
		}
		if expect != 0 && pc != expect {
			t.Errorf("%s: the instruction at %#x ends at %#x, the disassembler says %#x", fn, last, expect, pc)
			skip = true
			continue
		}
		in, ok := decodeInsn(code[:min(uint64(len(code)), pc-text.Addr+16)], int(pc-text.Addr))
		if !ok {
			if bad++; bad < 20 {
				t.Errorf("%s: the instruction at %#x is not known: %s", fn, pc, line)
			}
			skip = true
			continue
		}
		checkEffect(t, &in, strings.Join(fields[3:], " "))
		last, expect = pc, pc+uint64(in.n)
		checked++
	}
	if checked < 100_000 {
		t.Errorf("only %d instructions of %d functions were compared", checked, fns)
	}
	t.Logf("%d instructions of %d functions", checked, fns)
}

// checkEffect compares what the decoder says of the most frequent moves with the
// disassembler's text.
func checkEffect(t *testing.T, in *insn, text string) {
	t.Helper()
	op, args, _ := strings.Cut(text, " ")
	if i := strings.Index(args, " ["); i >= 0 {
		args = args[:i]
	}
	from, to, ok := strings.Cut(args, ", ")
	if !ok || op != "MOVQ" && op != "MOVL" && op != "MOVSD_XMM" {
		return
	}
	place := map[string]int8{"AX": 0, "DX": 1, "CX": 2, "BX": 3, "SI": 4, "DI": 5, "BP": 6}
	for i := 8; i < 16; i++ {
		place["R"+strconv.Itoa(i)] = int8(i)
	}
	for i := 0; i < 16; i++ {
		place["X"+strconv.Itoa(i)] = int8(16 + i)
	}
	width := map[string]uint8{"MOVQ": 8, "MOVL": 4, "MOVSD_XMM": 8}[op]
	sp := func(s string) (int32, bool) {
		s, ok := strings.CutSuffix(s, "(SP)")
		if !ok {
			return 0, false
		}
		if s == "" {
			s = "0"
		}
		n, err := strconv.ParseInt(s, 0, 32)
		return int32(n), err == nil
	}
	a, isA := place[from]
	b, isB := place[to]
	ma, isMA := sp(from)
	mb, isMB := sp(to)
	switch {
	case isA && isB:
		if in.width < width || in.from != a || in.to != b || in.kill&(1<<b) == 0 {
			t.Errorf("%s: %+v", text, *in)
		}
	case isA && isMB:
		if in.width != width || in.from != a || in.to != -1 || in.store != width || in.mem != mb || in.kill != 0 {
			t.Errorf("%s: %+v", text, *in)
		}
	case isMA && isB:
		if in.width != width || in.from != -1 || in.to != b || !in.load || in.mem != ma || in.kill != 1<<b || in.store != 0 {
			t.Errorf("%s: %+v", text, *in)
		}
	case isMB: // of a constant
		if in.store != width || in.mem != mb {
			t.Errorf("%s: %+v", text, *in)
		}
	case isB:
		if in.kill&(1<<b) == 0 {
			t.Errorf("%s: %+v", text, *in)
		}
	}
}
