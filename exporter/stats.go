package exporter

import (
	"maps"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Why a failure that should have had a dump got none. The strings are stable.
const (
	DropQueueFull = "queue_full"     // too many dumps waited to be written
	DropMemory    = "memory_full"    // the dumps that waited to be written held too much memory
	DropBusy      = "capture_busy"   // other captures were in phase one for too long, or too many failures waited for them
	DropCapture   = "capture_failed" // phase one failed
	DropShutdown  = "shutdown"       // Shutdown did not wait for it
	FailEncode    = "encode_failed"  // phase two failed
	FailSink      = "sink_failed"    // the store returned an error
	FailSinkPanic = "sink_panicked"  // the store panicked
	FailTimeout   = "timeout"        // phase two or storing took too long
	FailStuck     = "sink_stuck"     // not tried: earlier dumps are still blocked in the store
)

// Why a failure got no dump of its own although nothing went wrong. The strings
// are stable.
const (
	SuppressedSimilar = "similar"      // a failure like it had one within Config.Window
	SuppressedRate    = "rate_limited" // Config.PerFailure or Config.PerMinute was reached
	SuppressedSampled = "sampled_out"  // Config.Sample
)

// How dumps ended, on their own spans and in metrics.
const (
	outcomeStored    = "stored"    // the store has it
	outcomeSpooled   = "spooled"   // the spool has it, its destination not yet
	outcomeDelivered = "delivered" // its destination has it
	outcomeFailed    = "failed"
	outcomeDropped   = "dropped"
	outcomeExcluded  = "excluded"     // a reason: phase one has shown that the failure is excluded
	outcomeSame      = "same_failure" // a reason: phase one has shown that it is a known one
)

// maxStuck is how many dumps may be blocked in the engine or in the store.
const maxStuck = 4

// Stats counts what an [Exporter] did since it was made.
//
// Every failure that is seen, on each span, is counted once: in Stored, Lost,
// Suppressed, Joined or Excluded, or in Pending until its dump is stored or lost.
type Stats struct {
	// Stored counts the dumps that the store has accepted.
	Stored map[dump.Trigger]uint64
	// Lost counts the failures whose dump was not made or not stored, by
	// reason: one of the Drop and Fail constants. With FailTimeout the dump may be
	// in the store all the same: a Put that was left behind may still get there.
	Lost map[string]uint64
	// Suppressed counts the failures that got no dump of their own because there
	// were enough, by reason: one of the Suppressed constants.
	Suppressed map[string]uint64
	// Joined counts the spans, recorded errors and panics that were recognised
	// as part of a failure that was seen before.
	Joined uint64
	// Excluded counts the failures that the configuration excludes.
	Excluded uint64
	// Contained counts panics of otelcoredumpy's own code, or of a callback,
	// that were stopped.
	Contained uint64
	// Pending is how many dumps are neither stored nor lost yet.
	Pending int
	// PendingBytes is about how much memory they hold.
	PendingBytes int64
	// Bytes is how many bytes were stored.
	Bytes int64
	// LastPause and MaxPause are how long failing goroutines waited for phase one.
	LastPause, MaxPause time.Duration
	// Uploads counts the results that were handed to [Exporter.Delivered], by
	// outcome. Dumps of other processes that share a spool are among them.
	Uploads map[string]uint64
	// Redactions counts what was redacted in the dumps that were encoded, by rule.
	Redactions map[string]uint64
}

// tally is what is counted by two properties.
type tally struct {
	what    string // one of the count constants
	reason  string
	trigger dump.Trigger
}

const (
	countDump       = "dump"       // by outcome
	countLost       = "lost"       // by reason
	countSuppressed = "suppressed" // by reason
	countUpload     = "upload"     // by outcome
	countRedaction  = "redaction"  // by rule
)

// Reasons of countSuppressed besides the Suppressed constants.
const (
	countJoined   = "same_failure"
	countExcluded = "excluded"
)

// maxTallies bounds what comes from outside: outcomes of uploads, rules of
// redaction.
const maxTallies = 512

type counters struct {
	mu sync.Mutex
	m  map[tally]uint64
	s  Stats // what is not in m
	// also, if set, gets what is added to m.
	also func(n uint64, t tally)
}

func (c *counters) add(n uint64, t tally) {
	if also := c.addTo(n, &t); also != nil {
		also(n, t)
	}
}

func (c *counters) addTo(n uint64, t *tally) (also func(uint64, tally)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[tally]uint64)
	}
	if _, ok := c.m[*t]; !ok && len(c.m) >= maxTallies {
		t.reason = "other"
	}
	c.m[*t] += n
	return c.also
}

func (c *counters) lost(reason string, t dump.Trigger) { c.add(1, tally{countLost, reason, t}) }
func (c *counters) joined(t dump.Trigger)              { c.suppressed(countJoined, t) }
func (c *counters) excluded(t dump.Trigger)            { c.suppressed(countExcluded, t) }
func (c *counters) suppressed(reason string, t dump.Trigger) {
	c.add(1, tally{countSuppressed, reason, t})
}

func (c *counters) contained() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Contained++
}

func (c *counters) paused(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.LastPause, c.s.MaxPause = d, max(c.s.MaxPause, d)
}

// ended counts how a dump ended that was begun.
func (c *counters) ended(t dump.Trigger, res outcome) {
	c.add(1, tally{countDump, res.word(), t})
	if res.reason != "" {
		c.lost(res.reason, t)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Bytes += res.size
}

// tallies returns what was counted in m.
func (c *counters) tallies() map[tally]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.m)
}

// handOver returns what was counted in m. What is added from then on goes to also.
func (c *counters) handOver(also func(n uint64, t tally)) map[tally]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.also = also
	return maps.Clone(c.m)
}

// Stats returns the counts so far.
func (e *Exporter) Stats() Stats {
	if e = e.current(); e == nil {
		return Stats{}
	}
	c := &e.stats
	c.mu.Lock()
	out := c.s
	m := maps.Clone(c.m)
	c.mu.Unlock()
	out.Stored, out.Lost, out.Suppressed = make(map[dump.Trigger]uint64), make(map[string]uint64), make(map[string]uint64)
	out.Uploads, out.Redactions = make(map[string]uint64), make(map[string]uint64)
	for t, n := range m {
		switch {
		case t.what == countDump && t.reason == outcomeStored:
			out.Stored[t.trigger] += n
		case t.what == countLost:
			out.Lost[t.reason] += n
		case t.what == countSuppressed && t.reason == countJoined:
			out.Joined += n
		case t.what == countSuppressed && t.reason == countExcluded:
			out.Excluded += n
		case t.what == countSuppressed:
			out.Suppressed[t.reason] += n
		case t.what == countUpload:
			out.Uploads[t.reason] += n
		case t.what == countRedaction:
			out.Redactions[t.reason] += n
		}
	}
	out.Pending, out.PendingBytes = e.jobs.count(), e.held.Load()
	return out
}
