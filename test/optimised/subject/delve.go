//go:build delve

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"go/constant"
	"os"
	"reflect"
	"runtime"
	"strconv"

	"github.com/go-delve/delve/pkg/proc"
)

// delve is Delve looking at the process that it runs in: it gets a process that has no
// threads and refuses to run, and whose memory is read through /proc/self/mem. What it
// looks at is parked.
type delve struct{ target *proc.Target }

func startWitness() {
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		fatal(err)
	}
	p := &process{info: proc.NewBinaryInfo(runtime.GOOS, runtime.GOARCH), mem: &memory{mem}, breakpoints: proc.NewBreakpointMap()}
	group, add := proc.NewGroup(p, proc.NewTargetGroupConfig{})
	t, err := add(p, os.Getpid(), &thread{p: p}, "/proc/self/exe", proc.StopAttached, "")
	if err != nil {
		fatal(fmt.Errorf("delve: %w", err))
	}
	group.Selected = t
	witness = &delve{t}
}

func (d *delve) account(goid int64) (a Account) {
	d.target.ClearCaches()
	g, err := proc.FindGoroutine(d.target, goid)
	if err != nil || g == nil {
		return Account{Err: fmt.Sprint("no goroutine: ", err)}
	}
	stack, err := proc.GoroutineStacktrace(d.target, g, 200, 0)
	if err != nil {
		return Account{Err: err.Error()}
	}
	for i := range stack {
		s := &stack[i]
		f := Frame{Line: s.Call.Line}
		if s.Call.Fn != nil {
			f.Func = s.Call.Fn.Name
			scope := proc.FrameToScope(d.target, d.target.Memory(), g, 0, stack[i:]...)
			vars, err := scope.Locals(0, "")
			if err == nil {
				for _, v := range vars {
					f.Vars = append(f.Vars, Var{Name: v.Name, Decl: int(v.DeclLine), Value: delveValue(v)})
				}
			}
		}
		a.Frames = append(a.Frames, f)
	}
	return a
}

// delveValue loads a variable as a debugger's user has it shown. Delve believes whatever length it finds.
func delveValue(v *proc.Variable) (n *Node) {
	defer func() {
		if p := recover(); p != nil {
			n = &Node{Why: fmt.Sprint("delve panics: ", p)}
		}
	}()
	if v.Kind == reflect.Slice && v.Len > 1<<20 {
		return &Node{Why: "unbelievable length"}
	}
	loadValue(v, proc.LoadConfig{FollowPointers: true, MaxVariableRecurse: maxDepth, MaxStringLen: maxString, MaxArrayValues: maxElems, MaxStructFields: -1})
	return delveNode(v, maxDepth)
}

func delveNode(v *proc.Variable, depth int) *Node {
	n := &Node{}
	if v.Unreadable != nil {
		return &Node{Why: v.Unreadable.Error()}
	}
	kid := func(v *proc.Variable) { n.Kids = append(n.Kids, *delveNode(v, depth-1)) }
	switch v.Kind {
	case reflect.Bool:
		n.K = "bool"
		if v.Value == nil {
			return &Node{Why: "not loaded"}
		}
		n.T = strconv.FormatBool(constant.BoolVal(v.Value))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n.K = "num"
		if v.Kind == reflect.Uintptr {
			n.K = "uintptr"
		}
		if v.Value == nil {
			return &Node{Why: "not loaded"}
		}
		n.T = v.Value.ExactString()
	case reflect.Float32, reflect.Float64:
		n.K = "float"
		if v.Value == nil {
			return &Node{Why: "not loaded"}
		}
		f, _ := constant.Float64Val(v.Value)
		bits := 64
		if v.Kind == reflect.Float32 {
			bits = 32
		}
		n.T = strconv.FormatFloat(f, 'g', -1, bits)
	case reflect.String:
		n.K, n.N = "string", v.Len
		if v.Value == nil {
			n.Cut = true
			return n
		}
		n.T = constant.StringVal(v.Value)
	case reflect.Func:
		n.K, n.Nil = "func", v.Base == 0
	case reflect.UnsafePointer:
		n.K, n.Nil = "unsafe", len(v.Children) == 1 && v.Children[0].Addr == 0
	case reflect.Interface:
		n.K = "interface"
		if len(v.Children) != 1 {
			n.Cut = true
			return n
		}
		c := &v.Children[0]
		if c.Addr == 0 && c.Kind == reflect.Invalid {
			n.Nil = true
			return n
		}
		n.T = c.TypeString()
		if v.Children[0].OnlyAddr || depth <= 0 {
			n.Cut = true
			return n
		}
		kid(c)
	case reflect.Struct:
		n.K = "struct"
		if depth <= 0 || v.TypeString() == "sync.Pool" || v.TypeString() == "internal/abi.Type" || int64(len(v.Children)) != v.Len {
			n.Cut = true
			return n
		}
		for i := range v.Children {
			kid(&v.Children[i])
		}
	case reflect.Array, reflect.Slice:
		n.K, n.N = "array", v.Len
		if v.Kind == reflect.Slice {
			n.K, n.Nil = "slice", v.Base == 0
		}
		if depth <= 0 {
			n.Cut = true
			return n
		}
		for i := range v.Children {
			kid(&v.Children[i])
		}
		n.Cut = int64(len(n.Kids)) < n.N
	case reflect.Pointer:
		n.K = "ptr"
		if len(v.Children) != 1 {
			n.Cut = true
			return n
		}
		n.Nil = v.Children[0].Addr == 0
		if n.Nil || v.Children[0].OnlyAddr || depth <= 0 {
			n.Cut = !n.Nil
			return n
		}
		kid(&v.Children[0])
	case reflect.Map:
		n.K, n.N, n.Nil = "map", v.Len, v.Base == 0
		if depth <= 0 || int64(len(v.Children)) != 2*v.Len {
			n.Cut = !n.Nil
			return n
		}
		for i := range v.Children {
			kid(&v.Children[i])
		}
		n.sortEntries()
	case reflect.Chan:
		n.K, n.Nil = "chan", v.Base == 0
		n.Cut = !n.Nil
	case reflect.Complex64, reflect.Complex128:
		n.K = "complex"
		if v.Value == nil {
			return &Node{Why: "not loaded"}
		}
		re, _ := constant.Float64Val(constant.Real(v.Value))
		im, _ := constant.Float64Val(constant.Imag(v.Value))
		n.T = strconv.FormatFloat(re, 'g', -1, 64) + " " + strconv.FormatFloat(im, 'g', -1, 64)
	default:
		return &Node{Why: "kind " + v.Kind.String()}
	}
	return n
}

// process is this process, as a Delve back end. What of the nil interface is not overridden is
// for controlling a process.
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
