package dump

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/otelcoredumpy/otelcoredumpy/dump/dumppb"
)

// The generated code is the oracle: what the encoder writes by hand must be to
// it what it is to us, and the other way round.

// agree checks one message both ways. want is x as a generated message, and
// encode and decode are ours.
func agree[T any](t *testing.T, x *T, want proto.Message, encode func(*encoder, *T), decode func(*decoder, []byte, *T) error) {
	t.Helper()
	var e encoder
	encode(&e, x)
	got := want.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(e.b, got); err != nil {
		t.Fatalf("protobuf does not understand our %T: %v", x, err)
	}
	if !proto.Equal(got, want) {
		t.Fatalf("%T means something else to protobuf\n got: %v\nwant: %v", x, got, want)
	}
	if n := len(got.ProtoReflect().GetUnknown()); n != 0 {
		t.Fatalf("%T: we write %d bytes that the schema does not have", x, n)
	}
	theirs, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	d := decoders.Get().(*decoder).reset()
	defer d.free()
	back := new(T)
	if err := decode(d, stranger(theirs), back); err != nil {
		t.Fatalf("we do not understand protobuf's %T: %v", x, err)
	}
	same(t, "what protobuf wrote", back, x)
}

// stranger adds fields that the schema does not have to a message, of every wire
// type, at both ends.
func stranger(b []byte) []byte {
	var x []byte
	x = protowire.AppendTag(x, 1000, protowire.VarintType)
	x = protowire.AppendVarint(x, 7)
	x = protowire.AppendTag(x, 1001, protowire.Fixed64Type)
	x = protowire.AppendFixed64(x, 7)
	x = protowire.AppendTag(x, 1002, protowire.BytesType)
	x = protowire.AppendString(x, "seven")
	x = protowire.AppendTag(x, 1003, protowire.Fixed32Type)
	x = protowire.AppendFixed32(x, 7)
	x = protowire.AppendTag(x, 1004, protowire.StartGroupType)
	x = protowire.AppendTag(x, 1004, protowire.EndGroupType)
	// A known number with another wire type is unknown, too.
	x = protowire.AppendTag(x, 1, protowire.Fixed32Type)
	x = protowire.AppendFixed32(x, 7)
	return append(append(bytes.Clone(x), b...), x...)
}

func TestOracle(t *testing.T) {
	seeds := uint64(1000)
	if raceEnabled {
		seeds = 200
	}
	for seed := range seeds {
		g := newGenerator(seed)
		var (
			h  Header
			ty Type
			o  Object
			gr Goroutine
			s  Source
			x  Extra
			pv PackageVar
		)
		for _, p := range []any{&h, &ty, &o, &gr, &s, &x, &pv} {
			g.fill(p)
		}
		for i := range h.Reason {
			h.Reason[i].Parent = g.IntN(i+1) - 1
		}
		h.FormatVersion, ty.ID, o.ID = "", 0, 0 // these are not in the messages
		agree(t, &h, pbHeader(&h), (*encoder).header, (*decoder).header)
		agree(t, &ty, pbType(&ty), (*encoder).typ, (*decoder).typ)
		agree(t, &o, pbWritten(&o), (*encoder).object, (*decoder).object)
		agree(t, &gr, pbGoroutine(&gr), (*encoder).goroutine, (*decoder).goroutine)
		agree(t, &s, pbSource(&s), (*encoder).source, (*decoder).source)
		agree(t, &x, pbExtra(&x), (*encoder).extra, (*decoder).extra)
		agree(t, &pv, pbPackageVar(&pv), (*encoder).packageVar, (*decoder).packageVar)
	}
}

// What a writer does only for values with many elements.
func TestOracleMany(t *testing.T) {
	for n := manyElems - 1; n <= manyElems+1; n++ {
		o := Object{Addr: 5, Late: true, Value: Value{Type: 3, Addr: 5, Reason: Dead, Summary: "s", Elems: make([]Value, n)}}
		o.Value.Elems[n-1].Elems = make([]Value, n)
		agree(t, &o, pbWritten(&o), (*encoder).object, (*decoder).object)
	}
}

// A message that stands where it should stand once, twice, is merged, as
// protobuf prescribes.
func TestOracleMerge(t *testing.T) {
	for seed := range uint64(200) {
		g := newGenerator(seed)
		var a, b Object
		g.fill(&a)
		g.fill(&b)
		a.ID, b.ID = 0, 0
		var e encoder
		e.object(&a)
		e.object(&b)
		var want dumppb.Object
		if err := proto.Unmarshal(e.b, &want); err != nil {
			t.Fatal(err)
		}
		var got Object
		if err := new(decoder).init().object(e.b, &got); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(pbObject(&got), placed(&want)) {
			t.Fatalf("seed %d\n got: %v\nwant: %v", seed, pbObject(&got), &want)
		}
	}
}

func (d *decoder) init() *decoder {
	d.strings = map[string]string{}
	return d
}

// TestOracleFile reads whole files front to back as docs/format.md describes it,
// with nothing of this package but the generated messages.
func TestOracleFile(t *testing.T) {
	seeds := uint64(20)
	if raceEnabled {
		seeds = 6
	}
	for seed := range seeds {
		g := newGenerator(seed)
		c := g.dump(40)
		file := c.file(t, WithChunkSize(1<<g.IntN(18)))
		checkAsStream(t, c, file)
	}
}

func checkAsStream(t *testing.T, c *content, file []byte) {
	t.Helper()
	in := bytes.NewReader(file)
	next := func(n int) []byte {
		t.Helper()
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	crc := func(b ...[]byte) uint32 {
		return crc32.Checksum(bytes.Join(b, nil), crc32.MakeTable(crc32.Castagnoli))
	}
	unmarshal := func(b []byte, m proto.Message) {
		t.Helper()
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatal(err)
		}
	}
	equal := func(what string, got, want proto.Message) {
		t.Helper()
		if !proto.Equal(got, want) {
			t.Fatalf("%s\n got: %v\nwant: %v", what, got, want)
		}
	}
	le := binary.LittleEndian

	start := next(20)
	same(t, "magic", string(start[:8]), "\x89CDMP\r\n\x1a")
	same(t, "version", fmt.Sprintf("%d.%d", le.Uint16(start[8:]), le.Uint16(start[10:])), c.header.FormatVersion)
	body := next(int(le.Uint32(start[12:])))
	if len(start)+len(body) > 64<<10 {
		t.Fatalf("the prelude ends at byte %d", len(start)+len(body))
	}
	same(t, "prelude checksum", le.Uint32(start[16:]), crc(start[:16], body))
	var prelude dumppb.Prelude
	unmarshal(body, &prelude)
	equal("header", prelude.GetHeader(), pbHeader(&c.header))

	zd, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer zd.Close()
	var types, objects, sources, vars, extras, ends int
	goroutines := 0
	for i, info := range prelude.GetSections() {
		at := len(file) - in.Len()
		fr := next(36)
		same(t, "sync marker", le.Uint32(fr), uint32(0xc5d3ab91))
		same(t, "frame checksum", le.Uint32(fr[32:]), crc(fr[:32]))
		same(t, "offset", int(info.GetOffset()), at)
		same(t, "kind", int32(info.GetKind()), int32(le.Uint16(fr[4:])))
		same(t, "first ID", info.GetFirstId(), le.Uint64(fr[8:]))
		same(t, "count", info.GetCount(), uint64(le.Uint32(fr[16:])))
		same(t, "raw length", info.GetRawLength(), uint64(le.Uint32(fr[20:])))
		same(t, "stored length", info.GetStoredLength(), uint64(le.Uint32(fr[24:])))
		payload := next(int(info.GetStoredLength()))
		same(t, "payload checksum", le.Uint32(fr[28:]), crc(payload))
		if le.Uint16(fr[6:])&1 != 0 {
			if payload, err = zd.DecodeAll(payload, nil); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "length", uint64(len(payload)), info.GetRawLength())

		switch info.GetKind() {
		case dumppb.SectionKind_SECTION_KIND_TYPES:
			var s dumppb.TypeSection
			unmarshal(payload, &s)
			same(t, "first ID", info.GetFirstId(), uint64(types+1))
			for _, got := range s.GetTypes() {
				equal("type", got, pbType(c.types[types]))
				types++
			}
		case dumppb.SectionKind_SECTION_KIND_OBJECTS:
			var s dumppb.ObjectSection
			unmarshal(payload, &s)
			same(t, "first ID", info.GetFirstId(), uint64(objects+1))
			for _, got := range s.GetObjects() {
				equal("object", placed(got), pbObject(c.objects[objects]))
				objects++
			}
		case dumppb.SectionKind_SECTION_KIND_FAILING, dumppb.SectionKind_SECTION_KIND_GOROUTINES:
			if info.GetKind() == dumppb.SectionKind_SECTION_KIND_FAILING && i != 0 {
				t.Fatal("the failing goroutine is not the first section")
			}
			var s dumppb.GoroutineSection
			unmarshal(payload, &s)
			for _, got := range s.GetGoroutines() {
				equal("goroutine", got, pbGoroutine(c.goroutines[goroutines]))
				goroutines++
			}
		case dumppb.SectionKind_SECTION_KIND_SOURCES:
			var s dumppb.SourceSection
			unmarshal(payload, &s)
			for _, got := range s.GetSources() {
				equal("source", got, pbSource(c.sources[sources]))
				sources++
			}
		case dumppb.SectionKind_SECTION_KIND_PACKAGE_VARS:
			var s dumppb.PackageVarSection
			unmarshal(payload, &s)
			same(t, "first ID", info.GetFirstId(), uint64(vars+1))
			for _, got := range s.GetVars() {
				equal("package variable", got, pbPackageVar(c.vars[vars]))
				vars++
			}
		case dumppb.SectionKind_SECTION_KIND_EXTRA:
			var s dumppb.ExtraSection
			unmarshal(payload, &s)
			for _, got := range s.GetExtras() {
				equal("extra", got, pbExtra(c.extra))
				extras++
			}
		case dumppb.SectionKind_SECTION_KIND_END:
			var s dumppb.EndSection
			unmarshal(payload, &s)
			for _, got := range s.GetEnds() {
				equal("end", got, &dumppb.End{
					FileSize: uint64(len(file)), Sections: uint64(len(prelude.GetSections())), PreludeCrc: le.Uint32(start[16:]),
				})
				ends++
			}
		default:
			t.Fatalf("section of kind %v", info.GetKind())
		}
	}
	wantExtras := 0
	if c.extra != nil {
		wantExtras = 1
	}
	same(t, "records", []int{types, objects, goroutines, sources, vars, extras, ends, in.Len()},
		[]int{len(c.types), len(c.objects), len(c.goroutines), len(c.sources), len(c.vars), wantExtras, 1, 0})
}

// The model as generated messages.

func each[T, M any](list []T, convert func(*T) M) []M {
	var out []M
	for i := range list {
		out = append(out, convert(&list[i]))
	}
	return out
}

// single is nil for the zero value, which is not written.
func single[T comparable, M any](v *T, convert func(*T) *M) *M {
	var zero T
	if *v == zero {
		return nil
	}
	return convert(v)
}

func pbTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func pbID(id []byte) []byte {
	if len(bytes.Trim(id, "\x00")) == 0 {
		return nil
	}
	return id
}

func pbHeader(h *Header) *dumppb.Header {
	return &dumppb.Header{
		Id: pbID(h.ID[:]), TraceId: pbID(h.TraceID[:]), SpanId: pbID(h.SpanID[:]), Service: h.Service,
		Time: pbTime(h.Time), Trigger: string(h.Trigger), Name: h.Name, Description: h.Description,
		Reason: each(h.Reason, func(r *ErrorInfo) *dumppb.ErrorInfo {
			return &dumppb.ErrorInfo{Type: r.Type, Message: r.Message, Parent: uint64(r.Parent + 1), Panic: r.Panic, Runtime: r.Runtime}
		}),
		SpanName: h.SpanName, Resource: each(h.Resource, pbKeyValue), Host: h.Host, Pid: int64(h.PID),
		GoVersion: h.GoVersion, Goos: h.GOOS, Goarch: h.GOARCH, Module: single(&h.Module, pbModule),
		Vcs: single(&h.VCS, func(v *VCS) *dumppb.VCS {
			return &dumppb.VCS{Revision: v.Revision, Time: v.Time, Modified: v.Modified}
		}),
		Failing: single(&h.Failing, pbLocation),
		Counts: single(&h.Counts, func(c *Counts) *dumppb.Counts {
			return &dumppb.Counts{
				Goroutines: int64(c.Goroutines), Frames: int64(c.Frames), Variables: int64(c.Variables),
				Objects: int64(c.Objects), Bytes: c.Bytes,
			}
		}),
		Budgets: each(h.Budgets, func(b *Budget) *dumppb.Budget {
			return &dumppb.Budget{Name: b.Name, Unit: b.Unit, Limit: b.Limit, Spent: b.Spent, Hits: b.Hits}
		}),
		Redactions: each(h.Redactions, func(r *RuleCount) *dumppb.RuleCount {
			return &dumppb.RuleCount{Rule: r.Rule, Count: r.Count}
		}),
		Missing: each(h.Missing, pbMissing),
	}
}

func pbKeyValue(kv *KeyValue) *dumppb.KeyValue { return &dumppb.KeyValue{Key: kv.Key, Value: kv.Value} }

func pbModule(m *Module) *dumppb.Module { return &dumppb.Module{Path: m.Path, Version: m.Version} }

func pbMissing(m *Missing) *dumppb.Missing {
	return &dumppb.Missing{What: m.What, Why: m.Why, Hint: m.Hint}
}

func pbLocation(l *Location) *dumppb.Location {
	return &dumppb.Location{Func: l.Func, File: l.File, Line: int64(l.Line), Goroutine: l.Goroutine, Frame: int64(l.Frame)}
}

func pbType(t *Type) *dumppb.Type {
	return &dumppb.Type{
		Name: t.Name, Kind: dumppb.Kind(t.Kind), Size: t.Size, Elem: uint32(t.Elem), Key: uint32(t.Key), Len: t.Len,
		Fields: each(t.Fields, func(f *Field) *dumppb.Field {
			return &dumppb.Field{Name: f.Name, Type: uint32(f.Type), Offset: f.Offset, Embedded: f.Embedded, Tag: f.Tag}
		}),
		Named: t.Named,
	}
}

func pbValue(v *Value) *dumppb.Value {
	out := &dumppb.Value{
		Type: uint32(v.Type), Num2: v.Num2, Ptr: v.Ptr, Len: v.Len, Cap: v.Cap, Bytes: v.Bytes, Raw: v.Raw,
		Obj: uint64(v.Obj), Elems: each(v.Elems, pbValue), Addr: v.Addr, Reason: dumppb.Reason(v.Reason),
		Detail: v.Detail, Func: v.Func, Summary: v.Summary,
		Children: each(v.Children, func(c *Child) *dumppb.Child {
			return &dumppb.Child{Name: c.Name, Value: optional(&c.Value)}
		}),
	}
	if len(v.Elems) >= manyElems {
		out.ElemCount = uint32(len(v.Elems))
	}
	switch {
	case v.Num == 0:
	case v.Num < 1<<56:
		out.Number = &dumppb.Value_Num{Num: v.Num}
	default:
		out.Number = &dumppb.Value_NumWide{NumWide: v.Num}
	}
	return out
}

// optional is nil for a value of which nothing is set.
func optional(v *Value) *dumppb.Value {
	if m := pbValue(v); proto.Size(m) > 0 {
		return m
	}
	return nil
}

func pbObject(o *Object) *dumppb.Object {
	return &dumppb.Object{Value: optional(&o.Value), Addr: o.Addr, Late: o.Late}
}

// pbWritten is pbObject as the writer has it: without the address of the value if
// that is the object's.
func pbWritten(o *Object) *dumppb.Object {
	m := pbObject(o)
	if o.Value.Addr == o.Addr && o.Addr != 0 {
		v := o.Value
		v.Addr = 0
		m.Value, m.InPlace = optional(&v), true
	}
	return m
}

// placed gives the value of an object the address that was left out, as
// docs/format.md says it.
func placed(m *dumppb.Object) *dumppb.Object {
	if m.GetInPlace() {
		if m.Value == nil {
			m.Value = new(dumppb.Value)
		}
		if m.Value.Addr == 0 {
			m.Value.Addr = m.Addr
		}
		m.InPlace = false
	}
	return m
}

func pbVariable(v *Variable) *dumppb.Variable {
	return &dumppb.Variable{
		Name: v.Name, Kind: dumppb.VarKind(v.Kind), State: dumppb.VarState(v.State), DeclLine: int64(v.DeclLine),
		Escaped: v.Escaped, Value: optional(&v.Value),
	}
}

func pbGoroutine(g *Goroutine) *dumppb.Goroutine {
	return &dumppb.Goroutine{
		Id: g.ID, ParentId: g.ParentID, Status: g.Status, WaitReason: g.WaitReason, WaitSince: int64(g.WaitSince),
		Failing: g.Failing, CreatedBy: single(&g.CreatedBy, pbLocation), Labels: each(g.Labels, pbKeyValue),
		Frames: each(g.Frames, func(f *Frame) *dumppb.Frame {
			return &dumppb.Frame{
				Func: f.Func, File: f.File, Line: int64(f.Line), Pc: f.PC, Cfa: f.CFA, FuncLine: int64(f.FuncLine),
				Inlined: f.Inlined, User: f.User, Vars: each(f.Vars, pbVariable), Missing: each(f.Missing, pbMissing),
			}
		}),
		Values: each(g.Values, pbVariable), Missing: each(g.Missing, pbMissing),
		Waits: each(g.Waits, func(w *Wait) *dumppb.Wait {
			return &dumppb.Wait{Op: w.Op, Addr: w.Addr, Type: w.Type, Len: w.Len, Cap: w.Cap, Closed: w.Closed, Fd: w.FD, Left: int64(w.Left)}
		}),
		TraceId: pbID(g.TraceID[:]), SpanId: pbID(g.SpanID[:]), System: g.System, Locked: g.Locked,
		Others: each(g.Others, func(o *GoroutineGroup) *dumppb.GoroutineGroup {
			return &dumppb.GoroutineGroup{
				Count: int64(o.Count), Id: o.ID, Status: o.Status, WaitReason: o.WaitReason,
				At: single(&o.At, pbLocation), CreatedBy: single(&o.CreatedBy, pbLocation), Longest: int64(o.Longest),
			}
		}),
	}
}

func pbPackageVar(v *PackageVar) *dumppb.PackageVar {
	return &dumppb.PackageVar{Package: v.Package, Name: v.Name, State: dumppb.VarState(v.State), Late: v.Late, Value: optional(&v.Value)}
}

func pbSource(s *Source) *dumppb.Source {
	return &dumppb.Source{File: s.File, Blocks: each(s.Blocks, func(b *SourceBlock) *dumppb.SourceBlock {
		return &dumppb.SourceBlock{First: int64(b.First), Lines: b.Lines}
	})}
}

func pbExtra(x *Extra) *dumppb.Extra {
	return &dumppb.Extra{
		SpanKind: x.SpanKind, SpanStart: pbTime(x.SpanStart), SpanEnd: pbTime(x.SpanEnd), SpanStatus: x.SpanStatus,
		SpanMessage: x.SpanMessage, SpanAttributes: each(x.SpanAttributes, pbKeyValue),
		SpanEvents: each(x.SpanEvents, func(e *SpanEvent) *dumppb.SpanEvent {
			return &dumppb.SpanEvent{Name: e.Name, Time: pbTime(e.Time), Attributes: each(e.Attributes, pbKeyValue)}
		}),
		ParentSpanId: pbID(x.ParentSpanID[:]), Scope: x.Scope, CommandLine: x.CommandLine, Executable: x.Executable,
		BuildId: x.BuildID, StartTime: pbTime(x.StartTime), Modules: each(x.Modules, pbModule),
		Settings: each(x.Settings, pbKeyValue),
	}
}
