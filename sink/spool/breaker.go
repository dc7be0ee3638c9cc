package spool

import (
	"math/rand/v2"
	"time"
)

// tripAfter is how many uploads in a row have to fail until the destination is
// left alone.
const tripAfter = 5

// breaker is the circuit breaker of the destination. It is guarded by Spool.mu.
type breaker struct {
	minPause, maxPause time.Duration

	fails int       // in a row
	trips int       // in a row, each doubles the pause
	until time.Time // nothing is tried before; zero: closed
	asked time.Time // of that, what the destination has asked for
	probe *flight   // the upload that tries whether the destination is back, if any
}

// may reports whether the background may begin an upload, and if not, when it may ask
// again; a zero time means after the next upload.
func (b *breaker) may(now time.Time) (ok bool, again time.Time) {
	switch {
	case b.until.IsZero():
		return true, time.Time{}
	case now.Before(b.until):
		return false, b.until
	}
	return b.probe == nil, time.Time{}
}

// begin notes that the background has begun an upload.
func (b *breaker) begin(fl *flight) {
	if !b.until.IsZero() {
		b.probe = fl
	}
}

// end notes that an upload ended, and reports whether it was the one that tries
// whether the destination is back. By itself this says nothing about the
// destination. Uploads of the foreground, and those that began before the pause,
// are not that one.
func (b *breaker) end(fl *flight) (probe bool) {
	probe = fl != nil && b.probe == fl
	if probe {
		b.probe = nil
	}
	return probe
}

// success notes that the destination has taken a dump, and reports whether that
// is news.
func (b *breaker) success() (back bool) {
	back = !b.until.IsZero()
	b.fails, b.trips, b.until, b.asked, b.probe = 0, 0, time.Time{}, time.Time{}, nil
	return back
}

// failure notes that an upload has failed and reports whether the destination is
// left alone from now on. fl is nil if the upload is not one of an item. retryAfter is the destination's own wish, limit bounds
// the pause that the breaker makes by itself.
func (b *breaker) failure(fl *flight, now time.Time, retryAfter, limit time.Duration) (opened bool) {
	b.fails++
	probe := b.end(fl)
	open := now.Before(b.until)
	var pause time.Duration
	if probe || b.fails >= tripAfter && !open && b.probe == nil {
		// Not full jitter: the destination gets its pause.
		longest := min(doubled(b.minPause, b.trips), b.maxPause, limit)
		pause = longest/2 + rand.N(longest/2+1)
		b.trips++
	}
	if retryAfter > 0 {
		// The others that were turned away do not come back at the same moment.
		wish := min(retryAfter, maxRetryAfter) + rand.N(b.minPause+1)
		if asked := now.Add(wish); asked.After(b.asked) {
			b.asked = asked
		}
		pause = max(pause, wish)
	}
	if pause <= 0 {
		return false
	}
	if until := now.Add(pause); until.After(b.until) {
		b.until = until
	}
	return !open
}

// hurry makes the pause end now, or when the destination wants to be asked again.
func (b *breaker) hurry(now time.Time) {
	if now.Before(b.until) {
		b.until = now
		if b.asked.After(now) {
			b.until = b.asked
		}
	}
}

// down reports whether the destination is left alone.
func (b *breaker) down() bool { return !b.until.IsZero() }

// doubled returns d times 2 to the n, or the largest duration.
func doubled(d time.Duration, n int) time.Duration {
	if n > 62 || d > (1<<62)>>n {
		return 1 << 62
	}
	return d << n
}

// backoff returns how long an item waits after its n-th failed upload: full
// jitter, so that what failed together does not come back together.
func backoff(least, most time.Duration, n int) time.Duration {
	return rand.N(min(doubled(least, n-1), most) + 1)
}
