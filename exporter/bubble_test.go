package exporter

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/otelcoredumpy/otelcoredumpy/internal/bubble"
)

// A service's tests may run in bubbles of testing/synctest while the exporter was
// installed outside. The runtime ends the program when a channel or timer of a bubble is
// touched from outside it, so that this test has nothing to check but that it ends, and
// that there are dumps.
func TestFailuresInBubbles(t *testing.T) {
	h := newHarness(t, nil)
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			if !bubble.Here() {
				t.Error("a bubble is not taken for one")
			}
			_, s := h.tracer.Start(context.Background(), "error")
			fail(s, errLeaf, "")
			func() {
				defer func() { _ = recover() }()
				_, s := h.tracer.Start(context.Background(), "panic")
				defer s.End()
				panic("in a bubble")
			}()
		})
		h.flush()
	}
	if bubble.Here() {
		t.Error("everything is taken for a bubble")
	}
	h.wantDumps(6)
	_, s := h.tracer.Start(context.Background(), "outside")
	fail(s, errLeaf, "")
	h.wantDumps(7)
}
