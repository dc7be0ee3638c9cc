package capture

import (
	"bytes"
	"container/list"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"iter"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// fuzzTypes are types that have supports, and what leads to those that cannot be named.
func fuzzTypes() []reflect.Type {
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), list.Element{}, 1), time.Hour)
	defer cancel()
	_, span := sdktrace.NewTracerProvider().Tracer("").Start(ctx, "x")
	return []reflect.Type{
		reflect.TypeFor[time.Time](), reflect.TypeFor[time.Location](), reflect.TypeFor[time.Duration](),
		reflect.TypeFor[sync.Mutex](), reflect.TypeFor[sync.RWMutex](), reflect.TypeFor[sync.WaitGroup](), reflect.TypeFor[sync.Once](),
		reflect.TypeFor[sync.Cond](), reflect.TypeFor[sync.Map](), reflect.TypeFor[atomic.Value](), reflect.TypeFor[atomic.Pointer[time.Time]](),
		reflect.TypeFor[atomic.Bool](), reflect.TypeFor[big.Int](), reflect.TypeFor[big.Rat](), reflect.TypeFor[big.Float](),
		reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.AddrPort](), reflect.TypeFor[netip.Prefix](), reflect.TypeFor[net.IP](),
		reflect.TypeFor[net.IPNet](), reflect.TypeFor[net.TCPAddr](), reflect.TypeFor[url.URL](), reflect.TypeFor[strings.Builder](),
		reflect.TypeFor[bytes.Buffer](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[regexp.Regexp](), reflect.TypeFor[list.List](),
		reflect.TypeFor[iter.Seq[int]](), reflect.TypeFor[fs.PathError](), reflect.TypeFor[reflect.Value](), reflect.TypeOf(ctx).Elem(),
		reflect.TypeOf(context.WithValue(ctx, list.Element{}, 2)).Elem(), reflect.TypeOf(span).Elem(), reflect.TypeFor[trace.SpanContext](),
		reflect.TypeFor[sql.DB](), reflect.TypeFor[sql.NullTime](), reflect.TypeFor[sql.Null[time.Time]](), reflect.TypeFor[http.Request](),
		reflect.TypeFor[http.Response](), reflect.TypeFor[timestamppb.Timestamp](), reflect.TypeFor[durationpb.Duration](), reflect.TypeFor[structpb.Value](),
		reflect.TypeFor[structpb.Struct](), reflect.TypeFor[error](), reflect.TypeFor[any](), reflect.TypeFor[context.Context](),
	}
}

// wild is memory in which every address has something: words that make sense somewhere, and others.
type wild struct {
	data  []byte
	words []uint64
	seed  uint64
}

func (m *wild) ReadAt(buf []byte, addr uint64) error {
	if addr < minAddress || len(m.data) == 0 {
		return errUnreadable
	}
	r := rand.New(rand.NewPCG(addr, m.seed))
	for i := 0; i < len(buf); i += 8 {
		var w [8]byte
		k := m.data[int(r.Uint32())%len(m.data)]
		switch k % 8 {
		case 0, 1:
		case 2:
			putWord(w[:], uint64(k>>3))
		case 3:
			putWord(w[:], r.Uint64())
		case 4:
			putWord(w[:], 0xc000000000+uint64(k)*64)
		default:
			putWord(w[:], m.words[r.IntN(len(m.words))])
		}
		copy(buf[i:], w[:])
	}
	if m.data[int(addr/8)%len(m.data)]%16 == 15 {
		return errUnreadable
	}
	return nil
}

type supportFuzzer struct {
	e     *Engine
	types []*typ
	words []uint64
}

func newSupportFuzzer(t testing.TB) *supportFuzzer {
	cfg := DefaultConfig()
	cfg.MaxObjects, cfg.Depth, cfg.MaxArrayValues, cfg.MaxStringLen = 40, 6, 8, 64
	f := &supportFuzzer{e: testEngine(t, cfg)}
	for _, rt := range fuzzTypes() {
		x := f.e.types.ofReflect(rt)
		f.types = append(f.types, x)
		if rt.Kind() != reflect.Interface {
			f.words = append(f.words, x.rtype)
			if p := f.e.types.ofReflect(reflect.PointerTo(rt)); p != nil {
				f.words = append(f.words, p.rtype)
			}
		}
	}
	for _, err := range []error{context.Canceled, &fs.PathError{}, &url.Error{}} {
		f.words = append(f.words, itabOf(err))
	}
	return f
}

// run captures a value of type t from wild memory, decodes it and has it described.
func (f *supportFuzzer) run(t testing.TB, typ *typ, data []byte) {
	mem := &wild{data: data, words: f.words, seed: binary.LittleEndian.Uint64(append(data[:len(data):len(data)], make([]byte, 8)...))}
	guarded(func() {
		w := newWalker(&f.e.cfg, f.e.cfg.Depth, f.e.types, nil, f.e.layout.Load(), 0)
		w.mem = reader{Memory: mem}
		w.heap = newHeap(mem, w.lay, 0, &region{}, 0)
		b := make([]byte, typ.size)
		_ = mem.ReadAt(b, 0xc000000000)
		w.scan(typ, b, 0, "root")
		w.run(0)
		j := &judge{f.e.redactor, map[string]int64{}}
		d := &decoder{w: w, judge: j, types: newTypeNumbers(), limit: 256}
		d.describeUntil(deadlineIn(time.Hour))
		var v dump.Value
		d.value(&v, typ, b, place{name: "root"})
		check(t, &v, typ)
		for i := range w.objects.len() {
			var o dump.Object
			d.object(&o, w.objects.at(i))
			check(t, &o.Value, w.objects.at(i).t)
		}
		for s, fail := range d.describer.failures {
			if fail.why != errSteps.Error() {
				t.Errorf("the support of %s (%s) failed: %s", fail.typ, s.pattern, fail.why)
			}
		}
		w.spanOf(typ, b)
	})
}

func check(t testing.TB, v *dump.Value, typ *typ) {
	if len(v.Summary) > maxSummary+8 || len(v.Children) > maxChildren || strings.ContainsAny(v.Summary, "\n\x1b") {
		t.Errorf("%s: a summary of %d bytes, %d children: %.40q", typ.name, len(v.Summary), len(v.Children), v.Summary)
	}
	for i := range v.Elems {
		check(t, &v.Elems[i], typ)
	}
}

// FuzzSupports gives the supports values made of garbage.
func FuzzSupports(f *testing.F) {
	x := newSupportFuzzer(f)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range len(x.types) * 6 {
		data := make([]byte, 1+r.IntN(40))
		for k := range data {
			data[k] = byte(r.Uint32())
		}
		f.Add(uint8(i), data)
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		x.run(t, x.types[int(which)%len(x.types)], data)
	})
}

// TestWrongShapes gives each support types of the name that it knows but of another shape, as another
// release of Go or of a module may have: what it does not know it must not describe wrongly, nor fail.
func TestWrongShapes(t *testing.T) {
	x := newSupportFuzzer(t)
	r := rand.New(rand.NewPCG(3, 4))
	pool := append([]*typ{}, x.types...)
	for _, rt := range []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[int8](), reflect.TypeFor[uint32](), reflect.TypeFor[int64](), reflect.TypeFor[uint64](), reflect.TypeFor[float64](),
		reflect.TypeFor[complex128](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[[]string](), reflect.TypeFor[[3]int](), reflect.TypeFor[map[string]int](),
		reflect.TypeFor[chan int](), reflect.TypeFor[func()](), reflect.TypeFor[*int](), reflect.TypeFor[struct{}](), reflect.TypeFor[[16]byte](),
	} {
		pool = append(pool, x.e.types.ofReflect(rt))
	}
	for _, p := range pool {
		p.resolve()
	}
	names := map[string]*typ{}
	for _, p := range x.types {
		names[p.name] = p
	}
	for _, s := range builtinSupports() {
		name := strings.ReplaceAll(s.pattern, "*", "x")
		for n, p := range names {
			if glob(s.pattern, n) {
				name = p.name
			}
		}
		for range 6 {
			w := x.wrong(names[name], name, pool, r)
			if w.support == nil {
				t.Fatalf("%s has no support", name)
			}
			data := make([]byte, 8+r.IntN(40))
			for k := range data {
				data[k] = byte(r.Uint32())
			}
			x.run(t, w, data)
		}
	}
	// None of these may be taken for what it is not.
	for _, c := range []struct {
		name   string
		fields []field
	}{
		{"time.Time", []field{{name: "wall", typ: pool[len(pool)-14]}, {name: "ext", typ: pool[len(pool)-13]}}},
		{"sync.Mutex", []field{{name: "state", typ: pool[len(pool)-13]}, {name: "sema", typ: pool[len(pool)-13]}}},
		{"math/big.Int", []field{{name: "neg", typ: pool[len(pool)-17]}, {name: "abs", typ: pool[len(pool)-13]}}},
		{"net/netip.Addr", []field{{name: "addr", typ: pool[len(pool)-13]}, {name: "z", typ: pool[len(pool)-13]}}},
		{"sync.WaitGroup", []field{{name: "state1", typ: pool[len(pool)-13]}}},
		{"context.cancelCtx", []field{{name: "Context", typ: pool[len(pool)-13]}}},
	} {
		w := x.made(c.name, c.fields)
		d := &decoder{w: newWalker(&x.e.cfg, 3, x.e.types, nil, x.e.layout.Load(), 0), judge: &judge{x.e.redactor, map[string]int64{}}, types: newTypeNumbers(), limit: 256}
		d.describeUntil(deadlineIn(time.Hour))
		var v dump.Value
		d.value(&v, w, bytes.Repeat([]byte{1}, int(w.size)), place{})
		if v.Summary != "" || len(v.Elems) != len(c.fields) {
			t.Errorf("another %s is described as %q", c.name, v.Summary)
		}
	}
}

// wrong makes a type of that name, with the fields of like but of other types and in another order, or without some.
func (f *supportFuzzer) wrong(like *typ, name string, pool []*typ, r *rand.Rand) *typ {
	var fields []field
	if like != nil {
		for _, fl := range like.resolve().fields {
			if r.IntN(4) == 0 {
				continue
			}
			if r.IntN(2) == 0 {
				fl.typ = pool[r.IntN(len(pool))]
			}
			fields = append(fields, field{name: fl.name, typ: fl.typ, embedded: fl.embedded, tag: fl.tag})
		}
		r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	}
	if len(fields) == 0 {
		for _, n := range []string{"v", "wall", "ext", "loc", "Context", "key", "val", "s", "Valid", "V", "buf", "name"} {
			fields = append(fields, field{name: n, typ: pool[r.IntN(len(pool))]})
		}
	}
	return f.made(name, fields)
}

// made makes a struct type.
func (f *supportFuzzer) made(name string, fields []field) *typ {
	tt := f.e.types
	t := &typ{table: tt, name: name, kind: dump.Struct, named: true, fields: fields}
	for i := range fields {
		fields[i].typ.resolve()
		fields[i].off = t.size
		t.size += (fields[i].typ.size + 7) &^ 7
	}
	tt.mu.Lock()
	defer tt.mu.Unlock()
	t.id = uint32(len(tt.all) + 1)
	tt.all = append(tt.all, t)
	t.attach()
	t.slots = t.appendSlots(nil, 0, 0)
	t.more = t.appendMore()
	t.resolved.Store(true)
	return t
}

func itabOf(err error) uint64 { return uint64((*(*[2]uintptr)(unsafe.Pointer(&err)))[0]) }
