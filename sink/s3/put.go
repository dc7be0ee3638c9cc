package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// Put uploads a dump, and then its marker, see [sink.Sink]. It makes one request
// for each, and more for a dump of [Config].MultipartThreshold bytes or more: is
// it there, begin, one per part, complete. When the store says that an object is
// there it is asked once more, for something else may have said so. A Put that
// fails leaves no parts behind, as far as the store can still be reached; after its
// context has ended that goes on in the background, see [Sink.Shutdown]. A dump
// of more than 5 TiB is a permanent error.
func (s *Sink) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	if err := s.put(ctx, id, src); err != nil {
		return fmt.Errorf("storing dump %s in %s: %w", id.ID, s, err)
	}
	return nil
}

func (s *Sink) put(ctx context.Context, id dump.Identity, src sink.Source) error {
	if err := sink.CheckIdentity(id); err != nil {
		return err
	}
	size := src.Size()
	if size < 0 || size > maxSize {
		return sink.Permanent(fmt.Errorf("dump has %d bytes, at most %d can be stored", size, int64(maxSize)))
	}
	guard := &guardedSource{ctx: ctx, src: src}
	defer guard.stop()
	if err := s.putContent(ctx, sink.TraceKey(id), guard, size); err != nil {
		// The source's own trouble is not the store's.
		if serr := guard.err(); serr != nil {
			return fmt.Errorf("reading the dump: %w", serr)
		}
		return err
	}
	return s.upload(ctx, sink.DayKey(id), markerType, "", bytes.NewReader(nil), 0)
}

// putContent stores a dump in one request or in parts.
func (s *Sink) putContent(ctx context.Context, key string, src io.ReaderAt, size int64) error {
	inParts := size >= s.cfg.MultipartThreshold && size > 0
	if inParts && !s.noParts.Load() {
		err := s.uploadParts(ctx, key, src, size)
		if errorCode(err) != "NotImplemented" || size > maxPartSize {
			return err
		}
	}
	err := s.upload(ctx, key, ContentType, s.cfg.StorageClass, src, size)
	if err == nil && inParts {
		// Amazon knows parts, but not everything that speaks its protocol does.
		s.noParts.Store(true)
	}
	return err
}

// upload stores one object in one request, unless there is one with that key.
func (s *Sink) upload(ctx context.Context, key, contentType, class string, src io.ReaderAt, size int64) error {
	conditional, refused := !s.unconditional.Load(), false
	for {
		input := &s3.PutObjectInput{
			Bucket:               s.bucket(),
			Key:                  s.key(key),
			Body:                 io.NewSectionReader(src, 0, size),
			ContentLength:        aws.Int64(size),
			ContentType:          aws.String(contentType),
			StorageClass:         types.StorageClass(class),
			ServerSideEncryption: types.ServerSideEncryption(s.cfg.SSE),
			SSEKMSKeyId:          optional(s.cfg.KMSKeyID),
			Tagging:              optional(s.tagging),
		}
		if conditional {
			input.IfNoneMatch = aws.String("*")
		}
		_, err := s.client.PutObject(ctx, input)
		switch {
		case err == nil:
			if refused { // and that was all that the store had against it
				s.unconditional.Store(true)
			}
			return nil
		case conditional && isPreconditionFailed(err):
			return s.thereBefore(ctx, key, err)
		case conditional && errorCode(err) == "NotImplemented":
			// A dump with the same ID has the same content, so that writing
			// over it does no harm; it only costs the upload.
			conditional, refused = false, true
		case size > 0 && isBroken(err) && s.exists(ctx, key):
			// A store may say 412 and hang up before it has read the body.
			// Then the answer can be lost on its way, and would be every time.
			return nil
		default:
			return s.explain(ctx, err, mayWrite)
		}
	}
}

// lookAgain are the pauses before each look for an object that a store says is
// there. A store in files may take an object away for a moment to replace it by
// that of a second Put at the same time.
var lookAgain = []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond}

// sleep reports whether the context lasts as long.
func sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// thereBefore looks whether a store is right that says by 412 that there is an
// object with that key: something in front of it may say 412 for reasons of its
// own. Then the error is not nil. Who may not ask takes the store's word, but
// only the store's.
func (s *Sink) thereBefore(ctx context.Context, key string, refusal error) error {
	var err error
	missing := false
	for _, pause := range lookAgain {
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
		if err = s.head(ctx, key); err == nil {
			return nil
		}
		status, _ := response(err)
		if missing = status == http.StatusNotFound; !missing {
			break
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case missing:
		return &explained{"the store answered HTTP 412, as if the object were there, and it is not: check what stands in front of the store", refusal}
	case saysPreconditionFailed(refusal):
		return nil
	}
	return &explained{fmt.Sprintf("the store answered HTTP 412, but not as S3 does, and cannot be asked whether the object is there: "+
		"check the endpoint, and what stands in front of the store (%s)", s.text(err, mayRead)), refusal}
}

// exists reports whether there is an object with that key. Objects appear as a
// whole, so it is one that somebody has put. The service may lack the
// permission to ask, which is no worse than not knowing.
func (s *Sink) exists(ctx context.Context, key string) bool {
	return s.head(ctx, key) == nil
}

// head asks for an object without its content.
func (s *Sink) head(ctx context.Context, key string) error {
	_, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket(), Key: s.key(key)})
	return err
}

// optional is nil for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
