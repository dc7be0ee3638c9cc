package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// putDirect hands a dump that the spool cannot take, for the given reason, to the
// destination. There is no second attempt: nobody has the dump but the caller,
// who waits. So nothing is tried while the destination is left alone.
func (s *Spool) putDirect(ctx context.Context, id dump.Identity, src sink.Source, reason error) error {
	began := time.Now()
	s.mu.Lock()
	if why := s.leftAlone(began); why != nil {
		s.mu.Unlock()
		return both(reason, why)
	}
	s.state.counts.attempts++
	s.mu.Unlock()

	lent := &lentSource{src: src, size: src.Size()}
	late, err := s.putThere(ctx, id, lent, false)
	if late != nil {
		lent.takeBack()
		s.leaveCall(late)
	}
	now := time.Now()
	s.mu.Lock()
	switch {
	case err == nil:
		s.arrived()
		s.state.counts.delivered++
		s.state.recent.add(id.ID, Delivered)
		s.events.result(Result{Identity: id, Size: src.Size(), Outcome: Delivered, Attempts: 1, Took: now.Sub(began), Age: now.Sub(began)})
	case lent.error() != nil, errors.Is(ctx.Err(), context.Canceled):
		// It says nothing about the destination.
	default:
		s.failure(nil, now, err)
	}
	s.broadcast()
	s.mu.Unlock()
	s.poke()
	if err != nil {
		return both(reason, err)
	}
	s.trouble(TroubleDirect, fmt.Errorf("%s cannot take dumps, which go to the destination at once: %w", s, reason))
	return nil
}

// leftAlone returns why nothing is tried at the destination now, nil if it may
// be. The caller has mu.
func (s *Spool) leftAlone(now time.Time) error {
	var why error
	switch {
	case s.state.stuck >= s.maxStuck():
		why = fmt.Errorf("%d earlier uploads are stuck in %s", s.state.stuck, s.name)
	case now.Before(s.breaker.until):
		wait := s.breaker.until.Sub(now)
		why = sink.WithRetryAfter(fmt.Errorf("%s is left alone for another %v", s.name, wait.Round(time.Millisecond)), wait)
	default:
		return nil
	}
	if s.state.last != nil {
		// It may be that of another dump which was refused for good.
		why = &bothError{text: fmt.Sprintf("%v; the latest failure was: %v", why, s.state.last), errs: passing(why, s.state.last)}
	}
	return why
}

// leaveCall leaves a call of the destination behind that is stuck.
func (s *Spool) leaveCall(late <-chan error) {
	s.mu.Lock()
	s.state.stuck++
	n := s.state.stuck
	s.mu.Unlock()
	s.trouble(TroubleStuck, fmt.Errorf("%s: %w (%d of at most %d)", s.name, errHung, n, s.maxStuck()))
	go func() {
		<-late
		s.mu.Lock()
		s.state.stuck--
		s.broadcast()
		s.mu.Unlock()
		s.poke()
	}()
}

// both joins the reason why the spool does not take a dump with that why the
// destination does not. It is permanent only if both are: else one of them may
// take the dump the next time.
func both(reason, err error) error {
	j := &bothError{text: fmt.Sprintf("%v; and past the spool: %v", reason, err), errs: passing(reason, err)}
	return sink.WithRetryAfter(j, max(sink.RetryAfter(reason), sink.RetryAfter(err)))
}

// passing returns those of two errors that are not permanent, or both if both are.
func passing(a, b error) []error {
	switch pa, pb := sink.IsPermanent(a), sink.IsPermanent(b); {
	case pa && !pb:
		return []error{b}
	case pb && !pa:
		return []error{a}
	}
	return []error{a, b}
}

// bothError has the text of two errors, and wraps those that tell whether to try again.
type bothError struct {
	text string
	errs []error
}

func (e *bothError) Error() string   { return e.text }
func (e *bothError) Unwrap() []error { return e.errs }

// lentSource is the caller's source until it is taken back from a destination that
// does not return. It remembers whether it was at fault.
type lentSource struct {
	src  sink.Source
	size int64

	mu      sync.RWMutex
	back    bool
	failure error
}

var errTakenBack = errors.New("the dump is no longer there to be read")

func (l *lentSource) Size() int64 { return l.size }

func (l *lentSource) ReadAt(p []byte, off int64) (int, error) {
	n, err := l.read(p, off)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errTakenBack) {
		l.mu.Lock()
		l.failure = err
		l.mu.Unlock()
	}
	return n, err
}

func (l *lentSource) read(p []byte, off int64) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.back {
		return 0, errTakenBack
	}
	return l.src.ReadAt(p, off)
}

// takeBack waits for reads that are under way. There are none afterwards.
func (l *lentSource) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.back = true
}

func (l *lentSource) error() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.failure
}
