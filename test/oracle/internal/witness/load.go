package witness

import (
	"reflect"
	"unsafe"

	"github.com/go-delve/delve/pkg/proc"
)

// Limits bound what Delve loads of one value: it believes whatever length it finds.
type Limits struct {
	String  int // bytes of a string
	Values  int // elements of an array or slice
	Entries int // of a map
	Buckets int // … that are looked at for them
}

// Load loads one level of a variable: its own value, and the values of its fields and elements
// as far as they are not structures themselves. Those are loaded by another call.
func Load(v *proc.Variable, l Limits) {
	if v.Unreadable == nil && len(v.Children) == 0 {
		switch v.Kind {
		case reflect.Struct, reflect.Map, reflect.Func:
			*loaded(v) = false // Delve marks what lies deeper than it was asked for as loaded
		}
	}
	values := l.Values
	if v.Kind == reflect.Map {
		values = l.Entries
	}
	loadValue(v, proc.LoadConfig{MaxStringLen: l.String, MaxArrayValues: values, MaxStructFields: -1, MaxMapBuckets: l.Buckets})
}

// Delve loads a variable with all that it leads to, up to a depth, and again for every pointer to it,
// which takes exponential time where objects are shared. Loading one level at a time is what its own
// server does by evaluating expressions; the function below does it without the detour over text.
//
//go:linkname loadValue github.com/go-delve/delve/pkg/proc.(*Variable).loadValue
func loadValue(v *proc.Variable, cfg proc.LoadConfig)

var loadedOffset = func() uintptr {
	f, ok := reflect.TypeFor[proc.Variable]().FieldByName("loaded")
	if !ok || f.Type.Kind() != reflect.Bool {
		panic("this version of Delve has no proc.Variable.loaded")
	}
	return f.Offset
}()

func loaded(v *proc.Variable) *bool { return (*bool)(unsafe.Add(unsafe.Pointer(v), loadedOffset)) }
