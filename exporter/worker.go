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

	settled atomic.Bool
}

func (e *Exporter) newJob(f *failure, rec *record, snap Snapshot) *job {
	rec.ref.URI = e.uri(rec.ref.Identity)
	res := e.resourceOf(f)
	j := &job{
		rec: rec, snap: snap, header: headerOf(f, rec.ref, res), extra: extraOf(f), pause: snap.Pause(),
		span: e.startOwn(f, rec, res),
	}
	if j.span != nil {
		rec.link = j.span.SpanContext()
	}
	return j
}

// reserve takes a place in the queue.
func (e *Exporter) reserve() bool {
	if e.pending.Add(1) > int64(cap(e.queue)) {
		e.pending.Add(-1)
		return false
	}
	return true
}

// enqueue hands a job, which has a place in the queue, over to the background
// goroutine. It does not block. If the goroutine takes no more, the job is
// settled.
func (e *Exporter) enqueue(j *job) {
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.ended {
		e.pending.Add(-1)
		j.snap.Release()
		e.settle(j, outcome{reason: DropShutdown, err: errShutdown})
		return
	}
	e.queue <- j
}

// work is the background goroutine: one dump after the other.
func (e *Exporter) work() {
	defer close(e.stopped)
	for {
		select {
		case j := <-e.queue:
			e.pending.Add(-1)
			e.write(j, e.cfg.PutTimeout)
		case <-e.stop:
			for {
				select {
				case j := <-e.queue:
					e.pending.Add(-1)
					j.snap.Release()
					e.settle(j, outcome{reason: DropShutdown, err: errShutdown})
				default:
					return
				}
			}
		}
	}
}

// writeNow writes a dump of a dying process, and waits as long for those that
// came before as there is time left.
func (e *Exporter) writeNow(j *job) {
	ctx, cancel := context.WithTimeout(context.Background(), e.cfg.Timeout+e.cfg.DyingPutTimeout)
	defer cancel()
	e.write(j, e.cfg.DyingPutTimeout)
	_ = e.jobs.wait(ctx)
}

// write runs phase two and stores the dump. It returns when that is done, or
// when it takes too long; a store that does not heed its context is left
// behind on a goroutine of its own.
func (e *Exporter) write(j *job, putTimeout time.Duration) {
	if e.stuck.Load() >= maxStuck {
		j.snap.Release()
		e.settle(j, outcome{reason: FailStuck, err: fmt.Errorf("%d earlier dumps are still blocked in %s", maxStuck, e.storeName())})
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), e.cfg.Timeout+putTimeout)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer e.contain("telling of a dump")
		e.settle(j, e.encodeAndPut(ctx, j, putTimeout))
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	case <-e.stop:
		cancel()
	}
	// What heeds its context gets the chance to say what happened.
	grace := time.NewTimer(grace)
	defer grace.Stop()
	select {
	case <-done:
		return
	case <-grace.C:
	}
	e.stuck.Add(1)
	go func() {
		<-done
		e.stuck.Add(-1)
	}()
	select {
	case <-e.stop:
		e.settle(j, outcome{reason: DropShutdown, err: fmt.Errorf("not stored in %s before the shutdown", e.storeName())})
	default:
		e.settle(j, outcome{reason: FailTimeout, err: fmt.Errorf("not stored in %s within %v", e.storeName(), e.cfg.Timeout+putTimeout)})
	}
}

// grace is how long write waits for what should have ended.
const grace = 250 * time.Millisecond

func (e *Exporter) encodeAndPut(ctx context.Context, j *job, putTimeout time.Duration) outcome {
	// A dump is written to memory: it is compressed, so it is small against
	// what was captured, and no disk can be full or hold a secret half written.
	var buf bytes.Buffer
	if err := e.encode(ctx, j, &buf); err != nil {
		return outcome{reason: FailEncode, err: err}
	}
	src := bytes.NewReader(buf.Bytes())
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	panicked, err := e.put(ctx, j.rec.ref.Identity, src)
	switch {
	case panicked:
		return outcome{size: src.Size(), reason: FailSinkPanic, err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return outcome{size: src.Size(), reason: FailTimeout, err: err}
	case err != nil:
		return outcome{size: src.Size(), reason: FailSink, err: err}
	}
	return outcome{size: src.Size()}
}

func (e *Exporter) encode(ctx context.Context, j *job, buf *bytes.Buffer) (err error) {
	defer j.snap.Release()
	defer func() {
		if r := recover(); r != nil {
			e.stats.contained()
			err = errors.New("panic in the engine: " + printable(r))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	_, err = j.snap.Encode(ctx, buf, j.header, j.extra())
	return err
}

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
	defer e.jobs.done()
	defer close(j.rec.done)
	if res.reason == "" {
		e.stats.stored(j.rec.ref.Trigger, res.size)
	} else {
		e.stats.lost(res.reason)
		e.trouble.report(res.reason, "dump %s of trace %s is lost: %s", j.rec.ref.ID, j.rec.ref.TraceID, printable(res.err))
	}
	e.endOwn(j, res)
	if e.cfg.OnDump != nil {
		if res.reason == FailTimeout || res.reason == DropShutdown {
			go e.tell(j.rec.ref, res.err) // this is not a goroutine that may block
		} else {
			e.tell(j.rec.ref, res.err)
		}
	}
}

func (e *Exporter) tell(ref Ref, err error) {
	defer e.contain("calling OnDump")
	e.cfg.OnDump(ref, err)
}

func (e *Exporter) endOwn(j *job, res outcome) {
	defer e.contain("ending a span")
	e.own.end(j.span, e.storeName(), j.rec.at, j.pause, res)
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
func (t *tracker) wait(ctx context.Context) error {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
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
