package spool

import (
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	b := breaker{minPause: time.Second, maxPause: time.Minute}
	const none = time.Duration(1 << 62)
	fl := new(flight)
	want := func(what string, ok bool) {
		t.Helper()
		if got, _ := b.may(now); got != ok {
			t.Errorf("%s: an upload may begin: %t, want %t (%+v)", what, got, ok, b)
		}
	}
	want("new", true)
	for n := range tripAfter {
		want("closed", true)
		b.begin(fl)
		if opened := b.failure(fl, now, 0, none); opened != (n == tripAfter-1) {
			t.Errorf("after %d failures it opens: %t", n+1, opened)
		}
	}
	want("open", false)
	// Those that were under way when it opened change nothing.
	until := b.until
	if b.failure(new(flight), now, 0, none) || !b.until.Equal(until) {
		t.Errorf("an upload that was under way: %+v", b)
	}
	// Each probe that fails makes the pause longer, up to the longest.
	last := time.Duration(0)
	for range 20 {
		pause := b.until.Sub(now)
		if pause < last/2 || pause > time.Minute {
			t.Errorf("a pause of %v after one of %v", pause, last)
		}
		last = pause
		now = b.until
		want("half open", true)
		b.begin(fl)
		want("while one tries", false)
		// Others end meanwhile.
		b.end(nil)
		b.end(new(flight))
		if b.failure(nil, now, 0, none) || b.failure(new(flight), now, 0, none) {
			t.Error("it opens although the probe has not ended")
		}
		want("while one still tries", false)
		if !b.failure(fl, now, 0, none) {
			t.Error("a probe that fails does not open it")
		}
		want("open", false)
	}
	if last < 30*time.Second {
		t.Errorf("the pause has grown to %v only", last)
	}
	now = b.until
	b.begin(fl)
	b.end(fl) // it was not the destination
	want("after a probe that tells nothing", true)
	b.begin(fl)
	if !b.success() || b.success() {
		t.Error("that it is back is news once")
	}
	want("closed", true)

	// What the destination asks for opens it at once, and a probe that fails
	// then opens it again.
	if !b.failure(fl, now, time.Hour, none) || b.until.Sub(now) < time.Hour {
		t.Errorf("it was asked to wait for an hour: %+v", b)
	}
	b.hurry(now)
	want("in a hurry, but asked to wait", false)
	now = b.until
	b.begin(fl)
	if !b.failure(fl, now, 0, none) || !b.until.After(now) {
		t.Errorf("a probe has failed: %+v", b)
	}
	b.hurry(now)
	want("in a hurry", true)

	if d := doubled(time.Second, 3); d != 8*time.Second {
		t.Errorf("doubled: %v", d)
	}
	for _, n := range []int{40, 62, 63, 1000} {
		if d := doubled(time.Second, n); d != 1<<62 {
			t.Errorf("doubled %d times: %v", n, d)
		}
	}
}
