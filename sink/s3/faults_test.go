package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// proxied starts an S3 server behind a function that may answer in its place.
func proxied(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, next http.Handler)) *store {
	t.Helper()
	inner := fakeHandler()
	st := newStore(t, serve(t, inner))
	st.createBucket(t, bucket)
	st.endpoint = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, inner) }))
	return st
}

// refuse answers as S3 does.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("X-Amz-Request-Id", "REQ1")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

// calls makes each kind of request, and returns the errors.
func calls(t *testing.T, s sink.Sink) map[string]error {
	t.Helper()
	ctx, id := t.Context(), idAt(noon, 1, "shop")
	errs := map[string]error{
		"Put":    s.Put(ctx, id, bytes.NewReader(content(100))),
		"Delete": s.Delete(ctx, sink.Entry{Identity: id}),
		"List":   nil,
	}
	_, errs["Trace"] = s.Trace(ctx, id.TraceID)
	obj, err := s.Open(ctx, sink.Entry{Identity: id})
	if err == nil {
		obj.Close()
	}
	errs["Open"] = err
	for _, err := range s.List(ctx, sink.Query{}) {
		errs["List"] = err
	}
	return errs
}

// TestRefusals checks what is said when the store says no.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name      string
		answer    func(w http.ResponseWriter)
		want      []string // all are in the message
		permanent bool
	}{
		{
			"no bucket",
			func(w http.ResponseWriter) { refuse(w, 404, "NoSuchBucket", "gone") },
			[]string{`the bucket "dumps" does not exist: create it`},
			false,
		},
		{
			"access denied",
			func(w http.ResponseWriter) { refuse(w, 403, "AccessDenied", "no") },
			[]string{"access denied: the credentials need s3:", `on the bucket "dumps"`},
			false,
		},
		{
			"wrong key",
			func(w http.ResponseWriter) { refuse(w, 403, "InvalidAccessKeyId", "no") },
			[]string{"refuses the credentials (InvalidAccessKeyId): check the access key"},
			false,
		},
		{
			"wrong secret",
			func(w http.ResponseWriter) { refuse(w, 403, "SignatureDoesNotMatch", "no") },
			[]string{"refuses the credentials (SignatureDoesNotMatch)"},
			false,
		},
		{
			"expired",
			func(w http.ResponseWriter) { refuse(w, 400, "ExpiredToken", "no") },
			[]string{"the credentials have expired: log in again"},
			false,
		},
		{
			"clock",
			func(w http.ResponseWriter) { refuse(w, 403, "RequestTimeTooSkewed", "no") },
			[]string{"the clock of this machine is wrong"},
			false,
		},
		{
			"another region, by redirect",
			func(w http.ResponseWriter) {
				w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
				refuse(w, 301, "PermanentRedirect", "elsewhere")
			},
			[]string{`the bucket "dumps" lies in the region eu-west-1, not in us-east-1: set the region`},
			false,
		},
		{
			"another region, by signature",
			func(w http.ResponseWriter) {
				w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
				refuse(w, 400, "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-west-1'")
			},
			[]string{"lies in the region eu-west-1, not in us-east-1: set the region"},
			false,
		},
		{
			"too large",
			func(w http.ResponseWriter) { refuse(w, 400, "EntityTooLarge", "no") },
			[]string{"takes no object of this size"},
			true,
		},
		{
			"anything else",
			func(w http.ResponseWriter) { refuse(w, 500, "InternalError", "try again") },
			[]string{"the store answered InternalError: try again (HTTP 500, request REQ1)"},
			false,
		},
		{
			"no S3 at all",
			func(w http.ResponseWriter) { http.Error(w, "<html>gateway</html>", http.StatusBadGateway) },
			[]string{"the store answered", "502"},
			false,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := proxied(t, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { tc.answer(w) })
			s := open(t, st.config(bucket, ""))
			for call, err := range calls(t, s) {
				if err == nil {
					t.Errorf("%s: no error", call)
					continue
				}
				for _, want := range append(tc.want, s.String()) {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: %q, want %q in it", call, err, want)
					}
				}
				if errors.Is(err, sink.ErrNotFound) || sink.IsPermanent(err) != tc.permanent {
					t.Errorf("%s: %v: permanent is %t", call, err, sink.IsPermanent(err))
				}
			}
		})
	}
}

func TestPermissionIsNamed(t *testing.T) {
	st := proxied(t, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { refuse(w, 403, "AccessDenied", "no") })
	want := map[string]string{
		"Put": "s3:PutObject", "Delete": "s3:DeleteObject", "List": "s3:ListBucket", "Trace": "s3:ListBucket", "Open": "s3:GetObject",
	}
	for call, err := range calls(t, open(t, st.config(bucket, ""))) {
		if err == nil || !strings.Contains(err.Error(), want[call]) {
			t.Errorf("%s: %v, want %s in it", call, err, want[call])
		}
	}
}

// TestRealRefusals asks a real server for what it has not got.
func TestRealRefusals(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *store{"gofakes3": func(testing.TB) *store { return fake(t) }, "versitygw": versitygw} {
		t.Run(name, func(t *testing.T) {
			st := start(t)
			for call, err := range calls(t, open(t, st.config("missing", ""))) {
				if err == nil || !strings.Contains(err.Error(), `the bucket "missing" does not exist`) || errors.Is(err, sink.ErrNotFound) {
					t.Errorf("%s without a bucket: %v", call, err)
				}
			}
			if name == "gofakes3" {
				return // it checks no credentials
			}
			st.createBucket(t, bucket)
			cfg := st.config(bucket, "")
			cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "wrong"}, nil
			})
			for call, err := range calls(t, open(t, cfg)) {
				if err == nil || !strings.Contains(err.Error(), "refuses the credentials") {
					t.Errorf("%s with a wrong secret: %v", call, err)
				}
			}
		})
	}
}

func TestNoCredentials(t *testing.T) {
	st := fake(t)
	cfg := st.config(bucket, "")
	cfg.Credentials = nil
	for call, err := range calls(t, open(t, cfg)) {
		if err == nil || !strings.Contains(err.Error(), "no AWS credentials: set AWS_ACCESS_KEY_ID") || sink.IsPermanent(err) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if lines := st.requests.take(); len(lines) > 0 {
		t.Errorf("requests without credentials: %q", lines)
	}

	// And those of the environment are used.
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	if err := open(t, cfg).Put(t.Context(), idAt(noon, 1, "shop"), bytes.NewReader(nil)); err != nil {
		t.Errorf("Put with credentials from the environment: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	endpoint := "http://" + l.Addr().String()
	s := open(t, s3.Config{Bucket: bucket, Endpoint: endpoint, PathStyle: true, Credentials: keyPair})
	for call, err := range calls(t, s) {
		if err == nil || !strings.Contains(err.Error(), "cannot reach the store") || !strings.Contains(err.Error(), endpoint) || sink.IsPermanent(err) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

// TestDeadline has a store that does not answer.
func TestDeadline(t *testing.T) {
	stop := make(chan struct{})
	st := proxied(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-stop
	})
	t.Cleanup(func() { close(stop) })
	s := open(t, st.config(bucket, ""))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Put(ctx, idAt(noon, 1, "shop"), bytes.NewReader(content(100))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Put: %v, want the context's error", err)
	}
}

func TestNew(t *testing.T) {
	good := s3.Config{Bucket: "dumps", Endpoint: "http://127.0.0.1:9000", Region: "eu-west-1", Credentials: keyPair}
	id := idAt(noon, 1, "shop")
	for _, tc := range []struct {
		name   string
		change func(*s3.Config)
		uri    string // without the key
		text   string
	}{
		{"plain", func(*s3.Config) {}, "s3://dumps/", "bucket s3://dumps at http://127.0.0.1:9000"},
		{"slash behind the endpoint", func(c *s3.Config) { c.Endpoint += "/" }, "s3://dumps/", "bucket s3://dumps at http://127.0.0.1:9000"},
		{"Amazon", func(c *s3.Config) { c.Endpoint = "" }, "s3://dumps/", "bucket s3://dumps in eu-west-1"},
		{"prefix", func(c *s3.Config) { c.Prefix = "/team/prod/" }, "s3://dumps/team/prod/", "bucket s3://dumps/team/prod at http://127.0.0.1:9000"},
		{"odd prefix", func(c *s3.Config) { c.Prefix = "a b+ü" }, "s3://dumps/a b+ü/", "bucket s3://dumps/a b+ü at http://127.0.0.1:9000"},
		{"slashes alone", func(c *s3.Config) { c.Prefix = "//" }, "s3://dumps/", "bucket s3://dumps at http://127.0.0.1:9000"},
		{
			"access point",
			func(c *s3.Config) { c.Bucket = "arn:aws:s3:eu-west-1:123456789012:accesspoint/dumps" },
			"s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/dumps/",
			"bucket s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/dumps at http://127.0.0.1:9000",
		},
	} {
		cfg := good
		tc.change(&cfg)
		s := open(t, cfg)
		if got, want := s.URI(id), tc.uri+sink.TraceKey(id); got != want {
			t.Errorf("%s: URI %q, want %q", tc.name, got, want)
		}
		if s.String() != tc.text {
			t.Errorf("%s: %q, want %q", tc.name, s, tc.text)
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*s3.Config)
		want   string
	}{
		{"no bucket", func(c *s3.Config) { c.Bucket = "" }, "no bucket given"},
		{"a URL", func(c *s3.Config) { c.Bucket = "s3://dumps/x" }, "give the bucket's name alone"},
		{"a path", func(c *s3.Config) { c.Bucket = "dumps/x" }, "not the name of a bucket"},
		{"a space", func(c *s3.Config) { c.Bucket = "dumps x" }, "not the name of a bucket"},
		{"no scheme", func(c *s3.Config) { c.Endpoint = "127.0.0.1:9000" }, "want a URL such as"},
		{"no host", func(c *s3.Config) { c.Endpoint = "http://" }, "want a URL such as"},
		{"another scheme", func(c *s3.Config) { c.Endpoint = "ftp://host" }, "want a URL such as"},
		{"a password", func(c *s3.Config) { c.Endpoint = "http://user:hunter2@host" }, "want no user"},
		{"a password in nonsense", func(c *s3.Config) { c.Endpoint = "user:hunter2@host" }, "want a URL such as"},
		{"a query", func(c *s3.Config) { c.Endpoint = "http://host?key=hunter2" }, "want no user, query"},
		{"dots", func(c *s3.Config) { c.Prefix = "a/../b" }, "separated by single slashes"},
		{"two slashes", func(c *s3.Config) { c.Prefix = "a//b" }, "separated by single slashes"},
		{"control", func(c *s3.Config) { c.Prefix = "a\nb" }, "separated by single slashes"},
		{"long", func(c *s3.Config) { c.Prefix = strings.Repeat("x", 1024) }, "want at most"},
		{"no region", func(c *s3.Config) { c.Endpoint, c.Region = "", "" }, "no region: set the sink's region"},
	} {
		cfg := good
		tc.change(&cfg)
		s, err := s3.New(t.Context(), cfg)
		if err == nil {
			t.Errorf("%s: no error, but %v", tc.name, s)
		} else if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q, want %q in it, and no secret", tc.name, err, tc.want)
		}
	}
}

// TestPutRequest looks at the head of an upload.
func TestPutRequest(t *testing.T) {
	upload := func(t *testing.T, cfg s3.Config) (content, marker *http.Request) {
		t.Helper()
		var requests []*http.Request
		cfg.HTTPClient = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return nil, err
				}
			}
			requests = append(requests, r)
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
		})
		cfg.Bucket, cfg.Credentials = bucket, keyPair
		if err := open(t, cfg).Put(t.Context(), idAt(noon, 1, "shop"), bytes.NewReader([]byte("dump"))); err != nil {
			t.Fatal(err)
		}
		if len(requests) != 2 {
			t.Fatalf("%d requests, want 2", len(requests))
		}
		return requests[0], requests[1]
	}
	checksums := func(r *http.Request) (found []string) {
		for name := range r.Header {
			if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-checksum") || strings.Contains(name, "trailer") || strings.HasPrefix(name, "x-amz-sdk-checksum") {
				found = append(found, name)
			}
		}
		return found
	}

	t.Run("endpoint", func(t *testing.T) {
		for _, r := range func() []*http.Request {
			a, b := upload(t, s3.Config{Endpoint: "http://store.example", PathStyle: true})
			if ct := a.Header.Get("Content-Type"); ct != "application/vnd.otelcoredumpy.dump" {
				t.Errorf("content type %q", ct)
			}
			if a.ContentLength != 4 || b.ContentLength != 0 {
				t.Errorf("lengths %d and %d, want 4 and 0", a.ContentLength, b.ContentLength)
			}
			return []*http.Request{a, b}
		}() {
			if r.Method != http.MethodPut || r.URL.Host != "store.example" || !strings.HasPrefix(r.URL.Path, "/dumps/v1/") {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			if r.Header.Get("If-None-Match") != "*" {
				t.Errorf("If-None-Match %q", r.Header.Get("If-None-Match"))
			}
			if found := checksums(r); len(found) > 0 {
				t.Errorf("%s has %q, which other stores than Amazon's refuse", r.URL, found)
			}
			if !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/s3/") {
				t.Errorf("signed as %q", r.Header.Get("Authorization"))
			}
		}
	})
	t.Run("endpoint of the environment", func(t *testing.T) {
		t.Setenv("AWS_ENDPOINT_URL_S3", "http://env.example")
		r, _ := upload(t, s3.Config{PathStyle: true})
		if r.URL.Host != "env.example" || len(checksums(r)) > 0 {
			t.Errorf("%s with %q", r.URL, checksums(r))
		}
	})
	t.Run("host style", func(t *testing.T) {
		r, _ := upload(t, s3.Config{Endpoint: "http://store.example"})
		if r.URL.Host != "dumps.store.example" || !strings.HasPrefix(r.URL.Path, "/v1/") {
			t.Errorf("%s", r.URL)
		}
	})
	t.Run("Amazon", func(t *testing.T) {
		r, _ := upload(t, s3.Config{Region: "eu-west-1"})
		if r.URL.Scheme != "https" || r.URL.Host != "dumps.s3.eu-west-1.amazonaws.com" {
			t.Errorf("%s", r.URL)
		}
		if len(checksums(r)) == 0 {
			t.Error("the upload has no checksum")
		}
	})
	t.Run("region of the environment", func(t *testing.T) {
		t.Setenv("AWS_REGION", "ap-south-1")
		r, _ := upload(t, s3.Config{})
		if r.URL.Host != "dumps.s3.ap-south-1.amazonaws.com" {
			t.Errorf("%s", r.URL)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) Do(r *http.Request) (*http.Response, error) { return f(r) }

// TestNoConditions is about stores that do not know If-None-Match.
func TestNoConditions(t *testing.T) {
	var conditional, plain atomic.Int64
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("If-None-Match") != "" {
			conditional.Add(1)
			refuse(w, http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented")
			return
		}
		plain.Add(1)
		next.ServeHTTP(w, r)
	})
	s := open(t, st.config(bucket, ""))
	for n := range 3 {
		id := idAt(noon, n, "shop")
		b := content(n + 1)
		if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		readAt(t, obj, b, 0, len(b))
		obj.Close()
	}
	if conditional.Load() != 1 {
		t.Errorf("%d uploads were tried with a condition, want 1", conditional.Load())
	}
}

// TestConflict is S3's answer to the loser of two Puts at the same instant.
func TestConflict(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	var puts atomic.Int64
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if puts.Add(1) == 1 {
			_, _ = io.Copy(io.Discard, r.Body)
			refuse(w, http.StatusConflict, "ConditionalRequestConflict", "try again")
			return
		}
		next.ServeHTTP(w, r)
	})
	id := idAt(noon, 1, "shop")
	if err := open(t, st.config(bucket, "")).Put(t.Context(), id, bytes.NewReader(content(100))); err != nil {
		t.Errorf("Put: %v", err)
	}
	if puts.Load() != 3 {
		t.Errorf("%d uploads, want one again and the marker", puts.Load())
	}
}

// TestMarkerFails lets the second half of a Put fail, and repeats it.
func TestMarkerFails(t *testing.T) {
	var failing atomic.Bool
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if failing.Load() && strings.Contains(r.URL.Path, "/v1/days/") && r.Method == http.MethodPut {
			refuse(w, 503, "SlowDown", "later")
			return
		}
		next.ServeHTTP(w, r)
	})
	s := open(t, st.config(bucket, ""))
	id := idAt(noon, 1, "shop")
	failing.Store(true)
	if err := s.Put(t.Context(), id, bytes.NewReader(content(100))); err == nil || sink.IsPermanent(err) {
		t.Errorf("Put without its marker: %v", err)
	}
	if entries, err := s.Trace(t.Context(), id.TraceID); len(entries) != 1 || err != nil {
		t.Errorf("Trace: %v, %v", entries, err)
	}
	failing.Store(false)
	if err := s.Put(t.Context(), id, bytes.NewReader(content(100))); err != nil {
		t.Errorf("the second Put: %v", err)
	}
	n := 0
	for _, err := range s.List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("List shows %d dumps, want 1", n)
	}
}

// cutBody passes on only so many bytes of an answer and then breaks the
// connection.
type cutBody struct {
	http.ResponseWriter
	left int
}

func (c *cutBody) Write(p []byte) (int, error) {
	if len(p) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

// TestBrokenAnswers breaks the connection in the middle of ranges.
func TestBrokenAnswers(t *testing.T) {
	var breaks atomic.Int64
	var gets atomic.Int64
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && r.Header.Get("Range") != "" {
			gets.Add(1)
			if breaks.Add(-1) >= 0 {
				w = &cutBody{w, 10_000}
			}
		}
		next.ServeHTTP(w, r)
	})
	s := open(t, st.config(bucket, ""))
	id := idAt(noon, 1, "shop")
	b := content(3 << 20)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	// Twice in a row is survived, and read on from where it broke.
	breaks.Store(2)
	obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	defer obj.Close()
	breaks.Store(2)
	readAt(t, obj, b, 1<<20, 100)
	breaks.Store(1)
	readAt(t, obj, b, 0, len(b))

	// Not for ever. And the next reader tries anew.
	breaks.Store(1000)
	gets.Store(0)
	if n, err := obj.ReadAt(make([]byte, 10), 64<<10+2<<20); err == nil || n != 0 {
		t.Errorf("ReadAt of what always breaks off: %d, %v", n, err)
	} else if !strings.Contains(err.Error(), s.URI(id)) || sink.IsPermanent(err) {
		t.Errorf("ReadAt: %v, want an error that names the object and is not permanent", err)
	}
	if gets.Load() != 3 {
		t.Errorf("%d requests for a range that always breaks off, want 3", gets.Load())
	}
	if _, err := s.Open(t.Context(), sink.Entry{Identity: id}); err == nil {
		t.Error("Open of what always breaks off: no error")
	}
	breaks.Store(0)
	readAt(t, obj, b, 64<<10+2<<20, 10)
}

// TestNoRanges is about a server that answers with the whole object.
func TestNoRanges(t *testing.T) {
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Header.Del("Range")
		next.ServeHTTP(w, r)
	})
	s := open(t, st.config(bucket, ""))
	id := idAt(noon, 1, "shop")
	b := content(2 << 20)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	defer obj.Close()
	if obj.Size() != int64(len(b)) {
		t.Errorf("Size %d, want %d", obj.Size(), len(b))
	}
	readAt(t, obj, b, 0, len(b))
	readAt(t, obj, b, 1<<20, 1000)
}

// TestEncodedListing is about keys that XML cannot hold. One of them must not
// take the others along.
func TestEncodedListing(t *testing.T) {
	id := idAt(noon, 1, "a/b")
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		odd, marker, encoding := "\x01", sink.DayKey(id), ""
		if r.URL.Query().Get("encoding-type") == "url" {
			odd, marker, encoding = "%01", strings.ReplaceAll(marker, "%", "%25"), "<EncodingType>url</EncodingType>"
		}
		prefix := strings.ReplaceAll(r.URL.Query().Get("prefix"), " ", "+")
		body := fmt.Sprintf("<Contents><Key>%s%s</Key></Contents><Contents><Key>p+q/%s</Key></Contents>", prefix, odd, marker)
		if r.URL.Query().Get("delimiter") != "" {
			// The part of the date that follows.
			part, _, _ := strings.Cut(strings.TrimPrefix(marker, strings.TrimPrefix(prefix, "p+q/")), "/")
			body = fmt.Sprintf("<CommonPrefixes><Prefix>%s%s/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>%s%s/</Prefix></CommonPrefixes>", prefix, odd, prefix, part)
		}
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprintf(w, "<ListBucketResult>%s%s</ListBucketResult>", encoding, body)
	})
	n := 0
	for e, err := range open(t, st.config(bucket, "p q")).List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; e.ID != id.ID || e.Service != id.Service {
			t.Errorf("List shows %+v", e)
		}
	}
	if n != 1 {
		t.Errorf("List shows %d dumps, want 1", n)
	}
}

// TestNonsenseRanges is about answers that cannot be true.
func TestNonsenseRanges(t *testing.T) {
	for _, header := range []string{"bytes 5-10/100", "bytes 0-10/*", "bytes 0-10/-1", "bytes */100", "0-10/100", "bytes 0-10/99999999999999999999", "x"} {
		st := proxied(t, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Range", header)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write([]byte("dump"))
		})
		s := open(t, st.config(bucket, ""))
		if obj, err := s.Open(t.Context(), sink.Entry{Identity: idAt(noon, 1, "shop")}); err == nil {
			t.Errorf("Open with the range %q: size %d", header, obj.Size())
		}
	}
}

// TestDeletedWhileRead takes an object away from its reader.
func TestDeletedWhileRead(t *testing.T) {
	st := fake(t)
	s := open(t, st.config(bucket, ""))
	id := idAt(noon, 1, "shop")
	if err := s.Put(t.Context(), id, bytes.NewReader(content(1<<20))); err != nil {
		t.Fatal(err)
	}
	obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	defer obj.Close()
	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := obj.ReadAt(make([]byte, 10), 100<<10); !errors.Is(err, sink.ErrNotFound) {
		t.Errorf("ReadAt: %v, want sink.ErrNotFound", err)
	}
}

// TestCloseEndsReads closes an object under a reader that waits.
func TestCloseEndsReads(t *testing.T) {
	waiting, stop := make(chan struct{}), make(chan struct{})
	var once sync.Once
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if h := r.Header.Get("Range"); h != "" && !strings.HasPrefix(h, "bytes=0-") {
			once.Do(func() { close(waiting) })
			<-stop
		}
		next.ServeHTTP(w, r)
	})
	t.Cleanup(func() { close(stop) })
	s := open(t, st.config(bucket, ""))
	id := idAt(noon, 1, "shop")
	if err := s.Put(t.Context(), id, bytes.NewReader(content(1<<20))); err != nil {
		t.Fatal(err)
	}
	obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		_, err := obj.ReadAt(make([]byte, 10), 100<<10)
		result <- err
	}()
	<-waiting
	if err := obj.Close(); err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, fs.ErrClosed) {
		t.Errorf("ReadAt: %v, want fs.ErrClosed", err)
	}
}

// lateSource panics when it is read after Put returned.
type lateSource struct {
	*bytes.Reader
	mu   sync.Mutex
	done bool
}

func (l *lateSource) ReadAt(p []byte, off int64) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		panic("source was read after Put returned")
	}
	return l.Reader.ReadAt(p, off)
}

// TestSourceLeftAlone has an HTTP client that reads a body on after it has
// returned, as net/http may.
func TestSourceLeftAlone(t *testing.T) {
	src := &lateSource{Reader: bytes.NewReader(content(1 << 20))}
	goOn := make(chan struct{})
	ended := make(chan int64, 1)
	cfg := s3.Config{Bucket: bucket, Endpoint: "http://store.example", PathStyle: true, Credentials: keyPair}
	cfg.HTTPClient = roundTripper(func(r *http.Request) (*http.Response, error) {
		body := r.Body
		if body == nil {
			return nil, net.ErrClosed // the question whether the dump is there
		}
		go func() {
			<-goOn
			n, _ := io.Copy(io.Discard, body)
			ended <- n
		}()
		return nil, &net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}
	})
	if err := open(t, cfg).Put(t.Context(), idAt(noon, 1, "shop"), src); err == nil {
		t.Error("Put: no error")
	}
	src.mu.Lock()
	src.done = true
	src.mu.Unlock()
	close(goOn)
	if n := <-ended; n > 0 {
		t.Errorf("%d bytes of the body were read after Put returned", n)
	}
}

func TestTooLarge(t *testing.T) {
	st := fake(t)
	s := open(t, st.config(bucket, ""))
	err := s.Put(t.Context(), idAt(noon, 1, "shop"), io.NewSectionReader(zeros{}, 0, 5<<40+1))
	if err == nil || !sink.IsPermanent(err) {
		t.Errorf("Put of more than 5 TiB: %v, want a permanent error", err)
	}
	if lines := st.requests.take(); len(lines) > 0 {
		t.Errorf("it made requests: %q", lines)
	}
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }

var _ awss3.HTTPClient = roundTripper(nil)

// TestEarlyAnswer is about a store that says 412 and hangs up before it has
// read the body, so that the answer is lost.
func TestEarlyAnswer(t *testing.T) {
	var hangUp, mayAsk atomic.Bool
	mayAsk.Store(true)
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch {
		case r.Method == http.MethodPut && r.ContentLength > 0 && hangUp.Load():
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0) // a reset, which also overtakes an answer
			conn.Close()
			return
		case r.Method == http.MethodHead && !mayAsk.Load():
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
	s := open(t, st.config(bucket, ""))
	id, other := idAt(noon, 1, "shop"), idAt(noon, 2, "shop")
	put := func(n int) error { return s.Put(t.Context(), idAt(noon, n, "shop"), bytes.NewReader(content(1<<20))) }
	if err := put(1); err != nil {
		t.Fatal(err)
	}
	hangUp.Store(true)
	if err := put(1); err != nil {
		t.Errorf("Put of a dump that is there: %v", err)
	}
	if err := put(2); err == nil || sink.IsPermanent(err) {
		t.Errorf("Put of a dump that is not there: %v, want an error that is not permanent", err)
	}
	mayAsk.Store(false)
	if err := put(1); err == nil || sink.IsPermanent(err) || !strings.Contains(err.Error(), brokeOff) {
		t.Errorf("Put without the permission to ask: %v", err)
	}
	for want, id := range map[int]sink.Entry{1: {Identity: id}, 0: {Identity: other}} {
		obj, err := s.Open(t.Context(), id)
		if got := err == nil; got != (want == 1) {
			t.Errorf("Open of %s: %v", id.ID, err)
		} else if got {
			obj.Close()
		}
	}
}
