package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func testPutAndFind(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	b := put(t, s, id, 100<<10)

	found := trace(t, s, id.TraceID)
	wantIDs(t, "Trace", found, id)
	e := found[0]
	if want := sink.TraceKey(id); e.Key != want {
		t.Errorf("Trace: key %q, want %q", e.Key, want)
	}
	if want := s.URI(id); e.URI != want {
		t.Errorf("Trace: URI %q, want %q", e.URI, want)
	}
	if e.Size != int64(len(b)) && e.Size != 0 {
		t.Errorf("Trace: size %d, want %d, or 0 for unknown", e.Size, len(b))
	}
	if !bytes.Equal(read(t, s, e), b) {
		t.Error("the content by trace is not what was put")
	}

	found = list(t, s, sink.Query{})
	wantIDs(t, "List", found, id)
	e = found[0]
	if e.Key != sink.TraceKey(id) || e.URI != s.URI(id) || e.Service != "shop" {
		t.Errorf("List: %+v, want key %q, URI %q and service shop", e, sink.TraceKey(id), s.URI(id))
	}
	if e.Size != int64(len(b)) && e.Size != 0 {
		t.Errorf("List: size %d, want %d, or 0 for unknown", e.Size, len(b))
	}
	if !bytes.Equal(read(t, s, e), b) {
		t.Error("the content by day is not what was put")
	}
	if !bytes.Equal(read(t, s, entryOf(id)), b) {
		t.Error("the content by the bare identity is not what was put")
	}
	if s.String() == "" {
		t.Error("String is empty")
	}
}

func testLayout(t *testing.T, h Harness) {
	if h.Keys == nil {
		t.Skip("the harness has no Keys")
	}
	s := h.New(t)
	wantKeys(t, h, s)
	a, b := newIdentity(now, "shop"), newIdentity(now.AddDate(0, 0, -1), "")
	b.TraceID = dump.TraceID{}
	put(t, s, a, 10)
	put(t, s, b, 10)
	wantKeys(t, h, s,
		fmt.Sprintf("v1/traces/%s/%s.cdmp", a.TraceID, a.ID),
		fmt.Sprintf("v1/days/2026/03/01/shop/%s-%s", a.ID, a.TraceID),
		fmt.Sprintf("v1/traces/00000000000000000000000000000000/%s.cdmp", b.ID),
		fmt.Sprintf("v1/days/2026/02/28/unknown_service/%s-00000000000000000000000000000000", b.ID),
	)
}

func testIdempotent(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	b := put(t, s, id, 1000)
	put(t, s, id, 1000)
	wantIDs(t, "Trace", trace(t, s, id.TraceID), id)
	wantIDs(t, "List", list(t, s, sink.Query{}), id)

	// What is stored stays, whatever comes later under its name.
	other := content(newIdentity(now, ""), 2000)
	if err := s.Put(t.Context(), id, bytes.NewReader(other)); err != nil {
		t.Errorf("Put of another content: %v", err)
	}
	if !bytes.Equal(read(t, s, entryOf(id)), b) {
		t.Error("a later Put has changed the content")
	}
	wantKeys(t, h, s, sink.TraceKey(id), sink.DayKey(id))
}

func testBadIdentity(t *testing.T, h Harness) {
	s := h.New(t)
	v4 := newIdentity(now, "shop")
	v4.ID[6] = 0x40
	for _, id := range []dump.Identity{{}, {TraceID: newTrace(), Service: "shop"}, v4} {
		err := s.Put(t.Context(), id, bytes.NewReader([]byte("x")))
		if err == nil {
			t.Errorf("Put with the ID %s: no error", id.ID)
		} else if !sink.IsPermanent(err) {
			t.Errorf("Put with the ID %s: %v is not permanent", id.ID, err)
		}
	}
	wantKeys(t, h, s)
}

func testURI(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	uri := s.URI(id)
	put(t, s, id, 10)
	if again := s.URI(id); again != uri {
		t.Errorf("URI was %q before the Put and is %q after it", uri, again)
	}
	if h.Reopen != nil {
		if again := h.Reopen(t, s).URI(id); again != uri {
			t.Errorf("URI %q, in another Sink on the same store %q", uri, again)
		}
	}
	other := id
	other.ID = newID(now)
	if s.URI(other) == uri {
		t.Errorf("two dumps have the URI %q", uri)
	}
	other = id
	other.Service, other.SpanID = "", dump.SpanID{}
	if got := s.URI(other); got != uri {
		t.Errorf("the URI %q depends on more than the IDs: %q", uri, got)
	}
}

func testDelete(t *testing.T, h Harness) {
	s := h.New(t)
	// A dump that is not there is success, in an empty store too.
	if err := s.Delete(t.Context(), entryOf(newIdentity(now, "shop"))); err != nil {
		t.Errorf("Delete in an empty store: %v", err)
	}
	ids := []dump.Identity{
		newIdentity(now.Add(-3*time.Second), "shop"),
		newIdentity(now.Add(-2*time.Second), "till"),
		newIdentity(now.Add(-1*time.Second), ""),
		newIdentity(now, "shop"),
	}
	ids[3].TraceID = ids[0].TraceID
	for _, id := range ids {
		put(t, s, id, 10)
	}

	byDay := list(t, s, sink.Query{})
	wantIDs(t, "List", byDay, ids[3], ids[2], ids[1], ids[0])
	byTrace := trace(t, s, ids[1].TraceID)
	wantIDs(t, "Trace", byTrace, ids[1])

	for _, e := range []sink.Entry{byDay[3], byTrace[0], entryOf(ids[2])} {
		for range 2 { // twice is once
			if err := s.Delete(t.Context(), e); err != nil {
				t.Fatalf("Delete: %v", err)
			}
		}
		wantAbsent(t, s, e.Identity)
	}
	wantIDs(t, "List of the rest", list(t, s, sink.Query{}), ids[3])
	wantIDs(t, "Trace of the rest", trace(t, s, ids[3].TraceID), ids[3])
	wantKeys(t, h, s, sink.TraceKey(ids[3]), sink.DayKey(ids[3]))

	// And it can come back.
	b := put(t, s, ids[1], 20)
	if !bytes.Equal(read(t, s, entryOf(ids[1])), b) {
		t.Error("the content after Delete and Put is not what was put")
	}
	wantIDs(t, "List with the new one", list(t, s, sink.Query{}), ids[3], ids[1])
}

func testReopen(t *testing.T, h Harness) {
	if h.Reopen == nil {
		t.Skip("the harness has no Reopen")
	}
	s := h.New(t)
	a, b := newIdentity(now, "shop"), newIdentity(now.Add(-time.Hour), "shop")
	first := put(t, s, a, 1000)
	s2 := h.Reopen(t, s)
	second := put(t, s2, b, 1000)
	for _, s := range []sink.Sink{s, s2} {
		wantIDs(t, "List", list(t, s, sink.Query{}), a, b)
		if !bytes.Equal(read(t, s, entryOf(a)), first) || !bytes.Equal(read(t, s, entryOf(b)), second) {
			t.Error("the content is not what was put")
		}
	}
	if err := s2.Delete(t.Context(), entryOf(a)); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	wantAbsent(t, s, a)
}

// hookedSource calls a function before each read. It knows when Put has
// returned, after which nobody may read it.
type hookedSource struct {
	*bytes.Reader
	before func(off int64) error

	mu       sync.Mutex
	returned bool
	late     bool
}

func (h *hookedSource) ReadAt(p []byte, off int64) (int, error) {
	h.mu.Lock()
	h.late = h.late || h.returned
	h.mu.Unlock()
	if err := h.before(off + int64(len(p))); err != nil {
		return 0, err
	}
	return h.Reader.ReadAt(p, off)
}

// done tells the source that Put has returned.
func (h *hookedSource) done() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.returned = true
}

// check is for the end of a test.
func (h *hookedSource) check(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.late {
		t.Error("Put has read the source after it returned")
	}
}

const hookedSize = 3 << 20

func testNothingHalf(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	b := content(id, hookedSize)
	halfway, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	src := &hookedSource{Reader: bytes.NewReader(b), before: func(end int64) error {
		if end > hookedSize/2 {
			once.Do(func() { close(halfway) })
			<-goOn
		}
		return nil
	}}
	result := make(chan error, 1)
	go func() { result <- s.Put(t.Context(), id, src) }()
	select {
	case <-halfway:
		wantAbsent(t, s, id)
	case err := <-result:
		t.Errorf("Put has not read the source: %v", err)
		result <- err
	}
	close(goOn)
	if err := <-result; err != nil {
		t.Fatalf("Put: %v", err)
	}
	src.done()
	if !bytes.Equal(read(t, s, entryOf(id)), b) {
		t.Error("the content is not what was put")
	}
	wantKeys(t, h, s, sink.TraceKey(id), sink.DayKey(id))
	src.check(t)
}

func testSourceFails(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	b := content(id, hookedSize)
	boom := errors.New("source is broken")
	src := &hookedSource{Reader: bytes.NewReader(b), before: func(end int64) error {
		if end > hookedSize/2 {
			return boom
		}
		return nil
	}}
	err := s.Put(t.Context(), id, src)
	src.done()
	if !errors.Is(err, boom) {
		t.Errorf("Put: %v, want the source's error in it", err)
	}
	wantAbsent(t, s, id)
	wantKeys(t, h, s)
	put(t, s, id, hookedSize)
	if !bytes.Equal(read(t, s, entryOf(id)), b) {
		t.Error("the content of the second Put is not what was put")
	}
	src.check(t)
}

// shortSource ends before its size.
type shortSource struct{ *bytes.Reader }

func (s shortSource) Size() int64 { return s.Reader.Size() + 1 }

func testSourceTooShort(t *testing.T, h Harness) {
	s := h.New(t)
	for _, n := range []int{0, 1, hookedSize} {
		id := newIdentity(now, "shop")
		err := s.Put(t.Context(), id, shortSource{bytes.NewReader(content(id, n))})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Put of a source that ends after %d of %d bytes: %v, want io.ErrUnexpectedEOF", n, n+1, err)
		}
		wantAbsent(t, s, id)
	}
	wantKeys(t, h, s)
}

func testCancelled(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	b := put(t, s, id, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled in it", what, err)
		}
	}
	other := newIdentity(now, "shop")
	check("Put", s.Put(ctx, other, bytes.NewReader(b)))
	wantAbsent(t, s, other)
	check("Delete", s.Delete(ctx, entryOf(id)))
	wantIDs(t, "Trace", trace(t, s, id.TraceID), id)
	_, err := s.Trace(ctx, id.TraceID)
	check("Trace", err)
	obj, err := s.Open(ctx, entryOf(id))
	check("Open", err)
	if err == nil {
		obj.Close()
	}
	err = nil
	for _, err = range s.List(ctx, sink.Query{}) {
		if err == nil {
			t.Error("List: yields a dump")
		}
	}
	check("List", err)
	wantKeys(t, h, s, sink.TraceKey(id), sink.DayKey(id))

	// An end in the middle of a listing.
	put(t, s, other, 10)
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	err = nil
	for _, err = range s.List(ctx, sink.Query{}) {
		cancel()
	}
	check("List that was under way", err)
}

func testCancelledDuringPut(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	b := content(id, hookedSize)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	src := &hookedSource{Reader: bytes.NewReader(b), before: func(end int64) error {
		if end > hookedSize/2 {
			cancel()
		}
		return nil
	}}
	err := s.Put(ctx, id, src)
	src.done()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v, want context.Canceled in it", err)
	}
	wantAbsent(t, s, id)
	wantKeys(t, h, s)
	put(t, s, id, hookedSize)
	if !bytes.Equal(read(t, s, entryOf(id)), b) {
		t.Error("the content of the second Put is not what was put")
	}
	src.check(t)
}

func testConcurrentSame(t *testing.T, h Harness) {
	s := h.New(t)
	id := newIdentity(now, "shop")
	b := content(id, 300<<10)
	sinks := []sink.Sink{s}
	if h.Reopen != nil {
		sinks = append(sinks, h.Reopen(t, s))
	}
	var puts, readers sync.WaitGroup
	stop := make(chan struct{})
	readers.Go(func() {
		for seen := false; ; {
			select {
			case <-stop:
				return
			default:
			}
			got, err := tryRead(t.Context(), s, entryOf(id))
			if err != nil && (seen || !errors.Is(err, sink.ErrNotFound)) {
				t.Errorf("during Puts (dump seen: %t): %v", seen, err)
				return
			}
			if err == nil && !bytes.Equal(got, b) {
				t.Error("a reader has seen another content")
				return
			}
			seen = seen || err == nil
		}
	})
	for i := range 8 {
		puts.Go(func() {
			if err := sinks[i%len(sinks)].Put(t.Context(), id, bytes.NewReader(b)); err != nil {
				t.Errorf("Put: %v", err)
			}
		})
	}
	puts.Wait()
	close(stop)
	readers.Wait()
	wantIDs(t, "Trace", trace(t, s, id.TraceID), id)
	wantIDs(t, "List", list(t, s, sink.Query{}), id)
	wantKeys(t, h, s, sink.TraceKey(id), sink.DayKey(id))
}

func testConcurrentMany(t *testing.T, h Harness) {
	s := h.New(t)
	const workers, each = 8, 6
	shared := newTrace()
	ids := make([]dump.Identity, workers*each)
	for i := range ids {
		ids[i] = newIdentity(now.Add(time.Duration(i)*time.Hour), fmt.Sprintf("svc-%d", i%3))
		if i%2 == 0 {
			ids[i].TraceID = shared
		}
	}
	// Every third one is deleted again at once, so that folders come and go
	// under the other writers' hands.
	deleted := func(i int) bool { return i%3 == 0 }
	var wg sync.WaitGroup
	var next atomic.Int64
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ids); i = int(next.Add(1)) - 1 {
				id := ids[i]
				b := content(id, 1000+i)
				if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
					t.Errorf("Put: %v", err)
					continue
				}
				entries, err := s.Trace(t.Context(), id.TraceID)
				if err != nil || !slices.ContainsFunc(entries, func(e sink.Entry) bool { return e.ID == id.ID }) {
					t.Errorf("Trace does not show a dump that was put: %v", err)
				}
				if got, err := tryRead(t.Context(), s, entryOf(id)); err != nil || !bytes.Equal(got, b) {
					t.Errorf("reading a dump that was put: %v", err)
				}
				if deleted(i) {
					if err := s.Delete(t.Context(), entryOf(id)); err != nil {
						t.Errorf("Delete: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	var want []dump.Identity
	var keys []string
	for i, id := range slices.Backward(ids) {
		if !deleted(i) {
			want = append(want, id)
			keys = append(keys, sink.TraceKey(id), sink.DayKey(id))
		}
	}
	wantIDs(t, "List", list(t, s, sink.Query{}), want...)
	wantKeys(t, h, s, keys...)
}
