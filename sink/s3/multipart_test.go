package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
	"github.com/otelcoredumpy/otelcoredumpy/sink/sinktest"
)

// inParts has every Sink of a harness upload in parts of that size.
func inParts(h sinktest.Harness, size int64) sinktest.Harness {
	parts := func(s sink.Sink) sink.Sink {
		s3.SetParts(s.(sinkOf).Sink, 1, size)
		return s
	}
	newSink, reopen := h.New, h.Reopen
	h.New = func(t *testing.T) sink.Sink { return parts(newSink(t)) }
	h.Reopen = func(t *testing.T, s sink.Sink) sink.Sink { return parts(reopen(t, s)) }
	return h
}

func TestConformanceParts(t *testing.T) {
	sinktest.Run(t, inParts(harness(func(t *testing.T) (*store, string) { return fake(t), bucket }, "a b"), 200_000))
}

func TestConformancePartsVersitygw(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "10") // see TestConformanceVersitygw
	server := versitygw(t)
	start := func(t *testing.T) (*store, string) {
		name := bucketName()
		server.createBucket(t, name)
		return server, name
	}
	// The suite's dumps fit one part, the last one, which may be small.
	sinktest.Run(t, inParts(harness(start, ""), 5<<20))
}

// TestPartsRequests counts what an upload in parts costs.
func TestPartsRequests(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			f := newFront(t, server.start(t), bucketName())
			cfg := f.config(f.bucket, "")
			cfg.MultipartThreshold, cfg.PartSize = server.partSize, 5<<20
			s := open(t, cfg)
			s3.SetParts(s, server.partSize, server.partSize)
			for n, tc := range []struct {
				size  int64
				parts int
			}{
				{server.partSize - 1, 0},
				{server.partSize, 1},
				{server.partSize + 1, 2},
				{3*server.partSize - 1, 3},
				{3 * server.partSize, 3},
			} {
				id, b := idAt(noon, n, "shop"), content(int(tc.size))
				f.set(nil)
				if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
					t.Fatal(err)
				}
				want := map[string]int{opPut: 1, opMarker: 1}
				if tc.parts > 0 {
					want = map[string]int{opHead: 1, opCreate: 1, opPart: tc.parts, opComplete: 1, opMarker: 1}
				}
				for _, op := range []string{opHead, opPut, opCreate, opPart, opComplete, opAbort, opMarker, opGet, opList} {
					if got := f.count(op); got != want[op] {
						t.Errorf("%d bytes: %d × %s, want %d", tc.size, got, op, want[op])
					}
				}
				if !bytes.Equal(f.object(t, sink.TraceKey(id)), b) {
					t.Errorf("%d bytes: other bytes than were put", tc.size)
				}

				// A dump that is there does not go up again.
				f.set(nil)
				if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
					t.Fatal(err)
				}
				if f.count(opPart)+f.count(opCreate) > 0 {
					t.Errorf("%d bytes: the second Put sends parts", tc.size)
				}
			}
			if left := f.uploads(t); len(left) > 0 {
				t.Errorf("parts are left of %q", left)
			}
		})
	}
}

// TestPartsAtOnce checks that parts go up together, and no more of them than
// the configuration says.
func TestPartsAtOnce(t *testing.T) {
	const atOnce, size = 3, 64 << 10
	var under, most atomic.Int64
	together := make(chan struct{})
	f := newFront(t, fakeServer(t), bucketName())
	f.set(only(always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		n := under.Add(1)
		defer under.Add(-1)
		if n > most.Load() {
			most.Store(n)
		}
		if n == atOnce {
			close(together) // and again would panic
		}
		<-together
		next.ServeHTTP(w, r)
	}, opPart))
	cfg := f.config(f.bucket, "")
	cfg.Concurrency = atOnce
	s := open(t, cfg)
	s3.SetParts(s, size, size)
	if err := s.Put(t.Context(), idAt(noon, 1, "shop"), bytes.NewReader(content(atOnce*size))); err != nil {
		t.Fatal(err)
	}
	if most.Load() != atOnce {
		t.Errorf("%d parts at once, want %d", most.Load(), atOnce)
	}
}

func TestPartSize(t *testing.T) {
	const mib, gib, tib = 1 << 20, 1 << 30, 1 << 40
	for _, tc := range []struct{ want, size, part int64 }{
		{8 * mib, 1, 8 * mib},
		{8 * mib, 5*gib + 1, 8 * mib},
		{8 * mib, 80_000 * mib, 8 * mib},
		{8 * mib, 80_000*mib + 1, 9 * mib},
		{5 * mib, tib, 105 * mib},
		{8 * mib, 5 * tib, 525 * mib},
		{5 * gib, 5 * tib, 5 * gib},
	} {
		got := s3.PartSize(tc.want, tc.size)
		if got != tc.part {
			t.Errorf("parts of %d bytes for %d, want %d", got, tc.size, tc.part)
		}
		if parts := (tc.size + got - 1) / got; parts > 10_000 {
			t.Errorf("%d bytes: %d parts, S3 takes 10,000", tc.size, parts)
		}
	}
}

// TestVeryLarge begins to store a dump of more than S3 takes in one request,
// and looks at how it would go up.
func TestVeryLarge(t *testing.T) {
	var parts atomic.Int64
	f := newFront(t, fakeServer(t), bucketName())
	f.set(only(always, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		if r.ContentLength != 8<<20 {
			t.Errorf("a part of %d bytes", r.ContentLength)
		}
		parts.Add(1)
		refuse(w, 403, "AccessDenied", "no")
	}, opPart, opPut))
	s := open(t, f.config(f.bucket, ""))
	err := s.Put(t.Context(), idAt(noon, 1, "shop"), io.NewSectionReader(zeros{}, 0, 6<<30))
	if err == nil || sink.IsPermanent(err) || parts.Load() == 0 || f.count(opPut) > 0 || f.count(opAbort) != 1 {
		t.Errorf("Put: %v after %d parts, %d uploads in one request, %d aborts", err, parts.Load(), f.count(opPut), f.count(opAbort))
	}
}

// TestStopsAfterFailure has one part fail: those under way come to their end,
// and no others begin.
func TestStopsAfterFailure(t *testing.T) {
	f := newFront(t, fakeServer(t), bucketName())
	f.set(only(1, answer(403, "AccessDenied", "no"), opPart))
	s := open(t, f.config(f.bucket, ""))
	s3.SetParts(s, 1000, 1000)
	if err := s.Put(t.Context(), idAt(noon, 1, "shop"), bytes.NewReader(content(2_000_000))); err == nil {
		t.Error("Put: no error")
	}
	if n := f.count(opPart); n > 500 {
		t.Errorf("%d of 2,000 parts were sent", n)
	}
	if left := f.uploads(t); len(left) > 0 {
		t.Errorf("parts are left of %q", left)
	}
}

// TestAbortAfterCancel ends the context in the middle of an upload in parts.
func TestAbortAfterCancel(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			f := newFront(t, server.start(t), bucketName())
			s := open(t, f.config(f.bucket, ""))
			s3.SetParts(s, server.partSize, server.partSize)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var once sync.Once
			f.set(only(always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.URL.Query().Get("partNumber") == "2" {
					once.Do(cancel)
				}
				next.ServeHTTP(w, r)
			}, opPart))
			id, b := idAt(noon, 1, "shop"), content(int(4*server.partSize))
			if err := s.Put(ctx, id, bytes.NewReader(b)); !errors.Is(err, context.Canceled) {
				t.Errorf("Put: %v, want the context's error", err)
			}
			if err := s.Shutdown(t.Context()); err != nil { // what Put did not wait for
				t.Error(err)
			}
			if f.count(opAbort) == 0 || f.count(opComplete) > 0 {
				t.Errorf("%d aborts, %d completions", f.count(opAbort), f.count(opComplete))
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

// TestAbortIsBounded has a store that takes no parts and does not answer when
// they are to be taken away.
func TestAbortIsBounded(t *testing.T) {
	stop := make(chan struct{})
	f := newFront(t, fakeServer(t), bucketName())
	t.Cleanup(func() { close(stop) })
	f.set(only(always, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-stop
	}, opPart, opAbort))
	s := open(t, f.config(f.bucket, ""))
	s3.SetParts(s, 64<<10, 64<<10)
	begun := time.Now()
	err := bounded(t, 50*time.Millisecond, func(ctx context.Context) error {
		return s.Put(ctx, idAt(noon, 1, "shop"), bytes.NewReader(content(200<<10)))
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the parts that were sent may still be there") {
		t.Errorf("Put: %v, want the context's error, and what is left", err)
	}
	if took := time.Since(begun); took > 1500*time.Millisecond { // on a loaded machine; 250 ms is meant
		t.Errorf("it took %v", took)
	}
	if f.count(opAbort) != 1 {
		t.Errorf("%d aborts under way, want 1", f.count(opAbort))
	}
	if err := s.Shutdown(t.Context()); err != nil { // it gives up by itself
		t.Error(err)
	}
	if took := time.Since(begun); took < 3*time.Second || took > 8*time.Second {
		t.Errorf("the abort was given up after %v", took)
	}
}

// TestAbortEndsWithContext ends the context while parts are being taken away
// after another failure.
func TestAbortEndsWithContext(t *testing.T) {
	stop := make(chan struct{})
	f := newFront(t, fakeServer(t), bucketName())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var aborts atomic.Int64
	f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch operation(r) {
		case opPart:
			answer(400, "InvalidDigest", "no")(w, r, next)
			return
		case opAbort:
			if aborts.Add(1) == 1 {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			select {
			case <-stop:
			case <-r.Context().Done():
			}
		}
		next.ServeHTTP(w, r)
	})
	s := open(t, f.config(f.bucket, ""))
	s3.SetParts(s, 64<<10, 64<<10)
	begun := time.Now()
	err := s.Put(ctx, idAt(noon, 1, "shop"), bytes.NewReader(content(200<<10)))
	if err == nil || !strings.Contains(err.Error(), "may still be there: they are being taken away") {
		t.Errorf("Put: %v", err)
	}
	if took := time.Since(begun); took > 1500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	close(stop)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if left := f.uploads(t); len(left) > 0 {
		t.Errorf("parts are left of %q", left)
	}
}

// TestLateAbortsTakeTurns breaks more uploads off at once than are taken away at
// the same time, on a store that is quick.
func TestLateAbortsTakeTurns(t *testing.T) {
	const puts = 12
	var broken sync.WaitGroup
	broken.Add(puts)
	f := newFront(t, fakeServer(t), bucketName())
	var first sync.Map
	f.set(only(always, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		if _, again := first.LoadOrStore(r.URL.Path, true); !again {
			broken.Done()
		}
		<-r.Context().Done()
	}, opPart))
	s := open(t, f.config(f.bucket, ""))
	s3.SetParts(s, 64<<10, 64<<10)
	s3.SetLateWait(s, 10*time.Second) // on a loaded machine
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := make(chan error, puts)
	for n := range puts {
		go func() { errs <- s.Put(ctx, idAt(noon, n, "shop"), bytes.NewReader(content(200<<10))) }()
	}
	broken.Wait()
	cancel()
	for range puts {
		if err := <-errs; !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "too many") {
			t.Errorf("Put: %v", err)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if left := f.uploads(t); len(left) > 0 {
		t.Errorf("parts are left of %d uploads", len(left))
	}
}

// TestLateAborts breaks many uploads off on a store that is slow to take their
// parts away.
func TestLateAborts(t *testing.T) {
	const most, puts = 8, 12
	stop := make(chan struct{})
	f := newFront(t, fakeServer(t), bucketName())
	f.set(only(always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		if operation(r) == opAbort {
			<-stop
			next.ServeHTTP(w, r)
			return
		}
		<-r.Context().Done()
	}, opPart, opAbort))
	s := open(t, f.config(f.bucket, ""))
	s3.SetParts(s, 64<<10, 64<<10)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown of a Sink that does nothing: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	errs := make(chan error, puts)
	for n := range puts {
		go func() { errs <- s.Put(ctx, idAt(noon, n, "shop"), bytes.NewReader(content(200<<10))) }()
	}
	for range puts {
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put: %v", err)
		}
	}
	if n := f.count(opAbort); n > most || n == 0 {
		t.Errorf("%d aborts at once, want %d at most", n, most)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), s.String()) {
		t.Errorf("Shutdown while parts are being taken away: %v", err)
	}
	close(stop)
	begun := time.Now()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("Shutdown took %v", took)
	}
	if left := f.uploads(t); len(left) > puts-most {
		t.Errorf("parts are left of %d uploads, want %d at most", len(left), puts-most)
	}
}

// TestAbortDenied is about a service that may not take its parts away.
func TestAbortDenied(t *testing.T) {
	f := newFront(t, fakeServer(t), bucketName())
	f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch op := operation(r); {
		case op == opAbort:
			answer(403, "AccessDenied", "no")(w, r, next)
		case op == opPart && r.URL.Query().Get("partNumber") == "2":
			answer(400, "InvalidDigest", "no")(w, r, next)
		default:
			next.ServeHTTP(w, r)
		}
	})
	s := open(t, f.config(f.bucket, ""))
	s3.SetParts(s, 64<<10, 64<<10)
	err := s.Put(t.Context(), idAt(noon, 1, "shop"), bytes.NewReader(content(200<<10)))
	for _, want := range []string{"InvalidDigest", "the parts that were sent may still be there", "s3:AbortMultipartUpload"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Put: %v, want %q in it", err, want)
		}
	}
}

// TestNoParts is about stores that know no uploads in parts, and such that do
// not know the condition of the last step.
func TestNoParts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		refuse func(r *http.Request) bool
		first  map[string]int // requests of the first Put
		second map[string]int
	}{
		{
			"no parts", func(r *http.Request) bool { return operation(r) == opCreate },
			map[string]int{opHead: 1, opCreate: 1, opPut: 1},
			map[string]int{opPut: 1},
		},
		{
			"no condition", func(r *http.Request) bool {
				return operation(r) == opComplete && r.Header.Get("If-None-Match") != ""
			},
			map[string]int{opHead: 1, opCreate: 1, opPart: 4, opComplete: 2},
			map[string]int{opHead: 1, opCreate: 1, opPart: 4, opComplete: 1},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFront(t, fakeServer(t), bucketName())
			s := open(t, f.config(f.bucket, ""))
			s3.SetParts(s, 64<<10, 64<<10)
			for n, want := range []map[string]int{tc.first, tc.second} {
				f.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if tc.refuse(r) {
						answer(501, "NotImplemented", "A header you provided implies functionality that is not implemented")(w, r, next)
						return
					}
					next.ServeHTTP(w, r)
				})
				id, b := idAt(noon, n, "shop"), content(200<<10)
				if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
					t.Fatal(err)
				}
				for _, op := range []string{opHead, opCreate, opPart, opComplete, opPut, opAbort} {
					if got := f.count(op); got != want[op] {
						t.Errorf("Put %d: %d × %s, want %d", n+1, got, op, want[op])
					}
				}
				if !bytes.Equal(f.object(t, sink.TraceKey(id)), b) {
					t.Errorf("Put %d: other bytes than were put", n+1)
				}
			}
		})
	}
}

// TestNotImplementedForGood has a store that does not know something else: then
// the condition is not to blame, and is asked for again the next time.
func TestNotImplementedForGood(t *testing.T) {
	f := newFront(t, fakeServer(t), bucketName())
	f.set(only(always, answer(501, "NotImplemented", "Header 'x-amz-tagging' with value 'a=b' not implemented"), opPut))
	s := open(t, f.config(f.bucket, ""))
	err := s.Put(t.Context(), idAt(noon, 1, "shop"), bytes.NewReader(content(100)))
	if err == nil || !strings.Contains(err.Error(), "x-amz-tagging") || sink.IsPermanent(err) {
		t.Errorf("Put: %v", err)
	}
	var conditional atomic.Bool
	f.set(only(always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		conditional.Store(r.Header.Get("If-None-Match") == "*")
		next.ServeHTTP(w, r)
	}, opPut))
	if err := s.Put(t.Context(), idAt(noon, 2, "shop"), bytes.NewReader(content(100))); err != nil || !conditional.Load() {
		t.Errorf("Put afterwards: %v, with a condition: %t", err, conditional.Load())
	}
}

// TestQuickerPut has another process store the same dump while the parts are
// going up.
func TestQuickerPut(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			f := newFront(t, server.start(t), bucketName())
			s := open(t, f.config(f.bucket, ""))
			s3.SetParts(s, server.partSize, server.partSize)
			id, b := idAt(noon, 1, "shop"), content(int(2*server.partSize))
			f.set(only(1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if err := f.behind.put(r.Context(), f.bucket, sink.TraceKey(id), b); err != nil {
					t.Error(err)
				}
				next.ServeHTTP(w, r)
			}, opComplete))
			if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
				t.Errorf("Put: %v", err)
			}
			if left := f.uploads(t); len(left) > 0 {
				t.Errorf("parts are left of %q", left)
			}
			f.wantWhole(t, s, id, b)
		})
	}
}

// TestConflictAtCompletion is what S3 says of two completions at the same time.
func TestConflictAtCompletion(t *testing.T) {
	f := newFront(t, fakeServer(t), bucketName())
	s := open(t, f.config(f.bucket, ""))
	s3.SetParts(s, 64<<10, 64<<10)
	id, b := idAt(noon, 1, "shop"), content(200<<10)
	conflict := answer(409, "ConditionalRequestConflict", "try again")
	f.set(only(always, conflict, opComplete))
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err == nil || sink.IsPermanent(err) {
		t.Errorf("Put that lost to nobody: %v", err)
	}
	f.set(only(always, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if err := f.behind.put(r.Context(), f.bucket, sink.TraceKey(id), b); err != nil {
			t.Error(err)
		}
		conflict(w, r, next)
	}, opComplete))
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Errorf("Put that lost to another: %v", err)
	}
	if left := f.uploads(t); len(left) > 0 {
		t.Errorf("parts are left of %q", left)
	}
}

// TestSourceFailsInParts has a source that fails behind the first part.
func TestSourceFailsInParts(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			f := newFront(t, server.start(t), bucketName())
			s := open(t, f.config(f.bucket, ""))
			s3.SetParts(s, server.partSize, server.partSize)
			id := idAt(noon, 1, "shop")
			boom := errors.New("boom")
			src := failingSource{bytes.NewReader(content(int(3 * server.partSize))), server.partSize * 2, boom}
			err := s.Put(t.Context(), id, src)
			if !errors.Is(err, boom) || !strings.Contains(err.Error(), "reading the dump") {
				t.Errorf("Put: %v, want the source's error", err)
			}
			if left := f.uploads(t); len(left) > 0 || f.object(t, sink.TraceKey(id)) != nil {
				t.Errorf("something is left: %q", left)
			}
		})
	}
}

type failingSource struct {
	*bytes.Reader
	from int64
	err  error
}

func (f failingSource) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, f.err
	}
	return f.Reader.ReadAt(p, off)
}
