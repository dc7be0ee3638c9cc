package dump

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestIDs(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	id := NewID()
	if at := id.Time(); at.Before(before) || at.After(time.Now()) || at.Location() != time.UTC {
		t.Errorf("a new ID is of %v, want now, in UTC", at)
	}
	if next := NewID(); bytes.Compare(id[:], next[:]) >= 0 {
		t.Errorf("ID %v does not sort behind %v", next, id)
	}
	back, err := ParseID(id.String())
	if err != nil || back != id || id.IsZero() || !(ID{}).IsZero() {
		t.Errorf("%v reads back as %v, error %v", id, back, err)
	}
	// The example of RFC 9562, appendix A.6.
	rfc, err := ParseID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
	if want := time.Date(2022, 2, 22, 19, 22, 22, 0, time.UTC); err != nil || !rfc.Time().Equal(want) {
		t.Errorf("time %v, want %v; error %v", rfc.Time(), want, err)
	}
	for _, bad := range []string{"", "x", id.String() + "0", strings.Replace(id.String(), "-", "x", 1), "{" + id.String()[:34] + "}"} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("%q is taken for an ID", bad)
		}
	}
}

func TestTraceAndSpanIDs(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	tr, err := ParseTraceID(trace)
	if err != nil || tr.String() != trace || tr.IsZero() || !(TraceID{}).IsZero() {
		t.Errorf("trace ID %v, error %v", tr, err)
	}
	sp, err := ParseSpanID(span)
	if err != nil || sp.String() != span || sp.IsZero() || !(SpanID{}).IsZero() {
		t.Errorf("span ID %v, error %v", sp, err)
	}
	for _, bad := range []string{"", trace[1:], trace + "0", strings.Repeat("0", 32), strings.Repeat("g", 32)} {
		if _, err := ParseTraceID(bad); err == nil || !strings.Contains(err.Error(), "trace ID") {
			t.Errorf("trace ID %q: error %v", bad, err)
		}
	}
	for _, bad := range []string{"", span[1:], strings.Repeat("0", 16), strings.Repeat("-", 16)} {
		if _, err := ParseSpanID(bad); err == nil || !strings.Contains(err.Error(), "span ID") {
			t.Errorf("span ID %q: error %v", bad, err)
		}
	}
}

// The names are part of the JSON that the command prints, and of the format.
func TestNames(t *testing.T) {
	var reasons []string
	for r := Whole; r <= Unsupported+1; r++ {
		reasons = append(reasons, r.String())
	}
	same(t, "reasons", strings.Join(reasons, " "), " optimized_out unavailable_register dead depth collection_limit "+
		"string_limit byte_budget time_budget unreadable redacted unsupported unknown")
	var kinds []string
	for k := VarLocal; k <= VarWatch+1; k++ {
		kinds = append(kinds, k.String())
	}
	same(t, "kinds", strings.Join(kinds, " "), "local arg result captured panic error watch unknown")
	for want, v := range map[string]Variable{
		"live": {}, "recovered": {State: VarRecovered}, "dead": {State: VarDead}, "missing": {State: VarMissing},
		"optimized_out": {State: VarMissing, Value: Value{Reason: OptimizedOut}},
	} {
		same(t, "state", v.StateName(), want)
	}
	same(t, "triggers", Triggers(), []Trigger{"panic", "error_span", "manual", "test", "attach", "core"})
}
