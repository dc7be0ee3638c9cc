// Package store is the shop's database: tables in memory.
package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// NotFoundError says that a table has no such row.
type NotFoundError struct {
	Table string
	Key   any
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("%s: no row %v", e.Table, e.Key) }

// Table maps keys to rows. It is safe for concurrent use.
type Table[K cmp.Ordered, V any] struct {
	name   string
	mu     sync.RWMutex
	rows   map[K]V
	writes int
}

// NewTable returns an empty table.
func NewTable[K cmp.Ordered, V any](name string) *Table[K, V] {
	return &Table[K, V]{name: name, rows: make(map[K]V)}
}

// Get returns a row, or a *NotFoundError.
func (t *Table[K, V]) Get(key K) (V, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	row, ok := t.rows[key]
	if !ok {
		return row, &NotFoundError{Table: t.name, Key: key}
	}
	return row, nil
}

// Put writes a row.
func (t *Table[K, V]) Put(key K, row V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[key] = row
	t.writes++
}

// Update changes a row in place, with the table locked.
func (t *Table[K, V]) Update(key K, change func(row V) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	row, ok := t.rows[key]
	if !ok {
		return &NotFoundError{Table: t.name, Key: key}
	}
	before := t.writes
	if err := change(row); err != nil {
		return fmt.Errorf("%s: update %v after %d writes: %w", t.name, key, before, err)
	}
	t.writes = before + 1
	return nil
}

// Keys returns the keys in order.
func (t *Table[K, V]) Keys() []K {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Sorted(maps.Keys(t.rows))
}
