package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// TestStripped checks what a dump has without debug information: everything
// that DESIGN lists, and no locals that nobody can know.
func TestStripped(t *testing.T) {
	forVariants(t, func(v *variant) bool { return v.stripped }, func(t *testing.T, v *variant) {
		run := runShop(t, v)
		for i := range failures {
			f := &failures[i]
			t.Run(f.name, func(t *testing.T) {
				_, r := run.failure(t, f)
				rep := &report{t: t}
				checkHeader(rep, f, v, r)
				checkFrames(rep, f, v, r, false)

				h := r.Header()
				i := slices.IndexFunc(h.Missing, func(m dump.Missing) bool { return strings.Contains(m.What, "locals") })
				if i < 0 {
					rep.mismatch("the header does not say that locals are missing: %+v", h.Missing)
				} else if m := h.Missing[i]; m.Why == "" || m.Hint == "" {
					rep.mismatch("the header says neither why nor what to do: %+v", m)
				}

				g, err := r.Failing()
				if err != nil {
					t.Fatal(err)
				}
				for _, fr := range g.Frames {
					for _, v := range fr.Vars {
						if v.State != dump.VarMissing {
							rep.mismatch("%s: %s %s in a binary without debug information", fr.Func, v.StateName(), v.Name)
						}
					}
				}
				in := inspector{r}
				checkValueOf(rep, in, g, dump.VarWatch, "order", check{"#type", "*" + shopPath + "/orders.Order"})
				checkValueOf(rep, in, g, dump.VarWatch, "order", check{".Customer.ID", map[bool]string{true: `"C-2"`, false: `"C-1"`}[isGrace(f)]})

				x, err := r.Extra()
				if err != nil {
					t.Fatalf("extra: %v", err)
				}
				if !slices.Contains(x.SpanAttributes, dump.KeyValue{Key: "order.id", Value: f.order}) {
					rep.mismatch("span attributes %v, want order.id %s", x.SpanAttributes, f.order)
				}
				if h.Module.Path != module || h.GoVersion == "" {
					rep.mismatch("build info: module %v, Go %q", h.Module, h.GoVersion)
				}
				if r.NumGoroutines() < 2 {
					rep.mismatch("%d goroutines", r.NumGoroutines())
				}
			})
		}
	})
}

func isGrace(f *failure) bool {
	return slices.Contains([]string{"A-1002", "A-1003", "A-1005"}, f.order)
}

// TestStrippedPeek checks that peek says why there are no locals.
func TestStrippedPeek(t *testing.T) {
	forVariants(t, func(v *variant) bool { return v.stripped }, func(t *testing.T, v *variant) {
		run := runShop(t, v)
		l, _ := run.failure(t, &failures[0])
		got := execute(t, runOptions{}, buildCoredumpy(t), "peek", l.place)
		if got.exit != 0 || !strings.Contains(got.stdout, "locals") || !strings.Contains(got.stdout, "ldflags") {
			t.Errorf("peek: exit code %d, want 0 and how to have locals:\n%s%s", got.exit, got.stdout, got.stderr)
		}
	})
}
