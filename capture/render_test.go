package capture_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// render prints a captured value in a form that tests can compare: map entries
// sorted, addresses left out, cycles marked.
func render(r *dump.Reader, v *dump.Value) string {
	return renderer{r, map[dump.ObjectID]bool{}}.value(v)
}

type renderer struct {
	r    *dump.Reader
	seen map[dump.ObjectID]bool
}

func (x renderer) value(v *dump.Value) string {
	t := x.r.Type(v.Type)
	if t == nil {
		return "!notype " + v.Reason.String()
	}
	if v.Reason != dump.Whole {
		if v.Reason == dump.OptimizedOut && (v.Len > 0 || v.Ptr != 0) {
			return fmt.Sprintf("!partial(len=%d)", v.Len)
		}
		return strings.TrimSpace("!" + v.Reason.String() + " " + v.Detail)
	}
	res, err := x.r.Resolve(v)
	if err != nil {
		return "!" + err.Error()
	}
	v = res
	list := func(vs []dump.Value, name func(int) string) string {
		var parts []string
		for i := range vs {
			parts = append(parts, name(i)+x.value(&vs[i]))
		}
		return strings.Join(parts, " ")
	}
	none := func(int) string { return "" }
	switch t.Kind {
	case dump.Bool:
		return strconv.FormatBool(v.Num != 0)
	case dump.Int, dump.Int8, dump.Int16, dump.Int32, dump.Int64:
		return strconv.FormatInt(int64(v.Num), 10)
	case dump.Uint, dump.Uint8, dump.Uint16, dump.Uint32, dump.Uint64, dump.Uintptr:
		return strconv.FormatUint(v.Num, 10)
	case dump.Float32, dump.Float64:
		return strconv.FormatFloat(math.Float64frombits(v.Num), 'g', -1, 64)
	case dump.Complex128, dump.Complex64:
		return strconv.FormatComplex(complex(math.Float64frombits(v.Num), math.Float64frombits(v.Num2)), 'g', -1, 128)
	case dump.String:
		return strconv.Quote(string(v.Bytes))
	case dump.Struct:
		return "{" + list(v.Elems, func(i int) string { return t.Fields[i].Name + ":" }) + "}"
	case dump.Interface:
		if len(v.Elems) == 0 {
			return "nil"
		}
		return x.r.Type(v.Elems[0].Type).Name + "(" + x.value(&v.Elems[0]) + ")"
	case dump.Array:
		return "[" + x.elems(v) + "]"
	case dump.Func:
		if v.Ptr == 0 {
			return "nil"
		}
		s := "func " + v.Func
		if v.Obj != 0 {
			s += x.object(v.Obj)
		}
		return s
	}
	if v.Ptr == 0 {
		return "nil"
	}
	switch t.Kind {
	case dump.Slice:
		if v.Len == 0 {
			return "[]"
		}
		return x.object(v.Obj)
	case dump.Pointer:
		return "&" + x.object(v.Obj)
	case dump.Map:
		o, err := x.r.Object(v.Obj)
		if err != nil {
			return "!" + err.Error()
		}
		var parts []string
		for i := 0; i+1 < len(o.Value.Elems); i += 2 {
			parts = append(parts, x.value(&o.Value.Elems[i])+":"+x.value(&o.Value.Elems[i+1]))
		}
		slices.Sort(parts)
		return fmt.Sprintf("map(%d){%s}", o.Value.Len, strings.Join(parts, " "))
	case dump.Chan:
		o, err := x.r.Object(v.Obj)
		if err != nil {
			return "!" + err.Error()
		}
		return fmt.Sprintf("chan(%d/%d)[%s]", o.Value.Len, o.Value.Cap, list(o.Value.Elems, none))
	}
	return "!kind " + strconv.Itoa(int(t.Kind))
}

func (x renderer) elems(v *dump.Value) string {
	if v.Raw != nil && x.r.Type(x.r.Type(v.Type).Elem).Kind == dump.Uint8 {
		return strconv.Quote(string(v.Raw))
	}
	var parts []string
	for i := range x.r.NumElems(v) {
		e := x.r.Elem(v, i)
		parts = append(parts, x.value(&e))
	}
	return strings.Join(parts, " ")
}

func (x renderer) object(id dump.ObjectID) string {
	if id == 0 {
		return "!none"
	}
	if x.seen[id] {
		return "(again)"
	}
	x.seen[id] = true
	defer delete(x.seen, id)
	o, err := x.r.Object(id)
	if err != nil {
		return "!" + err.Error()
	}
	return x.value(&o.Value)
}
