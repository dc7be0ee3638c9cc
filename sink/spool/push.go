package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// pollEvery is how often is looked for what other processes do.
const pollEvery = 5 * time.Millisecond

// Progress tells how far a Push has got.
type Progress struct {
	// Identity and Size of the dump that was tried last.
	Identity dump.Identity
	Size     int64
	// Err says why it was not delivered; nil if it was, by this process or another.
	Err error
	// Done of Total dumps were tried; DoneBytes of TotalBytes.
	Done, Total           int
	DoneBytes, TotalBytes int64
}

// PushStats says what a Push has done.
type PushStats struct {
	Delivered int   // at the destination now
	Bytes     int64 // of them
	Failed    int   // not delivered, and still in the spool
	Busy      int   // claimed by other processes
	Damaged   int   // set aside as damaged
	Lost      int   // removed by the background as too old
	Left      int   // not tried, because the destination does not work
	Took      time.Duration
}

// Push uploads everything that lies in the spool for this destination, now and in the
// foreground, also what was given up before. Each dump is tried once; if none of
// several in a row arrives, the rest is left. Nothing is removed or given up for
// its age. progress, if not nil, is called after each dump, one at a time.
// The error is nil if nothing is left in the spool but what other processes
// have claimed, and damaged files.
func (s *Spool) Push(ctx context.Context, progress func(Progress)) (PushStats, error) {
	began := time.Now()
	p := &push{s: s, progress: progress}
	err := p.run(ctx)
	p.stats.Took = time.Since(began)
	if err != nil {
		err = fmt.Errorf("pushing %s: %w", s, s.explain(err))
	}
	return p.stats, err
}

type push struct {
	s        *Spool
	progress func(Progress)

	mu    sync.Mutex
	list  []*item // not tried yet
	at    Progress
	stats PushStats
	fails int // in a row
	last  error
}

func (p *push) run(ctx context.Context) error {
	s := p.s
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
	p.list = s.itemsNow(everyItem)
	slices.SortFunc(p.list, func(a, b *item) int { return strings.Compare(a.name, b.name) })
	s.mu.Lock()
	for _, it := range p.list {
		p.at.Total++
		p.at.TotalBytes += max(it.size-trailerLen, 0)
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for range min(s.cfg.Concurrency, len(p.list)) {
		wg.Go(func() {
			for it := p.next(ctx); it != nil; it = p.next(ctx) {
				p.tried(it, s.attemptNow(ctx, it))
			}
		})
	}
	wg.Wait()
	if werr := s.events.wait(ctx); werr != nil {
		return werr
	}
	p.stats.Left = len(p.list)
	if err := ctx.Err(); err != nil && p.last == nil {
		p.last = err
	}
	if left := p.stats.Failed + p.stats.Left; left > 0 {
		return fmt.Errorf("%d of %d dumps are still in the spool: %w", left, p.at.Total, p.last)
	}
	return p.last
}

// next returns the next item to be tried.
func (p *push) next(ctx context.Context) *item {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) == 0 || ctx.Err() != nil || p.fails >= tripAfter {
		return nil
	}
	it := p.list[0]
	p.list = p.list[1:]
	return it
}

func (p *push) tried(it *item, v verdict) {
	p.s.mu.Lock()
	id, size := it.id, max(it.size-trailerLen, 0)
	p.s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	failed := false
	p.at.Err = v.err
	switch v.kind {
	case verdictDelivered, verdictKept:
		p.stats.Delivered++
		p.stats.Bytes += size
		p.at.Err, p.fails = nil, 0
	case verdictGone: // another process was quicker
		p.at.Err = nil
	case verdictBusy:
		p.stats.Busy++
	case verdictDamaged:
		p.stats.Damaged++
	case verdictExpired:
		p.stats.Lost++
		failed = true
	case verdictFailed, verdictGivenUp:
		p.stats.Failed++
		failed = !sink.IsPermanent(v.err) && !sink.IsPartial(v.err)
	default:
		p.stats.Failed++
	}
	if failed {
		p.fails++
	}
	if p.at.Err != nil && v.kind != verdictBusy && v.kind != verdictDamaged {
		p.last = v.err
	}
	p.at.Identity, p.at.Size = id, size
	p.at.Done++
	p.at.DoneBytes += size
	if p.progress != nil {
		p.progress(p.at)
	}
}

// attemptNow makes an attempt on the caller's goroutine, or waits for the one that is
// under way.
func (s *Spool) attemptNow(ctx context.Context, it *item) verdict {
	s.mu.Lock()
	if fl := it.flight; fl != nil {
		s.mu.Unlock()
		select {
		case <-fl.done:
			return fl.verdict
		case <-ctx.Done():
			return verdict{verdictCancelled, ctx.Err()}
		}
	}
	if s.state.items[it.name] != it {
		s.mu.Unlock()
		return verdict{verdictGone, errGone}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fl := s.begin(it, cancel)
	s.mu.Unlock()
	s.fly(ctx, it, fl, false)
	return fl.verdict
}

// Forward uploads a dump now, whatever the state of the background, see
// [sink.Forwarder]. It makes one attempt.
func (s *Spool) Forward(ctx context.Context, id dump.ID) error {
	if err := s.forward(ctx, id); err != nil {
		return fmt.Errorf("forwarding dump %s to %s: %w", id, s.name, err)
	}
	return nil
}

func (s *Spool) forward(ctx context.Context, id dump.ID) error {
	result := make(chan error, 1)
	go func() { // the disk may take longer than ctx lasts
		err := errDefect
		defer func() { result <- err }()
		defer s.contain("forwarding")
		err = s.forwardNow(ctx, id)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Spool) forwardNow(ctx context.Context, id dump.ID) error {
	it, err := s.find(ctx, id)
	if it == nil {
		return err
	}
	var v verdict
	for joined, again := true, true; again; joined = false {
		s.mu.Lock()
		joined = joined && it.flight != nil
		s.mu.Unlock()
		v = s.attemptNow(ctx, it)
		again = v.kind == verdictBusy && sleep(ctx, 10*pollEvery) ||
			joined && (v.kind == verdictFailed || v.kind == verdictCancelled) && ctx.Err() == nil
	}
	switch v.kind {
	case verdictDelivered, verdictKept:
		return nil
	case verdictGone:
		return s.whatBecameOf(ctx, it)
	case verdictDamaged, verdictExpired:
		return fmt.Errorf("%w: %w", sink.ErrLost, v.err)
	case verdictBusy:
		return errors.Join(v.err, ctx.Err())
	}
	return v.err
}

// find returns the item of a dump. If there is none, the error tells what is
// known of the dump, nil meaning that it was delivered.
func (s *Spool) find(ctx context.Context, id dump.ID) (*item, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for looked := false; ; looked = true {
		s.mu.Lock()
		for _, it := range s.state.items {
			if it.id.ID == id {
				s.mu.Unlock()
				return it, nil
			}
		}
		outcome, known := s.state.recent.m[id]
		s.mu.Unlock()
		switch {
		case outcome == Delivered:
			return nil, nil
		case known && outcome != GivenUp:
			return nil, fmt.Errorf("%w: %s", sink.ErrLost, outcome)
		case looked:
			return nil, fmt.Errorf("%w in spool %s", sink.ErrNotFound, s.dir)
		}
		root, err := s.open()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, s.explain(err)
		}
		err = s.scan(ctx, root)
		_ = root.Close()
		if err != nil {
			return nil, s.explain(err)
		}
	}
}

// whatBecameOf says what became of an item that somebody else has removed: the
// destination has it, or it is lost.
func (s *Spool) whatBecameOf(ctx context.Context, it *item) error {
	s.mu.Lock()
	id := it.id
	outcome, known := s.state.recent.m[id.ID]
	s.mu.Unlock()
	switch {
	case outcome == Delivered:
		return nil
	case known:
		return fmt.Errorf("%w: %s", sink.ErrLost, outcome)
	}
	obj, err := s.dest.Open(ctx, sink.Entry{Identity: id})
	switch {
	case err == nil:
		_ = obj.Close()
		return nil
	case errors.Is(err, sink.ErrNotFound):
		return fmt.Errorf("%w: it is neither in spool %s nor there", sink.ErrLost, s.dir)
	}
	return fmt.Errorf("another process has taken it out of the spool; whether it has arrived: %w", err)
}
