package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// forged is a section that says of itself what it likes.
type forged struct {
	frame
	payload []byte // as stored
	// entry changes what the directory says of it.
	entry func(*sectionInfo)
}

// record makes a payload of records.
func record(list ...[]byte) (b []byte) {
	for _, r := range list {
		b = protowire.AppendVarint(b, recordTag)
		b = protowire.AppendBytes(b, r)
	}
	return b
}

// plain makes an honest section that is stored uncompressed.
func plain(kind sectionKind, records ...[]byte) forged {
	payload := record(records...)
	return forged{frame: frame{kind: kind, firstID: 1, count: uint32(len(records)), raw: uint32(len(payload))}, payload: payload}
}

// squeezed makes a section whose payload is zstd, and which declares that to be
// raw bytes long.
func squeezed(kind sectionKind, count, raw int, payload []byte) forged {
	return forged{
		frame:   frame{kind: kind, flags: flagZstd, firstID: 1, count: uint32(count), raw: uint32(raw)},
		payload: payload,
	}
}

// forge makes a file of these sections, with an end, and with all checksums
// right.
func forge(major, minor uint16, header []byte, list ...forged) []byte {
	build := func(size int64, crc uint32, preludeLen int) (prelude []byte, body []byte, n int64) {
		var e encoder
		e.b = append(e.b, header...)
		end := packEnd(size, len(list)+1, crc)
		all := append(append([]forged(nil), list...), forged{
			frame:   frame{kind: secEnd, firstID: 1, count: 1, raw: end.raw},
			payload: end.data[frameLen:],
		})
		at := int64(startLen + preludeLen)
		for _, s := range all {
			s.stored, s.crc = uint32(len(s.payload)), checksum(s.payload)
			h := make([]byte, frameLen)
			s.put(h)
			info := sectionInfo{
				kind: uint64(s.kind), offset: uint64(at), stored: uint64(s.stored), raw: uint64(s.raw),
				firstID: s.firstID, count: uint64(s.count),
			}
			if s.entry != nil {
				s.entry(&info)
			}
			open := e.open(2)
			for i, u := range []uint64{info.kind, info.offset, info.stored, info.raw, info.firstID, info.count} {
				e.uint(uint64(i+1), u)
			}
			e.close(open)
			body = append(append(body, h...), s.payload...)
			at += frameLen + int64(len(s.payload))
		}
		return e.b, body, at
	}
	length := 0
	for {
		prelude, _, n := build(0, 0, length)
		if len(prelude) != length {
			length = len(prelude)
			continue
		}
		s := start{major: major, minor: minor, prelude: uint32(length)}
		head := appendStart(nil, s, prelude)
		_, body, _ := build(n, parseStart(head).crc, length)
		return append(append(head, prelude...), body...)
	}
}

// readAll reads everything and returns all errors.
func readAll(r *Reader) error {
	var errs []error
	add := func(err error) {
		if err != nil && !errors.Is(err, ErrNotFound) {
			errs = append(errs, err)
		}
	}
	for id := range min(r.NumTypes(), 1000) {
		r.Type(TypeID(id + 1))
	}
	for o, err := range r.Objects() {
		add(err)
		if err == nil {
			r.NumElems(&o.Value)
			_, _, err := r.ObjectPart(o.ID, 1, 3)
			add(err)
			for i := range min(r.NumElems(&o.Value), 100) {
				e := r.Elem(&o.Value, i)
				_, err := r.Resolve(&e)
				add(err)
			}
		}
	}
	for g, err := range r.Goroutines() {
		add(err)
		if err == nil {
			_, err := r.Goroutine(g.ID)
			add(err)
		}
	}
	_, err := r.Failing()
	add(err)
	for _, err := range r.Types() {
		add(err)
	}
	for _, err := range r.Excerpts() {
		add(err)
	}
	files, err := r.Sources()
	add(err)
	for _, f := range files {
		_, err := r.Source(f)
		add(err)
	}
	_, err = r.Extra()
	add(err)
	add(r.Verify())
	add(r.Damage())
	return errors.Join(errs...)
}

func TestForgedHonestly(t *testing.T) {
	var o, g encoder
	o.object(&Object{Value: Value{Num: 7}})
	g.goroutine(&Goroutine{ID: 9})
	r := open(t, forge(1, 0, nil, plain(secObjects, o.b, o.b), plain(secGoroutines, g.b)))
	if err := readAll(r); err != nil {
		t.Fatal(err)
	}
	got, err := r.Object(2)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "object", got, &Object{ID: 2, Value: Value{Num: 7}})
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func zstdOf(t *testing.T, b []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, append(opts, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	return enc.EncodeAll(b, nil)
}

// nested makes a Value message with that many levels.
func nested(levels int) []byte {
	// Built from the inside out, backwards, since each length counts what it holds.
	b := []byte{}
	for range levels - 1 {
		var head []byte
		head = protowire.AppendVarint(head, 11<<3|wireBytes)
		head = protowire.AppendVarint(head, uint64(len(b)))
		b = append(head, b...)
	}
	return b
}

func object(value []byte) []byte {
	var b []byte
	b = protowire.AppendVarint(b, 1<<3|wireBytes)
	return protowire.AppendBytes(b, value)
}

func TestHostile(t *testing.T) {
	const mib = 1 << 20
	zeros := make([]byte, 24*mib)
	bomb := zstdOf(t, zeros)
	elems := bytes.Repeat([]byte{11<<3 | byte(wireBytes), 0}, maxItems+1)
	groups := bytes.Repeat([]byte{1<<3 | byte(protowire.StartGroupType)}, 3*mib)
	lie := func(change func(*sectionInfo)) forged {
		s := plain(secObjects, object(nil))
		s.entry = change
		return s
	}
	second := plain(secObjects, object(nil))
	second.firstID = 5
	for _, c := range []struct {
		name     string
		sections []forged
		maxAlloc uint64
	}{
		{"bomb that declares little", []forged{squeezed(secObjects, 1, 1000, bomb)}, 4 * mib},
		{"bomb that declares a little less", []forged{squeezed(secObjects, 1, len(zeros)-1, bomb)}, 256 * mib},
		{"bomb that declares the truth", []forged{squeezed(secObjects, 1, len(zeros), bomb)}, 256 * mib},
		{"much declared, nothing there", []forged{squeezed(secObjects, 1, maxSection, zstdOf(t, nil, zstd.WithZeroFrames(true)))}, 16 * mib},
		{"much declared, little there", []forged{squeezed(secObjects, 1, maxSection, zstdOf(t, record(object(nil))))}, 16 * mib},
		{"many frames", []forged{squeezed(secObjects, 1, 100, bytes.Repeat(zstdOf(t, zeros[:1000]), 1000))}, 4 * mib},
		{"no zstd", []forged{squeezed(secObjects, 1, 100, []byte("no zstd at all"))}, 4 * mib},
		{"window too large", []forged{squeezed(secObjects, 1, len(zeros), zstdOf(t, zeros, zstd.WithWindowSize(16*mib), zstd.WithSingleSegment(false)))}, 4 * mib},
		{"larger than allowed", []forged{squeezed(secObjects, 1, maxSection+1, bomb)}, 4 * mib},
		{"raw length wrong", []forged{{frame: frame{kind: secObjects, firstID: 1, count: 1, raw: 77}, payload: record(object(nil))}}, 4 * mib},
		{"more records declared", []forged{squeezed(secObjects, maxRecords, maxSection, bomb)}, 256 * mib},
		{"fewer records declared", []forged{{frame: frame{kind: secObjects, firstID: 1, count: 1, raw: 4}, payload: record(nil, nil)}}, 4 * mib},
		{"too many records", []forged{squeezed(secObjects, maxRecords+1, maxSection, bomb)}, 4 * mib},
		{"too many elements", []forged{plain(secObjects, object(elems))}, 16 * mib},
		{"too many frames", []forged{plain(secGoroutines, bytes.Repeat([]byte{9<<3 | byte(wireBytes), 0}, maxItems+1))}, 16 * mib},
		{"too many lines", []forged{plain(secSources, bytes.Repeat([]byte{2<<3 | byte(wireBytes), 0}, maxItems+1))}, 16 * mib},
		{"nested a little too deep", []forged{plain(secObjects, object(nested(maxDepth+1)))}, 4 * mib},
		{"nested very deep", []forged{plain(secObjects, object(nested(3000)))}, 4 * mib},
		{"deep groups", []forged{plain(secObjects, groups)}, 128 * mib},
		{"payload is no message", []forged{{frame: frame{kind: secObjects, firstID: 1, count: 1, raw: 3}, payload: []byte{0xff, 0xff, 0xff}}}, 4 * mib},
		{"record is no message", []forged{plain(secObjects, []byte{0xff})}, 4 * mib},
		{"field number zero", []forged{plain(secObjects, []byte{0, 0})}, 4 * mib},
		{"length beyond the end", []forged{plain(secObjects, []byte{1<<3 | 2, 100})}, 4 * mib},
		{"trace ID of the wrong length", []forged{plain(secExtra, []byte{8<<3 | 2, 1, 0})}, 4 * mib},
		{"two failing goroutines", []forged{plain(secFailing, nil), plain(secFailing, nil)}, 4 * mib},
		{"failing section of two", []forged{plain(secFailing, nil, nil)}, 4 * mib},
		{"numbers with a gap", []forged{plain(secObjects, nil), second}, 4 * mib},
		{"numbers that overlap", []forged{plain(secObjects, nil), plain(secObjects, nil)}, 4 * mib},
		{"huge offset", []forged{lie(func(s *sectionInfo) { s.offset = math.MaxInt64 })}, 4 * mib},
		{"offset that overflows", []forged{lie(func(s *sectionInfo) { s.offset = math.MaxUint64 })}, 4 * mib},
		{"offset in the prelude", []forged{lie(func(s *sectionInfo) { s.offset = 3 })}, 4 * mib},
		{"offset elsewhere", []forged{lie(func(s *sectionInfo) { s.offset++ })}, 4 * mib},
		{"huge stored length", []forged{lie(func(s *sectionInfo) { s.stored = math.MaxUint64 })}, 4 * mib},
		{"stored length beyond the file", []forged{lie(func(s *sectionInfo) { s.stored = maxSection })}, 4 * mib},
		{"another count", []forged{lie(func(s *sectionInfo) { s.count++; s.raw += 100 })}, 4 * mib},
		{"huge count", []forged{lie(func(s *sectionInfo) { s.count = math.MaxUint64 })}, 4 * mib},
		{"huge kind", []forged{lie(func(s *sectionInfo) { s.kind = 1 << 40 })}, 4 * mib},
		{"another kind", []forged{lie(func(s *sectionInfo) { s.kind = uint64(secTypes) })}, 4 * mib},
		{"number zero", []forged{lie(func(s *sectionInfo) { s.firstID = 0 })}, 4 * mib},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := forge(1, 0, nil, c.sections...)
			var err error
			n := allocated(func() {
				var r *Reader
				if r, err = NewReader(bytes.NewReader(file), int64(len(file))); err == nil {
					err = readAll(r)
				}
			})
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("error %v, want ErrDamaged", err)
			}
			t.Logf("%d KiB allocated: %v", n>>10, err)
			if n > c.maxAlloc {
				t.Errorf("%d MiB were allocated, at most %d should be", n/mib, c.maxAlloc/mib)
			}
		})
	}
}

// What is just within the limits is fine.
func TestWithinLimits(t *testing.T) {
	if raceEnabled {
		t.Skip("a million values take too long with the race detector, and nothing here is concurrent")
	}
	file := forge(1, 0, nil, plain(secObjects,
		object(nested(maxDepth)), object(bytes.Repeat([]byte{11<<3 | byte(wireBytes), 0}, maxItems))))
	r := open(t, file)
	if err := readAll(r); err != nil {
		t.Fatal(err)
	}
	o, err := r.Object(2)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "elements", len(o.Value.Elems), maxItems)
}

// Data that compresses better than anything plausible, but honestly, is read.
func TestVeryCompressible(t *testing.T) {
	c := &content{objects: []*Object{{ID: 1, Value: Value{Bytes: make([]byte, 20<<20), Len: 20 << 20}}}}
	r := open(t, c.file(t))
	s := r.sections[r.objects[0]]
	if int(s.raw) <= plausible(int(s.stored)) {
		t.Fatalf("%d bytes are in %d: not compressible enough for this test", s.raw, s.stored)
	}
	o, err := r.Object(1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "object", o, c.objects[0])
}

func TestDeeplyForgedHeader(t *testing.T) {
	var h encoder
	at := h.open(1)
	h.uint(9, 5) // not a message
	h.bytes(1, []byte("short ID"))
	h.close(at)
	file := forge(1, 0, h.b)
	if _, err := ReadHeader(bytes.NewReader(file), int64(len(file))); !errors.Is(err, ErrDamaged) {
		t.Errorf("error %v, want ErrDamaged", err)
	}
}

func TestVersions(t *testing.T) {
	var o encoder
	o.object(&Object{Value: Value{Num: 7}})
	unknown := plain(99, []byte("what"), []byte("ever"))
	unknown.firstID = 12345
	h := stranger(nil)
	t.Run("newer minor", func(t *testing.T) {
		file := forge(1, 7, h, unknown, plain(secObjects, o.b), unknown)
		r := open(t, file)
		if err := readAll(r); err != nil {
			t.Fatal(err)
		}
		same(t, "version", r.Header().FormatVersion, "1.7")
		if o, err := r.Object(1); err != nil || o.Value.Num != 7 {
			t.Errorf("object %+v, error %v", o, err)
		}
		// A section of unknown kind is checked nevertheless.
		at := bytes.Index(file, []byte("what"))
		file[at]++
		if err := open(t, file).Verify(); !errors.Is(err, ErrDamaged) {
			t.Errorf("error %v, want ErrDamaged", err)
		}
	})
	t.Run("newer way to store", func(t *testing.T) {
		odd := plain(secObjects, o.b)
		odd.flags = 1 << 5
		r := open(t, forge(1, 7, h, odd))
		if _, err := r.Object(1); !errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged) {
			t.Errorf("error %v, want ErrVersion", err)
		}
		if err := r.Verify(); !errors.Is(err, ErrVersion) {
			t.Errorf("Verify: %v, want ErrVersion", err)
		}
	})
	for _, major := range []uint16{0, 2, 300} {
		t.Run(fmt.Sprintf("major %d", major), func(t *testing.T) {
			file := forge(major, 0, h)
			_, err := NewReader(bytes.NewReader(file), int64(len(file)))
			if !errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged) {
				t.Errorf("error %v, want ErrVersion", err)
			}
			_, err = ReadHeader(bytes.NewReader(file), int64(len(file)))
			if !errors.Is(err, ErrVersion) {
				t.Errorf("error %v, want ErrVersion", err)
			}
		})
	}
	t.Run("newer major with a long prelude", func(t *testing.T) {
		file := forge(2, 0, h)
		binary.LittleEndian.PutUint32(file[12:], 1<<20)
		_, err := NewReader(bytes.NewReader(file), int64(len(file)))
		if !errors.Is(err, ErrVersion) {
			t.Errorf("error %v, want ErrVersion", err)
		}
	})
}

// The writer keeps the limits that the reader demands, and says what it left out.
func TestWriterLimits(t *testing.T) {
	if raceEnabled {
		t.Skip("a million values take too long with the race detector, and nothing here is concurrent")
	}
	deep := Value{Num: 1}
	for range 200 {
		deep = Value{Elems: []Value{deep}}
	}
	c := &content{
		objects: []*Object{
			{ID: 1, Value: deep},
			{ID: 2, Value: Value{Type: 1, Elems: make([]Value, maxItems+10)}},
			{ID: 3, Value: Value{Reason: Dead, Elems: make([]Value, maxItems+10)}},
			{ID: 4, Value: Value{Num: 4}},
		},
		goroutines: []*Goroutine{{ID: 1, Failing: true, Frames: make([]Frame, maxItems+10)}, {ID: 2}},
		sources:    []*Source{{File: "f", Blocks: []SourceBlock{{First: 1, Lines: []string{"x"}}, {First: 9, Lines: make([]string, maxItems)}}}},
	}
	r := open(t, c.file(t))
	if err := r.Verify(); err != nil {
		t.Fatal(err)
	}
	o, err := r.Object(1)
	if err != nil {
		t.Fatal(err)
	}
	levels, v := 1, &o.Value
	for ; len(v.Elems) > 0; v = &v.Elems[0] {
		levels++
	}
	same(t, "levels", levels, maxDepth)
	same(t, "reason", v.Reason, DepthLimit)
	for id, want := range map[ObjectID]Value{
		2: {Type: 1, Reason: CollectionLimit, Elems: make([]Value, itemLimit-1)}, 3: {Reason: Dead, Elems: make([]Value, itemLimit-1)}, 4: {Num: 4},
	} {
		o, err := r.Object(id)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "object", o.Value, want)
	}
	g, err := r.Failing()
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Frames) != itemLimit || len(g.Missing) != 1 || g.Missing[0].What != "frames" {
		t.Errorf("%d frames, missing %+v", len(g.Frames), g.Missing)
	}
	s, err := r.Source("f")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "blocks", s.Blocks, c.sources[0].Blocks[:1])
}

// A record that is larger than a section may be is replaced by one that says so,
// and the records around it stay whole.
func TestHugeRecord(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 2000)
	var buf bytes.Buffer
	w := NewWriter(&buf)
	w.maxSection = 1500
	for i, n := range []int{10, 1400, 2000, 500, 900, 700, 20} {
		err := w.Object(&Object{ID: ObjectID(i + 1), Addr: uint64(n), Value: Value{Type: 3, Bytes: big[:n], Len: int64(n)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Goroutine(&Goroutine{ID: 5, Status: "waiting", Frames: []Frame{{Func: string(big)}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(&Header{}); err != nil {
		t.Fatal(err)
	}
	r := open(t, buf.Bytes())
	for i, n := range []int{10, 1400, 2000, 500, 900, 700, 20} {
		want := Value{Type: 3, Bytes: big[:n], Len: int64(n)}
		if n == 2000 {
			want.Bytes, want.Reason, want.Detail = nil, ByteBudget, "larger than a dump file can hold of one object"
		}
		o, err := r.Object(ObjectID(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "object", o, &Object{ID: ObjectID(i + 1), Addr: uint64(n), Value: want})
	}
	for _, s := range r.sections {
		if s.raw > 1500 {
			t.Errorf("section %v has %d bytes", &s, s.raw)
		}
	}
	g, err := r.Goroutine(5)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Frames) != 0 || len(g.Missing) != 1 || g.Status != "waiting" {
		t.Errorf("goroutine %+v", g)
	}
	for name, err := range map[string]error{
		"type":   NewWriter(&buf).shrink(1500).Type(&Type{ID: 1, Name: string(big)}),
		"source": NewWriter(&buf).shrink(1500).Source(&Source{File: string(big)}),
		"extra":  NewWriter(&buf).shrink(1500).Extra(&Extra{SpanMessage: string(big)}),
	} {
		if err == nil || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func (w *Writer) shrink(n int) *Writer {
	w.maxSection = n
	return w
}
