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
//   - exclude.go, rule.go and sample.go leave out what the configuration leaves
//     out; storm.go, with fingerprint.go and stack.go, what is like another
//     failure that has a dump, and what is too much.
//   - take.go runs phase one of the capture on the failing goroutine.
//   - worker.go runs phase two and stores, in the background or, if the process
//     is about to die (dying.go), before the panic goes on; delivery.go follows
//     a dump from the spool to its destination.
//   - span.go and ownspan.go put the result on the failing span, and on a span of
//     the dump's own; stats.go and telemetry.go count.
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

	"go.opentelemetry.io/otel/metric"
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

// Store is the part of [sink.Sink] that writing needs. A store that is a
// [sink.Forwarder], a spool, keeps a dump safe and brings it to its destination
// later; while the process is dying it is asked to do so at once. See also
// [Config.Deliveries]. It may also be a [sink.Router].
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
	// ExcludeIs lists errors that get no dump, such as context.Canceled: an error
	// that is handed to RecordError if errors.Is finds one of them in it; a panic if its value is one; and
	// what is merely seen (on a span, wrapped in a panic's value) if an
	// error in it has the same type and message.
	ExcludeIs []error
	// Rules say which failures get a dump; see [Rule]. They are asked after
	// Exclude and ExcludeIs.
	Rules []Rule
	// Sample says, by trigger, which fraction of the traces gets dumps of its panics and
	// error spans. A trigger that is not in it counts as 1, which is all. The trace ID
	// decides, so that all spans and all services of a trace agree; outside
	// of a trace, chance. A panic that is about to end the process always gets its dump.
	Sample map[dump.Trigger]float64
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

	// Window is how long after a dump failures like that one get none, but refer
	// to it. Failures are alike that come from the same place in the program,
	// with the same types of errors, span name and, but for numbers and the like, message. Default 1 minute;
	// less than 0: each gets its own. Neither this nor PerFailure or PerMinute applies to a
	// panic that is about to end the process, or to Dump.
	Window time.Duration
	// PerFailure is how many dumps an hour failures that are alike get, a quarter of them (but at
	// least three) at once. Default 20; less than 0: any number.
	PerFailure int
	// PerMinute is how many dumps are made a minute, a third of them (but at
	// least three) at once. Default 30; less than 0: any number.
	PerMinute int

	// Deliveries says that the store tells [Exporter.Delivered] of every dump that
	// it has accepted. Then a dump's own span stays open until it does, but not
	// for more than a minute.
	Deliveries bool
	// Drain, if set, is called in Shutdown when all dumps are in the store, and
	// before their own spans and the metrics end: to have the store deliver
	// what it holds. It must heed its context.
	Drain func(ctx context.Context) error

	// Pause is how long a failing goroutine waits for its turn if other
	// captures are in phase one; then the dump is dropped. That is apart from what the engine may
	// take for phase one itself ([capture.Config]), so both together bound what a failing goroutine waits.
	// Default 50 ms.
	Pause time.Duration
	// Timeout bounds phase one and two of a capture. Default 2 s.
	Timeout time.Duration
	// PutTimeout bounds storing a dump in the background. Default 30 s.
	PutTimeout time.Duration
	// DyingPutTimeout bounds storing a dump while the process is dying.
	// Default 3 s.
	DyingPutTimeout time.Duration
	// CrashUpload bounds the attempt to bring a dump to its destination while the
	// process is dying, if the store is a spool. Default 3 s; less than 0: no attempt.
	CrashUpload time.Duration
	// FlushTimeout bounds the flush of spans while the process is dying.
	// Default 1 s.
	FlushTimeout time.Duration

	// Queue is how many dumps may wait between phase one and the store; more are
	// dropped before phase one. Default 16.
	Queue int
	// MaxPendingBytes bounds the memory that these hold, about: no capture
	// begins while it is exceeded. Default 128 MiB.
	MaxPendingBytes int64
	// Remember is how many failures are remembered to recognise them on
	// further spans. Default 1024.
	Remember int

	// MeterProvider gets metrics (docs/telemetry.md). Default: otel.GetMeterProvider.
	MeterProvider metric.MeterProvider
	// Spool says how much lies in the spool, for metrics; ok is false if that is
	// not known. nil if there is no spool.
	Spool func() (items int, bytes int64, ok bool)

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
	if c.CrashUpload == 0 {
		c.CrashUpload = 3 * time.Second
	}
	if c.Window == 0 {
		c.Window = time.Minute
	}
	if c.PerFailure == 0 {
		c.PerFailure = 20
	}
	if c.PerMinute == 0 {
		c.PerMinute = 30
	}
	if c.Queue <= 0 {
		c.Queue = 16
	}
	if c.MaxPendingBytes <= 0 {
		c.MaxPendingBytes = 128 << 20
	}
	if c.Remember <= 0 {
		c.Remember = 1024
	}
	return c
}

// Exporter makes dumps of failures and hands them to a store. All methods are
// safe for concurrent use, and do nothing on a nil Exporter.
type Exporter struct {
	cfg       Config
	engine    Engine
	store     Store
	spool     sink.Forwarder // the store, if it is one
	exclude   excludes
	sentinels sentinels
	rules     rules
	stacks    *stacks
	prints    fingerprints
	now       func() time.Time // of what storms and limits depend on

	memory    *memory
	families  *families
	survivors *bounded[uint64, survivor]              // by the calls by which a panic came that seemed to end the process
	fates     *bounded[capture.PanicKey, *fate]       // panics that seem to end the process
	cleanups  *bounded[dump.SpanID, capture.PanicKey] // spans that began during a panic
	watches   *bounded[dump.SpanID, *watchList]
	own       *ownSpans
	stats     counters
	trouble   troubleLog

	telemetry  *telemetry
	deliveries deliveries
	resource   atomic.Pointer[sdkresource.Resource] // of the first span that was seen

	turn    chan struct{} // lock: the capture of an error that is in phase one
	inside  atomic.Int64  // failing goroutines in phase one or waiting for it
	phases  tracker       // captures in phase one
	pending atomic.Int64  // queued jobs and places reserved for one
	held    atomic.Int64  // bytes of the jobs that are not settled
	queue   chan *job     // to be encoded
	encoded chan *job     // to be stored
	jobs    tracker       // accepted and not yet settled
	last    chan struct{} // lock: a dying process's dump that is being written
	deaths  deaths
	stuck   atomic.Int64 // goroutines given up on
	gate    sync.RWMutex // held for writing while closed or ended is set
	closed  atomic.Bool  // no capture begins any more
	ended   bool         // the background takes nothing more
	stop    chan struct{}
	stopped chan struct{}
	dones   chan chan struct{} // see newDone

	successor atomic.Pointer[Exporter]
}

// New returns a running Exporter. It has a few background goroutines until
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
		exclude:   newExcludes(cfg.Exclude),
		sentinels: newSentinels(cfg.ExcludeIs),
		rules:     newRules(cfg.Rules),
		stacks:    newStacks(cfg.RecoveredBy),
		prints:    newFingerprints(),
		now:       time.Now,
		memory:    newMemory(cfg.Remember),
		families:  newFamilies(&cfg),
		survivors: newBounded[uint64, survivor](256),
		fates:     newBounded[capture.PanicKey, *fate](256),
		cleanups:  newBounded[dump.SpanID, capture.PanicKey](cfg.Remember),
		watches:   newBounded[dump.SpanID, *watchList](4 * cfg.Remember),
		turn:      make(chan struct{}, 1),
		last:      make(chan struct{}, 1),
		queue:     make(chan *job, cfg.Queue),
		encoded:   make(chan *job, cfg.Queue),
		stop:      make(chan struct{}),
		stopped:   make(chan struct{}),
		dones:     make(chan chan struct{}),
	}
	e.spool, _ = store.(sink.Forwarder)
	e.trouble.logger = cfg.Logger
	e.own = newOwnSpans()
	e.telemetry = newTelemetry(e)
	go e.encodeAll()
	go e.storeAll()
	go e.makeDones()
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
	if e == nil {
		return nil
	}
	next := e.successor.Load()
	if next == nil {
		return e
	}
	if next.successor.Load() == nil {
		return next
	}
	return e.shorten()
}

// shorten is current after several replacements. It leaves out those between, which
// would be kept for ever otherwise.
func (e *Exporter) shorten() *Exporter {
	first := e.successor.Load()
	last := first
	for next := last.successor.Load(); next != nil; next = last.successor.Load() {
		last = next
	}
	e.successor.CompareAndSwap(first, last)
	return last
}

// Flush waits until the dumps that were begun before are stored or given up,
// or until ctx is done.
func (e *Exporter) Flush(ctx context.Context) error {
	if e = e.current(); e == nil {
		return nil
	}
	err := e.jobs.wait(ctx, e.newDone)
	e.telemetry.wait(ctx)
	return err
}

// Shutdown makes no more dumps, waits until those that were begun are stored or
// given up, or until ctx is done, and ends the background goroutines. What is
// not stored by then is dropped; the error says how much. For a spool to deliver
// it waits only as far as Config.Drain does. It does not shut the store down: that comes
// afterwards. Spans go on through the processors. A second Shutdown does nothing.
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
	err := errors.Join(e.phases.wait(ctx, e.newDone), e.jobs.wait(ctx, e.newDone))
	e.gate.Lock()
	e.ended = true
	e.gate.Unlock()
	close(e.stop)
	select {
	case <-e.stopped:
	case <-ctx.Done(): // a store that does not return
		err = errors.Join(err, ctx.Err())
	}
	err = errors.Join(err, e.drain(ctx))
	e.closeSpans()
	e.telemetry.shutdown(ctx)
	return err
}

// drain has the store deliver what it holds.
func (e *Exporter) drain(ctx context.Context) (err error) {
	if e.cfg.Drain == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			if r := recover(); r != nil {
				e.stats.contained()
				err = errors.New("panic in the sink: " + printable(r))
			}
			done <- err
		}()
		err = e.cfg.Drain(ctx)
	}()
	select {
	case err = <-done:
		return err
	case <-ctx.Done():
	}
	// What heeds its context gets the chance to say what happened.
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case err = <-done:
		return err
	case <-t.C:
		return ctx.Err()
	}
}

// closeSpans ends the dumps' own spans that wait for a delivery. None will wait
// any more.
func (e *Exporter) closeSpans() {
	defer e.contain("ending a span")
	e.deliveries.close()
}

// endSpans ends the dumps' own spans that wait for a delivery.
func (e *Exporter) endSpans() {
	defer e.contain("ending a span")
	e.deliveries.endAll()
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
