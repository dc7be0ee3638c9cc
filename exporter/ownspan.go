package exporter

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scopeName is the instrumentation scope of the dumps' own spans. Spans of this
// scope never get a dump.
const scopeName = "github.com/otelcoredumpy/otelcoredumpy/exporter"

// SpanName is the name of a dump's own span.
const SpanName = "coredumpy.dump"

// Attributes of a dump's own span, besides those of [Ref.Attributes].
const (
	AttrDumpSize     = attribute.Key("coredumpy.dump.size")     // bytes
	AttrDumpSink     = attribute.Key("coredumpy.dump.sink")     // the store, in words
	AttrDumpPause    = attribute.Key("coredumpy.dump.pause")    // seconds that the failing goroutine waited
	AttrDumpDuration = attribute.Key("coredumpy.dump.duration") // seconds from the failure until it was stored
	// AttrDumpOutcome is "stored", "failed" or "dropped". If the store is a spool it
	// is, instead of "stored", "delivered", "spooled" (not delivered as long as
	// the span was kept open), or what the spool calls it if the dump was lost there.
	AttrDumpOutcome = attribute.Key("coredumpy.dump.outcome")
	// AttrDumpUpload is how many seconds it was in the spool.
	AttrDumpUpload = attribute.Key("coredumpy.dump.upload.duration")
	// AttrDumpSuppressed is how many failures like this one have referred to
	// the dump until the span ended. It is not set if none has.
	AttrDumpSuppressed = attribute.Key("coredumpy.dump.suppressed")
)

// Events of a dump's own span.
const (
	eventSpooled   = "coredumpy.dump.spooled"
	eventDelivered = "coredumpy.dump.delivered"
	eventLost      = "coredumpy.dump.lost" // by the spool
)

// ownSpans makes the dumps' own spans and hands them to the processors that
// the application's spans go to.
//
// A dump's own span is the root of a trace of its own, because a link to a span
// of the same trace breaks Jaeger's page. It is linked with the failing span in
// both directions. It comes from a tracer provider of its own, so that it does not
// depend on the application's sampler and cannot come back to us.
type ownSpans struct {
	tracer    trace.Tracer
	resources sync.Map // trace.SpanID of a live own span → *sdkresource.Resource

	nexts atomic.Pointer[nexts]
}

// nexts are the processors that own spans go to. An Exporter and those that it
// has replaced share them: one that is shut down gets spans from none of them.
type nexts struct {
	mu   sync.Mutex
	list atomic.Pointer[[]sdktrace.SpanProcessor]
}

func newOwnSpans() *ownSpans {
	o := &ownSpans{}
	o.nexts.Store(&nexts{})
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
		// The resource is that of the failing span; see OnEnd.
		sdktrace.WithResource(sdkresource.Empty()),
		sdktrace.WithIDGenerator(ownIDs{}),
		sdktrace.WithSpanProcessor(o),
	)
	o.tracer = provider.Tracer(scopeName)
	return o
}

func (o *ownSpans) add(p sdktrace.SpanProcessor) {
	o.change(func(list []sdktrace.SpanProcessor) []sdktrace.SpanProcessor { return append(list, p) })
}

func (o *ownSpans) remove(p sdktrace.SpanProcessor) {
	o.change(func(list []sdktrace.SpanProcessor) []sdktrace.SpanProcessor {
		if i := slices.Index(list, p); i >= 0 {
			return slices.Delete(list, i, i+1)
		}
		return list
	})
}

// change sets the processors to what f makes of a copy.
func (o *ownSpans) change(f func([]sdktrace.SpanProcessor) []sdktrace.SpanProcessor) {
	for {
		ns := o.nexts.Load()
		ns.mu.Lock()
		if o.nexts.Load() != ns { // others took its place meanwhile
			ns.mu.Unlock()
			continue
		}
		list := f(slices.Clone(ns.all()))
		ns.list.Store(&list)
		ns.mu.Unlock()
		return
	}
}

// adopt shares the processors of old from now on, and adds its own to them.
func (o *ownSpans) adopt(old *ownSpans) {
	shared, mine := old.nexts.Load(), o.nexts.Load()
	if shared == mine {
		return
	}
	mine.mu.Lock()
	o.nexts.Store(shared)
	list := mine.all()
	mine.mu.Unlock()
	for _, p := range list {
		o.add(p)
	}
}

func (o *ownSpans) list() []sdktrace.SpanProcessor { return o.nexts.Load().all() }

func (ns *nexts) all() []sdktrace.SpanProcessor {
	if p := ns.list.Load(); p != nil {
		return *p
	}
	return nil
}

// newContext returns the identity of a span that is to be started later: the
// link to a dump's own span is needed before anything is known of the dump. It is not
// valid if no span of ours goes anywhere.
func (o *ownSpans) newContext() trace.SpanContext {
	if len(o.list()) == 0 {
		return trace.SpanContext{}
	}
	t, s := newIDs()
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: t, SpanID: s, TraceFlags: trace.FlagsSampled})
}

// ownIDs gives a span the identity that is in its context.
type ownIDs struct{}

type ownIDsKey struct{}

// NewIDs implements sdktrace.IDGenerator.
func (ownIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if sc, ok := ctx.Value(ownIDsKey{}).(trace.SpanContext); ok {
		return sc.TraceID(), sc.SpanID()
	}
	return newIDs()
}

// NewSpanID implements sdktrace.IDGenerator.
func (ownIDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	_, s := newIDs()
	return s
}

func newIDs() (t trace.TraceID, s trace.SpanID) {
	for !t.IsValid() || !s.IsValid() {
		binary.NativeEndian.PutUint64(t[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(t[8:], rand.Uint64())
		binary.NativeEndian.PutUint64(s[:], rand.Uint64())
	}
	return t, s
}

// start begins the own span of a dump of the failing span sc. It returns nil
// if it has none.
func (o *ownSpans) start(at time.Time, rec *record, sc trace.SpanContext, res *sdkresource.Resource) trace.Span {
	if !rec.link.IsValid() {
		return nil
	}
	opts := []trace.SpanStartOption{
		trace.WithNewRoot(), trace.WithTimestamp(at), trace.WithAttributes(rec.ref.Attributes()...),
	}
	if sc.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: sc, Attributes: linkAttributes(rec.ref)}))
	}
	if res != nil {
		o.resources.Store(rec.link.SpanID(), res)
	}
	_, span := o.tracer.Start(context.WithValue(context.Background(), ownIDsKey{}, rec.link), SpanName, opts...)
	return span
}

// outcome is how a dump ended.
type outcome struct {
	size   int64  // of what was stored
	reason string // "" if it was stored
	err    error
}

// word returns the outcome in a word.
func (res outcome) word() string {
	switch res.reason {
	case "":
		return outcomeStored
	case DropShutdown, DropBusy, DropCapture, DropMemory, outcomeExcluded, outcomeSame:
		return outcomeDropped
	}
	return outcomeFailed
}

// describe puts on the span of a dump what is known of it once it is stored or lost.
func (o *ownSpans) describe(span trace.Span, store string, began time.Time, pause time.Duration, res outcome) {
	span.SetAttributes(
		AttrDumpOutcome.String(res.word()), AttrDumpSink.String(store),
		AttrDumpPause.Float64(pause.Seconds()), AttrDumpDuration.Float64(time.Since(began).Seconds()),
	)
	if res.size > 0 {
		span.SetAttributes(AttrDumpSize.Int64(res.size))
	}
	if res.reason != "" {
		span.SetStatus(codes.Error, shorten(res.reason+": "+printable(res.err), maxMessage))
	}
}

// OnStart implements sdktrace.SpanProcessor for the own provider.
func (o *ownSpans) OnStart(ctx context.Context, s sdktrace.ReadWriteSpan) {
	for _, p := range o.list() {
		p.OnStart(ctx, s)
	}
}

// OnEnd implements sdktrace.SpanProcessor for the own provider.
func (o *ownSpans) OnEnd(s sdktrace.ReadOnlySpan) {
	if res, ok := o.resources.LoadAndDelete(s.SpanContext().SpanID()); ok {
		s = ownSpan{s, res.(*sdkresource.Resource)}
	}
	for _, p := range o.list() {
		p.OnEnd(s)
	}
}

// Shutdown implements sdktrace.SpanProcessor. The processors belong to the
// application, which shuts them down.
func (o *ownSpans) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (o *ownSpans) ForceFlush(context.Context) error { return nil }

// ownSpan is an own span with the resource of the failing one.
type ownSpan struct {
	sdktrace.ReadOnlySpan
	resource *sdkresource.Resource
}

func (s ownSpan) Resource() *sdkresource.Resource { return s.resource }

func linkAttributes(ref Ref) []attribute.KeyValue {
	return []attribute.KeyValue{AttrDumpID.String(ref.ID.String())}
}
