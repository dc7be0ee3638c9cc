package prune_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/memory"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/prune"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newID(at time.Time) dump.Identity {
	id := dump.NewID()
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return dump.Identity{ID: id, TraceID: dump.TraceID(dump.NewID()), Service: fmt.Sprintf("svc-%d", id[15]%3)}
}

func put(t testing.TB, s sink.Sink, at time.Time, size int) dump.Identity {
	t.Helper()
	id := newID(at)
	if err := s.Put(t.Context(), id, bytes.NewReader(make([]byte, size))); err != nil {
		t.Fatal(err)
	}
	return id
}

func list(t testing.TB, s sink.Sink) (all []sink.Entry) {
	t.Helper()
	for e, err := range s.List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func mustPlan(t testing.TB, s sink.Sink, p prune.Policy) *prune.Selection {
	t.Helper()
	if p.Now.IsZero() {
		p.Now = now
	}
	sel, err := prune.Plan(t.Context(), s, p)
	if err != nil {
		t.Fatal(err)
	}
	return sel
}

func TestPlan(t *testing.T) {
	s := memory.New("x")
	var ids []dump.Identity // the newest first
	for i := range 5 {
		ids = append(ids, put(t, s, now.Add(-time.Duration(i)*time.Hour), 100*(i+1))) // 100, 200, … 500
	}
	for _, c := range []struct {
		name string
		p    prune.Policy
		kept int
		why  string // of the victims, the oldest first
	}{
		{"all are young", prune.Policy{MaxAge: 4 * time.Hour}, 5, ""}, // the last is just as old
		{"some are old", prune.Policy{MaxAge: 2*time.Hour + time.Minute}, 3, "age age"},
		{"all are old", prune.Policy{MaxAge: time.Minute, Now: now.Add(time.Hour)}, 0, "age age age age age"},
		{"few", prune.Policy{MaxCount: 5}, 5, ""},
		{"too many", prune.Policy{MaxCount: 2}, 2, "count count count"},
		{"small", prune.Policy{MaxBytes: 1500}, 5, ""},
		{"too much", prune.Policy{MaxBytes: 1499}, 4, "bytes"},
		{"just right", prune.Policy{MaxBytes: 600}, 3, "bytes bytes"},
		{"the newest is too much", prune.Policy{MaxBytes: 99}, 0, "bytes bytes bytes bytes bytes"},
		{"no smaller one gets in", prune.Policy{MaxBytes: 550, MaxCount: 100}, 2, "bytes bytes bytes"},
		{"each for a reason of its own", prune.Policy{MaxAge: 3*time.Hour + time.Minute, MaxCount: 3}, 3, "age count"},
		{"the narrower limit", prune.Policy{MaxCount: 4, MaxBytes: 300}, 2, "bytes bytes bytes"},
		{"dumps of the future", prune.Policy{MaxAge: time.Hour, Now: now.AddDate(-1, 0, 0)}, 5, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sel := mustPlan(t, s, c.p)
			var why []string
			for i, v := range sel.Victims {
				want := ids[len(ids)-1-i]
				if v.ID != want.ID || v.TraceID != want.TraceID || v.Service != want.Service {
					t.Errorf("victim %d is %v, want %v", i, v.Identity, want)
				}
				why = append(why, string(v.Reason))
			}
			if got := strings.Join(why, " "); got != c.why || sel.Kept != c.kept {
				t.Errorf("%d kept, others %q; want %d, %q", sel.Kept, got, c.kept, c.why)
			}
			if sel.Bytes+sel.KeptBytes != 1500 {
				t.Errorf("%d bytes and %d bytes are not all", sel.Bytes, sel.KeptBytes)
			}
			if len(list(t, s)) != len(ids) {
				t.Error("Plan has deleted something")
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, p := range []prune.Policy{{}, {Now: now}, {MaxAge: -1}, {MaxBytes: -1, MaxCount: 1}, {MaxCount: -1}} {
		if sel, err := prune.Plan(t.Context(), memory.New("x"), p); err == nil || sel != nil {
			t.Errorf("%+v: %v, %v", p, sel, err)
		}
	}
}

// TestProperties holds Plan and Apply to what they promise, for stores and
// policies at random.
func TestProperties(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		s := memory.New("x")
		s.NoSizes = rng.IntN(2) == 0
		sizes := map[dump.ID]int64{}
		for range rng.IntN(60) {
			size := rng.IntN(1000)
			id := put(t, s, now.Add(-time.Duration(rng.IntN(50))*time.Hour), size)
			sizes[id.ID] = int64(size)
		}
		p := prune.Policy{Now: now}
		for p.MaxAge == 0 && p.MaxBytes == 0 && p.MaxCount == 0 {
			p.MaxAge = time.Duration(rng.IntN(2)*rng.IntN(60)) * time.Hour
			p.MaxBytes = int64(rng.IntN(2) * rng.IntN(20_000))
			p.MaxCount = rng.IntN(2) * rng.IntN(60)
		}
		before := list(t, s)
		sel := mustPlan(t, s, p)
		if len(sel.Victims)+sel.Kept != len(before) {
			t.Fatalf("seed %d: %d victims and %d kept of %d", seed, len(sel.Victims), sel.Kept, len(before))
		}
		res, err := prune.Apply(t.Context(), s, sel, nil)
		if err != nil || res.Deleted != len(sel.Victims) || res.Failed != 0 || res.Bytes != sel.Bytes {
			t.Fatalf("seed %d: %+v, %v", seed, res, err)
		}
		after := list(t, s)

		// What is kept is the newest, within all limits.
		var bytes int64
		for i, e := range after {
			if e.ID != before[i].ID {
				t.Fatalf("seed %d: number %d is another one", seed, i)
			}
			bytes += sizes[e.ID]
			if p.MaxAge > 0 && now.Sub(e.ID.Time()) > p.MaxAge {
				t.Fatalf("seed %d: a dump of %v is left", seed, e.ID.Time())
			}
		}
		if p.MaxCount > 0 && len(after) > p.MaxCount || p.MaxBytes > 0 && bytes > p.MaxBytes {
			t.Fatalf("seed %d: %d dumps of %d bytes are left, with %+v", seed, len(after), bytes, p)
		}
		// And not one more went than had to.
		if len(after) < len(before) {
			next := before[len(after)]
			fits := (p.MaxAge == 0 || now.Sub(next.ID.Time()) <= p.MaxAge) &&
				(p.MaxCount == 0 || len(after)+1 <= p.MaxCount) &&
				(p.MaxBytes == 0 || bytes+sizes[next.ID] <= p.MaxBytes)
			if fits {
				t.Fatalf("seed %d: %v could have stayed, with %+v", seed, next.ID, p)
			}
		}
		// A second time there is nothing to do.
		if again := mustPlan(t, s, p); len(again.Victims) != 0 || again.Kept != len(after) {
			t.Fatalf("seed %d: the second time %d victims", seed, len(again.Victims))
		}
	}
}

// faulty fails to list, open or delete.
type faulty struct {
	*memory.Sink
	mu      sync.Mutex
	list    error
	open    error
	deletes map[dump.ID]error
	before  func() // each Delete
}

func (f *faulty) List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		for e, err := range f.Sink.List(ctx, q) {
			if !yield(e, err) {
				return
			}
		}
		if f.list != nil {
			yield(sink.Entry{}, f.list)
		}
	}
}

func (f *faulty) Open(ctx context.Context, e sink.Entry) (sink.Object, error) {
	if f.open != nil {
		return nil, f.open
	}
	return f.Sink.Open(ctx, e)
}

func (f *faulty) Delete(ctx context.Context, e sink.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before != nil {
		f.before()
	}
	if err := f.deletes[e.ID]; err != nil {
		return err
	}
	return f.Sink.Delete(ctx, e)
}

var errBroken = errors.New("broken")

// Nobody deletes by half a listing.
func TestPlanFails(t *testing.T) {
	f := &faulty{Sink: memory.New("x"), list: errBroken}
	put(t, f, now.Add(-time.Hour), 10)
	if sel, err := prune.Plan(t.Context(), f, prune.Policy{MaxAge: time.Minute, Now: now}); !errors.Is(err, errBroken) || sel != nil {
		t.Errorf("%v, %v", sel, err)
	}
	f.list, f.open, f.NoSizes = nil, errBroken, true
	if sel, err := prune.Plan(t.Context(), f, prune.Policy{MaxBytes: 5}); !errors.Is(err, errBroken) || sel != nil {
		t.Errorf("%v, %v", sel, err)
	}
	// A size that nobody asks for is not looked for.
	if sel := mustPlan(t, f, prune.Policy{MaxBytes: 5, MaxAge: time.Minute}); len(sel.Victims) != 1 {
		t.Errorf("%+v", sel)
	}
	// What has vanished since it was listed does not count.
	f.open = fmt.Errorf("gone: %w", sink.ErrNotFound)
	if sel := mustPlan(t, f, prune.Policy{MaxBytes: 5}); len(sel.Victims) != 0 || sel.Kept != 0 {
		t.Errorf("%+v", sel)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := prune.Plan(ctx, f, prune.Policy{MaxCount: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestApplyGoesOn(t *testing.T) {
	f := &faulty{Sink: memory.New("x"), deletes: map[dump.ID]error{}}
	var ids []dump.Identity
	for i := range 30 {
		ids = append(ids, put(t, f, now.Add(time.Duration(i)*time.Minute), 10))
	}
	for i := range 12 {
		f.deletes[ids[2*i].ID] = fmt.Errorf("%w: number %d", errBroken, 2*i)
	}
	sel := mustPlan(t, f, prune.Policy{MaxCount: 1})
	var seen []prune.Progress
	res, err := prune.Apply(t.Context(), f, sel, func(p prune.Progress) { seen = append(seen, p) })
	if res != (prune.Result{Deleted: 17, Bytes: 170, Failed: 12}) {
		t.Errorf("%+v", res)
	}
	if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "12 of 29 dumps") || strings.Count(err.Error(), "broken") != 10 {
		t.Errorf("error %v", err)
	}
	if got := len(list(t, f)); got != 13 {
		t.Errorf("%d dumps are left", got)
	}
	failed := 0
	for i, p := range seen {
		if p.Done != i+1 || p.Total != 29 {
			t.Errorf("progress %d: %+v", i, p)
		}
		if p.Err != nil {
			failed++
		}
	}
	if len(seen) != 29 || failed != 12 || seen[28].Bytes != 170 {
		t.Errorf("%d reports, %d of failures, %d bytes at last", len(seen), failed, seen[len(seen)-1].Bytes)
	}

	// The next time it works.
	f.deletes = nil
	if res, err := prune.Apply(t.Context(), f, mustPlan(t, f, prune.Policy{MaxCount: 1}), nil); err != nil || res.Deleted != 12 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestApplyStops(t *testing.T) {
	f := &faulty{Sink: memory.New("x")}
	for i := range 100 {
		put(t, f, now.Add(time.Duration(i)*time.Minute), 1)
	}
	sel := mustPlan(t, f, prune.Policy{MaxCount: 1})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	f.before = func() {
		if n++; n == 20 {
			cancel()
		}
	}
	res, err := prune.Apply(ctx, f, sel, nil)
	if !errors.Is(err, context.Canceled) || res.Deleted != 19 || res.Failed != 0 || !strings.Contains(err.Error(), "80 of 99 dumps") {
		t.Errorf("%+v, %v", res, err)
	}
	// The oldest went first, as far as several at once have an order.
	left := list(t, f)
	if len(left) != 81 || slices.ContainsFunc(left[:70], func(e sink.Entry) bool { return e.ID.Time().Before(now.Add(25 * time.Minute)) }) {
		t.Errorf("%d dumps are left, and not the newest", len(left))
	}
	// Done is done, even if the context ends then.
	if res, err := prune.Apply(ctx, f, &prune.Selection{}, nil); err != nil || res != (prune.Result{}) {
		t.Errorf("nothing to do: %+v, %v", res, err)
	}
}

// Dumps that come and go meanwhile are no trouble, and no new one is lost.
func TestAmongOthers(t *testing.T) {
	s, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		put(t, s, now.Add(-time.Duration(i+1)*time.Hour), 10)
	}
	old := list(t, s)
	stop := make(chan struct{})
	var others sync.WaitGroup
	var young []dump.Identity
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			young = append(young, put(t, s, now.Add(time.Duration(i)*time.Second), 10))
		}
	})
	others.Go(func() { // somebody else prunes the same
		for _, e := range old[20:] {
			if err := s.Delete(t.Context(), e); err != nil {
				t.Error(err)
			}
		}
	})
	for range 5 {
		sel := mustPlan(t, s, prune.Policy{MaxAge: 10*time.Hour + time.Minute})
		if _, err := prune.Apply(t.Context(), s, sel, nil); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	others.Wait()
	if got, want := len(list(t, s)), 10+len(young); got != want {
		t.Errorf("%d dumps are left, want %d", got, want)
	}
}

func BenchmarkPlan(b *testing.B) {
	s := memory.New("x")
	for i := range 100_000 {
		put(b, s, now.Add(-time.Duration(i)*time.Second), 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		mustPlan(b, s, prune.Policy{MaxCount: 50_000})
	}
}
