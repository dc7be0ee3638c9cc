package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// cutAnswer passes on half of an answer's body under its full length, and
// resets the connection, or ends it in good order.
func cutAnswer(t *testing.T, inOrder bool) handler {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		captured := &capture{header: http.Header{}}
		next.ServeHTTP(captured, r)
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(buffered, "HTTP/1.1 %d X\r\n", captured.status)
		captured.header.Set("Content-Length", fmt.Sprint(captured.body.Len()))
		_ = captured.header.Write(buffered)
		_, _ = buffered.WriteString("\r\n")
		_, _ = buffered.Write(captured.body.Bytes()[:captured.body.Len()/2])
		_ = buffered.Flush()
		if !inOrder {
			// The bytes have to arrive before the reset overtakes them: the
			// peer has read them once it ends its side or asks on.
			_ = conn.(interface{ SetLinger(int) error }).SetLinger(0)
		}
	}
}

// capture holds an answer back.
type capture struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (c *capture) Header() http.Header { return c.header }
func (c *capture) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
}

func (c *capture) Write(p []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	return c.body.Write(p)
}

// stallAnswer passes on half of an answer's body, and then nothing more until
// the client goes away.
func stallAnswer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	captured := &capture{header: http.Header{}}
	next.ServeHTTP(captured, r)
	for k, v := range captured.header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", fmt.Sprint(captured.body.Len()))
	w.WriteHeader(captured.status)
	_, _ = w.Write(captured.body.Bytes()[:captured.body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// TestReadFaults lets reading fail in every way: it ends soon, with the dump's
// own bytes or with an error, and the next reader gets them.
func TestReadFaults(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	t.Setenv("AWS_NEW_RETRIES_2026", "true")
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			f := newFront(t, server.start(t), bucketName())
			s := open(t, f.config(f.bucket, ""))
			s3.SetParts(s, 16<<20, 200_000) // so that there are several ranges
			s3.SetStall(s, 100*time.Millisecond)
			id, b := idAt(noon, 1, "shop"), content(1<<20)
			if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
				t.Fatal(err)
			}
			for _, fault := range []struct {
				name    string
				handle  func(times int) handler
				forEver string // the error if it does not end
				after   time.Duration
			}{
				{"500", func(n int) handler { return only(n, answer(500, "InternalError", "try again"), opGet, opList) }, "the store answered InternalError", 0},
				{"503", func(n int) handler {
					after := "1"
					if n == always {
						after = time.Now().Add(5 * time.Minute).UTC().Format(http.TimeFormat)
					}
					return only(n, answer(503, "SlowDown", "later", "Retry-After", after), opGet, opList)
				}, "it wants to be left alone", 4 * time.Minute},
				{"reset at once", func(n int) handler { return only(n, resetBefore(t), opGet, opList) }, brokeOff, 0},
				{"reset in the answer", func(n int) handler { return only(n, cutAnswer(t, false), opGet, opList) }, brokeOff, 0},
				{"answer too short", func(n int) handler { return only(n, cutAnswer(t, true), opGet, opList) }, brokeOff, 0},
				{"stalled", func(n int) handler { return only(n, stallAnswer, opGet) }, "the store has sent nothing for 100ms", 0},
			} {
				t.Run(fault.name, func(t *testing.T) {
					f.set(fault.handle(1))
					if err := bounded(t, 20*time.Second, func(ctx context.Context) error { return readAll(ctx, s, id, b) }); err != nil {
						t.Errorf("with one failure: %v", err)
					}
					f.set(fault.handle(always))
					err := bounded(t, 20*time.Second, func(ctx context.Context) error { return readAll(ctx, s, id, b) })
					if err == nil || !strings.Contains(err.Error(), fault.forEver) || sink.IsPermanent(err) {
						t.Errorf("with failures for ever: %v, want %q", err, fault.forEver)
					}
					if got := sink.RetryAfter(err); got < fault.after || got > 2*fault.after {
						t.Errorf("%v: to be left alone for %v, want about %v", err, got, fault.after)
					}
					// Also in the middle of a dump that was opened before.
					f.set(nil)
					obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
					if err != nil {
						t.Fatal(err)
					}
					defer obj.Close()
					f.set(fault.handle(always))
					err = bounded(t, 30*time.Second, func(context.Context) error { return download(obj, b) })
					if err == nil || !strings.Contains(err.Error(), fault.forEver) || !strings.Contains(err.Error(), s.URI(id)) {
						t.Errorf("DownloadTo: %v, want %q", err, fault.forEver)
					}
					f.set(nil)
					if err := download(obj, b); err != nil {
						t.Errorf("afterwards: %v", err)
					}
				})
			}
		})
	}
}

// readAll finds a dump, and reads it in three ways.
func readAll(ctx context.Context, s *s3.Sink, id dump.Identity, want []byte) error {
	entries, err := s.Trace(ctx, id.TraceID)
	if err != nil {
		return err
	}
	if len(entries) != 1 {
		return fmt.Errorf("Trace shows %d dumps, want 1", len(entries))
	}
	for _, size := range []int64{0, entries[0].Size} { // the header first, or all at once
		e := entries[0]
		e.Size = size
		obj, err := s.Open(ctx, e)
		if err != nil {
			return err
		}
		defer obj.Close()
		if err := download(obj, want); err != nil {
			return err
		}
		got, err := io.ReadAll(io.NewSectionReader(obj, 0, obj.Size()))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return errors.New("ReadAt gives other bytes than were put")
		}
	}
	return nil
}

func download(obj sink.Object, want []byte) error {
	var got memory
	n, err := obj.(s3.Downloader).DownloadTo(&got)
	if err == nil && (n != int64(len(want)) || !bytes.Equal(got.b, want)) {
		err = fmt.Errorf("DownloadTo gives %d bytes, which are not those that were put", n)
	}
	return err
}

// TestListBreaksOff has a listing that ends in the middle: fewer dumps than
// there are would be worse than an error.
func TestListBreaksOff(t *testing.T) {
	f := newFront(t, fakeServer(t), bucketName())
	s := open(t, f.config(f.bucket, ""))
	for n := range 20 {
		if err := s.Put(t.Context(), idAt(noon, n, "shop"), bytes.NewReader(nil)); err != nil {
			t.Fatal(err)
		}
	}
	for _, inOrder := range []bool{false, true} {
		f.set(only(always, cutAnswer(t, inOrder), opList))
		if entries, err := s.Trace(t.Context(), idAt(noon, 1, "").TraceID); err == nil {
			t.Errorf("Trace: %d dumps and no error", len(entries))
		}
		var last error
		for _, last = range s.List(t.Context(), sink.Query{}) {
		}
		if last == nil {
			t.Error("List: no error")
		}
	}
}

// TestSlowIsNotStalled has an answer that takes much longer than a stall may,
// but goes on all the time.
func TestSlowIsNotStalled(t *testing.T) {
	const stall, steps = 200 * time.Millisecond, 20
	var gets atomic.Int64
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if operation(r) != opGet {
			next.ServeHTTP(w, r)
			return
		}
		gets.Add(1)
		captured := &capture{header: http.Header{}}
		next.ServeHTTP(captured, r)
		for k, v := range captured.header {
			w.Header()[k] = v
		}
		w.WriteHeader(captured.status)
		tick := time.NewTicker(stall / 4)
		defer tick.Stop()
		for captured.body.Len() > 0 {
			<-tick.C
			_, _ = w.Write(captured.body.Next(1 + captured.body.Cap()/steps))
			_ = http.NewResponseController(w).Flush()
		}
	})
	s := open(t, st.config(bucket, ""))
	s3.SetStall(s, stall)
	id, b := idAt(noon, 1, "shop"), content(60<<10)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	defer obj.Close()
	readAt(t, obj, b, 0, len(b))
	if took := time.Since(begun); took < 2*stall || gets.Load() != 1 {
		t.Errorf("%d requests in %v, want one that takes long", gets.Load(), took)
	}
}
