package exporter

import "github.com/otelcoredumpy/otelcoredumpy/internal/bubble"

// newDone makes a channel that a goroutine of ours may close: outside of bubbles (see
// package bubble), even if the failing goroutine is in one.
func (e *Exporter) newDone() chan struct{} {
	if !bubble.Here() {
		return make(chan struct{})
	}
	select {
	case c := <-e.dones:
		return c
	case <-e.stop:
		return make(chan struct{})
	}
}

// makeDones makes them for those in bubbles.
func (e *Exporter) makeDones() {
	for {
		select {
		case e.dones <- make(chan struct{}):
		case <-e.stop:
			return
		}
	}
}
