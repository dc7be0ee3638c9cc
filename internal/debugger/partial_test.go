package debugger_test

import (
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
)

// A slice whose capacity is not known has none, whatever the reason, and not the capacity 0.
func TestUnknownCapacity(t *testing.T) {
	for _, why := range []dump.Reason{dump.OptimizedOut, dump.UnavailableRegister} {
		b := debuggertest.Shop()
		list := []int{7, 8, 9}
		v := b.Var("list", dump.VarArg, &list)
		v.Value.Cap, v.Value.Reason, v.Value.Detail = -1, why, "its capacity is not known"
		f := &b.Goroutines[0].Frames[3]
		f.Vars = append(f.Vars, v)
		s, err := debugger.New(b.Reader(t))
		if err != nil {
			t.Fatal(err)
		}
		for expr, want := range map[string]string{
			"list": "[]int len: 3, cap: ?, [7,8,9]", "len(list)": "3", "list[1]": "8", "list[1:3]": "[]int len: 2, cap: ?, [8,9]",
			"list[1:4]": "error: index out of bounds",
		} {
			if got := eval(s.Home(), expr); got != want {
				t.Errorf("%v: %s is %s, want %s", why, expr, got, want)
			}
		}
		if got := eval(s.Home(), "cap(list)"); !strings.Contains(got, "its capacity is not known") {
			t.Errorf("%v: cap(list) is %s, want why it is not known", why, got)
		}
	}
}
