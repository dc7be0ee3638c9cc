package dump

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"testing"
)

const benchObjects = 100_000

// benchGraph is like what a capture hands over: structs with an int, a string, a
// pointer and a slice, which refer to each other.
func benchGraph() ([]Type, func(i int, o *Object)) {
	types := []Type{
		{ID: 1, Name: "int", Kind: Int, Size: 8},
		{ID: 2, Name: "string", Kind: String, Size: 16},
		{ID: 3, Name: "*shop/store.Order", Kind: Pointer, Size: 8, Elem: 5},
		{ID: 4, Name: "[]shop/store.Line", Kind: Slice, Size: 24, Elem: 5},
		{ID: 5, Name: "shop/store.Order", Kind: Struct, Size: 56, Named: true, Fields: []Field{
			{Name: "ID", Type: 1}, {Name: "Customer", Type: 2, Offset: 8}, {Name: "Next", Type: 3, Offset: 24}, {Name: "Lines", Type: 4, Offset: 32},
		}},
	}
	elems := make([]Value, 4)
	text := make([]byte, 0, 64)
	return types, func(i int, o *Object) {
		addr := 0xc000_0000_00 + uint64(i)*56
		text = append(strconv.AppendInt(append(text[:0], "customer-"...), int64(i*7919%benchObjects), 10), "@example.com"...)
		next := i*31%benchObjects + 1
		elems[0] = Value{Type: 1, Num: uint64(i) - 50, Addr: addr}
		elems[1] = Value{Type: 2, Bytes: text, Len: int64(len(text)), Ptr: addr ^ 0x55550, Addr: addr + 8}
		elems[2] = Value{Type: 3, Ptr: 0xc000_0000_00 + uint64(next)*56, Obj: ObjectID(next), Addr: addr + 24}
		elems[3] = Value{Type: 4, Ptr: addr + 4096, Len: 3, Cap: 4, Obj: ObjectID(next), Addr: addr + 32}
		*o = Object{ID: ObjectID(i), Addr: addr, Value: Value{Type: 5, Addr: addr, Elems: elems}}
	}
}

func writeBench(tb testing.TB, w io.Writer, objects int, opts ...WriterOption) {
	types, object := benchGraph()
	dw := NewWriter(w, opts...)
	for i := range types {
		if err := dw.Type(&types[i]); err != nil {
			tb.Fatal(err)
		}
	}
	var o Object
	for i := 1; i <= objects; i++ {
		object(i, &o)
		if err := dw.Object(&o); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := dw.Close(&Header{}); err != nil {
		tb.Fatal(err)
	}
}

// rawLen is the length of all payloads of a file before compression.
func rawLen(r *Reader) (n int64) {
	for i := range r.sections {
		n += int64(r.sections[i].raw)
	}
	return n
}

func perObject(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchObjects, "ns/object")
}

// BenchmarkEncode is the writer without compression.
func BenchmarkEncode(b *testing.B) {
	_, object := benchGraph()
	var e encoder
	var o Object
	encode := func() {
		e.b = e.b[:0]
		for i := 1; i <= benchObjects; i++ {
			object(i, &o)
			e.items = 0
			at := e.open(1)
			e.object(&o)
			e.close(at)
		}
	}
	encode()
	b.SetBytes(int64(len(e.b)))
	b.ReportAllocs()
	for b.Loop() {
		encode()
	}
	perObject(b)
}

// BenchmarkMake is what of BenchmarkEncode and BenchmarkWrite is the making of the
// objects.
func BenchmarkMake(b *testing.B) {
	_, object := benchGraph()
	var o Object
	for b.Loop() {
		for i := 1; i <= benchObjects; i++ {
			object(i, &o)
		}
	}
	perObject(b)
}

func BenchmarkWrite(b *testing.B) {
	for _, level := range []int{1, 3, 8} {
		b.Run(fmt.Sprintf("level=%d", level), func(b *testing.B) {
			var buf bytes.Buffer
			writeBench(b, &buf, benchObjects, WithLevel(level))
			r, err := NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(rawLen(r))
			b.ReportAllocs()
			for b.Loop() {
				writeBench(b, io.Discard, benchObjects, WithLevel(level))
			}
			b.ReportMetric(float64(buf.Len()), "file-bytes")
			perObject(b)
		})
	}
}

func benchFile(b *testing.B) []byte {
	var buf bytes.Buffer
	writeBench(b, &buf, benchObjects)
	return buf.Bytes()
}

// BenchmarkReadAll goes through all objects.
func BenchmarkReadAll(b *testing.B) {
	file := benchFile(b)
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(rawLen(r))
		n := 0
		for _, err := range r.Objects() {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != benchObjects {
			b.Fatalf("%d objects", n)
		}
	}
	perObject(b)
}

// BenchmarkReadOne opens the file and reads one object from its middle.
func BenchmarkReadOne(b *testing.B) {
	file := benchFile(b)
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Object(benchObjects / 2); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadCached reads objects that lie in a chunk that is in memory.
func BenchmarkReadCached(b *testing.B) {
	file := benchFile(b)
	r, err := NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, err := r.Object(ObjectID(i%1000 + 1)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadHeader(b *testing.B) {
	file := benchFile(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadHeader(bytes.NewReader(file), int64(len(file))); err != nil {
			b.Fatal(err)
		}
	}
}
