// Package witness has Delve read the process that it runs in: the goroutine that is
// asked about must be parked, and must stay so as long as it is looked at.
//
// Delve wants a process that it controls. It gets one that has no threads, refuses to
// run, and whose memory is read through /proc/self/mem, so that a bad address is an
// error and not a fault.
package witness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/go-delve/delve/pkg/proc"
)

// Witness is Delve looking at this process. It is not safe for concurrent use.
type Witness struct {
	target *proc.Target
	scopes []*proc.EvalScope // of the frames that Frames returned
}

// New loads the debug info of the running program into Delve.
func New() (*Witness, error) {
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil, err
	}
	p := &process{info: proc.NewBinaryInfo(runtime.GOOS, runtime.GOARCH), mem: &memory{mem}, breakpoints: proc.NewBreakpointMap()}
	group, add := proc.NewGroup(p, proc.NewTargetGroupConfig{})
	t, err := add(p, os.Getpid(), &thread{p: p}, "/proc/self/exe", proc.StopAttached, "")
	if err != nil {
		return nil, fmt.Errorf("delve: %w", err)
	}
	group.Selected = t
	return &Witness{target: t}, nil
}

// Frame is a call as Delve sees it.
type Frame struct {
	Func      string
	File      string
	Line      int
	PC        uint64
	Inlined   bool
	Optimized bool
	Range     bool // the body of a range-over-func loop
	Vars      []*proc.Variable
	Err       error // why there are no Vars
}

// Frames returns the calls of a parked goroutine with their variables, the innermost
// first. The variables' values are loaded by [Load].
func (w *Witness) Frames(goid int64, depth int) ([]Frame, error) {
	w.target.ClearCaches()
	g, err := proc.FindGoroutine(w.target, goid)
	if err != nil {
		return nil, err
	}
	if g == nil || g.Status != proc.Gwaiting {
		return nil, fmt.Errorf("goroutine %d is not parked", goid)
	}
	stack, err := proc.GoroutineStacktrace(w.target, g, depth, 0)
	if err != nil {
		return nil, err
	}
	var out []Frame
	for i := range stack {
		s := &stack[i]
		f := Frame{File: s.Call.File, Line: s.Call.Line, PC: s.Current.PC, Inlined: s.Inlined}
		if s.Call.Fn != nil {
			f.Func, f.Optimized, f.Range = s.Call.Fn.Name, s.Call.Fn.Optimized(), isRangeBody(s.Call.Fn.Name)
			f.Vars, f.Err = w.variables(g, stack[i:])
		}
		out = append(out, f)
	}
	return out, nil
}

// variables returns the variables of the first of the frames.
func (w *Witness) variables(g *proc.G, frames []proc.Stackframe) ([]*proc.Variable, error) {
	// For the body of a range-over-func loop Delve looks the enclosing function up on the
	// stack, from the goroutine's innermost frame on. So that must be the frame that is asked
	// about.
	at := *g
	at.PC, at.SP, at.BP = frames[0].Current.PC, frames[0].Regs.SP(), frames[0].Regs.BP()
	scope := proc.FrameToScope(w.target, w.target.Memory(), &at, 0, frames...)
	return scope.Locals(0, "")
}

// isRangeBody reports whether a function is the body of a range-over-func loop, as the
// compiler names it (cmd/compile/internal/rangefunc).
func isRangeBody(fn string) bool {
	i := strings.LastIndex(fn, "-range")
	return i >= 0 && strings.Trim(fn[i+len("-range"):], "0123456789") == ""
}

// process is this process, as a Delve back end. What of the nil interface is not overridden is
// for controlling a process, and would panic.
type process struct {
	proc.ProcessInternal
	info        *proc.BinaryInfo
	mem         *memory
	breakpoints proc.BreakpointMap
}

var errControl = errors.New("the process is only looked at")

func (p *process) BinInfo() *proc.BinaryInfo              { return p.info }
func (p *process) FindThread(int) (proc.Thread, bool)     { return nil, false }
func (p *process) ThreadList() []proc.Thread              { return nil }
func (p *process) Breakpoints() *proc.BreakpointMap       { return &p.breakpoints }
func (p *process) Memory() proc.MemoryReadWriter          { return p.mem }
func (p *process) Valid() (bool, error)                   { return true, nil }
func (p *process) SupportsBPF() bool                      { return false }
func (p *process) WriteBreakpoint(*proc.Breakpoint) error { return nil }
func (p *process) EraseBreakpoint(*proc.Breakpoint) error { return nil }
func (p *process) StepInstruction(int) error              { return errControl }
func (p *process) Detach(int, bool) error                 { return nil }
func (p *process) Close() error                           { return nil }
func (p *process) ContinueOnce(*proc.ContinueOnceContext) (proc.Thread, proc.StopReason, error) {
	return nil, proc.StopUnknown, errControl
}

// EntryPoint returns where the program starts, which says where it was loaded.
func (p *process) EntryPoint() (uint64, error) {
	const atEntry = 9 // elf.h
	b, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return 0, err
	}
	for ; len(b) >= 16; b = b[16:] {
		if binary.LittleEndian.Uint64(b) == atEntry {
			return binary.LittleEndian.Uint64(b[8:]), nil
		}
	}
	return 0, errors.New("no entry point in /proc/self/auxv")
}

// thread is a thread that nothing is known of: all that is looked at is parked.
type thread struct {
	proc.Thread
	p      *process
	common proc.CommonThread
}

func (t *thread) ThreadID() int                        { return 0 }
func (t *thread) Registers() (proc.Registers, error)   { return nil, errControl }
func (t *thread) BinInfo() *proc.BinaryInfo            { return t.p.info }
func (t *thread) ProcessMemory() proc.MemoryReadWriter { return t.p.mem }
func (t *thread) Common() *proc.CommonThread           { return &t.common }
func (t *thread) Breakpoint() *proc.BreakpointState    { return new(proc.BreakpointState) }

type memory struct{ f *os.File }

func (m *memory) ReadMemory(b []byte, addr uint64) (int, error) {
	if int64(addr) < 0 {
		return 0, fmt.Errorf("address %#x is none of this process", addr)
	}
	n, err := m.f.ReadAt(b, int64(addr))
	if err != nil {
		return n, fmt.Errorf("reading %d bytes at %#x: %w", len(b), addr, err)
	}
	return n, nil
}

func (m *memory) WriteMemory(uint64, []byte) (int, error) { return 0, errControl }
