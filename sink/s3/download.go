package s3

import (
	"context"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
)

// copyBuffer is how much of a body is read between two writes.
const copyBuffer = 256 << 10

// Downloader is what the Objects of this package are besides: a dump is copied
// as a whole faster than by ReadAt, because large ones come in several ranges
// at once, and without memory of their size.
type Downloader interface {
	// DownloadTo writes the whole dump to w, at offsets from 0 on, and returns
	// how many bytes it has written. Writes come from several goroutines and
	// in any order. After an error w may have gaps.
	DownloadTo(w io.WriterAt) (int64, error)
}

var _ Downloader = (*object)(nil)

// DownloadTo implements [Downloader]. What Open has read is not asked for again.
func (o *object) DownloadTo(w io.WriterAt) (int64, error) {
	if o.isClosed() {
		return 0, o.failed(fs.ErrClosed)
	}
	if err := o.ctx.Err(); err != nil {
		return 0, o.failed(err)
	}
	n, err := w.WriteAt(o.head, 0)
	if err != nil {
		return int64(n), err
	}
	written, err := o.downloadRest(w)
	if err != nil && o.isClosed() {
		err = o.failed(fs.ErrClosed)
	}
	return int64(n) + written, err
}

// downloadRest copies what lies behind the head in ranges of the size of parts.
func (o *object) downloadRest(w io.WriterAt) (int64, error) {
	base, partSize := int64(len(o.head)), o.sink.cfg.PartSize
	ranges := (o.size - base + partSize - 1) / partSize
	ctx, cancel := context.WithCancelCause(o.ctx)
	defer cancel(nil)
	var next, written atomic.Int64
	var workers sync.WaitGroup
	for range min(int64(o.sink.cfg.Concurrency), ranges) {
		workers.Go(func() {
			buf := make([]byte, min(copyBuffer, o.size-base))
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= ranges {
					return
				}
				select {
				case o.sink.ranges <- struct{}{}:
				case <-ctx.Done():
					return
				}
				from := base + i*partSize
				n, err := o.downloadRange(ctx, w, from, min(partSize, o.size-from), buf)
				<-o.sink.ranges
				written.Add(n)
				if err != nil {
					cancel(err) // the first one is the cause, the others follow from it
					return
				}
			}
		})
	}
	workers.Wait()
	return written.Load(), context.Cause(ctx)
}

// downloadRange copies one range.
func (o *object) downloadRange(ctx context.Context, w io.WriterAt, from, n int64, buf []byte) (int64, error) {
	var failed error // of w
	got, err := o.sink.resume(ctx, o.key, from, n, func(r io.Reader, from, left, _ int64) (int64, error) {
		to := &errorWriter{w: io.NewOffsetWriter(w, from)}
		got, err := io.CopyBuffer(to, io.LimitReader(r, left), buf)
		if err == nil && got < left {
			err = io.ErrUnexpectedEOF
		}
		failed = to.err
		return got, err
	})
	switch {
	case failed != nil:
		return got, failed
	case err == nil && got < n:
		err = io.ErrUnexpectedEOF // shorter than it was when it was opened
	}
	if err != nil {
		err = o.failed(err)
	}
	return got, err
}

// errorWriter remembers its own error, so that it can be told from the
// reader's.
type errorWriter struct {
	w   io.Writer
	err error
}

func (e *errorWriter) Write(p []byte) (int, error) {
	n, err := e.w.Write(p)
	if err != nil {
		e.err = err
	}
	return n, err
}
