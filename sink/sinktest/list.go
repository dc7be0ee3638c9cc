package sinktest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func testTrace(t *testing.T, h Harness) {
	s := h.New(t)
	a, b, c := newIdentity(now, "shop"), newIdentity(now.Add(-time.Hour), "till"), newIdentity(now.AddDate(0, 1, 0), "shop")
	b.TraceID, c.TraceID = a.TraceID, a.TraceID
	other := newIdentity(now, "shop")
	other.TraceID = a.TraceID
	other.TraceID[15]++ // a neighbour
	for _, id := range []dump.Identity{a, other, c, b} {
		put(t, s, id, 10)
	}
	wantIDs(t, "Trace", trace(t, s, a.TraceID), b, a, c)
	wantIDs(t, "Trace of the neighbour", trace(t, s, other.TraceID), other)
	for _, e := range trace(t, s, a.TraceID) {
		if e.Service != "" || !e.SpanID.IsZero() {
			t.Errorf("Trace: %+v, want no service and no span", e)
		}
	}
}

func testNoTrace(t *testing.T, h Harness) {
	s := h.New(t)
	a, b, c := newIdentity(now, "shop"), newIdentity(now.Add(time.Second), "shop"), newIdentity(now, "shop")
	a.TraceID, b.TraceID = dump.TraceID{}, dump.TraceID{}
	for _, id := range []dump.Identity{b, c, a} {
		put(t, s, id, 10)
	}
	wantIDs(t, "Trace of none", trace(t, s, dump.TraceID{}), a, b)
	if got := list(t, s, sink.Query{Since: now.Add(time.Second)}); len(got) != 1 || !got[0].TraceID.IsZero() || got[0].ID != b.ID {
		t.Errorf("List: %v, want the dump without a trace", got)
	}
	if err := s.Delete(t.Context(), entryOf(a)); err != nil {
		t.Errorf("Delete: %v", err)
	}
	wantAbsent(t, s, a)
}

// calendar returns dumps over years, newest first.
func calendar() []dump.Identity {
	at := func(s string) time.Time {
		t, err := time.Parse("2006-01-02 15:04:05.000", s)
		if err != nil {
			panic(err)
		}
		return t
	}
	return []dump.Identity{
		newIdentity(at("2026-03-01 12:00:00.001"), "shop"),
		newIdentity(at("2026-03-01 12:00:00.000"), "till"),
		newIdentity(at("2026-03-01 00:00:00.000"), "shop"),
		newIdentity(at("2026-02-28 23:59:59.999"), "till"),
		newIdentity(at("2026-02-28 12:00:00.000"), "shop"),
		newIdentity(at("2026-01-31 12:00:00.000"), ""),
		newIdentity(at("2025-12-31 23:59:59.999"), "shop"),
		newIdentity(at("2025-02-01 12:00:00.000"), "shop"),
		newIdentity(at("2024-02-29 12:00:00.000"), "till"),
	}
}

// putShuffled stores dumps in an order that is neither that of time nor its
// reverse.
func putShuffled(t *testing.T, s sink.Sink, ids []dump.Identity) {
	t.Helper()
	for start := range 3 {
		for i := start; i < len(ids); i += 3 {
			put(t, s, ids[i], 10)
		}
	}
}

func testListOrder(t *testing.T, h Harness) {
	s := h.New(t)
	if got := list(t, s, sink.Query{}); len(got) != 0 {
		t.Errorf("List of an empty store: %v", got)
	}
	ids := calendar()
	putShuffled(t, s, ids)
	wantIDs(t, "List", list(t, s, sink.Query{}), ids...)

	// Two iterations of one List do not disturb each other.
	seq := s.List(t.Context(), sink.Query{})
	for outer, err := range seq {
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		n := 0
		for _, err := range seq {
			if err != nil {
				t.Fatalf("List in List: %v", err)
			}
			n++
		}
		if outer.ID != ids[0].ID || n != len(ids) {
			t.Errorf("List in List yields %d dumps, want %d", n, len(ids))
		}
		break
	}
}

func testListQueries(t *testing.T, h Harness) {
	s := h.New(t)
	ids := calendar()
	putShuffled(t, s, ids)
	day := time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC)
	zone := time.FixedZone("", -7*3600)
	for _, tc := range []struct {
		name string
		q    sink.Query
		want []int
	}{
		{"since is included", sink.Query{Since: ids[3].ID.Time()}, []int{0, 1, 2, 3}},
		{"since, a millisecond later", sink.Query{Since: ids[3].ID.Time().Add(time.Millisecond)}, []int{0, 1, 2}},
		{"since, inside the millisecond", sink.Query{Since: ids[3].ID.Time().Add(time.Microsecond)}, []int{0, 1, 2, 3}},
		{"until is not included", sink.Query{Until: ids[6].ID.Time()}, []int{7, 8}},
		{"until, a millisecond later", sink.Query{Until: ids[6].ID.Time().Add(time.Millisecond)}, []int{6, 7, 8}},
		{"one day", sink.Query{Since: day, Until: day.AddDate(0, 0, 1)}, []int{3, 4}},
		{"one day, in another zone", sink.Query{Since: day.In(zone), Until: day.AddDate(0, 0, 1).In(zone)}, []int{3, 4}},
		{"across a year", sink.Query{Since: ids[7].ID.Time(), Until: day}, []int{5, 6, 7}},
		{"empty span", sink.Query{Since: day, Until: day}, nil},
		{"the wrong way round", sink.Query{Since: day.AddDate(0, 0, 1), Until: day}, nil},
		{"the future", sink.Query{Since: now.AddDate(10, 0, 0)}, nil},
		{"before all clocks", sink.Query{Since: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), Service: "till"}, []int{1, 3, 8}},
		{"service", sink.Query{Service: "shop"}, []int{0, 2, 4, 6, 7}},
		{"unknown service", sink.Query{Service: sink.UnknownService}, []int{5}},
		{"a service that is none", sink.Query{Service: "sho"}, nil},
		{"service and since", sink.Query{Service: "shop", Since: ids[2].ID.Time()}, []int{0, 2}},
		{"service and since in the day", sink.Query{Service: "shop", Since: ids[2].ID.Time().Add(time.Millisecond)}, []int{0}},
		{"service and until in the day", sink.Query{Service: "shop", Until: ids[0].ID.Time()}, []int{2, 4, 6, 7}},
		{"service, since and until", sink.Query{Service: "shop", Since: ids[6].ID.Time(), Until: ids[2].ID.Time()}, []int{4, 6}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var want []dump.Identity
			for _, i := range tc.want {
				want = append(want, ids[i])
			}
			wantIDs(t, "List", list(t, s, tc.q), want...)
		})
	}
}

func testListStops(t *testing.T, h Harness) {
	s := h.New(t)
	ids := calendar()
	putShuffled(t, s, ids)
	for stop := 1; stop <= len(ids); stop++ {
		var got []sink.Entry
		for e, err := range s.List(t.Context(), sink.Query{}) {
			if err != nil {
				t.Fatalf("List: %v", err)
			}
			got = append(got, e)
			if len(got) == stop {
				break
			}
		}
		wantIDs(t, "List", got, ids[:stop]...)
	}
}

// serviceNames are names that a key cannot hold as they are, or that differ
// little.
var serviceNames = []string{
	"", "shop", "Shop", "shop/v2", "shop%2Fv2", "/", "//", ".", "..", "../../etc/passwd", "...", ".hidden", "dot.",
	"a b", "a+b", "a%b", "a\\b", "a:b", "unknown_service:checkout", "~", "*?", "'\"<&>", "tab\tnewline\n",
	"nul\x00byte", "\x01\x7f", "\xff\xfe", "café", "カート", "🛒",
	strings.Repeat("x", 5000), strings.Repeat("x", 5001), strings.Repeat("ü", 60), "con", "NUL",
}

func testServiceNames(t *testing.T, h Harness) {
	s := h.New(t)
	var ids []dump.Identity
	for i, name := range serviceNames {
		id := newIdentity(now.Add(-time.Duration(i)*time.Second), name)
		ids = append(ids, id)
		put(t, s, id, 10)
	}
	all := list(t, s, sink.Query{})
	wantIDs(t, "List", all, ids...)
	for i, e := range all {
		if want := sink.Service(serviceNames[i]); e.Service != want {
			t.Errorf("service %q is listed as %q, want %q", serviceNames[i], e.Service, want)
		}
	}
	for i, name := range serviceNames {
		if name == "" {
			name = sink.UnknownService
		}
		wantIDs(t, "List of service "+name, list(t, s, sink.Query{Service: name}), ids[i])
		if want := all[i].Service; want != name {
			wantIDs(t, "List of service "+want, list(t, s, sink.Query{Service: want}), ids[i])
		}
	}
	for _, e := range all {
		if err := s.Delete(t.Context(), e); err != nil {
			t.Errorf("Delete of service %q: %v", e.Service, err)
		}
	}
	if rest := list(t, s, sink.Query{}); len(rest) > 0 {
		t.Errorf("after Delete of all: %v", rest)
	}
	wantKeys(t, h, s)
}

func testForeign(t *testing.T, h Harness) {
	if h.Plant == nil {
		t.Skip("the harness has no Plant")
	}
	s := h.New(t)
	id, gone := newIdentity(now, "shop"), newIdentity(now, "shop")
	put(t, s, id, 10)
	traces, days := sink.TracePrefix(id.TraceID), sink.DayPrefix(now)
	planted := 0
	for _, key := range []string{
		"README",
		"v1/README",
		"v1/traces/README",
		"v1/traces/" + strings.ToUpper(id.TraceID.String()) + "x/" + gone.ID.String() + ".cdmp",
		traces + gone.ID.String(),
		traces + gone.ID.String() + ".cdmp.tmp",
		traces + strings.ReplaceAll(gone.ID.String(), "-", "") + ".cdmp",
		traces + "not-an-id.cdmp",
		traces + ".cdmp",
		traces + "deeper/" + gone.ID.String() + ".cdmp",
		traces + "control\x01character.cdmp",
		traces + "new\nline.cdmp",
		traces + "plus+space %41.cdmp",
		"v1/days/README",
		"v1/days/2026/README",
		"v1/days/2026/03/README",
		"v1/days/2026/13/01/shop/" + gone.ID.String() + "-" + gone.TraceID.String(),
		"v1/days/2026/02/30/shop/" + gone.ID.String() + "-" + gone.TraceID.String(),
		"v1/days/2026/03/02/shop/" + gone.ID.String() + "-" + gone.TraceID.String(), // another day than the ID's
		"v1/days/20260301/shop/" + gone.ID.String() + "-" + gone.TraceID.String(),
		days + "README",
		days + "shop/README",
		days + "shop/" + gone.ID.String(),
		days + "shop/" + gone.ID.String() + "-" + gone.TraceID.String() + ".old",
		days + "shop/deeper/" + gone.ID.String() + "-" + gone.TraceID.String(),
		days + ".hidden/" + gone.ID.String() + "-" + gone.TraceID.String(),
		days + "sh%6Fp/" + gone.ID.String() + "-" + gone.TraceID.String(), // not how "shop" is written
		days + "shop/new\nline\x02" + gone.ID.String(),
	} {
		if err := h.Plant(t, s, key, []byte("foreign")); err != nil {
			t.Logf("the store does not take the key %q: %v", key, err)
			continue
		}
		planted++
	}
	if planted == 0 {
		t.Error("the store has taken no foreign key")
	}
	wantIDs(t, "Trace", trace(t, s, id.TraceID), id)
	wantIDs(t, "List", list(t, s, sink.Query{}), id)
	wantIDs(t, "List of the service", list(t, s, sink.Query{Service: "shop"}), id)
	wantIDs(t, "Trace of none", trace(t, s, gone.TraceID))
	if err := s.Delete(t.Context(), entryOf(id)); err != nil {
		t.Errorf("Delete among foreign keys: %v", err)
	}
	wantAbsent(t, s, id)
	if h.Keys != nil {
		left := slices.DeleteFunc(h.Keys(t, s), func(key string) bool {
			_, err1 := sink.ParseTraceKey(key)
			_, err2 := sink.ParseDayKey(key)
			return err1 == nil || err2 == nil
		})
		if len(left) != planted {
			t.Errorf("%d foreign keys are left of %d: %q", len(left), planted, left)
		}
	}
}
