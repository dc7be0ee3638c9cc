package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// manyDumps is a store with dumps of one trace that exist only when they are
// opened.
type manyDumps struct {
	store
	n    int
	make func(i int) []byte
	open func(i int) error // called for each Open

	opens atomic.Int64
	now   atomic.Int64 // open
	most  atomic.Int64
}

func manyID(i int) dump.ID {
	id := fixtureID(40, 0)
	id[13], id[14], id[15] = byte(i>>16), byte(i>>8), byte(i)
	return id
}

func (s *manyDumps) targets() []target {
	var list []target
	for i := range s.n {
		id := dump.Identity{ID: manyID(i), TraceID: mustTrace(traceA)}
		list = append(list, target{name: fmt.Sprint(i), st: &opened{store: s}, entry: sink.Entry{Identity: id, Key: sink.TraceKey(id)}})
	}
	return list
}

func (s *manyDumps) Open(_ context.Context, e sink.Entry) (sink.Object, error) {
	i := int(e.ID[13])<<16 | int(e.ID[14])<<8 | int(e.ID[15])
	s.opens.Add(1)
	if s.open != nil {
		if err := s.open(i); err != nil {
			return nil, err
		}
	}
	now := s.now.Add(1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	return &countedObject{memObject{bytes.NewReader(s.make(i))}, s}, nil
}

type countedObject struct {
	memObject
	s *manyDumps
}

func (o *countedObject) Close() error {
	o.s.now.Add(-1)
	return nil
}

// numbered is the fixture with the ID of the i-th dump, and so many bytes that do
// not compress.
func numbered(t testing.TB, i, size int) []byte {
	t.Helper()
	f := panicFixture()
	f.header.ID = manyID(i)
	noise := make([]byte, size)
	state := uint32(i + 1)
	for k := range noise {
		state = state*1664525 + 1013904223
		noise[k] = byte(state >> 24)
	}
	f.objects = append(f.objects, dump.Object{ID: 5, Value: dump.Value{Type: tString, Bytes: noise, Len: int64(size)}})
	b, err := f.encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// copyTargets brings dumps as fetch does.
func copyTargets(ctx context.Context, dir string, list []target) (int, []copied, string) {
	var errs bytes.Buffer
	std := &stdio{err: &errs, out: io.Discard}
	failures := &failures{std: std}
	copies := copyAll(ctx, std, list, &fetchFlags{out: dir}, failures)
	return failures.code, copies, errs.String()
}

// TestFetchResumes breaks a fetch off in the middle, and checks that what is there
// then is whole, that nothing else is, and that the next fetch brings the rest and
// nothing twice.
func TestFetchResumes(t *testing.T) {
	defer goleak.VerifyNone(t)
	const n = 200
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var opened atomic.Int64
	s := &manyDumps{n: n, make: func(i int) []byte { return numbered(t, i, 1000) }}
	s.open = func(int) error {
		if opened.Add(1) == n/2 {
			cancel() // the user has had enough
		}
		return nil
	}
	if _, copies, _ := copyTargets(ctx, dir, s.targets()); copies != nil {
		t.Errorf("%d copies after an interrupt", len(copies))
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(there) == 0 || len(there) >= n {
		t.Errorf("%d files are there", len(there))
	}
	for _, d := range there {
		id, err := dump.ParseID(strings.TrimSuffix(d.Name(), dump.Extension))
		if err != nil {
			t.Errorf("%s was left", d.Name())
			continue
		}
		if _, err := verifyFile(filepath.Join(dir, d.Name()), dump.Identity{ID: id}, false); err != nil {
			t.Error(err)
		}
	}

	list := s.targets()
	for i := range list {
		list[i].entry.Size = int64(len(s.make(i))) // as a listing tells it
	}
	s.opens.Store(0)
	code, copies, errs := copyTargets(t.Context(), dir, list)
	if code != exitOK || len(copies) != n || errs != "" {
		t.Errorf("the rest: code %d, %d copies, %q", code, len(copies), errs)
	}
	if got, want := int(s.opens.Load()), n-len(there); got != want {
		t.Errorf("%d dumps were opened, want %d", got, want)
	}
}

// TestFetchSome has a store some of whose dumps cannot be had: the others come.
func TestFetchSome(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	s := &manyDumps{n: 50, make: func(i int) []byte { return numbered(t, i, 100) }}
	s.open = func(i int) error {
		switch {
		case i%10 == 3:
			return errors.New("the store answered InternalError: try again")
		case i == 8:
			return fmt.Errorf("opening: %w", sink.ErrNotFound)
		}
		return nil
	}
	code, copies, errs := copyTargets(t.Context(), dir, s.targets())
	if code != exitNoDump || len(copies) != 44 || strings.Count(errs, "InternalError") != 5 || strings.Count(errs, "no dump "+manyID(8).String()) != 1 {
		t.Errorf("code %d, %d copies, %q", code, len(copies), errs)
	}
	if most := s.most.Load(); most > copyWidth {
		t.Errorf("%d dumps were open at once", most)
	}
	if s.now.Load() != 0 {
		t.Errorf("%d dumps are still open", s.now.Load())
	}
}

// TestFetchMemory brings many large dumps and checks that no more than a few parts
// of them are held at a time.
func TestFetchMemory(t *testing.T) {
	const size = 12 << 20
	one := numbered(t, 0, size)
	s := &manyDumps{n: 40}
	var peak atomic.Uint64
	base := liveHeap()
	s.make = func(int) []byte {
		if now := liveHeap(); now > base {
			for p := peak.Load(); now-base > p && !peak.CompareAndSwap(p, now-base); p = peak.Load() {
			}
		}
		return one // of another ID, so that each is said to be damaged
	}
	code, copies, _ := copyTargets(t.Context(), t.TempDir(), s.targets())
	if code != exitDamaged || len(copies) != s.n {
		t.Errorf("code %d, %d copies", code, len(copies))
	}
	t.Logf("at most %d MiB were alive", peak.Load()>>20)
	// Beside what is under way some copies are checked, which takes a section of
	// each, here the whole object, as it is stored and as it was. All dumps together
	// have 480 MiB.
	const most = 192 << 20
	if peak.Load() > most {
		t.Errorf("%d MiB were alive, want at most %d", peak.Load()>>20, most>>20)
	}
	runtime.KeepAlive(one)
}

// TestFetchTorn checks that a copy that a power failure has left without its
// content is replaced.
func TestFetchTorn(t *testing.T) {
	s := &manyDumps{n: 1, make: func(i int) []byte { return numbered(t, i, 1000) }}
	for name, content := range map[string][]byte{"empty": {}, "zeros": make([]byte, len(s.make(0)))} {
		dir := t.TempDir()
		path := filepath.Join(dir, manyID(0).String()+dump.Extension)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		code, copies, errs := copyTargets(t.Context(), dir, s.targets())
		if code != exitOK || len(copies) != 1 || copies[0].kept || errs != "" {
			t.Errorf("%s: code %d, %+v, %q", name, code, copies, errs)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, s.make(0)) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestFetchLarge brings a dump of several ranges out of a bucket, and through a
// store that knows nothing but ReadAt.
func TestFetchLarge(t *testing.T) {
	const size = 20<<20 + 7
	data := numbered(t, 0, size)
	dir := t.TempDir()
	s := &manyDumps{n: 1, make: func(int) []byte { return data }}
	code, copies, errs := copyTargets(t.Context(), dir, s.targets())
	if code != exitOK || len(copies) != 1 || errs != "" {
		t.Fatalf("code %d, %+v, %q", code, copies, errs)
	}
	if got, err := os.ReadFile(copies[0].path); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}

	b := newBucket(t)
	file := b.config(t, "dumps", "", "")
	b.plant(t, sink.TraceKey(dump.Identity{ID: manyID(0), TraceID: mustTrace(traceA)}), data)
	b.take()
	out := t.TempDir()
	code, text, errs := session(t, 0, "fetch", "--config", file, "-o", out, traceA)
	if code != exitOK || errs != "" {
		t.Fatalf("code %d, %q, %q", code, text, errs)
	}
	if got, err := os.ReadFile(strings.TrimSpace(text)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if ranges := len(b.take()) - 1; ranges < 3 || ranges > 6 {
		t.Errorf("%d ranges", ranges)
	}
}
