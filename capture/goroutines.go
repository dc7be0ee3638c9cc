package capture

import (
	"encoding/binary"
	"runtime"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// parked is a goroutine other than the failing one, with a copy of its stack if
// it stood still while that was made.
type parked struct {
	id, parent int64
	status     uint32
	waitReason uint8
	goPC       uint64
	startPC    uint64
	pc, sp, bp uint64
	hi         uint64
	labels     uint64
	stack      region
	why        string // why there is no stack
	missing    []dump.Missing
	torn       bool
}

// Goroutine states (runtime/runtime2.go).
const (
	gIdle      = 0
	gRunnable  = 1
	gRunning   = 2
	gSyscall   = 3
	gWaiting   = 4
	gDead      = 6
	gCopystack = 8
	gPreempted = 9
	gLeaked    = 10
	gDeadExtra = 11
	gScan      = 0x1000
)

// maxStack is how much of one stack is copied.
const maxStack = 1 << 20

// copyGoroutines copies the state and the stack of all goroutines but own. It
// stops nobody: each one's scheduler state is read, its stack copied, and the state
// read again; the copy counts only if nothing moved. A runtime.g is never freed.
func copyGoroutines(mem Memory, l *layout, allgs, own uint64, maxN int, a *arena, maxBytes int64, end deadline) (out []parked, left int) {
	var h [16]byte
	if mem.ReadAt(h[:], allgs) != nil {
		return nil, 0
	}
	ptr, n := word(h[:], 0), word(h[:], 8)
	if n > 1<<24 {
		return nil, 0
	}
	// The list is read a part at a time: its length is nothing to allocate by.
	var list [8 * 64]byte
	var m meter
	m.start(end)
	for i := range int(n) {
		used := a.used
		if len(out) >= maxN || used > maxBytes || m.tick(8*costRead) {
			return out, int(n) - i
		}
		if i%64 == 0 && mem.ReadAt(list[:8*min(64, n-uint64(i))], ptr+8*uint64(i)) != nil {
			return out, int(n) - i
		}
		gp := word(list[:], 8*(i%64))
		if gp == own || gp == 0 {
			continue
		}
		for try := range 4 {
			p, moved := copyGoroutine(mem, l, gp, a)
			// What was read while the goroutine moved may contradict itself; the last try
			// tells.
			if try < 3 && (moved || p != nil && p.torn) {
				continue
			}
			if p != nil {
				out = append(out, *p)
			}
			break
		}
		m.tick(int(a.used - used))
	}
	return out, 0
}

// copyGoroutine copies one goroutine; moved says that it ran meanwhile. It
// returns nil for one that is not alive.
func copyGoroutine(mem Memory, l *layout, gp uint64, a *arena) (_ *parked, moved bool) {
	var g, again [gSize]byte
	if mem.ReadAt(g[:], gp) != nil {
		return nil, false
	}
	le := binary.LittleEndian
	p := &parked{
		status: le.Uint32(g[l.gStatus:]) &^ gScan, id: int64(word(g[:], int(l.gID))), parent: int64(word(g[:], int(l.gParentID))),
		waitReason: g[l.gWaitReason],
		goPC:       word(g[:], int(l.gGoPC)), startPC: word(g[:], int(l.gStartPC)), hi: word(g[:], int(l.gStack+8)), labels: word(g[:], int(l.gLabels)),
	}
	switch p.status {
	case gIdle, gDead, gDeadExtra:
		return nil, false
	case gRunning:
		p.why = "it was running on another thread"
		return p, false
	case gSyscall:
		p.pc, p.sp, p.bp = word(g[:], int(l.gSyscallPC)), word(g[:], int(l.gSyscallSP)), word(g[:], int(l.gSyscallBP))
	case gCopystack:
		return nil, true
	default:
		s := int(l.gSched)
		p.pc, p.sp, p.bp = word(g[:], s+int(l.bufPC)), word(g[:], s+int(l.bufSP)), word(g[:], s+int(l.bufBP))
	}
	lo := word(g[:], int(l.gStack))
	if p.sp < lo || p.sp > p.hi || p.hi-p.sp > 1<<30 {
		p.why, p.torn = "it was running when it was looked at", true
		return p, false
	}
	b := a.alloc(int(min(p.hi-p.sp, maxStack)))
	if mem.ReadAt(b, p.sp) != nil || mem.ReadAt(again[:], gp) != nil {
		p.why = "its stack could not be read"
		return p, false
	}
	same := func(off uint64, n int) bool { return string(g[off:off+uint64(n)]) == string(again[off:off+uint64(n)]) }
	if le.Uint32(g[l.gStatus:])&^gScan != le.Uint32(again[l.gStatus:])&^gScan || !same(l.gStack, 16) || !same(l.gSched, 48) || !same(l.gSyscallSP, 16) {
		return nil, true
	}
	p.stack = region{p.sp, b}
	return p, false
}

// findAllgs finds runtime.allgs without a symbol table: among the package variables, the slice
// whose elements point at goroutines, the calling one among them.
func findAllgs(m module, l *layout) (at uint64) {
	own := uint64(getg())
	if m.data == 0 || m.enoptrbss <= m.data || m.enoptrbss-m.data > 1<<30 || own == 0 {
		return 0
	}
	guarded(func() {
		const chunk = 1 << 20
		vars := make([]byte, chunk+16) // what crosses a chunk's end is seen whole
		r := reader{Memory: self{}}
		for low := m.data; low+24 <= m.enoptrbss; low += chunk {
			b := vars[:min(chunk+16, (m.enoptrbss-low)&^7)]
			if (self{}).ReadAt(b, low) != nil {
				return
			}
			for off := 0; off+24 <= len(b); off += 8 {
				ptr, n, c := word(b, off), word(b, off+8), word(b, off+16)
				if ptr < minAddress || ptr%8 != 0 || n == 0 || n > c || c > 1<<24 {
					continue
				}
				if isGoroutines(&r, l, ptr, n, own) {
					at = low + uint64(off)
					return
				}
			}
		}
	})
	return at
}

// isGoroutines reports whether there are n pointers to goroutines at ptr, own
// among them, all with IDs of their own.
func isGoroutines(r *reader, l *layout, ptr, n, own uint64) bool {
	found := false
	seen := map[uint64]bool{}
	for i := range n {
		g, err := r.word(ptr + 8*i)
		if err != nil || g < minAddress || g%8 != 0 {
			return false
		}
		found = found || g == own
		id, err := r.word(g + l.gID)
		if err != nil || id > 1<<48 || id != 0 && seen[id] {
			return false
		}
		if id != 0 && len(seen) < 1<<16 { // so many that are different are no accident
			seen[id] = true
		}
	}
	return found
}

// statusName is the state as tracebacks print it (runtime/traceback.go).
func statusName(s uint32) string {
	switch s {
	case gIdle:
		return "idle"
	case gRunnable:
		return "runnable"
	case gRunning:
		return "running"
	case gSyscall:
		return "syscall"
	case gWaiting:
		return "waiting"
	case gDead:
		return "dead"
	case gCopystack:
		return "copystack"
	case gPreempted:
		return "preempted"
	case gLeaked:
		return "leaked"
	}
	return "unknown"
}

// framePointers walks a copied stack by its frame pointers: less exact than the
// debug info, but there without it.
func framePointers(stack *region, pc, bp uint64, maxN int) []uint64 {
	pcs := []uint64{pc}
	for len(pcs) < maxN && stack.contains(bp, 16) {
		at := int(bp - stack.lo)
		next, ret := word(stack.data, at), word(stack.data, at+8)
		if ret == 0 {
			break
		}
		pcs = append(pcs, ret)
		if next <= bp {
			break
		}
		bp = next
	}
	return pcs
}

// createdBy is the go statement that started a goroutine.
func createdBy(goPC uint64) dump.Location {
	if goPC == 0 {
		return dump.Location{}
	}
	fs := runtime.CallersFrames([]uintptr{uintptr(goPC)})
	f, _ := fs.Next()
	return dump.Location{Func: f.Function, File: f.File, Line: f.Line}
}

// isSystem reports whether a goroutine is one of the runtime's own.
func isSystem(startPC uint64) bool {
	f := runtime.FuncForPC(uintptr(startPC))
	if f == nil {
		return false
	}
	n := f.Name()
	return strings.HasPrefix(n, "runtime.") && n != "runtime.main" && n != "runtime.handleAsyncEvent"
}
