package dump

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata anew, except for the files of released versions")

// fixture is a small dump with a bit of everything. The files of it in testdata are
// opened for ever, so what is here must not change either.
func fixture() *content {
	sum := make([]byte, 0, 24)
	for _, f := range []float64{1.5, -2, math.Pi} {
		sum = binary.LittleEndian.AppendUint64(sum, math.Float64bits(f))
	}
	at := func(fn, file string, line int) Location {
		return Location{Func: fn, File: file, Line: line, Goroutine: 7, Frame: 1}
	}
	when := time.Date(2026, 11, 23, 3, 20, 0, 123456789, time.UTC)
	c := &content{
		header: Header{
			Identity: Identity{
				ID:      ID{0x01, 0x9a, 0x20, 0x5e, 0x86, 0x94, 0x73, 0x9b, 0xae, 0xa5, 0x96, 0x6c, 0x26, 0xf8, 0xad, 0x91},
				TraceID: TraceID{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
				SpanID:  SpanID{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7},
				Service: "checkout",
			},
			Time: when, Trigger: TriggerPanic, Name: "charge", Description: "a card was charged twice – žluťoučký kůň",
			Reason: []ErrorInfo{
				{Type: "*fmt.wrapErrors", Message: "charge: card declined\ntimeout", Parent: -1, Panic: true},
				{Type: "*shop/pay.DeclinedError", Message: "card declined", Parent: 0},
				{Type: "context.deadlineExceededError", Message: "timeout", Parent: 0, Runtime: true},
			},
			SpanName: "POST /charge", Resource: []KeyValue{{"service.name", "checkout"}, {"empty", ""}},
			Host: "web-3", PID: 4711, GoVersion: "go1.26.8", GOOS: "linux", GOARCH: "amd64",
			Module: Module{"shop", "v1.2.3"}, VCS: VCS{Revision: "abc123", Time: "2026-11-01T00:00:00Z", Modified: true},
			Failing:    at("shop/pay.(*Client).Charge", "/src/shop/pay/client.go", 42),
			Counts:     Counts{Goroutines: 3, Frames: 4, Variables: 6, Objects: 9, Bytes: 4096},
			Budgets:    []Budget{{Name: "depth", Unit: "levels", Limit: 10, Spent: 10, Hits: 2}, {Name: "pause", Unit: "ns", Limit: 50e6, Spent: 123456}},
			Redactions: []RuleCount{{"aws-access-key", 1}, {"name", 12}},
			Missing:    []Missing{{"other goroutines", "two were running", "capture.timeout"}},
		},
		types: []*Type{
			{ID: 1, Name: "int", Kind: Int, Size: 8},
			{ID: 2, Name: "string", Kind: String, Size: 16},
			{ID: 3, Name: "*shop/pay.Order", Kind: Pointer, Size: 8, Elem: 4},
			{ID: 4, Name: "shop/pay.Order", Kind: Struct, Size: 40, Named: true, Fields: []Field{
				{Name: "ID", Type: 1, Tag: `json:"id"`},
				{Name: "Next", Type: 3, Offset: 8},
				{Name: "Meta", Type: 5, Offset: 16, Embedded: true},
				{Name: "Any", Type: 8, Offset: 24},
			}},
			{ID: 5, Name: "map[string]int", Kind: Map, Size: 8, Key: 2, Elem: 1},
			{ID: 6, Name: "float64", Kind: Float64, Size: 8},
			{ID: 7, Name: "[3]float64", Kind: Array, Size: 24, Elem: 6, Len: 3},
			{ID: 8, Name: "interface {}", Kind: Interface, Size: 16},
			{ID: 9, Name: "[]float64", Kind: Slice, Size: 24, Elem: 6},
			{ID: 10, Name: "chan int", Kind: Chan, Size: 8, Elem: 1},
			{ID: 11, Name: "func()", Kind: Func, Size: 8},
			{ID: 12, Name: "complex128", Kind: Complex128, Size: 16},
			{ID: 13, Name: "bool", Kind: Bool, Size: 1},
		},
		objects: []*Object{
			{ID: 1, Addr: 0xc000010000, Value: Value{Type: 4, Addr: 0xc000010000, Elems: []Value{
				{Type: 1, Num: math.MaxUint64 - 4, Addr: 0xc000010000}, // -5
				{Type: 3, Ptr: 0xc000020000, Obj: 2},
				{Type: 5, Ptr: 0xc000030000, Len: 2, Obj: 3},
				{Type: 8, Elems: []Value{{Type: 2, Obj: 4}}},
			}}},
			{ID: 2, Addr: 0xc000020000, Late: true, Value: Value{Type: 4, Elems: []Value{
				{Type: 1, Num: 1 << 60}, {Type: 3, Ptr: 0xc000010000, Obj: 1}, {Type: 5}, {Type: 8},
			}}},
			{ID: 3, Value: Value{Type: 5, Len: 2, Elems: []Value{
				{Type: 2, Bytes: []byte("a"), Len: 1}, {Type: 1, Num: 1}, {Type: 2, Bytes: []byte("b"), Len: 1}, {Type: 1, Num: 2},
			}}},
			{ID: 4, Value: Value{Type: 2, Bytes: []byte("\xff\x00 cut"), Len: 4000, Reason: StringLimit}},
			{ID: 5, Addr: 0xc000050000, Value: Value{Type: 7, Len: 3, Addr: 0xc000050000, Raw: sum}},
			{ID: 6, Value: Value{Type: 10, Num: 1, Len: 1, Cap: 8, Elems: []Value{{Type: 1, Num: 3}}}},
			{ID: 7, Value: Value{Type: 12, Num: math.Float64bits(1), Num2: math.Float64bits(-1)}},
			{ID: 8, Value: Value{Type: 9, Ptr: 0xc000050000, Len: 3, Cap: 3, Obj: 5}},
			{ID: 9, Value: Value{Type: 2, Len: 40, Reason: Redacted, Detail: "aws-access-key", Summary: "a key"}},
		},
		goroutines: []*Goroutine{
			{
				ID: 7, ParentID: 1, Status: "running", Failing: true, CreatedBy: at("main.main", "/src/shop/main.go", 9),
				Labels: []KeyValue{{"route", "/charge"}},
				Frames: []Frame{
					{Func: "runtime.gopanic", File: "/go/src/runtime/panic.go", Line: 860, PC: 0x43a000, CFA: 0xc0000a0000},
					{
						Func: "shop/pay.(*Client).Charge", File: "/src/shop/pay/client.go", Line: 42, PC: 0x50a000, CFA: 0xc0000a0100,
						FuncLine: 30, Inlined: true, User: true,
						Vars: []Variable{
							{Name: "o", Kind: VarArg, DeclLine: 30, Value: Value{Type: 3, Ptr: 0xc000010000, Obj: 1}},
							{Name: "n", State: VarRecovered, DeclLine: 31, Escaped: true, Value: Value{Type: 1, Num: 3}},
							{Name: "ok", Kind: VarResult, State: VarMissing, Value: Value{Type: 13, Reason: OptimizedOut}},
						},
						Missing: []Missing{{What: "locals", Why: "no debug info", Hint: "build without -w"}},
					},
				},
				Values: []Variable{{Name: "panic", Kind: VarPanic, Value: Value{Type: 8, Elems: []Value{{Type: 2, Obj: 4}}}}},
			},
			{
				ID: 1, Status: "waiting", WaitReason: "chan receive", WaitSince: 3 * time.Minute,
				Frames: []Frame{{
					Func: "main.main", File: "/src/shop/main.go", Line: 12, User: true,
					Vars: []Variable{{Name: "f", State: VarDead, Value: Value{Type: 11, Ptr: 0x401000, Func: "main.main.func1"}}},
				}},
			},
			{ID: 18, ParentID: 1, Status: "running", Missing: []Missing{{What: "frames", Why: "it was running"}}},
		},
		sources: []*Source{
			{File: "/src/shop/pay/client.go", Blocks: []SourceBlock{
				{First: 30, Lines: []string{"func (c *Client) Charge(o *Order) (ok bool) {", "", "\tn := 3"}},
				{First: 42, Lines: []string{"\treturn o.Next.Next.charge(n)"}},
			}},
			{File: "/src/shop/main.go", Blocks: []SourceBlock{{First: 12, Lines: []string{"\t<-done"}}}},
		},
		extra: &Extra{
			SpanKind: "Server", SpanStart: when.Add(-time.Second), SpanEnd: when, SpanStatus: "Error", SpanMessage: "declined",
			SpanAttributes: []KeyValue{{"http.request.method", "POST"}},
			SpanEvents:     []SpanEvent{{Name: "exception", Time: when, Attributes: []KeyValue{{"exception.type", "x"}}}, {Name: "no time"}},
			ParentSpanID:   SpanID{1, 2, 3, 4, 5, 6, 7, 8}, Scope: "otelhttp",
			CommandLine: []string{"/bin/shop", "", "-v"}, Executable: "/bin/shop", BuildID: "deadbeef",
			StartTime: time.Unix(0, 0).UTC(), Modules: []Module{{"go.opentelemetry.io/otel", "v1.47.0"}},
			Settings: []KeyValue{{"-trimpath", "true"}},
		},
	}
	c.header.FormatVersion = "1.0"
	return c
}

// fixture11 is the fixture with what came with version 1.1: an object with many
// elements.
func fixture11() *content {
	c := fixture()
	c.header.FormatVersion = "1.1"
	v := Value{Type: 5, Len: 4000, Addr: 0xc000060000, Reason: CollectionLimit}
	for i := range manyElems {
		v.Elems = append(v.Elems, Value{Type: 2, Bytes: []byte{'k', byte(i >> 8), byte(i)}, Len: 3}, Value{Type: 1, Num: uint64(i) * 7919})
	}
	c.objects = append(c.objects, &Object{ID: 10, Addr: 0xc000060000, Value: v})
	return c
}

// The files that the versions of the format were released with open for ever. That
// of the current version can be written anew for as long as it is not released;
// those before it cannot be made any more.
func TestGolden(t *testing.T) {
	for name, contentOf := range map[string]func() *content{"v1.cdmp": fixture, "v1.1.cdmp": fixture11} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name)
			c := contentOf()
			if v := c.header.FormatVersion; *update && v == formatVersion(versionMajor, versionMinor) {
				if err := os.WriteFile(path, c.file(t), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			c.check(t, r)
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			checkAsStream(t, c, file)
		})
	}
}

func TestFixtureRoundTrip(t *testing.T) {
	c := fixture11()
	c.check(t, open(t, c.file(t)))
}

func TestResolveAndElem(t *testing.T) {
	r := open(t, fixture().file(t))
	object := func(id ObjectID) *Object {
		o, err := r.Object(id)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	resolve := func(v *Value) *Value {
		got, err := r.Resolve(v)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}

	array := object(5).Value
	same(t, "elements of the raw array", r.NumElems(&array), 3)
	same(t, "element 1", r.Elem(&array, 1), Value{Type: 6, Num: math.Float64bits(-2), Addr: 0xc000050008})

	order := object(1).Value
	same(t, "fields", r.NumElems(&order), 4)
	same(t, "field 0", int64(r.Elem(&order, 0).Num), int64(-5))

	boxed := order.Elems[3].Elems[0]
	same(t, "boxed string", *resolve(&boxed), object(4).Value)
	for i := range order.Elems[:3] {
		if v := &order.Elems[i]; resolve(v) != v {
			t.Errorf("field %d resolves to something else than itself", i)
		}
	}
	slice := object(8).Value
	if resolve(&slice) != &slice {
		t.Error("a slice in place resolves to something else than itself")
	}
	same(t, "boxed slice", *resolve(&Value{Type: 9, Obj: 8}), slice)
	if _, err := r.Resolve(&Value{Type: 2, Obj: 1000}); err == nil {
		t.Error("resolving an object that is not there gives no error")
	}
}

func TestRawElems(t *testing.T) {
	f32 := func(f float32) []byte { return binary.LittleEndian.AppendUint32(nil, math.Float32bits(f)) }
	for _, c := range []struct {
		elem *Type
		raw  []byte
		want []Value // Num and Num2 only
	}{
		{&Type{Kind: Bool}, []byte{0, 1}, []Value{{}, {Num: 1}}},
		{&Type{Kind: Int8}, []byte{0xff, 0x7f}, []Value{{Num: math.MaxUint64}, {Num: 127}}},
		{&Type{Kind: Uint8}, []byte{0xff}, []Value{{Num: 255}}},
		{&Type{Kind: Int16}, []byte{0xfe, 0xff}, []Value{{Num: math.MaxUint64 - 1}}},
		{&Type{Kind: Uint16}, []byte{0xfe, 0xff}, []Value{{Num: 0xfffe}}},
		{&Type{Kind: Int32}, []byte{0, 0, 0, 0x80}, []Value{{Num: 0xffffffff80000000}}},
		{&Type{Kind: Uint32}, []byte{0, 0, 0, 0x80}, []Value{{Num: 0x80000000}}},
		{&Type{Kind: Int64}, bytes.Repeat([]byte{0xff}, 8), []Value{{Num: math.MaxUint64}}},
		{&Type{Kind: Int, Size: 8}, bytes.Repeat([]byte{0xff}, 8), []Value{{Num: math.MaxUint64}}},
		{&Type{Kind: Int, Size: 4}, bytes.Repeat([]byte{0xff}, 8), []Value{{Num: math.MaxUint64}, {Num: math.MaxUint64}}},
		{&Type{Kind: Uintptr, Size: 4}, bytes.Repeat([]byte{0xff}, 4), []Value{{Num: math.MaxUint32}}},
		{&Type{Kind: Float32}, f32(-1.5), []Value{{Num: math.Float64bits(-1.5)}}},
		{&Type{Kind: Complex64}, append(f32(1), f32(-2)...), []Value{{Num: math.Float64bits(1), Num2: math.Float64bits(-2)}}},
		{&Type{Kind: Complex128}, bytes.Repeat([]byte{1}, 16), []Value{{Num: 0x0101010101010101, Num2: 0x0101010101010101}}},
		{&Type{Kind: Int32}, []byte{1, 0, 0, 0, 9, 9}, []Value{{Num: 1}}}, // what is left over is no element
		{&Type{Kind: Struct, Size: 1}, []byte{1, 2}, nil},                 // not of a basic kind
		{nil, []byte{1, 2}, nil},
	} {
		v := Value{Raw: c.raw}
		var got []Value
		for i := range v.NumElems(c.elem) {
			got = append(got, v.Elem(c.elem, i))
		}
		same(t, "elements", got, c.want)
	}
}
