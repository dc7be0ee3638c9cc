// Package gen makes random programs in Go that fail with values in scope which it
// knows. A seed always gives the same program.
package gen

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Path is the import path of the package that the programs are.
const Path = "github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/random"

type kind int

const (
	kBool kind = iota
	kInt
	kUint
	kFloat
	kComplex
	kString
	kStruct
	kArray
	kSlice
	kMap
	kPointer
	kAny
	kChan
	kFunc
)

// typ is a type of a program.
type typ struct {
	kind   kind
	src    string // as it is written in the program
	full   string // as the debug info names it
	bits   int
	elem   *typ
	key    *typ
	len    int
	fields []field
	named  bool
}

type field struct {
	name string
	t    *typ
}

// maker makes one program.
type maker struct {
	r     *rand.Rand
	name  string // prefix of its names
	decls strings.Builder
	types []*typ // named
	count int
}

var basics = []*typ{
	{kind: kBool, src: "bool"},
	{kind: kInt, src: "int", bits: 64},
	{kind: kInt, src: "int8", bits: 8},
	{kind: kInt, src: "int16", bits: 16},
	{kind: kInt, src: "int32", bits: 32},
	{kind: kInt, src: "int64", bits: 64},
	{kind: kUint, src: "uint", bits: 64},
	{kind: kUint, src: "uint8", bits: 8},
	{kind: kUint, src: "uint16", bits: 16},
	{kind: kUint, src: "uint32", bits: 32},
	{kind: kUint, src: "uint64", bits: 64},
	{kind: kFloat, src: "float32", bits: 32},
	{kind: kFloat, src: "float64", bits: 64},
	{kind: kComplex, src: "complex64", bits: 32},
	{kind: kComplex, src: "complex128", bits: 64},
	{kind: kString, src: "string"},
	{kind: kString, src: "string"},
	{kind: kInt, src: "int", bits: 64},
}

func init() {
	for _, b := range basics {
		b.full = b.src
	}
}

func (m *maker) pick(n int) int { return m.r.IntN(n) }

func (m *maker) basic() *typ {
	t := basics[m.pick(len(basics))]
	if m.pick(5) == 0 {
		return m.declare(t)
	}
	return t
}

// declare makes a defined type.
func (m *maker) declare(under *typ) *typ {
	t := *under
	m.count++
	t.src = fmt.Sprintf("%sT%d", m.name, m.count)
	t.full = Path + "." + t.src
	t.named = true
	fmt.Fprintf(&m.decls, "type %s %s\n\n", t.src, under.src)
	m.types = append(m.types, &t)
	return &t
}

// typ returns a random type that is at most depth levels deep.
func (m *maker) typ(depth int) *typ {
	if depth <= 0 {
		return m.basic()
	}
	if len(m.types) > 0 && m.pick(6) == 0 {
		return m.types[m.pick(len(m.types))]
	}
	switch m.pick(12) {
	case 0, 1, 2:
		return m.structure(depth)
	case 3:
		e := m.typ(depth - 1)
		n := m.pick(5)
		return &typ{kind: kArray, src: fmt.Sprintf("[%d]%s", n, e.src), full: fmt.Sprintf("[%d]%s", n, e.full), elem: e, len: n}
	case 4, 5:
		e := m.typ(depth - 1)
		return &typ{kind: kSlice, src: "[]" + e.src, full: "[]" + e.full, elem: e}
	case 6, 7:
		k, e := m.keyType(), m.typ(depth-1)
		return &typ{kind: kMap, src: "map[" + k.src + "]" + e.src, full: "map[" + k.full + "]" + e.full, key: k, elem: e}
	case 8:
		e := m.typ(depth - 1)
		return &typ{kind: kPointer, src: "*" + e.src, full: "*" + e.full, elem: e}
	case 9:
		return &typ{kind: kAny, src: "any", full: "interface {}"}
	case 10:
		e := m.typ(depth - 1)
		return &typ{kind: kChan, src: "chan " + e.src, full: "chan " + e.full, elem: e}
	}
	if m.pick(3) == 0 {
		return &typ{kind: kFunc, src: "func(int) int", full: "func(int) int"}
	}
	return m.basic()
}

// keyType returns a type that maps can have as a key, and of which random values tend to differ.
func (m *maker) keyType() *typ {
	switch m.pick(6) {
	case 0:
		e := basics[1]
		return &typ{kind: kArray, src: "[2]int", full: "[2]int", elem: e, len: 2}
	case 1:
		under := &typ{kind: kStruct, src: "struct{ A int; B string }", fields: []field{{"A", basics[1]}, {"B", basics[15]}}}
		return m.declare(under)
	case 2, 3:
		return basics[15]
	}
	return basics[[]int{1, 4, 5, 9, 10}[m.pick(5)]]
}

// structure returns a struct type; those that are not defined have exported names only, whose
// spelling everybody agrees on.
func (m *maker) structure(depth int) *typ {
	t := &typ{kind: kStruct}
	for i := range m.pick(6) {
		n := "F" + strconv.Itoa(i)
		if m.pick(3) == 0 {
			n = "f" + strconv.Itoa(i)
		}
		t.fields = append(t.fields, field{n, m.typ(depth - 1)})
	}
	var b strings.Builder
	b.WriteString("struct {\n")
	for _, f := range t.fields {
		fmt.Fprintf(&b, "\t%s %s\n", f.name, f.t.src)
	}
	b.WriteString("}")
	t.src = b.String()
	return m.declare(t)
}
