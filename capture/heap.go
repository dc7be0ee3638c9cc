package capture

import "runtime"

// heap tells memory that the program uses from memory that it has given up: the
// stack that a goroutine had before it moved, an object that was collected. A
// variable that is dead, though the debug info still places it, may point there.
type heap struct {
	rd     reader
	arenas uint64 // address of the array of *heapArena; 0: unknown, everything counts as used
	l      *layout
	stack  *region
	last   struct {
		low, high uint64
		used      bool
	}
}

// Constants of runtime/malloc.go and mheap.go (Go 1.26, 64-bit Unix).
const (
	heapArenaBytes = 64 << 20
	pageSize       = 8192
	spanInUse      = 1
)

func arenaBase() uint64 {
	if runtime.GOARCH == "amd64" {
		return 0xffff800000000000
	}
	return 0
}

func newHeap(mem Memory, l *layout, mheap uint64, stack *region) heap {
	h := heap{rd: reader{Memory: mem}, l: l, stack: stack}
	if mheap != 0 && runtime.GOOS != "windows" {
		h.arenas, _ = h.rd.word(mheap + l.mheapArenas)
	}
	return h
}

// used reports whether an object may lie at p: in a span of the heap that is in
// use, on the stack that was copied, or outside of the Go heap altogether
// (package variables, memory of C).
func (h *heap) used(p uint64) bool {
	if h.arenas == 0 || h.stack.contains(p, 1) {
		return true
	}
	if h.last.low <= p && p < h.last.high {
		return h.last.used
	}
	i := (p - arenaBase()) / heapArenaBytes
	if i >= 1<<22 {
		return true
	}
	arena, err := h.rd.word(h.arenas + 8*i)
	if err != nil || arena == 0 {
		return true // not the heap's
	}
	span, err := h.rd.word(arena + h.l.arenaSpans + 8*(p/pageSize%(heapArenaBytes/pageSize)))
	if err != nil {
		return true
	}
	if span == 0 {
		return false
	}
	b, err := h.rd.bytes(span, 128)
	if err != nil {
		return true
	}
	low := word(b, int(h.l.spanStart))
	high := low + word(b, int(h.l.spanPages))*pageSize
	if p < low || p >= high {
		return false // a free page maps to any span
	}
	h.last.low, h.last.high, h.last.used = low, high, b[h.l.spanState] == spanInUse
	return h.last.used
}
