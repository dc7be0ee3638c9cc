package dump

import "time"

// Trigger says what made a dump.
type Trigger string

// The triggers.
const (
	TriggerPanic     Trigger = "panic"      // a panic was under way
	TriggerErrorSpan Trigger = "error_span" // a span failed, or RecordError was called
	TriggerManual    Trigger = "manual"     // the program asked for a dump
	TriggerTest      Trigger = "test"       // a test failed
	TriggerAttach    Trigger = "attach"     // made from outside a running process
	TriggerCore      Trigger = "core"       // made from a core file
)

// Triggers lists every trigger, in the order of their declaration.
func Triggers() []Trigger {
	return []Trigger{TriggerPanic, TriggerErrorSpan, TriggerManual, TriggerTest, TriggerAttach, TriggerCore}
}

// Header is the part of a dump that says what it is. It lies at the start of
// the file and is at most 64 KiB long together with the section directory, so
// that one small read, or one ranged GET, gives it.
type Header struct {
	Identity
	Time        time.Time // when the failure was seen, UTC, nanoseconds
	Trigger     Trigger
	Name        string // given by the caller of Dump, else ""
	Description string // given by the caller of Dump, else ""

	// Reason is the panic value or the error, outermost first, with what it
	// wraps behind it. Empty for a dump that nothing failed for.
	Reason []ErrorInfo

	SpanName string
	Resource []KeyValue // attributes of the OTel resource

	Host      string
	PID       int
	GoVersion string // as runtime.Version
	GOOS      string
	GOARCH    string
	Module    Module // the main module of the program
	VCS       VCS

	Failing Location // the failing user frame

	Counts     Counts
	Budgets    []Budget    // in a fixed order
	Redactions []RuleCount // by rule ID, sorted; empty if nothing was redacted
	Missing    []Missing   // what the whole dump has not got, and why

	// FormatVersion is the version of the file format, "major.minor". The
	// writer sets it.
	FormatVersion string
}

// ErrorInfo is one error of an error tree, or a panic value.
type ErrorInfo struct {
	Type    string // the dynamic type, with its full package path: "*fmt.wrapError"
	Message string // as far as it can be read without calling a method
	Parent  int    // index in Header.Reason of the error that wraps this one; -1 for the root
	Panic   bool   // this is a panic value, as opposed to an error that was recorded
	Runtime bool   // made by the runtime (implements runtime.Error)
}

// KeyValue is an attribute whose value is printed as text.
type KeyValue struct{ Key, Value string }

// Module names a module and its version as debug.BuildInfo has them.
type Module struct{ Path, Version string }

// VCS says what the program was built from.
type VCS struct {
	Revision string
	Time     string // RFC 3339
	Modified bool
}

// Location is a place in a goroutine's stack and in the source.
type Location struct {
	Func      string // full name: "github.com/acme/shop/store.(*Store).Get"
	File      string
	Line      int
	Goroutine int64 // goroutine ID, 0 if none
	Frame     int   // index in that goroutine's Frames
}

// Counts says how much a dump holds.
type Counts struct {
	Goroutines int
	Frames     int
	Variables  int
	Objects    int
	Bytes      int64 // bytes of the process's memory that were read into it
}

// Budget is one limit of a capture and what was used of it.
type Budget struct {
	Name  string // "depth", "pause", "timeout", "objects", "bytes", "string", "collection"
	Unit  string // "levels", "ns", "objects", "bytes", "elements"
	Limit int64  // 0: no limit
	Spent int64
	Hits  int64 // how many values were cut by it
}

// RuleCount counts the redactions that one rule made.
type RuleCount struct {
	Rule  string
	Count int64
}

// Missing says what a dump, a goroutine or a frame has not got, why, and what
// to do to have it next time.
type Missing struct {
	What string // "locals", "other goroutines", …
	Why  string
	Hint string // "" if there is none
}
