package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// TestDownloadRequests counts what it costs to copy a dump.
func TestDownloadRequests(t *testing.T) {
	const kib, mib = 1 << 10, 1 << 20
	st := fake(t)
	s := open(t, st.config(bucket, ""))
	s3.SetParts(s, 64*mib, 2*mib)
	for n, tc := range []struct {
		name   string
		size   int
		listed bool // the Entry tells the size
		want   []string
	}{
		{"empty", 0, true, []string{"bytes=0-65535"}},
		{"small", 1000, true, []string{"bytes=0-65535"}},
		{"small, unlisted", 1000, false, []string{"bytes=0-65535"}},
		{"as large as a header", 64 * kib, false, []string{"bytes=0-65535"}},
		{"medium", 300 * kib, true, []string{"bytes=0-307199"}},
		{"medium, unlisted", 300 * kib, false, []string{"bytes=0-65535", "bytes=65536-307199"}},
		{"as large as is read whole", 4 * mib, true, []string{"bytes=0-4194303"}},
		{"one byte more", 4*mib + 1, true, []string{"bytes=0-65535", "bytes=65536-2162687", "bytes=2162688-4194304"}},
		{"large, unlisted", 5 * mib, false, []string{
			"bytes=0-65535", "bytes=65536-2162687", "bytes=2162688-4259839", "bytes=4259840-5242879",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, b := idAt(noon, n, "shop"), content(tc.size)
			if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
				t.Fatal(err)
			}
			st.requests.take()
			e := sink.Entry{Identity: id}
			if tc.listed {
				e.Size = int64(tc.size)
			}
			obj, err := s.Open(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			defer obj.Close()
			if obj.Size() != int64(tc.size) {
				t.Errorf("Size %d, want %d", obj.Size(), tc.size)
			}
			if err := download(obj, b); err != nil {
				t.Error(err)
			}
			var got []string
			for _, line := range st.requests.take() {
				got = append(got, line[strings.LastIndexByte(line, ' ')+1:])
			}
			slices.Sort(got)
			slices.Sort(tc.want)
			if !slices.Equal(got, tc.want) {
				t.Errorf("requests %q, want %q", got, tc.want)
			}
			// And ReadAt finds its way, however much Open has read.
			for off := 0; off < tc.size; off += 50_000 {
				readAt(t, obj, b, int64(off), min(100_000, tc.size-off))
			}
		})
	}
}

// TestWrongSize opens dumps under a size that is not theirs, as a listing of
// yesterday may have it.
func TestWrongSize(t *testing.T) {
	st := fake(t)
	s := open(t, st.config(bucket, ""))
	id, b := idAt(noon, 1, "shop"), content(900<<10)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{-1, 1, 64<<10 + 1, 100_000, 900<<10 - 1, 900<<10 + 1, 1 << 20, 1 << 40} {
		obj, err := s.Open(t.Context(), sink.Entry{Identity: id, Size: size})
		if err != nil {
			t.Fatal(err)
		}
		if obj.Size() != int64(len(b)) {
			t.Errorf("opened as %d bytes: Size %d, want %d", size, obj.Size(), len(b))
		}
		if err := download(obj, b); err != nil {
			t.Errorf("opened as %d bytes: %v", size, err)
		}
		readAt(t, obj, b, 70_000, 700_000)
		readAt(t, obj, b, int64(len(b)-10), 10)
		obj.Close()
	}
}

// TestDownloadsAtOnce checks how many ranges are asked for at once: of one dump
// as many as the configuration says, and of several together twice as many.
func TestDownloadsAtOnce(t *testing.T) {
	const atOnce, ranges = 3, 9
	var under, most atomic.Int64
	var reached atomic.Pointer[chan struct{}] // closed when as many as may be are under way
	var limit atomic.Int64
	st := proxied(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if h := r.Header.Get("Range"); h != "" && !strings.HasPrefix(h, "bytes=0-") {
			n := under.Add(1)
			defer under.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			if n == limit.Load() {
				limit.Store(0)
				close(*reached.Load())
			}
			<-*reached.Load()
		}
		next.ServeHTTP(w, r)
	})
	cfg := st.config(bucket, "")
	cfg.Concurrency = atOnce
	s := open(t, cfg)
	s3.SetParts(s, 64<<20, 100_000)
	id, b := idAt(noon, 1, "shop"), content(64<<10+ranges*100_000)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ dumps, want int64 }{{1, atOnce}, {2, 2 * atOnce}, {5, 2 * atOnce}, {1, atOnce}} {
		all := make(chan struct{})
		reached.Store(&all)
		most.Store(0)
		limit.Store(tc.want)
		var downloads sync.WaitGroup
		for range tc.dumps {
			downloads.Go(func() {
				obj, err := s.Open(context.Background(), sink.Entry{Identity: id})
				if err != nil {
					t.Error(err)
					return
				}
				defer obj.Close()
				if err := download(obj, b); err != nil {
					t.Error(err)
				}
			})
		}
		downloads.Wait()
		if most.Load() != tc.want {
			t.Errorf("%d dumps: %d ranges at once, want %d", tc.dumps, most.Load(), tc.want)
		}
	}
}

// fullDisk takes so many bytes and no more.
type fullDisk struct {
	mu   sync.Mutex
	left int
}

var errFull = errors.New("disk is full")

func (f *fullDisk) WriteAt(p []byte, _ int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(p), f.left)
	f.left -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// TestDownloadToFullDisk checks that the reader's trouble is told from the
// store's: it is not tried again, and not called the store's.
func TestDownloadToFullDisk(t *testing.T) {
	st := fake(t)
	s := open(t, st.config(bucket, ""))
	id, b := idAt(noon, 1, "shop"), content(3<<20)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 1000, 64 << 10, 64<<10 + 1, 2 << 20, 3<<20 - 1} {
		obj, err := s.Open(t.Context(), sink.Entry{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		st.requests.take()
		n, err := obj.(s3.Downloader).DownloadTo(&fullDisk{left: room})
		if !errors.Is(err, errFull) || strings.Contains(fmt.Sprint(err), "store") || n != int64(room) {
			t.Errorf("with room for %d bytes: %d, %v", room, n, err)
		}
		if got := len(st.requests.take()); got > 1 {
			t.Errorf("with room for %d bytes: %d requests, want at most 1", room, got)
		}
		obj.Close()
		if _, err := obj.(s3.Downloader).DownloadTo(&memory{}); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("DownloadTo after Close: %v", err)
		}
	}
}

// TestNoLength is about a store, or what is in front of it, that neither says
// the length nor answers with the range.
func TestNoLength(t *testing.T) {
	st := proxied(t, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		_, _ = w.Write([]byte("dump"))
		_ = http.NewResponseController(w).Flush() // and so without a Content-Length
	})
	if obj, err := open(t, st.config(bucket, "")).Open(t.Context(), sink.Entry{Identity: idAt(noon, 1, "shop")}); err == nil {
		t.Errorf("Open: an object of %d bytes", obj.Size())
	}
}

var _ io.WriterAt = (*fullDisk)(nil)
