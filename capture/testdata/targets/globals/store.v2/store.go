// Package store has package variables, in a package whose path has a dot in its last element.
package store

// Cache is generic.
type Cache[K comparable, V any] struct {
	items map[K]V
	hits  int
}

// Put puts.
func (c *Cache[K, V]) Put(k K, v V) {
	if c.items == nil {
		c.items = map[K]V{}
	}
	c.items[k] = v
	c.hits++
}

var (
	cache  Cache[string, []int]
	Prices = map[string]float64{"A-1": 9.5}
	// second is made from first, which stands behind it.
	second = first() + 1
	base   = 41
)

//go:noinline
func first() int { return base }

// Use uses them all, so that the linker keeps them.
func Use(n int) int {
	cache.Put("odd", []int{n, n + 2})
	Prices["B-2"] = float64(n)
	base += second
	return second
}
