package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// servers are the S3 servers that tests of faults run against, and the size of
// parts that they take.
var servers = []struct {
	name     string
	start    func(testing.TB) *store
	partSize int64
}{
	{"gofakes3", fakeServer, 64 << 10},
	{"versitygw", versitygw, 5 << 20},
}

// fakeServer is fake without a bucket.
func fakeServer(t testing.TB) *store {
	t.Helper()
	return newStore(t, serve(t, fakeHandler()))
}

// handler answers a request, or passes it on.
type handler func(w http.ResponseWriter, r *http.Request, next http.Handler)

// front is an HTTP proxy in front of an S3 server, which can be told to
// misbehave.
type front struct {
	store   // its endpoint is the proxy's
	behind  *store
	bucket  string
	mu      sync.Mutex
	handle  handler // nil: pass everything on
	counted map[string]int
}

// newFront makes a bucket in a server and a proxy in front of it.
func newFront(t *testing.T, behind *store, bucket string) *front {
	t.Helper()
	behind.createBucket(t, bucket)
	target, err := url.Parse(behind.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32, ExpectContinueTimeout: time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	next := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // which is signed
		},
		Transport:    transport,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	f := &front{behind: behind, bucket: bucket, counted: make(map[string]int)}
	f.store = *newStore(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		handle := f.handle
		f.counted[operation(r)]++
		f.mu.Unlock()
		if handle == nil {
			next.ServeHTTP(w, r)
			return
		}
		handle(w, r, next)
	})))
	return f
}

// set replaces what the proxy does, and begins to count anew.
func (f *front) set(h handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handle = h
	clear(f.counted)
}

// count is how many requests of a kind came since the last set.
func (f *front) count(operation string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counted[operation]
}

// The kinds of requests.
const (
	opHead     = "HEAD"
	opGet      = "GET"
	opList     = "LIST"
	opPut      = "PUT"
	opMarker   = "PUT marker"
	opCreate   = "CREATE upload"
	opPart     = "PUT part"
	opComplete = "COMPLETE upload"
	opAbort    = "ABORT upload"
	opDelete   = "DELETE"
)

func operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return opCreate
	case r.Method == http.MethodPost:
		return opComplete
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return opPart
	case r.Method == http.MethodPut && bytes.Contains([]byte(r.URL.Path), []byte("/v1/days/")):
		return opMarker
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return opAbort
	case r.Method == http.MethodGet && q.Get("list-type") == "2":
		return opList
	}
	return r.Method
}

// only lets a fault happen to some kinds of requests, the first times.
func only(times int, h handler, operations ...string) handler {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		hit := slices.Contains(operations, operation(r)) && times > 0
		if hit {
			times--
		}
		mu.Unlock()
		if hit {
			h(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

const always = 1 << 30

// answer refuses a request after it was read, as S3 mostly does.
func answer(status int, code, message string, header ...string) handler {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		refuse(w, status, code, message)
	}
}

// reset breaks the connection so that the peer gets an error and no end.
func reset(t *testing.T, w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// resetHalfway resets the connection when half of the body has come.
func resetHalfway(t *testing.T) handler {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		reset(t, w)
	}
}

// resetBefore resets the connection without a look at the body.
func resetBefore(t *testing.T) handler {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { reset(t, w) }
}

// endHalfway ends its half of the connection when half of the body has come,
// and reads on: the peer sees an end where the answer should be.
func endHalfway(t *testing.T) handler {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, buffered) // until the peer ends as well
	}
}

// loseAnswer has the request carried out and resets the connection in place of
// the answer.
func loseAnswer(t *testing.T) handler {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&swallower{header: http.Header{}}, r)
		reset(t, w)
	}
}

type swallower struct{ header http.Header }

func (s *swallower) Header() http.Header         { return s.header }
func (s *swallower) Write(p []byte) (int, error) { return len(p), nil }
func (s *swallower) WriteHeader(int)             {}

// cutUpload passes half of the body on to the server under the full length, and
// breaks both connections.
func cutUpload(t *testing.T) handler {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), brokenReader{}))
		func() {
			defer func() { _ = recover() }() // the proxy's way to say that it failed
			next.ServeHTTP(&swallower{header: http.Header{}}, r)
		}()
		reset(t, w)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// object returns the content under a key, behind the proxy's back; nil if there
// is nothing.
func (f *front) object(t *testing.T, key string) []byte {
	t.Helper()
	out, err := f.behind.raw.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String(f.bucket), Key: aws.String(key)})
	if missing := (*types.NoSuchKey)(nil); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// uploads returns the keys of uploads that were begun and neither completed nor
// aborted.
func (f *front) uploads(t *testing.T) []string {
	t.Helper()
	out, err := f.behind.raw.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: aws.String(f.bucket)})
	if code := (smithy.APIError)(nil); errors.As(err, &code) && code.ErrorCode() == "NoSuchUpload" {
		return nil // gofakes3's way to say that there is none
	}
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, u := range out.Uploads {
		keys = append(keys, aws.ToString(u.Key))
	}
	return keys
}

// wantWhole checks that a dump is stored, once, as a whole and with nothing
// beside it.
func (f *front) wantWhole(t *testing.T, s *s3.Sink, id dump.Identity, b []byte) {
	t.Helper()
	if got := f.object(t, sink.TraceKey(id)); !bytes.Equal(got, b) {
		t.Errorf("the stored dump has %d bytes, which are not the %d that were put", len(got), len(b))
	}
	want := []string{sink.TraceKey(id), sink.DayKey(id)}
	slices.Sort(want)
	if keys := f.behind.keys(t, f.bucket, ""); !slices.Equal(keys, want) {
		t.Errorf("the bucket holds %q, want %q", keys, want)
	}
	entries, err := s.Trace(t.Context(), id.TraceID)
	if err != nil || len(entries) != 1 || entries[0].ID != id.ID {
		t.Fatalf("Trace: %v, %v", entries, err)
	}
	var got memory
	obj, err := s.Open(t.Context(), entries[0])
	if err != nil {
		t.Fatal(err)
	}
	defer obj.Close()
	if n, err := obj.(s3.Downloader).DownloadTo(&got); err != nil || n != int64(len(b)) || !bytes.Equal(got.b, b) {
		t.Errorf("DownloadTo: %d bytes, %v, want the %d that were put", n, err, len(b))
	}
}

// memory is what is downloaded to.
type memory struct {
	mu sync.Mutex
	b  []byte
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if need := off + int64(len(p)); need > int64(len(m.b)) {
		m.b = append(m.b, make([]byte, need-int64(len(m.b)))...)
	}
	return copy(m.b[off:], p), nil
}

// bounded calls fn with a context of that time, and fails the test if it does
// not return soon after.
func bounded(t *testing.T, timeout time.Duration, fn func(ctx context.Context) error) error {
	t.Helper()
	const grace = 15 * time.Second // on a loaded machine; the promise is 250 ms
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	result := make(chan error, 1)
	begun := time.Now()
	go func() { result <- fn(ctx) }()
	select {
	case err := <-result:
		return err
	case <-time.After(timeout + grace):
		t.Fatalf("no end after %v, the context was for %v", time.Since(begun), timeout)
		return nil
	}
}

// bucketName returns a name that no other call returns.
var bucketName = func() func() string {
	var mu sync.Mutex
	n := 0
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("dumps-%d", n)
	}
}()
