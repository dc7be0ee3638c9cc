package dump

// TypeID is the number of a [Type] within one dump. Zero is no type.
type TypeID uint32

// ObjectID is the number of an [Object] within one dump. Zero is no object.
type ObjectID uint64

// Kind is the kind of a type, numbered as in package reflect.
type Kind uint8

// The kinds, with reflect's numbers.
const (
	Invalid Kind = iota
	Bool
	Int
	Int8
	Int16
	Int32
	Int64
	Uint
	Uint8
	Uint16
	Uint32
	Uint64
	Uintptr
	Float32
	Float64
	Complex64
	Complex128
	Array
	Chan
	Func
	Interface
	Map
	Pointer
	Slice
	String
	Struct
	UnsafePointer
)

// Type describes values. Types refer to each other by TypeID, also in cycles.
type Type struct {
	ID   TypeID
	Name string // as Go source with full package paths: "*github.com/acme/shop/store.Order", "map[string]int"
	Kind Kind
	Size uint64 // bytes
	// Elem is the element type of arrays, channels, maps, pointers and slices.
	Elem TypeID
	// Key is the key type of maps.
	Key TypeID
	// Len is the length of an array.
	Len int64
	// Fields are the fields of a struct, in order, blank ones included.
	Fields []Field
	// Named is set on a defined type: Name is then its package path, a dot,
	// and its identifier (with type arguments), not a type literal. Predeclared types
	// (int, string, error) are not Named.
	Named bool
}

// Field is one field of a struct type.
type Field struct {
	Name     string
	Type     TypeID
	Offset   uint64 // bytes from the start of the struct
	Embedded bool
	Tag      string
}

// Reason says why a value is not whole. The zero Reason means that it is.
type Reason uint8

// The reasons. Their names (see [Reason.String]) are part of the format.
const (
	Whole               Reason = iota
	OptimizedOut               // the compiler kept no location for it here
	UnavailableRegister        // it lived in a register that could not be recovered
	Dead                       // last known value, may be stale
	DepthLimit                 // "depth": too many pointers away
	CollectionLimit            // elements beyond the limit were left out
	StringLimit                // bytes beyond the limit were left out
	ByteBudget                 // the dump's budget of bytes (or objects) was spent
	TimeBudget                 // the capture ran out of time
	Unreadable                 // the memory could not be read, or did not make sense
	Redacted                   // withheld by a redaction rule
	Unsupported                // this version cannot read values of that type
)

var reasonNames = [...]string{
	Whole: "", OptimizedOut: "optimized_out", UnavailableRegister: "unavailable_register", Dead: "dead",
	DepthLimit: "depth", CollectionLimit: "collection_limit", StringLimit: "string_limit", ByteBudget: "byte_budget",
	TimeBudget: "time_budget", Unreadable: "unreadable", Redacted: "redacted", Unsupported: "unsupported",
}

// String returns the reason's name in the format and in JSON: "optimized_out",
// "depth" and so on; "" for Whole.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}

// Value is a captured value. Which fields are set depends on the kind of its
// type:
//
//	Bool, Int…, Uint…, Uintptr   Num (sign-extended for signed kinds)
//	Float32, Float64             Num holds math.Float64bits
//	Complex64, Complex128        Num and Num2 hold math.Float64bits of real and imaginary part
//	String                       Bytes (the first bytes), Len (the true length)
//	Pointer, UnsafePointer       Ptr (0 is nil), Obj (what it points at, if captured)
//	Slice                        Ptr (first element; 0 is nil), Len, Cap, Obj: an object of array type [n]Elem, n ≤ Len
//	Map                          Ptr (0 is nil), Len, Obj: an object of the same map type
//	Chan                         Ptr (0 is nil), Len, Cap, Obj: an object of the same channel type
//	Func                         Ptr (0 is nil), Func (its name), Obj: a struct object with the captured variables, if any
//	Interface                    Elems[0] is the dynamic value; no Elems is a nil interface
//	Struct                       Elems, one for each field of the type
//	Array                        Elems, or Raw, see below; Len is the type's
//
// The contents of maps and channels are in their objects:
//
//	object of a map type         Elems: key, value, key, value, …; Len is the true count
//	object of a channel type     Elems: the buffered elements, oldest first; Len, Cap; Num is 1 if closed
//
// An array of a fixed-size basic kind (bool, integers, floats, complex) is kept
// as the memory bytes of its elements, little endian, in Raw instead of in
// Elems. Use [Value.NumElems] and [Value.Elem], which hide the difference.
//
// A dynamic value (of an interface) that is not pointer-shaped lies in an object
// of its own: it has Obj set and nothing else. [Reader.Resolve] follows it.
type Value struct {
	Type   TypeID
	Reason Reason // why it is not whole; what is set besides is still true
	Detail string // says more about Reason: the redaction rule, the fault, …
	// Addr is where the value lay in the process, 0 if in no one place.
	Addr uint64

	Num, Num2 uint64
	Ptr       uint64
	Len, Cap  int64
	Bytes     []byte
	Raw       []byte
	Func      string
	Obj       ObjectID
	Elems     []Value

	// Summary is how a type support describes the value ("2026-11-23 03:20:00
	// +0000 UTC" for a time.Time), "" if none did.
	Summary string
	// Children are what a type support shows of the value besides: what its parts
	// mean, as the deadline of a context. Most values have none.
	Children []Child
}

// Child is a named part of a value that a type support shows.
type Child struct {
	Name  string
	Value Value
}

// Object is a piece of the process's memory with a type and an identity: the
// target of a pointer, the elements of a slice, the contents of a map, and so
// on. An object is stored once, however many values lead to it.
type Object struct {
	ID    ObjectID
	Addr  uint64
	Late  bool // read after the failing goroutine went on; may be newer than the failure
	Value Value
}

// VarKind says what a variable is to its function.
type VarKind uint8

// The kinds of variables.
const (
	VarLocal    VarKind = iota
	VarArg              // parameter, receiver included
	VarResult           // result parameter
	VarCaptured         // captured by a closure
	VarPanic            // the value of a panic; of a goroutine, not of a frame
	VarError            // the error that was recorded; of a goroutine, not of a frame
	VarWatch            // handed in by the program with Watch
)

var varKindNames = [...]string{"local", "arg", "result", "captured", "panic", "error", "watch"}

// String returns the kind's name in JSON: "local", "arg", …
func (k VarKind) String() string {
	if int(k) < len(varKindNames) {
		return varKindNames[k]
	}
	return "unknown"
}

// VarState says how a variable's value was had.
type VarState uint8

// The states of variables. A variable with no value at all is VarMissing, and
// its value's Reason says why.
const (
	VarLive      VarState = iota // read where the debug info places it
	VarRecovered                 // read from saved registers or a spill slot
	VarDead                      // its last known value; may be stale
	VarMissing                   // no value
)

// Variable is a named value in a frame.
type Variable struct {
	Name     string
	Kind     VarKind
	State    VarState
	DeclLine int // line of its declaration, 0 if unknown
	// Escaped is set if the variable lives on the heap.
	Escaped bool
	Value   Value
}

// StateName returns the variable's state as it stands in JSON: "live",
// "recovered", "dead", or the reason why there is no value.
func (v *Variable) StateName() string {
	switch v.State {
	case VarLive:
		return "live"
	case VarRecovered:
		return "recovered"
	case VarDead:
		return "dead"
	}
	if v.Value.Reason == Whole {
		return "missing"
	}
	return v.Value.Reason.String()
}
