package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// putDirect hands a dump that the spool cannot take, for the given reason, to the
// destination. There is no second attempt: nobody has the dump but the caller,
// who waits.
func (s *Spool) putDirect(ctx context.Context, id dump.Identity, src sink.Source, reason error) error {
	began := time.Now()
	if err := s.putContained(ctx, id, src); err != nil {
		return errors.Join(reason, err)
	}
	s.trouble(TroubleDirect, fmt.Errorf("%s cannot take dumps, which go to the destination at once: %w", s, reason))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.counts.delivered++
	s.state.recent.add(id.ID, Delivered)
	s.events.result(Result{Identity: id, Size: src.Size(), Outcome: Delivered, Attempts: 1, Took: time.Since(began), Age: time.Since(began)})
	return nil
}

func (s *Spool) putContained(ctx context.Context, id dump.Identity, src sink.Source) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in the destination: %v", r)
		}
	}()
	return s.dest.Put(ctx, id, src)
}
