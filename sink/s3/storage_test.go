package s3_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// TestStoredAs looks at what a real server has made of dumps and markers.
func TestStoredAs(t *testing.T) {
	st := versitygw(t)
	name := bucketName()
	st.createBucket(t, name)
	cfg := st.config(name, "")
	cfg.Tags = []string{"team=shop + till", "empty=", "Größe=ß/@=1"}
	cfg.MultipartThreshold, cfg.PartSize = 1<<20, 5<<20
	cfg.SSE = "AES256"
	s := open(t, cfg)
	for n, size := range []int{1000, 6 << 20} {
		id := idAt(noon, n, "shop")
		if err := s.Put(t.Context(), id, bytes.NewReader(content(size))); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{sink.TraceKey(id), sink.DayKey(id)} {
			tags, err := st.raw.GetObjectTagging(t.Context(), &awss3.GetObjectTaggingInput{Bucket: aws.String(name), Key: aws.String(key)})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, tag := range tags.TagSet {
				got[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
			}
			want := map[string]string{"team": "shop + till", "empty": "", "Größe": "ß/@=1"}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s has the tags %q, want %q", key, got, want)
			}
		}
		head, err := st.raw.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String(name), Key: aws.String(sink.TraceKey(id))})
		if err != nil || aws.ToString(head.ContentType) != s3.ContentType {
			t.Errorf("the content type is %q, %v", aws.ToString(head.ContentType), err)
		}
	}
}

// TestHeaders looks at the heads of all requests that store a dump.
func TestHeaders(t *testing.T) {
	const (
		sse, kms, class, tagging = "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Storage-Class", "X-Amz-Tagging"
		kmsKey                   = "arn:aws:kms:eu-west-1:123456789012:alias/dumps"
	)
	type headers map[string]string
	all := headers{sse: "aws:kms", kms: kmsKey, class: "STANDARD_IA", tagging: "team=shop%20%2B%20till&empty="}
	marker := headers{sse: "aws:kms", kms: kmsKey, tagging: all[tagging]}
	none := headers{}
	for _, tc := range []struct {
		name   string
		change func(*s3.Config)
		size   int
		want   map[string]headers
	}{
		{"nothing wanted", func(*s3.Config) {}, 1000, map[string]headers{opPut: none, opMarker: none}},
		{
			"nothing wanted, parts", func(*s3.Config) {}, 200 << 10,
			map[string]headers{opHead: none, opCreate: none, opPart: none, opComplete: none, opMarker: none},
		},
		{
			"all", func(c *s3.Config) {
				c.SSE, c.KMSKeyID, c.StorageClass, c.Tags = "aws:kms", kmsKey, "STANDARD_IA", []string{"team=shop + till", "empty="}
			}, 1000,
			map[string]headers{opPut: all, opMarker: marker},
		},
		{
			"all, parts", func(c *s3.Config) {
				c.SSE, c.KMSKeyID, c.StorageClass, c.Tags = "aws:kms", kmsKey, "STANDARD_IA", []string{"team=shop + till", "empty="}
			}, 200 << 10,
			map[string]headers{opHead: none, opCreate: all, opPart: none, opComplete: none, opMarker: marker},
		},
		{
			"SSE-S3", func(c *s3.Config) { c.SSE = "AES256" }, 1000,
			map[string]headers{opPut: {sse: "AES256"}, opMarker: {sse: "AES256"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFront(t, fakeServer(t), bucketName())
			cfg := f.config(f.bucket, "")
			tc.change(&cfg)
			s := open(t, cfg)
			s3.SetParts(s, 100<<10, 100<<10)
			seen := map[string]bool{}
			var mu sync.Mutex
			f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				mu.Lock()
				op := operation(r)
				seen[op] = true
				want, ok := tc.want[op]
				mu.Unlock()
				if !ok {
					t.Errorf("request %s", op)
				}
				for _, h := range []string{sse, kms, class, tagging} {
					if got := r.Header.Get(h); got != want[h] {
						t.Errorf("%s has %s %q, want %q", op, h, got, want[h])
					}
				}
				for h := range r.Header {
					if strings.HasPrefix(h, "X-Amz-Acl") || strings.HasPrefix(h, "X-Amz-Grant") {
						t.Errorf("%s has %s", op, h)
					}
				}
				if conditional := r.Header.Get("If-None-Match") == "*"; conditional != (op == opPut || op == opMarker || op == opComplete) {
					t.Errorf("%s has a condition: %t", op, conditional)
				}
				next.ServeHTTP(w, r)
			})
			if err := s.Put(t.Context(), idAt(noon, 1, "shop"), bytes.NewReader(content(tc.size))); err != nil {
				t.Fatal(err)
			}
			for op := range tc.want {
				if !seen[op] {
					t.Errorf("no request %s", op)
				}
			}
		})
	}
}

// TestChecksumModes checks, against a server that verifies them, when
// checksums are sent and asked for.
func TestChecksumModes(t *testing.T) {
	for _, tc := range []struct {
		mode string
		want bool
	}{
		{"", false}, // there is an endpoint
		{s3.ChecksumAuto, false},
		{s3.ChecksumWhenRequired, false},
		{s3.ChecksumWhenSupported, true},
	} {
		t.Run("mode="+tc.mode, func(t *testing.T) {
			f := newFront(t, versitygw(t), bucketName())
			cfg := f.config(f.bucket, "")
			cfg.ChecksumMode, cfg.MultipartThreshold, cfg.PartSize = tc.mode, 1<<20, 5<<20
			s := open(t, cfg)
			sent := map[string]bool{}
			var mu sync.Mutex
			f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				has := r.Header.Get("X-Amz-Checksum-Crc32") != "" || r.Header.Get("X-Amz-Checksum-Algorithm") != "" || r.Header.Get("X-Amz-Checksum-Mode") != ""
				mu.Lock()
				sent[operation(r)] = has
				mu.Unlock()
				next.ServeHTTP(w, r)
			})
			for n, size := range []int{1000, 11 << 20} {
				id, b := idAt(noon, n, "shop"), content(size)
				if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
					t.Fatal(err)
				}
				obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
				if err != nil {
					t.Fatal(err)
				}
				if err := download(obj, b); err != nil {
					t.Error(err)
				}
				obj.Close()
			}
			for _, op := range []string{opPut, opCreate, opPart, opGet} {
				if sent[op] != tc.want {
					t.Errorf("%s has a checksum, or asks for one: %t, want %t", op, sent[op], tc.want)
				}
			}
			if !tc.want {
				return
			}
			attributes, err := f.behind.raw.HeadObject(t.Context(), &awss3.HeadObjectInput{
				Bucket: aws.String(f.bucket), Key: aws.String(sink.TraceKey(idAt(noon, 1, ""))), ChecksumMode: "ENABLED",
			})
			if err != nil || aws.ToString(attributes.ChecksumCRC32) == "" {
				t.Errorf("the dump in parts has the checksum %q, %v", aws.ToString(attributes.ChecksumCRC32), err)
			}
		})
	}
}
