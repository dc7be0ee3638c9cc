// Package exporter is the OpenTelemetry glue of otelcoredumpy: it sees spans
// fail, has the engine capture why, and puts the dump's address on the span.
//
// The parts, in the order in which a failure meets them:
//
//   - [Processor], the span processor that wraps the application's own, sees
//     every span end, and on which of them a panic or an error did it.
//     [Exporter.RecordError], [Exporter.Dump] and [Exporter.Panicking] are the
//     other ways in.
//   - memory.go knows what was dumped lately, so that one failure makes one dump
//     however many spans it goes through.
//   - take.go runs phase one of the capture on the failing goroutine.
//   - worker.go runs phase two, in the background or, if the process is about to
//     die (dying.go), before the panic goes on.
//   - span.go and ownspan.go put the result on the failing span, and on a span of
//     the dump's own.
//
// What the package must never do: recover somebody else's panic, let one of
// its own out, block a goroutine of the application longer than the configured
// limits, call a method of the application's values (but for
// the errors handed to RecordError), grow without bound, or make a dump
// because of its own spans. A span that did not fail costs it no lock and no
// allocation.
package exporter

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdkresource "go.opentelemetry.io/otel/sdk/resource"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// Engine captures. [ForEngine] makes one of a [capture.Engine].
type Engine interface {
	// Snapshot is phase one, as [capture.Engine.Snapshot].
	Snapshot(ev capture.Event) (Snapshot, error)
}

// Snapshot is what phase one caught; see [capture.Snapshot] for the meaning of
// the methods.
type Snapshot interface {
	Failing() dump.Location
	Reason() []dump.ErrorInfo
	Pause() time.Duration
	Encode(ctx context.Context, w io.Writer, h *dump.Header, x *dump.Extra) (int64, error)
	Release()
}

// ForEngine adapts the real engine.
func ForEngine(e *capture.Engine) Engine { return realEngine{e} }

type realEngine struct{ e *capture.Engine }

func (r realEngine) Snapshot(ev capture.Event) (Snapshot, error) {
	s, err := r.e.Snapshot(ev)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Store is the part of [sink.Sink] that writing needs.
type Store interface {
	Put(ctx context.Context, id dump.Identity, src sink.Source) error
	URI(id dump.Identity) string
	String() string
}

// Config says what is dumped and how long that may take. Start from
// [DefaultConfig]. The zero value of a limit stands for its default.
type Config struct {
	// Service is the service's name in the dumps. Default: service.name of the
	// failing span's resource.
	Service string

	// Panics makes dumps of panics. Default true.
	Panics bool
	// ErrorSpans makes dumps of spans that end with status Error, and of what
	// is handed to RecordError. Default true.
	ErrorSpans bool
	// Exclude lists errors and panic values that get no dump: types
	// ("*net/url.Error"; "*url.Error" is the same, for the SDK writes no more
	// of a pointer's type) or messages, which match whole or behind the last
	// ": " of a wrapping message.
	Exclude []string
	// IgnorePanics are panic values that get no dump and leave no trace on a
	// span, compared by identity, such as http.ErrAbortHandler.
	IgnorePanics []any
	// RecoveredBy names functions that recover from panics of what they call,
	// besides those that are known ([KnownRecoverers]).
	RecoveredBy []string

	// ViewerURL is the address of the viewer; see [Ref.URL].
	ViewerURL string

	// Redact is applied to texts that this package puts on spans: panic
	// messages. nil leaves them as they are.
	Redact func(text string) string

	// Pause is how long a failing goroutine waits for its turn if other
	// captures are in phase one; then the dump is dropped. Default 50 ms.
	Pause time.Duration
	// Timeout bounds phase one and two of a capture. Default 2 s.
	Timeout time.Duration
	// PutTimeout bounds storing a dump in the background. Default 30 s.
	PutTimeout time.Duration
	// DyingPutTimeout bounds storing a dump while the process is dying.
	// Default 3 s.
	DyingPutTimeout time.Duration
	// FlushTimeout bounds the flush of spans while the process is dying.
	// Default 1 s.
	FlushTimeout time.Duration

	// Queue is how many dumps may wait for phase two; more are dropped before
	// phase one. Default 16.
	Queue int
	// Remember is how many failures are remembered to recognise them on
	// further spans. Default 1024.
	Remember int

	// Logger gets a line when a dump cannot be made or stored, at most one a minute for
	// each kind of trouble. Default: the error goes to otel.Handle.
	Logger *slog.Logger
	// OnDump is called on a background goroutine when a dump has been stored,
	// or with the error if it has not. In a dying process it is called before
	// the panic goes on. It should not block.
	OnDump func(Ref, error)
}

// DefaultConfig returns the defaults that are documented at [Config].
func DefaultConfig() Config {
	return Config{Panics: true, ErrorSpans: true}.withDefaults()
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		p *time.Duration
		v time.Duration
	}{
		{&c.Pause, 50 * time.Millisecond},
		{&c.Timeout, 2 * time.Second},
		{&c.PutTimeout, 30 * time.Second},
		{&c.DyingPutTimeout, 3 * time.Second},
		{&c.FlushTimeout, time.Second},
	} {
		if *d.p <= 0 {
			*d.p = d.v
		}
	}
	if c.Queue <= 0 {
		c.Queue = 16
	}
	if c.Remember <= 0 {
		c.Remember = 1024
	}
	return c
}

// Exporter makes dumps of failures and hands them to a store. All methods are
// safe for concurrent use, and do nothing on a nil Exporter.
type Exporter struct {
	cfg     Config
	engine  Engine
	store   Store
	exclude excludes
	recover recoverers

	memory   *memory
	cleanups *bounded[dump.SpanID, capture.PanicKey] // spans that began during a panic
	watches  *bounded[dump.SpanID, *watchList]
	own      *ownSpans
	stats    counters
	trouble  troubleLog
	resource atomic.Pointer[sdkresource.Resource] // of the first span that was seen

	turn    chan struct{} // lock: the capture of an error that is in phase one
	decide  chan struct{} // lock: finding and remembering a failure
	phases  tracker       // captures in phase one
	pending atomic.Int64  // queued jobs and places reserved for one
	queue   chan *job
	jobs    tracker      // accepted and not yet settled
	stuck   atomic.Int64 // goroutines given up on
	gate    sync.RWMutex // held for writing while closed or ended is set
	closed  atomic.Bool  // no capture begins any more
	ended   bool         // the background goroutine takes nothing more
	stop    chan struct{}
	stopped chan struct{}

	successor atomic.Pointer[Exporter]
}

// New returns a running Exporter. It has one background goroutine until
// Shutdown.
func New(engine Engine, store Store, cfg Config) (*Exporter, error) {
	if engine == nil {
		return nil, errors.New("exporter: no engine")
	}
	if store == nil {
		return nil, errors.New("exporter: no store")
	}
	cfg = cfg.withDefaults()
	e := &Exporter{
		cfg: cfg, engine: engine, store: store,
		exclude:  newExcludes(cfg.Exclude),
		recover:  newRecoverers(cfg.RecoveredBy),
		memory:   newMemory(cfg.Remember),
		cleanups: newBounded[dump.SpanID, capture.PanicKey](cfg.Remember),
		watches:  newBounded[dump.SpanID, *watchList](4 * cfg.Remember),
		turn:     make(chan struct{}, 1),
		decide:   make(chan struct{}, 1),
		queue:    make(chan *job, cfg.Queue),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	e.trouble.logger = cfg.Logger
	e.own = newOwnSpans()
	go e.work()
	return e, nil
}

// Replace makes next do from now on whatever e is asked to do: processors,
// middlewares and methods of e hand over to next, and dumps' own spans of next
// go where those of e went. e still has to be shut down, which finishes what it
// has begun.
func (e *Exporter) Replace(next *Exporter) {
	if e == nil || next == nil || e == next.current() {
		return
	}
	next.own.adopt(e.own)
	e.successor.Store(next)
}

// current returns the Exporter that does the work now.
func (e *Exporter) current() *Exporter {
	for e != nil {
		next := e.successor.Load()
		if next == nil {
			break
		}
		e = next
	}
	return e
}

// Flush waits until the dumps that were begun before are stored or given up,
// or until ctx is done.
func (e *Exporter) Flush(ctx context.Context) error {
	if e = e.current(); e == nil {
		return nil
	}
	return e.jobs.wait(ctx)
}

// Shutdown makes no more dumps, waits until those that were begun are stored or
// given up, or until ctx is done, and ends the background goroutine. What is
// not stored by then is dropped; the error says how much. Spans go on through
// the processors. A second Shutdown does nothing.
func (e *Exporter) Shutdown(ctx context.Context) error {
	if e == nil {
		return nil
	}
	e.gate.Lock()
	was := e.closed.Swap(true)
	e.gate.Unlock()
	if was {
		return nil
	}
	err := errors.Join(e.phases.wait(ctx), e.jobs.wait(ctx))
	e.gate.Lock()
	e.ended = true
	e.gate.Unlock()
	close(e.stop)
	select {
	case <-e.stopped:
	case <-ctx.Done(): // a store that does not return
		err = errors.Join(err, ctx.Err())
	}
	return err
}

// contain is deferred where the package's own code runs on a goroutine of the
// application. It stops panics of ours; one of the application that is already
// under way is not touched, because recover sees only a panic that this very
// deferred call is running for.
func (e *Exporter) contain(doing string) {
	if r := recover(); r != nil {
		e.stats.contained()
		e.trouble.report("panic while "+doing, "contained a panic while %s: %v", doing, printable(r))
	}
}
