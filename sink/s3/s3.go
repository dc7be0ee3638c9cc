// Package s3 stores dumps in a bucket of Amazon S3 or of a store that speaks
// its protocol, under the keys of package sink.
//
// It needs the permissions s3:PutObject to write, s3:GetObject and
// s3:ListBucket to read, s3:DeleteObject to delete; docs/storage.md has a
// policy to copy. A service that only writes needs only the first.
//
// Put uploads with "If-None-Match: *", so that a dump is written once however
// often it is sent, and a reader sees all of it or nothing. Listings read one
// page of 1,000 keys at a time and only the days that are asked for. Open makes
// one ranged GET of 64 KiB, which is what the header of a dump needs, and reads
// on in blocks of 1 MiB as they are touched.
//
// Credentials come from the AWS SDK's chain: environment, shared files, SSO,
// web identity, container and instance roles. Nothing here makes presigned
// URLs.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

const (
	// ContentType is the media type that stored dumps have.
	ContentType = "application/vnd.otelcoredumpy.dump"

	// maxSize is the most that S3 takes in one request.
	maxSize = 5 << 30

	// maxPrefix leaves room for the longest key of package sink in the 1,024
	// bytes that S3 allows.
	maxPrefix = 1024 - sink.MaxKey - len("/")

	// defaultRegion is what requests to an endpoint of one's own are signed
	// for if nothing else is said. Such stores mostly do not care.
	defaultRegion = "us-east-1"
)

// Config says which bucket to use and how to reach it.
type Config struct {
	// Bucket is the name of the bucket. Required. It must exist.
	Bucket string

	// Prefix is put in front of all keys, with a "/" between. Slashes at its
	// ends do not count. "" is the whole bucket.
	Prefix string

	// Endpoint is the URL of a store other than Amazon's, such as
	// "http://127.0.0.1:9000". "" means what the SDK finds in its environment
	// (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL), else Amazon S3. With an
	// endpoint the SDK's own checksums, which many stores refuse, are sent
	// only where the protocol demands them.
	Endpoint string

	// Region is the bucket's region. "" means what the SDK finds in its
	// environment (AWS_REGION, the profile), and with an endpoint at last
	// "us-east-1".
	Region string

	// PathStyle puts the bucket into the path of the URL, not into the name
	// of the host. Most stores other than Amazon's want that.
	PathStyle bool

	// Credentials replaces the SDK's chain, if it is not nil.
	Credentials aws.CredentialsProvider

	// HTTPClient replaces the SDK's own, if it is not nil.
	HTTPClient aws.HTTPClient
}

// Sink stores dumps in a bucket. It is a [sink.Sink]; all its methods may be
// called concurrently.
type Sink struct {
	client *s3.Client
	bucket string
	prefix string // "" or ends in "/"
	name   string

	// unconditional is set once the store has said that it does not know
	// If-None-Match.
	unconditional atomic.Bool
}

var _ sink.Sink = (*Sink)(nil)

// New returns a Sink for a bucket. It checks the configuration and reads the
// SDK's shared files, but sends nothing to the store: a bucket that does not
// exist, or credentials that do not suffice, are errors of the first call that
// needs them. The context is only for New itself.
func New(ctx context.Context, cfg Config) (*Sink, error) {
	prefix, err := check(cfg)
	if err != nil {
		return nil, fmt.Errorf("s3 sink: %w", err)
	}
	var options []func(*config.LoadOptions) error
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	}
	if cfg.Credentials != nil {
		options = append(options, config.WithCredentialsProvider(cfg.Credentials))
	}
	if cfg.HTTPClient != nil {
		options = append(options, config.WithHTTPClient(cfg.HTTPClient))
	}
	awsConfig, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("s3 sink: reading the AWS configuration: %w", err)
	}
	if awsConfig.Credentials != nil {
		awsConfig.Credentials = credentials{awsConfig.Credentials}
	}
	client := s3.NewFromConfig(awsConfig, func(o *s3.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(strings.TrimRight(cfg.Endpoint, "/"))
		}
		if o.BaseEndpoint != nil {
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
			if o.Region == "" {
				o.Region = defaultRegion
			}
		}
		o.UsePathStyle = cfg.PathStyle
		// Two writers of one key at the same instant: S3 asks the loser to try
		// again.
		o.Retryer = retry.AddWithErrorCodes(o.Retryer, "ConditionalRequestConflict")
		o.Logger = logging.Nop{} // what there is to say comes as an error
	})
	o := client.Options()
	if o.Region == "" {
		return nil, errors.New("s3 sink: no region: set the sink's region, AWS_REGION or a profile's region")
	}
	s := &Sink{
		client: client,
		bucket: cfg.Bucket,
		prefix: prefix,
		name:   "bucket " + strings.TrimSuffix("s3://"+cfg.Bucket+"/"+prefix, "/"),
	}
	if o.BaseEndpoint != nil {
		s.name += " at " + *o.BaseEndpoint
	} else {
		s.name += " in " + o.Region
	}
	return s, nil
}

// check finds mistakes in a configuration and returns the prefix as keys have
// it.
func check(cfg Config) (prefix string, err error) {
	odd := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	switch {
	case cfg.Bucket == "":
		return "", errors.New("no bucket given")
	case strings.HasPrefix(cfg.Bucket, "s3:"):
		return "", fmt.Errorf("bucket %q: give the bucket's name alone, and the path as the prefix", cfg.Bucket)
	case strings.HasPrefix(cfg.Bucket, "arn:") && !strings.ContainsFunc(cfg.Bucket, odd):
		// An access point's name, which the SDK knows how to read.
	case strings.Contains(cfg.Bucket, "/") || strings.ContainsFunc(cfg.Bucket, odd):
		return "", fmt.Errorf("bucket %q is not the name of a bucket", cfg.Bucket)
	}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return "", fmt.Errorf("endpoint %q: want a URL such as http://127.0.0.1:9000", redactUserinfo(cfg.Endpoint))
		}
		if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return "", fmt.Errorf("endpoint %s://%s: want no user, query or fragment in it", u.Scheme, u.Host)
		}
	}
	prefix = strings.Trim(cfg.Prefix, "/")
	if prefix == "" {
		return "", nil
	}
	if len(prefix) > maxPrefix {
		return "", fmt.Errorf("prefix has %d bytes, want at most %d", len(prefix), maxPrefix)
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, unicode.IsControl) {
			return "", fmt.Errorf("prefix %q: want names separated by single slashes", cfg.Prefix)
		}
	}
	return prefix + "/", nil
}

// redactUserinfo takes what may be a password out of a malformed URL.
func redactUserinfo(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

// String describes the store for messages.
func (s *Sink) String() string { return s.name }

// URI returns "s3://bucket/key".
func (s *Sink) URI(id dump.Identity) string {
	return "s3://" + s.bucket + "/" + s.prefix + sink.TraceKey(id)
}

// Put uploads a dump in one request, and its marker in another, see
// [sink.Sink]. A dump of more than 5 GiB is a permanent error.
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
		return sink.Permanent(fmt.Errorf("dump has %d bytes, S3 takes up to %d in one request", size, int64(maxSize)))
	}
	guard := &guardedSource{ctx: ctx, src: src}
	defer guard.stop()
	if err := s.upload(ctx, sink.TraceKey(id), ContentType, guard, size); err != nil {
		// The source's own trouble is not the store's.
		if serr := guard.err(); serr != nil {
			return fmt.Errorf("reading the dump: %w", serr)
		}
		return err
	}
	// An empty object of no type in particular.
	return s.upload(ctx, sink.DayKey(id), "application/octet-stream", bytes.NewReader(nil), 0)
}

// upload stores one object, unless there is one with that key.
func (s *Sink) upload(ctx context.Context, key, contentType string, src io.ReaderAt, size int64) error {
	for {
		input := &s3.PutObjectInput{
			Bucket:        aws.String(s.bucket),
			Key:           aws.String(s.prefix + key),
			Body:          io.NewSectionReader(src, 0, size),
			ContentLength: aws.Int64(size),
			ContentType:   aws.String(contentType),
		}
		conditional := !s.unconditional.Load()
		if conditional {
			input.IfNoneMatch = aws.String("*")
		}
		_, err := s.client.PutObject(ctx, input)
		switch {
		case err == nil || conditional && errorCode(err) == "PreconditionFailed":
			return nil // there now, or there before
		case conditional && errorCode(err) == "NotImplemented":
			// A dump with the same ID has the same content, so that writing
			// over it does no harm; it only costs the upload.
			s.unconditional.Store(true)
		case conditional && size > 0 && isBroken(err) && s.exists(ctx, key):
			// A store may say 412 and hang up before it has read the body.
			// Then the answer can be lost on its way, and would be every time.
			return nil
		default:
			return s.explain(ctx, err, "s3:PutObject")
		}
	}
}

// exists reports whether there is an object with that key. Objects appear as a
// whole, so it is one that somebody has put. The service may lack the
// permission to ask, which is no worse than not knowing.
func (s *Sink) exists(ctx context.Context, key string) bool {
	_, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: aws.String(s.bucket),
		Key:    aws.String(s.prefix + key),
	})
	return err == nil
}

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
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: aws.String(s.bucket),
		Key:    aws.String(s.prefix + key),
	})
	if err != nil {
		if err = s.explain(ctx, err, "s3:DeleteObject"); errors.Is(err, sink.ErrNotFound) {
			return nil
		}
	}
	return err
}

// guardedSource reads a Source for a request's body. The HTTP client may go on
// reading a body after it has returned an error, but the caller of Put may take
// the source away then; so stop waits for a read under way and lets no other
// begin.
type guardedSource struct {
	ctx     context.Context // of the Put; the SDK reads a body for its hash without a look at it
	mu      sync.Mutex
	src     sink.Source
	stopped bool
	failure error
}

// ReadAt reads the source, and turns an end before the size that it promised
// into an error: a body that is too short would be stored as it is.
func (g *guardedSource) ReadAt(p []byte, off int64) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
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
	g.failure = fmt.Errorf("%d bytes at %d: %w", len(p), off, err)
	return n, g.failure
}

func (g *guardedSource) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
}

func (g *guardedSource) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failure
}
