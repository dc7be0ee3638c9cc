package debugger

import (
	"fmt"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Member returns the field of that name, as the selector x.name does: through a
// pointer, through embedded structs (the shallowest depth wins), and as in dlv
// also through an interface. Of a channel it returns qcount, dataqsiz and
// closed, of a function a captured variable.
func (x *Value) Member(name string) (*Value, error) {
	if x.null {
		return nil, fmt.Errorf("nil (type nil) is not a struct")
	}
	if x.con != nil {
		return nil, fmt.Errorf("%s (type %s) is not a struct", Clean(x.con.String()), kindName(x.Kind()))
	}
	if err := x.need(); err != nil {
		return nil, err
	}
	label := x.name
	if label == "" {
		label = x.TypeName()
	}
	label = Clean(label)
	if x.Kind() == dump.Interface {
		if x.IsNil() {
			return nil, fmt.Errorf("%s is nil", label)
		}
		d := x.Dynamic()
		if err := d.need(); err != nil {
			return nil, err
		}
		x = d
	}
	none := fmt.Errorf("%s has no member %s", label, Clean(name))
	switch x.Kind() {
	case dump.Chan:
		if y := x.chanMember(name); y != nil {
			return y, nil
		}
		return nil, none
	case dump.Func:
		if c := x.captured(); c != nil {
			for i := range c.typ.Fields {
				if n, v := capturedVar(c, i); n == name {
					return v, nil
				}
			}
		}
		return nil, none
	}
	st := x.typ
	if st.Kind == dump.Pointer {
		if st = x.s.r.Type(st.Elem); st == nil && x.IsNil() {
			return nil, fmt.Errorf("%s is nil", label)
		} else if st == nil {
			return nil, &MissingError{Expr: label, Why: "what it points at is of an unknown type"}
		}
	}
	if st.Kind != dump.Struct {
		return nil, fmt.Errorf("%s (type %s) has no member %s", label, Clean(st.Name), Clean(name))
	}
	path := x.s.fieldPath(st, name)
	if path == nil {
		return nil, none
	}
	return x.walk(path)
}

// walk follows a path of field numbers, through pointers.
func (x *Value) walk(path []int) (*Value, error) {
	for _, i := range path {
		if err := x.need(); err != nil {
			return nil, err
		}
		if x.Kind() == dump.Pointer {
			if x.IsNil() {
				return nil, fmt.Errorf("%s is nil", x.label())
			}
			y := x.Target()
			if y.why != "" {
				return nil, &MissingError{Expr: x.Name(), Why: y.why}
			}
			x = y
		}
		// The dump's own word on the type decides; a damaged one may have
		// something else here than the type on the way said.
		if x.Kind() != dump.Struct || i >= len(x.typ.Fields) {
			return nil, &MissingError{Expr: x.Name(), Why: "unreadable: not the struct that its type says"}
		}
		x = x.Field(i)
	}
	return x, nil
}

// label names a value in an error message.
func (x *Value) label() string {
	if x.name != "" {
		return x.Name()
	}
	return x.TypeName()
}

// maxEmbedding is how many levels of embedded structs are searched.
const maxEmbedding = 16

// fieldPath finds a field by name, breadth first through embedded structs and
// pointers to structs; nil if there is none.
func (s *Session) fieldPath(t *dump.Type, name string) []int {
	var found []int
	s.fields(t, func(f *dump.Field, path []int) bool {
		if f.Name == name || f.Embedded && f.Name[strings.LastIndexByte(f.Name, '.')+1:] == name {
			found = path
			return false
		}
		return true
	})
	return found
}

// fields calls visit for each field that a selector on a struct of type t can
// reach, nearest first, until it returns false.
func (s *Session) fields(t *dump.Type, visit func(f *dump.Field, path []int) bool) {
	type item struct {
		t    *dump.Type
		path []int
	}
	seen := map[*dump.Type]bool{}
	queue := []item{{t, nil}}
	for len(queue) > 0 {
		it := queue[0]
		queue = queue[1:]
		if seen[it.t] || len(it.path) > maxEmbedding {
			continue
		}
		seen[it.t] = true
		for i := range it.t.Fields {
			f := &it.t.Fields[i]
			path := append(it.path[:len(it.path):len(it.path)], i)
			if !visit(f, path) {
				return
			}
			if !f.Embedded {
				continue
			}
			ft := s.r.Type(f.Type)
			if ft != nil && ft.Kind == dump.Pointer {
				ft = s.r.Type(ft.Elem)
			}
			if ft != nil && ft.Kind == dump.Struct {
				queue = append(queue, item{ft, path})
			}
		}
	}
}

// chanMember returns a field of a channel by the name that it has in the
// runtime, nil if the dump has nothing of that name.
func (x *Value) chanMember(name string) *Value {
	num := func(n uint64) *Value {
		t := &dump.Type{Name: "uint", Kind: dump.Uint, Size: 8}
		y := x.s.computed(t, dump.Value{Num: n}).from(x)
		y.name = x.name + "." + name
		return y
	}
	switch name {
	case "qcount":
		return num(uint64(x.Len()))
	case "dataqsiz":
		return num(uint64(x.Cap()))
	case "closed":
		if obj, _ := x.object(); obj != nil {
			return num(obj.Value.Num)
		}
	}
	return nil
}
