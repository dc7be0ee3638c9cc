//go:build delve

package main

import (
	_ "unsafe" // for go:linkname

	"github.com/go-delve/delve/pkg/proc"
)

// loadValue loads a variable, as Delve's evaluation of an expression does at its end.
//
//go:linkname loadValue github.com/go-delve/delve/pkg/proc.(*Variable).loadValue
func loadValue(v *proc.Variable, cfg proc.LoadConfig)
