package exporter

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// When much fails at once it is mostly the same over and over again. The first
// failure of a kind gets a dump, those that come within Config.Window refer to
// it, and two token buckets bound how many dumps there are at all.
//
// A panic that is about to end the process, and a dump that the program asks for,
// never come here.

// maxFamilies is how many kinds of failures are told apart. When there are
// more, the one that was not seen for longest is forgotten.
const maxFamilies = 4096

// families knows the kinds of failures of the recent past, by their
// fingerprints.
type families struct {
	window  time.Duration // 0: off
	each    limit         // dumps of one family
	all     limit         // dumps of all of them
	mu      sync.Mutex
	m       map[fingerprint]*family
	overall bucket
	ring    family // the most recently seen is ring.next
	max     int
}

// family are failures that are alike.
type family struct {
	print      fingerprint
	prev, next *family // by when it was seen

	bucket bucket
	// pending is what the dump under way will be, nil if none is or if that is not
	// certain enough yet to tell anybody.
	pending *record
	capture bool // a dump is under way
	// latest is the latest dump; nil if there is none.
	latest *given
	// excluded is when it was found out that the configuration excludes them,
	// which of a panic is sometimes known after phase one only.
	excluded time.Time
	// missed counts those without a dump of their own since then.
	missed uint64
	since  time.Time
}

// given is a dump as it is given to failures that are like its own.
type given struct {
	rec   *record
	ref   Ref
	attrs []attribute.KeyValue
	link  trace.SpanContext
	where dump.Location
	at    time.Time
	// missed and since are those of its admission.
	missed uint64
	since  time.Time
}

func newGiven(rec *record, where dump.Location, at time.Time) *given {
	return &given{
		rec: rec, ref: rec.ref, link: rec.link, where: where, at: at,
		attrs: append(rec.ref.Attributes(), AttrDumpSimilar.Bool(true)),
	}
}

func newFamilies(cfg *Config) *families {
	s := &families{
		window: max(cfg.Window, 0), max: maxFamilies,
		each: newLimit(cfg.PerFailure, time.Hour, 4), all: newLimit(cfg.PerMinute, time.Minute, 3),
		m: make(map[fingerprint]*family),
	}
	s.ring.prev, s.ring.next = &s.ring, &s.ring
	return s
}

// verdict is what becomes of a failure.
type verdict uint8

const (
	verdictDump     verdict = iota // it gets a dump
	verdictSimilar                 // there is a dump of another one like it
	verdictLimited                 // there are too many dumps
	verdictExcluded                // the configuration excludes it
)

// admission is the answer to whether a failure gets a dump.
type admission struct {
	verdict verdict
	// family is set if it does; done must be called on it.
	family *family
	missed uint64    // how many like it had none …
	since  time.Time // … since then
	// given is the dump of another one that takes the place of its own, nil if
	// there is none; pending is the same if it is under way.
	given   *given
	pending *record
	// full: it is the limit of all failures that is reached.
	full bool
}

// admit decides about a failure that was seen now.
func (s *families) admit(p fingerprint, now time.Time) admission {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.see(p)
	switch {
	case s.window == 0:
	case f.capture:
		f.miss(now)
		if f.pending != nil {
			f.pending.told.Store(true)
		}
		return admission{verdict: verdictSimilar, pending: f.pending}
	case f.latest != nil && now.Sub(f.latest.at) < s.window:
		f.miss(now)
		return admission{verdict: verdictSimilar, given: f.latest}
	case !f.excluded.IsZero() && now.Sub(f.excluded) < s.window:
		return admission{verdict: verdictExcluded}
	}
	each, all := f.bucket.has(now, s.each), s.overall.has(now, s.all)
	if !each || !all {
		f.miss(now)
		return admission{verdict: verdictLimited, given: f.latest, full: !all}
	}
	f.bucket.tokens--
	s.overall.tokens--
	a := admission{verdict: verdictDump, family: f, missed: f.missed, since: f.since}
	f.capture, f.missed, f.since = true, 0, time.Time{}
	return a
}

func (f *family) miss(now time.Time) {
	if f.missed == 0 && f.since.IsZero() {
		f.since = now
		if f.latest != nil {
			f.since = f.latest.at
		}
	}
	f.missed++
}

// see returns the family with the fingerprint and moves it to the front.
func (s *families) see(p fingerprint) *family {
	f := s.m[p]
	if f != nil {
		f.prev.next, f.next.prev = f.next, f.prev
	} else {
		if len(s.m) >= s.max {
			last := s.ring.prev
			last.prev.next, last.next.prev = last.next, last.prev
			delete(s.m, last.print)
		}
		f = &family{print: p}
		s.m[p] = f
	}
	f.prev, f.next = &s.ring, s.ring.next
	f.prev.next, f.next.prev = f, f
	return f
}

// promise tells which dump is under way.
func (s *families) promise(f *family, rec *record) {
	if f == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.pending = rec
}

// ending is how a capture ended.
type ending uint8

const (
	endDump     ending = iota // there is a dump
	endExcluded               // phase one has shown that it is excluded
	endFailed                 // there is none, nor does that say anything of others
	endIdle                   // there is none, and phase one was not begun
)

// done says how the capture ended that a was the admission to. The dump is g,
// nil if there is none.
func (s *families) done(a *admission, end ending, g *given, now time.Time) {
	f := a.family
	if f == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.capture, f.pending = false, nil
	if end == endDump && g.rec != nil && g.rec.lost.Load() { // meanwhile; lost will not be called any more
		end = endFailed
	}
	switch end {
	case endDump:
		g.missed, g.since = a.missed, a.since
		f.latest = g
		return
	case endExcluded:
		f.excluded = now
	case endIdle:
		f.bucket.tokens++
		s.overall.tokens++
	}
	f.untold(a.missed, a.since)
}

// untold counts failures again that a dump would have told of.
func (f *family) untold(missed uint64, since time.Time) {
	if missed > 0 {
		f.missed += missed
		f.since = since
	}
}

// lost says that a dump is lost. The next failure may have one of each kind that
// referred to it, which may be several: a dump of a failure that changed
// on its way up is that of both kinds.
func (s *families) lost(id dump.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.m {
		if g := f.latest; g != nil && g.ref.ID == id {
			f.latest = nil
			f.untold(g.missed, g.since)
		}
	}
}

// missed returns how many failures like that of the dump had none of their
// own since.
func (s *families) missed(f *family, id dump.ID) uint64 {
	if f == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.latest == nil || f.latest.ref.ID != id {
		return 0
	}
	return f.missed
}

// size returns how many families are remembered.
func (s *families) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.m)
}

// limit is how many tokens a bucket gets.
type limit struct {
	rate  float64 // a second; 0: no limit
	burst float64
}

// newLimit allows n each period, of which a part may come at once: the given
// fraction, but at least three.
func newLimit(n int, period time.Duration, fraction int) limit {
	if n <= 0 {
		return limit{}
	}
	return limit{rate: float64(n) / period.Seconds(), burst: float64(min(n, max(n/fraction, 3)))}
}

// bucket is a token bucket. The zero bucket is full.
type bucket struct {
	tokens float64
	at     time.Time
}

// has reports whether there is a token.
func (b *bucket) has(now time.Time, l limit) bool {
	if l.rate == 0 {
		return true
	}
	if b.at.IsZero() {
		b.tokens = l.burst
	} else if d := now.Sub(b.at).Seconds(); d > 0 {
		b.tokens = min(b.tokens+d*l.rate, l.burst)
	} else {
		now = b.at // another goroutine looked at the clock later
	}
	b.at = now
	return b.tokens >= 1
}
