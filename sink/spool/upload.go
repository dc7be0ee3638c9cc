package spool

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// run is the background: it looks at the folder from time to time and starts
// uploads.
func (s *Spool) run() {
	defer close(s.ended)
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-s.wake:
		case <-t.C:
		}
		t.Reset(s.round())
	}
}

// round does what is due and returns how long nothing will be, if nothing
// happens.
func (s *Spool) round() (pause time.Duration) {
	pause = time.Second // after a panic
	defer s.contain("working in the background")
	s.mu.Lock()
	due := !time.Now().Before(s.state.nextScan)
	s.mu.Unlock()
	if due {
		s.sweep()
	}
	return s.dispatch()
}

// dispatch starts the uploads that may be started. Whatever ends one wakes the
// background, so it need not wait for that.
func (s *Spool) dispatch() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.state
	for {
		now := time.Now()
		pause := max(st.nextScan.Sub(now), time.Millisecond)
		if st.flying >= s.cfg.Concurrency || st.flying+st.stuck >= s.maxStuck() ||
			len(st.queue) == 0 || s.base.Err() != nil {
			return pause
		}
		ok, again := s.breaker.may(now)
		if !ok {
			if !again.IsZero() {
				pause = min(pause, again.Sub(now))
			}
			return pause
		}
		it := st.queue[0]
		if it.next.After(now) {
			return min(pause, it.next.Sub(now))
		}
		ctx, cancel := context.WithCancel(s.base)
		fl := s.begin(it, cancel)
		st.flying++
		s.breaker.begin(fl)
		s.uploads.Go(func() {
			defer cancel()
			s.fly(ctx, it, fl, true)
			s.mu.Lock()
			st.flying--
			s.mu.Unlock()
			s.poke()
		})
	}
}

// begin notes an attempt. The caller has mu, and calls fly.
func (s *Spool) begin(it *item, cancel func()) *flight {
	it.flight = &flight{
		cancel: cancel, done: make(chan struct{}), seq: it.seq,
		verdict: verdict{verdictBroken, errDefect}, // if there will be no other
	}
	s.state.enqueue(it)
	return it.flight
}

// errDefect is what those are told who wait for an attempt that has panicked;
// OnTrouble is told the rest.
var errDefect = errors.New("a defect in the spool")

// verdict is what came of an attempt. Its error is nil only if the dump is
// delivered.
type verdict struct {
	kind verdictKind
	err  error
}

type verdictKind int

const (
	verdictBroken    verdictKind = iota // by a defect of ours
	verdictDelivered                    // the destination has it
	verdictKept                         // the destination has it, but the file could not be removed
	verdictGone                         // it is not there any more
	verdictBusy                         // somebody else is at it
	verdictDamaged                      // it was set aside as damaged
	verdictForeign                      // it is of a newer version
	verdictTrouble                      // it cannot be read, moved or removed
	verdictCancelled                    // the attempt was cancelled by us
	verdictFailed                       // the destination has failed, and it will be tried again
	verdictGivenUp                      // the destination has failed, and it was set aside
	verdictExpired                      // the destination has failed, and it was removed
)

// fly makes an attempt and draws the conclusions. Only the background lets go
// of what has failed for too long: in a command somebody has just asked for it.
func (s *Spool) fly(ctx context.Context, it *item, fl *flight, background bool) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		it.flight = nil
		s.conclude(it, fl)
		s.state.enqueue(it)
		close(fl.done)
		s.broadcast()
		s.poke() // others may be allowed to go now
	}()
	defer s.contain("uploading")
	fl.verdict = s.attempt(ctx, it, fl, background)
}

// attempt uploads an item. What happens to the file happens while it is claimed.
func (s *Spool) attempt(ctx context.Context, it *item, fl *flight, background bool) verdict {
	if err := ctx.Err(); err != nil {
		return verdict{verdictCancelled, err}
	}
	root, err := s.open()
	if err != nil {
		return verdict{verdictTrouble, err}
	}
	defer root.Close()
	c, err := s.claim(root, s.pathOf(it))
	switch {
	case errors.Is(err, errGone):
		return verdict{verdictGone, err}
	case errors.Is(err, errBusy):
		return verdict{verdictBusy, err}
	case err != nil:
		return verdict{verdictTrouble, err}
	}
	handedOver := false
	defer func() {
		if !handedOver {
			c.release()
		}
	}()
	s.mu.Lock()
	delivered := it.delivered
	s.mu.Unlock()
	if delivered {
		return s.removeDelivered(c)
	}

	t, err := readTrailer(c.file, it.name, c.info.Size())
	if err == nil {
		err = t.checkContent(ctx, c.file)
	}
	switch {
	case errors.Is(err, errDamaged):
		if derr := s.damage(c, err); derr != nil {
			return verdict{verdictTrouble, fmt.Errorf("%w; setting it aside: %w", err, derr)}
		}
		return verdict{verdictDamaged, err}
	case errors.Is(err, errNewer):
		return verdict{verdictForeign, err}
	case ctx.Err() != nil:
		return verdict{verdictCancelled, ctx.Err()}
	case err != nil:
		return verdict{verdictTrouble, err}
	}

	began := time.Now()
	s.mu.Lock()
	it.learn(t)
	it.attempts++
	it.tried = began
	s.state.counts.attempts++
	s.mu.Unlock()
	src := &itemSource{file: c.file, size: t.size}
	late, err := s.putThere(ctx, t.id, src, background)
	s.mu.Lock()
	it.took = time.Since(began)
	s.mu.Unlock()
	rerr := src.error()
	var v verdict
	switch {
	case err == nil:
		fl.taken = true
		v = s.removeDelivered(c)
	case ctx.Err() != nil:
		v = verdict{verdictCancelled, err}
	case rerr != nil:
		v = verdict{verdictTrouble, rerr}
	default:
		v = s.failed(c, &t, err, background)
	}
	if late != nil {
		handedOver = true
		s.leaveBehind(it, c, late)
	}
	return v
}

// removeDelivered removes the file of a dump that the destination has.
func (s *Spool) removeDelivered(c *claim) verdict {
	if err := c.remove(); err != nil {
		return verdict{verdictKept, err}
	}
	if path.Dir(c.name) == s.path(itemsDir) {
		// If the power failed while it was set aside, it lies there as well.
		_ = c.root.Remove(s.path(failedDir, path.Base(c.name)))
	}
	return verdict{kind: verdictDelivered}
}

// failed decides what becomes of an item that the destination has not taken.
func (s *Spool) failed(c *claim, t *trailer, err error, background bool) verdict {
	age := time.Since(t.put)
	switch {
	case path.Dir(c.name) == s.path(failedDir):
		// It has been set aside before.
	case background && age > s.cfg.MaxAge:
		if rerr := c.remove(); rerr != nil {
			return verdict{verdictTrouble, errors.Join(err, s.explain(rerr))}
		}
		return verdict{verdictExpired, err}
	case sink.IsPermanent(err), background && age > s.cfg.GiveUpAfter:
		if merr := s.move(c, failedDir); merr != nil {
			return verdict{verdictTrouble, errors.Join(err, s.explain(merr))}
		}
		return verdict{verdictGivenUp, err}
	}
	return verdict{verdictFailed, err}
}

// errHung says that the destination ignores its context.
var errHung = errors.New("the destination has not returned in time, and ignores that it was told to")

// putThere calls Put of the destination, contains its panics, and waits until it
// returns or its time is up. In the background it may take a while to end what
// it has begun after AttemptTimeout, but not after Shutdown. If late is not nil, Put has not returned, and
// will send there when it does.
func (s *Spool) putThere(ctx context.Context, id dump.Identity, src sink.Source, background bool) (late <-chan error, err error) {
	s.mu.Lock()
	stuck := s.state.stuck
	s.mu.Unlock()
	if stuck >= s.maxStuck() {
		return nil, fmt.Errorf("%d earlier uploads are stuck in %s", stuck, s.name)
	}
	timeout, cancel := context.WithTimeout(ctx, s.cfg.AttemptTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := errors.New("the destination has ended its goroutine")
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic in the destination: %v", r)
			}
			done <- there(err)
		}()
		err = s.dest.Put(timeout, id, src)
	}()
	select {
	case err := <-done:
		return nil, err
	case <-timeout.Done():
	}
	if background {
		t := time.NewTimer(abortGrace - grace)
		defer t.Stop()
		select {
		case err := <-done:
			return nil, err
		case <-t.C:
		case <-ctx.Done():
		}
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case err := <-done:
		return nil, err
	case <-t.C:
	}
	if err := ctx.Err(); err != nil {
		return done, fmt.Errorf("%w: %w", errHung, err)
	}
	return done, fmt.Errorf("%w after %v", errHung, s.cfg.AttemptTimeout)
}

func (s *Spool) maxStuck() int { return max(maxStuck, s.cfg.Concurrency) }

// leaveBehind gives up the claim on an item whose upload is stuck, so that
// others can try, and closes the file when the upload returns after all.
func (s *Spool) leaveBehind(it *item, c *claim, late <-chan error) {
	c.give()
	s.mu.Lock()
	s.state.stuck++
	n := s.state.stuck
	s.mu.Unlock()
	s.trouble(TroubleStuck, fmt.Errorf("%s: %w (%d of at most %d)", s.name, errHung, n, s.maxStuck()))
	go func() {
		err := <-late
		_ = c.file.Close()
		s.mu.Lock()
		s.state.stuck--
		if err == nil && s.state.items[it.name] == it && !it.delivered {
			s.tellDelivered(it)
			it.next = time.Time{}
			s.state.enqueue(it)
		}
		s.broadcast()
		s.mu.Unlock()
		s.poke()
	}()
}

// itemSource is the dump in an item. It remembers whether the disk was at fault.
type itemSource struct {
	file disk.File
	size int64

	mu      sync.Mutex
	failure error
}

func (r *itemSource) Size() int64 { return r.size }

func (r *itemSource) ReadAt(p []byte, off int64) (int, error) {
	n, err := readWithin(r.file, r.size, p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		r.mu.Lock()
		r.failure = err
		r.mu.Unlock()
	}
	return n, err
}

func (r *itemSource) error() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure
}

// conclude draws the conclusions from an attempt. The caller has mu.
func (s *Spool) conclude(it *item, fl *flight) {
	now := time.Now()
	v := fl.verdict
	st := &s.state
	if v.kind != verdictBusy {
		it.busy = 0
	}
	switch v.kind {
	case verdictDelivered, verdictGone:
		if v.kind == verdictDelivered {
			s.tellDelivered(it)
		}
		s.goneFrom(fl)
		if it.seq == fl.seq { // else it was put once more meanwhile
			st.drop(it)
		}
	case verdictKept:
		s.tellDelivered(it)
		s.goneFrom(fl)
		s.later(it, now)
		s.trouble(TroubleItem, fmt.Errorf("dump %s was delivered to %s, and cannot be removed from the spool: %w", it.id.ID, s.name, s.explain(v.err)))
	case verdictBusy:
		s.breaker.end(fl)
		wait := min(doubled(time.Second, it.busy), scanEvery)
		if st.hurry > 0 {
			wait = 50 * time.Millisecond
		}
		it.busy++
		it.next = now.Add(wait/2 + rand.N(wait/2))
	case verdictDamaged:
		s.breaker.end(fl)
	case verdictForeign:
		s.breaker.end(fl)
		it.next = now.Add(maxRetryAfter)
		s.trouble(TroubleItem, fmt.Errorf("%s in spool %s: %w", it.name, s.dir, v.err))
	case verdictBroken:
		s.breaker.end(fl)
		s.later(it, now)
	case verdictTrouble:
		s.breaker.end(fl)
		s.later(it, now)
		s.trouble(TroubleItem, fmt.Errorf("dump %s: %w", it.id.ID, s.explain(v.err)))
	case verdictCancelled:
		s.breaker.end(fl)
	case verdictFailed:
		s.refused(it, fl, now, v.err)
		it.next = now.Add(backoff(s.cfg.MinBackoff, min(s.cfg.MaxBackoff, s.pauseLimit()), it.attempts))
		if it.asked.After(it.next) {
			it.next = it.asked
		}
		s.trouble(TroubleUpload, fmt.Errorf("uploading dump %s (attempt %d): %w", it.id.ID, it.attempts, v.err))
	case verdictGivenUp:
		s.refused(it, fl, now, v.err)
		s.finish(it, s.resultOf(it, GivenUp, v.err))
		s.trouble(TroubleGivenUp, fmt.Errorf("dump %s is given up, and kept in %s of spool %s: %w", it.id.ID, s.path(failedDir), s.dir, v.err))
	case verdictExpired:
		s.refused(it, fl, now, v.err)
		s.finish(it, s.resultOf(it, Expired, fmt.Errorf("%w: %w", s.expiredError(), v.err)))
		s.tellExpired(1)
	}
}

// tellDelivered notes and tells, once, that the destination has a dump. The
// caller has mu.
func (s *Spool) tellDelivered(it *item) {
	if it.delivered {
		return
	}
	it.delivered = true
	s.state.counts.delivered++
	s.state.recent.add(it.id.ID, Delivered)
	s.events.result(s.resultOf(it, Delivered, nil))
}

// goneFrom notes that a dump need not be uploaded any more. Whether the destination
// works is known only if it has taken the dump just now. The caller has mu.
func (s *Spool) goneFrom(fl *flight) {
	if fl.taken {
		s.arrived()
	} else {
		s.breaker.end(fl)
	}
}

// arrived notes that the destination has taken a dump. If it is back after a
// pause, what it has turned away before is tried at once. The caller has mu.
func (s *Spool) arrived() {
	if !s.breaker.success() {
		return
	}
	now := time.Now()
	for _, it := range s.state.queue {
		if it.refused {
			it.next = it.soonest(now)
		}
	}
	heap.Init(&s.state.queue)
}

// refused notes that the destination has not taken the dump in an item. The
// caller has mu.
func (s *Spool) refused(it *item, fl *flight, now time.Time, err error) {
	it.refused = true
	if after := sink.RetryAfter(err); after > 0 && sink.IsPartial(err) {
		it.asked = now.Add(min(after, maxRetryAfter) + rand.N(s.cfg.MinBackoff+1))
	}
	s.failure(fl, now, err)
}

// failure notes that the destination has not taken a dump. The caller has mu.
func (s *Spool) failure(fl *flight, now time.Time, err error) {
	s.state.counts.failures++
	s.state.last = err
	if sink.IsPermanent(err) || sink.IsPartial(err) {
		// It is there, and has looked at the dump; or a part of it works.
		s.breaker.end(fl)
		return
	}
	if s.breaker.failure(fl, now, sink.RetryAfter(err), s.pauseLimit()) {
		s.trouble(TroubleDestination, fmt.Errorf("%s is left alone for %v after %d failed uploads in a row: %w",
			s.name, s.breaker.until.Sub(now).Round(time.Millisecond), s.breaker.fails, err))
	}
}

// pauseLimit bounds pauses while somebody waits for uploads. The caller has mu.
func (s *Spool) pauseLimit() time.Duration {
	if s.state.hurry > 0 {
		return 2 * s.cfg.MinBackoff
	}
	return 1 << 62
}

// later lets an item wait that there is trouble with. The caller has mu.
func (s *Spool) later(it *item, now time.Time) {
	it.troubles++
	it.next = now.Add(backoff(s.cfg.MinBackoff, s.cfg.MaxBackoff, it.troubles))
}
