package exporter

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// watched is set once a program has called Watch. Until then spans cost
// nothing on its account.
var watched atomic.Bool

// maxWatches is how many watches of one context go into a dump, the latest
// first.
const maxWatches = 64

// watchList is a context's watches, the latest first.
type watchList struct {
	watch capture.Watch
	outer *watchList
}

type watchKey struct{}

// Watch returns a context with a named value that goes into every dump that is
// made in it: by RecordError, Dump and Panicking with the context or one that
// comes of it, and at the end of the span in ctx or of one started in the returned
// context. Of several of one name the latest counts.
//
// The value is not copied: a dump has it as it is when the dump is made. Hand in a pointer
// for a variable that changes. It is kept alive as long as the context or the
// span.
func (e *Exporter) Watch(ctx context.Context, name string, value any) context.Context {
	watched.Store(true)
	list := &watchList{watch: capture.Watch{Name: name, Value: value}, outer: watchesOf(ctx)}
	if e = e.current(); e != nil {
		if span := trace.SpanFromContext(ctx); span.IsRecording() {
			e.watches.put(dump.SpanID(span.SpanContext().SpanID()), list)
		}
	}
	return context.WithValue(ctx, watchKey{}, list)
}

func watchesOf(ctx context.Context) *watchList {
	list, _ := ctx.Value(watchKey{}).(*watchList)
	return list
}

// watches returns the list as the engine takes it.
func (l *watchList) watches() []capture.Watch {
	var ws []capture.Watch
next:
	for ; l != nil && len(ws) < maxWatches; l = l.outer {
		for i := range ws {
			if ws[i].Name == l.watch.Name {
				continue next
			}
		}
		ws = append(ws, l.watch)
	}
	return ws
}
