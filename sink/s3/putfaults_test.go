package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// putFault is a store's or a network's misbehaviour towards one Put.
type putFault struct {
	name string
	// handle does it to the kinds of requests that carry the dump.
	handle func(t *testing.T, carriers ...string) handler
	// want is in the error; "" means that Put succeeds all the same.
	want string
	// after is how long the error says that the store wants to be left alone.
	after time.Duration
	// alone is set where the proxy answers alone, so that it does not matter
	// what is behind it.
	alone bool
	// carried is set where a request is carried out and nobody is told, so that
	// an upload may be begun that nobody knows of. It has no parts.
	carried bool
}

const brokeOff = "the connection to the store broke off"

var putFaults = []putFault{
	{name: "500 once", alone: true, handle: func(_ *testing.T, on ...string) handler {
		return only(1, answer(500, "InternalError", "try again"), on...)
	}},
	{name: "500 for ever", alone: true, want: "the store answered InternalError", handle: func(_ *testing.T, on ...string) handler {
		return only(always, answer(500, "InternalError", "try again"), on...)
	}},
	{name: "503 with a short Retry-After", alone: true, handle: func(_ *testing.T, on ...string) handler {
		return only(1, answer(503, "SlowDown", "later", "Retry-After", "1"), on...)
	}},
	{
		name: "503 with a long Retry-After", alone: true, want: "it wants to be left alone for 2m0s", after: 2 * time.Minute,
		handle: func(_ *testing.T, on ...string) handler {
			return only(always, answer(503, "SlowDown", "later", "Retry-After", "120"), on...)
		},
	},
	{name: "403", alone: true, want: "access denied: the credentials need s3:PutObject", handle: func(_ *testing.T, on ...string) handler {
		return only(always, answer(403, "AccessDenied", "no"), on...)
	}},
	{name: "reset halfway, once", handle: func(t *testing.T, on ...string) handler {
		return only(1, resetHalfway(t), on...)
	}},
	{name: "reset halfway, always", want: brokeOff, handle: func(t *testing.T, on ...string) handler {
		return only(always, resetHalfway(t), on...)
	}},
	{name: "reset at once, always", want: brokeOff, handle: func(t *testing.T, on ...string) handler {
		return only(always, resetBefore(t), on...)
	}},
	{name: "half-closed, once", handle: func(t *testing.T, on ...string) handler {
		return only(1, endHalfway(t), on...)
	}},
	{name: "half-closed, always", want: brokeOff, handle: func(t *testing.T, on ...string) handler {
		return only(always, endHalfway(t), on...)
	}},
	{name: "half of the body gets through, once", carried: true, handle: func(t *testing.T, on ...string) handler {
		return only(1, cutUpload(t), on...)
	}},
	{name: "half of the body gets through, always", carried: true, want: brokeOff, handle: func(t *testing.T, on ...string) handler {
		return only(always, cutUpload(t), on...)
	}},
	{name: "the answer is lost, once", carried: true, handle: func(t *testing.T, on ...string) handler {
		return only(1, loseAnswer(t), on...)
	}},
	{name: "the answer is lost, always", carried: true, want: "either", handle: func(t *testing.T, on ...string) handler {
		return only(always, loseAnswer(t), on...)
	}},
	{name: "no bucket", alone: true, want: "does not exist: create it", handle: func(_ *testing.T, on ...string) handler {
		return only(always, answer(404, "NoSuchBucket", "no"), on...)
	}},
}

// TestPutFaults lets uploads fail in every way, and checks that each ends soon,
// with success or with an error that says what is wrong; that nothing half is
// to be seen; and that the same Put afterwards makes it whole.
func TestPutFaults(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	t.Setenv("AWS_NEW_RETRIES_2026", "true") // shorter pauses between them
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			behind := server.start(t)
			for _, form := range []struct {
				name     string
				parts    bool
				carriers []string
			}{
				{"one request", false, []string{opPut}},
				{"begin of parts", true, []string{opCreate}},
				{"a part", true, []string{opPart}},
				{"completion", true, []string{opComplete}},
				{"marker", false, []string{opMarker}},
			} {
				for _, fault := range putFaults {
					// On a real server those that it has a part in.
					if server.name != "gofakes3" && (fault.alone || form.carriers[0] == opCreate) {
						continue
					}
					t.Run(form.name+"/"+fault.name, func(t *testing.T) {
						t.Parallel() // most of it is waiting for another attempt
						f := newFront(t, behind, bucketName())
						s := open(t, f.config(f.bucket, ""))
						size := server.partSize
						if form.parts {
							s3.SetParts(s, size, size)
							size = 2*size + 1000
						}
						putThrough(t, f, s, fault, content(int(min(size, 12<<20))), form.carriers)
					})
				}
			}
		})
	}
}

func putThrough(t *testing.T, f *front, s *s3.Sink, fault putFault, b []byte, carriers []string) {
	t.Helper()
	id := idAt(noon, 1, "shop")
	put := func(ctx context.Context) error { return s.Put(ctx, id, bytes.NewReader(b)) }
	f.set(fault.handle(t, carriers...))
	err := bounded(t, 20*time.Second, put)
	switch {
	case fault.want == "either" || err == nil && fault.want == "":
	case fault.want == "":
		t.Errorf("Put: %v", err)
	case err == nil:
		t.Error("Put: no error")
	default:
		text := err.Error()
		if !strings.Contains(text, fault.want) {
			t.Errorf("Put: %v, want %q in it", err, fault.want)
		}
		if sink.IsPermanent(err) {
			t.Errorf("Put: %v is permanent", err)
		}
		if got := sink.RetryAfter(err); got != fault.after {
			t.Errorf("Put: %v: to be left alone for %v, want %v", err, got, fault.after)
		}
		for _, want := range []string{id.ID.String(), s.String()} {
			if !strings.Contains(text, want) {
				t.Errorf("Put: %v, want %q in it", err, want)
			}
		}
	}
	if fault.after > 0 && f.count(carriers[0]) > 4 { // each of the parts under way
		t.Errorf("%d requests to a store that wants to be left alone", f.count(carriers[0]))
	}

	// Nothing half, whatever happened.
	if got := f.object(t, sink.TraceKey(id)); got != nil && !bytes.Equal(got, b) {
		t.Errorf("there is a dump of %d bytes, want none or the %d that were put", len(got), len(b))
	} else if got == nil && err == nil {
		t.Error("Put succeeded and there is no dump")
	}
	lostBegin := carriers[0] == opCreate && fault.carried
	if left := f.uploads(t); len(left) > 0 && !lostBegin {
		t.Errorf("after %v: parts are left of %q", err, left)
	}

	// And it can be mended.
	f.set(nil)
	if err := bounded(t, time.Minute, put); err != nil {
		t.Errorf("the second Put: %v", err)
	}
	f.wantWhole(t, s, id, b)
	if left := f.uploads(t); len(left) > 0 && !lostBegin {
		t.Errorf("after the second Put: parts are left of %q", left)
	}
}

// TestWriteOnly is about a service that may put objects and nothing else.
func TestWriteOnly(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			f := newFront(t, server.start(t), bucketName())
			s := open(t, f.config(f.bucket, ""))
			s3.SetParts(s, server.partSize, server.partSize)
			f.set(only(always, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.WriteHeader(http.StatusForbidden)
			}, opHead, opGet, opList, opDelete))
			small, large := idAt(noon, 1, "shop"), idAt(noon, 2, "shop")
			for range 2 {
				for id, n := range map[sink.Entry]int64{{Identity: small}: 1000, {Identity: large}: 2*server.partSize + 10} {
					if err := s.Put(t.Context(), id.Identity, bytes.NewReader(content(int(n)))); err != nil {
						t.Errorf("Put of %d bytes: %v", n, err)
					}
				}
			}
			f.set(nil)
			if left := f.uploads(t); len(left) > 0 {
				t.Errorf("parts are left of %q", left)
			}
			if got := f.object(t, sink.TraceKey(large)); !bytes.Equal(got, content(int(2*server.partSize+10))) {
				t.Errorf("the dump in parts has %d bytes, not those that were put", len(got))
			}
		})
	}
}

// TestErrorIn200 is S3's way to fail a completion after it has begun to answer.
func TestErrorIn200(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	t.Setenv("AWS_NEW_RETRIES_2026", "true")
	for times, want := range map[int]string{1: "", always: "InternalError"} {
		t.Run(fmt.Sprint(times), func(t *testing.T) {
			f := newFront(t, fakeServer(t), bucketName())
			s := open(t, f.config(f.bucket, ""))
			s3.SetParts(s, 64<<10, 64<<10)
			f.set(only(times, answer(200, "InternalError", "We encountered an internal error."), opComplete))
			id, b := idAt(noon, 1, "shop"), content(200<<10)
			err := s.Put(t.Context(), id, bytes.NewReader(b))
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("Put: %v, want %q", err, want)
			}
			if left := f.uploads(t); len(left) > 0 {
				t.Errorf("parts are left of %q", left)
			}
			f.set(nil)
			if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
				t.Error(err)
			}
			f.wantWhole(t, s, id, b)
		})
	}
}
