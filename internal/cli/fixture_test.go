package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
)

// testNow is when the commands of the tests run.
var testNow = time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)

// The traces of the fixtures.
const (
	traceA = "4bf92f3577b34da6a3ce929d0e0e4736" // two dumps: panic, errspan
	traceB = "0af7651916cd43dd8448eb211c80319c" // one: stripped
	spanA1 = "00f067aa0ba902b7"
	spanA2 = "b7ad6b7169203331"
)

// fixture is a dump that the tests read.
type fixture struct {
	header     dump.Header
	types      []dump.Type
	goroutines []dump.Goroutine
	objects    []dump.Object
	vars       []dump.PackageVar
	sources    []dump.Source
	extra      *dump.Extra
}

// fixtureID is a dump ID made so many minutes before testNow.
func fixtureID(minutes int, last byte) dump.ID {
	ms := testNow.Add(-time.Duration(minutes) * time.Minute).UnixMilli()
	var id dump.ID
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6], id[8], id[15] = 0x70, 0x80, last
	return id
}

func mustTrace(s string) dump.TraceID {
	id, err := dump.ParseTraceID(s)
	if err != nil {
		panic(err)
	}
	return id
}

func mustSpan(s string) dump.SpanID {
	id, err := dump.ParseSpanID(s)
	if err != nil {
		panic(err)
	}
	return id
}

// The types of the fixtures, by number.
const (
	tString dump.TypeID = iota + 1
	tInt
	tFloat
	tLine
	tLines
	tLineArray
	tOrder
	tOrderPtr
	tRates
	tStore
	tStorePtr
	tError
	tErrorString
	tErrorStringPtr
	tByte
	tBytes
	tByteArray
)

func fixtureTypes() []dump.Type {
	const shop = "example.com/shop/"
	return []dump.Type{
		{ID: tString, Name: "string", Kind: dump.String, Size: 16},
		{ID: tInt, Name: "int", Kind: dump.Int, Size: 8},
		{ID: tFloat, Name: "float64", Kind: dump.Float64, Size: 8},
		{ID: tLine, Name: shop + "store.Line", Kind: dump.Struct, Size: 24, Named: true, Fields: []dump.Field{
			{Name: "SKU", Type: tString}, {Name: "Qty", Type: tInt, Offset: 16},
		}},
		{ID: tLines, Name: "[]" + shop + "store.Line", Kind: dump.Slice, Size: 24, Elem: tLine},
		{ID: tLineArray, Name: "[2]" + shop + "store.Line", Kind: dump.Array, Size: 48, Elem: tLine, Len: 2},
		{ID: tOrder, Name: shop + "store.Order", Kind: dump.Struct, Size: 48, Named: true, Fields: []dump.Field{
			{Name: "ID", Type: tString}, {Name: "Lines", Type: tLines, Offset: 16}, {Name: "Parent", Type: tOrderPtr, Offset: 40},
		}},
		{ID: tOrderPtr, Name: "*" + shop + "store.Order", Kind: dump.Pointer, Size: 8, Elem: tOrder},
		{ID: tRates, Name: "map[string]int", Kind: dump.Map, Size: 8, Elem: tInt, Key: tString},
		{ID: tStore, Name: shop + "store.Store", Kind: dump.Struct, Size: 8, Named: true, Fields: []dump.Field{{Name: "rates", Type: tRates}}},
		{ID: tStorePtr, Name: "*" + shop + "store.Store", Kind: dump.Pointer, Size: 8, Elem: tStore},
		{ID: tError, Name: "error", Kind: dump.Interface, Size: 16},
		{ID: tErrorString, Name: "errors.errorString", Kind: dump.Struct, Size: 16, Named: true, Fields: []dump.Field{{Name: "s", Type: tString}}},
		{ID: tErrorStringPtr, Name: "*errors.errorString", Kind: dump.Pointer, Size: 8, Elem: tErrorString},
		{ID: tByte, Name: "uint8", Kind: dump.Uint8, Size: 1},
		{ID: tBytes, Name: "[]uint8", Kind: dump.Slice, Size: 24, Elem: tByte},
		{ID: tByteArray, Name: "[4]uint8", Kind: dump.Array, Size: 4, Elem: tByte, Len: 4},
	}
}

func text(s string) dump.Value {
	return dump.Value{Type: tString, Bytes: []byte(s), Len: int64(len(s))}
}

func number(n int64) dump.Value { return dump.Value{Type: tInt, Num: uint64(n)} }

// fixtureHeader is what the headers have in common.
func fixtureHeader(id dump.ID, trace, span, service string, trigger dump.Trigger) dump.Header {
	h := dump.Header{
		Identity: dump.Identity{ID: id, Service: service},
		Time:     id.Time().Add(123456 * time.Nanosecond), Trigger: trigger,
		SpanName: "POST /checkout",
		Resource: []dump.KeyValue{{Key: "service.name", Value: service}, {Key: "deployment.environment.name", Value: "test"}},
		Host:     "web-1", PID: 4711, GoVersion: "go1.26.8", GOOS: "linux", GOARCH: "amd64",
		Module: dump.Module{Path: "example.com/shop", Version: "v1.2.3"},
		VCS:    dump.VCS{Revision: "0123456789abcdef0123456789abcdef01234567", Time: "2026-11-01T00:00:00Z", Modified: true},
	}
	if trace != "" {
		h.TraceID, h.SpanID = mustTrace(trace), mustSpan(span)
	}
	return h
}

var fixtures = map[string]func() fixture{
	"panic":    panicFixture,
	"errspan":  errorFixture,
	"stripped": strippedFixture,
	"manual":   manualFixture,
	"hostile":  hostileFixture,
	"large":    largeFixture,
	"heavy":    heavyFixture,
}

// panicFixture is a nil dereference two calls deep, one of them inlined.
func panicFixture() fixture {
	h := fixtureHeader(fixtureID(40, 1), traceA, spanA1, "checkout", dump.TriggerPanic)
	h.Reason = []dump.ErrorInfo{{
		Type: "runtime.errorString", Message: "runtime error: invalid memory address or nil pointer dereference",
		Parent: -1, Panic: true, Runtime: true,
	}}
	h.Failing = dump.Location{Func: "example.com/shop/store.(*Store).Price", File: "/src/shop/store/price.go", Line: 42, Goroutine: 34, Frame: 2}
	h.Counts = dump.Counts{Goroutines: 2, Frames: 7, Variables: 8, Objects: 4, Bytes: 4096}
	h.Budgets = []dump.Budget{
		{Name: "depth", Unit: "levels", Limit: 10, Spent: 10, Hits: 3},
		{Name: "pause", Unit: "ns", Limit: 50e6, Spent: 1_234_567},
		{Name: "bytes", Unit: "bytes", Limit: 64 << 20, Spent: 4096},
	}
	h.Redactions = []dump.RuleCount{{Rule: "aws-access-key", Count: 1}, {Rule: "environ", Count: 2}}
	h.Missing = []dump.Missing{{What: "one goroutine", Why: "it moved while it was read", Hint: "none is needed"}}
	f := fixture{header: h, types: fixtureTypes()}
	f.goroutines = []dump.Goroutine{
		{
			ID: 34, ParentID: 1, Status: "running", Failing: true,
			CreatedBy: dump.Location{Func: "net/http.(*Server).Serve", File: "/go/src/net/http/server.go", Line: 3454},
			Labels:    []dump.KeyValue{{Key: "route", Value: "/checkout"}},
			Values:    []dump.Variable{{Name: "cart", Kind: dump.VarWatch, Value: dump.Value{Type: tInt, Num: 7}}},
			Frames: []dump.Frame{
				{Func: "runtime.panicmem", File: "/go/src/runtime/panic.go", Line: 336, PC: 0x401000},
				{Func: "runtime.sigpanic", File: "/go/src/runtime/signal_unix.go", Line: 931, PC: 0x401100},
				{
					Func: "example.com/shop/store.(*Store).Price", File: "/src/shop/store/price.go", Line: 42, PC: 0x480010, CFA: 0xc000100f00, FuncLine: 36,
					Inlined: true, User: true,
					Vars: []dump.Variable{
						{Name: "s", Kind: dump.VarArg, DeclLine: 36, Value: dump.Value{Type: tStorePtr, Ptr: 0xc000010000, Obj: 3}},
						{Name: "o", Kind: dump.VarArg, DeclLine: 36, Value: dump.Value{Type: tOrderPtr}},
						{Name: "total", Kind: dump.VarLocal, DeclLine: 37, State: dump.VarMissing, Value: dump.Value{Type: tInt, Reason: dump.OptimizedOut}},
					},
				},
				{
					Func: "example.com/shop/order.Place", File: "/src/shop/order/order.go", Line: 17, PC: 0x480010, CFA: 0xc000100f00, FuncLine: 12, User: true,
					Vars: []dump.Variable{
						{Name: "o", Kind: dump.VarArg, DeclLine: 12, Escaped: true, Value: dump.Value{Type: tOrderPtr, Ptr: 0xc000020000, Obj: 1}},
						{Name: "key", Kind: dump.VarLocal, DeclLine: 13, Value: dump.Value{
							Type: tString, Reason: dump.Redacted, Detail: "aws-access-key", Len: 20, Bytes: []byte("‹redacted:aws-access-key:len=20›"),
						}},
						{Name: "n", Kind: dump.VarLocal, DeclLine: 14, State: dump.VarDead, Value: dump.Value{Type: tInt, Num: 2, Reason: dump.Dead}},
						{Name: "err", Kind: dump.VarResult, DeclLine: 12, Value: dump.Value{Type: tError}},
					},
				},
				{Func: "net/http.HandlerFunc.ServeHTTP", File: "/go/src/net/http/server.go", Line: 2286, PC: 0x480200, CFA: 0xc000100f80},
				{Func: "main.serve", File: "/src/shop/main.go", Line: 88, PC: 0x480300, CFA: 0xc000101000, User: true},
			},
		},
		{ID: 1, Status: "waiting", WaitReason: "IO wait", WaitSince: 3 * time.Second, Frames: []dump.Frame{
			{Func: "main.main", File: "/src/shop/main.go", Line: 20, PC: 0x480400, User: true},
		}},
	}
	line := func(sku string, qty int64) dump.Value {
		return dump.Value{Type: tLine, Elems: []dump.Value{text(sku), number(qty)}}
	}
	f.objects = []dump.Object{
		{ID: 1, Addr: 0xc000020000, Value: dump.Value{Type: tOrder, Elems: []dump.Value{
			text("A-1001"), {Type: tLines, Ptr: 0xc000030000, Len: 2, Cap: 4, Obj: 2}, {Type: tOrderPtr},
		}}},
		{ID: 2, Addr: 0xc000030000, Value: dump.Value{Type: tLineArray, Len: 2, Elems: []dump.Value{line("tea", 2), line("cup", 1)}}},
		{ID: 3, Addr: 0xc000010000, Value: dump.Value{Type: tStore, Elems: []dump.Value{{Type: tRates, Ptr: 0xc000040000, Len: 1, Obj: 4}}}},
		{ID: 4, Addr: 0xc000040000, Late: true, Value: dump.Value{Type: tRates, Len: 1, Elems: []dump.Value{text("EUR"), number(100)}}},
	}
	f.vars = []dump.PackageVar{
		{Package: "example.com/shop/store", Name: "current", Value: dump.Value{Type: tStorePtr, Ptr: 0xc000010000, Obj: 3, Addr: 0x5a0000}},
		{Package: "main", Name: "requests", Late: true, Value: dump.Value{Type: tInt, Num: 12, Addr: 0x5a0010}},
		{Package: "main", Name: "total", State: dump.VarMissing, Value: dump.Value{Type: tInt, Addr: 0x5a0018, Reason: dump.TimeBudget}},
	}
	f.sources = []dump.Source{{File: "/src/shop/store/price.go", Blocks: []dump.SourceBlock{{First: 41, Lines: []string{
		"\tfor _, l := range o.Lines {", "\t\ttotal += o.Parent.rate(l)", "\t}",
	}}}}}
	f.extra = &dump.Extra{
		SpanKind: "server", SpanStart: h.Time.Add(-time.Second), SpanStatus: "Error",
		SpanAttributes: []dump.KeyValue{{Key: "http.route", Value: "/checkout"}},
		CommandLine:    []string{"/app/checkout", "-v"}, Executable: "/app/checkout",
	}
	return f
}

// errorFixture is an error that was wrapped twice and recorded.
func errorFixture() fixture {
	h := fixtureHeader(fixtureID(39, 2), traceA, spanA2, "checkout", dump.TriggerErrorSpan)
	h.SpanName = "charge"
	h.Reason = []dump.ErrorInfo{
		{Type: "*fmt.wrapError", Message: "place order A-1002: charge: card declined", Parent: -1},
		{Type: "*fmt.wrapError", Message: "charge: card declined", Parent: 0},
		{Type: "*errors.errorString", Message: "card declined", Parent: 1},
	}
	h.Failing = dump.Location{Func: "example.com/shop/pay.Charge", File: "/src/shop/pay/pay.go", Line: 9, Goroutine: 35}
	h.Counts = dump.Counts{Goroutines: 1, Frames: 1, Variables: 1, Objects: 1}
	f := fixture{header: h, types: fixtureTypes()}
	f.goroutines = []dump.Goroutine{{
		ID: 35, Status: "running", Failing: true,
		Values: []dump.Variable{{Name: "error", Kind: dump.VarError, Value: dump.Value{Type: tError, Elems: []dump.Value{{Type: tErrorStringPtr, Ptr: 0xc000050000, Obj: 1}}}}},
		Frames: []dump.Frame{{Func: "example.com/shop/pay.Charge", File: "/src/shop/pay/pay.go", Line: 9, PC: 0x490000, User: true, Vars: []dump.Variable{
			{Name: "raw", Kind: dump.VarLocal, Value: dump.Value{Type: tBytes, Ptr: 0xc000060000, Len: 4, Cap: 4, Obj: 2}},
		}}},
	}}
	f.objects = []dump.Object{
		{ID: 1, Addr: 0xc000050000, Value: dump.Value{Type: tErrorString, Elems: []dump.Value{text("card declined")}}},
		{ID: 2, Addr: 0xc000060000, Value: dump.Value{Type: tByteArray, Len: 4, Raw: []byte{0xff, 0, 1, 2}}},
	}
	return f
}

// strippedFixture is of a binary without debug information.
func strippedFixture() fixture {
	h := fixtureHeader(fixtureID(26*60, 3), traceB, spanA1, "billing", dump.TriggerPanic)
	h.Reason = []dump.ErrorInfo{{Type: "string", Message: "no rate\nfor XXX", Parent: -1, Panic: true}}
	h.Failing = dump.Location{Func: "main.rate", File: "/src/billing/main.go", Line: 7, Goroutine: 8}
	h.Missing = []dump.Missing{{What: "locals", Why: "the binary has no debug information", Hint: "build without -ldflags=-w or -s"}}
	return fixture{header: h, goroutines: []dump.Goroutine{{
		ID: 8, Failing: true, Frames: []dump.Frame{{Func: "main.rate", File: "/src/billing/main.go", Line: 7, User: true}},
	}}}
}

// manualFixture belongs to no trace, and nothing failed.
func manualFixture() fixture {
	h := fixtureHeader(fixtureID(5, 4), "", "", "", dump.TriggerManual)
	h.Name, h.Description = "queue", "the queue is full"
	return fixture{header: h}
}

// hostileFixture tries what text in a dump may do to a terminal: colours, the
// window's title, the cursor, and text that reads backwards.
func hostileFixture() fixture {
	const evil = "\x1b[31mred\x1b[0m\x1b]0;title\x07\u202eevil\u0085\r\x00\xff"
	h := fixtureHeader(fixtureID(3, 5), traceB, spanA2, evil, dump.TriggerPanic)
	h.SpanName, h.Host, h.Name, h.Description = evil, evil, evil, evil
	h.Module.Path, h.VCS.Revision, h.GoVersion = evil, evil, evil
	h.Reason = []dump.ErrorInfo{{Type: evil, Message: evil + "\nsecond line " + evil, Parent: -1, Panic: true}, {Type: evil, Message: evil, Parent: 0}}
	h.Failing = dump.Location{Func: evil, File: evil, Line: 1, Goroutine: 1}
	h.Budgets = []dump.Budget{{Name: evil, Unit: evil, Hits: 1}}
	h.Redactions = []dump.RuleCount{{Rule: evil, Count: 1}}
	h.Missing = []dump.Missing{{What: evil, Why: evil, Hint: evil}}
	h.Resource = []dump.KeyValue{{Key: evil, Value: evil}}
	v := []dump.Variable{{Name: evil, Value: text(evil)}, {Name: "x" + evil, State: dump.VarMissing, Value: dump.Value{Type: 2, Reason: dump.Unreadable, Detail: evil}}}
	return fixture{
		header: h,
		types:  []dump.Type{{ID: 1, Name: "string", Kind: dump.String, Size: 16}, {ID: 2, Name: evil, Kind: dump.Struct, Named: true}},
		goroutines: []dump.Goroutine{{ID: 1, Failing: true, Status: evil, WaitReason: evil, Values: v, Missing: h.Missing, Frames: []dump.Frame{
			{Func: evil, File: evil, Line: 1, User: true, Vars: v, Missing: h.Missing},
		}}},
		sources: []dump.Source{{File: evil, Blocks: []dump.SourceBlock{{First: 1, Lines: []string{evil}}}}},
	}
}

// largeFixture has megabytes beside what peek shows.
func largeFixture() fixture {
	f := panicFixture()
	f.header.ID = fixtureID(2, 6)
	state := uint32(1)
	for i := range 3000 {
		noise := make([]byte, 1024)
		for j := range noise {
			state = state*1664525 + 1013904223 // does not compress
			noise[j] = byte(state >> 24)
		}
		f.objects = append(f.objects, dump.Object{
			ID: dump.ObjectID(5 + i), Addr: 0xc100000000 + uint64(i)*1024,
			Value: dump.Value{Type: tString, Bytes: noise, Len: int64(len(noise))},
		})
	}
	return f
}

// heavyFixture has its megabytes before what peek shows.
func heavyFixture() fixture {
	f := largeFixture()
	f.header.ID = fixtureID(1, 7)
	moved := f.objects[:4]
	f.objects = f.objects[4:]
	noise := dump.ObjectID(len(f.objects))
	for i := range f.objects {
		f.objects[i].ID = dump.ObjectID(i + 1)
	}
	var move func(v *dump.Value)
	move = func(v *dump.Value) {
		if v.Obj != 0 {
			v.Obj += noise
		}
		for i := range v.Elems {
			move(&v.Elems[i])
		}
	}
	for _, o := range moved {
		o.ID += noise
		move(&o.Value)
		f.objects = append(f.objects, o)
	}
	for i := range f.goroutines {
		for k := range f.goroutines[i].Frames {
			for j := range f.goroutines[i].Frames[k].Vars {
				move(&f.goroutines[i].Frames[k].Vars[j].Value)
			}
		}
	}
	return f
}

// encode returns the fixture as a dump file.
func (f *fixture) encode() ([]byte, error) {
	var buf bytes.Buffer
	w := dump.NewWriter(&buf)
	for i := range f.types {
		if err := w.Type(&f.types[i]); err != nil {
			return nil, err
		}
	}
	for i := range f.goroutines {
		if err := w.Goroutine(&f.goroutines[i]); err != nil {
			return nil, err
		}
	}
	for i := range f.objects {
		if err := w.Object(&f.objects[i]); err != nil {
			return nil, err
		}
	}
	for i := range f.vars {
		if err := w.PackageVar(&f.vars[i]); err != nil {
			return nil, err
		}
	}
	for i := range f.sources {
		if err := w.Source(&f.sources[i]); err != nil {
			return nil, err
		}
	}
	if f.extra != nil {
		if err := w.Extra(f.extra); err != nil {
			return nil, err
		}
	}
	if _, err := w.Close(&f.header); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// fixtureBytes returns the fixture of that name and its header.
func fixtureBytes(name string) ([]byte, *dump.Header, error) {
	make, ok := fixtures[name]
	if !ok {
		return nil, nil, fmt.Errorf("there is no fixture %q", name)
	}
	f := make()
	data, err := f.encode()
	return data, &f.header, err
}

// writeFixture makes a file with the fixture.
func writeFixture(path, name string) error {
	data, h, err := fixtureBytes(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	return os.Chtimes(path, h.Time, h.Time)
}

// storeFixtures puts the fixtures into a local store.
func storeFixtures(dir string, names ...string) error {
	s, err := local.New(dir)
	if err != nil {
		return err
	}
	return putFixtures(s, names...)
}

// sealFixtures puts the fixtures into a local store, encrypted.
func sealFixtures(dir string, cfg encrypt.Config, names ...string) error {
	inner, err := local.New(dir)
	if err != nil {
		return err
	}
	s, err := encrypt.New(inner, cfg)
	if err != nil {
		return err
	}
	return putFixtures(s, names...)
}

func putFixtures(s sink.Sink, names ...string) error {
	for _, name := range names {
		data, h, err := fixtureBytes(name)
		if err != nil {
			return err
		}
		if err := s.Put(context.Background(), h.Identity, bytes.NewReader(data)); err != nil {
			return err
		}
	}
	return nil
}

// TestFixtures checks that the fixtures are good dumps: every other test builds
// on that.
func TestFixtures(t *testing.T) {
	for name := range fixtures {
		data, h, err := fixtureBytes(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r, err := dump.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := r.Verify(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.Header().ID != h.ID {
			t.Errorf("%s: ID %s, want %s", name, r.Header().ID, h.ID)
		}
	}
}
