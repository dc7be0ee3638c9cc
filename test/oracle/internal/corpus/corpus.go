// Package corpus holds programs that fail with known values in scope. Each covers a kind of value or a shape of
// code; all are deterministic, so that what a build without optimisation shows is what every build must show, if it shows anything.
//
// Nothing here may depend on addresses, on the time, on the order of maps, or on the scheduler.
package corpus

// Fixture is a program that panics.
type Fixture struct {
	Name string
	// Run panics, on a goroutine of its own.
	Run func()
}

// All is the corpus.
var All []Fixture

func register(name string, run func()) { All = append(All, Fixture{name, run}) }

// never is false, which the compiler does not know: what is only used where it is true is
// needed, but not used.
var never bool

// sink takes values that must be needed.
var sink any
