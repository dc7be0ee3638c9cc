package e2e

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// The secrets of examples/checkout/shop/seed.go.
var secrets = []string{"northbank-9f27c1e0d44b", "card-5105-ada", "card-4111-grace"}

// TestSecrets looks for the shop's secrets in everything that a dump holds.
func TestSecrets(t *testing.T) {
	forVariants(t, func(*variant) bool { return true }, func(t *testing.T, v *variant) {
		run := runShop(t, v)
		for i := range failures {
			f := &failures[i]
			t.Run(f.name, func(t *testing.T) {
				_, r := run.failure(t, f)
				n := 0
				look := func(where string, x any) {
					n += findStrings(reflect.ValueOf(x), func(s string) {
						for _, secret := range secrets {
							if strings.Contains(s, secret) {
								t.Errorf("%s has the secret %q: %.60q", where, secret, s)
							}
						}
					})
				}
				look("header", *r.Header())
				for g, err := range r.Goroutines() {
					if err != nil {
						t.Fatal(err)
					}
					look("goroutine", *g)
				}
				reach := reached(t, r)
				for o, err := range r.Objects() {
					if err != nil {
						t.Fatal(err)
					}
					look("object "+reach.path(r, o.ID), *o)
				}
				files, err := r.Sources()
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range files {
					s, err := r.Source(file)
					if err != nil {
						t.Fatal(err)
					}
					look("source "+file, *s)
				}
				x, err := r.Extra()
				if err != nil {
					t.Fatal(err)
				}
				look("extra", *x)
				if n < 100 {
					t.Errorf("only %d strings in the dump: did this test look?", n)
				}
			})
		}
	})
}

// TestSecretsSeen makes sure that TestSecrets would find something: there was
// a secret within reach of the dump, and it was withheld.
func TestSecretsSeen(t *testing.T) {
	run := runShop(t, variantNamed(t, "default"))
	for i := range failures {
		if f := &failures[i]; f.name == "custom-panic" {
			_, r := run.failure(t, f)
			var total int64
			for _, c := range r.Header().Redactions {
				total += c.Count
			}
			if total < 3 {
				t.Errorf("redactions %v, want at least one for each secret", r.Header().Redactions)
			}
			if why := r.Header().Budgets; len(why) == 0 {
				t.Errorf("no budgets in the header")
			}
		}
	}
}

// reach says from where each object of a dump was reached.
type reach map[dump.ObjectID]struct {
	from dump.ObjectID // 0 if from a variable
	root string        // the variable
}

func reached(t *testing.T, r *dump.Reader) reach {
	t.Helper()
	found := make(reach)
	var queue []dump.ObjectID
	var visit func(v *dump.Value, from dump.ObjectID, root string)
	visit = func(v *dump.Value, from dump.ObjectID, root string) {
		if _, ok := found[v.Obj]; v.Obj != 0 && !ok {
			found[v.Obj] = struct {
				from dump.ObjectID
				root string
			}{from, root}
			queue = append(queue, v.Obj)
		}
		for i := range v.Elems {
			visit(&v.Elems[i], from, root)
		}
	}
	for g, err := range r.Goroutines() {
		if err != nil {
			t.Fatal(err)
		}
		for i := range g.Values {
			visit(&g.Values[i].Value, 0, fmt.Sprintf("goroutine %d, %s", g.ID, g.Values[i].Name))
		}
		for i := range g.Frames {
			for j := range g.Frames[i].Vars {
				v := &g.Frames[i].Vars[j]
				visit(&v.Value, 0, fmt.Sprintf("goroutine %d, %s, %s", g.ID, g.Frames[i].Func, v.Name))
			}
		}
	}
	for len(queue) > 0 {
		o, err := r.Object(queue[0])
		if err != nil {
			t.Fatal(err)
		}
		queue = queue[1:]
		visit(&o.Value, o.ID, "")
	}
	return found
}

// path returns the variable that leads to an object, and the types in between.
func (found reach) path(r *dump.Reader, id dump.ObjectID) string {
	var types []string
	for range 30 {
		o, err := r.Object(id)
		if err != nil {
			return err.Error()
		}
		name := "?"
		if t := r.Type(o.Value.Type); t != nil {
			name = t.Name
		}
		types = append(types, name)
		from := found[id]
		if from.from == 0 {
			types = append(types, from.root)
			break
		}
		id = from.from
	}
	slices.Reverse(types)
	return strings.Join(types, " → ")
}

// findStrings calls f for every string and byte slice below v, and returns how
// many there were.
func findStrings(v reflect.Value, f func(string)) int {
	switch v.Kind() {
	case reflect.String:
		f(v.String())
		return 1
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return 0
		}
		return findStrings(v.Elem(), f)
	case reflect.Struct:
		n := 0
		for i := range v.NumField() {
			n += findStrings(v.Field(i), f)
		}
		return n
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.Kind() == reflect.Slice {
				f(string(v.Bytes()))
			}
			return 1
		}
		n := 0
		for i := range v.Len() {
			n += findStrings(v.Index(i), f)
		}
		return n
	}
	return 0
}
