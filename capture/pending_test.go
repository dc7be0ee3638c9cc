package capture_test

import (
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

type pendingNode struct {
	next *pendingNode
	_    [2000]byte
}

// A storm of failures whose captures nobody has encoded yet must not fill the
// memory.
func TestPendingIsBounded(t *testing.T) {
	const maxBytes = 1 << 20
	e := engine(t, func(c *capture.Config) {
		c.MaxBytes, c.MaxPending, c.Goroutines, c.Depth = maxBytes, 3*maxBytes, capture.ScopeFailing, 200
	})
	var list *pendingNode
	for range 150 {
		list = &pendingNode{next: list}
	}
	take := func(dying bool) (*capture.Snapshot, error) {
		return e.Snapshot(capture.Event{Trigger: dump.TriggerManual, Dying: dying, Watches: []capture.Watch{{Name: "list", Value: list}}})
	}
	var held []*capture.Snapshot
	var bytes int64
	for {
		s, err := take(false)
		if err != nil {
			break
		}
		if s.Bytes() < 1000 {
			t.Fatalf("a snapshot holds %d bytes", s.Bytes())
		}
		bytes += s.Bytes()
		if held = append(held, s); len(held) > 10_000 {
			t.Fatal("there is no end to it")
		}
	}
	// The last one may go beyond the limit by what it did not count beforehand:
	// stacks and the list of objects.
	if len(held) < 3 || bytes > 5*maxBytes {
		t.Errorf("%d snapshots hold %d bytes, of %d", len(held), bytes, 3*maxBytes)
	}
	s, err := take(true)
	if err != nil {
		t.Fatalf("a dying process gets none: %v", err)
	}
	s.Release()
	for _, s := range held {
		s.Release()
		s.Release()
	}
	if s, err = take(false); err != nil {
		t.Fatalf("after all were released: %v", err)
	}
	encode(t, s, nil)
}
