package capture

import "runtime"

// heap tells memory that the program uses from memory that it has given up: the
// stack that a goroutine had before it moved, an object that was collected. A
// variable that is dead, though the debug info still places it, may point there.
type heap struct {
	rd     reader
	arenas uint64 // address of the array of *heapArena; 0: unknown, everything counts as used
	l      *layout
	stack  *region // the copied stack
	hi     uint64  // where that stack ends
	// floor is the stack pointer of the frame whose variables are followed: no pointer
	// of a frame leads into the frames that it has called, so one that seems to is one
	// that the stack has left behind.
	floor uint64
	last  span
}

// span is what is known of the run of pages that an address is in.
type span struct {
	low, high uint64
	elem      uint64 // size of its objects, or of its stacks
	state     uint8
}

// Constants of runtime/malloc.go and mheap.go (Go 1.26, 64-bit Unix).
const (
	heapArenaBytes = 64 << 20
	pageSize       = 8192
	spanInUse      = 1 // objects
	spanManual     = 2 // stacks
)

func arenaBase() uint64 {
	if runtime.GOARCH == "amd64" {
		return 0xffff800000000000
	}
	return 0
}

func newHeap(mem Memory, l *layout, mheap uint64, stack *region, hi uint64) heap {
	h := heap{rd: reader{Memory: mem}, l: l, stack: stack, hi: hi}
	if mheap != 0 && runtime.GOOS != "windows" {
		h.arenas, _ = h.rd.word(mheap + l.mheapArenas)
	}
	return h
}

// span returns the heap's span that p is in. A span with no bounds stands for
// memory that is not the heap's, one with the state zero for free memory.
func (h *heap) span(p uint64) span {
	if h.last.low <= p && p < h.last.high {
		return h.last
	}
	i := (p - arenaBase()) / heapArenaBytes
	if h.arenas == 0 || i >= 1<<22 {
		return span{}
	}
	arena, err := h.rd.word(h.arenas + 8*i)
	if err != nil || arena == 0 {
		return span{}
	}
	at, err := h.rd.word(arena + h.l.arenaSpans + 8*(p/pageSize%(heapArenaBytes/pageSize)))
	if err != nil {
		return span{}
	}
	free := span{low: p, high: p + 1}
	if at == 0 {
		return free
	}
	b, err := h.rd.bytes(at, 128)
	if err != nil {
		return span{}
	}
	s := span{low: word(b, int(h.l.spanStart)), elem: word(b, int(h.l.spanElem)), state: b[h.l.spanState]}
	s.high = s.low + word(b, int(h.l.spanPages))*pageSize
	if p < s.low || p >= s.high {
		return free // a free page maps to any span
	}
	h.last = s
	return s
}

// place finds where the n bytes at p are to be read: at p, or, if p points to
// where the goroutine's stack lay before it moved, at the same distance from the
// end of the stack now. No pointer of a program leads into another goroutine's stack. ok is
// false if they are nowhere: the memory is no longer in use, or what is there is
// smaller than that.
func (h *heap) place(p, n uint64) (at uint64, ok bool) {
	if p >= h.stack.lo && p < h.hi {
		return p, p >= h.floor && n <= h.hi-p
	}
	s := h.span(p)
	switch {
	case s.high == 0:
		return p, true // package variables, memory of C
	case s.state == spanInUse:
		if s.elem == 0 || s.elem > s.high-s.low {
			return p, n <= s.high-p
		}
		return p, n <= s.elem-(p-s.low)%s.elem
	case s.state == spanManual && s.elem > 0 && s.elem <= s.high-s.low && h.hi != 0:
		old := s.low + ((p-s.low)/s.elem+1)*s.elem // its end
		at = h.hi - (old - p)
		return at, at >= max(h.floor, h.stack.lo) && at < h.hi && n <= h.hi-at
	}
	return p, false
}
