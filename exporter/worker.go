package exporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// job is a dump between phase one and its end.
type job struct {
	rec    *record
	snap   Snapshot
	header *dump.Header
	extra  func() *dump.Extra // called in phase two
	span   trace.Span         // the dump's own, nil if it has none
	pause  time.Duration
	family *family // nil if it has none
	queued bool    // it has a place in the queue
	data   []byte  // the dump, once it is encoded
	held   int64   // bytes that it counts with

	settled atomic.Bool
}

func (e *Exporter) newJob(f *failure, rec *record, snap Snapshot, a *admission) *job {
	res := e.resourceOf(f)
	j := &job{
		rec: rec, snap: snap, header: headerOf(f, rec.ref, res, a), extra: extraOf(f), pause: snap.Pause(),
		family: a.family, queued: !f.dying, span: e.startOwn(f, rec, res),
	}
	if s, ok := snap.(interface{ Bytes() int64 }); ok {
		e.hold(j, s.Bytes())
	}
	e.jobs.add() // last: who fails before this has no job that must be settled
	return j
}

// hold sets how much memory a job counts with.
func (e *Exporter) hold(j *job, n int64) {
	e.held.Add(n - j.held)
	j.held = n
}

// reserve takes a place in the queue.
func (e *Exporter) reserve() bool {
	if e.pending.Add(1) > int64(cap(e.queue)) {
		e.pending.Add(-1)
		return false
	}
	return true
}

// free gives a job's place in the queue back.
func (e *Exporter) free(j *job) {
	if j.queued {
		j.queued = false
		e.pending.Add(-1)
	}
}

// enqueue hands a job, which has a place in the queue, over to the background.
// It does not block. If the background takes no more, the job is settled.
func (e *Exporter) enqueue(j *job) {
	e.gate.RLock()
	ended := e.ended
	if !ended {
		e.queue <- j
	}
	e.gate.RUnlock()
	if ended {
		e.abandon(j) // calls processors, so not under the lock
	}
}

// The background is two goroutines, one that encodes and one that stores, so
// that a slow disk or bucket does not keep snapshots waiting, which are larger
// than the dumps that become of them. A job's place in the queue is free when it is being
// stored, so Config.Queue bounds what lies between phase one and the store.

// encodeAll is the goroutine that encodes, one dump after the other.
func (e *Exporter) encodeAll() {
	defer close(e.encoded)
	for {
		select {
		case j := <-e.queue:
			if e.encodeOne(j, e.cfg.Timeout+e.cfg.PutTimeout) {
				e.encoded <- j // has room for as many as there are places
			}
		case <-e.stop:
			for {
				select {
				case j := <-e.queue:
					e.abandon(j)
				default:
					return
				}
			}
		}
	}
}

// storeAll is the goroutine that stores.
func (e *Exporter) storeAll() {
	defer close(e.stopped)
	for j := range e.encoded {
		e.free(j)
		select {
		case <-e.stop:
			e.abandon(j)
		default:
			e.storeOne(j, e.cfg.PutTimeout)
		}
	}
}

// abandon ends a job that the shutdown does not wait for.
func (e *Exporter) abandon(j *job) {
	j.snap.Release()
	e.settle(j, outcome{reason: DropShutdown, err: errShutdown})
}

// writeNow writes a dump of a dying process, and waits as long for those that
// came before as there is time left. It is done at the given time.
func (e *Exporter) writeNow(j *job, until time.Time) {
	limit := e.cfg.Timeout + e.cfg.DyingPutTimeout
	ctx, cancel := context.WithTimeout(context.Background(), atMost(limit, until))
	defer cancel()
	// Several goroutines may die at once. To encode takes memory, so they take
	// turns. Who has no time left for that has no dump.
	if !enter(e.last, atMost(limit, until)) {
		j.snap.Release()
		e.settle(j, outcome{reason: FailTimeout, err: errors.New("dumps of other panics that end the process took too long")})
		return
	}
	encoded := e.encodeOne(j, atMost(limit, until))
	leave(e.last)
	if encoded {
		e.storeOne(j, atMost(e.cfg.DyingPutTimeout, until))
		e.forward(j.rec, until)
	}
	_ = e.jobs.wait(ctx, e.newDone)
}

// encodeOne runs phase two. It reports whether there is something to store;
// otherwise the job is settled. Config.Timeout is for reading memory; to write
// what was read takes longer, so limit, after which the job is left behind, is longer.
func (e *Exporter) encodeOne(j *job, limit time.Duration) bool {
	if e.blocked(j) {
		j.snap.Release()
		return false
	}
	var data []byte
	var err error
	if !e.within(limit, func(ctx context.Context) { data, err = e.encode(ctx, j) }) {
		e.lateJob(j, "encoded", limit)
		return false
	}
	if err != nil {
		e.settle(j, outcome{reason: FailEncode, err: err})
		return false
	}
	j.data = data
	j.snap, j.header, j.extra = released{}, nil, nil
	e.hold(j, int64(cap(data)))
	return true
}

// storeOne stores an encoded dump, and settles the job.
func (e *Exporter) storeOne(j *job, limit time.Duration) {
	if e.blocked(j) {
		return
	}
	id := j.rec.ref.Identity
	src := bytes.NewReader(j.data)
	if e.cfg.Deliveries && j.span != nil {
		e.deliveries.expect(id.ID)
	}
	var panicked bool
	var err error
	if !e.within(limit, func(ctx context.Context) { panicked, err = e.put(ctx, id, src) }) {
		e.lateJob(j, "stored in "+e.storeName(), limit)
		return
	}
	res := outcome{err: err}
	switch {
	case err == nil:
		res.size = src.Size()
	case panicked:
		res.reason = FailSinkPanic
	case errors.Is(err, context.DeadlineExceeded):
		res.reason = FailTimeout
	case err != nil:
		res.reason = FailSink
	}
	e.settle(j, res)
}

// blocked settles a job that is not tried any more, because too many before it
// were left behind.
func (e *Exporter) blocked(j *job) bool {
	if e.stuck.Load() < maxStuck {
		return false
	}
	e.settle(j, outcome{reason: FailStuck, err: fmt.Errorf("%d earlier dumps are still blocked in %s", maxStuck, e.storeName())})
	return true
}

// lateJob settles a job that was left behind.
func (e *Exporter) lateJob(j *job, done string, limit time.Duration) {
	select {
	case <-e.stop:
		e.settle(j, outcome{reason: DropShutdown, err: fmt.Errorf("not %s before the shutdown", done)})
	default:
		e.settle(j, outcome{reason: FailTimeout, err: fmt.Errorf("not %s within %v", done, limit)})
	}
}

// grace is how long within waits for what should have ended.
const grace = 250 * time.Millisecond

// within runs f, which should heed its context, and reports whether it has
// returned in time. One that has not is left behind on a goroutine of its own; what it
// writes to must not be looked at then.
func (e *Exporter) within(limit time.Duration, f func(ctx context.Context)) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
	case <-e.stop:
		cancel()
	}
	// What heeds its context gets the chance to say what happened.
	grace := time.NewTimer(grace)
	defer grace.Stop()
	select {
	case <-done:
		return true
	case <-grace.C:
	}
	e.stuck.Add(1)
	go func() {
		<-done
		e.stuck.Add(-1)
	}()
	return false
}

// encode returns the dump. It is written to memory: it is compressed, so it is
// small against what was captured, and no disk can be full or hold a secret half
// written.
func (e *Exporter) encode(ctx context.Context, j *job) (data []byte, err error) {
	snap := j.snap
	defer snap.Release()
	defer func() {
		if r := recover(); r != nil {
			e.stats.contained()
			err = errors.New("panic in the engine: " + printable(r))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	var buf bytes.Buffer
	if _, err = snap.Encode(ctx, &buf, j.header, j.extra()); err != nil {
		return nil, err
	}
	e.countRedactions(buf.Bytes())
	return buf.Bytes(), nil
}

// countRedactions counts what was redacted in a dump, which is in its header.
func (e *Exporter) countRedactions(data []byte) {
	h, err := dump.ReadHeader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return // another engine's
	}
	for _, r := range h.Redactions {
		if r.Count > 0 {
			e.stats.add(uint64(r.Count), tally{what: countRedaction, reason: r.Rule})
		}
	}
}

// released takes the place of a snapshot that was encoded.
type released struct{ Snapshot }

func (released) Release() {}

func (e *Exporter) put(ctx context.Context, id dump.Identity, src *bytes.Reader) (panicked bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			e.stats.contained()
			panicked, err = true, errors.New("panic in the sink: "+printable(r))
		}
	}()
	return false, e.store.Put(ctx, id, src)
}

// settle says how a dump ended: to the counters, its own span, the log, those
// who wait, and OnDump. Only the first call for a job counts.
func (e *Exporter) settle(j *job, res outcome) {
	if j.settled.Swap(true) {
		return
	}
	ref := j.rec.ref
	later := e.cfg.OnDump != nil && (res.reason == FailTimeout || res.reason == DropShutdown)
	if later {
		defer func() { go e.tell(ref, res.err) }() // this is not a goroutine that may block
	}
	defer e.jobs.done()
	defer close(j.rec.done)
	defer e.contain("telling of a dump")
	e.free(j)
	e.hold(j, 0)
	j.data = nil
	e.stats.ended(ref.Trigger, res)
	e.telemetry.ended(ref.Trigger, res, time.Since(j.rec.at))
	if res.reason == "" {
		j.rec.stored.Store(true)
	} else {
		e.deliveries.forget(ref.ID)
		j.rec.lost.Store(true)
		e.families.lost(ref.ID)
		e.trouble.report(res.reason, "dump %s of trace %s is lost: %s", ref.ID, ref.TraceID, printable(res.err))
	}
	e.endOwn(j, res)
	if e.cfg.OnDump != nil && !later {
		e.tell(ref, res.err)
	}
}

func (e *Exporter) tell(ref Ref, err error) {
	defer e.contain("calling OnDump")
	e.cfg.OnDump(ref, err)
}

// endOwn ends the own span of a dump or, if that is in the spool now, keeps it
// open until it is delivered.
func (e *Exporter) endOwn(j *job, res outcome) {
	defer e.contain("ending a span")
	if j.span == nil {
		return
	}
	if res.reason == "" && e.cfg.Deliveries {
		e.holdOwn(j, res)
		return
	}
	e.own.describe(j.span, e.storeName(), j.rec.at, j.pause, res)
	e.finish(j, j.span)
}

func (e *Exporter) storeName() (name string) {
	defer e.contain("asking the sink for its name")
	return e.store.String()
}

// tracker counts the jobs that are not settled.
type tracker struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n falls to 0; nil if nobody waits
}

func (t *tracker) add() {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
}

func (t *tracker) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.n == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

func (t *tracker) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// wait waits until there are no jobs, or until ctx is done.
func (t *tracker) wait(ctx context.Context, newDone func() chan struct{}) error {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.idle == nil {
		t.idle = newDone()
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d dumps are not stored yet: %w", t.count(), ctx.Err())
	}
}
