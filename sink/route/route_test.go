package route_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/memory"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/route"
	"github.com/otelcoredumpy/otelcoredumpy/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a store that fails when it is told to.
type fake struct {
	*memory.Sink
	mu    sync.Mutex
	err   error                       // of every call
	hook  func(context.Context) error // before every Put
	puts  int
	shut  atomic.Int32
	uris  map[dump.Trigger]string
	onEnd error // of Shutdown
}

func newFake(name string) *fake { return &fake{Sink: memory.New(name)} }

func (f *fake) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fake) failing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.puts
}

func (f *fake) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	f.mu.Lock()
	f.puts++
	hook, err := f.hook, f.err
	f.mu.Unlock()
	if hook != nil {
		if err := hook(ctx); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return f.Sink.Put(ctx, id, src)
}

func (f *fake) Open(ctx context.Context, e sink.Entry) (sink.Object, error) {
	if err := f.failing(); err != nil {
		return nil, err
	}
	if e.Size != 0 || e.URI != "" {
		return nil, errors.New("the entry is another store's")
	}
	return f.Sink.Open(ctx, e)
}

func (f *fake) Trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	if err := f.failing(); err != nil {
		return nil, err
	}
	return f.Sink.Trace(ctx, trace)
}

func (f *fake) List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		for e, err := range f.Sink.List(ctx, q) {
			if failing := f.failing(); failing != nil {
				yield(sink.Entry{}, failing)
				return
			}
			if !yield(e, err) {
				return
			}
		}
		if failing := f.failing(); failing != nil {
			yield(sink.Entry{}, failing)
		}
	}
}

func (f *fake) Delete(ctx context.Context, e sink.Entry) error {
	if err := f.failing(); err != nil {
		return err
	}
	return f.Sink.Delete(ctx, e)
}

func (f *fake) Shutdown(context.Context) error {
	f.shut.Add(1)
	return f.onEnd
}

func (f *fake) URIFor(id dump.Identity, t dump.Trigger) string {
	if uri := f.uris[t]; uri != "" {
		return uri
	}
	return f.URI(id)
}

var (
	errDown  = errors.New("connection refused")
	errLarge = sink.Permanent(errors.New("too large"))
)

func newID() dump.Identity {
	return dump.Identity{ID: dump.NewID(), TraceID: dump.TraceID{1}, Service: "shop"}
}

func content() *bytes.Reader { return bytes.NewReader([]byte("a dump")) }

func has(s *fake, id dump.Identity) bool { return s.Content(id) != nil }

func wantIn(t *testing.T, id dump.Identity, where map[*fake]bool) {
	t.Helper()
	for s, want := range where {
		if has(s, id) != want {
			t.Errorf("the dump is in %s: %t, want %t", s, !want, want)
		}
	}
}

func mustPut(t *testing.T, s sink.Sink, id dump.Identity) {
	t.Helper()
	if err := s.Put(t.Context(), id, content()); err != nil {
		t.Fatal(err)
	}
}

func listIDs(t *testing.T, s sink.Sink) (ids []dump.ID, err error) {
	t.Helper()
	for e, lerr := range s.List(t.Context(), sink.Query{}) {
		if lerr != nil {
			err = lerr
			continue
		}
		if err != nil {
			t.Error("an entry comes behind the error")
		}
		ids = append(ids, e.ID)
	}
	return ids, err
}

// uncomparable is a store of a type whose values cannot be compared.
type uncomparable struct {
	sink.Sink
	_ []int
}

func TestConformance(t *testing.T) {
	mem := func() sink.Sink { return memory.New(fmt.Sprint(rand.Uint64())) }
	disk := func(t *testing.T) sink.Sink {
		s, err := local.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	manual := func(s sink.Sink) map[dump.Trigger]sink.Sink {
		return map[dump.Trigger]sink.Sink{dump.TriggerManual: s, dump.TriggerTest: s}
	}
	for name, newSink := range map[string]func(t *testing.T) sink.Sink{
		"fanout":           func(t *testing.T) sink.Sink { return route.Fanout(mem(), mem(), mem()) },
		"fanout to disk":   func(t *testing.T) sink.Sink { return route.Fanout(disk(t), mem()) },
		"fanout of one":    func(t *testing.T) sink.Sink { return route.Fanout(mem()) },
		"fallback":         func(t *testing.T) sink.Sink { return route.Fallback(mem(), mem(), time.Minute) },
		"fallback at once": func(t *testing.T) sink.Sink { return route.Fallback(mem(), disk(t), 0) },
		"by trigger":       func(t *testing.T) sink.Sink { return route.ByTrigger(mem(), manual(mem())) },
		"nested": func(t *testing.T) sink.Sink {
			shared := mem()
			return route.Fanout(
				route.Fallback(mem(), shared, 0),
				route.ByTrigger(shared, manual(route.Fanout(mem(), disk(t)))),
				uncomparable{Sink: mem()},
			)
		},
	} {
		t.Run(name, func(t *testing.T) { sinktest.Run(t, sinktest.Harness{New: newSink}) })
	}
}

func TestFanoutStoresInAll(t *testing.T) {
	a, b, c := newFake("a"), newFake("b"), newFake("c")
	s, id := route.Fanout(a, b, c), newID()
	mustPut(t, s, id)
	wantIn(t, id, map[*fake]bool{a: true, b: true, c: true})
	if s.URI(id) != a.URI(id) {
		t.Errorf("URI %q, want that of the primary", s.URI(id))
	}
	for _, f := range []*fake{a, b, c} {
		if !strings.Contains(s.String(), f.String()) {
			t.Errorf("%q does not name %s", s, f)
		}
	}
	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
		t.Fatal(err)
	}
	wantIn(t, id, map[*fake]bool{a: false, b: false, c: false})
}

// Whichever fails, the others store, the error says so, and the next Put repairs.
func TestFanoutFails(t *testing.T) {
	for failing := range 3 {
		stores := []*fake{newFake("a"), newFake("b"), newFake("c")}
		s, id := route.Fanout(stores[0], stores[1], stores[2]), newID()
		bad := stores[failing]
		bad.fail(errDown)
		err := s.Put(t.Context(), id, content())
		if !errors.Is(err, errDown) || sink.IsPermanent(err) {
			t.Errorf("error %v", err)
		}
		head, tail, _ := strings.Cut(err.Error(), "it is stored in")
		for i, f := range stores {
			wantIn(t, id, map[*fake]bool{f: i != failing})
			if in, out := strings.Contains(head, f.String()), strings.Contains(tail, f.String()); in != (i == failing) || out == (i == failing) {
				t.Errorf("%q is wrong about %s", err, f)
			}
		}
		bad.fail(nil)
		mustPut(t, s, id)
		wantIn(t, id, map[*fake]bool{stores[0]: true, stores[1]: true, stores[2]: true})
	}
}

// One that hangs keeps no other from storing, and nobody from giving up.
func TestFanoutHangs(t *testing.T) {
	for hanging := range 2 {
		stores := []*fake{newFake("a"), newFake("b")}
		s, id := route.Fanout(stores[0], stores[1]), newID()
		ctx, cancel := context.WithCancel(t.Context())
		stores[hanging].hook = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		stored := make(chan struct{})
		stores[1-hanging].hook = func(context.Context) error {
			close(stored)
			return nil
		}
		done := make(chan error)
		go func() { done <- s.Put(ctx, id, content()) }()
		<-stored
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if has(stores[hanging], id) {
			t.Error("the hanging store has the dump")
		}
	}
}

func TestFanoutPanics(t *testing.T) {
	for panicking := range 2 {
		stores := []*fake{newFake("a"), newFake("b")}
		stores[panicking].hook = func(context.Context) error { panic("boom") }
		s, id := route.Fanout(stores[0], stores[1]), newID()
		err := s.Put(t.Context(), id, content())
		if err == nil || !strings.Contains(err.Error(), "boom") || !strings.Contains(err.Error(), stores[panicking].String()) {
			t.Errorf("error %v", err)
		}
		wantIn(t, id, map[*fake]bool{stores[1-panicking]: true})
	}
}

func TestErrors(t *testing.T) {
	later := func(d time.Duration) error { return sink.WithRetryAfter(errDown, d) }
	for _, c := range []struct {
		a, b      error
		permanent bool
		after     time.Duration
	}{
		{errDown, errDown, false, 0},
		{errDown, errLarge, false, 0},
		{errLarge, errDown, false, 0},
		{errLarge, errLarge, true, 0},
		{nil, errLarge, true, 0},
		{errLarge, nil, true, 0},
		{nil, errDown, false, 0},
		{sink.ErrNotFound, errDown, false, 0},
		{later(time.Second), later(time.Minute), false, time.Minute},
		{later(time.Minute), errDown, false, time.Minute},
		{errLarge, later(time.Hour), false, time.Hour},
		{errDown, sink.Permanent(later(time.Hour)), false, time.Hour},
	} {
		a, b := newFake("a"), newFake("b")
		a.fail(c.a)
		b.fail(c.b)
		put := route.Fanout(a, b).Put(t.Context(), newID(), content())
		del := route.Fallback(a, b, 0).Delete(t.Context(), sink.Entry{Identity: newID()})
		for what, err := range map[string]error{"Put": put, "Delete": del} {
			if sink.IsPermanent(err) != c.permanent || sink.RetryAfter(err) != c.after {
				t.Errorf("%s, %v and %v: permanent %t, retry after %v", what, c.a, c.b, sink.IsPermanent(err), sink.RetryAfter(err))
			}
			for s, cause := range map[*fake]error{a: c.a, b: c.b} {
				if cause == nil {
					continue
				}
				if !strings.Contains(err.Error(), s.String()+": "+cause.Error()) {
					t.Errorf("%s: %q does not tell what %s said", what, err, s)
				}
				if !sink.IsPermanent(cause) && !errors.Is(err, errDown) {
					t.Errorf("%s: %v does not wrap the cause", what, err)
				}
			}
		}
	}
}

// What one store cannot say the others do, and an error tells that it is not all.
func TestReads(t *testing.T) {
	a, b := newFake("a"), newFake("b")
	onlyA, onlyB, both := newID(), newID(), newID()
	for id, stores := range map[dump.Identity][]*fake{onlyA: {a}, onlyB: {b}, both: {a, b}} {
		for _, s := range stores {
			mustPut(t, s.Sink, id)
		}
	}
	for name, s := range map[string]sink.Sink{
		"fanout":     route.Fanout(a, b),
		"fallback":   route.Fallback(a, b, time.Hour),
		"by trigger": route.ByTrigger(a, map[dump.Trigger]sink.Sink{dump.TriggerTest: b}),
	} {
		t.Run(name, func(t *testing.T) {
			check := func(wantErr error, want ...dump.Identity) {
				t.Helper()
				entries, err := s.Trace(t.Context(), both.TraceID)
				if !errors.Is(err, wantErr) {
					t.Errorf("Trace: error %v, want %v", err, wantErr)
				}
				var uris []string
				var ids []dump.ID
				for _, e := range entries {
					ids, uris = append(ids, e.ID), append(uris, e.URI)
				}
				var wantIDs []dump.ID
				for _, id := range want {
					wantIDs = append(wantIDs, id.ID)
				}
				if !slices.Equal(ids, wantIDs) {
					t.Errorf("Trace: %v, want %v", ids, wantIDs)
				}
				slices.Reverse(wantIDs)
				if got, err := listIDs(t, s); !slices.Equal(got, wantIDs) || !errors.Is(err, wantErr) {
					t.Errorf("List: %v, want %v; error %v", got, wantIDs, err)
				}
				for i, id := range want {
					from := a
					if !has(a, id) || a.failing() != nil {
						from = b
					}
					if uris[i] != from.URI(id) {
						t.Errorf("URI %q, want that of %s", uris[i], from)
					}
					obj, err := s.Open(t.Context(), entries[i])
					if err != nil {
						t.Errorf("Open: %v", err)
						continue
					}
					if b, err := io.ReadAll(io.NewSectionReader(obj, 0, obj.Size())); err != nil || string(b) != "a dump" {
						t.Errorf("content %q, error %v", b, err)
					}
					obj.Close()
				}
			}
			check(nil, onlyA, onlyB, both)
			b.fail(errDown)
			check(errDown, onlyA, both)
			_, err := s.Open(t.Context(), sink.Entry{Identity: onlyB})
			if !errors.Is(err, errDown) || errors.Is(err, sink.ErrNotFound) || sink.IsPermanent(err) {
				t.Errorf("Open of what is perhaps there: %v", err)
			}
			b.fail(nil)
			a.fail(errDown)
			check(errDown, onlyB, both)
			a.fail(nil)
			if _, err := s.Open(t.Context(), sink.Entry{Identity: newID()}); !errors.Is(err, sink.ErrNotFound) {
				t.Errorf("Open of what is nowhere: %v", err)
			}
			if err := s.Delete(t.Context(), sink.Entry{Identity: newID()}); err != nil {
				t.Errorf("Delete of what is nowhere: %v", err)
			}
		})
	}
}

// TestListMerges compares merged listings with what they should be, for stores
// that list dumps of the same millisecond in any order.
func TestListMerges(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		base := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		all := make([]dump.Identity, rng.IntN(40))
		for i := range all {
			id := dump.NewID()
			ms := base.Add(time.Duration(rng.IntN(6)) * time.Millisecond).UnixMilli()
			for k := range 6 {
				id[k] = byte(ms >> (40 - 8*k))
			}
			all[i] = dump.Identity{ID: id, TraceID: dump.TraceID{byte(rng.IntN(2))}}
			if i > 0 && rng.IntN(5) == 0 { // one ID in two traces is two dumps
				all[i].ID = all[i-1].ID
				all[i].TraceID = dump.TraceID{9, byte(i)}
			}
		}
		stores := make([]sink.Sink, 1+rng.IntN(4))
		want := map[dump.Identity]bool{}
		for i := range stores {
			var list []dump.Identity
			for _, id := range all {
				if rng.IntN(2) == 0 {
					list = append(list, id)
					want[id] = true
				}
			}
			rng.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
			slices.SortStableFunc(list, func(a, b dump.Identity) int { return b.ID.Time().Compare(a.ID.Time()) })
			stores[i] = &lister{list: list, name: fmt.Sprint(i)}
		}
		var last time.Time
		n := 0
		for e, err := range route.Fanout(stores[0], stores[1:]...).List(t.Context(), sink.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if !want[e.Identity] {
				t.Fatalf("seed %d: %v is listed twice, or is nowhere", seed, e.Identity)
			}
			delete(want, e.Identity)
			if at := e.ID.Time(); n > 0 && at.After(last) {
				t.Fatalf("seed %d: %v comes after %v", seed, at, last)
			}
			last = e.ID.Time()
			n++
		}
		if len(want) > 0 {
			t.Fatalf("seed %d: %d dumps are not listed", seed, len(want))
		}
	}
}

// lister only lists.
type lister struct {
	sink.Sink
	list []dump.Identity
	name string
	n    int // entries that were asked for
}

func (l *lister) String() string { return l.name }

func (l *lister) List(context.Context, sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		for _, id := range l.list {
			l.n++
			if !yield(sink.Entry{Identity: id}, nil) {
				return
			}
		}
	}
}

// Breaking off early is cheap.
func TestListReadsLittle(t *testing.T) {
	a, b := &lister{name: "a"}, &lister{name: "b"}
	for range 1000 {
		a.list = append(a.list, newID())
		b.list = append(b.list, newID())
	}
	slices.Reverse(a.list)
	slices.Reverse(b.list)
	n := 0
	for range route.Fanout(a, b).List(t.Context(), sink.Query{}) {
		if n++; n == 10 {
			break
		}
	}
	if a.n+b.n > 13 {
		t.Errorf("%d entries were read for 10", a.n+b.n)
	}
}

func TestByTrigger(t *testing.T) {
	def, panics, tests := newFake("def"), newFake("panics"), newFake("tests")
	panics.uris = map[dump.Trigger]string{dump.TriggerPanic: "deep"}
	routes := map[dump.Trigger]sink.Sink{dump.TriggerPanic: panics, dump.TriggerTest: tests}
	s := route.ByTrigger(def, routes)
	clear(routes) // the caller's map is the caller's
	for trigger, want := range map[dump.Trigger]*fake{
		dump.TriggerPanic: panics, dump.TriggerTest: tests, dump.TriggerManual: def, "": def, "of tomorrow": def,
	} {
		id := newID()
		plain := dumpOf(t, &dump.Header{Identity: id, Trigger: trigger})
		if err := s.Put(t.Context(), id, bytes.NewReader(plain)); err != nil {
			t.Fatal(err)
		}
		wantURI := want.URI(id)
		if want == panics {
			wantURI = "deep" // a route asks a route
		}
		if got := sink.URIFor(s, id, trigger); got != wantURI {
			t.Errorf("trigger %q: URI %q, want %q", trigger, got, wantURI)
		}

		sealed := newID()
		if err := s.Put(t.Context(), sealed, bytes.NewReader(sealedOf(t, &dump.Header{Identity: sealed, Trigger: trigger}))); err != nil {
			t.Fatal(err)
		}
		for _, f := range []*fake{def, panics, tests} {
			wantIn(t, id, map[*fake]bool{f: f == want})
			wantIn(t, sealed, map[*fake]bool{f: f == want})
		}
		if s.URI(id) != def.URI(id) {
			t.Errorf("URI %q", s.URI(id))
		}
		for _, f := range []sink.Sink{
			route.Fanout(s, newFake("x")), route.Fallback(s, newFake("x"), 0), route.ByTrigger(s, map[dump.Trigger]sink.Sink{"x": def}),
		} {
			if got := sink.URIFor(f, id, trigger); got != wantURI {
				t.Errorf("%s: trigger %q: URI %q, want %q", f, trigger, got, wantURI)
			}
		}
	}
	for _, b := range []string{"", "no dump", "\x89CDMP\r\n\x1a"} {
		id := newID()
		if err := s.Put(t.Context(), id, strings.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		wantIn(t, id, map[*fake]bool{def: true, panics: false, tests: false})
	}
	if got := s.String(); !strings.HasPrefix(got, def.String()) || !strings.Contains(got, "panic in "+panics.String()) || !strings.Contains(got, "test in "+tests.String()) {
		t.Errorf("it is called %q", got)
	}
}

func dumpOf(t *testing.T, h *dump.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	if _, err := dump.NewWriter(&buf).Close(h); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func sealedOf(t *testing.T, h *dump.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	const payload = "age-encryption.org/v1\n"
	if _, err := dump.WriteSealed(&buf, h.KeyOnly(), strings.NewReader(payload), int64(len(payload))); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestShutdown(t *testing.T) {
	a, b, c, d := newFake("a"), newFake("b"), newFake("c"), newFake("d")
	plain := struct{ sink.Sink }{memory.New("plain")} // has no Shutdown
	b.onEnd, c.onEnd = errDown, sink.WithRetryAfter(errDown, time.Second)
	s := route.Fanout(
		route.Fallback(a, b, 0),
		route.ByTrigger(plain, map[dump.Trigger]sink.Sink{dump.TriggerPanic: a, dump.TriggerTest: route.Fanout(c, a)}),
		c, d, d,
	)
	err := sink.Shutdown(t.Context(), s)
	if !errors.Is(err, errDown) || !strings.Contains(err.Error(), b.String()) || !strings.Contains(err.Error(), c.String()) {
		t.Errorf("error %v", err)
	}
	for _, f := range []*fake{a, b, c, d} {
		if n := f.shut.Load(); n != 1 {
			t.Errorf("%s was shut down %d times", f, n)
		}
	}
}

func TestOfOne(t *testing.T) {
	a := newFake("a")
	for _, s := range []sink.Sink{
		route.Fanout(a), route.Fanout(a, a), route.Fallback(a, a, 0), route.ByTrigger(a, nil),
		route.ByTrigger(a, map[dump.Trigger]sink.Sink{dump.TriggerPanic: a}),
	} {
		if s != sink.Sink(a) {
			t.Errorf("one store became %s", s)
		}
	}
	for name, f := range map[string]func(){
		"fanout":     func() { route.Fanout(a, nil) },
		"fallback":   func() { route.Fallback(nil, a, 0) },
		"by trigger": func() { route.ByTrigger(a, map[dump.Trigger]sink.Sink{dump.TriggerPanic: nil}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of no store: no panic", name)
				}
			}()
			f()
		}()
	}
	for _, s := range []sink.Sink{route.Fanout(a, newFake("b")), route.Fallback(a, newFake("b"), 0)} {
		if _, ok := s.(sink.Forwarder); ok {
			t.Errorf("%s is a Forwarder", s)
		}
	}
}
