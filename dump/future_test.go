package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/otelcoredumpy/otelcoredumpy/dump/dumppb"
)

// Files of versions that do not exist yet, as docs/format.md allows them. A reader
// of today must lose nothing of what it knows.

// What a later version may have in the place of enum values.
const (
	futureKind    = 99
	futureReason  = 77
	futureVarKind = 50
	futureState   = 9
	futureTrigger = "quantum"
)

// futureContent is the fixture with values of enums that this version does not
// know.
func futureContent() *content {
	c := fixture()
	c.header.FormatVersion, c.header.Trigger = "1.9", futureTrigger
	c.types = append(c.types, &Type{ID: 14, Name: "shop.Qubit", Kind: futureKind, Size: 1, Named: true})
	c.objects = append(c.objects, &Object{ID: 10, Value: Value{Type: 14, Num: 3, Reason: futureReason, Detail: "entangled"}})
	c.goroutines[1].Frames[0].Vars = append(c.goroutines[1].Frames[0].Vars, Variable{
		Name: "q", Kind: futureVarKind, State: futureState, Value: Value{Type: 14, Reason: futureReason},
	})
	return c
}

// withUnknown adds fields to a message and all those in it that this version does
// not know.
func withUnknown(m protoreflect.Message) {
	var x []byte
	x = protowire.AppendTag(x, 900, protowire.VarintType)
	x = protowire.AppendVarint(x, 1<<60)
	x = protowire.AppendTag(x, 901, protowire.BytesType)
	x = protowire.AppendString(x, "\xff of the future")
	x = protowire.AppendTag(x, 902, protowire.Fixed64Type)
	x = protowire.AppendFixed64(x, 7)
	m.SetUnknown(append(m.GetUnknown(), x...))
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				withUnknown(v.List().Get(i).Message())
			}
		case fd.Message() != nil:
			withUnknown(v.Message())
		}
		return true
	})
}

// futureSection is a section as a later version would write it.
type futureSection struct {
	kind  dumppb.SectionKind
	flags uint16
	first uint64
	count int
	body  proto.Message // or:
	raw   []byte
}

// futureFile lays out a file with nothing of this package but the generated
// messages.
func futureFile(t *testing.T, minor uint16, h *dumppb.Header, sections []futureSection) []byte {
	t.Helper()
	marshal := func(m proto.Message) []byte {
		withUnknown(m.ProtoReflect())
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	payloads := make([][]byte, len(sections)+1)
	for i, s := range sections {
		if payloads[i] = s.raw; s.body != nil {
			payloads[i] = marshal(s.body)
		}
	}
	sections = append(sections, futureSection{kind: dumppb.SectionKind_SECTION_KIND_END, first: 1, count: 1})
	le := binary.LittleEndian
	var end dumppb.End
	var preludeLen int
	for {
		before := preludeLen
		payloads[len(payloads)-1] = marshal(&dumppb.EndSection{Ends: []*dumppb.End{proto.CloneOf(&end)}})
		prelude := &dumppb.Prelude{Header: proto.CloneOf(h)}
		at := 20 + preludeLen
		var body []byte
		for i, s := range sections {
			p := payloads[i]
			prelude.Sections = append(prelude.Sections, &dumppb.SectionInfo{
				Kind: s.kind, Offset: uint64(at + len(body)), StoredLength: uint64(len(p)), RawLength: uint64(len(p)), FirstId: s.first, Count: uint64(s.count),
			})
			head := le.AppendUint32(nil, 0xc5d3ab91)
			head = le.AppendUint16(head, uint16(s.kind))
			head = le.AppendUint16(head, s.flags)
			head = le.AppendUint64(head, s.first)
			for _, n := range []int{s.count, len(p), len(p)} {
				head = le.AppendUint32(head, uint32(n))
			}
			head = le.AppendUint32(head, checksum(p))
			head = le.AppendUint32(head, checksum(head))
			body = append(append(body, head...), p...)
		}
		b := marshal(prelude)
		preludeLen = len(b)
		start := append([]byte("\x89CDMP\r\n\x1a"), 1, 0)
		start = le.AppendUint16(start, minor)
		start = le.AppendUint32(start, uint32(preludeLen))
		crc := checksum(append(bytes.Clone(start), b...))
		file := append(append(le.AppendUint32(start, crc), b...), body...)
		if preludeLen == before && end.GetPreludeCrc() == crc {
			return file
		}
		end = dumppb.End{FileSize: uint64(len(file)), Sections: uint64(len(sections)), PreludeCrc: crc}
	}
}

// futureSections are those of a dump, with some between them of kinds that this
// version does not know.
func futureSections(c *content) []futureSection {
	var list []futureSection
	unknown := func(kind dumppb.SectionKind, flags uint16) {
		list = append(list, futureSection{kind: kind, flags: flags, first: 1 << 40, count: 12345, raw: []byte("whatever that may be")})
	}
	unknown(40, 0)
	list = append(list, futureSection{kind: 2, first: 1, count: 1, body: &dumppb.GoroutineSection{
		Goroutines: []*dumppb.Goroutine{pbGoroutine(c.goroutines[0])},
	}})
	half := len(c.types) / 2
	for _, part := range [][]*Type{c.types[:half], c.types[half:]} {
		s := &dumppb.TypeSection{}
		for _, ty := range part {
			s.Types = append(s.Types, pbType(ty))
		}
		list = append(list, futureSection{kind: 1, first: uint64(part[0].ID), count: len(part), body: s})
		unknown(300, 0x8000)
	}
	for _, part := range [][]*Object{c.objects[:4], c.objects[4:]} {
		s := &dumppb.ObjectSection{}
		for _, o := range part {
			s.Objects = append(s.Objects, pbObject(o))
		}
		list = append(list, futureSection{kind: 3, first: uint64(part[0].ID), count: len(part), body: s})
	}
	others := &dumppb.GoroutineSection{}
	for _, g := range c.goroutines[1:] {
		others.Goroutines = append(others.Goroutines, pbGoroutine(g))
	}
	list = append(list, futureSection{kind: 4, first: 1, count: len(others.Goroutines), body: others})
	sources := &dumppb.SourceSection{}
	for _, s := range c.sources {
		sources.Sources = append(sources.Sources, pbSource(s))
	}
	list = append(list, futureSection{kind: 5, first: 1, count: len(sources.Sources), body: sources})
	list = append(list, futureSection{kind: 6, first: 1, count: 1, body: &dumppb.ExtraSection{Extras: []*dumppb.Extra{pbExtra(c.extra)}}})
	unknown(254, 1<<5)
	return list
}

func futureFixture(t *testing.T, name string, make func() []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, make(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// A later minor version: more fields everywhere, more kinds of sections, more
// values of enums. All of it opens.
func TestFutureMinor(t *testing.T) {
	c := futureContent()
	file := futureFixture(t, "future-minor.cdmp", func() []byte {
		return futureFile(t, 9, pbHeader(&c.header), futureSections(c))
	})
	r := open(t, file)
	c.check(t, r)
	o, err := r.Object(10)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "an unknown reason", o.Value.Reason.String(), "unknown")
	same(t, "an unknown kind of variable", c.goroutines[1].Frames[0].Vars[1].Kind.String(), "unknown")
	same(t, "values of a type of unknown kind", r.NumElems(&o.Value), 0)
	if v, err := r.Resolve(&o.Value); err != nil || v != &o.Value {
		t.Errorf("resolves to %+v, %v", v, err)
	}
	for n := range file { // and gives what is whole when it is torn
		if r, err := NewReader(bytes.NewReader(file[:n]), int64(n)); err == nil {
			if err := readAll(r); !errors.Is(err, ErrTruncated) {
				t.Fatalf("cut at %d: %v", n, err)
			}
		}
	}
}

// A section that is stored in a new way is refused, and nothing else is.
func TestFutureFlag(t *testing.T) {
	c := futureContent()
	file := futureFixture(t, "future-flag.cdmp", func() []byte {
		sections := futureSections(c)
		i := slices.IndexFunc(sections, func(s futureSection) bool { return s.kind == 3 && s.first == 1 })
		sections[i].flags = 1 << 9
		return futureFile(t, 9, pbHeader(&c.header), sections)
	})
	r := open(t, file)
	if err := r.Damage(); err != nil {
		t.Fatalf("opening found %v", err)
	}
	for i, want := range c.objects {
		got, err := r.Object(want.ID)
		if i < 4 {
			if !errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "objects 1–4") {
				t.Errorf("object %d: error %v, want ErrVersion", want.ID, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		same(t, "object", got, want)
	}
	c.checkGoroutines(t, r)
	c.checkRest(t, r)
	if err := r.Verify(); !errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged) {
		t.Errorf("Verify says %v, want ErrVersion", err)
	}
}

// Of a later major version only the start is known, and that is said clearly.
func TestFutureMajor(t *testing.T) {
	file := futureFixture(t, "future-major.cdmp", func() []byte {
		prelude := []byte("nothing that this version could make sense of: \x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
		b := append([]byte("\x89CDMP\r\n\x1a"), 2, 0, 3, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(prelude)))
		b = binary.LittleEndian.AppendUint32(b, checksum(append(bytes.Clone(b), prelude...)))
		return append(append(b, prelude...), "and so on"...)
	})
	const want = "made by a newer version of the format: it is 2.3, and this reader knows 1.x; a newer coredumpy opens it"
	_, err := NewReader(bytes.NewReader(file), int64(len(file)))
	_, headerErr := ReadHeader(bytes.NewReader(file), int64(len(file)))
	for _, err := range []error{err, headerErr} {
		if !errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged) || err.Error() != want {
			t.Errorf("error %v, want ErrVersion: %s", err, want)
		}
	}
}
