package capture

import (
	"runtime"
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// closure is what is known of the func values that call one function
// (cmd/compile/internal/closure): the function's address, then the captured variables at the
// offsets that the debug info gives.
type closure struct {
	name string
	vars []capturedVar
	// doubtful are those of vars of which the debug info does not say whether the closure
	// has their value or their address: a variable that was captured by value, and escapes in
	// the closure's own code, looks there like one captured by reference.
	doubtful []int
}

type capturedVar struct {
	name string
	t    *typ // of what is in the closure, as the debug info has it
	off  uint64
}

// closureKey names one layout of a closure: what was decided of each doubtful variable.
type closureKey struct {
	pc   uint64
	mask uint32
}

// The decisions, two bits each.
const (
	byReference = iota
	byValue
	undecided
)

// maxDoubtful is how many doubtful variables of one closure are looked at.
const maxDoubtful = 16

// closure returns the name of the function that a func value at p calls, and a
// struct type of its captured variables, nil if it has none.
func (w *walker) closure(p uint64) (name string, t *typ) {
	pc, err := w.mem.word(p)
	if err != nil || pc == 0 {
		return "", nil
	}
	fn := runtime.FuncForPC(uintptr(pc))
	if fn == nil || uint64(fn.Entry()) != pc {
		return "", nil
	}
	if w.info == nil {
		return fn.Name(), nil
	}
	c, ok := w.types.closures.Load(pc)
	if !ok {
		c, _ = w.types.closures.LoadOrStore(pc, w.types.closureAt(w.info, pc, fn.Name()))
	}
	k := c.(*closure)
	if len(k.vars) == 0 || !w.heap.onStack(p) && w.heap.span(p).high == 0 {
		return k.name, nil // a static func value has captured nothing
	}
	key := closureKey{pc: pc}
	if len(k.doubtful) > 0 {
		// Once decided it stays so: what the heap is like changes until the object is decoded.
		mask, ok := w.decided[p]
		if !ok {
			for i, d := range k.doubtful {
				mask |= w.decide(p, &k.vars[d], k.next(k.vars[d].off) == 0) << (2 * i)
			}
			if w.decided == nil {
				w.decided = map[uint64]uint32{}
			}
			w.decided[p] = mask
		}
		key.mask = mask
	}
	v, ok := w.types.closures.Load(key)
	if !ok {
		v, _ = w.types.closures.LoadOrStore(key, w.types.closureType(k, key.mask))
	}
	return k.name, v.(*typ)
}

// closureAt reads what the debug info says of a closure's captured variables.
func (tt *typeTable) closureAt(di *debugInfo, pc uint64, name string) *closure {
	k := &closure{name: name}
	f := di.functionAt(pc - di.bias)
	if f == nil {
		return k
	}
	if f.name != "" {
		k.name = f.name // the runtime's names leave type arguments out: "f[...]"
	}
	for _, v := range f.root.vars {
		if v.closureOff < 0 || v.closureOff > maxValueBytes {
			continue
		}
		if vt := tt.ofDIE(v.typ); vt != nil {
			k.vars = append(k.vars, capturedVar{v.name, vt, uint64(v.closureOff)})
		}
	}
	for i := range k.vars {
		v := &k.vars[i]
		next := k.next(v.off)
		if v.name[0] != '&' || v.t.kind != dump.Pointer || v.t.resolve().elem == nil {
			continue
		}
		size := v.t.elem.size
		if next != 0 && size > 8 {
			if next-v.off >= size { // room for the value
				v.name, v.t = v.name[1:], v.t.elem
			}
			continue
		}
		if len(k.doubtful) < maxDoubtful {
			k.doubtful = append(k.doubtful, i)
		}
	}
	return k
}

// next returns the offset of the variable behind the one at off, 0 if that is the last.
func (k *closure) next(off uint64) uint64 {
	n := uint64(0)
	for i := range k.vars {
		if o := k.vars[i].off; o > off && (n == 0 || o < n) {
			n = o
		}
	}
	return n
}

// decide finds out whether the closure at p has the address of a variable or its value.
func (w *walker) decide(p uint64, v *capturedVar, last bool) uint32 {
	word, err := w.mem.word(p + v.off)
	if err != nil {
		return undecided
	}
	t := v.t.elem
	if now, ok := w.heap.moved(word); ok {
		word = now
	}
	target := w.heap.span(word)
	onStack := w.heap.onStack(word)
	inHeap := !onStack && target.state == spanInUse
	if !onStack && (!inHeap || target.elem != 0 && t.size > target.elem-(word-target.low)%target.elem) {
		return byValue // a variable's address leads to the stack or the heap
	}
	if s := t.resolve().slots; len(s) == 0 || s[0].off != 0 {
		return byReference // a value of that type is no pointer
	}
	if t.size > 8 && last && !w.heap.onStack(p) {
		switch room := w.heap.span(p).elem; {
		case room < v.off+t.size:
			return byReference
		case room >= v.off+t.size && room > v.off+8+16:
			return byValue
		}
		return undecided
	}
	// A variable that holds one pointer has, on the heap, an object of eight bytes.
	if t.size == 8 && inHeap {
		if target.elem > 8 {
			return byValue
		}
		return byReference
	}
	return undecided
}

// closureType makes the struct type of one layout of a closure.
func (tt *typeTable) closureType(k *closure, mask uint32) *typ {
	t := &typ{table: tt, name: k.name, kind: dump.Struct}
	for i := range k.vars {
		v := k.vars[i]
		if d := slices.Index(k.doubtful, i); d >= 0 {
			switch mask >> (2 * d) & 3 {
			case byValue:
				v.t = v.t.elem
			case undecided:
				continue
			}
		}
		t.fields = append(t.fields, field{name: strings.TrimPrefix(v.name, "&"), typ: v.t, off: v.off})
		t.size = max(t.size, v.off+v.t.size)
	}
	if len(t.fields) == 0 {
		return nil
	}
	tt.mu.Lock()
	defer tt.mu.Unlock()
	t.id = uint32(len(tt.all) + 1)
	tt.all = append(tt.all, t)
	t.derive(0)
	t.resolved.Store(true)
	return t
}
