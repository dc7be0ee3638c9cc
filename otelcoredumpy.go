// Package otelcoredumpy makes a dump when a span fails: the frames of the
// failing goroutine with their local variables and everything they lead to, in
// one file that opens anywhere, found by the trace ID.
//
// # Installing it in a service
//
// Two lines: one installs, one puts the span processor in front of the one
// that the service has.
//
//	dumps, err := otelcoredumpy.Install()
//	if err != nil {
//		slog.Warn("no dumps", "error", err) // dumps is harmless; go on
//	}
//	defer dumps.Shutdown(context.Background())
//
//	provider := trace.NewTracerProvider(
//		trace.WithSpanProcessor(dumps.SpanProcessor(trace.NewBatchSpanProcessor(exporter))),
//	)
//
// From then on a panic that goes through a span, and a span that ends with
// status Error, make a dump. The span carries its ID and address (attributes
// coredumpy.dump.id, .uri, .url and .trigger), and a link to a span of the
// dump's own. Open it with
//
//	coredumpy fetch <trace ID> --load
//
// Without further settings dumps go to ./dumps. A config.yaml, environment
// variables and options say otherwise; docs/configuration.md lists them, and
// docs/service.md says more about services.
//
// # Seeing more
//
//   - [Middleware] sees panics of HTTP handlers that have no span of their own,
//     or whose span is outside of a recovery middleware.
//   - [Go] and [Recover] see panics of goroutines.
//   - [RecordError] in place of span.RecordError makes the dump where the error
//     occurred, with the locals there, instead of where the span ends.
//   - [Watch] puts a value into dumps whatever the compiler did to the variable.
//   - [Dump] makes a dump without any failure.
//
// # What it costs, and what it never does
//
// A span that does not fail costs a few nanoseconds, no allocation and no lock.
// A failing one waits for phase one of the capture, at most capture.pause (50
// ms), and for a place in a short queue not at all: if there is none, no dump is
// made and a counter says so. The rest happens in the background.
//
// It does not recover from panics: they go on as if it were not there. A
// failure of its own, of the disk or of the bucket is a counter in [Stats] and a log line a
// minute, never the service's failure.
//
// When nobody will recover from a panic, the process is about to die with the
// background. Then the dump is written and spans are flushed before the panic goes
// on. Whether that is so is judged by who is on the stack; see
// trigger.recovered_by in the configuration.
//
// # The default
//
// [Install] also makes what it returns the default, which the functions of
// this package work on. Before Install and after Shutdown they do nothing but what they
// would do without dumps: Middleware calls the handler, Go starts the
// goroutine, RecordError records on the span.
package otelcoredumpy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/exporter"
	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
	"github.com/otelcoredumpy/otelcoredumpy/sink/spool"
)

// Ref says which dump was made, and where it is or will be stored.
type Ref = exporter.Ref

// Stats counts dumps, lost dumps and pauses.
type Stats = exporter.Stats

// SpoolStats says how much waits for its upload, and how uploads have fared.
type SpoolStats = spool.Stats

// Installed is a running otelcoredumpy. All methods are safe for concurrent
// use. On a nil *Installed, which [Install] returns with an error, they do what
// the service would do without dumps.
type Installed struct {
	exporter *exporter.Exporter
	engine   *capture.Engine
	pipeline config.Pipeline
	file     string

	closing sync.Mutex
	closed  chan struct{} // nil before Shutdown, closed when that is through
	err     error         // what it returned
}

// installing makes Install calls wait for each other.
var installing sync.Mutex

// Install starts otelcoredumpy with the configuration that it finds
// (docs/configuration.md says where) and the options, and makes it the default. It
// begins to read the program's debug info in the background; a failure before that is
// done gets a dump that has less in it.
//
// An error says which key of which file is wrong, or what else is. It
// returns nil then, whose methods are harmless, and leaves the default as it
// is, so that a service need not end for it.
//
// Installing once more replaces: the new one becomes the default, and takes
// over whatever was made with the former one (span processors, middlewares, the
// *Installed itself), which is shut down. So a second Install is a way to
// change the configuration, and one process never captures twice.
func Install(opts ...Option) (*Installed, error) {
	installing.Lock()
	defer installing.Unlock()
	var s settings
	for _, o := range opts {
		if o != nil {
			o.apply(&s)
		}
	}
	cfg, file, err := s.load()
	if err != nil {
		return nil, fmt.Errorf("otelcoredumpy: %w", err)
	}
	i, err := start(cfg, &s)
	if err != nil {
		return nil, fmt.Errorf("otelcoredumpy: %w", err)
	}
	i.file = file
	if old := installed.Swap(i); old != nil {
		old.exporter.Replace(i.exporter)
		ctx, cancel := context.WithTimeout(context.Background(), cfg.Capture.Timeout)
		defer cancel()
		_ = old.shutdown(ctx) // what it lost, it has counted and logged
	}
	if len(cfg.Capture.Variables) > 0 {
		go i.reportVariables(&s)
	}
	for _, w := range cfg.Warnings {
		s.warn(w)
	}
	return i, nil
}

// reportVariables says once which patterns of package variables match nothing.
func (i *Installed) reportVariables(s *settings) {
	if i.engine.Ready(context.Background()) != nil {
		return // no variables at all; doctor and the dumps say so
	}
	for _, p := range i.engine.UnmatchedVariables() {
		s.warn(fmt.Sprintf("capture.variables: no variable of the program matches %s; the main package is called main, and variables that nothing uses are not in the program", p))
	}
}

// start builds the parts and puts them together.
func start(cfg *config.Config, s *settings) (*Installed, error) {
	rules, err := parseRules(cfg.Trigger.Rules)
	if err != nil {
		return nil, err
	}
	redactor, err := redact.New(cfg.RedactConfig(), s.redactors...)
	if err != nil {
		return nil, &config.Error{Key: "redact", Err: err}
	}
	limits := cfg.CaptureConfig()
	for _, f := range s.capture {
		f(&limits)
	}
	limits.Redactor = redactor
	if limits.Warn == nil {
		limits.Warn = func(err error) { s.warn(err.Error()) }
	}
	engine, err := capture.New(limits)
	if err != nil {
		return nil, err
	}
	// The spool tells the exporter, which comes into being after it.
	var running atomic.Pointer[exporter.Exporter]
	pipeline, err := cfg.OpenPipeline(context.Background(), s.sink, config.Hooks{
		OnResult: func(r spool.Result) {
			running.Load().Delivered(r.Identity.ID, string(r.Outcome), r.Age, r.Err)
		},
		OnTrouble: func(kind string, err error) { running.Load().Report(kind, err) },
	})
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	e, err := exporter.New(exporter.ForEngine(engine), pipeline.Sink, exporter.Config{
		Service:      cfg.Service,
		Panics:       cfg.Trigger.Panics,
		ErrorSpans:   cfg.Trigger.ErrorSpans,
		Exclude:      excludes(cfg.Trigger.Exclude),
		ExcludeIs:    s.excluded,
		Rules:        rules,
		Sample:       map[dump.Trigger]float64{dump.TriggerPanic: cfg.Trigger.Sample.Panics, dump.TriggerErrorSpan: cfg.Trigger.Sample.ErrorSpans},
		IgnorePanics: []any{http.ErrAbortHandler},
		RecoveredBy:  cfg.Trigger.RecoveredBy,
		Window:       orOff(cfg.Limit.Window),
		PerFailure:   orOff(cfg.Limit.PerFailure),
		PerMinute:    orOff(cfg.Limit.PerMinute),
		Queue:        cfg.Limit.Queue,
		CrashUpload:  orOff(cfg.Upload.OnCrashTimeout),
		ViewerURL:    cfg.Link.ViewerURL,
		Redact: func(text string) string {
			out, _ := redactor.Apply(redact.Text{Value: text, Site: redact.SitePanic})
			return out
		},
		Pause:         limits.Pause,
		Timeout:       limits.Timeout,
		MeterProvider: s.meters,
		Spool:         spoolGauge(pipeline.Spool),
		Deliveries:    pipeline.Spool != nil,
		Drain:         func(ctx context.Context) error { return unspool(ctx, &pipeline, cfg.Upload.OnExitTimeout) },
		Logger:        s.logger,
		OnDump:        s.onDump(),
	})
	if err != nil {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		return nil, errors.Join(err, pipeline.Shutdown(now), engine.Close())
	}
	running.Store(e)
	return &Installed{exporter: e, engine: engine, pipeline: pipeline}, nil
}

func parseRules(texts []string) ([]exporter.Rule, error) {
	var rules []exporter.Rule
	for i, text := range texts {
		r, err := exporter.ParseRule(text)
		if err != nil {
			return nil, &config.Error{Key: "trigger.rules", Err: fmt.Errorf("entry %d: %w", i+1, err)}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// orOff turns what the configuration says, where 0 is off, into what package
// exporter takes, where 0 is the default.
func orOff[N int | time.Duration](n N) N {
	if n == 0 {
		return -1
	}
	return n
}

func spoolGauge(s *spool.Spool) func() (int, int64, bool) {
	if s == nil {
		return nil
	}
	return func() (int, int64, bool) {
		st := s.Stats()
		return st.Items, st.Bytes, true
	}
}

// excludes replaces the names of well-known errors by their messages.
func excludes(entries []string) []string {
	known := config.Sentinels()
	out := make([]string, len(entries))
	for i, e := range entries {
		if out[i] = e; known[e] != "" {
			out[i] = known[e]
		}
	}
	return out
}

// Ready waits until the program's debug info has been read, or until it is
// known that there is none; the error says why. Dumps can be made before, but
// lack local variables.
func (i *Installed) Ready(ctx context.Context) error {
	if i == nil {
		return nil
	}
	return i.engine.Ready(ctx)
}

// ConfigFile returns the path of the configuration file that was read, "" if
// there was none.
func (i *Installed) ConfigFile() string {
	if i == nil {
		return ""
	}
	return i.file
}

// Store says in words where dumps go: "local folder /srv/shop/dumps".
func (i *Installed) Store() string {
	if i == nil {
		return ""
	}
	return i.pipeline.Sink.String()
}

// SpanProcessor returns a span processor that stands in front of next, the one
// that the service would register without dumps, most often the batch span
// processor. It must be registered in place of next, not beside it: what it
// adds to a failing span reaches next only through it.
//
// Shutting it down shuts next down, but not otelcoredumpy.
func (i *Installed) SpanProcessor(next sdktrace.SpanProcessor) sdktrace.SpanProcessor {
	if i == nil {
		return next
	}
	return i.exporter.SpanProcessor(next)
}

// Middleware returns a handler that calls next and makes a dump when that
// panics. The panic goes on, with its stack, to whoever handles it now.
// http.ErrAbortHandler is left alone.
//
// A panic that goes through a span needs no Middleware. It is for handlers
// without a span, and for services that recover inside of the tracing middleware, whose
// span then never sees a panic: put it innermost, next to the handler.
func (i *Installed) Middleware(next http.Handler) http.Handler {
	if i == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer i.exporter.Panicking(r.Context(), exporter.NewMark(), false)
		next.ServeHTTP(w, r)
	})
}

// Recover is for
//
//	defer otelcoredumpy.Recover(ctx)
//
// and makes a dump if the function panics. In spite of its name it does not
// stop the panic: it stands where a recover would stand, has seen the panic
// before any other deferred function that was deferred earlier, and lets it go
// on, to a recover of the service or to the end of the process. It does nothing, at the cost of
// a nanosecond, if there is no panic.
func (i *Installed) Recover(ctx context.Context) {
	if i == nil {
		return
	}
	i.exporter.Panicking(ctx, 0, false)
}

// Go calls fn on a new goroutine. If fn panics, which ends the process, the
// dump is written and stored and spans are flushed before the panic goes on.
func (i *Installed) Go(ctx context.Context, fn func(context.Context)) {
	if i == nil {
		go fn(ctx)
		return
	}
	go func() {
		defer i.exporter.Panicking(ctx, exporter.NewMark(), true)
		fn(ctx)
	}()
}

// RecordError records err on the span in ctx as span.RecordError does, and
// makes a dump. Called where the error occurs, the dump has the local
// variables of that place; without it, a dump is made where the span ends, when
// they are gone. Like span.RecordError it leaves the span's status as it is,
// and does nothing if err is nil.
//
// The same error, or one that wraps it, may be recorded again further up: the
// spans get the same dump.
func (i *Installed) RecordError(ctx context.Context, err error, opts ...trace.EventOption) {
	if i == nil {
		(*exporter.Exporter)(nil).RecordError(ctx, err, opts...)
		return
	}
	i.exporter.RecordError(ctx, err, opts...)
}

// Dump makes a dump of the calling goroutine, puts its address on the span in
// ctx, and returns where it will be. It is stored in the background; Flush
// waits for that. The error says why no dump was made. On a nil *Installed
// there is neither a dump nor an error: see [Ref.IsZero].
func (i *Installed) Dump(ctx context.Context, opts ...DumpOption) (Ref, error) {
	if i == nil {
		return Ref{}, nil
	}
	var o exporter.DumpOptions
	for _, opt := range opts {
		if opt != nil {
			opt.applyDump(&o)
		}
	}
	ref, err := i.exporter.Dump(ctx, o)
	if err != nil {
		return ref, fmt.Errorf("otelcoredumpy: no dump: %w", err)
	}
	return ref, nil
}

// Watch returns a context with a named value that goes into the dumps that are
// made with it: by RecordError, Dump, Recover, Go and Middleware, and when the
// span in ctx, or one that is started with the returned context, fails. It is for
// values that must be in a dump even if the compiler keeps no location for
// them, or if there is no debug info. The value is not copied; it is read when
// the dump is made.
func (i *Installed) Watch(ctx context.Context, name string, value any) context.Context {
	if i == nil {
		return (*exporter.Exporter)(nil).Watch(ctx, name, value)
	}
	return i.exporter.Watch(ctx, name, value)
}

// Flush waits until the dumps that were begun are stored or lost, or until ctx
// is done. With a spool, stored means safe in the spool; Shutdown waits for
// the uploads as well.
func (i *Installed) Flush(ctx context.Context) error {
	if i == nil {
		return nil
	}
	return i.exporter.Flush(ctx)
}

// SpoolStats returns what is known of the spool, and false if there is none.
func (i *Installed) SpoolStats() (SpoolStats, bool) {
	if i == nil || i.pipeline.Spool == nil {
		return SpoolStats{}, false
	}
	return i.pipeline.Spool.Stats(), true
}

// Stats returns what was counted since Install.
func (i *Installed) Stats() Stats {
	if i == nil {
		return Stats{}
	}
	return i.exporter.Stats()
}

// Shutdown makes no more dumps, waits until those that were begun are stored,
// and what lies in the spool is uploaded, or until ctx is done, and lets go of
// all resources. What could not be uploaded by then stays in the spool for the
// next start; the error says how much that is. Call it after the tracer
// provider's Shutdown or before, whichever fits; before keeps the last dumps'
// own spans. If this is the default, there is none afterwards. Calling it again,
// or after another Install has replaced this one, changes nothing.
func (i *Installed) Shutdown(ctx context.Context) error {
	if i == nil {
		return nil
	}
	installed.CompareAndSwap(i, nil)
	return i.shutdown(ctx)
}

func (i *Installed) shutdown(ctx context.Context) error {
	i.closing.Lock()
	first := i.closed == nil
	if first {
		i.closed = make(chan struct{})
	}
	done := i.closed
	i.closing.Unlock()
	if !first {
		// Somebody else is at it, with a context of their own.
		select {
		case <-done:
			return i.err
		case <-ctx.Done():
			return fmt.Errorf("otelcoredumpy: shutting down: %w", ctx.Err())
		}
	}
	defer close(done)
	i.err = errors.Join(i.exporter.Shutdown(ctx), closeEngine(ctx, i.engine))
	if i.err != nil {
		i.err = fmt.Errorf("otelcoredumpy: shutting down: %w", i.err)
	}
	return i.err
}

// unspool brings what lies in the spool to its destination. A destination that is
// down must not keep a service from ending whose Shutdown has all the time in the
// world: what is left is safe where it lies.
func unspool(ctx context.Context, p *config.Pipeline, atMost time.Duration) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, atMost)
		defer cancel()
	}
	return p.Shutdown(ctx)
}

// closeEngine waits for the engine to be through with reading debug info, or
// for ctx.
func closeEngine(ctx context.Context, e *capture.Engine) error {
	done := make(chan error, 1)
	go func() { done <- e.Close() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return nil // it ends by itself
	}
}
