package capture

import (
	"fmt"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// otherDepth is how many pointers away from a variable of a goroutine other than the
// failing one objects are followed.
const otherDepth = 3

// maxOtherFrames is how many frames of a goroutine other than the failing one are
// kept.
const maxOtherFrames = 64

// othersShare is what the other goroutines may use on top of a limit of the failing one.
func othersShare[T int | int64](limit T) T { return limit / 2 }

// half is the middle of the time until the end.
func (s *Snapshot) half(end deadline) deadline {
	if s.e.cfg.Goroutines != ScopeAll {
		return end
	}
	return deadlineIn(end.left() / 2)
}

// others makes the goroutines other than the failing one from the copies of their stacks, one
// after the other in the same memory. Thousands of them stand in the same few
// places: what the debug info says of a place is looked up once.
type others struct {
	s        *Snapshot
	d        *decoder
	di       *debugInfo // nil: frames only
	end      deadline
	meter    meter
	loc      locator
	unwinder unwinder
	sites    map[site]*siteInfo
	plain    map[stepKey][]snapFrame // without debug info
	system   map[uint64]bool         // by the pc of the function that a goroutine began with
	created  map[uint64]dump.Location
	reasons  [64]string // texts of wait reasons
	known    [64]bool
	list     []group
	slow     int   // goroutines for whose variables there was no time
	resume   int   // the failing goroutine's first object that was not copied yet
	first    int   // the first object of the others
	bytes    int64 // the failing goroutine's limit, and what of it was used
	used     int64
	objects  int
	// Memory of the goroutine being read.
	arena  arena
	empty  arenaMark
	g      dump.Goroutine
	frames []snapFrame
	roots  []root
}

// site is where a frame stands, and what it has called there.
type site struct {
	pc    uint64
	exact bool
	inner uint64 // the pc in the frame that it has called; 0: none
}

// siteInfo is what is the same for every frame at a site.
type siteInfo struct {
	calls  []call
	pos    []position
	user   []bool
	placed [][]placed
	live   *liveness
	liveOK bool
}

// newOthers prepares the walker for the others and groups them. finish must be called.
func (s *Snapshot) newOthers(d *decoder, end deadline) *others {
	o := &others{
		s: s, d: d, end: end, sites: map[site]*siteInfo{}, plain: map[stepKey][]snapFrame{}, system: map[uint64]bool{},
		created: map[uint64]dump.Location{}, di: s.e.info.Load(),
	}
	o.bytes, o.used, o.objects = s.w.maxBytes, s.w.arena.used, s.w.maxObjects
	o.resume, o.first = s.w.next, s.w.objects.len()
	if s.e.cfg.Goroutines != ScopeAll {
		return o
	}
	switch {
	case !haveStack:
	case s.e.info.Load() == nil && !isGo126:
		s.missing = append(s.missing, dump.Missing{What: "other goroutines", Why: "without debug info they can be read in programs of Go 1.26 only", Hint: "build without -ldflags=-s and -w"})
	case s.e.symbols.Load().allgs == 0:
		s.missing = append(s.missing, dump.Missing{What: "other goroutines", Why: "the program has no symbol table", Hint: "build without -ldflags=-s (and do not strip)"})
	}
	if s.left > 0 {
		s.missing = append(s.missing, dump.Missing{What: "other goroutines", Why: fmt.Sprintf("a budget was spent before %d of them were looked at", s.left), Hint: "raise capture.pause or capture.max_goroutines"})
	}
	// What the failing goroutine has used is not taken from the others.
	w := s.w
	w.maxBytes = w.arena.used + othersShare(o.bytes)
	w.maxObjects = w.objects.len() + othersShare(o.objects)
	w.next = w.objects.len()
	o.empty = o.arena.mark()
	o.loc = locator{di: o.di, types: s.e.types, mem: &w.mem, arena: &o.arena, heap: &w.heap, meter: &o.meter, layout: s.e.layout.Load(), collected: true}
	o.unwinder = unwinder{di: o.di, mem: &w.mem, max: maxOtherFrames, steps: map[stepKey]*step{}, end: end}
	o.meter.start(end)
	w.heap.marked = false
	o.group()
	return o
}

// finish gives the walker back to the failing goroutine.
func (o *others) finish() {
	s, w := o.s, o.s.w
	w.over(s.stack, s.hi)
	w.maxBytes = w.arena.used + max(0, o.bytes-o.used)
	w.maxObjects = w.objects.len() + max(0, o.objects-o.first)
	if o.resume < o.first {
		w.next = o.resume // what of it there was no time for
	}
	o.arena.release()
	if o.slow > 0 {
		s.missing = append(s.missing, dump.Missing{What: "locals of other goroutines", Why: fmt.Sprintf("the time budget was spent before those of %d goroutines were read", o.slow), Hint: "raise capture.timeout"})
	}
}

// unwind returns the frames of a goroutine, good until the next call. Without debug info it
// returns none.
func (o *others) unwind(p *parked) (frames []frame, truncated bool) {
	o.s.w.overNext(p.stack, p.hi)
	u := &o.unwinder
	u.stack, u.hi = &p.stack, p.hi
	exact := false
	if p.status == gRunnable || p.status == gPreempted {
		exact = atEntry(p.pc) // it has not run yet
	}
	frames, truncated = u.unwind(p.pc, p.sp, exact)
	u.buf = frames
	recoverPreempted(frames, &p.stack, p.xregs)
	return frames, truncated
}

// read makes goroutine i. It is good until the next call.
func (o *others) read(i int) *dump.Goroutine {
	p := &o.s.others[i]
	d := o.d
	g := &o.g
	*g = dump.Goroutine{
		ID: p.id, ParentID: p.parent, Status: statusName(p.status), CreatedBy: o.createdBy(p.goPC), Frames: g.Frames[:0],
		System: o.isSystem(p.startPC), Locked: p.locked, WaitReason: o.reason(p), WaitSince: o.waitSince(p), Labels: o.labels(p),
	}
	o.arena.reset(o.empty)
	o.frames, o.roots = o.frames[:0], o.roots[:0]
	var found walkMark
	switch {
	case p.stack.data == nil:
	case o.di == nil || o.end.passed():
		if o.di != nil {
			o.slow++
		}
		o.readPlain(p)
	default:
		o.readFrames(p)
		gone := !o.intact(p)
		w := o.s.w
		found = w.mark()
		if !gone && !g.System && w.arena.used < w.maxBytes {
			// What the stack holds leads into the stack itself, too, and that is copied.
			for j := range o.frames {
				w.addVars(&o.frames[j], w.depth-min(w.depth, otherDepth))
			}
			w.run(o.end)
			o.trace(p)
		}
	}
	g.Waits = d.waitsOf(p, g.WaitReason, o.frames, o.s.copied)
	g.Missing = p.missing
	if p.why != "" {
		g.Missing = append(g.Missing, dump.Missing{What: "frames", Why: p.why})
	}
	counts := d.counts
	o.decode()
	// The proof comes last: decoding reads memory as well.
	if len(o.roots) > 0 && !o.intact(p) {
		o.s.w.forget(found)
		o.drop(p)
		d.counts, d.gone = counts, true
		d.reset()
		o.decode()
		d.gone = false
	}
	return g
}

// decode makes the frames of the goroutine being read.
func (o *others) decode() {
	o.g.Frames = o.g.Frames[:0]
	for j := range o.frames {
		o.g.Frames = append(o.g.Frames, o.d.frame(&o.frames[j]))
	}
}

// drop takes away the values that were not read from the copy of the stack.
func (o *others) drop(p *parked) {
	for i := range o.frames {
		vars := o.frames[i].vars
		for j := range vars {
			r := &vars[j]
			if r.data != nil && (r.escaped || r.addr != 0 && !p.stack.contains(r.addr, 1)) {
				r.data, r.known, r.reason, r.detail = nil, nil, dump.Unreadable, goneDetail
			}
		}
	}
}

// readPlain reads a goroutine's calls without their variables.
func (o *others) readPlain(p *parked) {
	for i, pc := range framePointers(p, maxOtherFrames) {
		for _, f := range o.calls(pc, pc == p.pc) {
			if i > 0 && isWrap(f.name) || len(o.frames) >= maxOtherFrames {
				continue
			}
			o.frames = append(o.frames, f)
		}
	}
}

// calls returns what the runtime knows of the calls at a pc, inlined ones first.
func (o *others) calls(pc uint64, exact bool) []snapFrame {
	k := stepKey{pc, exact}
	out, ok := o.plain[k]
	if ok {
		return out
	}
	f := frame{pc: pc, exact: exact}
	for at := f.lookup(); len(out) < maxOtherFrames; {
		pos := (&frame{pc: at, exact: true}).innermost()
		parent, inlined := parentPC(&o.s.w.mem, o.s.w.lay, at)
		out = append(out, snapFrame{position: pos, pc: pc, inlined: inlined, user: o.s.e.isUser(pos.name, pos.file)})
		if !inlined {
			break
		}
		at = parent
	}
	o.plain[k] = out
	return out
}

// readFrames reads a goroutine's calls and their variables.
func (o *others) readFrames(p *parked) {
	frames, truncated := o.unwind(p)
	inner := uint64(0)
	system := o.g.System
	for i := range frames {
		f := &frames[i]
		if f.fn == nil {
			for _, c := range o.calls(f.pc, f.exact) {
				c.sp, c.cfa, c.missing = f.sp, f.cfa, f.why()
				o.frames = append(o.frames, c)
			}
			inner = f.pc
			continue
		}
		si := o.site(f, inner)
		inner = f.pc
		f.live, f.liveDone = si.live, si.liveOK
		for j := range si.calls {
			if f.fn.wrapper && j == len(si.calls)-1 && i > 0 {
				continue // made by the compiler, has no line; what is inlined into it has
			}
			if len(o.frames) >= maxOtherFrames {
				truncated = true
				break
			}
			sf := snapFrame{position: si.pos[j], pc: f.pc, sp: f.sp, cfa: f.cfa, inlined: si.calls[j].inlined, user: si.user[j]}
			switch {
			case system: // nobody asks for those of the runtime
			case o.s.w.arena.used >= o.s.w.maxBytes:
				sf.missing = []dump.Missing{{What: "variables", Why: "the byte budget was spent", Hint: "raise capture.max_bytes"}}
			default:
				sf.vars = o.variables(f, si, j)
			}
			o.frames = append(o.frames, sf)
		}
		if !si.liveOK && f.liveDone {
			si.live, si.liveOK = f.live, true
		}
	}
	if truncated {
		p.missing = append(p.missing, dump.Missing{What: outerFrames, Why: fmt.Sprintf("only %d frames are kept, or the stack could not be followed", len(o.frames))})
	}
}

// variables reads those of one call into o.roots.
func (o *others) variables(f *frame, si *siteInfo, j int) []root {
	n := len(o.roots)
	c := &si.calls[j]
	if need := n + len(c.vars); need > cap(o.roots) {
		// What was handed out stays where it is.
		o.roots, n = make([]root, 0, max(2*cap(o.roots), len(c.vars), 512)), 0
	}
	o.loc.buf, o.loc.plan = o.roots[n:n:n+len(c.vars)], si.placed[j]
	vars := o.loc.roots(f, c, si.pos[j].line)
	o.roots = o.roots[:n+len(vars)]
	return vars
}

func (o *others) site(f *frame, inner uint64) *siteInfo {
	k := site{f.pc, f.exact, inner}
	if si := o.sites[k]; si != nil {
		return si
	}
	si := &siteInfo{calls: f.fn.callsAt(f.lookup() - o.di.bias)}
	si.pos = o.di.positions(f, si.calls)
	si.user = make([]bool, len(si.calls))
	si.placed = make([][]placed, len(si.calls))
	for j := range si.calls {
		si.user[j] = o.s.e.isUser(si.pos[j].name, si.pos[j].file)
		si.placed[j] = make([]placed, len(si.calls[j].vars))
	}
	o.sites[k] = si
	return si
}

// trace finds the span that the goroutine works for: that of the innermost frame that has a
// context with one.
func (o *others) trace(p *parked) {
	for i := range o.frames {
		if t, id, ok := o.s.spanOf(o.frames[i].vars); ok && o.intact(p) {
			o.g.TraceID, o.g.SpanID = t, id
			return
		}
	}
}

// spanOf finds a span that a frame's variables lead to, the last declared ones first. Those
// that the program does not need any more may lead anywhere.
func (s *Snapshot) spanOf(vars []root) (traceID dump.TraceID, spanID dump.SpanID, ok bool) {
	for i := len(vars) - 1; i >= 0; i-- {
		r := &vars[i]
		if r.data == nil || r.known != nil || r.doubt || r.state == dump.VarDead || r.t == nil || !mayLead(r.t) {
			continue
		}
		if t, id, ok := s.w.spanOf(r.t, r.data); ok {
			return t, id, true
		}
	}
	return traceID, spanID, false
}

// intact reports whether what the goroutine's stack led to when it was copied is there still: it has
// not run since, or the collector has not freed anything since.
func (o *others) intact(p *parked) bool {
	if now := o.s.w.heap.sweepgenNow(); now != 0 && now == o.s.sweepgen {
		return true
	}
	return p.still(&o.s.w.mem, o.s.w.lay)
}

func (o *others) isSystem(startPC uint64) bool {
	is, ok := o.system[startPC]
	if !ok {
		is = isSystem(startPC)
		o.system[startPC] = is
	}
	return is
}

func (o *others) createdBy(goPC uint64) dump.Location {
	l, ok := o.created[goPC]
	if !ok {
		l = createdBy(goPC)
		o.created[goPC] = l
	}
	return l
}

// reason is the text of what a goroutine waits for.
func (o *others) reason(p *parked) string {
	n := p.waitReason
	if p.status != gWaiting && p.status != gLeaked || int(n) >= len(o.reasons) {
		return ""
	}
	if !o.known[n] {
		o.known[n], o.reasons[n] = true, o.d.waitReason(n)
	}
	return o.reasons[n]
}

func (o *others) waitSince(p *parked) time.Duration {
	switch p.status {
	case gWaiting, gSyscall, gLeaked:
		if p.since > 0 && p.since < o.s.copied {
			return time.Duration(o.s.copied - p.since)
		}
	}
	return 0
}

// labels reads a goroutine's pprof labels, if they are those that it had when it was
// copied.
func (o *others) labels(p *parked) []dump.KeyValue {
	if p.labels == 0 {
		return nil
	}
	kvs := o.d.labels(p.labels)
	if kvs != nil && !o.intact(p) {
		p.missing = append(p.missing, dump.Missing{What: "labels", Why: "the goroutine went on before they were read"})
		return nil
	}
	return kvs
}

// labels reads pprof labels: g.labels points at a label set, a slice of pairs of
// strings (internal/runtime/pprof/label).
func (d *decoder) labels(at uint64) []dump.KeyValue {
	var h [16]byte
	if at == 0 || (self{}).ReadAt(h[:], at) != nil {
		return nil
	}
	n := word(h[:], 8)
	if n > 64 {
		return nil
	}
	var out []dump.KeyValue
	for i := range n {
		k, err1 := readString(self{}, word(h[:], 0)+32*i, 256)
		v, err2 := readString(self{}, word(h[:], 0)+32*i+16, 1024)
		if err1 != nil || err2 != nil {
			return out
		}
		d.judge.text(&v, k, redact.SiteLabel)
		out = append(out, dump.KeyValue{Key: k, Value: v})
	}
	return out
}
