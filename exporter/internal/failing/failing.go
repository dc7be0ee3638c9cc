// Package failing has functions that fail, for the tests of package exporter.
// They are in a package of their own because the engine does not take the exporter's own functions for the program's.
package failing

import "errors"

// ErrBoom is what [Boom] panics with.
var ErrBoom = errors.New("boom")

// Boom panics.
//
//go:noinline
func Boom() { panic(ErrBoom) }

// NilDereference panics in the runtime.
//
//go:noinline
func NilDereference(p *int) int { return *p }

// NilMap panics in the runtime.
//
//go:noinline
func NilMap(m map[string]int) { m["x"] = 1 }
