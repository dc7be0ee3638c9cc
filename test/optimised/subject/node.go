package main

import (
	"math"
	"slices"
	"strconv"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Node is a value, cut at maxDepth.
type Node struct {
	K    string `json:",omitempty"` // kind
	T    string `json:",omitempty"` // text, dynamic type, func
	N    int64  `json:",omitempty"` // length
	Nil  bool   `json:",omitempty"`
	Why  string `json:",omitempty"` // why it has no value
	Cut  bool   `json:",omitempty"` // there is more
	Kids []Node `json:",omitempty"`
}

const (
	maxDepth  = 4
	maxElems  = 12
	maxString = 200
)

var kindNames = map[dump.Kind]string{
	dump.Bool: "bool", dump.String: "string", dump.Struct: "struct", dump.Interface: "interface", dump.Array: "array", dump.Func: "func",
	dump.Slice: "slice", dump.Pointer: "ptr", dump.Map: "map", dump.Chan: "chan", dump.UnsafePointer: "unsafe", dump.Uintptr: "uintptr",
	dump.Int: "num", dump.Int8: "num", dump.Int16: "num", dump.Int32: "num", dump.Int64: "num",
	dump.Uint: "num", dump.Uint8: "num", dump.Uint16: "num", dump.Uint32: "num", dump.Uint64: "num",
	dump.Float32: "float", dump.Float64: "float", dump.Complex64: "complex", dump.Complex128: "complex",
}

func ourNode(r *dump.Reader, v *dump.Value, depth int) *Node {
	t := r.Type(v.Type)
	if t == nil {
		return &Node{Why: "no type " + v.Reason.String()}
	}
	n := &Node{K: kindNames[t.Kind]}
	// The one holds offsets that no two builds have alike, the other is emptied by the collector.
	if t.Name == "internal/abi.Type" || t.Name == "sync.Pool" {
		n.Cut = true
		return n
	}
	if v.Reason != dump.Whole && v.Reason != dump.CollectionLimit && v.Reason != dump.StringLimit {
		n.Why = v.Reason.String()
		// Of a value that is known in parts the parts are compared.
		if (len(v.Elems) == 0 || t.Kind != dump.Struct) && (t.Kind != dump.Slice || v.Len <= 0 || v.Obj == 0) {
			return n
		}
		n.Why = ""
	}
	res, err := r.Resolve(v)
	if err != nil {
		return &Node{K: n.K, Why: err.Error()}
	}
	v = res
	kid := func(v *dump.Value) { n.Kids = append(n.Kids, *ourNode(r, v, depth-1)) }
	switch t.Kind {
	case dump.Bool:
		n.T = strconv.FormatBool(v.Num != 0)
	case dump.Int, dump.Int8, dump.Int16, dump.Int32, dump.Int64:
		n.T = strconv.FormatInt(int64(v.Num), 10)
	case dump.Uint, dump.Uint8, dump.Uint16, dump.Uint32, dump.Uint64, dump.Uintptr:
		n.T = strconv.FormatUint(v.Num, 10)
	case dump.Float32:
		n.T = strconv.FormatFloat(math.Float64frombits(v.Num), 'g', -1, 32)
	case dump.Float64:
		n.T = strconv.FormatFloat(math.Float64frombits(v.Num), 'g', -1, 64)
	case dump.Complex64, dump.Complex128:
		n.T = strconv.FormatFloat(math.Float64frombits(v.Num), 'g', -1, 64) + " " + strconv.FormatFloat(math.Float64frombits(v.Num2), 'g', -1, 64)
	case dump.String:
		n.T, n.N = string(v.Bytes[:min(len(v.Bytes), maxString)]), v.Len
	case dump.Func, dump.UnsafePointer:
		n.Nil = v.Ptr == 0
	case dump.Interface:
		n.Nil = len(v.Elems) == 0
		if !n.Nil {
			n.T = r.Type(v.Elems[0].Type).Name
			if depth <= 0 {
				n.Cut = true
				break
			}
			kid(&v.Elems[0])
		}
	case dump.Struct:
		if depth <= 0 {
			n.Cut = true
			break
		}
		for i := range v.Elems {
			kid(&v.Elems[i])
		}
	case dump.Array:
		n.N = v.Len
		ourElems(r, n, v, depth)
	case dump.Slice:
		n.Nil, n.N = v.Ptr == 0, v.Len
		if v.Len == 0 || depth <= 0 {
			n.Cut = v.Len > 0
			break
		}
		o, err := r.Object(v.Obj)
		if err != nil || v.Obj == 0 || gone(&o.Value) {
			n.Cut = true
			break
		}
		ourElems(r, n, &o.Value, depth)
	case dump.Pointer:
		n.Nil = v.Ptr == 0
		if n.Nil || v.Obj == 0 || depth <= 0 {
			n.Cut = !n.Nil
			break
		}
		o, err := r.Object(v.Obj)
		if err != nil {
			n.Cut = true
			break
		}
		kid(&o.Value)
	case dump.Map:
		n.Nil, n.N = v.Ptr == 0, v.Len
		if n.Nil || v.Obj == 0 || depth <= 0 {
			n.Cut = !n.Nil
			break
		}
		o, err := r.Object(v.Obj)
		if err != nil || len(o.Value.Elems) > 2*maxElems || gone(&o.Value) {
			n.Cut = true
			break
		}
		n.N = o.Value.Len
		for i := range o.Value.Elems {
			kid(&o.Value.Elems[i])
		}
		n.sortEntries()
	case dump.Chan:
		n.Nil, n.N = v.Ptr == 0, 0
		n.Cut = !n.Nil
	}
	return n
}

// gone reports whether what is behind a value could not be read.
func gone(v *dump.Value) bool { return v.Reason != dump.Whole && v.Reason != dump.CollectionLimit }

func ourElems(r *dump.Reader, n *Node, v *dump.Value, depth int) {
	if depth <= 0 {
		n.Cut = true
		return
	}
	for i := range min(r.NumElems(v), maxElems) {
		e := r.Elem(v, i)
		n.Kids = append(n.Kids, *ourNode(r, &e, depth-1))
	}
	n.Cut = int64(len(n.Kids)) < n.N
}

func (n *Node) sortEntries() {
	type pair struct{ k, v Node }
	var ps []pair
	for i := 0; i+1 < len(n.Kids); i += 2 {
		ps = append(ps, pair{n.Kids[i], n.Kids[i+1]})
	}
	slices.SortFunc(ps, func(a, b pair) int {
		x, y := a.k.flat(), b.k.flat()
		if x < y {
			return -1
		}
		if x > y {
			return 1
		}
		return 0
	})
	n.Kids = n.Kids[:0]
	for _, p := range ps {
		n.Kids = append(n.Kids, p.k, p.v)
	}
}

func (n *Node) flat() string {
	s := n.T
	for i := range n.Kids {
		s += "," + n.Kids[i].flat()
	}
	return s
}
