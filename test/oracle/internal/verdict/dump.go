package verdict

import (
	"fmt"
	"math"
	"reflect"
	"strconv"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// OfDump returns the frames of the goroutine as the dump has them.
func OfDump(r *dump.Reader, g *dump.Goroutine) []Frame {
	d := dumpSide{r}
	var out []Frame
	for i := range g.Frames {
		f := &g.Frames[i]
		n := Frame{Func: f.Func, Line: f.Line, PC: f.PC, Inlined: f.Inlined}
		for j := range f.Vars {
			v := &f.Vars[j]
			x := Var{Name: v.Name, Line: v.DeclLine, Kind: v.Kind.String(), Escaped: v.Escaped, Dead: v.State == dump.VarDead, Value: d.node(v.Value)}
			if v.State == dump.VarMissing && x.Value.Why == "" {
				x.Value.Why = "missing, without a reason"
			}
			n.Vars = append(n.Vars, x)
		}
		out = append(out, n)
	}
	return out
}

type dumpSide struct{ r *dump.Reader }

func (d dumpSide) kid(name string, v dump.Value) Kid {
	return Kid{name, func() *Node { return d.node(v) }}
}

// object returns the value of an object; ok is false if the dump has none.
func (d dumpSide) object(id dump.ObjectID) (*dump.Object, *Node) {
	o, err := d.r.Object(id)
	if err != nil {
		return nil, &Node{Why: err.Error()}
	}
	return o, nil
}

// why says why a value is not whole.
func why(v *dump.Value) string {
	if v.Reason == dump.Whole {
		return ""
	}
	if v.Detail != "" {
		return v.Reason.String() + ": " + v.Detail
	}
	return v.Reason.String()
}

func (d dumpSide) node(v dump.Value) *Node {
	t := d.r.Type(v.Type)
	if t == nil {
		return &Node{Why: "no type: " + why(&v)}
	}
	n := &Node{Type: t.Name, Kind: reflect.Kind(t.Kind), Why: why(&v), Ptr: v.Ptr, Len: v.Len, Cap: v.Cap}
	switch t.Kind {
	case dump.Bool:
		n.Text = strconv.FormatBool(v.Num != 0)
	case dump.Int, dump.Int8, dump.Int16, dump.Int32, dump.Int64:
		n.Text = strconv.FormatInt(int64(v.Num), 10)
	case dump.Uint, dump.Uint8, dump.Uint16, dump.Uint32, dump.Uint64, dump.Uintptr:
		n.Text = strconv.FormatUint(v.Num, 10)
	case dump.Float32:
		n.Text = floatText(math.Float64frombits(v.Num), 32)
	case dump.Float64:
		n.Text = floatText(math.Float64frombits(v.Num), 64)
	case dump.Complex64, dump.Complex128:
		bits := 64
		if t.Kind == dump.Complex64 {
			bits = 32
		}
		n.Text = floatText(math.Float64frombits(v.Num), bits) + "," + floatText(math.Float64frombits(v.Num2), bits)
	case dump.String:
		n.Data = string(v.Bytes)
	case dump.UnsafePointer:
		n.Nil = v.Ptr == 0
	case dump.Pointer:
		n.Nil = v.Ptr == 0
		if v.Obj != 0 {
			n.Kids = []Kid{d.target(v.Obj)}
			n.ID = fmt.Sprint("object ", v.Obj)
		}
	case dump.Slice:
		n.Nil = v.Ptr == 0
		if v.Obj != 0 {
			o, bad := d.object(v.Obj)
			switch {
			case bad != nil:
				n.Why = bad.Why
			default:
				if n.Why == "" {
					n.Why = why(&o.Value)
				}
				n.Kids = d.elems(&o.Value, t.Elem)
			}
			n.ID = fmt.Sprint("object ", v.Obj)
		}
	case dump.Array:
		n.Kids = d.elems(&v, t.Elem)
		if v.Bytes != nil {
			n.Data = string(v.Bytes)
		}
		n.Len = t.Len
	case dump.Struct:
		for i := range v.Elems {
			n.Kids = append(n.Kids, d.kid(t.Fields[i].Name, v.Elems[i]))
		}
	case dump.Map, dump.Chan:
		n.Nil = v.Ptr == 0
		if v.Obj == 0 {
			break
		}
		n.ID = fmt.Sprint("object ", v.Obj)
		o, bad := d.object(v.Obj)
		if bad != nil {
			n.Why = bad.Why
			break
		}
		if n.Why == "" {
			n.Why = why(&o.Value)
		}
		n.Len, n.Cap, n.Closed = o.Value.Len, o.Value.Cap, o.Value.Num != 0
		for i := range o.Value.Elems {
			n.Kids = append(n.Kids, d.kid(strconv.Itoa(i), o.Value.Elems[i]))
		}
	case dump.Func:
		n.Nil, n.Text = v.Ptr == 0, v.Func
		if v.Obj != 0 {
			n.ID = fmt.Sprint("object ", v.Obj)
			o, bad := d.object(v.Obj)
			if bad != nil {
				n.Why = bad.Why
				break
			}
			n.Kids = d.node(o.Value).Kids
		}
	case dump.Interface:
		n.Nil = len(v.Elems) == 0
		if len(v.Elems) == 1 {
			e := v.Elems[0]
			n.Kids = []Kid{{"", func() *Node { return d.boxed(e) }}}
		}
	}
	return n
}

// boxed returns the dynamic value of an interface, which may lie in an object of its own.
func (d dumpSide) boxed(v dump.Value) *Node {
	if v.Obj != 0 {
		if t := d.r.Type(v.Type); t != nil && v.Ptr == 0 {
			switch t.Kind {
			case dump.Pointer, dump.Map, dump.Chan, dump.Func, dump.Slice:
			}
			o, bad := d.object(v.Obj)
			if bad != nil {
				return bad
			}
			if o.Value.Type == v.Type {
				return d.node(o.Value)
			}
		}
	}
	return d.node(v)
}

func (d dumpSide) target(id dump.ObjectID) Kid {
	return Kid{"*", func() *Node {
		o, bad := d.object(id)
		if bad != nil {
			return bad
		}
		return d.node(o.Value)
	}}
}

func (d dumpSide) elems(v *dump.Value, elem dump.TypeID) []Kid {
	t := d.r.Type(elem)
	if t == nil {
		return nil
	}
	kids := make([]Kid, v.NumElems(t))
	for i := range kids {
		i := i
		c := *v
		kids[i] = Kid{strconv.Itoa(i), func() *Node { return d.node(c.Elem(t, i)) }}
	}
	return kids
}
