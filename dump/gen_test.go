package dump

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// generator fills the model with random content by reflection, so that a field
// which is added to the model and forgotten in the file fails a test.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) *generator {
	return &generator{rand.New(rand.NewPCG(seed, 0xd0))}
}

func (g *generator) coin() bool { return g.IntN(2) == 0 }

// number is small, large, zero or all ones, in about equal parts.
func (g *generator) number() uint64 {
	switch g.IntN(4) {
	case 0:
		return 0
	case 1:
		return uint64(g.IntN(300))
	case 2:
		return ^uint64(0) >> g.IntN(64)
	}
	return g.Uint64() >> g.IntN(64)
}

func (g *generator) text() string {
	switch g.IntN(4) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("github.com/acme/shop/p%d.(*T%d).Method", g.IntN(4), g.IntN(40))
	case 2:
		return strings.Repeat("blödes Zeug – ", g.IntN(40))
	}
	return string(rune('a' + g.IntN(26)))
}

func (g *generator) fill(p any) { g.set(reflect.ValueOf(p).Elem(), 0) }

func (g *generator) set(v reflect.Value, depth int) {
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		if g.coin() {
			*p = time.Unix(g.Int64N(4e9)-2e9, g.Int64N(1e9)).UTC()
		}
		return
	case *Object:
		for i := range v.NumField() {
			g.set(v.Field(i), depth+1)
		}
		if g.coin() { // as nearly all of them have it
			p.Value.Addr = p.Addr
		}
		return
	case *ErrorInfo:
		*p = ErrorInfo{Type: g.text(), Message: g.text(), Parent: -1, Panic: g.coin(), Runtime: g.coin()}
		return
	case *[]Value:
		if depth > 5 {
			return
		}
	case *[]Child:
		if depth > 4 {
			return
		}
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(g.coin())
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(g.number()))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(g.number() >> (64 - v.Type().Bits()))
	case reflect.String:
		v.SetString(g.text())
	case reflect.Struct:
		for i := range v.NumField() {
			if depth > 0 && g.IntN(3) == 0 {
				continue
			}
			g.set(v.Field(i), depth+1)
		}
	case reflect.Array: // IDs
		if g.coin() {
			for i := range v.Len() {
				v.Index(i).SetUint(uint64(g.IntN(256)))
			}
		}
	case reflect.Slice:
		n := g.IntN(4)
		if v.Type().Elem().Kind() == reflect.Uint8 {
			n *= g.IntN(200)
		}
		if n == 0 {
			return // the format knows no difference between nil and empty
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			g.set(v.Index(i), depth+1)
		}
	default:
		panic("the model has a field of a new kind: " + v.Type().String())
	}
}

// content is all that is in a dump.
type content struct {
	header     Header
	types      []*Type
	objects    []*Object
	goroutines []*Goroutine
	sources    []*Source
	vars       []*PackageVar
	extra      *Extra
}

// dump makes a random dump. Objects refer to each other at random, so also in
// cycles.
func (g *generator) dump(size int) *content {
	c := &content{}
	g.fill(&c.header)
	for i := range c.header.Reason {
		c.header.Reason[i].Parent = g.IntN(i+1) - 1
	}
	for i := range g.IntN(size) {
		t := new(Type)
		g.fill(t)
		t.ID = TypeID(i + 1)
		c.types = append(c.types, t)
	}
	objects := g.IntN(size * 10)
	for i := range objects {
		o := new(Object)
		g.fill(o)
		o.ID = ObjectID(i + 1)
		o.Value.Elems = append(o.Value.Elems, Value{Obj: ObjectID(g.IntN(objects) + 1)})
		c.objects = append(c.objects, o)
	}
	failing := g.coin()
	for i := range g.IntN(size) {
		gr := new(Goroutine)
		g.fill(gr)
		gr.ID = int64(i*3 + 1)
		gr.Failing = i == 0 && failing
		c.goroutines = append(c.goroutines, gr)
	}
	for i := range g.IntN(size) {
		s := new(Source)
		g.fill(s)
		s.File = fmt.Sprintf("/src/file%d.go", i)
		c.sources = append(c.sources, s)
	}
	for range g.IntN(size) {
		v := new(PackageVar)
		g.fill(v)
		c.vars = append(c.vars, v)
	}
	if g.coin() {
		c.extra = new(Extra)
		g.fill(c.extra)
	}
	return c
}

// write writes c, handing records in in a random interleaving if rnd is not nil.
// Every record is overwritten afterwards, as callers may.
func (c *content) write(tb testing.TB, out io.Writer, rnd *rand.Rand, opts ...WriterOption) int64 {
	tb.Helper()
	w := NewWriter(out, opts...)
	var steps [][]func() error
	add := func(n int, step func(i int) error) {
		var list []func() error
		for i := range n {
			list = append(list, func() error { return step(i) })
		}
		steps = append(steps, list)
	}
	add(len(c.goroutines), func(i int) error {
		v := *c.goroutines[i]
		defer func() { v = Goroutine{} }()
		return w.Goroutine(&v)
	})
	add(len(c.types), func(i int) error {
		v := *c.types[i]
		defer func() { v = Type{} }()
		return w.Type(&v)
	})
	add(len(c.objects), func(i int) error {
		v := *c.objects[i]
		v.Value.Bytes = bytes.Clone(v.Value.Bytes)
		defer func() {
			clear(v.Value.Bytes)
			v = Object{}
		}()
		return w.Object(&v)
	})
	add(len(c.sources), func(i int) error { return w.Source(c.sources[i]) })
	add(len(c.vars), func(i int) error { return w.PackageVar(c.vars[i]) })
	if c.extra != nil {
		add(1, func(int) error { return w.Extra(c.extra) })
	}
	for len(steps) > 0 {
		k := 0
		if rnd != nil {
			k = rnd.IntN(len(steps))
		}
		if len(steps[k]) == 0 {
			steps = append(steps[:k], steps[k+1:]...)
			continue
		}
		if err := steps[k][0](); err != nil {
			tb.Fatal(err)
		}
		steps[k] = steps[k][1:]
	}
	n, err := w.Close(&c.header)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func (c *content) file(tb testing.TB, opts ...WriterOption) []byte {
	tb.Helper()
	var buf bytes.Buffer
	if n := c.write(tb, &buf, nil, opts...); n != int64(buf.Len()) {
		tb.Fatalf("Close says %d bytes, %d were written", n, buf.Len())
	}
	return buf.Bytes()
}

func open(tb testing.TB, file []byte, opts ...ReaderOption) *Reader {
	tb.Helper()
	r, err := NewReader(bytes.NewReader(file), int64(len(file)), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// same fails if got is not want.
func same(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if !reflect.DeepEqual(got, want) {
		tb.Fatalf("%s differs\n got: %+v\nwant: %+v", what, got, want)
	}
}
