package e2e

import (
	"reflect"
	"strings"
	"testing"
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
								t.Errorf("%s has the secret %q: %.200q", where, secret, s)
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
				for o, err := range r.Objects() {
					if err != nil {
						t.Fatal(err)
					}
					look("object", *o)
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
