package s3_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// idAt returns the n-th dump of a millisecond.
func idAt(at time.Time, n int, service string) dump.Identity {
	ms := at.UnixMilli()
	id := dump.Identity{TraceID: dump.TraceID{1, 2, 3}, Service: service}
	for i := range 6 {
		id.ID[i] = byte(ms >> (40 - 8*i))
	}
	id.ID[6], id.ID[8] = 0x70, 0x80
	id.ID[14], id.ID[15] = byte(n>>8), byte(n)
	return id
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// wantRequests compares the requests since the last time.
func wantRequests(t *testing.T, what string, st *store, want ...string) {
	t.Helper()
	got := st.requests.take()
	for i, line := range got {
		line = strings.ReplaceAll(line, "&encoding-type=url", "")
		line = strings.ReplaceAll(line, "&list-type=2", "")
		line, _, _ = strings.Cut(line, "&x-id=")
		line = strings.ReplaceAll(line, "?x-id=PutObject", "")
		line = strings.ReplaceAll(line, "?x-id=GetObject", "")
		line = strings.ReplaceAll(line, "?x-id=DeleteObject", "")
		line = strings.ReplaceAll(line, "encoding-type=url&", "")
		line = strings.ReplaceAll(line, "list-type=2&", "")
		line = strings.ReplaceAll(line, "/"+bucket+"/", "/")
		line = strings.TrimSuffix(line, "/")
		got[i], _ = url.QueryUnescape(line)
		got[i] = strings.ReplaceAll(got[i], "GET /"+bucket, "LIST ")
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: the requests\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// TestRequests counts what the methods cost.
func TestRequests(t *testing.T) {
	st := fake(t)
	s := open(t, st.config(bucket, "p"))
	id := idAt(noon, 1, "shop")
	_, _ = s.URI(id), s.String()
	wantRequests(t, "New, URI, String", st)

	if err := s.Put(t.Context(), id, bytes.NewReader(content(100))); err != nil {
		t.Fatal(err)
	}
	key, marker := sink.TraceKey(id), sink.DayKey(id)
	wantRequests(t, "Put", st, "PUT /p/"+key, "PUT /p/"+marker)

	if _, err := s.Trace(t.Context(), id.TraceID); err != nil {
		t.Fatal(err)
	}
	wantRequests(t, "Trace", st, "LIST ?prefix=p/"+sink.TracePrefix(id.TraceID))

	for range s.List(t.Context(), sink.Query{}) {
	}
	wantRequests(t, "List", st,
		"LIST ?delimiter=/&prefix=p/v1/days/",
		"LIST ?delimiter=/&prefix=p/v1/days/2026/",
		"LIST ?delimiter=/&prefix=p/v1/days/2026/03/",
		"LIST ?prefix=p/v1/days/2026/03/01/")

	for range s.List(t.Context(), sink.Query{Since: noon.AddDate(0, 0, 1)}) {
	}
	wantRequests(t, "List since tomorrow", st,
		"LIST ?delimiter=/&prefix=p/v1/days/",
		"LIST ?delimiter=/&prefix=p/v1/days/2026/",
		"LIST ?delimiter=/&prefix=p/v1/days/2026/03/")

	for range s.List(t.Context(), sink.Query{Service: "a/b", Since: noon.Add(-time.Minute), Until: noon}) {
	}
	wantRequests(t, "List of a service", st,
		"LIST ?delimiter=/&prefix=p/v1/days/",
		"LIST ?delimiter=/&prefix=p/v1/days/2026/",
		"LIST ?delimiter=/&prefix=p/v1/days/2026/03/",
		"LIST ?prefix=p/v1/days/2026/03/01/a%2Fb/&start-after=p/v1/days/2026/03/01/a%2Fb/019ca944-1fa0")

	if err := s.Delete(t.Context(), sink.Entry{Identity: id}); err != nil {
		t.Fatal(err)
	}
	wantRequests(t, "Delete", st, "DELETE /p/"+key, "DELETE /p/"+marker)
}

// TestListReadsWhatIsConsumed fills years and looks at the newest dump only.
func TestListReadsWhatIsConsumed(t *testing.T) {
	st := fake(t)
	s := open(t, st.config(bucket, ""))
	for day := range 60 {
		if err := st.put(t.Context(), bucket, sink.DayKey(idAt(noon.AddDate(0, 0, -20*day), 1, "shop")), nil); err != nil {
			t.Fatal(err)
		}
	}
	st.requests.take()
	n := 0
	for _, err := range s.List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Fatalf("List yields %d dumps, want 2", n)
	}
	wantRequests(t, "List", st,
		"LIST ?delimiter=/&prefix=v1/days/",
		"LIST ?delimiter=/&prefix=v1/days/2026/",
		"LIST ?delimiter=/&prefix=v1/days/2026/03/",
		"LIST ?prefix=v1/days/2026/03/01/",
		"LIST ?delimiter=/&prefix=v1/days/2026/02/",
		"LIST ?prefix=v1/days/2026/02/09/")
}

// TestPages has more dumps in one trace and on one day than a page takes.
func TestPages(t *testing.T) {
	st := fake(t)
	s := open(t, st.config(bucket, "p"))
	const n = 2345
	for i := range n {
		id := idAt(noon, i, fmt.Sprintf("svc-%d", i%7))
		for _, key := range []string{sink.TraceKey(id), sink.DayKey(id)} {
			if _, err := st.backend.PutObject(bucket, "p/"+key, nil, bytes.NewReader(nil), 0, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	entries, err := s.Trace(t.Context(), dump.TraceID{1, 2, 3})
	if err != nil || len(entries) != n {
		t.Fatalf("Trace: %d dumps, %v, want %d", len(entries), err, n)
	}
	for i, e := range entries {
		if e.ID != idAt(noon, i, "").ID {
			t.Fatalf("Trace: dump %d is %s", i, e.ID)
		}
	}
	if got := len(st.requests.take()); got != 3 {
		t.Errorf("Trace made %d requests, want 3", got)
	}
	i := n
	for e, err := range s.List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		i--
		if want := idAt(noon, i, fmt.Sprintf("svc-%d", i%7)); e.ID != want.ID || e.Service != want.Service {
			t.Fatalf("List: dump %d from the end is %s of %s", i, e.ID, e.Service)
		}
	}
	if i != 0 {
		t.Errorf("List: %d dumps are missing", i)
	}
	if got := len(st.requests.take()); got != 3+3 {
		t.Errorf("List made %d requests, want 6", got)
	}
}

// TestReadRequests counts the ranges that reading asks for.
func TestReadRequests(t *testing.T) {
	const kib, mib = 1 << 10, 1 << 20
	st := fake(t)
	s := open(t, st.config(bucket, ""))
	id := idAt(noon, 1, "shop")
	b := content(12 * mib)
	if err := s.Put(t.Context(), id, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	key := "/" + sink.TraceKey(id)
	get := func(from, to int) string { return fmt.Sprintf("GET %s bytes=%d-%d", key, from, to-1) }
	head, block := 64*kib, mib

	for _, tc := range []struct {
		name string
		read func(r io.ReaderAt)
		want []string
	}{
		{"the header", func(r io.ReaderAt) {
			for off := range int64(16) {
				readAt(t, r, b, off*4096, 4096)
			}
		}, nil},
		{"small reads in one block", func(r io.ReaderAt) {
			for off := int64(head + block - 1); off > int64(head); off -= 100 * kib {
				readAt(t, r, b, off, 1)
			}
		}, []string{get(head, head+block)}},
		{"across the edge of two blocks", func(r io.ReaderAt) {
			readAt(t, r, b, int64(head+block-10), 20)
			readAt(t, r, b, int64(head+block-20), 40)
		}, []string{get(head, head+block), get(head+block, head+2*block)}},
		{"across the edge of the head", func(r io.ReaderAt) {
			readAt(t, r, b, int64(head-10), 20)
		}, []string{get(head, head+block)}},
		{"the end", func(r io.ReaderAt) {
			readAt(t, r, b, int64(len(b)-10), 10)
		}, []string{get(head+11*block, len(b))}},
		{"a large read goes past the blocks", func(r io.ReaderAt) {
			readAt(t, r, b, 0, len(b))
		}, []string{get(head, len(b))}},
		{"a large read uses the block that is there", func(r io.ReaderAt) {
			readAt(t, r, b, int64(head), 1)
			readAt(t, r, b, int64(head+100), 4*mib)
		}, []string{get(head, head+block), get(head+block, head+100+4*mib)}},
		{"the least recently used block goes", func(r io.ReaderAt) {
			for n := range 8 {
				readAt(t, r, b, int64(head+n*block), 1)
			}
			readAt(t, r, b, int64(head), 1)         // still there, and used again
			readAt(t, r, b, int64(head+8*block), 1) // drives the second one out
			readAt(t, r, b, int64(head), 1)
			readAt(t, r, b, int64(head+block), 1)
		}, []string{
			get(head, head+block), get(head+block, head+2*block), get(head+2*block, head+3*block), get(head+3*block, head+4*block),
			get(head+4*block, head+5*block), get(head+5*block, head+6*block), get(head+6*block, head+7*block), get(head+7*block, head+8*block),
			get(head+8*block, head+9*block),
			get(head+block, head+2*block),
		}},
		{"many readers of one block", func(r io.ReaderAt) {
			var wg sync.WaitGroup
			for n := range 16 {
				wg.Go(func() { readAt(t, r, b, int64(head+n*1000), 1000) })
			}
			wg.Wait()
		}, []string{get(head, head+block)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st.requests.take()
			obj, err := s.Open(t.Context(), sink.Entry{Identity: id, Size: int64(len(b))})
			if err != nil {
				t.Fatal(err)
			}
			tc.read(obj)
			if err := obj.Close(); err != nil {
				t.Error(err)
			}
			wantRequests(t, "reading", st, append([]string{get(0, head)}, tc.want...)...)
		})
	}
}

// readAt reads a range and compares it.
func readAt(t *testing.T, r io.ReaderAt, all []byte, off int64, n int) {
	t.Helper()
	p := make([]byte, n)
	if got, err := r.ReadAt(p, off); got != n || err != nil && err != io.EOF {
		t.Errorf("ReadAt %d bytes at %d: %d, %v", n, off, got, err)
	}
	if !bytes.Equal(p, all[off:off+int64(n)]) {
		t.Errorf("ReadAt %d bytes at %d: other bytes than were put", n, off)
	}
}
