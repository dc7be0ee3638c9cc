// Package capture reads the state of a running Go program from inside it: the
// frames of the failing goroutine with their variables, the objects that these
// lead to, and the other goroutines, without the help of the program and
// without hurting it.
//
// It works in two phases. [Engine.Snapshot] runs on the failing goroutine, within
// [Config.Pause]: it copies the stack, finds the variables through the program's own DWARF
// and copies the memory that they reach. [Snapshot.Encode] runs wherever it is
// called, usually on a background goroutine: it decodes what was copied, redacts it and
// writes a dump file.
//
// What it must never do: call a method of a live object, take a lock that user
// code may hold, iterate over a live map, stop the world, change a signal
// handler, read memory unguarded, or let a fault or a panic of its own out. A
// value that could not be read says why; none is made up.
package capture

import (
	"fmt"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// Scope says which goroutines a dump holds.
type Scope string

// The scopes.
const (
	ScopeAll     Scope = "all"     // every goroutine
	ScopeFailing Scope = "failing" // the failing goroutine
	ScopeNone    Scope = "none"    // none: header, reason, watches
)

// Config holds the limits of captures. Start from [DefaultConfig]; the zero
// value of a limit stands for its default.
type Config struct {
	// Depth is how many pointers away from a variable objects are followed.
	// Default 10.
	Depth int
	// Pause bounds phase one, which the failing request waits for, and the wait for its
	// turn with it. Default 50 ms.
	// It does not apply to an [Event] that is Dying.
	Pause time.Duration
	// Timeout bounds both phases together. Default 2 s.
	Timeout time.Duration
	// Goroutines says which goroutines to capture. Default ScopeAll.
	Goroutines Scope

	// MaxStringLen is how many bytes of a string or byte slice are kept. Default 4096.
	MaxStringLen int
	// MaxArrayValues is how many elements of an array, slice or channel are kept. Default 1000.
	MaxArrayValues int
	// MaxMapEntries is how many entries of a map are kept. Default 1000.
	MaxMapEntries int
	// MaxObjects is how many objects are kept. Default 200,000.
	MaxObjects int
	// MaxBytes is how many bytes of the process's memory are kept of what the failing goroutine leads to.
	// The other goroutines have half as much for their stacks, and again for what they lead to. Default 32 MiB.
	MaxBytes int64
	// MaxPending is how many bytes the snapshots hold together that are not
	// encoded yet, about; what is taken beyond that is smaller, and at last fails.
	// A dying process's is not bounded by it. Default four times MaxBytes.
	MaxPending int64
	// MaxGoroutines is how many other goroutines are kept. Default 10,000.
	MaxGoroutines int
	// MaxFrames is how many frames of a goroutine are kept. Default 256, at most 10,000.
	MaxFrames int
	// SourceLines is how many source lines are stored before and after each user
	// frame's line, if the file can be read; -1 stores none. Default 12.
	SourceLines int

	// Variables are patterns of package variables to capture besides what the failing
	// goroutine leads to: import/path.Name, in which * stands for any run of characters and main is
	// the main package ("main.*", "example.com/shop/store.cache"). Patterns with a * are about
	// the program's modules and those that it depends on. They have a quarter of MaxBytes and MaxObjects. Default none.
	Variables []string
	// DebugInfo says where the program's debug info is. It is read once in a
	// process: where there are several engines, the first that finds it decides.
	DebugInfo DebugInfo
	// Warn is told, on another goroutine, what does not work as it was
	// configured though captures do: a cache of debug info that others can write to, for
	// instance. nil: nobody is told.
	Warn func(error)

	// Redactor judges each text that goes into a dump. nil: redact.DefaultConfig's.
	Redactor *redact.Engine
}

// DefaultConfig returns the defaults that are documented at [Config].
func DefaultConfig() Config {
	return Config{
		Depth: 10, Pause: 50 * time.Millisecond, Timeout: 2 * time.Second, Goroutines: ScopeAll,
		MaxStringLen: 4096, MaxArrayValues: 1000, MaxMapEntries: 1000, MaxObjects: 200_000, MaxBytes: 32 << 20,
		MaxGoroutines: 10_000, MaxFrames: 256, SourceLines: 12,
	}
}

// Event says what to capture and why.
type Event struct {
	Trigger dump.Trigger
	// Err is the error that was recorded. It is walked as data; none of its
	// methods is called.
	Err error
	// Panic is the recovered panic value, for a caller that has recovered and
	// knows it (HasPanic). While a panic is under way its value is found
	// without.
	Panic    any
	HasPanic bool
	// Message and ErrorType are the failure's text and type if the program has
	// told them already, as an exception event of a span does. Message takes the place
	// of what the data shows; ErrorType is used where there is neither Err nor a
	// panic.
	Message, ErrorType string
	// Since is when what failed began, a request for instance. If the garbage collector has not
	// finished a cycle since then, no object of it can have been collected; else, and if it is
	// zero, variables that the program did not need any more count as dead.
	Since time.Time
	// Watches are values that the program handed in.
	Watches []Watch
	// Depth overrides Config.Depth if it is greater than zero.
	Depth int
	// Waited is how much of Config.Pause the failing goroutine has spent already, waiting
	// for its turn for instance.
	Waited time.Duration
	// Dying lifts the pause budget (the timeout stays): nobody will recover the panic.
	Dying bool
}

// Watch is a named value that the program wants in a dump whatever the
// debug info says.
type Watch struct {
	Name  string
	Value any
}

func (c *Config) fill() {
	d := DefaultConfig()
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&c.Depth, d.Depth)
	def(&c.MaxStringLen, d.MaxStringLen)
	def(&c.MaxArrayValues, d.MaxArrayValues)
	def(&c.MaxMapEntries, d.MaxMapEntries)
	def(&c.MaxObjects, d.MaxObjects)
	def(&c.MaxGoroutines, d.MaxGoroutines)
	def(&c.MaxFrames, d.MaxFrames)
	def(&c.SourceLines, d.SourceLines)
	if c.Pause == 0 {
		c.Pause = d.Pause
	}
	if c.Timeout == 0 {
		c.Timeout = d.Timeout
	}
	if c.Goroutines == "" {
		c.Goroutines = d.Goroutines
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = d.MaxBytes
	}
	if c.MaxPending == 0 {
		c.MaxPending = 4 * c.MaxBytes
	}
}

// maxMaxFrames bounds Config.MaxFrames, for which room is made in advance.
const maxMaxFrames = 10_000

func (c *Config) check() error {
	for _, l := range []struct {
		name  string
		value int64
	}{
		{"Depth", int64(c.Depth)},
		{"Pause", int64(c.Pause)},
		{"Timeout", int64(c.Timeout)},
		{"MaxStringLen", int64(c.MaxStringLen)},
		{"MaxArrayValues", int64(c.MaxArrayValues)},
		{"MaxMapEntries", int64(c.MaxMapEntries)},
		{"MaxObjects", int64(c.MaxObjects)},
		{"MaxBytes", c.MaxBytes},
		{"MaxPending", c.MaxPending},
		{"MaxGoroutines", int64(c.MaxGoroutines)},
		{"MaxFrames", int64(c.MaxFrames)},
	} {
		if l.value < 0 {
			return fmt.Errorf("capture: %s is %d, want more than zero", l.name, l.value)
		}
	}
	if c.MaxFrames > maxMaxFrames {
		return fmt.Errorf("capture: MaxFrames is %d, want at most %d", c.MaxFrames, maxMaxFrames)
	}
	for _, p := range c.Variables {
		if err := CheckVariables(p); err != nil {
			return fmt.Errorf("capture: Variables: %w", err)
		}
	}
	switch c.Goroutines {
	case ScopeAll, ScopeFailing, ScopeNone:
	default:
		return fmt.Errorf("capture: Goroutines is %q, want %q, %q or %q", c.Goroutines, ScopeAll, ScopeFailing, ScopeNone)
	}
	return nil
}
