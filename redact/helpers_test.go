package redact

import (
	"strings"
	"testing"
	"unsafe"
)

// Samples of secrets are made at run time, so that no scanner takes this
// repository for a leak.
const (
	digits   = "0123456789"
	hexes    = "0123456789abcdef"
	uppernum = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	alnum    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// word makes n characters of set that look random and are the same for the
// same seed.
func word(seed byte, n int, set string) string {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 12345
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = set[int(x>>16)%len(set)]
	}
	return string(b)
}

// newTestEngine makes an Engine with an empty environment unless change sets
// one.
func newTestEngine(tb testing.TB, change func(*Config), extra ...Redactor) *Engine {
	tb.Helper()
	cfg := DefaultConfig()
	cfg.Env = []string{}
	if change != nil {
		change(&cfg)
	}
	e, err := New(cfg, extra...)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// apply applies e to s and checks what holds for every text.
func apply(tb testing.TB, e *Engine, t Text) (string, []Finding) {
	tb.Helper()
	out, found := e.Apply(t)
	if found == nil && out != t.Value {
		tb.Fatalf("Apply(%q) changed the text to %q and found nothing", t.Value, out)
	}
	want, at := "", 0
	for i, f := range found {
		if f.Start >= f.End || f.Start < at || f.End > len(t.Value) {
			tb.Fatalf("Apply(%q): finding %d of %v is out of order or of bounds", t.Value, i, found)
		}
		want += t.Value[at:f.Start] + Marker(f.Rule, f.End-f.Start)
		at = f.End
	}
	if want += t.Value[at:]; out != want {
		tb.Fatalf("Apply(%q) = %q; by its findings %v it should be %q", t.Value, out, found, want)
	}
	again := t
	again.Value = out
	if out2, found2 := e.Apply(again); found2 != nil || out2 != out {
		tb.Fatalf("Apply(%q, name %q) = %q; applied again it is %q, found %v", t.Value, t.Name, out, out2, found2)
	}
	return out, found
}

func rulesOf(found []Finding) string {
	ids := make([]string, len(found))
	for i, f := range found {
		ids[i] = f.Rule
	}
	return strings.Join(ids, " ")
}

// unsafeString is the string that shares b's memory, as callers make it.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
