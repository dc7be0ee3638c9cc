package cli

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// width is how many files or objects are read at a time. The work is waiting
// for a disk or a server, so it does not depend on the number of processors.
const width = 8

// forEach calls fn(0) … fn(n-1), width at a time, and returns when all are done.
// Calls that have not begun when ctx is done do not begin.
func forEach(ctx context.Context, width, n int, fn func(i int)) {
	if n == 1 && ctx.Err() == nil {
		fn(0)
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, width)
	for i := range n {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			fn(i)
		})
	}
	wg.Wait()
}

// listed is a stored dump with its header, or with what is wrong with it.
type listed struct {
	sink.Entry
	header *dump.Header // nil if it cannot be read
	sealed bool         // encrypted, so that the header is a part of it
	err    error        // why not, or what else is wrong
}

// readHeaders reads the header of each entry, width at a time, and goes through
// them in the order of the entries. Dumps that disappeared after they were
// listed are left out. An error of the listing comes last; an error with one
// dump is in its element.
func readHeaders(ctx context.Context, st store, entries iter.Seq2[sink.Entry, error]) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		read := func(ctx context.Context, e sink.Entry) listed {
			l := listed{Entry: e}
			l.read(ctx, st)
			return l
		}
		for l, err := range inOrder(ctx, width, entries, read) {
			if errors.Is(l.err, sink.ErrNotFound) {
				continue
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// inOrder calls do for each element, width at a time, and goes through the results
// in the order of the elements. An error of the sequence ends it, and so does the
// context.
func inOrder[T, R any](ctx context.Context, width int, seq iter.Seq2[T, error], do func(context.Context, T) R) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		type result struct {
			r   R
			err error // of the sequence
		}
		var none R
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		queue := make(chan chan result, width) // its length is what is done ahead
		wg.Go(func() {
			defer close(queue)
			for v, err := range seq {
				slot := make(chan result, 1)
				select {
				case queue <- slot:
				case <-ctx.Done():
					return
				}
				if err != nil {
					slot <- result{err: err}
					return
				}
				wg.Go(func() { slot <- result{r: do(ctx, v)} })
			}
		})
		for slot := range queue {
			r := <-slot
			if r.err == nil {
				r.err = ctx.Err()
			}
			if r.err != nil {
				yield(none, r.err)
				return
			}
			if !yield(r.r, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(none, err)
		}
	}
}

// read reads the header of a stored dump with one small read. Where reading is
// cheap the end is looked at too, so that a truncated dump is seen.
func (l *listed) read(ctx context.Context, st store) {
	e := l.Entry
	e.Size = 0 // so that a store on a server sends no more than the beginning
	o, err := st.Open(ctx, e)
	if err != nil {
		l.err = err
		return
	}
	defer o.Close()
	l.Size = o.Size()
	if l.header, l.err = dump.ReadHeader(o, l.Size); l.err != nil {
		return
	}
	local, ok := st.(*opened)
	cheap := ok && !local.remote()
	var from io.ReaderAt = beginning{o}
	if cheap {
		from = o
	}
	r, err := dump.NewReader(from, l.Size) // it has nothing to close but o
	if err != nil {
		l.err = err
		return
	}
	l.sealed = r.Sealed()
	if cheap {
		l.err = r.Damage()
	}
}
