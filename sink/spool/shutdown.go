package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// Flush waits until everything that lies in the spool for this destination now is
// delivered or lost, or ctx is done; what was given up before, or is given up
// meanwhile, counts as lost. Pauses that are under way end, but for one that the
// destination has asked for, and while it waits they are short. OnResult has been called for all of it when Flush
// returns nil. A passive Spool uploads in the foreground.
func (s *Spool) Flush(ctx context.Context) error {
	err := s.flush(ctx)
	if err == nil {
		err = s.events.wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("flushing %s: %w", s, s.explain(err))
	}
	return nil
}

func (s *Spool) flush(ctx context.Context) error {
	root, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	err = s.scan(ctx, root)
	_ = root.Close()
	if err != nil {
		return err
	}
	s.mu.Lock()
	active := !s.cfg.Passive && !s.closed
	s.mu.Unlock()
	if !active {
		return s.flushByHand(ctx)
	}
	return s.drain(ctx, func(*item) bool { return true })
}

// flushByHand is flush without a background.
func (s *Spool) flushByHand(ctx context.Context) error {
	for n := 1; ; n++ {
		waiting, fails := 0, 0
		for _, it := range s.itemsNow(func(it *item) bool { return !it.failed }) {
			if fails >= tripAfter || ctx.Err() != nil {
				waiting++
				continue
			}
			switch v := s.attemptNow(ctx, it); v.kind {
			case verdictDelivered, verdictKept, verdictGone, verdictDamaged, verdictExpired, verdictGivenUp:
				fails = 0
			case verdictFailed:
				waiting++
				if !sink.IsPartial(v.err) {
					fails++
				}
			default:
				waiting++
			}
		}
		if waiting == 0 {
			return nil
		}
		if !sleep(ctx, backoff(s.cfg.MinBackoff, 2*s.cfg.MinBackoff, n)) {
			return s.left(ctx.Err())
		}
	}
}

// drain waits until none of the items that are known now and that count is
// waiting any more, and makes the background try hard meanwhile.
func (s *Spool) drain(ctx context.Context, counts func(*item) bool) error {
	s.mu.Lock()
	s.state.hurry++
	now := time.Now()
	s.breaker.hurry(now)
	pending := make(map[*item]struct{}, len(s.state.items))
	for _, it := range s.state.items {
		if it.next.After(now) {
			it.next = it.soonest(now)
			s.state.enqueue(it)
		}
		pending[it] = struct{}{}
	}
	s.mu.Unlock()
	s.poke()
	defer func() {
		s.mu.Lock()
		s.state.hurry--
		s.mu.Unlock()
	}()
	for {
		s.mu.Lock()
		for it := range pending {
			if s.state.items[it.name] != it || it.failed || it.delivered || !counts(it) {
				delete(pending, it)
			} else {
				break // one is enough
			}
		}
		changed := s.changed
		s.mu.Unlock()
		if len(pending) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s.left(ctx.Err())
		}
	}
}

// left says how much is left in the spool.
func (s *Spool) left(err error) error {
	s.mu.Lock()
	n, bytes := s.state.waiting()
	last := s.state.last
	s.mu.Unlock()
	if n == 0 {
		return err
	}
	if last != nil {
		return fmt.Errorf("%d dumps (%d bytes) stay in the spool: %w; the latest failure was: %w", n, bytes, err, last)
	}
	return fmt.Errorf("%d dumps (%d bytes) stay in the spool: %w", n, bytes, err)
}

// Shutdown brings what lies in the spool to the destination until ctx is done, and
// ends the background. What is left stays in the spool for the next process, and
// the error says how much that is. A second Shutdown does nothing. A call of the
// destination that is stuck stays behind. A passive Spool only waits until its
// results are told.
func (s *Spool) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return nil
	}
	var err error
	if !s.cfg.Passive {
		err = s.endBackground(ctx)
	}
	err = errors.Join(err, s.waitEvents(ctx))
	if err != nil {
		err = fmt.Errorf("shutting down %s: %w", s, err)
	}
	return err
}

func (s *Spool) endBackground(ctx context.Context) error {
	// What others have claimed is their affair.
	err := s.drain(ctx, func(it *item) bool { return it.busy == 0 || it.flight != nil })
	close(s.stop)
	s.cancel()
	ended := make(chan struct{})
	go func() {
		<-s.ended
		s.uploads.Wait()
		close(ended)
	}()
	t := time.NewTimer(2 * grace)
	defer t.Stop()
	select {
	case <-ended:
		return err
	case <-t.C:
		return errors.Join(err, errors.New("what was under way in the background does not end: the disk is stuck"))
	}
}

// waitEvents waits for OnResult and OnTrouble, and a moment longer than ctx
// lasts: there is little to wait for.
func (s *Spool) waitEvents(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(grace, untilDone(ctx)))
	defer cancel()
	return s.events.wait(ctx)
}

func untilDone(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return time.Until(end)
	}
	if ctx.Err() != nil {
		return 0
	}
	return time.Hour
}
