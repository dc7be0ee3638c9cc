package capture

import (
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/internal/bubble"
)

const (
	// arenaChunk is how much an arena grows by.
	arenaChunk = 256 << 10
	// spareChunks is how many chunks are kept for the next capture: 16 MiB, which
	// most captures do with. A sync.Pool would keep what a storm of failures has
	// used at its worst for two cycles of the collector, which makes the heap grow
	// and so the cycles rare.
	spareChunks = 64
	// spareFor is how long they are kept when nothing fails.
	spareFor = time.Minute
)

// spare are chunks that are not used.
var spare struct {
	sync.Mutex
	chunks [][]byte
	idle   *time.Timer
}

func takeChunk() []byte {
	spare.Lock()
	defer spare.Unlock()
	n := len(spare.chunks)
	if n == 0 {
		return make([]byte, arenaChunk)
	}
	c := spare.chunks[n-1]
	spare.chunks[n-1] = nil
	spare.chunks = spare.chunks[:n-1]
	return c
}

func giveChunks(chunks [][]byte) {
	if len(chunks) == 0 {
		return
	}
	if bubble.Here() {
		return // a timer of the bubble's must not be touched outside, nor ours with its clock
	}
	spare.Lock()
	defer spare.Unlock()
	n := min(len(chunks), spareChunks-len(spare.chunks))
	spare.chunks = append(spare.chunks, chunks[:n]...)
	if spare.idle == nil {
		spare.idle = time.AfterFunc(spareFor, dropSpare)
	} else {
		spare.idle.Reset(spareFor)
	}
}

func dropSpare() {
	spare.Lock()
	defer spare.Unlock()
	spare.chunks = nil
}

// arena hands out bytes that are freed all at once.
type arena struct {
	free   []byte
	chunks [][]byte
	used   int64
}

// alloc returns n bytes, not cleared.
func (a *arena) alloc(n int) []byte {
	a.used += int64(n)
	if n > arenaChunk/4 {
		return make([]byte, n)
	}
	if n > len(a.free) {
		c := takeChunk()
		a.chunks = append(a.chunks, c)
		a.free = c
	}
	b := a.free[:n:n]
	a.free = a.free[n:]
	return b
}

// arenaMark is a state of an arena to go back to.
type arenaMark struct {
	free   []byte
	chunks int
	used   int64
}

func (a *arena) mark() arenaMark { return arenaMark{a.free, len(a.chunks), a.used} }

// reset takes back what was handed out since m was made, which must not be used any more.
func (a *arena) reset(m arenaMark) {
	a.used = m.used
	if len(a.chunks) == m.chunks {
		a.free = m.free
		return
	}
	a.free = a.chunks[m.chunks]
	giveChunks(a.chunks[m.chunks+1:])
	a.chunks = a.chunks[:m.chunks+1]
}

func (a *arena) release() {
	giveChunks(a.chunks)
	*a = arena{}
}
