package debugger_test

import "reflect"

// entry returns the entry point of a function value.
func entry(fn any) uintptr { return reflect.ValueOf(fn).Pointer() }
