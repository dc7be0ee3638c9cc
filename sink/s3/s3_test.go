package s3_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	gateway "github.com/otelcoredumpy/otelcoredumpy/internal/versitygw"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
	"github.com/otelcoredumpy/otelcoredumpy/sink/sinktest"
)

// TestMain takes the AWS environment of whoever runs the tests away.
func TestMain(m *testing.M) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Setenv("AWS_MAX_ATTEMPTS", "1") // no waiting between attempts, except in tests of that
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Exit(m.Run())
}

const (
	accessKey = gateway.AccessKey
	secretKey = gateway.SecretKey
	bucket    = "dumps"
)

var keyPair = credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")

// store is an S3 server with one bucket, and a client for what the Sink does
// not do.
type store struct {
	endpoint string
	raw      *awss3.Client
	requests *recorder        // nil: not recorded
	backend  gofakes3.Backend // nil: not inside the test
}

func newStore(t testing.TB, endpoint string) *store {
	t.Helper()
	raw := awss3.New(awss3.Options{
		BaseEndpoint:               aws.String(endpoint),
		Region:                     "us-east-1",
		UsePathStyle:               true,
		Credentials:                keyPair,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
	return &store{endpoint: endpoint, raw: raw}
}

func (s *store) createBucket(t testing.TB, name string) {
	t.Helper()
	if _, err := s.raw.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		t.Fatal(err)
	}
}

func (s *store) config(bucket, prefix string) s3.Config {
	return s3.Config{
		Bucket: bucket, Prefix: prefix, Endpoint: s.endpoint, PathStyle: true, Credentials: keyPair,
	}
}

// open returns a Sink, which fails the test if it cannot be made.
func open(t testing.TB, cfg s3.Config) *s3.Sink {
	t.Helper()
	s, err := s3.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *store) put(ctx context.Context, bucket, key string, content []byte) error {
	_, err := s.raw.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(content),
	})
	return err
}

// keys returns the keys of a bucket that begin with a prefix, without it.
func (s *store) keys(t *testing.T, bucket, prefix string) []string {
	t.Helper()
	var keys []string
	pages := awss3.NewListObjectsV2Paginator(s.raw, &awss3.ListObjectsV2Input{
		Bucket: aws.String(bucket), Prefix: aws.String(prefix), EncodingType: types.EncodingTypeUrl,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, obj := range page.Contents {
			key := aws.ToString(obj.Key)
			if page.EncodingType == types.EncodingTypeUrl {
				if key, err = url.QueryUnescape(key); err != nil {
					t.Fatal(err)
				}
			}
			keys = append(keys, strings.TrimPrefix(key, prefix))
		}
	}
	return keys
}

// recorder remembers the requests that go through it.
type recorder struct {
	next     http.Handler
	requests chan string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	line := req.Method + " " + req.URL.Path
	if req.URL.RawQuery != "" {
		line += "?" + req.URL.Query().Encode()
	}
	if h := req.Header.Get("Range"); h != "" {
		line += " " + h
	}
	select {
	case r.requests <- line:
	default:
		panic("more requests than a test should make")
	}
	r.next.ServeHTTP(w, req)
}

// take returns the requests since the last take.
func (r *recorder) take() []string {
	var lines []string
	for {
		select {
		case line := <-r.requests:
			lines = append(lines, line)
		default:
			return lines
		}
	}
}

// serve starts an HTTP server and returns its URL.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // gofakes3 makes it complain when a client goes away
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// fakeHandler is an S3 server without a bucket.
func fakeHandler() http.Handler { return gofakes3.New(s3mem.New()).Server() }

// fake starts an S3 server inside the test, and makes the bucket.
func fake(t *testing.T) *store {
	t.Helper()
	backend := s3mem.New()
	rec := &recorder{
		next:     gofakes3.New(backend).Server(),
		requests: make(chan string, 100_000),
	}
	s := newStore(t, serve(t, rec))
	s.createBucket(t, bucket)
	rec.take()
	s.requests, s.backend = rec, backend
	return s
}

// sinkOf is a Sink and the store that it is on.
type sinkOf struct {
	*s3.Sink
	store  *store
	bucket string
}

// harness runs the suite on a store, in a bucket of each test's own.
func harness(start func(t *testing.T) (*store, string), prefix string) sinktest.Harness {
	keyPrefix := prefix
	if prefix != "" {
		keyPrefix += "/"
	}
	return sinktest.Harness{
		New: func(t *testing.T) sink.Sink {
			st, bucket := start(t)
			return sinkOf{open(t, st.config(bucket, prefix)), st, bucket}
		},
		Reopen: func(t *testing.T, s sink.Sink) sink.Sink {
			old := s.(sinkOf)
			return sinkOf{open(t, old.store.config(old.bucket, prefix)), old.store, old.bucket}
		},
		Keys: func(t *testing.T, s sink.Sink) []string {
			return s.(sinkOf).store.keys(t, s.(sinkOf).bucket, keyPrefix)
		},
		Plant: func(t *testing.T, s sink.Sink, key string, content []byte) error {
			return s.(sinkOf).store.put(t.Context(), s.(sinkOf).bucket, keyPrefix+key, content)
		},
	}
}

func TestConformance(t *testing.T) {
	for _, prefix := range []string{"", "team a/prod+x%41"} {
		t.Run("prefix="+prefix, func(t *testing.T) {
			sinktest.Run(t, harness(func(t *testing.T) (*store, string) { return fake(t), bucket }, prefix))
		})
	}
}

// rerun runs one test of this binary in a process of its own.
func rerun(t *testing.T, test string, env ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
