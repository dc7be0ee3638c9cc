package route

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

const (
	// retryEvery is how often a primary that is down is tried again.
	retryEvery = time.Minute
	// retryAtMost is how long it is left alone at most when it wishes so.
	retryAtMost = time.Hour
	// retryLimit is how long such a try may take, so that it does not use up the
	// time of the fallback.
	retryLimit = 30 * time.Second
)

// fallback stores in the first store, and in the second while the first is down.
type fallback struct {
	union
	primary, second sink.Sink
	after           time.Duration

	mu      sync.Mutex
	failing time.Time // when the primary first failed of those times that nothing succeeded since; zero: it works
	nextTry time.Time // when it is tried again after the fallback has taken over
}

var _ sink.Router = (*fallback)(nil)

// Fallback returns a Sink that stores dumps in primary, and in the fallback while
// primary is down.
//
// While primary works, or has been failing for less than after, Put stores there
// and returns its error, so that a spool in front keeps the dump and tries again;
// the error's [sink.RetryAfter] ends at the latest when the fallback may take over.
// When all Puts to it have failed for that long, the fallback takes over: it gets
// the dumps, and the primary gets one a minute (less often, if it said so by
// [sink.RetryAfter]), with half of the Put's time but 30 s at most, until it takes
// one; then all go there again. A dump for which the primary's error is permanent
// goes to the fallback at once, and so does every dump if after is 0. A Put whose
// context was cancelled says nothing of a store. If the fallback fails too, the
// error has both, and the primary was tried.
//
// Dumps are not moved: what the fallback has got stays there, and is found there.
//
// URI names the primary, since nothing can know beforehand where a dump will be
// stored. So does the attribute of its span, although the dump may lie in the
// fallback in the end; it is found by its trace all the same.
func Fallback(primary, second sink.Sink, after time.Duration) sink.Sink {
	u := newUnion(primary, second)
	if len(u.stores) == 1 {
		return primary
	}
	return &fallback{union: u, primary: primary, second: second, after: after}
}

// Put stores in the one or the other.
func (f *fallback) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var failures []failure
	primary, tried := f.turn(time.Now())
	if tried {
		err := f.tryPrimary(ctx, id, src, primary)
		if err == nil {
			return nil
		}
		failures = append(failures, failure{f.primary, err})
		left, down := f.due(time.Now())
		if ctx.Err() != nil || !sink.IsPermanent(err) && !down {
			// Who waits as long as the primary wishes would never find the
			// fallback.
			return sink.LimitRetryAfter(err, left)
		}
	}
	err := f.second.Put(ctx, id, src)
	if err == nil {
		return nil
	}
	failures = append(failures, failure{f.second, err})
	if !tried && ctx.Err() == nil {
		// It is not its turn, but there is nothing to lose.
		err := f.tryPrimary(ctx, id, src, whole)
		if err == nil {
			return nil
		}
		failures = append(failures, failure{f.primary, err})
	}
	return join(failures, nil)
}

// share is how much of a Put's time the primary may have.
type share int

const (
	whole share = iota
	half
)

// turn says whether the primary is tried before the fallback, and for how long.
func (f *fallback) turn(now time.Time) (share, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.isDown(now) {
		return whole, true
	}
	if now.Before(f.nextTry) {
		return 0, false
	}
	f.nextTry = now.Add(retryEvery) // this one's turn, and nobody else's
	return half, true
}

func (f *fallback) isDown(now time.Time) bool {
	return !f.failing.IsZero() && now.Sub(f.failing) >= f.after
}

// due reports whether the fallback has taken over, or in what time it does if the
// primary goes on failing.
func (f *fallback) due(now time.Time) (left time.Duration, down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing.IsZero() {
		return f.after, false
	}
	return f.after - now.Sub(f.failing), f.isDown(now)
}

// tryPrimary stores in the primary and remembers what that says of it.
func (f *fallback) tryPrimary(ctx context.Context, id dump.Identity, src sink.Source, s share) error {
	limited := ctx
	if s == half {
		limit := retryLimit
		if d, ok := ctx.Deadline(); ok {
			limit = min(limit, time.Until(d)/2)
		}
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	err := f.primary.Put(limited, id, src)
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.failing, f.nextTry = time.Time{}, time.Time{}
	case errors.Is(ctx.Err(), context.Canceled), sink.IsPermanent(err):
		// The one is the caller's affair, the other the dump's.
	default:
		if f.failing.IsZero() {
			f.failing = now
		}
		wait := max(retryEvery, min(sink.RetryAfter(err), retryAtMost))
		if f.isDown(now) {
			f.nextTry = now.Add(wait)
		}
	}
	return err
}

func (f *fallback) URI(id dump.Identity) string { return f.primary.URI(id) }

// URIFor follows the primary.
func (f *fallback) URIFor(id dump.Identity, t dump.Trigger) string {
	return sink.URIFor(f.primary, id, t)
}

func (f *fallback) String() string { return f.primary.String() + ", or else " + f.second.String() }
