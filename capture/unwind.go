package capture

import (
	"runtime"
	"strings"
	"unsafe"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// frame is one physical frame of a stack: a function with a frame of its own.
type frame struct {
	pc    uint64 // return address into the function, or where it faulted if exact
	exact bool
	sp    uint64
	cfa   uint64
	fn    *function // nil if the debug info does not know it
	// skipped: there was no time to look it up.
	skipped bool
	regs    *registers
	// callee is the function that the frame calls, as far as it is known: the one
	// of the next inner frame; low and high bound what it was passed on the stack.
	callee        string
	argLow, argHi uint64
	returnPC      uint64    // where the frame returns to
	inner         *frame    // the frame that this one calls, nil if not known
	regsDone      bool      // regs holds all that can be had
	live          *liveness // nil: not looked up yet, or unknown
	liveDone      bool
}

// returns reports whether the call that the frame is in may return, so that the
// state that the debug info gives for the return address is one that the frame
// will be in.
func (f *frame) returns() bool {
	if f.exact || f.callee == "" {
		return false
	}
	return !neverReturns(f.callee)
}

// neverReturns reports whether a function is one of the runtime's that never return to
// where they were called.
func neverReturns(fn string) bool {
	n, ok := strings.CutPrefix(fn, "runtime.")
	if !ok {
		return false
	}
	for _, p := range []string{"panic", "gopanic", "goPanic", "Goexit", "throw", "fatal", "sigpanic", "goexit"} {
		if strings.HasPrefix(n, p) {
			return !strings.HasPrefix(n, "panicCheck")
		}
	}
	return n == "block"
}

// lookup returns the address to look the frame's lines, scopes and variables up
// at: the call instruction, for a return address is already behind it and may
// be where a variable's location changes, or the faulting instruction itself.
func (f *frame) lookup() uint64 {
	if f.exact {
		return f.pc
	}
	return f.pc - 1
}

// DWARF numbers of the stack pointer.
func spReg() uint64 {
	if runtime.GOARCH == "arm64" {
		return 31
	}
	return 7
}

// unwinder walks a copied stack by the debug info's frame table.
type unwinder struct {
	di     *debugInfo
	stack  *region
	mem    *reader // with the copied stack laid over it
	hi     uint64  // end of the stack
	max    int     // frames
	layout *layout
	// end is until when functions are looked up in the debug info; the stack is followed anyway.
	end deadline
	// steps keeps what is the same for every frame at a pc, for many stacks; nil: nothing
	// is kept.
	steps map[stepKey]*step
	buf   []frame // to be used for the frames
}

type stepKey struct {
	pc    uint64
	exact bool
}

// step is what the debug info says of a frame at a pc.
type step struct {
	row      frameRow
	ok       bool
	skipped  bool // there was no time to look the function up
	fn       *function
	name     string // the frame's function
	argBytes uint64
}

func (u *unwinder) step(f *frame) *step {
	k := stepKey{f.pc, f.exact}
	if s := u.steps[k]; s != nil {
		return s
	}
	s := &step{}
	di := u.di.imageAt(f.lookup())
	if di != nil {
		s.row, s.ok = di.frames.at(f.lookup() - di.bias)
	}
	if !s.ok && plugins.at(f.lookup()) != nil { // a plugin without debug info
		s.row, s.ok = runtimeRow(u.mem, u.layout, f.lookup())
	}
	if s.ok {
		if s.skipped = u.end.passed(); !s.skipped && di != nil {
			s.fn = di.functionAt(f.lookup() - di.bias)
		}
		if s.fn != nil {
			s.name = s.fn.name
		} else {
			s.name = f.innermost().name
		}
		s.argBytes = argBytes(f.lookup())
	}
	if u.steps != nil && !s.skipped {
		u.steps[k] = s
	}
	return s
}

// unwind returns the frames from the function that pc is in outwards. sp is the
// stack pointer in that function; regs are its registers, as far as known.
// truncated says that there was more than could be followed.
func (u *unwinder) unwind(pc, sp uint64, exact bool) (frames []frame, truncated bool) {
	frames, truncated = u.walk(pc, sp, exact)
	for i := 1; i < len(frames); i++ {
		frames[i].inner = &frames[i-1]
	}
	return frames, truncated
}

func (u *unwinder) walk(pc, sp uint64, exact bool) (frames []frame, truncated bool) {
	frames = u.buf[:0]
	var inner *step
	for len(frames) < u.max {
		f := frame{pc: pc, exact: exact, sp: sp}
		st := u.step(&f)
		row := &st.row
		if !st.ok || row.cfaReg != spReg() {
			return frames, true
		}
		f.fn, f.skipped = st.fn, st.skipped
		f.cfa = sp + uint64(row.cfaOff)
		if k := len(frames); k > 0 {
			in := &frames[k-1]
			f.callee, f.argLow, f.argHi = inner.name, in.cfa, in.cfa+minFrame()+inner.argBytes
		}
		inner = st
		frames = append(frames, f)
		name := st.name
		if isStackBottom(name) {
			return frames, false
		}
		if f.cfa < sp || f.cfa > u.hi {
			return frames, true
		}
		var ret uint64
		if row.raReg {
			return frames, true // only a leaf keeps it in a register, and a leaf has called nobody
		}
		ret, err := u.mem.word(f.cfa + uint64(row.raOff))
		if err != nil || ret == 0 {
			return frames, true
		}
		exact = isInjected(name)
		frames[len(frames)-1].returnPC = ret
		pc, sp = ret, f.cfa
	}
	return frames, true
}

// minFrame is what lies between a frame's CFA and its arguments
// (internal/runtime/sys.MinFrameSize): on arm64 the place of the return address.
func minFrame() uint64 {
	if spReg() == 7 {
		return 0
	}
	return 8
}

// argBytes returns how many bytes of its caller's frame a function uses for
// arguments, results and the spilling of those that came in registers:
// runtime._func.args, at offset 8; unknown for some of the assembler's.
func argBytes(pc uint64) uint64 {
	fi := findfunc(uintptr(pc))
	if fi.fn == nil {
		return 0
	}
	n := *(*int32)(unsafe.Add(fi.fn, 8))
	return uint64(max(n, 0))
}

// asyncPreempt is what a goroutine calls that is preempted where it just is.
const asyncPreempt = "runtime.asyncPreempt"

// isInjected reports whether the runtime makes a function look called at an
// instruction that is no call (isInjectedCall in runtime/traceback.go).
func isInjected(name string) bool {
	return name == "runtime.sigpanic" || name == asyncPreempt || name == "runtime.debugCallV2"
}

// atEntry reports whether a pc is a function's first instruction: a goroutine that
// has not run yet stands there, and has called nobody.
func atEntry(pc uint64) bool {
	f := runtime.FuncForPC(uintptr(pc))
	return f != nil && uint64(f.Entry()) == pc
}

// isStackBottom reports whether nothing called the function.
func isStackBottom(name string) bool {
	switch name {
	case "runtime.goexit", "runtime.mstart", "runtime.rt0_go", "runtime.mcall", "runtime.morestack":
		return true
	}
	return false
}

// position is a place in the source.
type position struct {
	name string // function
	file string
	line int
	decl int // line of the function, 0 if unknown
}

// innermost returns what the runtime knows of the frame's innermost call.
func (f *frame) innermost() position {
	fs := runtime.CallersFrames([]uintptr{uintptr(f.lookup() + 1)})
	fr, _ := fs.Next()
	return position{name: fr.Function, file: fr.File, line: fr.Line}
}

// knownCall is a call that the runtime tells of.
type knownCall struct {
	position
	inlined bool
}

// known returns the frame's calls, the innermost first, without debug info.
func (f *frame) known() (calls []knownCall) {
	fs := runtime.CallersFrames([]uintptr{uintptr(f.lookup() + 1)})
	for {
		fr, more := fs.Next()
		calls = append(calls, knownCall{position{name: fr.Function, file: fr.File, line: fr.Line}, fr.Func == nil})
		if !more {
			return calls
		}
	}
}

// why says why the frame has no variables, if time is the reason, or that it is a
// plugin's.
func (f *frame) why() []dump.Missing {
	if f.skipped {
		return noTime()
	}
	p := plugins.at(f.lookup())
	if p == nil {
		return nil
	}
	if why := p.missing(); why != "" {
		return []dump.Missing{{What: "variables", Why: "it is in the plugin " + p.name + ": " + why, Hint: "the plugin's file must have debug info, and lie where it was loaded from"}}
	}
	return nil
}

func noTime() []dump.Missing {
	return []dump.Missing{{What: "variables", Why: "the time budget was spent", Hint: "raise capture.pause or capture.timeout"}}
}

// positions returns where each call of calls (see function.callsAt) stands.
func (di *debugInfo) positions(f *frame, calls []call) []position {
	ps := make([]position, len(calls))
	p := f.innermost()
	for i, c := range calls {
		p.name = c.name
		p.decl = c.declLine
		ps[i] = p
		if c.inlined {
			p = position{line: c.callLine}
			if files := di.filesOf(f.fn.unit); c.callFile > 0 && c.callFile < len(files) {
				p.file = files[c.callFile]
			}
		}
	}
	return ps
}

// packageOf returns the import path of a function's package.
func packageOf(fn string) string {
	if i := strings.IndexByte(fn, '['); i >= 0 { // type arguments have paths of their own
		fn = fn[:i]
	}
	slash := strings.LastIndexByte(fn, '/')
	if dot := strings.IndexByte(fn[slash+1:], '.'); dot >= 0 {
		return strings.ReplaceAll(fn[:slash+1+dot], "%2e", ".")
	}
	return fn
}
