package dump

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// check reads everything there is in r, which is the dump of c, in every way.
func (c *content) check(t *testing.T, r *Reader) {
	t.Helper()
	same(t, "header", r.Header(), &c.header)

	same(t, "number of types", r.NumTypes(), len(c.types))
	for _, want := range c.types {
		got := r.Type(want.ID)
		same(t, "type", got, want)
		if again := r.Type(want.ID); again != got {
			t.Fatalf("type %d is not the same pointer the second time", want.ID)
		}
	}
	if r.Type(0) != nil || r.Type(TypeID(len(c.types)+1)) != nil {
		t.Fatal("there are more types than were written")
	}

	i := 0
	for ty, err := range r.Types() {
		if err != nil {
			t.Fatal(err)
		}
		same(t, "type", ty, c.types[i])
		i++
	}
	same(t, "types gone through", i, len(c.types))

	same(t, "number of objects", r.NumObjects(), len(c.objects))
	i = 0
	for o, err := range r.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		same(t, "object", o, c.objects[i])
		i++
	}
	same(t, "objects gone through", i, len(c.objects))
	for _, i := range rand.Perm(len(c.objects)) {
		o, err := r.Object(ObjectID(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "object", o, c.objects[i])
	}
	for _, id := range []ObjectID{0, ObjectID(len(c.objects) + 1), ^ObjectID(0)} {
		if _, err := r.Object(id); !errors.Is(err, ErrNotFound) {
			t.Fatalf("object %d: error %v, want ErrNotFound", id, err)
		}
	}

	c.checkGoroutines(t, r)
	c.checkRest(t, r)
	if err := r.Verify(); err != nil {
		t.Fatal(err)
	}
	if err := r.Damage(); err != nil {
		t.Fatal(err)
	}
}

func (c *content) checkGoroutines(t *testing.T, r *Reader) {
	t.Helper()
	same(t, "number of goroutines", r.NumGoroutines(), len(c.goroutines))
	i := 0
	for g, err := range r.Goroutines() {
		if err != nil {
			t.Fatal(err)
		}
		same(t, "goroutine", g, c.goroutines[i])
		i++
	}
	same(t, "goroutines gone through", i, len(c.goroutines))
	for _, want := range c.goroutines {
		got, err := r.Goroutine(want.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "goroutine", got, want)
	}
	if _, err := r.Goroutine(-17); !errors.Is(err, ErrNotFound) {
		t.Fatalf("goroutine -17: error %v, want ErrNotFound", err)
	}
	g, err := r.Failing()
	if len(c.goroutines) > 0 && c.goroutines[0].Failing {
		if err != nil {
			t.Fatal(err)
		}
		same(t, "failing goroutine", g, c.goroutines[0])
	} else if !errors.Is(err, ErrNotFound) {
		t.Fatalf("failing goroutine: error %v, want ErrNotFound", err)
	}
}

func (c *content) checkRest(t *testing.T, r *Reader) {
	t.Helper()
	files, err := r.Sources()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "number of sources", len(files), len(c.sources))
	for i, want := range c.sources {
		same(t, "name of source", files[i], want.File)
		got, err := r.Source(want.File)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "source", got, want)
	}
	i := 0
	for src, err := range r.Excerpts() {
		if err != nil {
			t.Fatal(err)
		}
		same(t, "source", src, c.sources[i])
		i++
	}
	same(t, "sources gone through", i, len(c.sources))
	same(t, "number of package variables", r.NumPackageVars(), len(c.vars))
	i = 0
	for v, err := range r.PackageVars() {
		if err != nil {
			t.Fatal(err)
		}
		same(t, "package variable", v, c.vars[i])
		got, err := r.PackageVarAt(i)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "package variable", got, c.vars[i])
		i++
	}
	same(t, "package variables gone through", i, len(c.vars))
	for _, i := range []int{-1, len(c.vars)} {
		if _, err := r.PackageVarAt(i); !errors.Is(err, ErrNotFound) {
			t.Fatalf("package variable %d: error %v, want ErrNotFound", i, err)
		}
	}
	if _, err := r.Source("no such file"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("source: error %v, want ErrNotFound", err)
	}
	x, err := r.Extra()
	if c.extra == nil {
		if !errors.Is(err, ErrNotFound) {
			t.Fatalf("extra: error %v, want ErrNotFound", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	same(t, "extra", x, c.extra)
}

func TestRoundTrip(t *testing.T) {
	seeds := uint64(50)
	if raceEnabled {
		seeds = 10
	}
	for seed := range seeds {
		g := newGenerator(seed)
		c := g.dump(1 + int(seed))
		var buf bytes.Buffer
		opts := []WriterOption{WithChunkSize(1 << g.IntN(20)), WithLevel(g.IntN(12))}
		if n := c.write(t, &buf, g.Rand, opts...); n != int64(buf.Len()) {
			t.Fatalf("seed %d: Close says %d bytes, %d were written", seed, n, buf.Len())
		}
		r := open(t, buf.Bytes(), WithCacheSize(1<<g.IntN(20)))
		same(t, "size", r.Size(), int64(buf.Len()))
		c.check(t, r)
		h, err := ReadHeader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "header", h, &c.header)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestEmptyDump(t *testing.T) {
	c := &content{}
	file := c.file(t)
	c.check(t, open(t, file))
	same(t, "counts", c.header.Counts, Counts{})
}

func TestOpenFile(t *testing.T) {
	c := newGenerator(1).dump(30)
	path := filepath.Join(t.TempDir(), "x"+Extension)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, f, nil)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c.check(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error %v, want ErrNotExist", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNotDump) {
		t.Fatalf("error %v, want ErrNotDump", err)
	}
}

// What is not UTF-8 cannot be in a protobuf string; bytes are kept.
func TestInvalidUTF8(t *testing.T) {
	const bad, good = "a\xff\xfeb", "a\uFFFDb"
	c := &content{objects: []*Object{{ID: 1, Value: Value{Func: bad, Bytes: []byte(bad)}}}}
	c.header.Description = bad
	r := open(t, c.file(t))
	same(t, "description", r.Header().Description, good)
	o, err := r.Object(1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "value", o.Value, Value{Func: good, Bytes: []byte(bad)})
}

// A stranger's file may have bytes in a string that are not UTF-8.
func TestInvalidUTF8InFile(t *testing.T) {
	var v encoder
	v.bytes(15, []byte("a\xff\xfeb"))
	r := open(t, forge(1, 0, nil, plain(secObjects, object(v.b))))
	o, err := r.Object(1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "value", o.Value, Value{Func: "a\uFFFDb"})
}

func TestIterationStops(t *testing.T) {
	c := newGenerator(5).dump(80)
	r := open(t, c.file(t))
	for stop := range 3 {
		n := 0
		for range r.Objects() {
			if n++; n > stop {
				break
			}
		}
		for range r.Goroutines() {
			if n--; n <= 0 {
				break
			}
		}
		same(t, "steps", n, 0)
	}
}

// Counts that the caller does not know are filled in; the others stay.
func TestCounts(t *testing.T) {
	c := &content{
		objects: []*Object{{ID: 1}, {ID: 2}},
		goroutines: []*Goroutine{
			{Failing: true, Values: make([]Variable, 1), Frames: []Frame{{Vars: make([]Variable, 2)}, {}}},
			{Frames: []Frame{{Vars: make([]Variable, 3)}}},
		},
	}
	c.header.Counts = Counts{Objects: 77, Bytes: 99}
	r := open(t, c.file(t))
	want := Counts{Goroutines: 2, Frames: 3, Variables: 6, Objects: 77, Bytes: 99}
	same(t, "counts", r.Header().Counts, want)
	same(t, "counts in the caller's header", c.header.Counts, want)
	same(t, "format version", c.header.FormatVersion, "1.1")
}

func TestConcurrentReading(t *testing.T) {
	c := newGenerator(5).dump(80)
	r := open(t, c.file(t, WithChunkSize(1)), WithCacheSize(20_000))
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 0))
			for range 300 {
				i := rnd.IntN(len(c.objects))
				if o, err := r.Object(ObjectID(i + 1)); err != nil || o.Addr != c.objects[i].Addr {
					t.Errorf("object %d: %v", i+1, err)
				}
				i = rnd.IntN(len(c.goroutines))
				if g, err := r.Goroutine(c.goroutines[i].ID); err != nil || g.Status != c.goroutines[i].Status {
					t.Errorf("goroutine %d: %v", i, err)
				}
				i = rnd.IntN(len(c.types))
				if ty := r.Type(TypeID(i + 1)); ty == nil || ty.Name != c.types[i].Name {
					t.Errorf("type %d", i)
				}
				i = rnd.IntN(len(c.sources))
				if _, err := r.Source(c.sources[i].File); err != nil {
					t.Error(err)
				}
			}
			if err := r.Verify(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(r.cache.order) > cacheChunks || len(r.cache.order) != len(r.cache.entries) {
		t.Errorf("cache holds %d entries in order, %d in all", len(r.cache.order), len(r.cache.entries))
	}
	sum := 0
	for _, e := range r.cache.entries {
		sum += e.bytes
	}
	if sum != r.cache.bytes {
		t.Errorf("cache counts %d bytes and holds %d", r.cache.bytes, sum)
	}
}

// meter is a file that counts what is read of it.
type meter struct {
	*bytes.Reader
	mu    sync.Mutex
	calls int
	bytes int64
}

func (m *meter) ReadAt(b []byte, off int64) (int, error) {
	m.mu.Lock()
	m.calls++
	m.bytes += int64(len(b))
	m.mu.Unlock()
	return m.Reader.ReadAt(b, off)
}

// The header takes one small read, and what a peek needs not much more.
func TestReadsLittle(t *testing.T) {
	var buf bytes.Buffer
	writeBench(t, &buf, 20_000)
	if buf.Len() < 500<<10 {
		t.Fatalf("the file has only %d bytes", buf.Len())
	}
	m := &meter{Reader: bytes.NewReader(buf.Bytes())}
	if _, err := ReadHeader(m, m.Size()); err != nil {
		t.Fatal(err)
	}
	if m.calls != 1 || m.bytes > preludeMax {
		t.Errorf("ReadHeader made %d reads of %d bytes", m.calls, m.bytes)
	}
	m.calls, m.bytes = 0, 0
	r, err := NewReader(m, m.Size())
	if err != nil {
		t.Fatal(err)
	}
	for id := TypeID(1); id <= 5; id++ {
		if r.Type(id) == nil {
			t.Fatalf("no type %d", id)
		}
	}
	if m.calls != 2 || m.bytes > preludeMax+200 {
		t.Errorf("opening and reading the types made %d reads of %d bytes", m.calls, m.bytes)
	}
	if _, err := r.Object(1); err != nil {
		t.Fatal(err)
	}
	if m.calls > 3 || m.bytes > preludeMax+defaultChunk {
		t.Errorf("up to the first object there were %d reads of %d bytes", m.calls, m.bytes)
	}
}

func TestWriterMisuse(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(w *Writer) error
	}{
		{"type out of order", func(w *Writer) error { return w.Type(&Type{ID: 2}) }},
		{"object out of order", func(w *Writer) error { return w.Object(&Object{ID: 3}) }},
		{"object zero", func(w *Writer) error { return w.Object(&Object{}) }},
		{"failing goroutine second", func(w *Writer) error {
			if err := w.Goroutine(&Goroutine{ID: 1}); err != nil {
				t.Fatal(err)
			}
			return w.Goroutine(&Goroutine{ID: 2, Failing: true})
		}},
		{"two failing goroutines", func(w *Writer) error {
			if err := w.Goroutine(&Goroutine{ID: 1, Failing: true}); err != nil {
				t.Fatal(err)
			}
			return w.Goroutine(&Goroutine{ID: 2, Failing: true})
		}},
		{"extra twice", func(w *Writer) error {
			if err := w.Extra(&Extra{}); err != nil {
				t.Fatal(err)
			}
			return w.Extra(&Extra{})
		}},
		{"after Close", func(w *Writer) error {
			if _, err := w.Close(&Header{}); err != nil {
				t.Fatal(err)
			}
			return w.Object(&Object{ID: 1})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewWriter(new(bytes.Buffer))
			err := c.do(w)
			if err == nil {
				t.Fatal("no error")
			}
			for name, again := range map[string]error{
				"Type": w.Type(&Type{ID: 1}), "Object": w.Object(&Object{ID: 1}), "Goroutine": w.Goroutine(&Goroutine{}),
				"Source": w.Source(&Source{}), "Extra": w.Extra(&Extra{}),
			} {
				if !errors.Is(again, err) {
					t.Errorf("%s afterwards: error %v, want %v", name, again, err)
				}
			}
			if _, again := w.Close(&Header{}); !errors.Is(again, err) {
				t.Errorf("Close afterwards: error %v, want %v", again, err)
			}
		})
	}
}

// failingWriter fails after n bytes.
type failingWriter struct{ n int }

var errDisk = errors.New("disk is full")

func (f *failingWriter) Write(b []byte) (int, error) {
	if len(b) > f.n {
		n := f.n
		f.n = 0
		return n, errDisk
	}
	f.n -= len(b)
	return len(b), nil
}

func TestWriteError(t *testing.T) {
	c := newGenerator(3).dump(12)
	size := len(c.file(t))
	for n := 0; n < size; n += 1 + size/50 {
		w := NewWriter(&failingWriter{n})
		for _, o := range c.objects {
			if err := w.Object(o); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range c.sources {
			if err := w.Source(s); err != nil {
				t.Fatal(err)
			}
		}
		written, err := w.Close(&c.header)
		if !errors.Is(err, errDisk) && err != nil || written > int64(n) {
			t.Fatalf("after %d bytes: %d written, error %v", n, written, err)
		}
		if err == nil {
			break // the rest of the dump, which is not in this one
		}
	}
}

func TestWriterDoesNotAllocate(t *testing.T) {
	_, object := benchGraph()
	w := NewWriter(new(bytes.Buffer))
	var o Object
	id := 0
	one := func() {
		id++
		object(id, &o)
		if err := w.Object(&o); err != nil {
			t.Fatal(err)
		}
	}
	for range 10_000 { // some chunks, so that everything has been grown
		one()
	}
	if n := testing.AllocsPerRun(5_000, one); n >= 1 {
		t.Errorf("%v allocations per object", n)
	}
}

func TestErrorTexts(t *testing.T) {
	for _, c := range []struct{ head, want string }{
		{"", "not a dump file: the file is empty"},
		{"\x1f\x8b\x08", "not a dump file: it looks like a gzip file (uncompress it first)"},
		{"\x28\xb5\x2f\xfd", "not a dump file: it looks like a zstd file (uncompress it first)"},
		{"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00", "not a dump file: it looks like an ELF core file"},
		{"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00", "not a dump file: it looks like an ELF program or library"},
		{`{"objects": {"1": 2}}`, "not a dump file: it looks like a dump of Python's coredumpy, which only that can open"},
		{` [1]`, "not a dump file: it looks like a JSON document"},
		{"hello", "not a dump file"},
		{"\x89CDMP\n\x1a", "not a dump file: it was one, but its line ends were converted (transferred as text, not binary)"},
		{"\x89CDMP\r\r\n\x1a", "not a dump file: it was one, but its line ends were converted (transferred as text, not binary)"},
	} {
		_, err := NewReader(bytes.NewReader([]byte(c.head)), int64(len(c.head)))
		if !errors.Is(err, ErrNotDump) {
			t.Errorf("%q: error %v, want ErrNotDump", c.head, err)
			continue
		}
		same(t, fmt.Sprintf("error for %q", c.head), err.Error(), c.want)
	}
}
