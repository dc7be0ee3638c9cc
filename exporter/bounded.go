package exporter

import (
	"sync"
	"sync/atomic"
)

// bounded is a map that forgets its oldest entries when it is full. It is safe
// for concurrent use. While it is empty, take costs no lock.
type bounded[K comparable, V any] struct {
	n     atomic.Int64
	mu    sync.Mutex
	m     map[K]boundedEntry[V]
	order []boundedSlot[K] // a ring of the keys as they came, some of them gone since
	next  int
	seq   uint64
}

type boundedEntry[V any] struct {
	value V
	slot  int
	seq   uint64
}

type boundedSlot[K comparable] struct {
	key K
	seq uint64 // 0: free
}

func newBounded[K comparable, V any](limit int) *bounded[K, V] {
	return &bounded[K, V]{m: make(map[K]boundedEntry[V]), order: make([]boundedSlot[K], limit)}
}

// put sets the value of k.
func (b *bounded[K, V]) put(k K, v V) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.m[k]; ok {
		e.value = v
		b.m[k] = e
		return
	}
	b.seq++
	slot := b.next
	b.next = (b.next + 1) % len(b.order)
	if old := b.order[slot]; old.seq != 0 {
		if e, ok := b.m[old.key]; ok && e.seq == old.seq {
			delete(b.m, old.key)
		}
	}
	b.order[slot] = boundedSlot[K]{k, b.seq}
	b.m[k] = boundedEntry[V]{v, slot, b.seq}
	b.n.Store(int64(len(b.m)))
}

// get returns the value of k.
func (b *bounded[K, V]) get(k K) (V, bool) {
	if b.n.Load() == 0 {
		var zero V
		return zero, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.m[k]
	return e.value, ok
}

// take returns the value of k and forgets it.
func (b *bounded[K, V]) take(k K) (V, bool) {
	if b.n.Load() == 0 {
		var zero V
		return zero, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.m[k]
	if ok {
		delete(b.m, k)
		b.order[e.slot] = boundedSlot[K]{}
		b.n.Store(int64(len(b.m)))
	}
	return e.value, ok
}
