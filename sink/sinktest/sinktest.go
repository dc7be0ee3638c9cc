// Package sinktest is the conformance suite of [sink.Sink]. A package that
// implements a Sink runs it in its own tests:
//
//	func TestConformance(t *testing.T) {
//		sinktest.Run(t, sinktest.Harness{
//			New: func(t *testing.T) sink.Sink { … },
//		})
//	}
//
// The suite holds the implementation to the comments of the interface, which
// are the contract. It is meant for decorators as well: give it the decorated
// Sink.
package sinktest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// Harness is what the suite needs to know of an implementation. Tests that need
// a field that is nil are skipped, and say so.
type Harness struct {
	// New returns a Sink on a store that is empty and stays the test's own.
	// What has to be taken down is left to t.Cleanup. Required.
	New func(t *testing.T) sink.Sink

	// Reopen returns another Sink on the store of s, as another process would
	// have one.
	Reopen func(t *testing.T, s sink.Sink) sink.Sink

	// Keys returns the keys of everything that lies in the store of s, in any
	// order, without the store's own prefix; temporary files too. A store that
	// has other things beside the keys of package sink leaves it nil.
	Keys func(t *testing.T, s sink.Sink) []string

	// Plant puts something foreign under a key into the store of s. It may
	// refuse keys that the store cannot have by returning an error.
	Plant func(t *testing.T, s sink.Sink, key string, content []byte) error
}

// Run checks a Sink against the contract.
func Run(t *testing.T, h Harness) {
	if h.New == nil {
		t.Fatal("sinktest: Harness.New is nil")
	}
	for _, tc := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"PutAndFind", testPutAndFind},
		{"Layout", testLayout},
		{"Sizes", testSizes},
		{"RandomRanges", testRandomRanges},
		{"ReadAtEdges", testReadAtEdges},
		{"NotFound", testNotFound},
		{"Idempotent", testIdempotent},
		{"BadIdentity", testBadIdentity},
		{"URI", testURI},
		{"Trace", testTrace},
		{"NoTrace", testNoTrace},
		{"ListOrder", testListOrder},
		{"ListQueries", testListQueries},
		{"ListStops", testListStops},
		{"ServiceNames", testServiceNames},
		{"Delete", testDelete},
		{"Foreign", testForeign},
		{"Reopen", testReopen},
		{"NothingHalf", testNothingHalf},
		{"SourceFails", testSourceFails},
		{"SourceTooShort", testSourceTooShort},
		{"Cancelled", testCancelled},
		{"CancelledDuringPut", testCancelledDuringPut},
		{"ConcurrentSame", testConcurrentSame},
		{"ConcurrentMany", testConcurrentMany},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, h) })
	}
}

// now is when the suite's dumps are made. It is fixed, so that the days are.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newID returns an ID of that time which no other call returns.
func newID(at time.Time) dump.ID {
	id := dump.NewID()
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	// NewID keeps some order in here, which would give away that IDs of the
	// same millisecond were made one after the other.
	id[6] = 0x70 | byte(rand.Uint32())&0x0f
	return id
}

func newTrace() dump.TraceID {
	var id dump.TraceID
	for i := range id {
		id[i] = byte(rand.Uint32())
	}
	id[0] |= 1
	return id
}

// newIdentity returns a dump of that time and service in a trace of its own.
func newIdentity(at time.Time, service string) dump.Identity {
	return dump.Identity{ID: newID(at), TraceID: newTrace(), SpanID: dump.SpanID{1}, Service: service}
}

// content returns n bytes that differ between dumps and are incompressible.
func content(id dump.Identity, n int) []byte {
	var seed [32]byte
	copy(seed[:], id.ID[:])
	copy(seed[16:], id.TraceID[:])
	b := make([]byte, n)
	if _, err := rand.NewChaCha8(seed).Read(b); err != nil {
		panic(err)
	}
	return b
}

// put stores n bytes and returns them.
func put(t *testing.T, s sink.Sink, id dump.Identity, n int) []byte {
	t.Helper()
	b := content(id, n)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatalf("Put: %v", err)
	}
	return b
}

// entryOf is the least that Open and Delete want.
func entryOf(id dump.Identity) sink.Entry {
	return sink.Entry{Identity: dump.Identity{ID: id.ID, TraceID: id.TraceID}}
}

// read returns the whole content of a dump, read as a copy of it would be.
func read(t *testing.T, s sink.Sink, e sink.Entry) []byte {
	t.Helper()
	b, err := tryRead(t.Context(), s, e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tryRead(ctx context.Context, s sink.Sink, e sink.Entry) (b []byte, err error) {
	obj, err := s.Open(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	defer func() {
		if cerr := obj.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("closing: %w", cerr)
		}
	}()
	b, err = io.ReadAll(io.NewSectionReader(obj, 0, obj.Size()))
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	if int64(len(b)) != obj.Size() {
		return nil, fmt.Errorf("read %d bytes of an object of size %d", len(b), obj.Size())
	}
	return b, nil
}

// list returns all that List yields.
func list(t *testing.T, s sink.Sink, q sink.Query) []sink.Entry {
	t.Helper()
	var entries []sink.Entry
	for e, err := range s.List(t.Context(), q) {
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		entries = append(entries, e)
	}
	return entries
}

func trace(t *testing.T, s sink.Sink, id dump.TraceID) []sink.Entry {
	t.Helper()
	entries, err := s.Trace(t.Context(), id)
	if err != nil {
		t.Fatalf("Trace: %v", err)
	}
	return entries
}

// wantIDs compares the dumps of a listing with those that were stored.
func wantIDs(t *testing.T, what string, got []sink.Entry, want ...dump.Identity) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d dumps, want %d", what, len(got), len(want))
	}
	for i, e := range got {
		if e.ID != want[i].ID || e.TraceID != want[i].TraceID {
			t.Fatalf("%s: dump %d is %s of trace %s, want %s of %s", what, i, e.ID, e.TraceID, want[i].ID, want[i].TraceID)
		}
	}
}

// wantAbsent checks that nobody can see the dump.
func wantAbsent(t *testing.T, s sink.Sink, id dump.Identity) {
	t.Helper()
	for _, e := range trace(t, s, id.TraceID) {
		if e.ID == id.ID {
			t.Errorf("Trace shows dump %s", id.ID)
		}
	}
	for _, e := range list(t, s, sink.Query{}) {
		if e.ID == id.ID {
			t.Errorf("List shows dump %s", id.ID)
		}
	}
	if obj, err := s.Open(t.Context(), entryOf(id)); err == nil {
		obj.Close()
		t.Errorf("Open finds dump %s", id.ID)
	} else {
		wantNotFound(t, err)
	}
}

// wantKeys compares all that lies in the store, if the harness can tell.
func wantKeys(t *testing.T, h Harness, s sink.Sink, want ...string) {
	t.Helper()
	if h.Keys == nil {
		return
	}
	got := slices.Sorted(slices.Values(h.Keys(t, s)))
	slices.Sort(want)
	for _, key := range got {
		if _, ok := slices.BinarySearch(want, key); !ok {
			t.Errorf("the store holds %q, which it should not", key)
		}
	}
	for _, key := range want {
		if _, ok := slices.BinarySearch(got, key); !ok {
			t.Errorf("the store does not hold %q", key)
		}
	}
}
