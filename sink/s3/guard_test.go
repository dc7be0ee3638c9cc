package s3

import (
	"bytes"
	"sync/atomic"
	"testing"
)

// slowSource tells when it is being read, and waits.
type slowSource struct {
	*bytes.Reader
	entered, goOn chan struct{}
	reading       atomic.Bool
}

func (s *slowSource) ReadAt(p []byte, off int64) (int, error) {
	s.reading.Store(true)
	defer s.reading.Store(false)
	close(s.entered)
	<-s.goOn
	return s.Reader.ReadAt(p, off)
}

func TestGuardStops(t *testing.T) {
	for range 100 {
		src := &slowSource{Reader: bytes.NewReader([]byte("dump")), entered: make(chan struct{}), goOn: make(chan struct{})}
		g := &guardedSource{ctx: t.Context(), src: src}
		read := make(chan error, 1)
		go func() {
			_, err := g.ReadAt(make([]byte, 4), 0)
			read <- err
		}()
		<-src.entered
		go close(src.goOn)
		g.stop()
		if src.reading.Load() {
			t.Fatal("stop has not waited for the read under way")
		}
		if err := <-read; err != nil {
			t.Fatalf("the read under way: %v", err)
		}
		// A second read of the source would panic, its channel being closed.
		if n, err := g.ReadAt(make([]byte, 4), 0); n != 0 || err == nil {
			t.Fatalf("a read after stop: %d, %v", n, err)
		}
		if err := g.err(); err != nil {
			t.Fatalf("the source is blamed: %v", err)
		}
	}
}
