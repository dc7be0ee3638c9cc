package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// engine makes an engine whose debug info is loaded and whose time budgets no slow
// machine exhausts.
func engine(t testing.TB, set func(*capture.Config)) *capture.Engine {
	t.Helper()
	cfg := capture.DefaultConfig()
	cfg.Pause, cfg.Timeout = time.Minute, time.Minute
	if set != nil {
		set(&cfg)
	}
	e, err := capture.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Ready(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// encode encodes and opens a snapshot.
func encode(t testing.TB, s *capture.Snapshot, h *dump.Header) *dump.Reader {
	t.Helper()
	var b bytes.Buffer
	if h == nil {
		h = &dump.Header{}
	}
	if _, err := s.Encode(context.Background(), &b, h, nil); err != nil {
		t.Fatal(err)
	}
	s.Release()
	r, err := dump.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(); err != nil {
		t.Fatal(err)
	}
	return r
}

// watch captures one value by Watch and returns it.
func watch(t testing.TB, e *capture.Engine, v any) (*dump.Reader, *dump.Value) {
	t.Helper()
	s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual, Watches: []capture.Watch{{Name: "watched", Value: v}}})
	if err != nil {
		t.Fatal(err)
	}
	r := encode(t, s, nil)
	g, err := r.Failing()
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.Values {
		if g.Values[i].Kind == dump.VarWatch {
			return r, &g.Values[i].Value
		}
	}
	t.Fatal("the watched value is not in the dump")
	return nil, nil
}

type ring struct {
	next *ring
	n    int
}

type tree struct {
	Name string
	Kids []*tree
	Up   *tree
}

func TestValues(t *testing.T) {
	e := engine(t, nil)
	shared := &tree{Name: "shared"}
	big := map[int]string{}
	for i := range 100 {
		big[i] = fmt.Sprint("v", i)
	}
	wide := map[[40]int]string{{1}: "indirect"}
	holes := map[string]int{}
	for i := range 64 {
		holes[fmt.Sprint(i)] = i
	}
	for i := range 63 {
		delete(holes, fmt.Sprint(i))
	}
	closed := make(chan string, 2)
	closed <- "last"
	close(closed)
	wrapped := make(chan int, 3)
	wrapped <- 1
	wrapped <- 2
	<-wrapped
	wrapped <- 3
	wrapped <- 4
	type named []string
	type inner struct{ X, y int }
	for _, c := range []struct {
		name string
		v    any
		want string
	}{
		{"nil", nil, "!notype "},
		{"int8", int8(-3), "-3"},
		{"uint64", uint64(1<<64 - 1), "18446744073709551615"},
		{"float32", float32(1.5), "1.5"},
		{"complex64", complex64(complex(1, 2)), "(1+2i)"},
		{"bool", true, "true"},
		{"empty string", "", `""`},
		{"bytes that are no text", "\xff\x00\n", `"\xff\x00\n"`},
		{"nil pointer", (*ring)(nil), "nil"},
		{"nil map", map[string]int(nil), "nil"},
		{"nil slice", []int(nil), "nil"},
		{"empty slice", []int{}, "[]"},
		{"nil error in struct", struct{ E error }{}, "{E:nil}"},
		{"ints", []int{1, 2, 3}, "[1 2 3]"},
		{"named", named{"a", "b"}, `["a" "b"]`},
		{"array of arrays", [2][2]string{{"a", "b"}, {"c", "d"}}, `[["a" "b"] ["c" "d"]]`},
		{"pointer to pointer", func() **int { n := 5; p := &n; return &p }(), "&&5"},
		{"sharing", []*tree{shared, shared}, `[&{Name:"shared" Kids:nil Up:nil} &{Name:"shared" Kids:nil Up:nil}]`},
		{"map of one group", map[string]*inner{"a": {1, 2}}, `map(1){"a":&{X:1 y:2}}`},
		{"map with big keys", wide, `map(1){[1` + strings.Repeat(" 0", 39) + `]:"indirect"}`},
		{"map with tombstones", holes, `map(1){"63":63}`},
		{"map with interface keys", map[any]any{"k": 1, 2: "v"}, `map(2){int(2):string("v") string("k"):int(1)}`},
		{"empty map", map[string]int{}, "map(0){}"},
		{"closed channel", closed, `chan(1/2)["last"]`},
		{"channel past its end", wrapped, "chan(3/3)[2 3 4]"},
		{"joined errors", errors.Join(errors.New("a"), io.EOF), `&{errs:[*errors.errorString(&{s:"a"}) *errors.errorString(&{s:"EOF"})]}`},
		{"struct of one pointer", struct{ P *int }{new(int)}, "{P:&0}"},
		{"zero size", struct{}{}, "{}"},
		{"embedded", struct {
			inner
			Z int
		}{inner{1, 2}, 3}, "{inner:{X:1 y:2} Z:3}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, v := watch(t, e, c.v)
			if got := render(r, v); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	t.Run("map with a directory", func(t *testing.T) {
		big := map[int]int{}
		for i := range 5000 {
			big[i] = i * i
		}
		e := engine(t, func(c *capture.Config) { c.MaxMapEntries = 10_000 })
		r, v := watch(t, e, big)
		o, err := r.Object(v.Obj)
		if err != nil {
			t.Fatal(err)
		}
		got := map[int]int{}
		for i := 0; i+1 < len(o.Value.Elems); i += 2 {
			got[int(o.Value.Elems[i].Num)] = int(o.Value.Elems[i+1].Num)
		}
		if len(got) != len(big) {
			t.Fatalf("%d entries, want %d", len(got), len(big))
		}
		for k, v := range big {
			if got[k] != v {
				t.Fatalf("entry %d is %d, want %d", k, got[k], v)
			}
		}
	})
	t.Run("identity", func(t *testing.T) {
		first := &ring{n: 0}
		last := first
		for i := range 20 {
			last.next = &ring{n: i + 1}
			last = last.next
		}
		last.next = first
		e := engine(t, func(c *capture.Config) { c.Depth = 100; c.Goroutines = capture.ScopeNone })
		r, v := watch(t, e, first)
		id, n := v.Obj, 0
		for {
			o, err := r.Object(id)
			if err != nil {
				t.Fatal(err)
			}
			if got := int(o.Value.Elems[1].Num); got != n%21 {
				t.Fatalf("element %d of the ring is %d", n, got)
			}
			id = o.Value.Elems[0].Obj
			if n++; id == v.Obj {
				break
			}
		}
		if n != 21 {
			t.Errorf("the ring has %d elements, want 21", n)
		}
	})
}

func TestLimits(t *testing.T) {
	long := strings.Repeat("long text ", 1000)
	for _, c := range []struct {
		name   string
		set    func(*capture.Config)
		v      any
		budget string
		reason dump.Reason
		find   func(r *dump.Reader, v *dump.Value) *dump.Value
	}{
		{
			"depth", func(c *capture.Config) { c.Depth = 2 }, &tree{Name: "a", Up: &tree{Name: "b", Up: &tree{Name: "c"}}}, "depth", dump.DepthLimit,
			func(r *dump.Reader, v *dump.Value) *dump.Value {
				o, _ := r.Object(v.Obj)
				o, _ = r.Object(o.Value.Elems[2].Obj)
				return &o.Value.Elems[2]
			},
		},
		{
			"string", func(c *capture.Config) { c.MaxStringLen = 10 },
			[]string{long},
			"string", dump.StringLimit,
			func(r *dump.Reader, v *dump.Value) *dump.Value {
				v, _ = r.Resolve(v)
				o, _ := r.Object(v.Obj)
				return &o.Value.Elems[0]
			},
		},
		{
			"slice", func(c *capture.Config) { c.MaxArrayValues = 3 }, make([]int, 100), "collection", dump.CollectionLimit,
			func(r *dump.Reader, v *dump.Value) *dump.Value {
				v, _ = r.Resolve(v)
				o, _ := r.Object(v.Obj)
				return &o.Value
			},
		},
		{
			"map", func(c *capture.Config) { c.MaxMapEntries = 1 },
			map[string]int{"a": 1, "b": 2},
			"collection", dump.CollectionLimit,
			func(r *dump.Reader, v *dump.Value) *dump.Value {
				o, _ := r.Object(v.Obj)
				return &o.Value
			},
		},
		{
			"objects", func(c *capture.Config) { c.MaxObjects = 1 }, &tree{Up: &tree{Name: "b"}}, "objects", dump.ByteBudget,
			func(r *dump.Reader, v *dump.Value) *dump.Value {
				o, _ := r.Object(v.Obj)
				return &o.Value.Elems[2]
			},
		},
		{
			"bytes", func(c *capture.Config) { c.MaxBytes = 1; c.Goroutines = capture.ScopeFailing }, &tree{Up: &tree{Name: "b"}}, "bytes", dump.ByteBudget,
			func(r *dump.Reader, v *dump.Value) *dump.Value {
				o, _ := r.Object(v.Obj)
				if o.Value.Reason != dump.Whole {
					return &o.Value
				}
				o, _ = r.Object(o.Value.Elems[2].Obj)
				return &o.Value
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := engine(t, c.set)
			r, v := watch(t, e, c.v)
			got := c.find(r, v)
			if got.Reason != c.reason {
				t.Errorf("reason is %q, want %q: %+v", got.Reason, c.reason, got)
			}
			for _, b := range r.Header().Budgets {
				if b.Name == c.budget && b.Hits == 0 {
					t.Errorf("budget %s was not hit: %+v", b.Name, b)
				}
			}
			if c.name == "string" && string(got.Bytes) != long[:10] {
				t.Errorf("string is %q", got.Bytes)
			}
		})
	}
}

func TestPauseBudget(t *testing.T) {
	// A list too long to be walked in no time: phase one stops, phase two finishes late.
	first := &ring{}
	for last, i := first, 0; i < 100_000; i++ {
		last.next = &ring{n: i}
		last = last.next
	}
	e := engine(t, func(c *capture.Config) {
		c.Pause, c.Depth, c.Goroutines = time.Nanosecond, 200, capture.ScopeFailing
	})
	r, v := watch(t, e, first)
	o, err := r.Object(v.Obj)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Late || o.Value.Reason != dump.Whole {
		t.Errorf("an object read after the pause: late %v, reason %q", o.Late, o.Value.Reason)
	}
}

func TestRedaction(t *testing.T) {
	const secret = "hunter2hunter2"
	rd, err := redact.New(redact.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	e := engine(t, func(c *capture.Config) { c.Redactor = rd })
	type account struct {
		User     string
		Password string
		Raw      []byte
		Ptr      *string
		Headers  map[string]string
	}
	s := secret
	v := account{User: "ada", Password: secret, Raw: []byte("password=" + secret), Ptr: &s, Headers: map[string]string{"X-Api-Key": secret}}
	snap, err := e.Snapshot(capture.Event{
		Trigger: dump.TriggerErrorSpan, Err: fmt.Errorf("login with password=%s failed", secret),
		Watches: []capture.Watch{{Name: "account", Value: v}, {Name: "apiKey", Value: &s}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	h := &dump.Header{Description: "token=" + secret, SpanName: "password: " + secret, Resource: []dump.KeyValue{{Key: "db.password", Value: secret}}}
	if _, err := snap.Encode(context.Background(), &b, h, &dump.Extra{
		CommandLine: []string{"prog", "--password", secret}, SpanAttributes: []dump.KeyValue{{Key: "auth.token", Value: secret}},
	}); err != nil {
		t.Fatal(err)
	}
	r, err := dump.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	hdr := r.Header()
	fmt.Fprintf(&all, "%+v\n", hdr)
	x, err := r.Extra()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&all, "%+v\n", x)
	g, err := r.Failing()
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.Values {
		if g.Values[i].Name == "account" {
			all.WriteString(render(r, &g.Values[i].Value))
		}
	}
	// The test's own locals hold the secret under innocent names; the rest must not.
	for o, err := range r.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		if o.Value.Raw != nil {
			all.Write(o.Value.Raw)
		}
	}
	if strings.Contains(all.String(), secret) {
		t.Errorf("the secret is in the dump:\n%s", all.String())
	}
	if !strings.Contains(all.String(), "ada") {
		t.Error("what is no secret was redacted, too")
	}
	if len(hdr.Redactions) == 0 {
		t.Error("the header counts no redactions")
	}
}

type shape struct {
	name  string
	m     map[string][]int
	next  *shape
	any   any
	chans []chan int
}

// TestConcurrent captures while other goroutines change what is being captured.
func TestConcurrent(t *testing.T) {
	e := engine(t, nil)
	root := &shape{name: "root", m: map[string][]int{}, chans: []chan int{make(chan int, 8)}}
	var mu sync.Mutex // held by the writers only: the engine must not care
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				mu.Lock()
				root.m[fmt.Sprint(i%500)] = append(root.m[fmt.Sprint((i*7)%500)], i)
				if i%50 == 0 {
					clear(root.m)
				}
				root.next = &shape{name: fmt.Sprint(w, i), next: root.next}
				if i%20 == 0 {
					root.next = nil
				}
				switch i % 3 {
				case 0:
					root.any = i
				case 1:
					root.any = fmt.Sprint(i)
				default:
					root.any = &i
				}
				root.name = strings.Repeat("x", i%100)
				select {
				case root.chans[0] <- i:
				default:
					<-root.chans[0]
				}
				mu.Unlock()
				grow(i % 40)
			}
		})
	}
	for range 10 {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual, Watches: []capture.Watch{{Name: "root", Value: root}}})
				if err != nil {
					t.Error(err)
					return
				}
				encode(t, s, nil)
			})
		}
		wg.Wait()
	}
	stop.Store(true)
	wg.Wait()
}

// grow makes stacks grow and shrink.
//
//go:noinline
func grow(n int) int {
	var pad [256]int
	if n == 0 {
		return pad[0]
	}
	pad[n%256] = n
	return grow(n-1) + pad[n%256]
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []struct {
		set  func(*capture.Config)
		want string
	}{
		{func(c *capture.Config) { c.Depth = -1 }, "Depth"},
		{func(c *capture.Config) { c.MaxBytes = -1 }, "MaxBytes"},
		{func(c *capture.Config) { c.Goroutines = "some" }, "Goroutines"},
	} {
		cfg := capture.DefaultConfig()
		c.set(&cfg)
		if _, err := capture.New(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want one about %s", err, c.want)
		}
	}
}

func TestReleased(t *testing.T) {
	e := engine(t, nil)
	s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual})
	if err != nil {
		t.Fatal(err)
	}
	s.Release()
	s.Release()
	if _, err := s.Encode(context.Background(), io.Discard, &dump.Header{}, nil); err == nil {
		t.Error("a released snapshot was encoded")
	}
}

// TestColdStart captures before debug info is there: the stack is copied at once,
// and its variables are found later.
func TestColdStart(t *testing.T) {
	e := engine(t, nil)
	warm := e.Chill()
	s := coldSnapshot(t, e, "kept on the stack", &tree{Name: "on the heap"})
	warm()
	r := encode(t, s, nil)
	g, err := r.Failing()
	if err != nil {
		t.Fatal(err)
	}
	f := userFrames(g)[0]
	checkVars(t, r, f, map[string]string{"word": `"kept on the stack"`, "heap": `&{Name:"on the heap" Kids:nil Up:nil}`}, false)
	if f.Func != "github.com/otelcoredumpy/otelcoredumpy/capture_test.coldSnapshot" || len(f.Vars) < 3 {
		t.Errorf("%s has %d variables", f.Func, len(f.Vars))
	}
	late := 0
	for o, err := range r.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		if o.Late {
			late++
		}
	}
	if late == 0 {
		t.Error("what was read from the heap afterwards is not marked late")
	}
}

//go:noinline
func coldSnapshot(t *testing.T, e *capture.Engine, word string, heap *tree) *capture.Snapshot {
	s, err := e.Snapshot(capture.Event{Trigger: dump.TriggerManual})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(word, heap.Name) // keeps them alive
	return s
}
