package e2e

import (
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// oracle says where a binary's debug information places the variables at a
// program counter. It is here to check package capture, so it shares nothing
// with it and only knows what Go's compiler writes for amd64: DWARF 5, with
// location lists in .debug_loclists.
type oracle struct {
	// shared: the build spills so much that slots are shared by values of one
	// variable, which the engine cannot tell from those of several.
	shared   bool
	doubted  int // variables in memory that count as dead, of one failure
	data     *dwarf.Data
	loclists []byte
	addr     []byte
}

// placement is where a variable is.
type placement int

const (
	nowhere   placement = iota // no location: dead here, or optimised away
	memory                     // wholly in memory
	register                   // wholly in general registers
	mixed                      // some in memory, some in general registers
	partly                     // a piece of it is nowhere
	ambiguous                  // one location for what may be several words
	vector                     // in a register that only holds floats
)

func (p placement) String() string {
	return [...]string{"nowhere", "in memory", "in a register", "in memory and registers", "partly nowhere", "at one ambiguous place", "in a vector register"}[p]
}

type located struct {
	name  string
	line  int // of its declaration
	place placement
}

// function is a function at a program counter, with its variables.
type function struct {
	name string
	vars []located
}

func newOracle(t *testing.T, path string) *oracle {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := &oracle{}
	if o.data, err = f.DWARF(); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]*[]byte{".debug_loclists": &o.loclists, ".debug_addr": &o.addr} {
		if s := f.Section(name); s != nil {
			if *to, err = s.Data(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return o
}

// at returns the functions at pc, the innermost inlined one first. Variables are
// those of the scopes at scope, in the places that they have at pc.
func (o *oracle) at(in, pc uint64) ([]function, error) {
	r := o.data.Reader()
	cu, err := r.SeekPC(in)
	if err != nil {
		return nil, fmt.Errorf("no unit for %#x: %w", pc, err)
	}
	for {
		e, err := r.Next()
		switch {
		case err != nil:
			return nil, err
		case e == nil || e.Tag == 0:
			return nil, fmt.Errorf("no function at %#x", pc)
		}
		if e.Tag != dwarf.TagSubprogram || !o.contains(e, in) {
			r.SkipChildren()
			continue
		}
		found := []function{{name: o.str(e, dwarf.AttrName)}}
		if e.Children {
			err = o.scope(r, cu, in, pc, &found, 0)
		}
		slices.Reverse(found)
		return found, err
	}
}

// scope reads the children of an entry, which belong to found[n].
func (o *oracle) scope(r *dwarf.Reader, cu *dwarf.Entry, in, pc uint64, found *[]function, n int) error {
	for {
		e, err := r.Next()
		switch {
		case err != nil:
			return err
		case e == nil || e.Tag == 0:
			return nil
		}
		switch e.Tag {
		case dwarf.TagFormalParameter, dwarf.TagVariable:
			p, err := o.place(cu, e, pc)
			if err != nil {
				return fmt.Errorf("%s: %w", o.str(e, dwarf.AttrName), err)
			}
			line, _ := o.attr(e, dwarf.AttrDeclLine).(int64)
			(*found)[n].vars = append((*found)[n].vars, located{o.str(e, dwarf.AttrName), int(line), p})
		case dwarf.TagLexDwarfBlock, dwarf.TagInlinedSubroutine:
			if !e.Children {
				continue
			}
			if !o.contains(e, in) {
				r.SkipChildren()
				continue
			}
			m := n
			if e.Tag == dwarf.TagInlinedSubroutine {
				*found = append(*found, function{name: o.str(e, dwarf.AttrName)})
				m = len(*found) - 1
			}
			if err := o.scope(r, cu, in, pc, found, m); err != nil {
				return err
			}
			continue
		}
		if e.Children {
			r.SkipChildren()
		}
	}
}

func (o *oracle) contains(e *dwarf.Entry, pc uint64) bool {
	ranges, err := o.data.Ranges(e)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(ranges, func(r [2]uint64) bool { return r[0] <= pc && pc < r[1] })
}

// attr returns an attribute of the entry, or of the one that it is an instance
// of.
func (o *oracle) attr(e *dwarf.Entry, a dwarf.Attr) any {
	for e != nil {
		if v := e.Val(a); v != nil {
			return v
		}
		off, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			return nil
		}
		r := o.data.Reader()
		r.Seek(off)
		e, _ = r.Next()
	}
	return nil
}

func (o *oracle) str(e *dwarf.Entry, a dwarf.Attr) string {
	s, _ := o.attr(e, a).(string)
	return s
}

// place says where a variable is at pc.
func (o *oracle) place(cu, e *dwarf.Entry, pc uint64) (placement, error) {
	switch loc := e.Val(dwarf.AttrLocation).(type) {
	case nil:
		return nowhere, nil
	case []byte:
		p, _, err := placeOf(loc)
		return p, err
	case int64:
		expr, err := o.lookup(cu, loc, pc)
		if err != nil || expr == nil {
			return nowhere, err
		}
		p, covered, err := placeOf(expr)
		switch size := o.size(e); {
		case (p == memory || p == register) && covered == 0 && size > 8:
			p = ambiguous
		case p != nowhere && covered > 0 && covered < size:
			p = partly
		}
		return p, err
	}
	return nowhere, fmt.Errorf("location of class %v", e.AttrField(dwarf.AttrLocation).Class)
}

// size returns the size of a variable in bytes.
func (o *oracle) size(e *dwarf.Entry) int64 {
	off, ok := o.attr(e, dwarf.AttrType).(dwarf.Offset)
	if !ok {
		return 0
	}
	t, err := o.data.Type(off)
	if err != nil {
		return 0
	}
	return t.Size()
}

// encoded reads the encodings of DWARF.
type encoded struct {
	b   []byte
	err error
}

var errShort = errors.New("debug information ends too early")

func (r *encoded) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.err = nil, errShort
		return make([]byte, 8)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *encoded) u8() byte    { return r.take(1)[0] }
func (r *encoded) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *encoded) leb() (u uint64) {
	for shift := 0; ; shift += 7 {
		c := r.u8()
		u |= uint64(c&0x7f) << shift
		if c&0x80 == 0 || r.err != nil {
			return u
		}
	}
}

// lookup finds the location at pc in the list at an offset of .debug_loclists
// (DWARF 5, section 7.7.3). No location is no error.
func (o *oracle) lookup(cu *dwarf.Entry, off int64, pc uint64) ([]byte, error) {
	if off < 0 || off > int64(len(o.loclists)) {
		return nil, errShort
	}
	r := &encoded{b: o.loclists[off:]}
	base, _ := cu.Val(dwarf.AttrLowpc).(uint64)
	for r.err == nil {
		var low, high uint64
		switch kind := r.u8(); kind {
		case 0: // end of list
			return nil, r.err
		case 1: // base_addressx
			base = o.indexed(cu, r)
			continue
		case 6: // base_address
			base = r.u64()
			continue
		case 2: // startx_endx
			low, high = o.indexed(cu, r), o.indexed(cu, r)
		case 3: // startx_length
			low = o.indexed(cu, r)
			high = low + r.leb()
		case 4: // offset_pair
			low, high = base+r.leb(), base+r.leb()
		case 5: // default_location
			high = ^uint64(0)
		case 7: // start_end
			low, high = r.u64(), r.u64()
		case 8: // start_length
			low = r.u64()
			high = low + r.leb()
		default:
			return nil, fmt.Errorf("location list entry of kind %d", kind)
		}
		expr := r.take(int(r.leb()))
		if r.err == nil && low <= pc && pc < high {
			return expr, nil
		}
	}
	return nil, r.err
}

// indexed reads an index into .debug_addr and returns the address there.
func (o *oracle) indexed(cu *dwarf.Entry, r *encoded) uint64 {
	base, _ := cu.Val(dwarf.AttrAddrBase).(int64)
	at := base + int64(r.leb())*8
	if at < 0 || at+8 > int64(len(o.addr)) {
		r.err = errShort
		return 0
	}
	return binary.LittleEndian.Uint64(o.addr[at:])
}

// placeOf says where a location expression leads (DWARF 5, section 2.6), and how
// many bytes its pieces cover; 0 if it is one location for the whole.
func placeOf(expr []byte) (p placement, covered int64, err error) {
	r := &encoded{b: expr}
	counts := map[placement]int{}
	pieces, now := 0, nowhere
	for len(r.b) > 0 && r.err == nil {
		switch op := r.u8(); {
		case op == 0x03: // addr
			r.u64()
			now = memory
		case op == 0x9c: // call_frame_cfa
			now = memory
		case op == 0x91, op == 0x11, op == 0x23: // fbreg, consts, plus_uconst
			r.leb()
			now = memory
		case op == 0x22, op == 0x06: // plus, deref
		case 0x50 <= op && op <= 0x60: // reg0…reg16
			now = register
		case 0x61 <= op && op <= 0x6f: // reg17…reg31
			now = vector
		case op == 0x90: // regx
			if now = vector; r.leb() <= 16 {
				now = register
			}
		case op == 0x93: // piece
			covered += int64(r.leb())
			counts[now]++
			pieces, now = pieces+1, nowhere
		default:
			return nowhere, 0, fmt.Errorf("location expression % x: unknown operation %#x", expr, op)
		}
	}
	if pieces == 0 {
		return now, 0, r.err
	}
	switch pieces {
	case counts[memory]:
		now = memory
	case counts[register]:
		now = register
	case counts[nowhere]:
		now = nowhere
	case counts[memory] + counts[register]:
		now = mixed
	default:
		now = partly
	}
	return now, covered, r.err
}

// neverReturns names the runtime's functions that panic: what stands behind the
// call has nothing to do with it.
func neverReturns(fn string) bool {
	return fn == "runtime.gopanic" || strings.HasPrefix(fn, "runtime.panic") || strings.HasPrefix(fn, "runtime.goPanic")
}

// savesRegisters reports whether the function keeps the registers of the failing
// frame in its own. The frame of a signal has them too, but only until the
// thread's next signal; see TestSignalFrame.
func savesRegisters(fn string) bool { return strings.HasPrefix(fn, "runtime.panicBounds") }

// TestOracle checks that no variable is missing which the debug information
// places: everything in memory, and, where the runtime kept the registers of
// the failing frame, what was there as well.
func TestOracle(t *testing.T) {
	readable := func(v *variant) bool { return !v.stripped && !v.moved }
	forVariants(t, readable, func(t *testing.T, v *variant) {
		run := runShop(t, v)
		o := newOracle(t, run.binary)
		o.shared = v.name == "race"
		for i := range failures {
			f := &failures[i]
			t.Run(f.name, func(t *testing.T) {
				_, r := run.failure(t, f)
				g, err := r.Failing()
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				rep := &report{t: t}
				for i := range g.Frames {
					if fr := &g.Frames[i]; strings.HasPrefix(fr.Func, shopPath) {
						n += o.check(rep, f, g.Frames, i)
					}
				}
				if n < 5 {
					t.Errorf("only %d variables compared", n)
				}
				if o.doubted > 1 && !o.shared {
					t.Errorf("%d of %d variables are in memory and count as dead", o.doubted, n)
				}
				o.doubted = 0
			})
		}
	})
}

// check compares a frame with the debug information, and returns how many
// variables it has compared.
func (o *oracle) check(rep *report, f *failure, frames []dump.Frame, i int) int {
	rep.t.Helper()
	fr := &frames[i]
	callee := i - 1 // of the call into which the frame was inlined
	for callee >= 0 && frames[callee].PC == fr.PC {
		callee--
	}
	above := ""
	if callee >= 0 {
		above = frames[callee].Func
	}
	registers := savesRegisters(above)
	// PC is a return address, unless the instruction there faulted. The call is
	// in front of it; but what was in a register before the call is lost, while
	// a copy in memory is still good, and that is what counts behind it.
	in, at := fr.PC-1, fr.PC
	switch {
	case above == "runtime.sigpanic":
		in = fr.PC
	case neverReturns(above):
		at = in
	}
	functions, err := o.at(in, at)
	if err != nil {
		rep.mismatch("frame %s: %v", fr.Func, err)
		return 0
	}
	k := slices.IndexFunc(functions, func(fn function) bool { return plainFunc(fn.name) == plainFunc(fr.Func) })
	if k < 0 {
		rep.mismatch("frame %s: at its pc %#x the debug information has %+v", fr.Func, fr.PC, functions)
		return 0
	}
	var hidden []string
	for j := range f.frames {
		if sameFunc(fr.Func, f.frames[j].fn) {
			for _, fact := range facts(rep.t, f.frames[j].vars) {
				if fact.none {
					hidden = append(hidden, fact.name)
				}
			}
		}
	}
	n := 0
	for _, want := range functions[k].vars {
		name := strings.TrimPrefix(want.name, "&")
		if unnamed.MatchString(name) || slices.Contains(hidden, name) || want.line > fr.Line {
			continue
		}
		n++
		got := lastVar(fr, name)
		state := "not in the dump"
		if got != nil {
			state = got.StateName()
		}
		whole := got != nil && (got.State == dump.VarLive || got.State == dump.VarRecovered) && !lost(got.Value.Reason)
		if got != nil && got.State == dump.VarDead && !lost(got.Value.Reason) {
			// It is there, and says that its slot may be another value's by now: of two stores to it from
			// the same register (err, assigned to again) nobody knows whether both are its own.
			whole = true
			if want.place == memory {
				o.doubted++
			}
		}
		expected := want.place == memory || registers && (want.place == register || want.place == mixed)
		if expected && !whole {
			rep.mismatch("%-60s is %s, but %s in the dump", strings.TrimPrefix(fr.Func, shopPath)+": "+name, want.place, state)
		}
		if want.place == nowhere && got != nil && got.State == dump.VarLive {
			rep.mismatch("%-60s is nowhere, but live in the dump", strings.TrimPrefix(fr.Func, shopPath)+": "+name)
		}
		rep.t.Logf("%-60s is %s, %s in the dump", strings.TrimPrefix(fr.Func, shopPath)+": "+name, want.place, state)
	}
	return n
}

// TestSignalFrame checks that registers are had from the frame of a signal. One
// that comes in between takes them away, so it tries more than once.
func TestSignalFrame(t *testing.T) {
	checkout := buildCheckout(t, variantNamed(t, "default"))
	var states []string
	for range 5 {
		dir := t.TempDir()
		got := execute(t, runOptions{env: unhurried}, checkout, "-scenario", "nil-deref", "-dir", dir)
		lines, _ := parseLines(got.stdout)
		if len(lines) != 1 {
			t.Fatalf("exit code %d:\n%s%s", got.exit, got.stdout, got.stderr)
		}
		r := openDump(t, lines[0].place)
		g, err := r.Failing()
		if err != nil {
			t.Fatal(err)
		}
		card := lastVar(&g.Frames[r.Header().Failing.Frame], "card")
		if card == nil {
			t.Fatal("no variable card")
		}
		if card.State == dump.VarRecovered {
			return
		}
		states = append(states, card.StateName())
	}
	t.Errorf("card, which is in a register, was never recovered: %v", states)
}
