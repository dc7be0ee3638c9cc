package dump

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

// known reports whether err is one of those that reading may give. There is no
// other, because the bytes are in memory.
func known(err error) bool {
	return errors.Is(err, ErrNotDump) || errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged)
}

func golden(f *testing.F) []byte {
	f.Helper()
	file, err := os.ReadFile("testdata/v1.cdmp")
	if err != nil {
		f.Fatal(err)
	}
	return file
}

// FuzzReader opens any bytes at all as a file, and reads all that there is.
func FuzzReader(f *testing.F) {
	file := golden(f)
	f.Add(file)
	f.Add(file[:len(file)/2])
	for _, name := range []string{"v1.1.cdmp", "future-minor.cdmp", "future-flag.cdmp", "future-major.cdmp"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(forge(1, 0, nil))
	f.Add(forge(1, 9, nil, plain(secObjects, nil, object(nested(3))), plain(99, []byte("x"))))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			if !known(err) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if err := readAll(r); err != nil && !known(err) {
			t.Fatalf("error %v", err)
		}
	})
}

// FuzzReadHeader makes a file of any bytes as its prelude, with the right
// checksum.
func FuzzReadHeader(f *testing.F) {
	file := golden(f)
	f.Add(file[startLen : startLen+parseStart(file).prelude])
	var e encoder
	at := e.open(1)
	h := hugeHeader(3)
	e.header(&h)
	e.close(at)
	f.Add(e.b)
	f.Fuzz(func(t *testing.T, prelude []byte) {
		s := start{major: versionMajor, prelude: uint32(len(prelude))}
		file := append(appendStart(nil, s, prelude), prelude...)
		h, err := ReadHeader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			if h != nil || !known(err) {
				t.Fatalf("header %v, error %v", h, err)
			}
			return
		}
		if r, err := NewReader(bytes.NewReader(file), int64(len(file))); err == nil {
			readAll(r)
		} else if !known(err) {
			t.Fatalf("error %v", err)
		}
		// What could be read can be written again, and says the same.
		e := encoder{b: fitHeader(h, headerRoom)}
		again := &Header{FormatVersion: h.FormatVersion}
		d := decoders.Get().(*decoder).reset()
		defer d.free()
		if err := d.header(e.b, again); err != nil {
			t.Fatal(err)
		}
		if len(again.Missing) == len(h.Missing) { // nothing was cut
			same(t, "header", again, h)
		}
	})
}

// FuzzRecord makes a file with any bytes as a record of any kind, with the right
// checksums.
func FuzzRecord(f *testing.F) {
	file := golden(f)
	r, err := NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		f.Fatal(err)
	}
	for i := range r.sections {
		c, err := r.chunk(i)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint16(r.sections[i].kind), c.record(0), true)
	}
	f.Add(uint16(secObjects), object(nested(maxDepth+1)), true)
	f.Add(uint16(secObjects), record(nil, []byte{1}), false)
	f.Fuzz(func(t *testing.T, kind uint16, b []byte, one bool) {
		if sectionKind(kind) == secEnd {
			return // forge adds one
		}
		s := plain(sectionKind(kind), b)
		if !one {
			s.payload, s.raw = b, uint32(len(b))
		}
		file := forge(1, 0, nil, s)
		r, err := NewReader(bytes.NewReader(file), int64(len(file)))
		if err == nil {
			err = readAll(r)
		}
		if err != nil && !known(err) {
			t.Fatalf("error %v", err)
		}
	})
}
