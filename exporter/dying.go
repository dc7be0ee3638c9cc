package exporter

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Whether a panic will be recovered cannot be known: any deferred function may
// do it. What can be known is which functions are on the stack. If one of them
// is known to recover from panics of what it calls, the process lives on, and
// the dump is finished in the background; else it is taken to be about to die, and everything is
// written before the panic goes on. Being wrong costs a pause in the one case, a
// dump in the other.

// KnownRecoverers returns the functions that are known to recover from panics of
// what they call. Closures of a function count as the function.
func KnownRecoverers() []string { return slices.Clone(knownRecoverers) }

var knownRecoverers = []string{
	// net/http/server.go and h2_bundle.go of Go 1.26; golang.org/x/net/http2/server.go.
	"net/http.(*conn).serve",
	"net/http.(*http2serverConn).runHandler",
	"net/http.(*timeoutHandler).ServeHTTP",
	"golang.org/x/net/http2.(*serverConn).runHandler",
	// fmt/print.go: a String, Error or Format method that panics.
	"fmt.(*pp).handleMethods",
	// Recovery middlewares and interceptors.
	"github.com/grpc-ecosystem/go-grpc-middleware/recovery.UnaryServerInterceptor",
	"github.com/grpc-ecosystem/go-grpc-middleware/recovery.StreamServerInterceptor",
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery.UnaryServerInterceptor",
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery.StreamServerInterceptor",
	"connectrpc.com/connect.(*recoverHandlerInterceptor).WrapUnary",
	"connectrpc.com/connect.(*recoverHandlerInterceptor).WrapStreamingHandler",
	"github.com/gofiber/fiber/v2/middleware/recover.New",
	"github.com/gofiber/fiber/v3/middleware/recover.New",
	// Job queues.
	"github.com/hibiken/asynq.(*processor).perform",
}

// survival is how long after a panic that seemed to end the process has gone
// on it counts as survived, if there is anybody left to ask.
const survival = 100 * time.Millisecond

// dies reports whether the panic with the given place is about to end the
// process.
//
// Who is not known to recover may do so all the same. A service with such a
// function would write dump after dump before its panics go on, none of
// them suppressed. But that the process is still alive after one of them proves it: from then
// on panics that come by the very same calls, all of them, are taken to be
// recovered.
func (e *Exporter) dies(p *place) bool {
	if p.recovers {
		return false
	}
	if s, ok := e.survivors.get(p.whole); ok && e.now().Sub(s.at) >= survival {
		e.trouble.report("survived panic", "a panic that seemed to end the process was recovered; add the function that recovers to trigger.recovered_by, so that its dumps are written in the background from the beginning")
		return false
	}
	return true
}

// survivor is the first panic by its calls that seemed to end the process, and when
// it was last seen. Those that come meanwhile make no difference, or a storm of them
// would go on for ever.
type survivor struct {
	fate *fate
	at   time.Time
}

// survived notes that a panic which seemed to end the process goes on now. On
// the spans further out it is noted again: as long as it is on its way it proves nothing.
func (e *Exporter) survived(f *failure) {
	if s, ok := e.survivors.get(f.place.whole); !f.place.recovers && (!ok || s.fate == f.fate) {
		e.survivors.put(f.place.whole, survivor{f.fate, e.now()})
	}
}

// fate is a panic that was judged to end the process. It stays that as long
// as it is the same panic: the spans further out must go out as well, and all that
// is done before it goes on, on however many of them, shares one measure of time.
type fate struct {
	at     time.Time
	number Mark
	// seen is when it was last seen, in Unix nanoseconds.
	seen atomic.Int64
	// left is how long it may still be held up.
	left atomic.Int64
	// flushBroken: flushing spans failed or took too long once.
	flushBroken atomic.Bool
	// metrics: they were flushed, or that was tried.
	metrics atomic.Bool
}

// same reports whether s, which has the same key, is a further sighting. Its trace
// makes no difference.
func (d *fate) same(s *sighting) bool {
	if s.since.IsZero() && s.mark == 0 {
		return time.Since(time.Unix(0, d.seen.Load())) < survival
	}
	return !d.at.Before(s.since) && d.number >= s.mark
}

// judge finds out whether the panic f is about to end the process, and if so
// how long it may be held up. dies says that nobody will recover from it.
func (e *Exporter) judge(f *failure, dies bool) {
	d, ok := e.fates.get(f.key)
	if ok && !d.same(&f.sighting) {
		e.fates.take(f.key) // that one was survived
		ok = false
	}
	if !ok {
		if !dies && !e.dies(&f.place) {
			return
		}
		d = &fate{at: f.at, number: Mark(lastMark.Add(1))}
		d.left.Store(int64(e.holdUp()))
		e.fates.put(f.key, d)
	}
	d.seen.Store(f.at.UnixNano())
	f.dying, f.fate = true, d
	f.end = f.at.Add(time.Duration(d.left.Load()))
	f.until = f.end.Add(-e.cfg.FlushTimeout)
}

// holdUp is how long a dying process is held up: the sum of what each step may
// take, and what those take that do not heed their context.
func (e *Exporter) holdUp() time.Duration {
	d := e.cfg.Timeout + e.cfg.DyingPutTimeout + e.cfg.FlushTimeout + 3*grace
	if e.spool != nil {
		d += max(e.cfg.CrashUpload, 0)
	}
	return d
}

// goesOn notes how long f was held up.
func (f *failure) goesOn() {
	f.fate.left.Add(-int64(time.Since(f.at)))
	f.fate.seen.Store(time.Now().UnixNano())
}

// atMost returns d, or less if until is earlier. The zero until is never.
func atMost(d time.Duration, until time.Time) time.Duration {
	if until.IsZero() {
		return d
	}
	return max(min(d, time.Until(until)), 0)
}

// deaths are the panics of a dying process whose dumps are being written, by all
// the calls that they came by.
type deaths struct {
	mu sync.Mutex
	m  map[uint64]*dying
}

type dying struct {
	done chan struct{} // closed when rec is set
	rec  *record       // nil: there is no dump
}

// lastWords makes the dump of a panic that is about to end the process. Of
// goroutines that die at the same time, and by the very same calls, one makes
// it, and the others wait for that. If it is stored it is theirs as well. With
// Config.Window off, each makes its own.
func (e *Exporter) lastWords(f *failure) *record {
	if e.families.window == 0 {
		rec, _ := e.take(f)
		return rec
	}
	// By then the other one's dump should be safe or lost, and there is time left for
	// phase one.
	wait := e.cfg.Timeout + e.cfg.DyingPutTimeout
	if !f.until.IsZero() {
		wait = atMost(wait, f.until.Add(-e.cfg.Timeout))
	}
	until := time.NewTimer(wait)
	defer until.Stop()
	for {
		e.deaths.mu.Lock()
		other := e.deaths.m[f.place.whole]
		if other == nil {
			return e.firstLastWords(f) // unlocks
		}
		e.deaths.mu.Unlock()
		select {
		case <-other.done:
			if other.rec != nil && other.rec.stored.Load() {
				e.stats.suppressed(SuppressedSimilar, f.trigger)
				return e.resemble(f, &admission{given: newGiven(other.rec, other.rec.where, e.now())})
			}
		case <-until.C:
			rec, _ := e.take(f)
			return rec
		}
	}
}

func (e *Exporter) firstLastWords(f *failure) (rec *record) {
	d := &dying{done: make(chan struct{})}
	if e.deaths.m == nil {
		e.deaths.m = make(map[uint64]*dying)
	}
	e.deaths.m[f.place.whole] = d
	e.deaths.mu.Unlock()
	defer func() {
		e.deaths.mu.Lock()
		d.rec = rec
		delete(e.deaths.m, f.place.whole)
		e.deaths.mu.Unlock()
		close(d.done)
	}()
	rec, _ = e.take(f)
	return rec
}

// await waits until the dump is stored or lost, before the process dies, and
// has it uploaded if that takes another step. It reports whether that was one of the
// background that was lost: then there is time for another one.
func (e *Exporter) await(rec *record, until time.Time) (again bool) {
	t := time.NewTimer(atMost(e.cfg.Timeout+e.cfg.DyingPutTimeout+max(e.cfg.CrashUpload, 0), until))
	defer t.Stop()
	select {
	case <-rec.done:
		e.forward(rec, until)
		return rec.lost.Load() && !rec.dying
	case <-t.C:
		return false
	}
}

// flush ends the dumps' own spans and flushes the processors, before the process
// dies, and the metrics with them, once. If that took too long once for this failure, it is not tried again on the
// spans further out.
func (e *Exporter) flush(f *failure, nexts ...sdktrace.SpanProcessor) {
	defer e.contain("flushing spans")
	if f.fate.flushBroken.Load() {
		return
	}
	limit := atMost(e.cfg.FlushTimeout, f.end)
	if limit == 0 {
		f.fate.flushBroken.Store(true)
		e.trouble.report("flush", "spans not flushed before the process dies: it was held up for too long already")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	work := func(flush func() error) chan error {
		done := make(chan error, 1)
		go func() {
			var err error
			defer func() {
				if r := recover(); r != nil {
					e.stats.contained()
				}
				done <- err
			}()
			err = flush()
		}()
		return done
	}
	spans := work(func() (err error) {
		e.endSpans() // calls the processors, so it belongs here
		for _, p := range nexts {
			if e := p.ForceFlush(ctx); e != nil {
				err = e
			}
		}
		return err
	})
	var metrics chan error
	if !f.fate.metrics.Swap(true) {
		metrics = work(func() error {
			e.telemetry.flush(ctx) // that it fails says nothing of the spans
			return nil
		})
	}
	t := time.NewTimer(limit + grace)
	defer t.Stop()
	for spans != nil || metrics != nil {
		select {
		case err := <-spans:
			spans = nil
			if err != nil {
				f.fate.flushBroken.Store(true)
				e.trouble.report("flush", "spans not flushed before the process dies: %v", printable(err))
			}
		case <-metrics:
			metrics = nil
		case <-t.C:
			if spans != nil {
				f.fate.flushBroken.Store(true)
				e.trouble.report("flush", "spans not flushed before the process dies within %v", limit)
			}
			return
		}
	}
}
