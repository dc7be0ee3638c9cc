package route

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// byTrigger chooses a store by the trigger.
type byTrigger struct {
	union
	def    sink.Sink
	routes map[dump.Trigger]sink.Sink
}

var _ sink.Router = (*byTrigger)(nil)

// ByTrigger returns a Sink that stores a dump in the store that routes has for its
// trigger, and in def if it has none. The trigger is read from the header of the
// dump as it is stored; a sealed one shows it, too. What has no header that can be
// read goes to def. An error of Put is always partial, see [sink.WithPartial].
//
// URI is that of def; the Sink is a [sink.Router], which can say more. The default
// is the first to be read, then the others by the name of their trigger. Without
// routes it is def itself.
func ByTrigger(def sink.Sink, routes map[dump.Trigger]sink.Sink) sink.Sink {
	stores := []sink.Sink{def}
	for _, t := range slices.Sorted(maps.Keys(routes)) {
		stores = append(stores, routes[t])
	}
	u := newUnion(stores...)
	if len(u.stores) == 1 {
		return def
	}
	return &byTrigger{u, def, maps.Clone(routes)}
}

// to returns where dumps of a trigger go.
func (b *byTrigger) to(t dump.Trigger) sink.Sink {
	if s := b.routes[t]; s != nil {
		return s
	}
	return b.def
}

// Put stores the dump where its trigger leads.
func (b *byTrigger) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	to := b.def
	// If it is the source that fails, the store will find that out as well.
	if h, err := dump.ReadHeader(src, src.Size()); err == nil {
		to = b.to(h.Trigger)
	}
	// The stores of other triggers may be well.
	return sink.WithPartial(to.Put(ctx, id, src))
}

func (b *byTrigger) URI(id dump.Identity) string { return b.def.URI(id) }

// URIFor says where a dump of that trigger goes.
func (b *byTrigger) URIFor(id dump.Identity, t dump.Trigger) string {
	return sink.URIFor(b.to(t), id, t)
}

func (b *byTrigger) String() string {
	var text strings.Builder
	text.WriteString(b.def.String())
	for _, t := range slices.Sorted(maps.Keys(b.routes)) {
		text.WriteString(", " + string(t) + " in " + b.routes[t].String())
	}
	return text.String()
}
