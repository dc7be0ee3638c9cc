package capture

import (
	"encoding/binary"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// parked is a goroutine other than the failing one, with a copy of its stack if
// it stood still while that was made.
type parked struct {
	id, parent int64
	at         uint64 // its runtime.g
	status     uint32
	waitReason uint8
	locked     bool // to its thread
	goPC       uint64
	startPC    uint64
	pc, sp, bp uint64
	// outerBP is the caller's frame pointer if its place is below sp (arm64), else 0.
	outerBP uint64
	hi      uint64
	labels  uint64
	since   int64 // runtime.nanotime when the runtime first saw it wait; 0: unknown
	until   int64 // … when its sleep ends; 0: it does not sleep
	stack   region
	waits   []waitOn
	xregs   []byte // its registers of SSE while it is preempted, nil if it is not
	why     string // why there is no stack
	missing []dump.Missing
	torn    bool
	seq     uint8     // runtime.g.trackingSeq
	waiting uint64    // runtime.g.waiting
	m       uint64    // its thread, while it makes a system call
	tick    [3]uint64 // what changes with each system call
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

// copier copies the state and the stacks of the other goroutines. It stops nobody: each
// one's scheduler state is read, its stack copied, and the state read again; the
// copy counts only if the goroutine has not run in between. A runtime.g is never freed.
type copier struct {
	tried    int64 // bytes of stacks that were copied, also those that were given up
	mem      Memory
	l        *layout
	own      uint64 // the failing goroutine's runtime.g, which is left out
	ownID    int64
	arena    *arena
	maxBytes int64
	meter    meter

	g, again [gSize]byte
	m, m2    [3]uint64
	small    reader
	fence    atomic.Int32
}

// copyAll copies up to maxN goroutines; left is how many there were besides. If there are
// more than that, those that the failing one has started or was started by, and those that do not
// wait, come first.
func (c *copier) copyAll(allgs uint64, maxN int) (out []parked, left int) {
	c.small.Memory = c.mem
	var h [16]byte
	if c.mem.ReadAt(h[:], allgs) != nil {
		return nil, 0
	}
	ptr, n := word(h[:], 0), word(h[:], 8)
	if n > 1<<24 {
		return nil, 0
	}
	order, left := c.order(ptr, n, maxN)
	out = make([]parked, 0, len(order))
	for i, gp := range order {
		used := c.arena.used
		if used > c.maxBytes || c.tried > c.maxBytes+c.maxBytes/2 || c.meter.tick(8*costRead) {
			return out, len(order) - i + left
		}
		for try := range 4 {
			p, moved := c.copy(gp)
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
	}
	return out, left
}

// order lists up to maxN of the n goroutines at ptr that are alive. Only if there are more than
// maxN it looks at them more closely. left is how many there are besides.
func (c *copier) order(ptr, n uint64, maxN int) (near []uint64, left int) {
	parent := int64(0)
	if g, err := c.small.word(c.own + c.l.gParentID); err == nil && c.own != 0 {
		parent = int64(g)
	}
	var rest []uint64
	// The list is read a part at a time: its length is nothing to allocate by.
	var list [8 * 64]byte
	for i := range n {
		if i%64 == 0 && c.mem.ReadAt(list[:8*min(64, n-i)], ptr+8*i) != nil || c.meter.tick(2*costRead) {
			left += int(n - i)
			break
		}
		gp := word(list[:], int(8*(i%64)))
		if gp == c.own || gp == 0 {
			continue
		}
		b, err := c.small.bytes(gp+c.l.gStatus, 4)
		if err != nil {
			continue
		}
		status := binary.LittleEndian.Uint32(b) &^ gScan
		if status == gIdle || status == gDead || status == gDeadExtra {
			continue
		}
		is := n <= uint64(maxN) || status != gWaiting
		if !is {
			id, err1 := c.small.word(gp + c.l.gID)
			by, err2 := c.small.word(gp + c.l.gParentID)
			is = err1 == nil && err2 == nil && c.ownID != 0 && (int64(id) == parent || int64(by) == c.ownID)
		}
		switch {
		case is && len(near) < maxN:
			near = append(near, gp)
		case !is && len(rest) < maxN:
			rest = append(rest, gp)
		default:
			left++
		}
	}
	n = uint64(min(len(rest), maxN-len(near)))
	return append(near, rest[:n]...), left + len(rest) - int(n)
}

// copy copies one goroutine; moved says that it ran meanwhile. It returns nil for one
// that is not alive.
func (c *copier) copy(gp uint64) (_ *parked, moved bool) {
	l := c.l
	g, again := c.g[:], c.again[:]
	if c.mem.ReadAt(g, gp) != nil {
		return nil, false
	}
	le := binary.LittleEndian
	p := &parked{
		at: gp, status: le.Uint32(g[l.gStatus:]) &^ gScan, id: int64(word(g, int(l.gID))), parent: int64(word(g, int(l.gParentID))),
		waitReason: g[l.gWaitReason], locked: word(g, int(l.gLockedM)) != 0, since: int64(word(g, int(l.gWaitSince))),
		goPC: word(g, int(l.gGoPC)), startPC: word(g, int(l.gStartPC)), hi: word(g, int(l.gStack+8)), labels: word(g, int(l.gLabels)),
	}
	m := word(g, int(l.gM))
	switch p.status {
	case gIdle, gDead, gDeadExtra:
		return nil, false
	case gRunning:
		p.why, p.since = "it was running on another thread", 0
		return p, false
	case gSyscall:
		p.pc, p.sp, p.bp = word(g, int(l.gSyscallPC)), word(g, int(l.gSyscallSP)), word(g, int(l.gSyscallBP))
		if !c.syscallTick(m, &c.m) {
			return c.ran(p)
		}
	case gCopystack:
		return c.ran(p)
	default:
		s := int(l.gSched)
		p.pc, p.sp, p.bp = word(g, s+int(l.bufPC)), word(g, s+int(l.bufSP)), word(g, s+int(l.bufBP))
	}
	lo := word(g, int(l.gStack))
	if p.sp < lo || p.sp > p.hi || p.hi-p.sp > 1<<30 {
		p.why, p.torn = "it was running when it was looked at", true
		return p, false
	}
	free := c.arena.mark()
	b := c.arena.alloc(int(min(p.hi-p.sp, maxStack)))
	c.tried += int64(len(b)) // what is given up was work, and garbage, all the same
	c.meter.tick(len(b))
	// Loads may be carried out in another order than they are written down.
	c.fence.Add(1)
	if c.mem.ReadAt(b, p.sp) != nil {
		c.arena.reset(free)
		p.why = "its stack could not be read"
		return p, false
	}
	if p.bp+8 == p.sp {
		p.outerBP, _ = c.small.word(p.bp)
	}
	var xregs []byte
	if at := word(g, int(l.gXRegs)); at != 0 && xRegsBytes != 0 {
		if x := c.arena.alloc(xRegsBytes); c.mem.ReadAt(x, at) == nil {
			xregs = x
		}
	}
	asleep := p.status == gWaiting || p.status == gLeaked
	if asleep {
		if !c.readWaits(p, word(g, int(l.gWaiting))) {
			c.arena.reset(free)
			return c.ran(p)
		}
		p.until = int64(word(g, int(l.gSleepWhen)))
	}
	c.fence.Add(1)
	if c.mem.ReadAt(again, gp) != nil {
		c.arena.reset(free)
		p.why = "its stack could not be read"
		return p, false
	}
	// The state that counts is the one before the counter: if it was not running, and
	// has not stopped running since the first look, it has not run at all.
	c.fence.Add(1)
	seq, err := c.small.bytes(gp+l.gTrackingSeq, 1)
	same := func(off uint64, n int) bool { return string(g[off:off+uint64(n)]) == string(again[off:off+uint64(n)]) }
	if err != nil || seq[0] != g[l.gTrackingSeq] || le.Uint32(g[l.gStatus:])&^gScan != le.Uint32(again[l.gStatus:])&^gScan ||
		!same(l.gID, 8) || !same(l.gStack, 16) || !same(l.gSched, 48) || !same(l.gSyscallSP, 16) || !same(l.gWaiting, 8) || !same(l.gXRegs, 8) || !same(l.gM, 8) {
		c.arena.reset(free)
		return c.ran(p)
	}
	// A goroutine that returns from a system call and makes another one does not count
	// as having stopped to run; its thread and processor count these.
	if p.status == gSyscall && (!c.syscallTick(m, &c.m2) || c.m != c.m2) {
		c.arena.reset(free)
		return c.ran(p)
	}
	p.stack, p.seq, p.xregs = region{p.sp, b}, seq[0], xregs
	p.waiting, p.m, p.tick = word(g, int(l.gWaiting)), m, c.m
	return p, false
}

// ran is what there is to say of a goroutine that ran while it was copied: if it always
// does, its state only.
func (c *copier) ran(p *parked) (*parked, bool) {
	p.why, p.waits, p.since, p.until = "it ran while it was copied", nil, 0, 0
	return p, true
}

// syscallTick reads what changes whenever a thread makes a system call: which processor it
// gave up for it, and how many that one has seen.
func (c *copier) syscallTick(m uint64, out *[3]uint64) bool {
	oldP, err1 := c.small.word(m + c.l.mOldP)
	p, err2 := c.small.word(m + c.l.mP)
	tick, err3 := c.small.bytes(m+c.l.mSyscallTick, 4)
	if err1 != nil || err2 != nil || err3 != nil {
		return false
	}
	*out = [3]uint64{oldP, p, uint64(binary.LittleEndian.Uint32(tick))}
	return true
}

// still reports whether the goroutine has not run since it was copied.
func (p *parked) still(r *reader, l *layout) bool {
	b, err := r.bytes(p.at+l.gStatus, 4)
	if err != nil || binary.LittleEndian.Uint32(b)&^gScan != p.status {
		return false
	}
	id, err := r.word(p.at + l.gID)
	if err != nil || int64(id) != p.id {
		return false
	}
	seq, err := r.bytes(p.at+l.gTrackingSeq, 1)
	if err != nil || seq[0] != p.seq {
		return false
	}
	// The counter has eight bits only.
	same := func(at, want uint64) bool {
		v, err := r.word(at)
		return err == nil && v == want
	}
	if p.status == gSyscall {
		c := copier{l: l, small: reader{Memory: r.Memory}}
		var tick [3]uint64
		if !same(p.at+l.gSyscallSP, p.sp) || !same(p.at+l.gSyscallPC, p.pc) || !c.syscallTick(p.m, &tick) || tick != p.tick {
			return false
		}
	} else if s := p.at + l.gSched; !same(s+l.bufSP, p.sp) || !same(s+l.bufPC, p.pc) || !same(p.at+l.gWaiting, p.waiting) {
		return false
	}
	if p.since != 0 && p.status != gSyscall && !same(p.at+l.gWaitSince, uint64(p.since)) {
		return false
	}
	n := min(len(p.stack.data), stillBytes)
	b, err = (&reader{Memory: self{}}).bytes(p.sp, n)
	return err == nil && string(b) == string(p.stack.data[:n])
}

// stillBytes is how much of a stack is compared with its copy.
const stillBytes = 64

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
func framePointers(p *parked, maxN int) []uint64 {
	stack, bp := &p.stack, p.bp
	pcs := []uint64{p.pc}
	if p.outerBP != 0 && stack.contains(bp+8, 8) {
		pcs = append(pcs, word(stack.data, int(bp+8-stack.lo)))
		bp = p.outerBP
	}
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
