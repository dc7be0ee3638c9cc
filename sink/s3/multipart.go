package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	// abortTimeout is how long parts are being taken away after a failure.
	abortTimeout = 10 * time.Second

	// lateAbortTimeout is the same after the caller's context has ended. It goes
	// on in the background then.
	lateAbortTimeout = 4 * time.Second

	// lateAbortWait is how long a Put waits for that. Its callers want it back
	// soon after its context has ended.
	lateAbortWait = 150 * time.Millisecond

	// maxLateAborts is how many of them there are at the same time. The parts
	// of more are left to the bucket's lifecycle rules.
	maxLateAborts = 8
)

// multipart is an upload in parts.
type multipart struct {
	sink     *Sink
	key      string
	id       *string
	size     int64
	partSize int64
	parts    []types.CompletedPart
	checksum types.ChecksumAlgorithm // "": none but the signature's
}

// uploadParts stores a dump in parts, unless it is there. Nobody sees a part:
// the store makes an object of them in one step. After a failure they are taken
// away.
func (s *Sink) uploadParts(ctx context.Context, key string, src io.ReaderAt, size int64) error {
	// The condition of the last step would say the same, but only after all
	// parts went up; and there are stores that pass over it. Who may only write
	// is told 403 here.
	err := s.head(ctx, key)
	if err == nil {
		return nil
	}
	if status, _ := response(err); status == 0 || status >= http.StatusInternalServerError {
		return s.explain(ctx, err, mayRead)
	}
	u, err := s.beginParts(ctx, key, size)
	if err != nil {
		return err
	}
	err = u.send(ctx, src)
	thereBefore := false
	if err == nil {
		if thereBefore, err = u.complete(ctx); err == nil && !thereBefore {
			return nil
		}
	}
	aerr := u.abort(ctx)
	if aerr != nil && err != nil {
		err = fmt.Errorf("%w; and the parts that were sent may still be there: %v", err, aerr) //nolint:errorlint // of what came first
	}
	return err
}

func (s *Sink) beginParts(ctx context.Context, key string, size int64) (*multipart, error) {
	u := &multipart{sink: s, key: key, size: size, partSize: partSize(s.cfg.PartSize, size)}
	u.parts = make([]types.CompletedPart, (size+u.partSize-1)/u.partSize)
	if s.client.Options().RequestChecksumCalculation == aws.RequestChecksumCalculationWhenSupported {
		// The SDK adds this one to the parts, so the whole has to have it too.
		u.checksum = types.ChecksumAlgorithmCrc32
	}
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket:               s.bucket(),
		Key:                  s.key(key),
		ContentType:          aws.String(ContentType),
		StorageClass:         types.StorageClass(s.cfg.StorageClass),
		ServerSideEncryption: types.ServerSideEncryption(s.cfg.SSE),
		SSEKMSKeyId:          optional(s.cfg.KMSKeyID),
		Tagging:              optional(s.tagging),
		ChecksumAlgorithm:    u.checksum,
	})
	if err != nil {
		return nil, s.explain(ctx, err, mayWrite)
	}
	u.id = out.UploadId
	return u, nil
}

// partSize returns the size of the parts of an object: the wanted one, or as
// much more in whole MiB as it takes to have no more parts than S3 allows.
func partSize(want, size int64) int64 {
	const step = 1 << 20
	if least := (size + maxParts - 1) / maxParts; least > want {
		return (least + step - 1) / step * step
	}
	return want
}

// send sends all parts, several at a time. After a failure it begins no other
// part, but lets those that are under way come to their end: a part that
// arrives while the upload is being taken away may stay. No request is under way
// when send returns.
func (u *multipart) send(ctx context.Context, src io.ReaderAt) error {
	var next atomic.Int64
	var failed atomic.Bool
	var workers sync.WaitGroup
	errs := make([]error, min(u.sink.cfg.Concurrency, len(u.parts)))
	for w := range errs {
		workers.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(u.parts) {
					return
				}
				if err := u.sendPart(ctx, src, i); err != nil {
					errs[w] = err
					failed.Store(true)
					return
				}
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return err // several mostly say the same
		}
	}
	return nil
}

func (u *multipart) sendPart(ctx context.Context, src io.ReaderAt, i int) error {
	from := int64(i) * u.partSize
	n := min(u.partSize, u.size-from)
	number := aws.Int32(int32(i + 1))
	out, err := u.sink.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket:            u.sink.bucket(),
		Key:               u.sink.key(u.key),
		UploadId:          u.id,
		PartNumber:        number,
		Body:              io.NewSectionReader(src, from, n),
		ContentLength:     aws.Int64(n),
		ChecksumAlgorithm: u.checksum,
	})
	if err != nil {
		return u.sink.explain(ctx, err, mayWrite)
	}
	u.parts[i] = types.CompletedPart{PartNumber: number, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}
	return nil
}

// complete makes an object of the parts. It reports whether there was one
// already, or is one now that may be somebody else's: then the parts may still
// be there.
func (u *multipart) complete(ctx context.Context) (thereBefore bool, err error) {
	s := u.sink
	conditional := !s.unconditional.Load() && !s.unconditionalComplete.Load()
	input := &s3.CompleteMultipartUploadInput{
		Bucket:          s.bucket(),
		Key:             s.key(u.key),
		UploadId:        u.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	}
	if conditional {
		input.IfNoneMatch = aws.String("*")
	}
	_, err = s.client.CompleteMultipartUpload(ctx, input)
	if conditional && errorCode(err) == "NotImplemented" {
		// See upload. There are stores that know the condition there and not
		// here.
		conditional = false
		input.IfNoneMatch = nil
		if _, err = s.client.CompleteMultipartUpload(ctx, input); err == nil {
			s.unconditionalComplete.Store(true)
		}
	}
	switch code := errorCode(err); {
	case err == nil:
		return false, nil
	case conditional && isPreconditionFailed(err):
		err = s.thereBefore(ctx, u.key, err)
		return err == nil, err
	case (code == "NoSuchUpload" || code == "ConditionalRequestConflict" || isBroken(err)) && s.exists(ctx, u.key):
		// The answer to the first attempt was lost, or another Put of the same
		// dump was quicker.
		return true, nil
	}
	return false, s.explain(ctx, err, mayWrite)
}

// abort takes the parts away, also when the caller's context has ended: then in
// the background if it takes long. What it cannot take away is left to the bucket's
// lifecycle rules.
func (u *multipart) abort(ctx context.Context) error {
	if ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, abortTimeout)
		err := u.abortOnce(limited)
		cancel()
		if ctx.Err() == nil {
			return err
		}
	}
	timer := time.NewTimer(u.sink.lateWait)
	defer timer.Stop()
	if !u.sink.late.begin(timer.C) {
		return errors.New("too many are being taken away already")
	}
	result := make(chan error, 1)
	go func() {
		defer u.sink.late.end()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateAbortTimeout)
		defer cancel()
		var err error
		defer func() {
			if r := recover(); r != nil { // of an HTTP client that is not ours
				err = fmt.Errorf("panic: %v", r)
			}
			result <- err
		}()
		if err = u.abortOnce(ctx); err == nil {
			// Parts were cut off under way, and one may have arrived after all.
			err = u.abortOnce(ctx)
		}
	}()
	select {
	case err := <-result:
		return err
	case <-timer.C:
		return errors.New("they are being taken away")
	}
}

func (u *multipart) abortOnce(ctx context.Context) error {
	_, err := u.sink.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket:   u.sink.bucket(),
		Key:      u.sink.key(u.key),
		UploadId: u.id,
	})
	if err != nil && errorCode(err) != "NoSuchUpload" {
		return u.sink.explain(ctx, err, mayAbort)
	}
	return nil
}

// late counts what goes on in the background.
type late struct {
	slots chan struct{} // holds an element for each

	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0 again
}

// begin reports whether one more may begin. It waits for that until the timer
// has gone off.
func (l *late) begin(timer <-chan time.Time) bool {
	select {
	case l.slots <- struct{}{}:
	case <-timer:
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		l.idle = make(chan struct{})
	}
	l.n++
	return true
}

func (l *late) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n--; l.n == 0 {
		close(l.idle)
	}
	<-l.slots
}

// wait returns how many are left: 0, or more if the context ends before.
func (l *late) wait(ctx context.Context) int {
	l.mu.Lock()
	n, idle := l.n, l.idle
	l.mu.Unlock()
	if n == 0 {
		return 0
	}
	select {
	case <-idle:
		return 0
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.n
	}
}
