package verdict

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Full describes a value with all that it leads to, maps by their keys. whole is false if a part of it is
// missing. It is for values without cycles.
func (n *Node) Full() (text string, whole bool) {
	if n.Why != "" {
		return "(" + n.Why + ")", false
	}
	whole = true
	kids := func() []string {
		var ts []string
		for i := range n.Kids {
			t, ok := n.Kids[i].Get().Full()
			whole = whole && ok
			ts = append(ts, t)
		}
		return ts
	}
	switch n.Kind {
	case reflect.String:
		return strconv.Quote(n.Data), whole && int64(len(n.Data)) == n.Len
	case reflect.Struct:
		return "{" + strings.Join(kids(), " ") + "}", whole
	case reflect.Array:
		return "[" + strings.Join(kids(), " ") + "]", whole
	case reflect.Func:
		if n.Nil {
			return "nil", true
		}
		return "func " + n.Text, true
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Chan, reflect.Interface, reflect.UnsafePointer:
		if n.Nil {
			return "nil", true
		}
	default:
		return n.Text, true
	}
	switch ts := kids(); n.Kind {
	case reflect.Pointer:
		if len(ts) != 1 {
			return "&?", false
		}
		return "&" + ts[0], whole
	case reflect.Interface:
		return n.Kids[0].Get().Type + "(" + ts[0] + ")", whole
	case reflect.Slice:
		return "[" + strings.Join(ts, " ") + "]", whole && int64(len(ts)) == n.Len
	case reflect.Chan:
		return fmt.Sprintf("chan(%d/%d)[%s]", n.Len, n.Cap, strings.Join(ts, " ")), whole && int64(len(ts)) == n.Len
	case reflect.Map:
		var es []string
		for i := 0; i+1 < len(ts); i += 2 {
			es = append(es, ts[i]+":"+ts[i+1])
		}
		slices.Sort(es)
		return "map{" + strings.Join(es, " ") + "}", whole && int64(len(es)) == n.Len
	}
	return "", false
}
