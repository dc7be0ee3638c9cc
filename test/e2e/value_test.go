package e2e

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// incompleteError says that a dump has no value, and why. It is no falsehood.
type incompleteError struct {
	reason dump.Reason
	detail string
}

func (e *incompleteError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("no value (%s, %s)", e.reason, e.detail), ", )")
}

// inspector follows paths through the values of a dump. A path is what comes
// behind the variable's name: fields, [index], ["key"], and at its end perhaps
// #len, #cap, #type or #func. Pointers and interfaces are followed by
// themselves.
type inspector struct{ r *dump.Reader }

// inspect returns the value at a path as text: numbers, quoted strings, nil,
// structs as {Field:value}, slices as [a b], maps as map[key:value] with the
// keys in order.
func (in inspector) inspect(v *dump.Value, path string) (string, error) {
	rest := path
	for {
		var err error
		if v, err = in.r.Resolve(v); err != nil {
			return "", err
		}
		t := in.r.Type(v.Type)
		if t == nil {
			if v.Reason != dump.Whole {
				return "", &incompleteError{v.Reason, v.Detail}
			}
			return "", fmt.Errorf("value has type %d, which is not in the dump", v.Type)
		}
		if rest == "" {
			return in.render(v, 0)
		}
		if rest == "#type" && t.Kind != dump.Interface {
			return t.Name, nil
		}
		switch t.Kind {
		case dump.Pointer, dump.Interface:
			if v, err = in.target(v, t); err != nil {
				return "", err
			}
			if v == nil {
				return "", fmt.Errorf("nil where %s should be", rest)
			}
			continue
		}
		if v, rest, err = in.step(v, t, rest); err != nil {
			return "", err
		}
		if v == nil {
			return rest, nil
		}
	}
}

// target returns what a pointer or an interface leads to, nil for nil.
func (in inspector) target(v *dump.Value, t *dump.Type) (*dump.Value, error) {
	if t.Kind == dump.Interface {
		switch {
		case len(v.Elems) > 0:
			return &v.Elems[0], nil
		case v.Reason != dump.Whole:
			return nil, &incompleteError{v.Reason, v.Detail}
		}
		return nil, nil
	}
	switch {
	case v.Obj != 0:
		o, err := in.r.Object(v.Obj)
		if err != nil {
			return nil, err
		}
		return &o.Value, nil
	case v.Reason != dump.Whole:
		return nil, &incompleteError{v.Reason, v.Detail}
	case v.Ptr == 0:
		return nil, nil
	}
	return nil, fmt.Errorf("pointer %#x has neither an object nor a reason", v.Ptr)
}

// step goes one step along a path. At its end, for #len and the like, it
// returns no value and the text.
func (in inspector) step(v *dump.Value, t *dump.Type, path string) (*dump.Value, string, error) {
	whole := func() error {
		switch v.Reason {
		case dump.Whole, dump.CollectionLimit, dump.StringLimit:
			return nil
		}
		return &incompleteError{v.Reason, v.Detail}
	}
	switch {
	case path == "#len" || path == "#cap":
		if err := whole(); err != nil {
			return nil, "", err
		}
		if path == "#cap" {
			return nil, strconv.FormatInt(v.Cap, 10), nil
		}
		return nil, strconv.FormatInt(v.Len, 10), nil
	case path == "#func":
		return nil, v.Func, whole()
	case path[0] == '.':
		name := path[1:]
		if i := strings.IndexAny(name, ".[#"); i >= 0 {
			name = name[:i]
		}
		f, err := in.field(v, t, name)
		return f, path[1+len(name):], err
	case path[0] == '[':
		key, rest, ok := strings.Cut(path[1:], "]")
		if !ok {
			return nil, "", fmt.Errorf("no ] in %s", path)
		}
		e, err := in.element(v, t, key)
		return e, rest, err
	}
	return nil, "", fmt.Errorf("bad path %s", path)
}

// field finds a field, also one of an embedded struct.
func (in inspector) field(v *dump.Value, t *dump.Type, name string) (*dump.Value, error) {
	if t.Kind != dump.Struct {
		return nil, fmt.Errorf("%s has no field %s", t.Name, name)
	}
	if len(v.Elems) != len(t.Fields) {
		if v.Reason != dump.Whole {
			return nil, &incompleteError{v.Reason, v.Detail}
		}
		return nil, fmt.Errorf("%s with %d of %d fields", t.Name, len(v.Elems), len(t.Fields))
	}
	for i, f := range t.Fields {
		if f.Name == name {
			return &v.Elems[i], nil
		}
	}
	for i, f := range t.Fields {
		if ft := in.r.Type(f.Type); f.Embedded && ft != nil && ft.Kind == dump.Struct {
			if e, err := in.field(&v.Elems[i], ft, name); err == nil {
				return e, nil
			}
		}
	}
	return nil, fmt.Errorf("%s has no field %s", t.Name, name)
}

// element finds an element by index or key.
func (in inspector) element(v *dump.Value, t *dump.Type, key string) (*dump.Value, error) {
	switch t.Kind {
	case dump.Map:
		entries, err := in.entries(v)
		if err != nil {
			return nil, err
		}
		for i := 0; i+1 < len(entries); i += 2 {
			if k, err := in.render(&entries[i], 0); err == nil && k == key {
				return &entries[i+1], nil
			}
		}
		return nil, fmt.Errorf("%s has no key %s", t.Name, key)
	case dump.Slice, dump.Array:
		i, err := strconv.Atoi(key)
		if err != nil {
			return nil, err
		}
		elems, err := in.elements(v, t)
		if err != nil {
			return nil, err
		}
		if i >= len(elems) {
			return nil, fmt.Errorf("%s has %d elements, no [%d]", t.Name, len(elems), i)
		}
		return &elems[i], nil
	}
	return nil, fmt.Errorf("%s has no elements", t.Name)
}

// entries returns the keys and values of a map.
func (in inspector) entries(v *dump.Value) ([]dump.Value, error) {
	switch {
	case v.Obj != 0:
		o, err := in.r.Object(v.Obj)
		if err != nil {
			return nil, err
		}
		if o.Value.Reason != dump.Whole {
			return o.Value.Elems, &incompleteError{o.Value.Reason, o.Value.Detail}
		}
		return o.Value.Elems, nil
	case v.Reason != dump.Whole:
		return nil, &incompleteError{v.Reason, v.Detail}
	case v.Len != 0:
		return nil, fmt.Errorf("map of %d entries has neither an object nor a reason", v.Len)
	}
	return nil, nil
}

// elements returns the elements of a slice or an array.
func (in inspector) elements(v *dump.Value, t *dump.Type) ([]dump.Value, error) {
	array := v
	if t.Kind == dump.Slice {
		switch {
		case v.Obj != 0:
			o, err := in.r.Object(v.Obj)
			if err != nil {
				return nil, err
			}
			array = &o.Value
		case v.Reason != dump.Whole:
			return nil, &incompleteError{v.Reason, v.Detail}
		case v.Len != 0:
			return nil, fmt.Errorf("slice of length %d has neither an object nor a reason", v.Len)
		default:
			return nil, nil
		}
	}
	n := in.r.NumElems(array)
	if t.Kind == dump.Slice && v.Len < int64(n) {
		n = int(v.Len) // the object is shared with a longer slice
	}
	elems := make([]dump.Value, n)
	for i := range elems {
		elems[i] = in.r.Elem(array, i)
	}
	if t.Kind == dump.Slice && int64(n) < v.Len {
		reason := v.Reason
		if reason == dump.Whole {
			reason = array.Reason
		}
		if reason == dump.Whole {
			return nil, fmt.Errorf("slice of length %d has %d elements and no reason", v.Len, n)
		}
		return elems, &incompleteError{reason, v.Detail}
	}
	return elems, nil
}

// render prints a value. What is not whole is an *incompleteError, except that
// what was redacted is printed as redacted.
func (in inspector) render(v *dump.Value, depth int) (string, error) {
	v, err := in.r.Resolve(v)
	if err != nil {
		return "", err
	}
	if v.Reason == dump.Redacted {
		return "redacted", nil
	}
	t := in.r.Type(v.Type)
	if t == nil {
		return "", &incompleteError{v.Reason, "no type"}
	}
	if depth > 10 {
		return "…", nil
	}
	if v.Reason != dump.Whole && t.Kind != dump.Struct && t.Kind != dump.Array {
		return "", &incompleteError{v.Reason, v.Detail}
	}
	switch t.Kind {
	case dump.Bool:
		return strconv.FormatBool(v.Num != 0), nil
	case dump.Int, dump.Int8, dump.Int16, dump.Int32, dump.Int64:
		return strconv.FormatInt(int64(v.Num), 10), nil
	case dump.Uint, dump.Uint8, dump.Uint16, dump.Uint32, dump.Uint64, dump.Uintptr:
		return strconv.FormatUint(v.Num, 10), nil
	case dump.Float32, dump.Float64:
		return strconv.FormatFloat(math.Float64frombits(v.Num), 'g', -1, 64), nil
	case dump.String:
		if int64(len(v.Bytes)) != v.Len {
			return "", fmt.Errorf("string of length %d has %d bytes and no reason", v.Len, len(v.Bytes))
		}
		if strings.HasPrefix(string(v.Bytes), "‹redacted:") {
			return "redacted", nil
		}
		return strconv.Quote(string(v.Bytes)), nil
	case dump.Pointer, dump.Interface:
		target, err := in.target(v, t)
		switch {
		case err != nil:
			return "", err
		case target == nil:
			return "nil", nil
		}
		s, err := in.render(target, depth+1)
		if t.Kind == dump.Pointer {
			s = "&" + s
		}
		return s, err
	case dump.Struct:
		if len(v.Elems) != len(t.Fields) {
			return "", &incompleteError{v.Reason, v.Detail}
		}
		return in.list(v.Elems, depth, "{", "}", func(i int) string { return t.Fields[i].Name + ":" })
	case dump.Slice, dump.Array:
		if t.Kind == dump.Slice && v.Ptr == 0 {
			return "nil", nil
		}
		elems, err := in.elements(v, t)
		if err != nil {
			return "", err
		}
		return in.list(elems, depth, "[", "]", func(int) string { return "" })
	case dump.Map:
		if v.Ptr == 0 {
			return "nil", nil
		}
		entries, err := in.entries(v)
		if err != nil {
			return "", err
		}
		var pairs []string
		for i := 0; i+1 < len(entries); i += 2 {
			k, kerr := in.render(&entries[i], depth+1)
			e, eerr := in.render(&entries[i+1], depth+1)
			if err := errors.Join(kerr, eerr); err != nil {
				return "", err
			}
			pairs = append(pairs, k+":"+e)
		}
		slices.Sort(pairs)
		return "map[" + strings.Join(pairs, " ") + "]", nil
	case dump.Func:
		if v.Ptr == 0 {
			return "nil", nil
		}
		return "func " + v.Func, nil
	case dump.Chan:
		if v.Ptr == 0 {
			return "nil", nil
		}
		return fmt.Sprintf("chan %d/%d", v.Len, v.Cap), nil
	}
	return "", fmt.Errorf("cannot print kind %d of %s", t.Kind, t.Name)
}

func (in inspector) list(elems []dump.Value, depth int, open, end string, label func(int) string) (string, error) {
	parts := make([]string, len(elems))
	for i := range elems {
		s, err := in.render(&elems[i], depth+1)
		if err != nil {
			return "", err
		}
		parts[i] = label(i) + s
	}
	return open + strings.Join(parts, " ") + end, nil
}

// isIncomplete reports whether an error only says that there is no value.
func isIncomplete(err error) (*incompleteError, bool) {
	var e *incompleteError
	ok := errors.As(err, &e)
	return e, ok
}
