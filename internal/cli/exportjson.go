package cli

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

type typeJSON struct {
	ID     dump.TypeID `json:"id"`
	Name   string      `json:"name"`
	Kind   string      `json:"kind"` // as reflect.Kind prints it
	Size   uint64      `json:"size"`
	Elem   dump.TypeID `json:"elem,omitempty"`
	Key    dump.TypeID `json:"key,omitempty"`
	Len    int64       `json:"len,omitempty"`
	Named  bool        `json:"named,omitempty"`
	Fields []fieldJSON `json:"fields,omitempty"`
}

type fieldJSON struct {
	Name     string      `json:"name"`
	Type     dump.TypeID `json:"type"`
	Offset   uint64      `json:"offset"`
	Embedded bool        `json:"embedded,omitempty"`
	Tag      string      `json:"tag,omitempty"`
}

func newTypeJSON(t *dump.Type) typeJSON {
	j := typeJSON{
		ID: t.ID, Name: t.Name, Kind: reflect.Kind(t.Kind).String(), Size: t.Size,
		Elem: t.Elem, Key: t.Key, Len: t.Len, Named: t.Named,
	}
	for _, f := range t.Fields {
		j.Fields = append(j.Fields, fieldJSON(f))
	}
	return j
}

type goroutineJSON struct {
	ID         int64         `json:"id"`
	ParentID   int64         `json:"parent_id"`
	Status     string        `json:"status"`
	WaitReason string        `json:"wait_reason"`
	WaitNanos  int64         `json:"wait_ns"`
	Failing    bool          `json:"failing"`
	CreatedBy  *locationJSON `json:"created_by"`
	Labels     []pairJSON    `json:"labels"`
	Frames     []frameAll    `json:"frames"`
	Values     []variableAll `json:"values"`
	Missing    []missingJSON `json:"missing"`
	Waits      []waitJSON    `json:"waits,omitempty"`
	TraceID    string        `json:"trace_id,omitempty"`
	SpanID     string        `json:"span_id,omitempty"`
	System     bool          `json:"system,omitempty"`
	Locked     bool          `json:"locked,omitempty"`
}

type waitJSON struct {
	Op     string `json:"op"`
	Addr   string `json:"addr,omitempty"`
	Type   string `json:"type,omitempty"`
	Len    *int64 `json:"len,omitempty"`
	Cap    *int64 `json:"cap,omitempty"`
	Closed bool   `json:"closed,omitempty"`
	FD     *int64 `json:"fd,omitempty"`
	Left   int64  `json:"left_ns,omitempty"`
}

type pairJSON struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type frameAll struct {
	Func     string        `json:"func"`
	File     string        `json:"file"`
	Line     int           `json:"line"`
	PC       string        `json:"pc,omitempty"`
	CFA      string        `json:"cfa,omitempty"`
	FuncLine int           `json:"func_line,omitempty"`
	Inlined  bool          `json:"inlined"`
	User     bool          `json:"user"`
	Vars     []variableAll `json:"vars"`
	Missing  []missingJSON `json:"missing"`
}

type variableAll struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	DeclLine int       `json:"decl_line,omitempty"`
	Escaped  bool      `json:"escaped,omitempty"`
	Value    valueJSON `json:"value"`
}

type valueJSON struct {
	Type    dump.TypeID   `json:"type,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	Detail  string        `json:"detail,omitempty"`
	Addr    string        `json:"addr,omitempty"`
	Nil     bool          `json:"nil,omitempty"`
	Value   any           `json:"value,omitempty"`
	Base64  string        `json:"base64,omitempty"`
	Ptr     string        `json:"ptr,omitempty"`
	Len     *int64        `json:"len,omitempty"`
	Cap     *int64        `json:"cap,omitempty"`
	Closed  bool          `json:"closed,omitempty"`
	Func    string        `json:"func,omitempty"`
	Object  dump.ObjectID `json:"object,omitempty"`
	Elems   []valueJSON   `json:"elems,omitempty"`
	Summary string        `json:"summary,omitempty"`

	Children []childJSON `json:"children,omitempty"`
}

type childJSON struct {
	Name  string    `json:"name"`
	Value valueJSON `json:"value"`
}

type objectJSON struct {
	ID    dump.ObjectID `json:"id"`
	Addr  string        `json:"addr,omitempty"`
	Late  bool          `json:"late,omitempty"`
	Value valueJSON     `json:"value"`
}

func (e *exporter) goroutine(g *dump.Goroutine) goroutineJSON {
	j := goroutineJSON{
		ID: g.ID, ParentID: g.ParentID, Status: g.Status, WaitReason: g.WaitReason, WaitNanos: int64(g.WaitSince),
		Failing: g.Failing, CreatedBy: newLocationJSON(g.CreatedBy), Labels: pairs(g.Labels),
		Frames: make([]frameAll, 0, len(g.Frames)), Values: e.variables(g.Values), Missing: newMissingJSON(g.Missing),
		Waits: newWaitsJSON(g.Waits), System: g.System, Locked: g.Locked,
	}
	if !g.TraceID.IsZero() {
		j.TraceID = g.TraceID.String()
	}
	if !g.SpanID.IsZero() {
		j.SpanID = g.SpanID.String()
	}
	for i := range g.Frames {
		f := &g.Frames[i]
		j.Frames = append(j.Frames, frameAll{
			Func: f.Func, File: f.File, Line: f.Line, PC: hexAddr(f.PC), CFA: hexAddr(f.CFA), FuncLine: f.FuncLine,
			Inlined: f.Inlined, User: f.User, Vars: e.variables(f.Vars), Missing: newMissingJSON(f.Missing),
		})
	}
	return j
}

func newWaitsJSON(waits []dump.Wait) []waitJSON {
	out := make([]waitJSON, 0, len(waits))
	for i := range waits {
		w := &waits[i]
		j := waitJSON{Op: w.Op, Addr: hexAddr(w.Addr), Type: w.Type, Closed: w.Closed, Left: int64(w.Left)}
		switch {
		case strings.HasPrefix(w.Type, "chan "):
			j.Len, j.Cap = &w.Len, &w.Cap
		case w.Op == "read", w.Op == "write":
			j.FD = &w.FD
		}
		out = append(out, j)
	}
	return out
}

func (e *exporter) variables(vars []dump.Variable) []variableAll {
	out := make([]variableAll, 0, len(vars))
	for i := range vars {
		v := &vars[i]
		out = append(out, variableAll{
			Name: v.Name, Kind: v.Kind.String(), State: v.StateName(), DeclLine: v.DeclLine, Escaped: v.Escaped,
			Value: e.value(&v.Value, 0, false),
		})
	}
	return out
}

func (e *exporter) object(o *dump.Object) objectJSON {
	return objectJSON{ID: o.ID, Addr: hexAddr(o.Addr), Late: o.Late, Value: e.value(&o.Value, 0, true)}
}

type packageVarJSON struct {
	Package string    `json:"package"`
	Name    string    `json:"name"`
	State   string    `json:"state"`
	Late    bool      `json:"late,omitempty"`
	Value   valueJSON `json:"value"`
}

func (e *exporter) packageVar(v *dump.PackageVar) packageVarJSON {
	state := dump.Variable{State: v.State, Value: v.Value}
	return packageVarJSON{Package: v.Package, Name: v.Name, State: state.StateName(), Late: v.Late, Value: e.value(&v.Value, 0, false)}
}

// maxNesting bounds the recursion over a stranger's values. The nesting of
// real ones is that of the program's struct types.
const maxNesting = 200

// value converts a value. content says that it stands in an object, where a
// map or a channel has its elements.
func (e *exporter) value(v *dump.Value, depth int, content bool) valueJSON {
	j := valueJSON{
		Type: v.Type, Reason: v.Reason.String(), Detail: v.Detail, Addr: hexAddr(v.Addr),
		Func: v.Func, Object: v.Obj, Summary: v.Summary,
	}
	t := e.r.Type(v.Type)
	if t == nil || depth > maxNesting {
		return j
	}
	for i := range v.Children {
		c := &v.Children[i]
		j.Children = append(j.Children, childJSON{Name: c.Name, Value: e.value(&c.Value, depth+1, false)})
	}
	// A value that lies in an object of its own, or that was not had at all,
	// says nothing here: a number 0 would be made up.
	whole := v.Reason == dump.Whole
	if v.Obj != 0 && boxed(v, t) {
		return j
	}
	switch t.Kind {
	case dump.String:
		if whole || v.Bytes != nil || v.Len != 0 {
			j.setBytes(v.Bytes)
			j.Len = &v.Len
		}
	case dump.Slice, dump.Map, dump.Chan, dump.Func, dump.Pointer, dump.UnsafePointer:
		e.reference(&j, v, t, content && (t.Kind == dump.Map || t.Kind == dump.Chan), whole)
	case dump.Interface:
		j.Nil = whole && len(v.Elems) == 0
	case dump.Array:
		if v.Raw != nil {
			e.raw(&j, v, t)
			return j
		}
	case dump.Struct:
	default:
		if whole || v.Reason == dump.Dead {
			j.Value = scalar(v, t.Kind)
		}
		return j
	}
	for i := range v.Elems {
		j.Elems = append(j.Elems, e.value(&v.Elems[i], depth+1, false))
	}
	return j
}

// boxed reports whether v only refers to the object that holds the value.
func boxed(v *dump.Value, t *dump.Type) bool {
	switch t.Kind {
	case dump.Pointer, dump.UnsafePointer, dump.Slice, dump.Map, dump.Chan, dump.Func:
		return false
	}
	return v.Elems == nil && v.Raw == nil && v.Bytes == nil
}

func (e *exporter) reference(j *valueJSON, v *dump.Value, t *dump.Type, content, whole bool) {
	if content {
		j.Len = &v.Len
		if t.Kind == dump.Chan {
			j.Cap = &v.Cap
			j.Closed = v.Num == 1
		}
		return
	}
	j.Ptr = hexAddr(v.Ptr)
	j.Nil = whole && v.Ptr == 0
	if !whole && v.Ptr == 0 && v.Len == 0 && v.Cap == 0 {
		return
	}
	switch t.Kind {
	case dump.Slice, dump.Chan:
		j.Len, j.Cap = &v.Len, &v.Cap
	case dump.Map:
		j.Len = &v.Len
	}
}

// raw converts an array that is kept as the memory of its elements: bytes as
// text or base64, others as a list.
func (e *exporter) raw(j *valueJSON, v *dump.Value, t *dump.Type) {
	elem := e.r.Type(t.Elem)
	if elem == nil {
		return
	}
	if elem.Kind == dump.Uint8 {
		j.setBytes(v.Raw)
		return
	}
	n := e.r.NumElems(v)
	vals := make([]any, 0, n)
	for i := range n {
		x := e.r.Elem(v, i)
		vals = append(vals, scalar(&x, elem.Kind))
	}
	j.Value = vals
}

func (j *valueJSON) setBytes(b []byte) {
	if utf8.Valid(b) {
		j.Value = string(b)
		return
	}
	j.Base64 = base64.StdEncoding.EncodeToString(b)
}

func scalar(v *dump.Value, k dump.Kind) any {
	switch k {
	case dump.Bool:
		return v.Num != 0
	case dump.Int, dump.Int8, dump.Int16, dump.Int32, dump.Int64:
		return int64(v.Num)
	case dump.Uint, dump.Uint8, dump.Uint16, dump.Uint32, dump.Uint64, dump.Uintptr:
		return v.Num
	case dump.Float32:
		return floatJSON(math.Float64frombits(v.Num), 32)
	case dump.Float64:
		return floatJSON(math.Float64frombits(v.Num), 64)
	case dump.Complex64:
		return []any{floatJSON(math.Float64frombits(v.Num), 32), floatJSON(math.Float64frombits(v.Num2), 32)}
	case dump.Complex128:
		return []any{floatJSON(math.Float64frombits(v.Num), 64), floatJSON(math.Float64frombits(v.Num2), 64)}
	}
	return nil
}

// floatJSON is a number, or a text for what JSON has no number for.
func floatJSON(f float64, bits int) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, bits))
}

type sourceJSON struct {
	File   string      `json:"file"`
	Blocks []blockJSON `json:"blocks"`
}

type blockJSON struct {
	First int      `json:"first"`
	Lines []string `json:"lines"`
}

func newSourceJSON(s *dump.Source) sourceJSON {
	j := sourceJSON{File: s.File, Blocks: []blockJSON{}}
	for _, b := range s.Blocks {
		j.Blocks = append(j.Blocks, blockJSON{First: b.First, Lines: list(b.Lines)})
	}
	return j
}

type extraJSON struct {
	SpanKind       string       `json:"span_kind"`
	SpanStart      *string      `json:"span_start"`
	SpanEnd        *string      `json:"span_end"`
	SpanStatus     string       `json:"span_status"`
	SpanMessage    string       `json:"span_message"`
	SpanAttributes []pairJSON   `json:"span_attributes"`
	SpanEvents     []eventJSON  `json:"span_events"`
	ParentSpanID   string       `json:"parent_span_id"`
	Scope          string       `json:"scope"`
	CommandLine    []string     `json:"command_line"`
	Executable     string       `json:"executable"`
	BuildID        string       `json:"build_id"`
	StartTime      *string      `json:"start_time"`
	Modules        []moduleJSON `json:"modules"`
	Settings       []pairJSON   `json:"settings"`
}

type eventJSON struct {
	Name       string     `json:"name"`
	Time       *string    `json:"time"`
	Attributes []pairJSON `json:"attributes"`
}

func newExtraJSON(x *dump.Extra) extraJSON {
	j := extraJSON{
		SpanKind: x.SpanKind, SpanStart: jsonTime(x.SpanStart), SpanEnd: jsonTime(x.SpanEnd), SpanStatus: x.SpanStatus,
		SpanMessage: x.SpanMessage, SpanAttributes: pairs(x.SpanAttributes), SpanEvents: []eventJSON{}, Scope: x.Scope,
		CommandLine: list(x.CommandLine), Executable: x.Executable, BuildID: x.BuildID, StartTime: jsonTime(x.StartTime),
		Modules: make([]moduleJSON, 0, len(x.Modules)), Settings: pairs(x.Settings),
	}
	if !x.ParentSpanID.IsZero() {
		j.ParentSpanID = x.ParentSpanID.String()
	}
	for _, ev := range x.SpanEvents {
		j.SpanEvents = append(j.SpanEvents, eventJSON{Name: ev.Name, Time: jsonTime(ev.Time), Attributes: pairs(ev.Attributes)})
	}
	for _, m := range x.Modules {
		j.Modules = append(j.Modules, moduleJSON(m))
	}
	return j
}

func pairs(kvs []dump.KeyValue) []pairJSON {
	out := make([]pairJSON, 0, len(kvs))
	for _, kv := range kvs {
		out = append(out, pairJSON(kv))
	}
	return out
}
