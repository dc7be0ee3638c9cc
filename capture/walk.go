package capture

import (
	"encoding/binary"
	"slices"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// shape says how an object's bytes are laid out.
type shape uint8

const (
	shapeValue shape = iota // one value of type t
	shapeArray              // n elements of type t
	shapeText               // the bytes of a string; has no ID in the dump
	shapeMap                // n keys and elements of the map type t
	shapeChan               // n elements of the channel type t, oldest first
)

// object is a piece of memory that was found, and its copy.
type object struct {
	addr   uint64
	t      *typ
	name   string // of the variable, field or map key that led here
	data   []byte // the copy; shorter than the whole if a limit cut it
	total  int64  // elements (array, map, channel) or bytes (text) that there are
	n      int64  // … that were copied
	cap    int64  // of a channel
	id     dump.ObjectID
	shape  shape
	reason dump.Reason // why nothing was copied
	depth  uint8
	done   bool
	late   bool
	closed bool // of a channel
	stale  bool // its memory is no longer in use
	// doubt: it was found through what may have been collected.
	doubt bool
}

// maxValueBytes is how much of one value is copied: a struct may contain a huge
// array.
const maxValueBytes = 1 << 20

// walker copies the objects that values lead to, breadth first. An object is
// copied once, by address and type.
type walker struct {
	cfg   *Config
	depth uint8
	types *typeTable
	info  *debugInfo // nil: closures are not followed
	mem   reader
	// overlay is what mem reads; the heap knows its stack by it.
	overlay *overlay
	heap    heap
	mheap   uint64
	lay     *layout
	arena   arena
	// maxBytes is how much the arena may hold, maxObjects how many objects there may be.
	maxBytes   int64
	maxObjects int
	cut        dump.Reason // why not all that package variables lead to was walked
	late       bool
	cleared    []cleared // what was doubted before the goroutine being read
	doubt      bool      // what is found now is found through what may have been collected

	objects objects
	next    int       // the first object not yet copied
	again   []*object // objects that are to be copied once more
	rescan  []*object // objects that were copied, but not all that they lead to was noted
	ids     dump.ObjectID
	maps    mapCopy // what of it is kept from map to map

	meter  meter
	stop   dump.Reason // why the walk stopped before its end
	rtypes [256]struct {
		addr uint64
		t    *typ
	}
	itabs map[uint64]*typ
	// decided is what was found out about the closures at these addresses.
	decided map[uint64]uint32
	hits    struct{ depth, collection, str, objects, bytes int64 }
}

func newWalker(cfg *Config, depth int, types *typeTable, info *debugInfo, lay *layout, mheap uint64) *walker {
	return &walker{cfg: cfg, maxBytes: cfg.MaxBytes, maxObjects: cfg.MaxObjects, depth: uint8(min(depth, 250)), types: types, info: info, lay: lay, mheap: mheap, itabs: map[uint64]*typ{}}
}

// over sets what the walker reads: this process with a copied stack, which ends at
// hi, laid over it.
func (w *walker) over(stack region, hi uint64) {
	o := &overlay{stack, self{}}
	w.mem.Memory, w.overlay = o, o
	w.heap = newHeap(self{}, w.lay, w.mheap, &o.region, hi)
	w.heap.late = w.late
}

// overNext is over for one stack after the other.
func (w *walker) overNext(stack region, hi uint64) {
	if w.overlay == nil {
		w.over(stack, hi)
	}
	w.overlay.region, w.heap.hi, w.heap.floor = stack, hi, stack.lo
}

// add notes an object to be copied, if it is new and within the limits.
func (w *walker) add(addr uint64, t *typ, s shape, total int64, depth uint8, name string, secret bool) *object {
	if o := w.objects.find(addr, t, s, total); o != nil {
		if secret {
			o.name = name // of several names the one that must be redacted counts
		}
		if !w.doubt && o.doubt {
			// Something that is surely alive leads here as well.
			w.cleared = append(w.cleared, cleared{o, o.done && o.stale})
			o.doubt = false
			if o.done && o.stale {
				o.done, o.stale, o.reason = false, false, dump.Whole
				if s != shapeText { // a text is copied by the caller
					w.again = append(w.again, o)
				}
			}
		}
		return o
	}
	if depth > w.depth {
		w.hits.depth++
		return nil
	}
	if w.objects.len() >= w.maxObjects {
		w.hits.objects++
		return nil
	}
	o := w.objects.add(addr, t, s, total)
	o.depth, o.name, o.late, o.doubt = depth, name, w.late, w.doubt
	if s != shapeText {
		w.ids++
		o.id = w.ids
	}
	return o
}

// cleared is an object that was doubted until something alive led to it.
type cleared struct {
	o     *object
	stale bool
}

// walkMark is how far a walk has come.
type walkMark struct {
	objects int
	ids     dump.ObjectID
}

func (w *walker) mark() walkMark {
	w.cleared = w.cleared[:0]
	return walkMark{w.objects.len(), w.ids}
}

// forget undoes what was found since the mark: the memory may have had another use by
// the time it was copied.
func (w *walker) forget(m walkMark) {
	for _, c := range w.cleared {
		c.o.doubt = true
		if c.stale {
			c.o.done, c.o.stale, c.o.reason, c.o.data, c.o.n = true, true, dump.Unreadable, nil, 0
		}
	}
	w.cleared = w.cleared[:0]
	w.objects.truncate(m.objects)
	w.ids, w.next = m.ids, min(w.next, m.objects)
	gone := func(o *object) bool { return o.t == nil || o.doubt && o.stale }
	w.again = slices.DeleteFunc(w.again, gone)
	w.rescan = slices.DeleteFunc(w.rescan, gone)
}

// run copies objects until there are no more or a budget is spent.
func (w *walker) run(end deadline) {
	w.meter.start(end)
	w.stop = dump.Whole
	for w.next < w.objects.len() || len(w.again) > 0 || len(w.rescan) > 0 {
		if w.meter.tick(3 * costRead) {
			w.stop = dump.TimeBudget
			return
		}
		if w.arena.used >= w.maxBytes {
			w.stop = dump.ByteBudget
			w.hits.bytes += int64(w.objects.len() - w.next)
			return
		}
		if k := len(w.again); k > 0 {
			o := w.again[k-1]
			w.again = w.again[:k-1]
			w.copyObject(o)
			continue
		}
		if k := len(w.rescan); k > 0 {
			o := w.rescan[k-1]
			w.rescan = w.rescan[:k-1]
			w.scanObject(o)
			continue
		}
		w.next++
		w.copyObject(w.objects.at(w.next - 1))
	}
	if w.meter.over {
		w.stop = dump.TimeBudget // what it came too late for was not even noted
	}
}

// copyObject copies an object and adds what it leads to.
func (w *walker) copyObject(o *object) {
	if o.done {
		return
	}
	o.done = true
	o.late = w.late
	size := o.t.size
	switch o.shape {
	case shapeArray:
		if size > 0 && uint64(o.total) > 1<<40/size {
			size = 1 << 40
		} else {
			size *= uint64(o.total)
		}
	case shapeMap, shapeChan:
		size = 48
	}
	w.doubt = o.doubt
	if !w.heap.holds(o.addr, size) || o.doubt && !w.heap.intact(o.addr) {
		o.reason, o.stale = dump.Unreadable, true
		return
	}
	switch o.shape {
	case shapeValue:
		o.data, o.reason = w.copy(o.addr, min(size, maxValueBytes))
	case shapeArray:
		o.n = min(o.total, int64(w.maxElems(o.t)))
		if o.n < o.total {
			w.hits.collection++
		}
		n := uint64(o.n) * o.t.size
		if o.t.kind != dump.Uint8 { // bytes have a limit of their own
			n = min(n, maxValueBytes)
		}
		o.data, o.reason = w.copy(o.addr, n)
	case shapeMap:
		w.copyMap(o)
	case shapeChan:
		w.copyChan(o)
	}
	if o.data != nil {
		w.scanObject(o)
	}
}

// scanObject adds what a copied object leads to. If its time is over meanwhile,
// phase two does it again.
func (w *walker) scanObject(o *object) {
	w.doubt = o.doubt
	defer func() {
		if w.meter.over && !w.late {
			w.rescan = append(w.rescan, o)
		}
	}()
	switch o.shape {
	case shapeValue:
		w.scan(o.t, o.data, o.depth, o.name)
	case shapeArray, shapeChan:
		t := o.t
		if o.shape == shapeChan {
			t = t.elem
		}
		if t.resolve(); len(t.slots) == 0 && len(t.more) == 0 {
			return
		}
		for off := uint64(0); off+t.size <= uint64(len(o.data)); off += t.size {
			w.scan(t, o.data[off:off+t.size], o.depth, o.name)
			if w.arena.used >= w.maxBytes || w.meter.tick(costRead) {
				return
			}
		}
	case shapeMap:
		ks, es := o.t.key.size, o.t.elem.size
		for e := range o.n {
			at := uint64(e) * (ks + es)
			key := o.data[at : at+ks]
			w.scan(o.t.key, key, o.depth, o.name)
			name := o.name
			if o.t.key.kind == dump.String && !w.types.isSecret(o.name) {
				if text, ok := w.textOf(key); ok && len(text) <= 64 {
					name = string(text)
				}
			}
			w.scan(o.t.elem, o.data[at+ks:at+ks+es], o.depth, name)
			if w.arena.used >= w.maxBytes || w.meter.tick(2*costRead) {
				return
			}
		}
	}
}

// maxElems is how many elements of type t are copied: bytes are text.
func (w *walker) maxElems(t *typ) int {
	if t.kind == dump.Uint8 {
		return w.cfg.MaxStringLen + redact.Lookahead
	}
	n := w.cfg.MaxArrayValues
	if t.size > 0 {
		n = min(n, int(max(1, maxValueBytes/t.size)))
	}
	return n
}

// copy copies n bytes into the arena.
func (w *walker) copy(addr, n uint64) ([]byte, dump.Reason) {
	b := w.arena.alloc(int(n))
	err := w.mem.ReadAt(b, addr)
	w.meter.read(int(n), err)
	if err != nil {
		return nil, dump.Unreadable
	}
	return b, dump.Whole
}

// textOf returns the copied bytes of the string whose header is h.
func (w *walker) textOf(h []byte) ([]byte, bool) {
	n := int64(word(h, 8))
	if n == 0 {
		return nil, true
	}
	o := w.objects.find(word(h, 0), w.types.bytes, shapeText, n)
	if o == nil || o.data == nil {
		return nil, false
	}
	return o.data, true
}

// scan adds what a value of type t with the bytes data leads to. depth is the depth of the object that
// the value is in.
func (w *walker) scan(t *typ, data []byte, depth uint8, name string) {
	t.resolve()
	for i := range t.slots {
		s := &t.slots[i]
		if s.off+s.typ.size > uint64(len(data)) || w.meter.tick(costRead/4) {
			return
		}
		n, secret := s.name, s.secret
		if n == "" {
			n = name
		}
		for _, k := range s.keys {
			if end := k.off + k.typ.size; end <= uint64(len(data)) {
				if w.meter.tick(costRead) {
					return
				}
				if key, ok := w.secretKey(k.typ, data[k.off:end], true); ok {
					n, secret = key, true
				}
			}
		}
		at := depth
		if s.near && at > 0 {
			at--
		}
		w.follow(s.typ, data[s.off:s.off+s.typ.size], at, n, secret)
	}
	if len(t.more) != 0 {
		w.followMore(t, data, depth, name)
	}
}

// follow adds what one slot leads to.
func (w *walker) follow(t *typ, b []byte, depth uint8, name string, secret bool) {
	switch t.kind {
	case dump.String:
		w.addText(word(b, 0), int64(word(b, 8)), depth, name, secret)
	case dump.Pointer:
		p := word(b, 0)
		if t.resolve(); p != 0 && t.elem != nil && !t.elem.opaque {
			w.add(p, t.elem, shapeValue, 0, depth+1, name, secret)
		}
	case dump.Slice:
		p, n, c := word(b, 0), int64(word(b, 8)), int64(word(b, 16))
		if t.resolve(); n > 0 && n <= c && t.elem != nil && p != 0 {
			w.add(p, t.elem, shapeArray, n, depth+1, name, secret)
		}
	case dump.Map:
		if p := word(b, 0); p != 0 {
			w.add(p, t, shapeMap, 0, depth+1, name, secret)
		}
	case dump.Chan:
		if p := word(b, 0); p != 0 {
			w.add(p, t, shapeChan, 0, depth+1, name, secret)
		}
	case dump.Func:
		if p := word(b, 0); p != 0 {
			if _, ct := w.closure(p); ct != nil {
				w.add(p, ct, shapeValue, 0, depth+1, name, secret)
			}
		}
	case dump.Interface:
		dyn := w.dynamic(t, b)
		if dyn == nil {
			return
		}
		if dyn.direct {
			w.scan(dyn, b[8:16], depth, name)
			return
		}
		if dyn.size > 0 && !dyn.opaque {
			w.add(word(b, 8), dyn, shapeValue, 0, depth, name, secret)
		}
	case dump.Array:
		t.resolve()
		n := min(uint64(t.len), uint64(w.cfg.MaxArrayValues))
		for i := range n {
			w.scan(t.elem, b[i*t.elem.size:(i+1)*t.elem.size], depth, name)
		}
	}
}

// addText copies a string's bytes at once: they lead nowhere, and are what
// people look for first.
// It reads redact.Lookahead bytes more than are kept, so that a secret that crosses
// the limit is still seen.
func (w *walker) addText(p uint64, n int64, depth uint8, name string, secret bool) {
	if p == 0 || n <= 0 || n > 1<<40 || w.arena.used >= w.maxBytes || w.meter.over {
		return
	}
	o := w.add(p, w.types.bytes, shapeText, n, min(depth, w.depth), name, secret)
	if o == nil || o.done {
		return
	}
	o.done = true
	if !w.heap.holds(p, uint64(n)) || o.doubt && !w.heap.intact(p) {
		o.reason, o.stale = dump.Unreadable, true
		return
	}
	o.n = min(n, int64(w.cfg.MaxStringLen+redact.Lookahead))
	if n > int64(w.cfg.MaxStringLen) {
		w.hits.str++
	}
	o.data, o.reason = w.copy(p, uint64(o.n))
}

// dynamic returns the dynamic type of an interface value, nil for a nil
// interface or one that does not make sense.
func (w *walker) dynamic(t *typ, b []byte) *typ {
	p := word(b, 0)
	if p == 0 {
		return nil
	}
	if t.resolve(); t.methods {
		return w.ofItab(p)
	}
	return w.ofRtype(p)
}

func (w *walker) ofRtype(p uint64) *typ {
	c := &w.rtypes[p>>5&255]
	if c.addr != p {
		c.addr, c.t = p, w.types.at(p)
	}
	return c.t
}

// ofItab returns the dynamic type that an itab (internal/abi/iface.go) stands
// for. Its copy of the type's hash tells it from anything else.
func (w *walker) ofItab(p uint64) *typ {
	if t, ok := w.itabs[p]; ok {
		return t
	}
	var t *typ
	if b, err := w.mem.bytes(p, 20); err == nil {
		at, want := word(b, 8), binary.LittleEndian.Uint32(b[16:])
		if hash, err := w.mem.bytes(at+16, 4); err == nil && binary.LittleEndian.Uint32(hash) == want {
			t = w.ofRtype(at)
		}
	}
	w.itabs[p] = t
	return t
}

// copyMap copies a map's keys and elements. A map that is being written at the
// same time may give an entry twice, or not at all; it does no harm.
func (w *walker) copyMap(o *object) {
	t := o.t.resolve()
	l, m := w.lay, &t.mapping
	h, err := w.mem.bytes(o.addr, 48)
	if err != nil {
		o.reason = dump.Unreadable
		return
	}
	// A program that only ever makes empty maps of a type has no runtime type for it.
	if o.total = int64(word(h, int(l.mapUsed))); o.total == 0 {
		return
	}
	if t.key == nil || t.elem == nil || m.groupSize == 0 || m.slotSize == 0 || m.groupSize > maxValueBytes ||
		m.groupSize < 8+8*m.slotSize || m.elemOff > m.slotSize {
		o.total, o.reason = 0, dump.Unsupported
		return
	}
	dir, dirLen := word(h, int(l.mapDirPtr)), word(h, int(l.mapDirLen))
	if o.total < 0 || o.total > 1<<40 || dirLen > 1<<32 {
		o.reason = dump.Unreadable
		return
	}
	want := min(o.total, int64(w.cfg.MaxMapEntries))
	if want < o.total {
		w.hits.collection++
	}
	c := &w.maps
	if uint64(cap(c.group)) < m.groupSize {
		c.group = make([]byte, m.groupSize)
	}
	*c = mapCopy{w: w, t: t, want: want, group: c.group[:m.groupSize], out: c.out[:0]}
	switch {
	case dirLen == 0:
		c.copyGroups(dir, 1)
	default:
		for i := uint64(0); i < dirLen && c.n < want && c.visits < maxMapVisits; i++ {
			c.visits++
			table, err := w.mem.word(dir + 8*i)
			if err != nil {
				c.failed = true
				break
			}
			tb, err := w.mem.bytes(table, 40)
			if w.meter.read(40, err) {
				break
			}
			if err != nil {
				c.failed = true
				break
			}
			if word(tb, int(l.tabIndex)) != i {
				continue // the same table as at its first index, or a stale one
			}
			groups, mask := word(tb, int(l.tabGroups+l.groupsData)), word(tb, int(l.tabGroups+l.groupsLengthMask))
			c.copyGroups(groups, mask+1)
		}
	}
	if w.meter.over && c.n < want && !w.late {
		o.done = false // phase two has more time
		w.again = append(w.again, o)
		return
	}
	if w.meter.over && c.n < want {
		o.reason = dump.TimeBudget
	}
	if c.failed && c.n == 0 {
		o.reason = dump.Unreadable
		return
	}
	o.n = c.n
	o.data = w.arena.alloc(len(c.out))
	copy(o.data, c.out)
}

// maxMapVisits bounds how many slots of one map are looked at.
const maxMapVisits = 1 << 20

type mapCopy struct {
	w      *walker
	t      *typ
	want   int64
	group  []byte
	out    []byte
	n      int64
	visits int
	failed bool
}

// copyGroups goes through count groups (internal/runtime/maps/group.go): eight
// control bytes, of which one with its top bit clear marks a full slot, then
// eight slots.
func (c *mapCopy) copyGroups(at, count uint64) {
	m := &c.t.mapping
	ks, es := c.t.key.size, c.t.elem.size
	for g := uint64(0); g < count && c.n < c.want && c.visits < maxMapVisits; g++ {
		c.visits += 8
		err := c.w.mem.ReadAt(c.group, at+g*m.groupSize)
		if err != nil {
			c.failed = true
		}
		if c.w.meter.read(len(c.group), err) || err != nil {
			return
		}
		for s := uint64(0); s < 8 && c.n < c.want; s++ {
			if c.group[s]&0x80 != 0 {
				continue
			}
			slot := c.group[8+s*m.slotSize : 8+(s+1)*m.slotSize]
			start := len(c.out)
			if !c.append(slot, 0, ks, m.indirectKey) || !c.append(slot, m.elemOff, es, m.indirectElem) {
				c.out = c.out[:start]
				c.failed = true
				continue
			}
			c.n++
		}
	}
}

func (c *mapCopy) append(slot []byte, off, size uint64, indirect bool) bool {
	if size > maxValueBytes || uint64(len(c.out))+size > 8*maxValueBytes {
		return false
	}
	if !indirect {
		if off+size > uint64(len(slot)) {
			return false
		}
		c.out = append(c.out, slot[off:off+size]...)
		return true
	}
	if off+8 > uint64(len(slot)) {
		return false
	}
	n := len(c.out)
	c.out = append(c.out, make([]byte, size)...)
	err := c.w.mem.ReadAt(c.out[n:], word(slot, int(off)))
	c.w.meter.read(int(size), err)
	return err == nil
}

// copyChan copies a channel's buffer, oldest element first.
func (w *walker) copyChan(o *object) {
	l := w.lay
	t := o.t.resolve()
	h, err := w.mem.bytes(o.addr, 64)
	if t.elem == nil || err != nil {
		o.reason = dump.Unreadable
		return
	}
	count, size := word(h, int(l.cCount)), word(h, int(l.cSize))
	buf, recv := word(h, int(l.cBuf)), word(h, int(l.cRecvX))
	o.closed = binary.LittleEndian.Uint32(h[l.cClosed:]) != 0
	if count > size || recv > size || size > 1<<40 {
		o.reason = dump.Unreadable
		return
	}
	o.total, o.cap = int64(count), int64(size)
	n := min(count, uint64(w.maxElems(t.elem)))
	es := t.elem.size
	b := w.arena.alloc(int(n * es))
	w.meter.tick(int(n * (es + costRead)))
	for i := range n {
		at := buf + (recv+i)%size*es
		if es > 0 && w.mem.ReadAt(b[i*es:(i+1)*es], at) != nil {
			o.reason = dump.Unreadable
			return
		}
	}
	o.n, o.data = int64(n), b
	if o.n < o.total {
		w.hits.collection++
	}
}
