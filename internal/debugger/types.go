package debugger

import (
	"fmt"
	"go/ast"
	"go/token"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var kindNames = [...]string{
	dump.Invalid: "invalid", dump.Bool: "bool", dump.Int: "int", dump.Int8: "int8", dump.Int16: "int16",
	dump.Int32: "int32", dump.Int64: "int64", dump.Uint: "uint", dump.Uint8: "uint8", dump.Uint16: "uint16",
	dump.Uint32: "uint32", dump.Uint64: "uint64", dump.Uintptr: "uintptr", dump.Float32: "float32",
	dump.Float64: "float64", dump.Complex64: "complex64", dump.Complex128: "complex128", dump.Array: "array",
	dump.Chan: "chan", dump.Func: "func", dump.Interface: "interface", dump.Map: "map", dump.Pointer: "ptr",
	dump.Slice: "slice", dump.String: "string", dump.Struct: "struct", dump.UnsafePointer: "unsafe.Pointer",
}

// kindName returns a kind's name as package reflect has it.
func kindName(k dump.Kind) string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// typeIndex finds types by name.
type typeIndex struct {
	full  map[string]dump.TypeID
	short map[string][]dump.TypeID
}

// Bounds of the search through the types of a dump.
const (
	maxTypes   = 1 << 22
	maxTypeGap = 1 << 12 // types in a row that cannot be read
)

func (s *Session) typeIndex() *typeIndex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.types == nil {
		x := &typeIndex{full: map[string]dump.TypeID{}, short: map[string][]dump.TypeID{}}
		// How many there are is what the file declares, and may be a lie.
		for id, gap := uint64(1), 0; id <= min(uint64(s.r.NumTypes()), maxTypes) && gap < maxTypeGap; id++ {
			t := s.r.Type(dump.TypeID(id))
			if t == nil {
				gap++
				continue
			}
			gap = 0
			if _, ok := x.full[t.Name]; !ok {
				x.full[t.Name] = t.ID
			}
			name := ShortenType(t.Name)
			x.short[name] = append(x.short[name], t.ID)
		}
		s.types = x
	}
	return s.types
}

// findType returns the type of that name, with full or shortened package paths;
// nil if there is none.
func (s *Session) findType(name string) (*dump.Type, error) {
	x := s.typeIndex()
	if id, ok := x.full[name]; ok {
		return s.r.Type(id), nil
	}
	ids := x.short[name]
	if len(ids) == 0 {
		return nil, nil
	}
	t := s.r.Type(ids[0])
	for _, id := range ids[1:] {
		if u := s.r.Type(id); u.Name != t.Name {
			return nil, fmt.Errorf("type %s is ambiguous: %s, %s", name, Clean(t.Name), Clean(u.Name))
		}
	}
	return t, nil
}

// pointerTo returns the type of pointers to t; it may not be one of the dump's.
func (s *Session) pointerTo(t *dump.Type) *dump.Type {
	return &dump.Type{Name: "*" + t.Name, Kind: dump.Pointer, Size: 8, Elem: t.ID}
}

// sameType reports whether two types are identical, as far as names tell.
func sameType(a, b *dump.Type) bool {
	return a == b || a != nil && b != nil && a.Kind == b.Kind && a.Name == b.Name
}

// predeclared are the types that need no package, by the names that a dump has
// for them.
var predeclared = map[string]string{
	"any": "interface {}", "byte": "uint8", "rune": "int32", "error": "error", "bool": "bool", "string": "string",
	"int": "int", "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64",
	"uint": "uint", "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64", "uintptr": "uintptr",
	"float32": "float32", "float64": "float64", "complex64": "complex64", "complex128": "complex128",
}

// packageOf returns the package path of a function: "a/b/store" of
// "a/b/store.(*Store).Get".
func packageOf(fn string) string {
	end := len(fn)
	if i := strings.IndexByte(fn, '['); i >= 0 {
		end = i // type arguments have paths of their own
	}
	slash := strings.LastIndexByte(fn[:end], '/') + 1
	if dot := strings.IndexByte(fn[slash:end], '.'); dot >= 0 {
		return fn[:slash+dot]
	}
	return ""
}

// pkg returns the package path of the scope's function, "" if there is none.
func (sc Scope) pkg() string {
	if f := sc.Frame(); f != nil {
		return packageOf(f.Func)
	}
	return ""
}

// typeExpr returns the name of the type that an expression denotes, as a dump
// writes it ("[]uint8" for []byte), with package names as the user wrote them; a
// name without a package is of package pkg. ok is false if the expression cannot
// denote a type.
func typeExpr(e ast.Expr, pkg string) (name string, ok bool) {
	switch e := e.(type) {
	case *ast.Ident:
		if name, ok := predeclared[e.Name]; ok {
			return name, true
		}
		if pkg != "" {
			return pkg + "." + e.Name, true
		}
		return e.Name, true
	case *ast.ParenExpr:
		return typeExpr(e.X, pkg)
	case *ast.SelectorExpr:
		switch x := e.X.(type) {
		case *ast.Ident:
			return x.Name + "." + e.Sel.Name, true
		case *ast.BasicLit: // "full/path".T
			if path, err := strconv.Unquote(x.Value); err == nil && x.Kind == token.STRING {
				return path + "." + e.Sel.Name, true
			}
		}
	case *ast.StarExpr:
		x, ok := typeExpr(e.X, pkg)
		return "*" + x, ok
	case *ast.ArrayType:
		x, ok := typeExpr(e.Elt, pkg)
		if e.Len == nil {
			return "[]" + x, ok
		}
		if n, isLit := e.Len.(*ast.BasicLit); isLit {
			return "[" + n.Value + "]" + x, ok
		}
	case *ast.MapType:
		k, ok1 := typeExpr(e.Key, pkg)
		v, ok2 := typeExpr(e.Value, pkg)
		return "map[" + k + "]" + v, ok1 && ok2
	case *ast.ChanType:
		x, ok := typeExpr(e.Value, pkg)
		switch e.Dir {
		case ast.SEND:
			return "chan<- " + x, ok
		case ast.RECV:
			return "<-chan " + x, ok
		}
		return "chan " + x, ok
	case *ast.InterfaceType:
		if e.Methods == nil || len(e.Methods.List) == 0 {
			return "interface {}", true
		}
	case *ast.StructType:
		if e.Fields == nil || len(e.Fields.List) == 0 {
			return "struct {}", true
		}
	case *ast.FuncType:
		return funcTypeExpr(e, pkg)
	case *ast.IndexExpr:
		return instanceExpr(pkg, e.X, e.Index)
	case *ast.IndexListExpr:
		return instanceExpr(pkg, e.X, e.Indices...)
	}
	return "", false
}

func instanceExpr(pkg string, x ast.Expr, args ...ast.Expr) (string, bool) {
	name, ok := typeExpr(x, pkg)
	list := make([]string, len(args))
	for i, a := range args {
		var aok bool
		list[i], aok = typeExpr(a, pkg)
		ok = ok && aok
	}
	return name + "[" + strings.Join(list, ",") + "]", ok
}

func funcTypeExpr(e *ast.FuncType, pkg string) (string, bool) {
	all := true
	list := func(fl *ast.FieldList) []string {
		var names []string
		if fl == nil {
			return nil
		}
		for _, f := range fl.List {
			t, ok := typeExpr(f.Type, pkg)
			all = all && ok
			for range max(1, len(f.Names)) {
				names = append(names, t)
			}
		}
		return names
	}
	s := "func(" + strings.Join(list(e.Params), ", ") + ")"
	switch res := list(e.Results); len(res) {
	case 0:
	case 1:
		s += " " + res[0]
	default:
		s += " (" + strings.Join(res, ", ") + ")"
	}
	return s, all
}

// TypeField is a field of a type, for [TypeInfo].
type TypeField struct{ Name, Type string }

// TypeInfo describes the type of an expression, or a type.
type TypeInfo struct {
	// Name is the type's name, "" for an untyped constant.
	Name string
	// Kind, Size and Fields are of the type itself.
	Kind   string
	Size   uint64
	Fields []TypeField
	// Concrete is the dynamic type, if the expression is an interface that is
	// not nil.
	Concrete string
	// Summary and Parts are what a type support says of the value, or of what it leads to.
	Summary string
	Parts   []Child
	// IsType says that a type was asked about, not a value.
	IsType bool
	// Real is the literal of a defined type that is no struct, "" if it is not known.
	Real string
}

// WhatIs describes the type of an expression, or a type by its name.
func (sc Scope) WhatIs(expr string) (TypeInfo, error) {
	x, err := sc.Eval(expr)
	if err == nil {
		info := TypeInfo{Name: x.TypeName(), Kind: kindName(x.Kind())}
		if x.con != nil {
			info.Name = "untyped " + strings.ToLower(x.con.Kind().String())
		}
		if x.typ != nil {
			info.Size = x.typ.Size
		}
		if x.Kind() == dump.Interface && x.why == "" && !x.IsNil() {
			info.Concrete = x.Dynamic().TypeName()
		}
		if d := x.behind(); d != nil {
			info.Summary = d.described()
			if info.Summary != "" {
				info.Parts = d.parts(0, len(d.v.Children))
			}
		}
		return info, nil
	}
	t, terr := sc.typeNamed(expr)
	if terr != nil {
		return TypeInfo{}, terr
	}
	if t == nil {
		return TypeInfo{}, err
	}
	info := TypeInfo{Name: Clean(t.Name), Kind: kindName(t.Kind), Size: t.Size, IsType: true}
	for _, f := range t.Fields {
		ft := "(unknown)"
		if u := sc.s.r.Type(f.Type); u != nil {
			ft = Clean(u.Name)
		}
		info.Fields = append(info.Fields, TypeField{Clean(f.Name), ft})
	}
	return info, nil
}

// typeNamed returns the type that an expression names, nil if it names none.
func (sc Scope) typeNamed(expr string) (*dump.Type, error) {
	expr = strings.TrimSpace(expr)
	if t, err := sc.s.findType(expr); t != nil || err != nil {
		return t, err
	}
	e, err := parse(expr)
	if err != nil {
		return nil, nil
	}
	name, ok := typeExpr(e, sc.pkg())
	if !ok {
		return nil, nil
	}
	t, err := sc.s.findType(name)
	if t == nil && err == nil && len(name) > 1 && name[0] == '*' {
		if elem, err := sc.s.findType(name[1:]); elem != nil && err == nil {
			return sc.s.pointerTo(elem), nil
		}
	}
	return t, err
}

// String prints the information as dlv's whatis command does.
func (i TypeInfo) String() string {
	var b strings.Builder
	if !i.IsType {
		b.WriteString(i.Name)
		if i.Concrete != "" {
			b.WriteString("\nConcrete type: " + i.Concrete)
		}
		if i.Summary != "" {
			b.WriteString("\nSummary: " + i.Summary)
		}
		for _, c := range i.Parts {
			b.WriteString("\n\t" + c.Name + ": " + c.Value.Format(Format{LoadConfig: DefaultLoad()}))
		}
		return b.String()
	}
	fmt.Fprintf(&b, "%s type, size: %d bytes", i.Kind, i.Size)
	if i.Real != "" {
		b.WriteString("\nReal type: " + i.Real)
	}
	if len(i.Fields) > 0 {
		b.WriteString("\nFields:\n")
		w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', tabwriter.TabIndent)
		for n, f := range i.Fields {
			if n > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "\t%s\t%s", f.Name, f.Type)
		}
		_ = w.Flush() // a strings.Builder does not fail
	}
	return b.String()
}
