// Package verdict compares two accounts of the same variables: a dump of ours with what
// Delve reads, or a dump with another one of the same program, built otherwise.
package verdict

import (
	"math"
	"reflect"
	"strconv"
)

// Node is a value as one of the witnesses has it, one level deep.
type Node struct {
	Type string
	Kind reflect.Kind
	// Why says why there is no value, or not all of it; "" if there is.
	Why string
	// Text is the value of a number, a bool, or the name of a func.
	Text string
	// Ptr is the address that a pointer, slice, map, channel or func holds. It
	// says something only within one process.
	Ptr      uint64
	Nil      bool
	Len, Cap int64  // of a string, slice, array, map, channel
	Data     string // of a string; may be shorter than Len
	// Kids are the fields of a struct, the elements of an array, slice or channel, keys and
	// elements of a map in turn, what a pointer leads to, the dynamic value of an interface, the
	// captured variables of a func. There may be fewer than Len says.
	Kids []Kid
	// Closed and Waiting are a channel's.
	Closed             bool
	Receivers, Senders int
	// ID tells nodes of one witness apart that are the same piece of memory, "" if
	// it is not known.
	ID string
}

// Kid is a part of a value, or what it leads to.
type Kid struct {
	Name string
	get  func() *Node
}

// Get returns the value.
func (k *Kid) Get() *Node { return k.get() }

func floatText(f float64, bits int) string {
	if math.IsNaN(f) {
		return "NaN"
	}
	if f == 0 {
		return "0" // Delve's constants have no negative zero
	}
	return strconv.FormatFloat(f, 'g', -1, bits)
}

// Var is a variable of a frame.
type Var struct {
	Name    string
	Line    int // of its declaration
	Kind    string
	Escaped bool
	Dead    bool // the witness itself says that the value may be stale
	Value   *Node
}

// Frame is a call with its variables.
type Frame struct {
	Func      string
	Line      int
	PC        uint64
	Inlined   bool
	Optimized bool
	Vars      []Var
}
