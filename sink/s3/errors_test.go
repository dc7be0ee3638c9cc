package s3_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// TestRetryAfter reads the header in all its forms.
func TestRetryAfter(t *testing.T) {
	const hour = 3600
	date := func(offset time.Duration) string { return time.Now().Add(offset).UTC().Format(http.TimeFormat) }
	for _, tc := range []struct {
		name     string
		status   int
		header   []string
		min, max time.Duration
	}{
		{"none", 503, nil, 0, 0},
		{"seconds", 503, []string{"Retry-After", "120"}, 2 * time.Minute, 2 * time.Minute},
		{"429", 429, []string{"Retry-After", " 120 "}, 2 * time.Minute, 2 * time.Minute},
		{"of another answer", 403, []string{"Retry-After", "120"}, 0, 0},
		{"a date", 503, []string{"Retry-After", date(10 * time.Minute)}, 9 * time.Minute, 10 * time.Minute},
		{"a date by the store's clock", 503, []string{"Date", date(hour * time.Second), "Retry-After", date((hour + 600) * time.Second)}, 10*time.Minute - time.Second, 10*time.Minute + time.Second},
		{"the past", 503, []string{"Retry-After", date(-time.Hour)}, 0, 0},
		{"for ever", 503, []string{"Retry-After", "99999999999999999999"}, 24 * time.Hour, 24 * time.Hour},
		{"a far date", 503, []string{"Retry-After", date(1000 * time.Hour)}, 24 * time.Hour, 24 * time.Hour},
		{"nonsense", 503, []string{"Retry-After", "soon"}, 0, 0},
		{"negative", 503, []string{"Retry-After", "-5"}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := proxied(t, answer(tc.status, "SlowDown", "later", tc.header...))
			for call, err := range calls(t, open(t, st.config(bucket, ""))) {
				if got := sink.RetryAfter(err); err == nil || got < tc.min || got > tc.max {
					t.Errorf("%s: %v: to be left alone for %v, want %v to %v", call, err, got, tc.min, tc.max)
				}
			}
		})
	}
}

// TestPatience checks that a short Retry-After is waited for, and a long one is
// the caller's affair.
func TestPatience(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "2") // with at most 2 s between them if it were for the SDK
	for _, tc := range []struct {
		after    string
		status   int
		requests int64
	}{
		{"3", 429, 2}, {"3", 503, 2}, {"6", 429, 1}, {"6", 503, 1},
	} {
		t.Run(fmt.Sprintf("HTTP %d after %s s", tc.status, tc.after), func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if requests.Add(1) == 1 {
					answer(tc.status, "TooMuch", "later", "Retry-After", tc.after)(w, r, next)
					return
				}
				next.ServeHTTP(w, r)
			})
			begun := time.Now()
			_, err := open(t, st.config(bucket, "")).Trace(t.Context(), idAt(noon, 1, "").TraceID)
			if (err == nil) != (tc.requests == 2) || requests.Load() != tc.requests {
				t.Errorf("%v after %d requests, want %d", err, requests.Load(), tc.requests)
			}
			if took := time.Since(begun); tc.requests == 2 && took < 3*time.Second {
				t.Errorf("asked again after %v", took)
			}
		})
	}
}

// TestMoreRefusals checks what is said of refusals that depend on the
// configuration.
func TestMoreRefusals(t *testing.T) {
	for _, tc := range []struct {
		name          string
		status        int
		code, message string
		header        []string
		change        func(*s3.Config)
		want          string
		permanent     bool
	}{
		{"region in the text", 400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'", nil, nil, `lies in the region eu-west-1, not in us-east-1: set the region`, false},
		{"the right region", 400, "BadRequest", "no", []string{"X-Amz-Bucket-Region", "us-east-1"}, nil, "the store answered BadRequest: no", false},
		{"named permission", 403, "AccessDenied", "User: arn:aws:iam::1:user/me is not authorized to perform: s3:PutObjectTagging on resource: x", nil, nil, "the credentials need s3:PutObjectTagging on the bucket", false},
		{"tags", 403, "AccessDenied", "Access Denied", nil, func(c *s3.Config) { c.Tags = []string{"a=b"} }, "need s3:PutObject and s3:PutObjectTagging on", false},
		{"KMS", 403, "AccessDenied", "Access Denied", nil, func(c *s3.Config) { c.SSE = "aws:kms" }, "need s3:PutObject, and kms:GenerateDataKey and kms:Decrypt on the key", false},
		{"key gone", 400, "KMS.NotFoundException", "Key 'x' does not exist", nil, func(c *s3.Config) { c.SSE, c.KMSKeyID = "aws:kms", "x" }, "the KMS key cannot be used: KMS.NotFoundException: Key 'x' does not exist: check kms_key_id", false},
		{"class", 400, "InvalidStorageClass", "no", nil, func(c *s3.Config) { c.StorageClass = "FROZEN" }, `does not know the storage class "FROZEN"`, false},
		{"tag", 400, "InvalidTag", "the tag", nil, nil, "refuses the tags: the tag", false},
		{"too large for a proxy", 413, "", "", nil, nil, "takes no request of this size (HTTP 413)", false},
		{"long key", 400, "KeyTooLongError", "no", nil, nil, "choose a shorter prefix", true},
		{"argument", 400, "InvalidArgument", "no", nil, nil, "the store answered InvalidArgument: no", false},
		{"overloaded", 503, "SlowDown", "Reduce your request rate", []string{"Retry-After", "60"}, nil, "the store answered SlowDown: Reduce your request rate (HTTP 503, request REQ1): it wants to be left alone for 1m0s", false},
		{"clock", 403, "RequestTimeTooSkewed", "no", []string{"Date", "Tue, 06 Mar 2001 10:20:30 GMT"}, nil, ", the store's says 2001-03-06T10:20:30Z", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if tc.code == "" {
					http.Error(w, "<html>", tc.status)
					return
				}
				answer(tc.status, tc.code, tc.message, tc.header...)(w, r, next)
			})
			cfg := st.config(bucket, "")
			if tc.change != nil {
				tc.change(&cfg)
			}
			s := open(t, cfg)
			s3.SetParts(s, 1000, 1000)
			for _, size := range []int{10, 2000} {
				err := s.Put(t.Context(), idAt(noon, 1, "shop"), bytes.NewReader(content(size)))
				if size > 1000 && tc.status == 503 {
					// The question whether the dump is there has an answer without a body.
					tc.want = "the store answered ServiceUnavailable: Service Unavailable (HTTP 503, request REQ1): it wants to be left alone for 1m0s"
				}
				if err == nil || !strings.Contains(err.Error(), tc.want) || sink.IsPermanent(err) != tc.permanent {
					t.Errorf("Put of %d bytes: %v (permanent: %t), want %q in it", size, err, sink.IsPermanent(err), tc.want)
				}
			}
		})
	}
}

// TestArchived is what S3 says of an object that a lifecycle rule has moved
// where nobody can read it.
func TestArchived(t *testing.T) {
	st := proxied(t, answer(403, "InvalidObjectState", "The operation is not valid for the object's storage class"))
	_, err := open(t, st.config(bucket, "")).Open(t.Context(), sink.Entry{Identity: idAt(noon, 1, "shop")})
	if err == nil || !strings.Contains(err.Error(), "archived: restore it") || sink.IsPermanent(err) {
		t.Errorf("Open: %v", err)
	}
}

// TestClockSkew has a store whose clock is an hour ahead. The SDK takes its
// time over, and keeps it.
func TestClockSkew(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	t.Setenv("AWS_NEW_RETRIES_2026", "true")
	var refused atomic.Int64
	inner := gofakes3.New(s3mem.New(), gofakes3.WithTimeSkewLimit(0)).Server() // which has its own ideas of the time
	st := newStore(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().Add(time.Hour)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || now.Sub(signed).Abs() > 15*time.Minute {
			refused.Add(1)
			answer(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")(w, r, nil)
			return
		}
		inner.ServeHTTP(w, r)
	})))
	st.createBucket(t, bucket)
	refused.Store(0)
	s := open(t, st.config(bucket, ""))
	s3.SetParts(s, 1000, 1000)
	for n, size := range []int{10, 2500} {
		id, b := idAt(noon, n, "shop"), content(size)
		if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		readAt(t, obj, b, 0, size)
		obj.Close()
	}
	if refused.Load() != 1 {
		t.Errorf("%d requests were refused for their time, want 1", refused.Load())
	}
}

// TestBucketGoneAndBack takes the bucket away from under a Sink.
func TestBucketGoneAndBack(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			f := newFront(t, server.start(t), bucketName())
			s := open(t, f.config(f.bucket, ""))
			s3.SetParts(s, server.partSize, server.partSize)
			if _, err := f.behind.raw.DeleteBucket(t.Context(), &awss3.DeleteBucketInput{Bucket: aws.String(f.bucket)}); err != nil {
				t.Fatal(err)
			}
			for call, err := range calls(t, s) {
				if err == nil || !strings.Contains(err.Error(), "does not exist: create it") || sink.IsPermanent(err) {
					t.Errorf("%s without the bucket: %v", call, err)
				}
			}
			id, b := idAt(noon, 1, "shop"), content(int(2*server.partSize))
			if err := s.Put(t.Context(), id, bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), "does not exist: create it") || sink.IsPermanent(err) {
				t.Errorf("Put in parts without the bucket: %v", err)
			}
			f.behind.createBucket(t, f.bucket)
			if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
				t.Errorf("Put into the bucket that is back: %v", err)
			}
			f.wantWhole(t, s, id, b)
		})
	}
}

// TestUnknownHost has an endpoint that no name server knows.
func TestUnknownHost(t *testing.T) {
	s := open(t, s3.Config{Bucket: bucket, Endpoint: "http://store.invalid", PathStyle: true, Credentials: keyPair})
	for call, err := range calls(t, s) {
		if err == nil || !strings.Contains(err.Error(), "cannot reach the store: dial tcp: lookup store.invalid") || sink.IsPermanent(err) {
			t.Errorf("%s: %v", call, err)
		}
	}
}
