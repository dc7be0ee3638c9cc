package capture

import "sync"

// arenaChunk is how much an arena grows by.
const arenaChunk = 256 << 10

var chunkPool = sync.Pool{New: func() any { b := make([]byte, arenaChunk); return &b }}

// arena hands out bytes that are freed all at once.
type arena struct {
	free   []byte
	chunks []*[]byte
	used   int64
}

// alloc returns n bytes, not cleared.
func (a *arena) alloc(n int) []byte {
	a.used += int64(n)
	if n > arenaChunk/4 {
		return make([]byte, n)
	}
	if n > len(a.free) {
		c := chunkPool.Get().(*[]byte)
		a.chunks = append(a.chunks, c)
		a.free = *c
	}
	b := a.free[:n:n]
	a.free = a.free[n:]
	return b
}

func (a *arena) release() {
	for _, c := range a.chunks {
		chunkPool.Put(c)
	}
	*a = arena{}
}
