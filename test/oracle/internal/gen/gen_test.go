package gen

import (
	"bytes"
	"testing"
)

// TestSource checks that a seed always gives the same program, and that it is Go.
func TestSource(t *testing.T) {
	a, ps, err := Source(1, 100)
	if err != nil {
		t.Fatalf("%v\n%s", err, a)
	}
	b, _, _ := Source(1, 100)
	if !bytes.Equal(a, b) {
		t.Error("a seed gives two programs")
	}
	if len(ps) != 100 || len(ps[0].Funcs) == 0 || len(ps[0].Funcs[0].Vars) == 0 {
		t.Error("nothing is known of the programs")
	}
}
