// Package route puts several stores of dumps together into one:
//
//   - [Fanout] stores every dump in all of them;
//   - [Fallback] stores it in a second one while the first is down;
//   - [ByTrigger] chooses one by what made the dump.
//
// They can be nested, and each is a [sink.Sink] that keeps to its contract. Reading
// is the same for all: Open asks one store after the other, Trace and List show
// what any of them has, each dump once, and Delete removes it from all. An entry
// of Trace or List has the URI of the first store that has the dump, so it says
// where the dump really lies, while URI says where Put means to store it.
//
// If some of the stores cannot be asked, what the others have is shown
// nevertheless, and an error says which could not: Trace returns it with the
// entries, List yields it at the end. So nobody takes half an answer for a whole
// one; whoever is content with half can have it.
//
// An error names the store that it comes from. It is permanent if that of every
// store which failed is, and has the longest of their times of
// [sink.RetryAfter]. It is marked with [sink.WithPartial] if other stores have the
// dump or may be well, so that a spool goes on with other dumps.
//
// A spool belongs in front of these, not among them: what they are made of does
// not tell whether a dump has arrived, and they are no [sink.Forwarder]. A store
// that panics, or ends its goroutine, has failed, and does not take the others
// down. Shutdown shuts each
// store down, once, also one that is in several places.
package route

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// union is how several stores are read as one.
type union struct {
	stores []sink.Sink // distinct; the first is asked first
}

func newUnion(stores ...sink.Sink) union {
	var u union
	for _, s := range stores {
		if s == nil {
			panic("route: a store is nil")
		}
		if !slices.ContainsFunc(u.stores, func(o sink.Sink) bool { return same(o, s) }) {
			u.stores = append(u.stores, s)
		}
	}
	return u
}

// same reports whether two stores are one. Some types cannot be compared.
func same(a, b sink.Sink) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// each calls do for every store, all at once, and returns the errors.
func each(stores []sink.Sink, do func(i int, s sink.Sink) error) (failures []failure) {
	errs := make([]error, len(stores))
	one := func(i int) {
		errs[i] = errors.New("the store ended its goroutine") // unless it returns
		defer func() {
			if r := recover(); r != nil {
				errs[i] = fmt.Errorf("the store panicked: %v", r)
			}
		}()
		errs[i] = do(i, stores[i])
	}
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { one(i) }) // on none of the caller's, which a store may end
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			failures = append(failures, failure{stores[i], err})
		}
	}
	return failures
}

// elsewhere is an entry as another store than the one that listed it may see it:
// without what is only true there.
func elsewhere(e sink.Entry) sink.Entry { return sink.Entry{Identity: e.Identity, Key: e.Key} }

// Open asks one store after the other.
func (u *union) Open(ctx context.Context, e sink.Entry) (sink.Object, error) {
	var failures []failure
	for _, s := range u.stores {
		obj, err := s.Open(ctx, elsewhere(e))
		if err == nil {
			return obj, nil
		}
		failures = append(failures, failure{s, err})
		if ctx.Err() != nil {
			break
		}
	}
	// That one has not got it says nothing while another cannot be asked.
	others := slices.DeleteFunc(slices.Clone(failures), func(f failure) bool { return errors.Is(f.err, sink.ErrNotFound) })
	if len(others) > 0 {
		failures = others
	}
	return nil, join(failures, nil)
}

// Trace asks all stores at once.
func (u *union) Trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	lists := make([][]sink.Entry, len(u.stores))
	failures := each(u.stores, func(i int, s sink.Sink) (err error) {
		lists[i], err = s.Trace(ctx, trace)
		return err
	})
	all := slices.Concat(lists...)
	// Stable, so that of equal ones the first store's comes first.
	slices.SortStableFunc(all, func(a, b sink.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	all = slices.CompactFunc(all, func(a, b sink.Entry) bool { return a.ID == b.ID })
	return all, join(failures, nil)
}

// Delete removes the dump from all stores.
func (u *union) Delete(ctx context.Context, e sink.Entry) error {
	return join(each(u.stores, func(_ int, s sink.Sink) error { return s.Delete(ctx, elsewhere(e)) }), nil)
}

// List merges the listings of all stores.
func (u *union) List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		m := &merge{seen: make(map[seenKey]struct{})}
		defer m.stop()
		for _, s := range u.stores {
			m.add(s, s.List(ctx, q))
		}
		for {
			if err := ctx.Err(); err != nil {
				yield(sink.Entry{}, fmt.Errorf("listing several stores: %w", err))
				return
			}
			e, ok := m.next()
			if !ok {
				break
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := join(m.failures, nil); err != nil {
			yield(sink.Entry{}, err)
		}
	}
}

// merge goes through several listings, newest first.
type merge struct {
	cursors  []*cursor
	failures []failure
	seen     map[seenKey]struct{} // of the present millisecond
	at       time.Time
}

type seenKey struct {
	id    dump.ID
	trace dump.TraceID
}

// cursor is where one listing has got to.
type cursor struct {
	store   sink.Sink
	head    sink.Entry
	advance func() (sink.Entry, error, bool)
	stop    func()
}

func (m *merge) add(s sink.Sink, list iter.Seq2[sink.Entry, error]) {
	advance, stop := iter.Pull2(list)
	c := &cursor{store: s, advance: advance, stop: stop}
	m.cursors = append(m.cursors, c)
	m.forward(c)
}

// forward gets the next head of a listing, or drops the listing.
func (m *merge) forward(c *cursor) {
	e, err, ok := c.advance()
	if ok && err == nil {
		c.head = e
		return
	}
	if err != nil {
		m.failures = append(m.failures, failure{c.store, err})
	}
	c.stop()
	m.cursors = slices.DeleteFunc(m.cursors, func(o *cursor) bool { return o == c })
}

// next returns the newest dump that was not returned yet. Within a millisecond a
// store may list as it likes, so equal dumps need not come together.
func (m *merge) next() (sink.Entry, bool) {
	for len(m.cursors) > 0 {
		newest := m.cursors[0]
		for _, c := range m.cursors[1:] {
			if bytes.Compare(c.head.ID[:], newest.head.ID[:]) > 0 {
				newest = c
			}
		}
		e := newest.head
		m.forward(newest)
		if t := e.ID.Time(); !t.Equal(m.at) {
			clear(m.seen)
			m.at = t
		}
		key := seenKey{e.ID, e.TraceID}
		if _, ok := m.seen[key]; !ok {
			m.seen[key] = struct{}{}
			return e, true
		}
	}
	return sink.Entry{}, false
}

func (m *merge) stop() {
	for _, c := range m.cursors {
		c.stop()
	}
}

// Shutdown shuts every store down, all at once.
func (u *union) Shutdown(ctx context.Context) error {
	return join(each(u.leaves().stores, func(_ int, s sink.Sink) error { return sink.Shutdown(ctx, s) }), nil)
}

// leaves returns the stores that are not routes themselves, each once.
func (u *union) leaves() union {
	var all []sink.Sink
	for _, s := range u.stores {
		if r, ok := s.(interface{ leaves() union }); ok {
			all = append(all, r.leaves().stores...)
		} else {
			all = append(all, s)
		}
	}
	return newUnion(all...)
}
