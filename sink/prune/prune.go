// Package prune removes old dumps from a store, so that it keeps within limits of
// age, size and number. It is meant for local stores: what lies in a bucket is
// better removed by the bucket's own lifecycle rules.
//
// It goes in two steps. [Plan] lists the store and says which dumps are too many;
// it changes nothing, so by itself it is a dry run. [Apply] deletes those. Others
// may store and delete meanwhile: a dump that is stored after Plan has listed its
// day stays, and one that has vanished is as good as deleted.
package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// Policy says which dumps are kept: the newest, as many as are within all limits.
// Zero means no limit; at least one limit must be set.
//
// Dumps are looked at one by one, from the newest to the oldest by the time in
// their IDs, and from the first that goes beyond a limit on all older ones go as
// well. So a dump that is larger than MaxBytes is not kept, and no older one is.
type Policy struct {
	MaxAge   time.Duration // dumps that are older go; exactly as old is not older
	MaxBytes int64         // of all dumps together, as they are stored
	MaxCount int           // of dumps

	// Now is what age is counted from. Zero: the time of the call.
	Now time.Time
}

func (p *Policy) check() error {
	switch {
	case p.MaxAge < 0 || p.MaxBytes < 0 || p.MaxCount < 0:
		return errors.New("prune: a limit is negative")
	case p.MaxAge == 0 && p.MaxBytes == 0 && p.MaxCount == 0:
		return errors.New("prune: no limit is given")
	}
	return nil
}

// Reason is the limit that a dump has gone beyond.
type Reason string

// The reasons.
const (
	TooOld  Reason = "age"
	TooMany Reason = "count"
	TooMuch Reason = "bytes"
)

// Victim is a dump that is to be deleted.
type Victim struct {
	dump.Identity       // as List tells it
	Size          int64 // 0 if the listing does not tell
	Reason        Reason
}

// Selection is what Plan has found.
type Selection struct {
	Victims []Victim // the oldest first
	Bytes   int64    // that the victims take, as far as their sizes are known

	Kept      int
	KeptBytes int64 // as far as their sizes are known
}

// Plan selects the dumps of a store that a policy does not keep. Where a listing
// tells no sizes and MaxBytes is set, it opens dumps to learn them. If anything
// cannot be listed or opened, it is an error, and nothing is selected: what is not
// known might be newer than what is.
//
// Apart from the victims, for each of which it takes about 100 bytes, it needs no
// memory for the dumps in the store.
func Plan(ctx context.Context, store sink.Sink, p Policy) (*Selection, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.Now.IsZero() {
		p.Now = time.Now()
	}
	s := new(Selection)
	var beyond Reason // the limit that ended the keeping
	services := make(map[string]string)
	for e, err := range store.List(ctx, sink.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("prune: %w", err)
		}
		if p.MaxAge > 0 && p.Now.Sub(e.ID.Time()) > p.MaxAge {
			beyond = TooOld // older ones are, too
		}
		if beyond == "" && p.MaxBytes > 0 && e.Size == 0 {
			switch e.Size, err = sizeOf(ctx, store, e); {
			case errors.Is(err, sink.ErrNotFound):
				continue // it has vanished
			case err != nil:
				return nil, fmt.Errorf("prune: %w", err)
			}
		}
		switch {
		case beyond != "":
		case p.MaxCount > 0 && s.Kept == p.MaxCount:
			beyond = TooMany
		case p.MaxBytes > 0 && e.Size > p.MaxBytes-s.KeptBytes:
			beyond = TooMuch
		}
		if beyond == "" {
			s.Kept++
			s.KeptBytes += e.Size
			continue
		}
		// Only what is needed of the entry, and each name once: there may be very
		// many.
		name, ok := services[e.Service]
		if !ok {
			name = e.Service
			services[name] = name
		}
		s.Victims = append(s.Victims, Victim{
			Identity: dump.Identity{ID: e.ID, TraceID: e.TraceID, Service: name}, Size: e.Size, Reason: beyond,
		})
		s.Bytes += e.Size
	}
	slices.Reverse(s.Victims)
	return s, nil
}

func sizeOf(ctx context.Context, store sink.Sink, e sink.Entry) (int64, error) {
	obj, err := store.Open(ctx, e)
	if err != nil {
		return 0, err
	}
	defer obj.Close()
	return obj.Size(), nil
}

// Progress is how far Apply has got.
type Progress struct {
	Done, Total int    // dumps, failed ones included
	Bytes       int64  // of those that were deleted
	Last        Victim // the one that this is about
	Err         error  // why it could not be deleted
}

// Result is what Apply has done.
type Result struct {
	Deleted int
	Bytes   int64 // that the deleted dumps took, as far as that is known
	Failed  int
}

const (
	// workers is how many dumps are deleted at once.
	workers = 4
	// maxErrors is how many errors Apply returns.
	maxErrors = 10
)

// Apply deletes the dumps of a selection, about the oldest first, several at once.
// One that cannot be deleted does not keep the others: the error, in the end, has
// the first ten causes. If progress is not nil it is called after each dump, never
// twice at once.
//
// When ctx is done, Apply returns what it has done until then, and its error. The
// rest is found by the next Plan.
func Apply(ctx context.Context, store sink.Sink, s *Selection, progress func(Progress)) (Result, error) {
	var (
		mu   sync.Mutex
		next int
		res  Result
		errs []error
	)
	take := func() (v Victim, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == len(s.Victims) || ctx.Err() != nil {
			return v, false
		}
		next++
		return s.Victims[next-1], true
	}
	done := func(v Victim, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			res.Deleted++
			res.Bytes += v.Size
		} else if res.Failed++; len(errs) < maxErrors {
			errs = append(errs, err)
		}
		if progress != nil {
			progress(Progress{Done: res.Deleted + res.Failed, Total: len(s.Victims), Bytes: res.Bytes, Last: v, Err: err})
		}
	}
	var wg sync.WaitGroup
	for range min(workers, len(s.Victims)) {
		wg.Go(func() {
			for v, ok := take(); ok; v, ok = take() {
				err := store.Delete(ctx, sink.Entry{Identity: v.Identity, Key: sink.TraceKey(v.Identity)})
				if err != nil && ctx.Err() != nil {
					return // not this dump's fault; it is told once, below
				}
				done(v, err)
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil && res.Deleted+res.Failed < len(s.Victims) {
		errs = append(errs, fmt.Errorf("%d of %d dumps were not looked at: %w", len(s.Victims)-res.Deleted-res.Failed, len(s.Victims), err))
	}
	if len(errs) == 0 {
		return res, nil
	}
	if res.Failed > 0 {
		return res, fmt.Errorf("prune: %d of %d dumps could not be deleted: %w", res.Failed, len(s.Victims), errors.Join(errs...))
	}
	return res, fmt.Errorf("prune: %w", errors.Join(errs...))
}
