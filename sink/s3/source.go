package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// guardedSource reads a Source for the bodies of requests. The HTTP client may
// go on reading a body after it has returned an error, but the caller of Put
// may take the source away then; so stop waits for reads under way and lets no
// other begin.
type guardedSource struct {
	ctx context.Context // of the Put; the SDK reads a body for its hash without a look at it
	src sink.Source

	reading sync.RWMutex // held for reading while the source is read
	stopped bool

	mu      sync.Mutex
	failure error // the first
}

// ReadAt reads the source, and turns an end before the size that it promised
// into an error: a body that is too short would be stored as it is.
func (g *guardedSource) ReadAt(p []byte, off int64) (int, error) {
	g.reading.RLock()
	defer g.reading.RUnlock()
	if g.stopped {
		return 0, errors.New("the upload has ended")
	}
	if err := g.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := g.src.ReadAt(p, off)
	if n == len(p) {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	err = fmt.Errorf("%d bytes at %d: %w", len(p), off, err)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failure == nil {
		g.failure = err
	}
	return n, err
}

func (g *guardedSource) stop() {
	g.reading.Lock()
	defer g.reading.Unlock()
	g.stopped = true
}

func (g *guardedSource) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failure
}
