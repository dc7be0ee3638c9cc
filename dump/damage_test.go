package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"testing"
)

// expectation compares what a damaged file still gives with what was in it.
type expectation struct {
	*content
	t *testing.T
	// lost decides whether an error for a part of that kind is fine.
	lost func(kind sectionKind, id uint64, err error) bool
}

func (x *expectation) part(what string, kind sectionKind, id uint64, got, want any, err error) {
	x.t.Helper()
	switch {
	case err != nil && !x.lost(kind, id, err):
		x.t.Fatalf("%s %d cannot be read: %v", what, id, err)
	case err == nil && !reflect.DeepEqual(got, want):
		x.t.Fatalf("%s %d is wrong, and no error says so\n got: %+v\nwant: %+v", what, id, got, want)
	}
}

// read reads everything that there is in r.
func (x *expectation) read(r *Reader) {
	x.t.Helper()
	for i, want := range x.types {
		var err error
		got := r.Type(want.ID)
		if got == nil {
			if err = r.Damage(); err == nil {
				x.t.Fatalf("type %d is missing, and no error says so", want.ID)
			}
		}
		x.part("type", secTypes, uint64(i+1), got, want, err)
	}
	for i, want := range x.objects {
		got, err := r.Object(want.ID)
		x.part("object", secObjects, uint64(i+1), got, want, err)
	}
	for i, want := range x.goroutines {
		got, err := r.Goroutine(want.ID)
		if i == 0 {
			x.part("goroutine", secFailing, 1, got, want, err)
			got, err = r.Failing()
			x.part("failing goroutine", secFailing, 1, got, want, err)
		} else {
			x.part("goroutine", secGoroutines, uint64(i), got, want, err)
		}
	}
	for i, want := range x.sources {
		got, err := r.Source(want.File)
		x.part("source", secSources, uint64(i+1), got, want, err)
	}
	for i, want := range x.vars {
		got, err := r.PackageVarAt(i)
		x.part("package variable", secVars, uint64(i+1), got, want, err)
	}
	got, err := r.Extra()
	x.part("extra", secExtra, 1, got, x.extra, err)
	// What can be gone through is the same, and what cannot be is no less than lost.
	for o, err := range r.Objects() {
		if err == nil {
			x.part("object", secObjects, uint64(o.ID), o, x.objects[o.ID-1], nil)
		}
	}
	for ty, err := range r.Types() {
		if err == nil {
			x.part("type", secTypes, uint64(ty.ID), ty, x.types[ty.ID-1], nil)
		}
	}
	seen := 0
	for src, err := range r.Excerpts() {
		if err == nil {
			i := slices.IndexFunc(x.sources, func(s *Source) bool { return s.File == src.File })
			x.part("source", secSources, uint64(i+1), src, x.sources[i], nil)
			seen++
		}
	}
	if r.Damage() == nil && seen != len(x.sources) {
		x.t.Fatalf("%d sources of %d, and no error says so", seen, len(x.sources))
	}
}

// smallDump has several sections of each kind that can have several.
func smallDump(t *testing.T) (*content, []byte) {
	c := fixture()
	var buf bytes.Buffer
	w := NewWriter(&buf)
	w.chunkSize = 100
	for i := range 2 { // of 9 objects each; their references do not matter here
		for _, o := range c.objects[:9] {
			o := *o
			o.ID += ObjectID(9 * i)
			if i > 0 {
				c.objects = append(c.objects, &o)
			}
			if err := w.Object(&o); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 9 {
		v := &PackageVar{Package: "shop/pay", Name: string(rune('a' + i)), Late: i%2 == 0, Value: Value{Type: 1, Num: uint64(i), Addr: 0x5000}}
		c.vars = append(c.vars, v)
		if err := w.PackageVar(v); err != nil {
			t.Fatal(err)
		}
	}
	for _, ty := range c.types {
		if err := w.Type(ty); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range c.goroutines {
		if err := w.Goroutine(g); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range c.sources {
		if err := w.Source(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Extra(c.extra); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(&c.header); err != nil {
		t.Fatal(err)
	}
	r := open(t, buf.Bytes())
	if len(r.types) < 2 || len(r.objects) < 3 || len(r.sources) < 2 {
		t.Fatalf("the dump has too few sections: %d, %d, %d", len(r.types), len(r.objects), len(r.sources))
	}
	return c, buf.Bytes()
}

func TestTruncatedAtEveryByte(t *testing.T) {
	c, file := smallDump(t)
	whole := open(t, file)
	preludeEnd := startLen + int(parseStart(file).prelude)
	for n := range file {
		if raceEnabled && n%5 != 0 {
			continue
		}
		r, err := NewReader(bytes.NewReader(file[:n]), int64(n))
		_, headerErr := ReadHeader(bytes.NewReader(file[:n]), int64(n))
		switch {
		case n == 0:
			if !errors.Is(err, ErrNotDump) || !errors.Is(headerErr, ErrNotDump) {
				t.Fatalf("empty file: errors %v and %v, want ErrNotDump", err, headerErr)
			}
			continue
		case n < preludeEnd:
			if !errors.Is(err, ErrTruncated) || !errors.Is(headerErr, ErrTruncated) {
				t.Fatalf("cut at %d, in the prelude: errors %v and %v, want ErrTruncated", n, err, headerErr)
			}
			continue
		}
		if err != nil || headerErr != nil {
			t.Fatalf("cut at %d, behind the prelude: errors %v and %v", n, err, headerErr)
		}
		same(t, "header", r.Header(), &c.header)
		damage := r.Damage()
		var de *DamageError
		if !errors.Is(damage, ErrTruncated) || !errors.Is(damage, ErrDamaged) || !errors.As(damage, &de) || !de.Truncated() || de.Offset != int64(n) {
			t.Fatalf("cut at %d: damage %v", n, damage)
		}
		x := expectation{content: c, t: t, lost: func(kind sectionKind, id uint64, err error) bool {
			for _, s := range whole.sections {
				if s.kind == kind && id >= s.firstID && id < s.firstID+uint64(s.count) {
					return s.end() > int64(n) && errors.Is(err, ErrTruncated)
				}
			}
			return false
		}}
		x.read(r)
		if err := r.Verify(); !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d: Verify says %v", n, err)
		}
		if got := r.Damage().Error(); got != damage.Error() {
			t.Fatalf("cut at %d: reading made the damage grow from %q to %q", n, damage, got)
		}
	}
}

// The size that the caller believes in may be wrong, too.
func TestShorterThanSize(t *testing.T) {
	c, file := smallDump(t)
	for n := 1; n < len(file); n += 7 {
		r, err := NewReader(bytes.NewReader(file[:n]), int64(len(file)))
		if err != nil {
			if !errors.Is(err, ErrTruncated) {
				t.Fatalf("cut at %d: error %v", n, err)
			}
			continue
		}
		if !errors.Is(r.Damage(), ErrTruncated) {
			t.Fatalf("cut at %d: damage %v", n, r.Damage())
		}
		x := expectation{content: c, t: t, lost: func(_ sectionKind, _ uint64, err error) bool { return errors.Is(err, ErrTruncated) }}
		x.read(r)
	}
}

func TestTooLong(t *testing.T) {
	c, file := smallDump(t)
	file = append(file, "garbage"...)
	r := open(t, file)
	var de *DamageError
	if !errors.As(r.Damage(), &de) || de.Truncated() || de.Offset != int64(len(file)-7) {
		t.Fatalf("damage %v", r.Damage())
	}
	x := expectation{content: c, t: t, lost: func(sectionKind, uint64, error) bool { return false }}
	x.read(r)
}

func TestEveryBitFlipped(t *testing.T) {
	c, file := smallDump(t)
	bad := bytes.Clone(file)
	salvaged := 0
	for i := range file {
		for bit := range 8 {
			if raceEnabled && i%24 != 3*bit {
				continue // the race detector makes this a matter of minutes
			}
			bad[i] = file[i] ^ 1<<bit
			h, headerErr := ReadHeader(bytes.NewReader(bad), int64(len(bad)))
			if headerErr == nil {
				same(t, "header", h, &c.header)
			}
			r, err := NewReader(bytes.NewReader(bad), int64(len(bad)))
			if err != nil {
				if !errors.Is(err, ErrNotDump) && !errors.Is(err, ErrDamaged) {
					t.Fatalf("byte %d, bit %d: error %v", i, bit, err)
				}
				continue
			}
			if r.salvaged {
				salvaged++
				if headerErr == nil || r.Damage() == nil {
					t.Fatalf("byte %d, bit %d: salvaged, and no error says so", i, bit)
				}
			} else {
				same(t, "header", r.Header(), &c.header)
			}
			x := expectation{content: c, t: t, lost: func(_ sectionKind, _ uint64, err error) bool {
				return errors.Is(err, ErrDamaged)
			}}
			x.read(r)
			if r.Verify() == nil || r.Damage() == nil {
				t.Fatalf("byte %d, bit %d: nothing found", i, bit)
			}
		}
		bad[i] = file[i]
	}
	if salvaged == 0 {
		t.Error("nothing was ever salvaged")
	}
}

// A file whose header is gone still gives all its sections.
func TestSalvage(t *testing.T) {
	c, file := smallDump(t)
	preludeEnd := startLen + int(parseStart(file).prelude)
	for _, destroy := range []func(b []byte){
		func(b []byte) { clear(b[startLen:preludeEnd]) },
		func(b []byte) { clear(b[12:16]) }, // the prelude's length
		func(b []byte) { binary.LittleEndian.PutUint32(b[12:], 0xffffffff) },
		func(b []byte) { binary.LittleEndian.PutUint32(b[startLen+5:], frameMagic) },
	} {
		bad := bytes.Clone(file)
		destroy(bad)
		if _, err := ReadHeader(bytes.NewReader(bad), int64(len(bad))); !errors.Is(err, ErrDamaged) {
			t.Fatalf("ReadHeader: %v", err)
		}
		r := open(t, bad)
		if !errors.Is(r.Damage(), ErrDamaged) || len(r.Header().Missing) != 1 {
			t.Fatalf("damage %v, header %+v", r.Damage(), r.Header())
		}
		x := expectation{content: c, t: t, lost: func(sectionKind, uint64, error) bool { return false }}
		x.read(r)
		if _, err := r.Object(1000); !errors.Is(err, ErrDamaged) {
			t.Errorf("object that might have been lost: %v", err)
		}
		for n := preludeEnd; n < len(bad); n += 11 { // torn as well
			if r, err := NewReader(bytes.NewReader(bad[:n]), int64(n)); err == nil {
				if r.Verify() == nil {
					t.Fatalf("cut at %d: nothing found", n)
				}
			} else if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
		}
	}
}

// flaky fails while down is set.
type flaky struct {
	bytes.Reader
	down bool
}

var errNet = errors.New("connection reset")

func (f *flaky) ReadAt(b []byte, off int64) (int, error) {
	if f.down {
		return 0, errNet
	}
	return f.Reader.ReadAt(b, off)
}

// An error of the storage is not damage of the dump, and passes.
func TestReadErrors(t *testing.T) {
	var buf bytes.Buffer
	const objects = 8000
	writeBench(t, &buf, objects)
	f := &flaky{Reader: *bytes.NewReader(buf.Bytes()), down: true}
	if _, err := NewReader(f, f.Size()); !errors.Is(err, errNet) || errors.Is(err, ErrDamaged) {
		t.Fatalf("opening: error %v, want that of the connection", err)
	}
	if _, err := ReadHeader(f, f.Size()); !errors.Is(err, errNet) || errors.Is(err, ErrDamaged) {
		t.Fatalf("ReadHeader: error %v, want that of the connection", err)
	}
	f.down = false
	r, err := NewReader(f, f.Size())
	if err != nil {
		t.Fatal(err)
	}
	f.down = true
	if _, err := r.Object(objects / 2); !errors.Is(err, errNet) || errors.Is(err, ErrDamaged) {
		t.Fatalf("Object: error %v, want that of the connection", err)
	}
	if err := r.Verify(); !errors.Is(err, errNet) || errors.Is(err, ErrDamaged) {
		t.Fatalf("Verify: error %v, want that of the connection", err)
	}
	if err := r.Damage(); err != nil {
		t.Fatalf("damage %v", err)
	}
	f.down = false
	if _, err := r.Object(objects / 2); err != nil {
		t.Fatalf("second try: %v", err)
	}
	if err := r.Verify(); err != nil {
		t.Fatalf("second try: %v", err)
	}
}

// A goroutine is found again after the storage had failed when it was first
// looked for.
func TestGoroutineAfterReadError(t *testing.T) {
	c := &content{}
	for i := range 3000 {
		c.goroutines = append(c.goroutines, &Goroutine{ID: int64(i + 1), Status: "waiting", CreatedBy: Location{Line: i * 7919}})
	}
	file := c.file(t, WithChunkSize(minChunk))
	f := &flaky{Reader: *bytes.NewReader(file)}
	r, err := NewReader(f, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	r.head = r.head[:100] // so that nothing of it is in memory already
	f.down = true
	if _, err := r.Goroutine(2900); !errors.Is(err, errNet) || errors.Is(err, ErrNotFound) {
		t.Fatalf("error %v, want that of the connection", err)
	}
	f.down = false
	g, err := r.Goroutine(2900)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "goroutine", g, c.goroutines[2899])
	if _, err := r.Goroutine(5000); !errors.Is(err, ErrNotFound) {
		t.Fatalf("error %v, want ErrNotFound", err)
	}
}
