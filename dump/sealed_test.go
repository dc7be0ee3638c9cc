package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/otelcoredumpy/otelcoredumpy/dump/dumppb"
)

// ageFile is something that begins as an age file does and goes on as noise.
// What is in one is of no concern to this package.
func ageFile(n int) []byte {
	b := make([]byte, n)
	rnd := rand.New(rand.NewPCG(uint64(n), 7))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	copy(b, ageIntro)
	return b
}

// sealed makes a sealed dump of parts of at most that length.
func sealed(tb testing.TB, public *Header, payload []byte, part int64) []byte {
	tb.Helper()
	file, err := seal(public, bytes.NewReader(payload), int64(len(payload)), part)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(file)
	if err != nil {
		tb.Fatal(err)
	}
	same(tb, "size", int64(len(b)), file.Size())
	return b
}

func payloadOf(tb testing.TB, file []byte) []byte {
	tb.Helper()
	p, err := SealedPayload(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// What a sealed dump shows is chosen field by field, so a field that is added to
// the header has to be decided on here.
func TestPublicHeaders(t *testing.T) {
	shown := map[string]string{
		"ID": "key", "TraceID": "key", "SpanID": "search", "Service": "key",
		"Time": "search", "Trigger": "key", "SpanName": "search", "Reason": "search",
		"GoVersion": "search", "Module": "search", "VCS": "search", "Failing": "search", "Counts": "search",
		"Name": "", "Description": "", "Resource": "", "Host": "", "PID": "", "GOOS": "", "GOARCH": "",
		"Budgets": "", "Redactions": "", "Missing": "", "FormatVersion": "",
	}
	h := fixture().header
	before := fmt.Sprintf("%+v", h)
	search, key := h.Searchable(), h.KeyOnly()
	same(t, "types of the errors", search.Reason, []ErrorInfo{
		{Type: "*fmt.wrapErrors", Parent: -1, Panic: true},
		{Type: "*shop/pay.DeclinedError", Parent: 0},
		{Type: "context.deadlineExceededError", Parent: 0, Runtime: true},
	})
	same(t, "time of the key", key.Time, h.ID.Time())
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Header]()) {
		if f.Anonymous {
			continue
		}
		want, ok := shown[f.Name]
		if !ok {
			t.Errorf("nobody has decided whether %s is shown", f.Name)
		}
		field := func(h *Header) any { return reflect.ValueOf(h).Elem().FieldByIndex(f.Index).Interface() }
		zero := reflect.Zero(f.Type).Interface()
		if reflect.DeepEqual(field(&h), zero) {
			t.Errorf("the fixture has no %s, so this shows nothing", f.Name)
		}
		if got := field(search); f.Name != "Reason" {
			if want == "" {
				same(t, f.Name+" of Searchable", got, zero)
			} else {
				same(t, f.Name+" of Searchable", got, field(&h))
			}
		}
		if got := field(key); f.Name != "Time" {
			if want == "key" {
				same(t, f.Name+" of KeyOnly", got, field(&h))
			} else {
				same(t, f.Name+" of KeyOnly", got, zero)
			}
		}
	}
	same(t, "the header itself", fmt.Sprintf("%+v", h), before)
}

func TestSealRoundTrip(t *testing.T) {
	public := fixture().header.Searchable()
	const part = 1000
	for _, n := range []int{len(ageIntro), 200, part - 1, part, part + 1, 2 * part, 5*part + 1, 70_000, 300_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			payload := ageFile(n)
			file := sealed(t, public, payload, part)
			r := open(t, file)

			want := *public
			want.FormatVersion = "1.1"
			want.Missing = []Missing{sealedNotice}
			same(t, "header", r.Header(), &want)
			h, err := ReadHeader(bytes.NewReader(file), int64(len(file)))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "header alone", h, &want)
			if len(public.Missing) != 0 {
				t.Error("the caller's header was changed")
			}

			same(t, "Sealed", r.Sealed(), true)
			same(t, "sections", len(r.sections), (n+part-1)/part+1)
			same(t, "objects", r.NumObjects()+r.NumGoroutines()+r.NumTypes(), 0)
			if _, err := r.Failing(); !errors.Is(err, ErrNotFound) {
				t.Errorf("failing goroutine: error %v, want ErrNotFound", err)
			}
			if err := errors.Join(r.Verify(), r.Damage(), readAll(r)); err != nil {
				t.Fatal(err)
			}

			if got := payloadOf(t, file); !bytes.Equal(got, payload) {
				t.Fatalf("%d bytes come out, %d went in, or they differ", len(got), n)
			}
			p, err := SealedPayload(bytes.NewReader(file), int64(len(file)))
			if err != nil {
				t.Fatal(err)
			}
			rnd := rand.New(rand.NewPCG(uint64(n), 1))
			for range 200 {
				off := rnd.IntN(n)
				b := make([]byte, rnd.IntN(3*part))
				got, err := p.ReadAt(b, int64(off))
				if want := min(len(b), n-off); got != want || (got < len(b)) != (err == io.EOF) || err != nil && err != io.EOF {
					t.Fatalf("ReadAt %d bytes at %d of %d: %d, %v", len(b), off, n, got, err)
				}
				if !bytes.Equal(b[:got], payload[off:off+got]) {
					t.Fatalf("ReadAt %d bytes at %d of %d: other bytes", len(b), off, n)
				}
				if at := p.FileOffset(int64(off)); file[at] != payload[off] {
					t.Fatalf("byte %d is said to lie at %d of the file, which it does not", off, at)
				}
			}
			if n, err := p.ReadAt(make([]byte, 1), -1); n != 0 || err == nil || err == io.EOF {
				t.Errorf("ReadAt at -1: %d, %v", n, err)
			}
			if n, err := p.ReadAt(make([]byte, 1), 1<<40); n != 0 || err != io.EOF {
				t.Errorf("ReadAt behind the end: %d, %v", n, err)
			}
		})
	}
}

func TestWriteSealed(t *testing.T) {
	payload := ageFile(100_000)
	public := fixture().header.KeyOnly()
	var buf bytes.Buffer
	n, err := WriteSealed(&buf, public, bytes.NewReader(payload), int64(len(payload)))
	if err != nil || n != int64(buf.Len()) {
		t.Fatalf("%d bytes of %d, error %v", n, buf.Len(), err)
	}
	same(t, "file", buf.Bytes(), sealed(t, public, payload, sealedPart))

	if _, err := WriteSealed(&failingWriter{5000}, public, bytes.NewReader(payload), int64(len(payload))); !errors.Is(err, errDisk) {
		t.Errorf("full disk: error %v", err)
	}
	down := &flaky{Reader: *bytes.NewReader(payload), down: true}
	if _, err := WriteSealed(io.Discard, public, down, int64(len(payload))); !errors.Is(err, errNet) {
		t.Errorf("payload that cannot be read: error %v", err)
	}
	if _, err := WriteSealed(io.Discard, public, bytes.NewReader(payload), int64(len(payload)+1)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("payload that ends early: error %v", err)
	}
}

// Nothing is stored as sealed that is not.
func TestSealRefusesPlain(t *testing.T) {
	plain := fixture().file(t)
	for name, b := range map[string][]byte{
		"a plain dump": plain, "nothing": nil, "little": []byte("age"), "armored": []byte("-----BEGIN AGE ENCRYPTED FILE-----\nabc"),
	} {
		if _, err := Seal(&Header{}, bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The parts are small while there are few, and never more than there is room for.
func TestPartSize(t *testing.T) {
	for _, c := range []struct{ size, want int64 }{
		{1, sealedPart},
		{maxParts * sealedPart, sealedPart},
		{maxParts*sealedPart + 1, sealedPart + 1},
		{maxParts * maxSection, maxSection},
	} {
		got := partSize(c.size)
		if got != c.want {
			t.Errorf("%d bytes: parts of %d, want %d", c.size, got, c.want)
		}
		if n := (c.size + got - 1) / got; n > maxParts {
			t.Errorf("%d bytes: %d parts", c.size, n)
		}
	}
	const tooLarge = maxParts*maxSection + 1
	if _, err := Seal(&Header{}, bytes.NewReader(nil), tooLarge); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("%d bytes: error %v", int64(tooLarge), err)
	}
}

// As many parts as there may be leave the header its room.
func TestMostParts(t *testing.T) {
	payload := ageFile(maxParts * 50)
	h := hugeHeader(500)
	file := sealed(t, &h, payload, 50)
	r := open(t, file)
	same(t, "sections", len(r.sections), maxSections)
	if err := r.Verify(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(payloadOf(t, file), payload) {
		t.Error("other bytes come out")
	}
	if !strings.Contains(r.Header().Missing[len(r.Header().Missing)-1].What, "header") {
		t.Error("the header does not say that it was cut")
	}
}

// TestSealedByTheBook reads a sealed file as docs/format.md says, with the
// generated code and none of ours.
func TestSealedByTheBook(t *testing.T) {
	payload := ageFile(2500)
	file := sealed(t, fixture().header.Searchable(), payload, 1000)
	le := binary.LittleEndian
	same(t, "version", [2]uint16{le.Uint16(file[8:]), le.Uint16(file[10:])}, [2]uint16{1, 1})
	var prelude dumppb.Prelude
	if err := proto.Unmarshal(file[20:20+le.Uint32(file[12:])], &prelude); err != nil {
		t.Fatal(err)
	}
	var got []byte
	at := 20 + uint64(le.Uint32(file[12:]))
	for i, s := range prelude.GetSections() {
		same(t, "offset", s.GetOffset(), at)
		head := file[at : at+36]
		body := file[at+36:][:s.GetStoredLength()]
		at += 36 + s.GetStoredLength()
		if s.GetKind() == dumppb.SectionKind_SECTION_KIND_END {
			continue
		}
		same(t, "kind", s.GetKind(), dumppb.SectionKind_SECTION_KIND_SEALED)
		same(t, "kind, flags", [2]uint16{le.Uint16(head[4:]), le.Uint16(head[6:])}, [2]uint16{7, 2})
		same(t, "number, count", [2]uint64{s.GetFirstId(), s.GetCount()}, [2]uint64{uint64(i + 1), 1})
		same(t, "lengths", s.GetRawLength(), s.GetStoredLength())
		got = append(got, body...)
	}
	same(t, "end", at, uint64(len(file)))
	same(t, "age file", got, payload)
}

func TestSealedTruncatedAtEveryByte(t *testing.T) {
	payload := ageFile(1500)
	file := sealed(t, fixture().header.Searchable(), payload, 400)
	whole := open(t, file)
	preludeEnd := startLen + int(parseStart(file).prelude)
	lastPart := int(whole.sections[len(whole.sections)-2].end())
	for n := range file {
		p, err := SealedPayload(bytes.NewReader(file[:n]), int64(n))
		if n < preludeEnd {
			if !errors.Is(err, ErrNotSealed) || p != nil {
				t.Fatalf("cut at %d, in the prelude: error %v", n, err)
			}
			continue
		}
		r := open(t, file[:n])
		if !r.Sealed() || !errors.Is(r.Damage(), ErrTruncated) || !errors.Is(r.Verify(), ErrTruncated) {
			t.Fatalf("cut at %d: sealed %t, damage %v", n, r.Sealed(), r.Damage())
		}
		if n >= lastPart {
			if err != nil || p.Size() != int64(len(payload)) {
				t.Fatalf("cut at %d, in the end: error %v", n, err)
			}
			continue
		}
		var de *DamageError
		if !errors.As(err, &de) || !de.Truncated() || de.Offset != int64(n) {
			t.Fatalf("cut at %d: error %v", n, err)
		}
		got := make([]byte, p.Size())
		if _, err := p.ReadAt(got, 0); err != nil || !bytes.HasPrefix(payload, got) {
			t.Fatalf("cut at %d: what is there differs, error %v", n, err)
		}
		missing := len(file) - n // headers of parts and the end among it
		if len(got) < len(payload)-missing {
			t.Fatalf("cut at %d: %d bytes are there, and only %d come out", n, len(payload)-missing, len(got))
		}

		// The size that the caller believes in may be wrong, too.
		p, err = SealedPayload(bytes.NewReader(file[:n]), int64(len(file)))
		if err == nil {
			if _, err = io.ReadAll(io.NewSectionReader(p, 0, p.Size())); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut at %d, unknown to the caller: error %v", n, err)
			}
		} else if !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d, unknown to the caller: error %v", n, err)
		}
	}
}

func TestSealedEveryBitFlipped(t *testing.T) {
	payload := ageFile(1500)
	file := sealed(t, fixture().header.Searchable(), payload, 400)
	bad := bytes.Clone(file)
	refused, changed, unharmed := 0, 0, 0
	for i := range file {
		for bit := range 8 {
			if raceEnabled && i%24 != 3*bit {
				continue
			}
			bad[i] = file[i] ^ 1<<bit
			r, err := NewReader(bytes.NewReader(bad), int64(len(bad)))
			if err == nil && r.Verify() == nil {
				t.Fatalf("byte %d, bit %d: nothing found", i, bit)
			}
			p, err := SealedPayload(bytes.NewReader(bad), int64(len(bad)))
			if err != nil {
				refused++
				if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotSealed) {
					t.Fatalf("byte %d, bit %d: error %v", i, bit, err)
				}
				continue
			}
			got, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
			if err != nil {
				t.Fatal(err)
			}
			// What age will make of it is not for us, but no byte else may differ.
			if !bytes.Equal(got, payload) {
				changed++
				at := 0
				for got[at] == payload[at] {
					at++
				}
				if p.FileOffset(int64(at)) != int64(i) || !bytes.Equal(got[at+1:], payload[at+1:]) {
					t.Fatalf("byte %d, bit %d: byte %d of the age file has changed", i, bit, at)
				}
			} else {
				unharmed++
			}
		}
		bad[i] = file[i]
	}
	if refused == 0 || changed == 0 || unharmed == 0 {
		t.Errorf("%d were refused, %d changed the age file, %d did not: not all cases were seen", refused, changed, unharmed)
	}
}

// sealedSection is an honest part of a sealed dump.
func sealedSection(number uint64, payload []byte) forged {
	n := uint32(len(payload))
	return forged{frame: frame{kind: secSealed, flags: flagAge, firstID: number, count: 1, raw: n}, payload: payload}
}

func TestSealedHostile(t *testing.T) {
	const mib = 1 << 20
	a, b := ageFile(300), []byte("the rest of it")
	with := func(change func(*forged)) forged {
		s := sealedSection(1, a)
		change(&s)
		return s
	}
	lie := func(change func(*sectionInfo)) forged { return with(func(s *forged) { s.entry = change }) }
	for _, c := range []struct {
		name     string
		sections []forged
		want     error
	}{
		{"the wrong order", []forged{sealedSection(2, b), sealedSection(1, a)}, ErrDamaged},
		{"the first is missing", []forged{sealedSection(2, b)}, ErrDamaged},
		{"one in between is missing", []forged{sealedSection(1, a), sealedSection(3, b)}, ErrDamaged},
		{"one twice", []forged{sealedSection(1, a), sealedSection(1, a)}, ErrDamaged},
		{"number zero", []forged{sealedSection(0, a)}, ErrDamaged},
		{"a huge number", []forged{sealedSection(1<<63, a)}, ErrDamaged},
		{"an empty part", []forged{sealedSection(1, nil)}, ErrDamaged},
		{"two records", []forged{with(func(s *forged) { s.count = 2 })}, ErrDamaged},
		{"another raw length", []forged{with(func(s *forged) { s.raw++ })}, ErrDamaged},
		{"beside objects", []forged{plain(secObjects, object(nil)), sealedSection(1, a)}, ErrDamaged},
		{"before objects", []forged{sealedSection(1, a), plain(secObjects, object(nil))}, ErrDamaged},
		{"beside a goroutine", []forged{plain(secFailing, nil), sealedSection(1, a)}, ErrDamaged},
		{"before an extra", []forged{sealedSection(1, a), plain(secExtra, nil)}, ErrDamaged},
		{"compressed", []forged{with(func(s *forged) { s.flags |= flagZstd })}, ErrVersion},
		{"sealed by something else", []forged{with(func(s *forged) { s.flags = 1 << 7 })}, ErrVersion},
		{"not sealed by anything", []forged{with(func(s *forged) { s.flags = 0 })}, ErrVersion},
		{"another count in the directory", []forged{lie(func(s *sectionInfo) { s.count++ })}, ErrDamaged},
		{"another length in the directory", []forged{lie(func(s *sectionInfo) { s.stored--; s.raw-- })}, ErrDamaged},
		{"a huge length", []forged{lie(func(s *sectionInfo) { s.stored, s.raw = maxSection, maxSection })}, ErrDamaged},
		{"too large a length", []forged{lie(func(s *sectionInfo) { s.stored, s.raw = maxSection+1, maxSection+1 })}, ErrDamaged},
		{"huge offset", []forged{lie(func(s *sectionInfo) { s.offset = 1 << 62 })}, ErrDamaged},
		{"offset elsewhere", []forged{lie(func(s *sectionInfo) { s.offset++ })}, ErrDamaged},
		{"offset in the prelude", []forged{lie(func(s *sectionInfo) { s.offset = 3 })}, ErrDamaged},
		{"another kind", []forged{lie(func(s *sectionInfo) { s.kind = 42 })}, ErrNotSealed},
		{"none", nil, ErrNotSealed},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := forge(1, versionSealed, nil, c.sections...)
			var err, all error
			n := allocated(func() {
				var p *Payload
				p, err = SealedPayload(bytes.NewReader(file), int64(len(file)))
				if err == nil {
					t.Errorf("a payload of %d bytes", p.Size())
				}
				r, rerr := NewReader(bytes.NewReader(file), int64(len(file)))
				if all = rerr; rerr == nil {
					all = readAll(r)
				}
			})
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if c.name != "none" && all == nil {
				t.Error("reading all of it has found nothing")
			}
			if n > 4*mib {
				t.Errorf("%d MiB were allocated", n/mib)
			}
		})
	}
}

// A section kind that only a later version knows does not disturb.
func TestSealedBesideUnknown(t *testing.T) {
	a, b := ageFile(300), []byte("the rest of it")
	file := forge(1, 9, nil, plain(99, []byte("what")), sealedSection(1, a), plain(77, nil), sealedSection(2, b))
	if err := readAll(open(t, file)); err != nil {
		t.Fatal(err)
	}
	if got := payloadOf(t, file); !bytes.Equal(got, append(a, b...)) {
		t.Errorf("age file %q", got)
	}
}

// A sealed file whose prelude is damaged still gives its age file.
func TestSealedSalvage(t *testing.T) {
	payload := ageFile(1500)
	file := sealed(t, fixture().header.Searchable(), payload, 400)
	clear(file[startLen : startLen+50])
	r := open(t, file)
	if !r.salvaged || !r.Sealed() {
		t.Fatalf("salvaged %t, sealed %t", r.salvaged, r.Sealed())
	}
	if got := payloadOf(t, file); !bytes.Equal(got, payload) {
		t.Error("other bytes come out")
	}
}

func TestNotSealed(t *testing.T) {
	_, file := smallDump(t)
	bad := bytes.Clone(file)
	clear(bad[12:16])
	for name, b := range map[string][]byte{
		"plain": file, "damaged": bad, "newer": forge(2, 0, nil), "text": []byte("hello"), "empty": nil, "cut": file[:50],
	} {
		if p, err := SealedPayload(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrNotSealed) || p != nil {
			t.Errorf("%s: error %v, want ErrNotSealed", name, err)
		}
	}
	if open(t, file).Sealed() {
		t.Error("a plain dump says that it is sealed")
	}
	// Of a plain dump no more is read than its header.
	m := &meter{Reader: bytes.NewReader(file)}
	if _, err := SealedPayload(m, int64(len(file))); !errors.Is(err, ErrNotSealed) {
		t.Fatal(err)
	}
	if m.calls != 1 {
		t.Errorf("%d reads, want 1", m.calls)
	}
}

// An error of the storage is told as it is.
func TestSealedReadErrors(t *testing.T) {
	payload := ageFile(200_000)
	f := &flaky{Reader: *bytes.NewReader(sealed(t, &Header{}, payload, 50_000)), down: true}
	if _, err := SealedPayload(f, f.Size()); !errors.Is(err, errNet) || errors.Is(err, ErrNotSealed) {
		t.Errorf("error %v, want that of the connection", err)
	}
	f.down = false
	p, err := SealedPayload(f, f.Size())
	if err != nil {
		t.Fatal(err)
	}
	f.down = true
	if _, err := p.ReadAt(make([]byte, 10), 100_000); !errors.Is(err, errNet) {
		t.Errorf("error %v, want that of the connection", err)
	}
}

// The sealed file of the first version that had such opens for ever. What it
// holds is for package sink/encrypt to test, which also makes it.
func TestSealedGolden(t *testing.T) {
	r, err := Open(filepath.Join("testdata", "sealed-v1.cdmp"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(); err != nil {
		t.Fatal(err)
	}
	h := fixture().header
	want := h.Searchable()
	want.FormatVersion = "1.1"
	want.Missing = []Missing{{
		What: "everything but a part of the header",
		Why:  "the dump is sealed: encrypted with age for those whose keys it was sealed for",
		Hint: "open it with the file of one of their private keys: --identity FILE",
	}}
	same(t, "header", r.Header(), want)
	if !r.Sealed() {
		t.Error("it is not sealed")
	}
	file, err := os.ReadFile(filepath.Join("testdata", "sealed-v1.cdmp"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(payloadOf(t, file), []byte(ageIntro)) {
		t.Error("it holds no age file")
	}
}

// FuzzSealed opens any bytes as a sealed file.
func FuzzSealed(f *testing.F) {
	file := sealed(f, fixture().header.Searchable(), ageFile(1000), 300)
	f.Add(file)
	f.Add(file[:len(file)-200])
	f.Add(golden(f))
	f.Fuzz(func(t *testing.T, file []byte) { checkSealedFile(t, file) })
}

// FuzzSealedSections makes a file of any sections, with the right checksums. Each
// of them takes ten bytes of what it is given.
func FuzzSealedSections(f *testing.F) {
	part := func(number byte) []byte { return []byte{7, flagAge, number, 1, 0, 40, 0, 0, 0, 0} }
	f.Add(part(1))
	f.Add(slices.Concat(part(1), part(2), part(3)))
	f.Add(slices.Concat(part(2), part(1)))
	f.Add([]byte{7, flagAge, 1, 1, 0, 40, 1, 0, 0, 0})
	f.Add([]byte{3, 0, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var list []forged
		for ; len(b) >= 10 && len(list) < 50; b = b[10:] {
			s := forged{payload: bytes.Repeat([]byte{b[5]}, int(b[5])), frame: frame{
				kind: sectionKind(b[0]), flags: uint16(b[1]), firstID: uint64(b[2]), count: uint32(b[3]),
				raw: uint32(int(b[5]) + int(int8(b[4]))),
			}}
			if s.kind == secEnd {
				continue // forge adds one
			}
			change := [4]byte(b[6:])
			s.entry = func(i *sectionInfo) {
				i.offset += uint64(change[0]) // backwards, forge would not come to an end
				i.stored += uint64(int64(int8(change[1])))
				i.raw += uint64(int64(int8(change[2])))
				i.firstID += uint64(int64(int8(change[3])))
			}
			list = append(list, s)
		}
		checkSealedFile(t, forge(1, versionSealed, nil, list...))
	})
}

func checkSealedFile(t *testing.T, file []byte) {
	t.Helper()
	p, err := SealedPayload(bytes.NewReader(file), int64(len(file)))
	if err != nil && !known(err) && !errors.Is(err, ErrNotSealed) {
		t.Fatalf("error %v", err)
	}
	if p == nil {
		if err == nil {
			t.Fatal("neither a payload nor an error")
		}
		return
	}
	if err != nil && !errors.Is(err, ErrTruncated) {
		t.Fatalf("a payload, and error %v", err)
	}
	if p.Size() > int64(len(file)) {
		t.Fatalf("%d bytes in a file of %d", p.Size(), len(file))
	}
	got, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
	if err != nil || int64(len(got)) != p.Size() {
		t.Fatalf("%d bytes of %d, error %v", len(got), p.Size(), err)
	}
	for _, off := range []int64{0, p.Size() / 2, p.Size() - 1} {
		if at := p.FileOffset(off); p.Size() > 0 && file[at] != got[off] {
			t.Fatalf("byte %d is not at %d of the file", off, at)
		}
	}
	r := open(t, file)
	if !r.Sealed() || r.NumObjects() != 0 || r.NumGoroutines() != 0 {
		t.Fatalf("sealed %t, with %d objects", r.Sealed(), r.NumObjects())
	}
	if err := readAll(r); err != nil && !known(err) {
		t.Fatalf("error %v", err)
	}
}
