package exporter

import (
	"maps"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Why a failure got no dump. The strings are stable.
const (
	DropQueueFull  = "queue_full"     // too many dumps waited for phase two
	DropBusy       = "capture_busy"   // another capture was in phase one for too long
	DropCapture    = "capture_failed" // phase one failed
	DropShutdown   = "shutdown"       // Shutdown did not wait for it
	FailEncode     = "encode_failed"  // phase two failed
	FailSink       = "sink_failed"    // the store returned an error
	FailSinkPanic  = "sink_panicked"  // the store panicked
	FailTimeout    = "timeout"        // phase two and storing took too long
	FailStuck      = "sink_stuck"     // not tried: earlier dumps are still blocked in the store
	maxStuck       = 4                // how many may be blocked before that
	outcomeStored  = "stored"
	outcomeDropped = "dropped"
	outcomeFailed  = "failed"
)

// Stats counts what an [Exporter] did since it was made.
type Stats struct {
	// Stored counts the dumps that were stored.
	Stored map[dump.Trigger]uint64
	// Lost counts the failures whose dump was not made or not stored, by
	// reason: one of the Drop and Fail constants.
	Lost map[string]uint64
	// Joined counts the spans that were recognised as part of a failure that
	// had a dump already.
	Joined uint64
	// Excluded counts the failures that the configuration excludes.
	Excluded uint64
	// Contained counts panics of otelcoredumpy's own code, or of a callback,
	// that were stopped.
	Contained uint64
	// Pending is how many dumps are neither stored nor lost yet.
	Pending int
	// Bytes is how many bytes were stored.
	Bytes int64
	// LastPause and MaxPause are how long failing goroutines waited for phase one.
	LastPause, MaxPause time.Duration
}

type counters struct {
	mu sync.Mutex
	s  Stats
}

func (c *counters) update(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.Stored == nil {
		c.s.Stored, c.s.Lost = make(map[dump.Trigger]uint64), make(map[string]uint64)
	}
	f(&c.s)
}

func (c *counters) lost(reason string) { c.update(func(s *Stats) { s.Lost[reason]++ }) }
func (c *counters) joined()            { c.update(func(s *Stats) { s.Joined++ }) }
func (c *counters) excluded()          { c.update(func(s *Stats) { s.Excluded++ }) }
func (c *counters) contained()         { c.update(func(s *Stats) { s.Contained++ }) }

func (c *counters) paused(d time.Duration) {
	c.update(func(s *Stats) { s.LastPause, s.MaxPause = d, max(s.MaxPause, d) })
}

func (c *counters) stored(t dump.Trigger, size int64) {
	c.update(func(s *Stats) { s.Stored[t]++; s.Bytes += size })
}

// Stats returns the counts so far.
func (e *Exporter) Stats() Stats {
	if e = e.current(); e == nil {
		return Stats{}
	}
	var out Stats
	e.stats.update(func(s *Stats) {
		out = *s
		out.Stored, out.Lost = maps.Clone(s.Stored), maps.Clone(s.Lost)
	})
	out.Pending = e.jobs.count()
	return out
}
