package spool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// shutdown ends a Spool and wants it to be fine with that.
func shutdown(t *testing.T, s *Spool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func newIdentity() dump.Identity {
	return dump.Identity{ID: dump.NewID(), TraceID: dump.TraceID{1, 2, 3}, SpanID: dump.SpanID{9}, Service: "shop"}
}

// contentOf returns n bytes that belong to a dump.
func contentOf(id dump.ID, n int) []byte {
	var seed [32]byte
	copy(seed[:], id[:])
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

// dumpOf returns a small real dump that a trigger made.
func dumpOf(t testing.TB, id dump.Identity, trigger dump.Trigger) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := dump.NewWriter(&buf)
	if _, err := w.Close(&dump.Header{Identity: id, Trigger: trigger}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// put stores a dump of n bytes that contentOf knows.
func put(t testing.TB, s sink.Sink, id dump.Identity, n int) {
	t.Helper()
	if err := s.Put(context.Background(), id, bytes.NewReader(contentOf(id.ID, n))); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

// store is a destination in memory that can be told to misbehave.
type store struct {
	name string

	// hook, if set, is called before a dump is stored; its error is that of
	// Put. The calls of a store count from 1.
	hook func(ctx context.Context, id dump.Identity, call int) error

	mu     sync.Mutex
	dumps  map[dump.ID]kept
	puts   map[dump.ID]int // successful calls
	calls  int
	unread error // of the reading side
}

// kept is a dump in a store.
type kept struct {
	id      dump.Identity
	content []byte
}

func newStore() *store {
	return &store{name: "memory", dumps: map[dump.ID]kept{}, puts: map[dump.ID]int{}}
}

func (m *store) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	m.mu.Lock()
	m.calls++
	call, hook := m.calls, m.hook
	m.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, id, call); err != nil {
			return err
		}
	}
	b, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.dumps[id.ID]; !ok {
		m.dumps[id.ID] = kept{id, b}
	}
	m.puts[id.ID]++
	return nil
}

// setHook changes the hook while the store is in use.
func (m *store) setHook(hook func(context.Context, dump.Identity, int) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = hook
}

// fails makes every Put fail.
func fails(err error) func(context.Context, dump.Identity, int) error {
	return func(context.Context, dump.Identity, int) error { return err }
}

func (m *store) URI(id dump.Identity) string { return "mem://" + sink.TraceKey(id) }
func (m *store) String() string              { return m.name }

func (m *store) entry(k kept) sink.Entry {
	return sink.Entry{Identity: k.id, Key: sink.TraceKey(k.id), URI: m.URI(k.id), Size: int64(len(k.content))}
}

func (m *store) list(want func(dump.Identity) bool) ([]sink.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var entries []sink.Entry
	for _, k := range m.dumps {
		if want(k.id) {
			entries = append(entries, m.entry(k))
		}
	}
	slices.SortFunc(entries, func(a, b sink.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return entries, m.unread
}

func (m *store) Trace(_ context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	return m.list(func(id dump.Identity) bool { return id.TraceID == trace })
}

func (m *store) List(_ context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		entries, err := m.list(q.Match)
		for _, e := range slices.Backward(entries) {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(sink.Entry{}, err)
		}
	}
}

func (m *store) Open(_ context.Context, e sink.Entry) (sink.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.dumps[e.ID]
	switch {
	case m.unread != nil:
		return nil, m.unread
	case !ok || k.id.TraceID != e.TraceID:
		return nil, sink.ErrNotFound
	}
	return memObject{bytes.NewReader(k.content)}, nil
}

type memObject struct{ *bytes.Reader }

func (memObject) Close() error { return nil }

func (m *store) Delete(_ context.Context, e sink.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.dumps, e.ID)
	return nil
}

// has returns the content of a dump, and how often it was put.
func (m *store) has(id dump.ID) (content []byte, puts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dumps[id].content, m.puts[id]
}

func (m *store) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.dumps)
}

func (m *store) callCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// witness keeps what a Spool tells.
type witness struct {
	mu       sync.Mutex
	results  []Result
	troubles []string // "kind: error"
}

func (w *witness) watch(c Config) Config {
	c.OnResult = func(r Result) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.results = append(w.results, r)
	}
	c.OnTrouble = func(kind string, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.troubles = append(w.troubles, kind+": "+err.Error())
	}
	return c
}

// outcomes returns what was told of each dump.
func (w *witness) outcomes(id dump.ID) (list []Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.results {
		if r.Identity.ID == id {
			list = append(list, r.Outcome)
		}
	}
	return list
}

// last returns the latest result of a dump.
func (w *witness) last(t *testing.T, id dump.ID) Result {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range slices.Backward(w.results) {
		if r.Identity.ID == id {
			return r
		}
	}
	t.Fatalf("nothing was told of dump %s: %v, %q", id, w.results, w.troubles)
	return Result{}
}

// kinds returns how often each kind of trouble was told.
func (w *witness) kinds() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := map[string]int{}
	for _, line := range w.troubles {
		kind, _, _ := strings.Cut(line, ":")
		n[kind]++
	}
	return n
}

func (w *witness) log(t *testing.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range w.troubles {
		t.Log(line)
	}
}

// newTestSpool returns a Spool on a folder of the test, without regard to how full
// the disk of the machine is.
func newTestSpool(t testing.TB, dest sink.Sink, c Config) *Spool {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.MinFree == 0 {
		c.MinFree = -1
	}
	s, err := New(dest, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// settled waits until all results were told.
func settled(t *testing.T, s *Spool) {
	t.Helper()
	if err := s.events.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition on what a Spool knows.
func until(t *testing.T, s *Spool, what string, cond func(Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if cond(s.Stats()) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("waited too long for %s: %+v", what, s.Stats())
		}
	}
}

// awaitSweep waits until the background has looked at the folder once.
func awaitSweep(s *Spool) {
	for {
		s.mu.Lock()
		n, changed := s.state.sweeps, s.changed
		s.mu.Unlock()
		if n > 0 {
			return
		}
		<-changed
	}
}

// inSpool returns the files of a destination's folder, but for the label and the
// lock.
func inSpool(t *testing.T, s *Spool) []string {
	t.Helper()
	return slices.DeleteFunc(filesBelow(t, s.dir+"/"+s.home), func(name string) bool {
		return name == labelFile || name == "lock"
	})
}

// wantFiles compares them.
func wantFiles(t *testing.T, s *Spool, want ...string) {
	t.Helper()
	got := inSpool(t, s)
	slices.Sort(want)
	if !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("the spool holds %q, want %q", got, want)
	}
}

var errDown = errors.New("connection refused")

func TestMain(m *testing.M) {
	if helperMain() {
		return
	}
	goleak.VerifyTestMain(m)
}
