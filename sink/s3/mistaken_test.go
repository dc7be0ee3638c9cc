package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// unlikeS3 answers as something does that is not S3.
func unlikeS3(status int, contentType, body string) handler {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// writes are the requests that a Put makes, and whether it does so for a dump in
// parts.
var writes = []struct {
	op    string
	parts bool
}{
	{opPut, false},
	{opMarker, false},
	{opCreate, true},
	{opPart, true},
	{opComplete, true},
	{opMarker, true},
}

// TestMistaken404 has something in front of the store say that nothing is there.
// A dump must not be given up for that.
func TestMistaken404(t *testing.T) {
	for name, h := range map[string]handler{
		"empty":     unlikeS3(404, "", ""),
		"ingress":   unlikeS3(404, "text/plain; charset=utf-8", "404 page not found\n"),
		"NotFound":  answer(404, "NotFound", "no"),
		"NoSuchKey": answer(404, "NoSuchKey", "no"),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, fakeServer(t), bucketName())
			s := open(t, f.config(f.bucket, ""))
			check := func(what string, err error) {
				t.Helper()
				if err == nil || sink.IsPermanent(err) || errors.Is(err, sink.ErrNotFound) || !strings.Contains(err.Error(), "HTTP 404") {
					t.Errorf("%s: %v (permanent: %t)", what, err, sink.IsPermanent(err))
				}
			}
			for n, write := range writes {
				s3.SetParts(s, 1<<30, 64<<10)
				if write.parts {
					s3.SetParts(s, 64<<10, 64<<10)
				}
				id, b := idAt(noon, n, "shop"), content(200<<10)
				f.set(only(always, h, write.op, opHead))
				check(write.op, s.Put(t.Context(), id, bytes.NewReader(b)))
				f.set(nil)
				if left := f.uploads(t); len(left) > 0 {
					t.Errorf("%s: parts are left of %q", write.op, left)
				}
				if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil || !bytes.Equal(f.object(t, sink.TraceKey(id)), b) {
					t.Errorf("%s: the second Put: %v", write.op, err)
				}
			}

			f.set(h)
			id := idAt(noon, 1, "shop")
			_, err := s.Trace(t.Context(), id.TraceID)
			check("Trace", err)
			for _, err := range s.List(t.Context(), sink.Query{}) {
				check("List", err)
			}
			if _, err := s.Open(t.Context(), sink.Entry{Identity: id}); !errors.Is(err, sink.ErrNotFound) {
				t.Errorf("Open: %v, want sink.ErrNotFound", err)
			}
			if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
				t.Errorf("Delete of what is not there: %v", err)
			}
		})
	}
}

// TestAbort404 has an ingress answer in place of the store when parts are to be
// taken away.
func TestAbort404(t *testing.T) {
	f := newFront(t, fakeServer(t), bucketName())
	f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch operation(r) {
		case opPart:
			answer(400, "InvalidDigest", "no")(w, r, next)
		case opAbort:
			unlikeS3(404, "", "")(w, r, next)
		default:
			next.ServeHTTP(w, r)
		}
	})
	s := open(t, f.config(f.bucket, ""))
	s3.SetParts(s, 64<<10, 64<<10)
	err := s.Put(t.Context(), idAt(noon, 1, "shop"), bytes.NewReader(content(200<<10)))
	if err == nil || sink.IsPermanent(err) || !strings.Contains(err.Error(), "may still be there: the store answered HTTP 404") {
		t.Errorf("Put: %v", err)
	}
}

// TestMistaken412 has something say that an object is there. That is looked
// after, and a dump never counts as stored for the word of who is not S3.
func TestMistaken412(t *testing.T) {
	type refusal struct {
		name  string
		h     handler
		coded bool
	}
	refusals := []refusal{
		{"bare", unlikeS3(412, "", ""), false},
		{"text", unlikeS3(412, "text/plain", "Precondition Failed"), false},
		{"page", unlikeS3(412, "text/html", "<html><body>412<br></body></html>"), false},
		{"small page", unlikeS3(412, "text/html", "<html><body>412</body></html>"), false},
		{"S3", answer(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"), true},
		{"S3 in few words", unlikeS3(412, "application/xml", "<Error><Code>PreconditionFailed</Code><Message>Precondition Failed</Message></Error>"), true},
	}
	heads := map[string]handler{
		"may ask":     nil,
		"may not ask": unlikeS3(403, "", ""),
		"no answer":   resetBefore(t),
	}
	for _, r := range refusals {
		for name, head := range heads {
			t.Run(r.name+"/"+name, func(t *testing.T) {
				f := newFront(t, fakeServer(t), bucketName())
				s := open(t, f.config(f.bucket, ""))
				for n, write := range writes {
					if write.op == opCreate || write.op == opPart {
						continue // have no condition
					}
					if write.parts && name == "no answer" {
						continue // it asks before it begins
					}
					s3.SetParts(s, 1<<30, 64<<10)
					if write.parts {
						s3.SetParts(s, 64<<10, 64<<10)
					}
					id, b := idAt(noon, n, "shop"), content(200<<10)
					put := func() error {
						f.set(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
							switch op := operation(req); {
							case op == write.op:
								r.h(w, req, next)
							case op == opHead && head != nil:
								head(w, req, next)
							default:
								next.ServeHTTP(w, req)
							}
						})
						defer f.set(nil)
						return s.Put(t.Context(), id, bytes.NewReader(b))
					}
					// Nothing is there.
					err := put()
					believed := head != nil && r.coded
					if (err == nil) != believed || sink.IsPermanent(err) || err != nil && !strings.Contains(err.Error(), "HTTP 412") {
						t.Errorf("%s (parts: %t): %v (permanent: %t)", write.op, write.parts, err, sink.IsPermanent(err))
					}
					if left := f.uploads(t); len(left) > 0 {
						t.Errorf("%s: parts are left of %q", write.op, left)
					}
					// And now it is.
					if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
						t.Fatal(err)
					}
					if err := put(); (err == nil) != (head == nil || r.coded) || sink.IsPermanent(err) {
						t.Errorf("%s (parts: %t) of what is there: %v", write.op, write.parts, err)
					}
				}
			})
		}
	}
}

// TestLooksAgain has an object that is not there for a moment, as where two Puts
// of it are replacing each other's.
func TestLooksAgain(t *testing.T) {
	f := newFront(t, fakeServer(t), bucketName())
	s := open(t, f.config(f.bucket, ""))
	id, b := idAt(noon, 1, "shop"), content(1000)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	f.set(only(1, unlikeS3(404, "", ""), opHead))
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Errorf("Put: %v", err)
	}
	// One look for the dump in vain, one that finds it, one for the marker.
	if n := f.count(opHead); n != 3 {
		t.Errorf("%d looks, want 3", n)
	}

	// Its context ends that, too.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.set(only(always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		time.AfterFunc(10*time.Millisecond, cancel)
		unlikeS3(404, "", "")(w, r, next)
	}, opHead))
	if err := s.Put(ctx, id, bytes.NewReader(b)); !errors.Is(err, context.Canceled) || f.count(opHead) > 2 {
		t.Errorf("Put whose context ends: %v after %d looks", err, f.count(opHead))
	}
}
