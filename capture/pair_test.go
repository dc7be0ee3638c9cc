package capture_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
)

type (
	pairText  string
	envPair   struct{ Name, Value string }
	bytesPair struct {
		Value []byte
		Key   string
	}
)

// TestLeakPairs plants a secret as the value of pairs whose key is a secret name, and looks for it in every part of the dump.
func TestLeakPairs(t *testing.T) {
	planted := func() string { return "hunter" + fmt.Sprint(2) + "xy" }
	m := new(sync.Map)
	m.Store("password", planted())
	m.Store(pairText("api_key"), planted())
	m.Store("harmless", "in clear")
	for name, v := range map[string]any{
		"sync.Map":  m,
		"context":   context.WithValue(context.Background(), pairText("password"), planted()),
		"attribute": []attribute.KeyValue{attribute.String("db.password", planted()), attribute.StringSlice("password", []string{planted()})},
		"one":       &[]attribute.KeyValue{attribute.String("db.password", planted())}[0],
		"names":     []envPair{{"PASSWORD", planted()}, {"HARMLESS", "in clear"}},
		"bytes":     &bytesPair{[]byte(planted()), "password"},
		"map":       map[string]any{"password": planted()},
	} {
		t.Run(name, func(t *testing.T) {
			e := engine(t, func(c *capture.Config) { c.Goroutines = capture.ScopeNone })
			r, v := watch(t, e, v)
			all := fmt.Sprintf("%+v\n", *v)
			all += render(r, v)
			clear := 0
			for o, err := range r.Objects() {
				if err != nil {
					t.Fatal(err)
				}
				s := fmt.Sprintf("%+v", o.Value) + render(r, &o.Value)
				for i := range o.Value.Children {
					s += render(r, &o.Value.Children[i].Value)
				}
				clear += strings.Count(s, "in clear")
				all += s
			}
			// Bytes are printed as numbers by %v.
			for _, form := range []string{planted(), strings.Trim(fmt.Sprint([]byte(planted())), "[]")} {
				if strings.Contains(all, form) {
					t.Errorf("the secret is in the dump: %.2000s", all)
				}
			}
			if (name == "sync.Map" || name == "names") && clear == 0 {
				t.Error("a value under a harmless key is withheld, too")
			}
		})
	}
}
