package capture

import (
	"encoding/binary"
	"runtime"
)

// heap tells memory that the program uses from memory that it has given up: the
// stack that a goroutine had before it moved, an object that was collected. A
// variable that is dead, though the debug info still places it, may point there.
type heap struct {
	rd     reader
	mheap  uint64
	arenas uint64 // address of the array of *heapArena; 0: unknown, everything counts as used
	l      *layout
	stack  *region // the copied stack
	hi     uint64  // where that stack ends
	// floor is the stack pointer of the frame whose variables are followed: no pointer
	// of a frame leads into the frames that it has called, so one that seems to is one
	// that the stack has left behind.
	floor uint64
	// marked: what the collector marked in its last cycle has not been collected before.
	marked bool
	gen    uint32 // sweepgen when the capture began
	late   bool   // the goroutine has gone on since its stack was copied
	last   span
}

// span is what is known of the run of pages that an address is in.
type span struct {
	low, high uint64
	elem      uint64 // size of its objects, or of its stacks
	state     uint8
	sweepgen  uint32
	allocBits uint64
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
	h := heap{rd: reader{Memory: mem}, l: l, stack: stack, hi: hi, mheap: mheap}
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
	s := span{
		low: word(b, int(h.l.spanStart)), elem: word(b, int(h.l.spanElem)), state: b[h.l.spanState],
		sweepgen: binary.LittleEndian.Uint32(b[h.l.spanSweepgen:]), allocBits: word(b, int(h.l.spanAllocBits)),
	}
	s.high = s.low + word(b, int(h.l.spanPages))*pageSize
	if p < s.low || p >= s.high {
		return free // a free page maps to any span
	}
	h.last = s
	return s
}

// onStack reports whether p is in the goroutine's stack.
func (h *heap) onStack(p uint64) bool { return p >= h.stack.lo && p < h.hi }

// holds reports whether n bytes at p may be read for what a pointer to p says they
// are: the memory is in use, and what is there is not smaller.
func (h *heap) holds(p, n uint64) bool {
	if p >= h.stack.lo && p < h.hi {
		if h.late && h.span(p).state == spanInUse {
			return false // the stack is gone, and the heap has its memory
		}
		if p-h.stack.lo >= uint64(len(h.stack.data)) && h.arenas != 0 && h.span(p).state != spanManual {
			return false // a part that was not copied, of a stack that has moved
		}
		return p >= h.floor && n <= h.hi-p
	}
	s := h.span(p)
	switch {
	case s.high == 0:
		return true // package variables, memory of C
	case s.state == spanInUse:
		if s.elem == 0 || s.elem > s.high-s.low {
			return n <= s.high-p
		}
		return n <= s.elem-(p-s.low)%s.elem
	}
	return false
}

// intact reports whether the object at p is surely not one that was made in the place of
// another, if the collector has finished no more than one cycle in between: it was marked in that cycle, or nothing has been made in its
// span since (runtime.mspan's allocBits and sweepgen).
func (h *heap) intact(p uint64) bool {
	if h.arenas == 0 {
		return false
	}
	if p >= h.stack.lo && p < h.hi {
		return true
	}
	h.last = span{} // as it is now
	s := h.span(p)
	if s.high == 0 {
		return true
	}
	if s.state != spanInUse || s.elem == 0 || !h.marked {
		return false
	}
	gen := h.sweepgenNow()
	if gen == 0 {
		return false
	}
	if gen != h.gen {
		return false // another cycle has come to the sweeping meanwhile
	}
	switch s.sweepgen - gen {
	case 0, 3: // swept
		i := (p - s.low) / s.elem
		b, err := h.rd.bytes(s.allocBits+i/8, 1)
		return err == nil && b[0]&(1<<(i%8)) != 0
	case ^uint32(0) - 1, 1: // not yet
		return true
	}
	return false // being swept
}

// sweepgenNow returns runtime.mheap.sweepgen, which changes when the collector begins to
// free what it has not marked; 0 if unknown.
func (h *heap) sweepgenNow() uint32 {
	if h.mheap == 0 {
		return 0
	}
	b, err := h.rd.bytes(h.mheap+h.l.mheapSweepgen, 4)
	if err != nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

// moved returns where p leads now if it leads to where the goroutine's stack lay
// before it moved: to the same distance from the stack's end. Only a variable of a frame
// that the collector no longer counts keeps such a pointer; no other leads into a stack that
// is not its own.
func (h *heap) moved(p uint64) (now uint64, ok bool) {
	if p == 0 || h.hi == 0 || p >= h.stack.lo && p < h.hi {
		return 0, false
	}
	s := h.span(p)
	if s.state != spanManual || s.elem == 0 || s.elem > s.high-s.low {
		return 0, false
	}
	old := s.low + ((p-s.low)/s.elem+1)*s.elem // its end
	now = h.hi - (old - p)
	return now, now >= max(h.floor, h.stack.lo) && now < h.hi
}
