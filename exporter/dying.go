package exporter

import (
	"context"
	"slices"
	"sync"
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
	if at, ok := e.survivors.get(p.whole); ok && e.now().Sub(at) >= survival {
		e.trouble.report("survived panic", "a panic that seemed to end the process was recovered; add the function that recovers to trigger.recovered_by, so that its dumps are written in the background from the beginning")
		return false
	}
	return true
}

// survived notes that a panic which seemed to end the process goes on now.
func (e *Exporter) survived(p *place) {
	if _, ok := e.survivors.get(p.whole); !ok && !p.recovers {
		e.survivors.put(p.whole, e.now())
	}
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
	until := time.NewTimer(e.cfg.Timeout + e.cfg.DyingPutTimeout + e.cfg.CrashUpload)
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
// has it uploaded if that takes another step.
func (e *Exporter) await(rec *record) {
	t := time.NewTimer(e.cfg.Timeout + e.cfg.DyingPutTimeout + e.cfg.CrashUpload)
	defer t.Stop()
	select {
	case <-rec.done:
		e.forward(rec)
	case <-t.C:
	}
}

// flush ends the dumps' own spans and flushes the processors, before the process
// dies, and the metrics with them. If that took too long once for this failure, it is not tried again on the
// spans further out.
func (e *Exporter) flush(rec *record, nexts ...sdktrace.SpanProcessor) {
	defer e.contain("flushing spans")
	if rec.flushBroken.Load() {
		return
	}
	e.endSpans()
	ctx, cancel := context.WithTimeout(context.Background(), e.cfg.FlushTimeout)
	defer cancel()
	done := make(chan error, 2)
	work := func(flush func() error) {
		var err error
		defer func() {
			if r := recover(); r != nil {
				e.stats.contained()
			}
			done <- err
		}()
		err = flush()
	}
	go work(func() (err error) {
		for _, p := range nexts {
			if e := p.ForceFlush(ctx); e != nil {
				err = e
			}
		}
		return err
	})
	go work(func() error {
		e.telemetry.flush(ctx) // that it fails says nothing of the spans
		return nil
	})
	t := time.NewTimer(e.cfg.FlushTimeout + grace)
	defer t.Stop()
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				rec.flushBroken.Store(true)
				e.trouble.report("flush", "spans not flushed before the process dies: %v", printable(err))
			}
		case <-t.C:
			rec.flushBroken.Store(true)
			e.trouble.report("flush", "spans not flushed before the process dies within %v", e.cfg.FlushTimeout)
			return
		}
	}
}
