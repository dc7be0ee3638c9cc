package sink

import (
	"context"
	"errors"
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

// RetryAfter returns the longest time that an error in err's tree was marked
// with by [WithRetryAfter], 0 if there is none. Whoever tries again waits at
// least that long, within reason.
func RetryAfter(err error) time.Duration {
	var longest time.Duration
	for err != nil {
		if e, ok := err.(*retryAfterError); ok { //nolint:errorlint // the tree is walked here
			longest = max(longest, e.after)
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
