package route_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/memory"
	"github.com/otelcoredumpy/otelcoredumpy/sink/route"
)

// The marks of package sink that a route relies on.
func TestMarks(t *testing.T) {
	later := func(d time.Duration) error { return sink.WithRetryAfter(errDown, d) }
	for name, err := range map[string]error{
		"WithPartial":     sink.WithPartial(nil),
		"LimitRetryAfter": sink.LimitRetryAfter(nil, time.Second),
	} {
		if err != nil {
			t.Errorf("%s(nil) is %v", name, err)
		}
	}
	part := sink.WithPartial(errDown)
	for _, c := range []struct {
		err     error
		partial bool
		after   time.Duration
	}{
		{nil, false, 0},
		{errDown, false, 0},
		{part, true, 0},
		{fmt.Errorf("storing: %w", part), true, 0},
		{sink.Permanent(part), true, 0},
		{errors.Join(part, part), true, 0},
		{errors.Join(part, errDown), false, 0},
		{errors.Join(errDown, part), false, 0},
		{sink.WithPartial(errors.Join(errDown, part)), true, 0},
		{sink.WithPartial(later(time.Hour)), true, time.Hour},
		{sink.WithRetryAfter(part, time.Hour), true, time.Hour},
		{sink.LimitRetryAfter(part, time.Hour), true, 0},
		{sink.LimitRetryAfter(later(time.Hour), time.Minute), false, time.Minute},
		{sink.LimitRetryAfter(later(time.Second), time.Minute), false, time.Second},
		{sink.LimitRetryAfter(later(time.Hour), 0), false, 0},
		{sink.LimitRetryAfter(later(time.Hour), -time.Second), false, 0},
		{sink.LimitRetryAfter(fmt.Errorf("x: %w", errors.Join(errDown, later(time.Hour))), time.Minute), false, time.Minute},
		{fmt.Errorf("x: %w", sink.LimitRetryAfter(later(time.Hour), time.Minute)), false, time.Minute},
		{errors.Join(sink.LimitRetryAfter(later(time.Hour), time.Minute), later(time.Second)), false, time.Minute},
		{errors.Join(sink.LimitRetryAfter(later(time.Hour), time.Minute), later(2*time.Minute)), false, 2 * time.Minute},
		{sink.WithRetryAfter(sink.LimitRetryAfter(later(time.Hour), time.Minute), 2*time.Minute), false, 2 * time.Minute},
		{sink.LimitRetryAfter(sink.LimitRetryAfter(later(time.Hour), 2*time.Minute), time.Minute), false, time.Minute},
	} {
		if got := sink.IsPartial(c.err); got != c.partial {
			t.Errorf("%#v: partial %t", c.err, got)
		}
		if got := sink.RetryAfter(c.err); got != c.after {
			t.Errorf("%#v: retry after %v, want %v", c.err, got, c.after)
		}
		if c.err != nil && !errors.Is(c.err, errDown) {
			t.Errorf("%#v does not wrap the cause", c.err)
		}
	}
	if err := sink.LimitRetryAfter(part, 0); err.Error() != errDown.Error() {
		t.Errorf("the text became %q", err)
	}
}

// A part of the stores that is down does not pass for all of them.
func TestPartial(t *testing.T) {
	a, b, c := newFake("a"), newFake("b"), newFake("c")
	byTrigger := route.ByTrigger(b, map[dump.Trigger]sink.Sink{dump.TriggerTest: c})
	triggered := func(s sink.Sink, trigger dump.Trigger) error {
		id := newID()
		return s.Put(t.Context(), id, bytes.NewReader(dumpOf(t, &dump.Header{Identity: id, Trigger: trigger})))
	}
	for _, x := range []struct {
		name    string
		s       sink.Sink
		trigger dump.Trigger
		a, b, c error
		partial bool
	}{
		{"fanout, all down", route.Fanout(a, b, c), "", errDown, errDown, errDown, false},
		{"fanout, the primary down", route.Fanout(a, b, c), "", errDown, nil, nil, true},
		{"fanout, another down", route.Fanout(a, b, c), "", nil, nil, errDown, true},
		{"fanout, one takes it", route.Fanout(a, b, c), "", errDown, nil, errDown, true},
		{"fanout, permanent and down", route.Fanout(a, b), "", errDown, errLarge, nil, false},
		{"fanout, permanent", route.Fanout(a, b), "", nil, errLarge, nil, true},
		{"by trigger, the route down", byTrigger, dump.TriggerTest, nil, nil, errDown, true},
		{"by trigger, the default down", byTrigger, "", nil, errDown, nil, true},
		{"no routes", route.ByTrigger(a, nil), "", errDown, nil, nil, false},
		{"both in fanout", route.Fanout(a, byTrigger), "", errDown, errDown, nil, false},
		{"only the route in fanout", route.Fanout(a, byTrigger), "", nil, errDown, nil, true},
		{"fanout behind a route", route.ByTrigger(c, map[dump.Trigger]sink.Sink{dump.TriggerTest: route.Fanout(a, b)}), dump.TriggerTest, errDown, errDown, nil, true},
		{"fallback", route.Fallback(a, b, time.Hour), "", errDown, nil, nil, false},
		{"fallback, both down", route.Fallback(a, b, 0), "", errDown, errDown, nil, false},
		{"fallback of a part", route.Fallback(byTrigger, a, time.Hour), "", nil, errDown, nil, true},
	} {
		for _, wish := range []time.Duration{0, time.Minute} {
			for s, err := range map[*fake]error{a: x.a, b: x.b, c: x.c} {
				s.fail(sink.WithRetryAfter(err, wish))
			}
			err := triggered(x.s, x.trigger)
			if err == nil || sink.IsPartial(err) != x.partial {
				t.Errorf("%s: %v, partial %t", x.name, err, sink.IsPartial(err))
			}
			if got := sink.RetryAfter(err); got != wish {
				t.Errorf("%s: retry after %v, want %v", x.name, got, wish)
			}
			if want := x.name == "fanout, permanent"; sink.IsPermanent(err) != want {
				t.Errorf("%s: permanent %t", x.name, !want)
			}
		}
	}
}

// A store that ends the goroutine that it is called on has not stored anything,
// and does not end the caller's.
func TestGoexit(t *testing.T) {
	for ending := range 2 {
		stores := []*fake{newFake("a"), newFake("b")}
		stores[ending].hook = func(context.Context) error {
			runtime.Goexit()
			return nil
		}
		s, id := route.Fanout(stores[0], stores[1]), newID()
		ended := true
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			err = s.Put(t.Context(), id, content())
			ended = false
		}()
		<-done
		if ended {
			t.Fatalf("store %d has ended the caller's goroutine", ending)
		}
		if err == nil || !strings.Contains(err.Error(), stores[ending].String()+": the store ended its goroutine") {
			t.Errorf("store %d: error %v", ending, err)
		}
		if _, tail, _ := strings.Cut(fmt.Sprint(err), "it is stored in"); strings.Contains(tail, stores[ending].String()) {
			t.Errorf("store %d: %v", ending, err)
		}
		if !sink.IsPartial(err) || sink.IsPermanent(err) {
			t.Errorf("store %d: partial %t, permanent %t", ending, sink.IsPartial(err), sink.IsPermanent(err))
		}
		wantIn(t, id, map[*fake]bool{stores[1-ending]: true, stores[ending]: false})
	}
}

// Of stores that cannot be compared, too, the error says which have the dump.
func TestFanoutUncomparable(t *testing.T) {
	bad := newFake("bad")
	bad.fail(errDown)
	good := memory.New("good")
	err := route.Fanout(uncomparable{Sink: good}, uncomparable{Sink: bad}).Put(t.Context(), newID(), content())
	if err == nil || !strings.HasSuffix(err.Error(), "(it is stored in "+good.String()+")") {
		t.Errorf("error %v", err)
	}
	bad2 := newFake("bad 2")
	bad2.fail(errDown)
	err = route.Fanout(uncomparable{Sink: bad}, uncomparable{Sink: bad2}).Put(t.Context(), newID(), content())
	if err == nil || strings.Contains(err.Error(), "stored in") || sink.IsPartial(err) {
		t.Errorf("error %v, partial %t", err, sink.IsPartial(err))
	}
}
