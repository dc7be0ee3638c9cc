package verdict

import (
	"fmt"
	"go/constant"
	"reflect"
	"strconv"

	"github.com/go-delve/delve/pkg/proc"

	"github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/witness"
)

// limits bound what is compared of one value. Delve makes a variable of every byte of a
// slice.
var limits = witness.Limits{String: 16 << 20, Values: 3000, Entries: 30_000, Buckets: 1 << 20}

// Careful lowers the limits: in optimised code Delve believes lengths that are none.
func Careful() { limits = witness.Limits{String: 64 << 10, Values: 100, Entries: 1000, Buckets: 4096} }

// OfDelve returns the frames as Delve has them.
func OfDelve(frames []witness.Frame) []Frame {
	var out []Frame
	for i := range frames {
		f := &frames[i]
		n := Frame{Func: f.Func, Line: f.Line, PC: f.PC, Inlined: f.Inlined, Optimized: f.Optimized}
		for _, v := range f.Vars {
			x := Var{Name: v.Name, Line: int(v.DeclLine), Kind: "local", Escaped: v.Flags&proc.VariableEscaped != 0}
			switch {
			case v.Flags&proc.VariableArgument != 0:
				x.Kind = "arg"
			case v.Flags&proc.VariableReturnArgument != 0:
				x.Kind = "result"
			}
			x.Value = delveNode(v)
			n.Vars = append(n.Vars, x)
		}
		out = append(out, n)
	}
	return out
}

func delveKid(name string, v *proc.Variable) Kid {
	return Kid{name, func() *Node { return delveNode(v) }}
}

// typeText is a type's name as ours are written.
func typeText(v *proc.Variable) string { return v.TypeString() }

func delveNode(v *proc.Variable) *Node {
	witness.Load(v, limits)
	n := &Node{Type: typeText(v), Kind: v.Kind}
	switch v.Kind {
	case reflect.String, reflect.Slice, reflect.Array, reflect.Map:
		n.Len, n.Cap = v.Len, v.Cap
	}
	if v.Unreadable != nil {
		n.Why = v.Unreadable.Error()
		return n
	}
	switch v.Kind {
	case reflect.Bool:
		if v.Value != nil {
			n.Text = strconv.FormatBool(constant.BoolVal(v.Value))
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if v.Value != nil {
			n.Text = v.Value.ExactString()
		}
	case reflect.Float32, reflect.Float64:
		n.Text = delveFloat(v)
	case reflect.Complex64, reflect.Complex128:
		bits := 64
		if v.Kind == reflect.Complex64 {
			bits = 32
		}
		n.Text = constFloat(constant.Real(v.Value), bits) + "," + constFloat(constant.Imag(v.Value), bits)
	case reflect.String:
		if v.Value != nil {
			n.Data = constant.StringVal(v.Value)
		}
	case reflect.UnsafePointer:
		if len(v.Children) == 1 {
			n.Ptr = v.Children[0].Addr
		}
		n.Nil = n.Ptr == 0
	case reflect.Pointer:
		if len(v.Children) == 1 {
			n.Ptr = v.Children[0].Addr
			if n.Ptr != 0 {
				n.Kids = []Kid{delveKid("*", &v.Children[0])}
			}
			n.ID = fmt.Sprintf("%#x %s", n.Ptr, n.Type)
		}
		n.Nil = n.Ptr == 0
	case reflect.Slice:
		n.Ptr, n.Nil = v.Base, v.Base == 0
		n.Kids = delveElems(v)
		n.ID = fmt.Sprintf("%#x %s %d", n.Ptr, n.Type, v.Len)
	case reflect.Array:
		n.Kids = delveElems(v)
	case reflect.Map:
		n.Ptr, n.Nil = v.Base, v.Base == 0
		n.Kids = delveElems(v)
		n.ID = fmt.Sprintf("%#x %s", n.Ptr, n.Type)
	case reflect.Struct:
		for i := range v.Children {
			n.Kids = append(n.Kids, delveKid(v.Children[i].Name, &v.Children[i]))
		}
	case reflect.Func:
		n.Nil = v.Base == 0
		if v.Value != nil {
			n.Text = constant.StringVal(v.Value)
		}
		n.Ptr = v.Base
		for i := range v.Children {
			c := &v.Children[i]
			if c.Flags&proc.VariableEscaped == 0 {
				n.Kids = append(n.Kids, delveKid(c.Name, c))
				continue
			}
			// What is captured by reference stands for itself with Delve; ours shows the pointer, so
			// that one sees who shares it.
			n.Kids = append(n.Kids, Kid{c.Name, func() *Node {
				return &Node{Type: "*" + typeText(c), Kind: reflect.Pointer, Ptr: c.Addr, Kids: []Kid{delveKid("*", c)}, ID: fmt.Sprintf("%#x *%s", c.Addr, typeText(c))}
			}})
		}
	case reflect.Interface:
		if len(v.Children) == 1 {
			c := &v.Children[0]
			if c.Addr == 0 && c.Kind == reflect.Invalid {
				n.Nil = true
				break
			}
			n.Kids = []Kid{{"", func() *Node { return delveNode(c) }}}
		}
	case reflect.Chan:
		delveChan(n, v)
	default:
		n.Why = "kind " + v.Kind.String()
	}
	return n
}

func delveElems(v *proc.Variable) []Kid {
	kids := make([]Kid, len(v.Children))
	for i := range kids {
		kids[i] = delveKid(strconv.Itoa(i), &v.Children[i])
	}
	return kids
}

// delveChan puts a channel's ring in order: Delve shows runtime.hchan.
func delveChan(n *Node, v *proc.Variable) {
	n.Ptr, n.Nil = v.Base, v.Base == 0
	if n.Nil {
		return
	}
	n.ID = fmt.Sprintf("%#x %s", n.Ptr, n.Type)
	field := func(name string) *proc.Variable {
		for i := range v.Children {
			if v.Children[i].Name == name {
				return &v.Children[i]
			}
		}
		return nil
	}
	num := func(name string) int64 {
		if f := field(name); f != nil && f.Value != nil {
			x, _ := constant.Int64Val(f.Value)
			return x
		}
		n.Why = "runtime.hchan has no " + name
		return 0
	}
	n.Len, n.Cap, n.Closed = num("qcount"), num("dataqsiz"), num("closed") != 0
	recv := num("recvx")
	buf := field("buf")
	if n.Why != "" || buf == nil || n.Cap == 0 {
		return
	}
	witness.Load(buf, limits)
	if len(buf.Children) != 1 {
		n.Why = "the buffer cannot be read"
		return
	}
	ring := &buf.Children[0]
	witness.Load(ring, limits)
	for i := range n.Len {
		k := (recv + i) % n.Cap
		if k >= int64(len(ring.Children)) {
			break
		}
		n.Kids = append(n.Kids, delveKid(strconv.FormatInt(i, 10), &ring.Children[k]))
	}
}

func delveFloat(v *proc.Variable) string {
	switch v.FloatSpecial {
	case proc.FloatIsNaN:
		return "NaN"
	case proc.FloatIsPosInf:
		return "+Inf"
	case proc.FloatIsNegInf:
		return "-Inf"
	}
	bits := 64
	if v.Kind == reflect.Float32 {
		bits = 32
	}
	return constFloat(v.Value, bits)
}

func constFloat(c constant.Value, bits int) string {
	if c == nil || c.Kind() == constant.Unknown {
		return "unknown" // Delve has no infinities and NaNs in complex numbers
	}
	f, _ := constant.Float64Val(c)
	return floatText(f, bits)
}
