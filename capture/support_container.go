package capture

import (
	"strconv"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var containerSupports = []builtinType{
	{"container/list.List", TypeSupport{Describe: describeList, follow: followList}},
	{"container/ring.Ring", TypeSupport{Describe: func(v View, d *Description) {
		if f := v.Field("Value"); f.Kind() == dump.Interface {
			d.Summary(brief(f))
		}
	}}},
	{"iter.Seq[*]", TypeSupport{Describe: describeFunc}},
	{"iter.Seq2[*]", TypeSupport{Describe: describeFunc}},
}

// followList adds the elements of a list, so that its length costs no depth.
func followList(w *walker, t *typ, data []byte, depth uint8, name string, secret bool) {
	root := t.fieldNamed("root")
	if root == nil {
		return
	}
	elem := root.typ
	next, list := elem.fieldNamed("next"), elem.fieldNamed("list")
	if next == nil || list == nil || next.typ.kind != dump.Pointer || root.off+elem.size > uint64(len(data)) {
		return
	}
	var own uint64
	p := word(data, int(root.off+next.off))
	for range w.cfg.MaxArrayValues {
		if p < minAddress || w.meter.tick(2*costRead) {
			return
		}
		l, err := w.mem.word(p + list.off)
		switch {
		case err != nil || l == 0: // the root belongs to no list
			return
		case own == 0:
			own = l
		case l != own:
			return
		}
		if w.add(p, elem, shapeValue, 0, depth+1, name, secret) == nil {
			return
		}
		if p, err = w.mem.word(p + next.off); err != nil {
			return
		}
	}
}

func describeList(v View, d *Description) {
	n, ok := v.Field("len").Int()
	root := v.Field("root")
	if !ok || n < 0 || root.Kind() != dump.Struct {
		return
	}
	d.Summary(count(n, "element", "elements"))
	e := root.Field("next")
	for i := range min(n, maxChildren+1) {
		el := e.Elem()
		if !el.OK() {
			d.Text("["+strconv.FormatInt(i, 10)+"]", "("+el.Missing()+")")
			return
		}
		val := el.Field("Value")
		if !val.IsNil() {
			val = val.Elem()
		}
		d.Child("["+strconv.FormatInt(i, 10)+"]", val)
		e = el.Field("next")
	}
}

// describeFunc shows a function with what it has captured.
func describeFunc(v View, d *Description) {
	name := v.FuncName()
	if name == "" {
		return
	}
	s := name
	if c := v.Closure(); c.OK() {
		list := ""
		for i := range c.NumField() {
			n, _ := c.FieldName(i)
			list = parts(list, n+": "+brief(c.FieldAt(i)))
		}
		if list != "" {
			s += " with " + list
		}
	}
	d.Summary(s)
}
