package cli

import (
	"context"
	"errors"
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
func forEach(ctx context.Context, n int, fn func(i int)) {
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
	err    error        // why not, or what else is wrong
}

// readHeaders reads the header of each entry, width at a time, and goes through
// them in the order of the entries. Dumps that disappeared after they were
// listed are left out. An error of the listing comes last; an error with one
// dump is in its element.
func readHeaders(ctx context.Context, st store, entries iter.Seq2[sink.Entry, error]) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		type result struct {
			dump    listed
			listing error
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		queue := make(chan chan result, width) // its length is what is read ahead
		wg.Go(func() {
			defer close(queue)
			for e, err := range entries {
				slot := make(chan result, 1)
				select {
				case queue <- slot:
				case <-ctx.Done():
					return
				}
				if err != nil {
					slot <- result{listing: err}
					return
				}
				wg.Go(func() {
					l := listed{Entry: e}
					l.header, l.Size, l.err = headerOf(ctx, st, e)
					slot <- result{dump: l}
				})
			}
		})
		for slot := range queue {
			r := <-slot
			switch {
			case r.listing != nil:
				yield(listed{}, r.listing)
				return
			case ctx.Err() != nil:
				yield(listed{}, ctx.Err())
				return
			case errors.Is(r.dump.err, sink.ErrNotFound):
				continue
			}
			if !yield(r.dump, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(listed{}, err)
		}
	}
}

// headerOf reads the header of a stored dump with one small read. Where reading
// is cheap the end is looked at too, so that a truncated dump is seen; the
// header is then returned beside the error.
func headerOf(ctx context.Context, st store, e sink.Entry) (*dump.Header, int64, error) {
	o, err := st.Open(ctx, e)
	if err != nil {
		return nil, e.Size, err
	}
	defer o.Close()
	h, err := dump.ReadHeader(o, o.Size())
	if local, ok := st.(*opened); err == nil && ok && local.dir != "" {
		err = checkEnds(o)
	}
	return h, o.Size(), err
}

// checkEnds reports what is wrong with a dump as far as opening it shows.
func checkEnds(o sink.Object) error {
	r, err := dump.NewReader(o, o.Size())
	if err != nil {
		return err
	}
	return r.Damage() // r has nothing to close but o
}
