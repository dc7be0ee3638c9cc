package route

import (
	"context"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// fanout stores in all stores; the first is the primary.
type fanout struct{ union }

var _ sink.Router = (*fanout)(nil)

// Fanout returns a Sink that stores every dump in all of the given stores, in all
// at once. Put succeeds when all have it. One that fails, or is slow, keeps no
// other from storing; the error says which have failed and which have not, and the
// same Put again stores in those that have not got the dump. If only permanent
// errors are left the dump is where the error says that it is. An error is partial
// (see [sink.WithPartial]) if one has the dump at least.
//
// URI and String are those of the primary, and the latter names the others, too.
// Fanout of one store is that store.
func Fanout(primary sink.Sink, also ...sink.Sink) sink.Sink {
	u := newUnion(append([]sink.Sink{primary}, also...)...)
	if len(u.stores) == 1 {
		return primary
	}
	return &fanout{u}
}

// Put stores the dump in all stores.
func (f *fanout) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	took := make([]bool, len(f.stores))
	failures := each(f.stores, func(i int, s sink.Sink) error {
		err := s.Put(ctx, id, src)
		took[i] = err == nil
		return err
	})
	var stored []sink.Sink
	for i, s := range f.stores {
		if took[i] {
			stored = append(stored, s)
		}
	}
	err := join(failures, stored)
	if len(stored) > 0 {
		err = sink.WithPartial(err)
	}
	return err
}

func (f *fanout) URI(id dump.Identity) string { return f.stores[0].URI(id) }

// URIFor follows the primary.
func (f *fanout) URIFor(id dump.Identity, t dump.Trigger) string {
	return sink.URIFor(f.stores[0], id, t)
}

func (f *fanout) String() string {
	var also []string
	for _, s := range f.stores[1:] {
		also = append(also, s.String())
	}
	return f.stores[0].String() + ", and also " + strings.Join(also, " and ")
}
