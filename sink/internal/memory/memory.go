// Package memory is a store of dumps in memory, for tests of what stands in front
// of stores.
package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// Sink is a store in memory. It keeps to the contract of [sink.Sink]; sinktest
// says so.
type Sink struct {
	name string
	// NoSizes lets listings tell no sizes, as some stores do.
	NoSizes bool

	mu    sync.Mutex
	dumps map[name]stored
}

type name struct {
	id    dump.ID
	trace dump.TraceID
}

type stored struct {
	service string
	content []byte
}

var _ sink.Sink = (*Sink)(nil)

// New returns an empty store.
func New(storeName string) *Sink {
	return &Sink{name: storeName, dumps: make(map[name]stored)}
}

func nameOf(id dump.Identity) name { return name{id.ID, id.TraceID} }

// Put stores a dump.
func (s *Sink) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	if err := sink.CheckIdentity(id); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b := make([]byte, src.Size())
	for off := 0; off < len(b); {
		chunk := b[off:min(len(b), off+64<<10)]
		n, err := src.ReadAt(chunk, int64(off))
		if n < len(chunk) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading the dump: %w", err)
		}
		off += n
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.dumps[nameOf(id)]; !ok {
		s.dumps[nameOf(id)] = stored{sink.Service(id.Service), b}
	}
	return nil
}

// URI returns "memory://name/key".
func (s *Sink) URI(id dump.Identity) string { return "memory://" + s.name + "/" + sink.TraceKey(id) }

// String returns "memory name".
func (s *Sink) String() string { return "memory " + s.name }

// Trace lists a trace.
func (s *Sink) Trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []sink.Entry
	for n, d := range s.dumps {
		if n.trace == trace {
			list = append(list, s.entry(dump.Identity{ID: n.id, TraceID: n.trace}, d))
		}
	}
	slices.SortFunc(list, func(a, b sink.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return list, nil
}

// List lists what was there when it began.
func (s *Sink) List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		s.mu.Lock()
		var list []sink.Entry
		for n, d := range s.dumps {
			id := dump.Identity{ID: n.id, TraceID: n.trace, Service: d.service}
			if q.Match(id) {
				list = append(list, s.entry(id, d))
			}
		}
		s.mu.Unlock()
		slices.SortFunc(list, func(a, b sink.Entry) int { return bytes.Compare(b.ID[:], a.ID[:]) })
		for _, e := range list {
			if ctx.Err() != nil {
				break
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(sink.Entry{}, err)
		}
	}
}

func (s *Sink) entry(id dump.Identity, d stored) sink.Entry {
	e := sink.Entry{Identity: id, Key: sink.TraceKey(id), URI: s.URI(id), Size: int64(len(d.content))}
	if s.NoSizes {
		e.Size = 0
	}
	return e
}

// Open opens a dump.
func (s *Sink) Open(ctx context.Context, e sink.Entry) (sink.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.dumps[nameOf(e.Identity)]
	if !ok {
		return nil, fmt.Errorf("dump %s in %s: %w", e.ID, s, sink.ErrNotFound)
	}
	return &object{Reader: bytes.NewReader(d.content)}, nil
}

type object struct {
	*bytes.Reader
	closed atomic.Bool
}

func (o *object) ReadAt(b []byte, off int64) (int, error) {
	if o.closed.Load() {
		return 0, fs.ErrClosed
	}
	return o.Reader.ReadAt(b, off)
}

func (o *object) Close() error {
	o.closed.Store(true)
	return nil
}

// Delete removes a dump.
func (s *Sink) Delete(ctx context.Context, e sink.Entry) error {
	if err := sink.CheckIdentity(e.Identity); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.dumps, nameOf(e.Identity))
	return nil
}

// Keys returns the keys of everything in the store, markers as well.
func (s *Sink) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for n, d := range s.dumps {
		id := dump.Identity{ID: n.id, TraceID: n.trace, Service: d.service}
		keys = append(keys, sink.TraceKey(id), sink.DayKey(id))
	}
	return keys
}

// Content returns what was stored of a dump, nil if it is not there.
func (s *Sink) Content(id dump.Identity) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dumps[nameOf(id)].content
}
