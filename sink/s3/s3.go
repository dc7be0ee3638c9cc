// Package s3 stores dumps in a bucket of Amazon S3 or of a store that speaks
// its protocol, under the keys of package sink.
//
// It needs the permission s3:PutObject to write (and s3:AbortMultipartUpload
// for dumps of [Config].MultipartThreshold and more), s3:GetObject and
// s3:ListBucket to read, s3:DeleteObject to delete; docs/storage.md has policies
// to copy. No ACL is ever sent, so a bucket without ACLs will do.
//
// Put uploads with "If-None-Match: *", so that a dump is written once however
// often it is sent, and a reader sees all of it or nothing; a large dump goes up
// in parts, several at once, which become an object in one step or are taken
// away. Listings read one page of 1,000 keys at a time and only the days that
// are asked for. Open makes one ranged GET of 64 KiB, which is what the header
// of a dump needs, and reads on in blocks of 1 MiB as they are touched; its
// Objects are [Downloader]s for who wants a dump as a whole.
//
// Credentials come from the AWS SDK's chain: environment, shared files, SSO,
// web identity, container and instance roles. Nothing here makes presigned
// URLs.
//
// Each request is tried up to three times by the SDK, which also corrects its
// clock by the store's. What fails then is for the caller to try again: errors
// say whether that can help (see [sink.IsPermanent]) and how long the store
// wants to be left alone (see [sink.RetryAfter]). The context bounds every call.
//
// The package registers the scheme "s3" with [sink.Register], see [OpenURL].
package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

const (
	// ContentType is the media type that stored dumps have.
	ContentType = "application/vnd.otelcoredumpy.dump"

	// markerType is that of markers: nothing in particular.
	markerType = "application/octet-stream"
)

// Sink stores dumps in a bucket. It is a [sink.Sink]; all its methods may be
// called concurrently.
type Sink struct {
	client  *s3.Client
	cfg     Config // with the defaults filled in
	prefix  string // "" or ends in "/"
	tagging string // the tags as the header wants them
	name    string

	// ranges holds an element for each range that a Downloader is reading, so
	// that those of several dumps do not get into each other's way.
	ranges chan struct{}

	// stall is how long a body that is being read may give nothing.
	stall time.Duration

	// late are the uploads whose parts are being taken away after their Puts have
	// returned.
	late late

	// lateWait is how long a Put waits for that.
	lateWait time.Duration

	// What the store has said that it does not know.
	unconditional         atomic.Bool // If-None-Match of an upload in one request
	unconditionalComplete atomic.Bool // If-None-Match when parts become an object
	noParts               atomic.Bool // uploads in parts at all
}

var (
	_ sink.Sink       = (*Sink)(nil)
	_ sink.Shutdowner = (*Sink)(nil)
)

// New returns a Sink for a bucket. It checks the configuration and reads the
// SDK's shared files and the file of certificates, but sends nothing to the
// store: a bucket that does not exist, or credentials that do not suffice, are
// errors of the first call that needs them. The context is only for New itself.
func New(ctx context.Context, cfg Config) (*Sink, error) {
	s, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("s3 sink: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, cfg Config) (*Sink, error) {
	settings, err := check(cfg)
	if err != nil {
		return nil, err
	}
	client, err := newClient(ctx, settings)
	if err != nil {
		return nil, err
	}
	s := &Sink{
		client:  client,
		cfg:     settings.Config,
		prefix:  settings.prefix,
		tagging: settings.tagging,
		name:    "bucket " + strings.TrimSuffix("s3://"+cfg.Bucket+"/"+settings.prefix, "/"),
		ranges:  make(chan struct{}, 2*settings.Concurrency),
		late:    late{slots: make(chan struct{}, maxLateAborts)},
		stall:   stallTimeout,

		lateWait: lateAbortWait,
	}
	if o := client.Options(); o.BaseEndpoint != nil {
		s.name += " at " + *o.BaseEndpoint
	} else {
		s.name += " in " + o.Region
	}
	return s, nil
}

// Shutdown waits until the parts of uploads are taken away whose Puts were broken
// off, which takes some seconds at most. The Sink must not be used after it.
func (s *Sink) Shutdown(ctx context.Context) error {
	if n := s.late.wait(ctx); n > 0 {
		return fmt.Errorf("shutting down %s: the parts of %d uploads that were broken off may still be there: %w", s, n, ctx.Err())
	}
	return nil
}

// String describes the store for messages.
func (s *Sink) String() string { return s.name }

// URI returns "s3://bucket/key".
func (s *Sink) URI(id dump.Identity) string {
	return "s3://" + s.cfg.Bucket + "/" + s.prefix + sink.TraceKey(id)
}

// bucket and key are what most requests begin with.
func (s *Sink) bucket() *string        { return aws.String(s.cfg.Bucket) }
func (s *Sink) key(key string) *string { return aws.String(s.prefix + key) }

// Delete removes a dump and its marker, see [sink.Sink]. In a bucket with
// versions the old ones stay, as the bucket's lifecycle rules say.
func (s *Sink) Delete(ctx context.Context, e sink.Entry) error {
	if err := s.remove(ctx, e.Identity); err != nil {
		return fmt.Errorf("deleting dump %s in %s: %w", e.ID, s, err)
	}
	return nil
}

func (s *Sink) remove(ctx context.Context, id dump.Identity) error {
	if err := sink.CheckIdentity(id); err != nil {
		return err
	}
	if err := s.removeKey(ctx, sink.TraceKey(id)); err != nil {
		return err
	}
	if id.Service != "" {
		return s.removeKey(ctx, sink.DayKey(id))
	}
	services, err := s.children(ctx, sink.DayPrefix(id.ID.Time()))
	if err != nil {
		return err
	}
	for _, segment := range services {
		service, err := sink.ParseService(segment)
		if err != nil {
			continue // foreign
		}
		id.Service = service
		if err := s.removeKey(ctx, sink.DayKey(id)); err != nil {
			return err
		}
	}
	return nil
}

// removeKey deletes one object. S3 is content if there is none.
func (s *Sink) removeKey(ctx context.Context, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket(), Key: s.key(key)})
	if err != nil {
		if err = s.explain(ctx, err, mayDelete); errors.Is(err, sink.ErrNotFound) {
			return nil
		}
	}
	return err
}
