package capture

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Snapshot is what phase one has copied. It belongs to one goroutine at a time.
type Snapshot struct {
	e       *Engine
	event   Event
	time    time.Time
	pause   time.Duration
	goid    int64
	pcs     []uintptr // the failing goroutine's calls, as runtime.Callers has them
	stack   region
	hi      uint64
	startPC uint64 // where copyStack was called from
	startSP uint64
	gsignal []byte // copy of the end of the thread's signal stack, from gsigLo on
	gsigLo  uint64
	lo      uint64 // where the goroutine's stack begins
	g       uint64
	sigPC   uint64
	// signal is what the goroutine knew of its last fault.
	signal    signalInfo
	hasSignal bool
	drop      int // how many panics lie between the newest and the one that failed

	infoWait bool // debug info was not loaded yet
	frames   []snapFrame
	values   []snapValue
	reason   []dump.ErrorInfo
	others   []parked
	left     int   // goroutines that were not looked at
	copied   int64 // runtime.nanotime when they were copied
	sweepgen uint32
	cycles   int // of the garbage collector since what failed began
	missing  []dump.Missing
	w        *walker
	depth    int
	failing  dump.Location
	traceID  dump.TraceID // of the span that a context in the frames leads to
	spanID   dump.SpanID
	reads    arena // variables
	stacks   arena // of the other goroutines
	globals  []globalValue
	// globalBudget is what package variables had, and have spent.
	globalBudget dump.Budget
	held         int64 // bytes that count as pending
}

// snapFrame is a call of the failing goroutine.
type snapFrame struct {
	position
	pc, sp, cfa uint64
	inlined     bool
	user        bool
	vars        []root
	missing     []dump.Missing
}

// snapValue is a value of the goroutine: a panic's, an error, a watch.
type snapValue struct {
	name string
	kind dump.VarKind
	t    *typ // dynamic type
	word uint64
}

var stackPool = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// errMemory is returned by Snapshot when those that are waiting to be encoded hold
// as much as they may.
var errMemory = errors.New("captures that are waiting to be written hold too much memory")

// errBusy is returned by Snapshot when another capture has been in phase one for
// longer than this one may wait.
var errBusy = errors.New("another capture is under way")

// Snapshot does phase one: it copies what there is to know of the calling
// goroutine, which is the one that fails. It is called on the failing path, in a deferred
// function while a panic is under way, or where an error was seen. It returns
// within Config.Pause (Config.Timeout if the event is Dying), and never panics. The clock is looked at
// whenever some 50 µs of work have been done; what goes on beyond the limit is the copying of the stack, the
// following of its frames, and the description of the error. At most one capture is in phase one at a time; a second one waits within the
// same limit, then fails.
//
// The caller must call Encode or Release.
func (e *Engine) Snapshot(ev Event) (s *Snapshot, err error) {
	start := nanotime()
	s = &Snapshot{e: e, event: ev, time: time.Now(), depth: e.cfg.Depth}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("capture failed: %v", p)
		}
		if err != nil {
			s.Release()
			s = nil
		}
	}()
	if ev.Depth > 0 {
		s.depth = ev.Depth
	}
	// What changes by itself comes first: the signal stack, until the thread's next
	// signal, and the stack, which moves when our own calls make it grow.
	s.copyOwn()
	if s.hasSignal {
		defer func(g uint64, was signalInfo) { restoreSignal(g, was) }(s.g, s.signal)
	}
	if s.stackIsFull() {
		return s, s.elsewhere(start)
	}
	return s, s.phaseOne(start)
}

// phaseOne does what comes after copyOwn. It began at start.
func (s *Snapshot) phaseOne(start int64) error {
	e, ev := s.e, &s.event
	limit := e.cfg.Pause
	if ev.Dying {
		limit = e.cfg.Timeout
	}
	limit = max(limit-ev.Waited, 0)
	end := deadline(start) + deadline(limit)
	select {
	case e.busy <- struct{}{}:
	default:
		wait := time.NewTimer(limit)
		defer wait.Stop()
		select {
		case e.busy <- struct{}{}:
		case <-wait.C:
			return errBusy
		}
	}
	defer func() { <-e.busy }()
	if !haveRoom(2 * e.cfg.MaxBytes) {
		return spaceError{}
	}
	di := e.info.Load()
	s.w = newWalker(&e.cfg, s.depth, e.types, di, e.layout.Load(), e.symbols.Load().mheap)
	if !ev.Dying {
		room := e.cfg.MaxPending - e.pending.Load()
		if room < e.cfg.MaxBytes/32 {
			return errMemory
		}
		s.w.maxBytes = min(s.w.maxBytes, room)
	}
	guarded(func() {
		s.w.over(s.stack, s.hi)
		s.sweepgen = s.w.heap.sweepgenNow() // before the cycles are counted, so that none is missed
		s.w.heap.gen = s.sweepgen
		s.cycles = cyclesSince(s.event.Since)
		s.findReason()
		if syms := e.symbols.Load(); e.cfg.Goroutines == ScopeAll && syms.allgs != 0 && (isGo126 || di != nil) {
			c := copier{mem: self{}, l: e.layout.Load(), own: s.g, ownID: s.goid, arena: &s.stacks, maxBytes: othersShare(s.w.maxBytes)}
			c.meter.start(deadline(start) + deadline(limit/2))
			s.others, s.left = c.copyAll(syms.allgs, e.cfg.MaxGoroutines)
			s.copied = nanotime()
		}
		if di != nil {
			s.locate(di, end)
		} else {
			s.symbolize()
			select {
			case <-e.ready: // there is none
			default:
				s.infoWait = true
			}
		}
		s.copyGlobals(end)
		s.addRoots()
		s.w.run(end)
		if di != nil && s.sweepgen != s.w.heap.sweepgenNow() {
			s.walkAgain(di, end)
		}
		for i := range s.frames {
			if end.passed() {
				break
			}
			var ok bool
			if s.traceID, s.spanID, ok = s.spanOf(s.frames[i].vars); ok {
				break
			}
		}
	})
	s.findFailing()
	s.held = s.Bytes()
	e.pending.Add(s.held)
	s.pause = time.Duration(nanotime()-start) + ev.Waited
	return nil
}

// walkAgain finds the variables and what they lead to once more, because a cycle of the garbage
// collector has ended meanwhile: what nothing but a dead variable led to may have been another
// object by the time it was copied. Now nothing dead is believed, however many cycles end.
func (s *Snapshot) walkAgain(di *debugInfo, end deadline) {
	old := s.w
	s.w = newWalker(old.cfg, s.depth, old.types, old.info, old.lay, old.mheap)
	s.w.maxBytes = old.maxBytes
	s.w.over(s.stack, s.hi)
	old.arena.release()
	s.missing = slices.DeleteFunc(s.missing, func(m dump.Missing) bool { return m.What == outerFrames }) // found again
	s.cycles = math.MaxInt
	s.locate(di, end)
	s.addRoots()
	s.w.run(end)
}

// maxOwnStack is how much of the failing goroutine's stack is copied. The collector cannot
// stop the world meanwhile, and what is copied comes off the pause.
const maxOwnStack = 4 << 20

// copyOwn copies the calling goroutine's stack, its panics and its thread's
// signal stack.
//
//go:noinline
func (s *Snapshot) copyOwn() {
	pcs := make([]uintptr, s.e.cfg.MaxFrames+64)
	s.pcs = pcs[:runtime.Callers(2, pcs)]
	if !haveStack {
		return
	}
	buf := *stackPool.Get().(*[]byte)
	if sp, hi, _, _ := copyStack(unsafe.SliceData(buf), 0); hi-sp > uintptr(len(buf)) {
		buf = make([]byte, min(hi-sp, maxOwnStack))
	}
	sp, hi, n, pc := copyStack(unsafe.SliceData(buf), uintptr(len(buf)))
	s.g = uint64(getg())
	s.stack = region{uint64(sp), buf[:n]}
	s.hi = uint64(hi)
	s.startPC, s.startSP = uint64(pc), uint64(sp)
	l := s.e.layout.Load()
	guarded(func() {
		var g [gSize]byte
		if (self{}).ReadAt(g[:], s.g) != nil {
			return
		}
		s.goid = int64(word(g[:], int(l.gID)))
		s.sigPC = word(g[:], int(l.gSigPC))
		s.signal, s.hasSignal = signalOf(g[:]), canRestoreSignal
		s.lo = word(g[:], int(l.gStack))
		if gsignalBytes == 0 {
			return
		}
		r := reader{Memory: self{}}
		gs, err := r.word(word(g[:], int(l.gM)) + l.mGsignal)
		if err != nil {
			return
		}
		top, err := r.word(gs + l.gStack + 8)
		if err != nil || top < gsignalBytes {
			return
		}
		b := s.reads.alloc(gsignalBytes)
		if (self{}).ReadAt(b, top-gsignalBytes) == nil {
			s.gsignal, s.gsigLo = b, top-gsignalBytes
		}
	})
}

// findReason finds the panics under way and describes what failed.
func (s *Snapshot) findReason() {
	c := newChain(s.w, s.e.cfg.MaxStringLen)
	if s.event.Trigger == dump.TriggerPanic {
		s.findPanics(c)
	}
	if s.event.HasPanic && len(s.values) == 0 {
		s.addValue(c, "panic", dump.VarPanic, s.event.Panic)
	}
	if s.event.Err != nil {
		s.addValue(c, "error", dump.VarError, s.event.Err)
	}
	for _, w := range s.event.Watches {
		s.addValue(nil, w.Name, dump.VarWatch, w.Value)
	}
	s.reason = c.infos
	if len(s.reason) == 0 && s.event.Message != "" {
		s.reason = []dump.ErrorInfo{{Type: s.event.ErrorType, Parent: -1}}
	}
	if len(s.reason) > 0 && s.event.Message != "" {
		s.reason[0].Message = s.event.Message
	}
}

// findPanics goes through the goroutine's panics, newest first. They lie on the
// stack, which has been copied.
func (s *Snapshot) findPanics(c *chain) {
	l := s.e.layout.Load()
	// The list's head is read later than the stack was copied; nothing has changed
	// in between but where the stack lies. It may even move between the two reads.
	var p uint64
	for hi := ^s.hi; ; {
		now, err1 := s.w.mem.word(s.g + l.gStack + 8)
		head, err2 := s.w.mem.word(s.g + l.gPanic)
		if err1 != nil || err2 != nil || head == 0 {
			return
		}
		if p = head + s.hi - now; now == hi {
			break
		}
		hi = now
	}
	var newest [2]uint64
	for n, k := 0, 0; p != 0 && n < 64; n++ {
		b, err := s.w.mem.bytes(p, 104)
		if err != nil {
			return
		}
		arg := [2]uint64{word(b, int(l.pArg)), word(b, int(l.pArg+8))}
		goexit := b[l.pGoexit] != 0 || b[l.pGoexit+1] != 0 // Goexit, or a deferreturn
		recovered := b[l.pRecovered] != 0
		p = word(b, int(l.pLink))
		if goexit {
			continue
		}
		t := s.w.ofRtype(arg[0])
		if k == 0 {
			newest = arg
		}
		same := arg == newest && recovered // an older panic whose value was panicked with again
		if same {
			s.drop = k
		}
		if k == 0 || !same {
			s.values = append(s.values, snapValue{name: "panic", kind: dump.VarPanic, t: t, word: arg[1]})
			if t != nil {
				c.describe(t, arg[1], -1, true)
			}
		}
		k++
	}
}

func (s *Snapshot) addValue(c *chain, name string, kind dump.VarKind, v any) {
	w := *(*[2]uintptr)(unsafe.Pointer(&v))
	t := s.w.ofRtype(uint64(w[0]))
	s.values = append(s.values, snapValue{name: name, kind: kind, t: t, word: uint64(w[1])})
	if c != nil && t != nil {
		c.describe(t, uint64(w[1]), -1, kind == dump.VarPanic)
	}
}

// outerFrames is what is missing of a stack that could not be unwound to its end.
const outerFrames = "outer frames"

// locate unwinds the copied stack and reads its variables.
func (s *Snapshot) locate(di *debugInfo, end deadline) {
	mem := &s.w.mem
	u := unwinder{di: di, stack: &s.stack, mem: mem, hi: s.hi, max: s.e.cfg.MaxFrames + 64, end: end}
	frames, truncated := u.unwind(s.startPC, s.startSP, false)
	if len(frames) == 0 {
		s.symbolize()
		return
	}
	recoverRegisters(frames, &s.stack, faultRegisters(s.gsignal, s.gsigLo, s.e.symbols.Load().sigpanic0, s.g), s.sigPC, s.mayHaveMoved)
	if truncated {
		last := frames[len(frames)-1].innermost().name
		s.missing = append(s.missing, dump.Missing{What: outerFrames, Why: "the stack could not be followed beyond " + last, Hint: "capture.max_frames bounds the frames; code that was not compiled by Go, and plugins, end a stack"})
	}
	frames = frames[s.first(len(frames), func(i int) string {
		if frames[i].fn == nil {
			return frames[i].innermost().name
		}
		return frames[i].fn.name
	}):]
	s.frames = s.readFrames(di, frames, s.e.cfg.MaxFrames, s.cycles, end)
}

// readFrames reads the calls of physical frames, and their variables as long as
// there is time and memory for them.
// cycles is how many cycles the garbage collector has finished since the frames began.
func (s *Snapshot) readFrames(di *debugInfo, frames []frame, limit, cycles int, end deadline) []snapFrame {
	e := s.e
	loc := locator{di: di, types: e.types, mem: &s.w.mem, arena: &s.reads, heap: &s.w.heap, meter: &s.w.meter, layout: e.layout.Load(), collected: cycles != 0}
	s.w.heap.marked = cycles <= 1
	s.w.meter.start(end)
	var out []snapFrame
	var sites []callSite // of the calls from the first loop body on
	for i := range frames {
		f := &frames[i]
		if len(out) >= limit {
			break
		}
		if f.fn == nil {
			for _, p := range f.known() {
				out = append(out, snapFrame{position: p.position, pc: f.pc, sp: f.sp, cfa: f.cfa, inlined: p.inlined, user: e.isUser(p.name, p.file), missing: f.why()})
				if sites != nil {
					sites = append(sites, callSite{})
				}
			}
			continue
		}
		calls := f.fn.callsAt(f.lookup() - di.bias)
		for j, p := range di.positions(f, calls) {
			if f.fn.wrapper && j == len(calls)-1 && i > 0 {
				continue // made by the compiler, has no line; what is inlined into it has
			}
			sf := snapFrame{position: p, pc: f.pc, sp: f.sp, cfa: f.cfa, inlined: calls[j].inlined, user: e.isUser(p.name, p.file)}
			switch {
			case s.reads.used+s.w.arena.used > s.w.maxBytes:
				sf.missing = []dump.Missing{{What: "variables", Why: "the byte budget was spent", Hint: "raise capture.max_bytes"}}
			case end.passed():
				sf.missing = noTime()
			default:
				sf.vars = loc.roots(f, &calls[j], p.line)
			}
			out = append(out, sf)
			if sites != nil || rangeParent(p.name) != "" {
				sites = append(sites, callSite{f, &calls[j]})
			}
		}
	}
	if sites != nil {
		loc.addEnclosing(out, sites)
	}
	return out
}

// mayHaveMoved reports whether a stack address may have become another one when the
// stack moved: not if it lies in the stack as it is, or if where it belonged is known
// and that has gone elsewhere.
func (s *Snapshot) mayHaveMoved(old, now uint64) bool {
	if old == now {
		return true
	}
	if old >= s.lo && old < s.hi {
		return false
	}
	at, known := s.w.heap.moved(old)
	return !known || at == now
}

// cyclesSince returns how many cycles the garbage collector has finished since t;
// many, if t is the zero time.
func cyclesSince(t time.Time) int {
	if t.IsZero() {
		return math.MaxInt
	}
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	n := 0
	for _, end := range gc.PauseEnd {
		if !end.Before(t) {
			n++
		}
	}
	return n
}

// symbolize names the calls from what the runtime knows, without variables.
func (s *Snapshot) symbolize() {
	s.frames = s.frames[:0]
	fs := runtime.CallersFrames(s.pcs)
	var all []snapFrame
	for {
		f, more := fs.Next()
		if f.Function != "" || f.PC != 0 {
			all = append(all, snapFrame{
				position: position{name: f.Function, file: f.File, line: f.Line}, pc: uint64(f.PC),
				inlined: f.Func == nil, user: s.e.isUser(f.Function, f.File),
			})
		}
		if !more {
			break
		}
	}
	all = all[s.first(len(all), func(i int) string { return all[i].name }):]
	if len(all) > s.e.cfg.MaxFrames {
		all = all[:s.e.cfg.MaxFrames]
	}
	s.frames = all
}

// first returns the index of the frame at which a dump begins: the panic that
// failed, or else the first that is not part of the machinery that captures.
func (s *Snapshot) first(n int, name func(int) string) int {
	if s.event.Trigger == dump.TriggerPanic {
		k := s.drop
		for i := range n {
			if name(i) == "runtime.gopanic" {
				if k == 0 {
					return i
				}
				k--
			}
		}
	}
	for i := range n {
		if pkg := packageOf(name(i)); !isOurs(pkg) && !isTracing(pkg) && pkg != "runtime" && !isWrap(name(i)) {
			return i
		}
	}
	return 0
}

// isWrap reports whether a function is the one that the compiler makes of a go or
// defer statement whose call has arguments: "f.deferwrap1", "f.gowrap1".
func isWrap(fn string) bool {
	fn = strings.TrimRight(fn, "0123456789")
	return strings.HasSuffix(fn, ".deferwrap") || strings.HasSuffix(fn, ".gowrap")
}

// isTracing reports whether a package is OpenTelemetry's own machinery.
func isTracing(pkg string) bool {
	const p = "go.opentelemetry.io/otel"
	return len(pkg) >= len(p) && pkg[:len(p)] == p
}

// findFailing finds the failing user frame: the innermost one that belongs to the
// program, or the innermost at all.
func (s *Snapshot) findFailing() {
	s.failing = dump.Location{Goroutine: s.goid}
	for i := range s.frames {
		if f := &s.frames[i]; f.user || i == 0 {
			s.failing = dump.Location{Func: f.name, File: f.file, Line: f.line, Goroutine: s.goid, Frame: i}
			if f.user {
				return
			}
		}
	}
}

// addRoots adds what the variables lead to: the values of the goroutine first,
// then the frames from the failing one outwards, so that a spent budget costs the far
// end.
func (s *Snapshot) addRoots() {
	for i := range s.values {
		v := &s.values[i]
		if v.t == nil {
			continue
		}
		s.addDynamic(v)
	}
	first := 0
	for i := range s.frames {
		if s.frames[i].user {
			first = i
			break
		}
	}
	for i := first; i < len(s.frames); i++ {
		s.w.addVars(&s.frames[i], 0)
	}
	for i := range first {
		s.w.addVars(&s.frames[i], 0)
	}
	// Where an object on the stack came from is no longer known when it is copied.
	if len(s.frames) > 0 {
		s.w.heap.floor = s.frames[0].sp
	}
}

func (s *Snapshot) addDynamic(v *snapValue) {
	secret := s.e.types.isSecret(v.name)
	if v.t.direct {
		var b [8]byte
		putWord(b[:], v.word)
		s.w.scan(v.t, b[:], 0, v.name)
	} else if v.t.size > 0 {
		s.w.add(v.word, v.t, shapeValue, 0, 0, v.name, secret)
	}
}

// addVars adds what a frame's variables lead to. depth is how much of the budget is spent
// already.
func (w *walker) addVars(f *snapFrame, depth uint8) {
	defer func() { w.doubt = false }()
	w.heap.floor = f.sp
	for i := range f.vars {
		r := &f.vars[i]
		if r.data == nil {
			continue
		}
		w.doubt = r.doubt
		r.t.resolve()
		if len(r.t.more) != 0 && r.known == nil {
			w.followMore(r.t, r.data, depth, r.name)
		}
		for j := range r.t.slots {
			sl := &r.t.slots[j]
			end := sl.off + sl.typ.size
			if end > uint64(len(r.data)) {
				break
			}
			b := r.data[sl.off:end]
			if r.known != nil && !allKnown(r.known[sl.off:end]) {
				// A slice's elements are there without its capacity.
				if sl.typ.kind != dump.Slice || !allKnown(r.known[sl.off:sl.off+16]) {
					continue
				}
				b = append(w.arena.alloc(24)[:0], b...)
				putWord(b[16:], word(b, 8))
			}
			at := sl.off
			if sl.typ.kind == dump.Interface {
				at += 8
			}
			if sl.typ.kind != dump.Array {
				if now, ok := w.heap.moved(word(r.data, int(at))); ok {
					putWord(r.data[at:], now)
					putWord(b[at-sl.off:], now)
					if r.state == dump.VarLive {
						r.state = dump.VarRecovered
					}
				}
			}
			name := sl.name
			if name == "" {
				name = r.name
			}
			w.follow(sl.typ, b, depth, name, sl.secret)
		}
	}
}

func allKnown(known []bool) bool {
	for _, k := range known {
		if !k {
			return false
		}
	}
	return true
}

// Failing returns the failing user frame.
func (s *Snapshot) Failing() dump.Location { return s.failing }

// Reason returns the panic value or error and what it wraps, not redacted.
func (s *Snapshot) Reason() []dump.ErrorInfo { return s.reason }

// Pause returns how long phase one took.
func (s *Snapshot) Pause() time.Duration { return s.pause }

// Bytes returns about how much memory the snapshot holds.
func (s *Snapshot) Bytes() int64 {
	if s.w == nil {
		return 0
	}
	return s.reads.used + s.stacks.used + s.w.arena.used + s.w.objects.bytes()
}

// Release gives the snapshot's memory back. It may be called more than once.
func (s *Snapshot) Release() {
	if s.stack.data != nil {
		if b := s.stack.data[:cap(s.stack.data)]; len(b) <= 1<<20 {
			stackPool.Put(&b)
		}
		s.stack.data = nil
	}
	s.e.pending.Add(-s.held)
	s.held = 0
	s.reads.release()
	s.stacks.release()
	s.event = Event{}
	if s.w != nil {
		s.w.arena.release()
		s.w = nil
	}
	s.frames, s.values, s.others, s.gsignal, s.globals = nil, nil, nil, nil, nil
}
