package capture

import "testing"

// A read that faults must leave no trace in the goroutine, which the runtime
// would print when the process dies of something else.
func TestRestoreSignal(t *testing.T) {
	if !canRestoreSignal {
		t.Skip("not on this release or architecture")
	}
	g := uint64(getg())
	read := func() signalInfo {
		var b [gSize]byte
		if err := (self{}).ReadAt(b[:], g); err != nil {
			t.Fatal(err)
		}
		return signalOf(b[:])
	}
	was := read()
	var one [1]byte
	var err error
	guarded(func() { err = self{}.ReadAt(one[:], 0x10_0000) })
	if err == nil {
		t.Skip("there is something at that address")
	}
	if now := read(); now == was {
		t.Fatalf("a fault leaves no trace, %+v; then there is nothing to put back", now)
	}
	restoreSignal(g, was)
	if now := read(); now != was {
		t.Errorf("%+v was not put back to %+v", now, was)
	}
}
