package sink

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// retryAfterError carries a store's own wish when to be asked again.
type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// WithRetryAfter marks err as one after which the store wants to be left alone
// for that long, as HTTP's Retry-After says. It does not change the text.
// WithRetryAfter(nil, d) is nil.
func WithRetryAfter(err error, after time.Duration) error {
	if err == nil || after <= 0 {
		return err
	}
	return &retryAfterError{err, after}
}

// limitedError bounds what the error that it wraps says of when to be asked again.
type limitedError struct {
	err  error
	most time.Duration
}

func (e *limitedError) Error() string { return e.err.Error() }
func (e *limitedError) Unwrap() error { return e.err }

// LimitRetryAfter marks err as one after which nobody need wait longer than d,
// whatever marks of [WithRetryAfter] are in it: for a Sink that has something
// else to try then. It does not change the text. A d of 0 or less takes the
// marks away. LimitRetryAfter(nil, d) is nil.
func LimitRetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &limitedError{err, max(d, 0)}
}

// RetryAfter returns the longest time that an error in err's tree was marked
// with by [WithRetryAfter], as far as [LimitRetryAfter] lets it, 0 if there is
// none. Whoever tries again waits at least that long, within reason.
func RetryAfter(err error) time.Duration {
	var longest time.Duration
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // the tree is walked here
		case *retryAfterError:
			longest = max(longest, e.after)
		case *limitedError:
			return max(longest, min(RetryAfter(e.err), e.most))
		}
		switch u := err.(type) { //nolint:errorlint // the tree is walked here
		case interface{ Unwrap() error }:
			err = u.Unwrap()
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				longest = max(longest, RetryAfter(e))
			}
			return longest
		default:
			return longest
		}
	}
	return longest
}

// partialError marks an error of a part of a destination.
type partialError struct{ err error }

func (e *partialError) Error() string { return e.err.Error() }
func (e *partialError) Unwrap() error { return e.err }

// WithPartial marks err as one of a part of the destination only: some of its
// stores have the dump, or others of them are well. Whoever keeps the dump
// repeats it later, but goes on with other dumps meanwhile, since the destination as
// a whole is not down. The mark says nothing of whether trying again will help
// (see [IsPermanent]), nor when (see [RetryAfter]); those hold for that dump. It
// does not change the text. WithPartial(nil) is nil.
func WithPartial(err error) error {
	if err == nil {
		return nil
	}
	return &partialError{err}
}

// IsPartial reports whether err was marked by [WithPartial]. The mark may lie
// deeper in err's tree; where several errors are joined all of them must have it,
// since one that has not may be of a destination that is down.
func IsPartial(err error) bool {
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // the tree is walked here
		case *partialError:
			return true
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			errs := e.Unwrap()
			return len(errs) > 0 && !slices.ContainsFunc(errs, func(err error) bool { return !IsPartial(err) })
		default:
			return false
		}
	}
	return false
}

// Forwarder is a Sink whose Put keeps a dump safe near by and brings it to its
// destination later: the spool.
type Forwarder interface {
	Sink
	// Forward tries at once to bring a dump, which Put has accepted, to its
	// destination. It returns nil when the dump is there, or is known to have
	// been there before; otherwise, at the latest when ctx is done, an error. The dump is
	// then still kept and will be tried again.
	Forward(ctx context.Context, id dump.ID) error
}

// Shutdowner is a Sink that works in the background or holds something open;
// see [Sink].
type Shutdowner interface {
	Shutdown(ctx context.Context) error
}

// Shutdown shuts s down if it has to be.
func Shutdown(ctx context.Context, s Sink) error {
	if d, ok := s.(Shutdowner); ok {
		return d.Shutdown(ctx)
	}
	return nil
}

// ErrLost says that a store has given a dump up that it had accepted.
var ErrLost = errors.New("dump lost")

// Router is a Sink that stores dumps in different places by what made them, or
// passes them on to one that does.
type Router interface {
	// URIFor says where Put stores the dump if t made it; see Sink.URI.
	URIFor(id dump.Identity, t dump.Trigger) string
}

// URIFor says where s stores a dump that t made.
func URIFor(s interface {
	URI(id dump.Identity) string
}, id dump.Identity, t dump.Trigger,
) string {
	if r, ok := s.(Router); ok {
		return r.URIFor(id, t)
	}
	return s.URI(id)
}
