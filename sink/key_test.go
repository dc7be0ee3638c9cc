package sink_test

import (
	"strings"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func identity(t testing.TB, id, trace, service string) dump.Identity {
	t.Helper()
	parsed, err := dump.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	ident := dump.Identity{ID: parsed, Service: service}
	if trace != "" {
		if ident.TraceID, err = dump.ParseTraceID(trace); err != nil {
			t.Fatal(err)
		}
	}
	return ident
}

const (
	id1    = "0190163d-8694-739b-aea5-966c26f8ad91" // RFC 9562-like: 2024-06-14T09:26:20.564Z
	trace1 = "4bf92f3577b34da6a3ce929d0e0e4736"
	zeros  = "00000000000000000000000000000000"
)

func TestKeys(t *testing.T) {
	for _, tc := range []struct{ name, id, trace, service, traceKey, dayKey string }{
		{
			"plain", id1, trace1, "checkout",
			"v1/traces/" + trace1 + "/" + id1 + ".cdmp",
			"v1/days/2024/06/14/checkout/" + id1 + "-" + trace1,
		},
		{
			"no trace, no service", id1, "", "",
			"v1/traces/" + zeros + "/" + id1 + ".cdmp",
			"v1/days/2024/06/14/unknown_service/" + id1 + "-" + zeros,
		},
		{
			"the first millisecond", "00000000-0000-7000-8000-000000000000", trace1, "a/b",
			"v1/traces/" + trace1 + "/00000000-0000-7000-8000-000000000000.cdmp",
			"v1/days/1970/01/01/a%2Fb/00000000-0000-7000-8000-000000000000-" + trace1,
		},
		{
			"the last millisecond", "e677d21f-dbff-7000-8000-000000000000", trace1, "..",
			"v1/traces/" + trace1 + "/e677d21f-dbff-7000-8000-000000000000.cdmp",
			"v1/days/9999/12/31/%2E%2E/e677d21f-dbff-7000-8000-000000000000-" + trace1,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := identity(t, tc.id, tc.trace, tc.service)
			if err := sink.CheckIdentity(id); err != nil {
				t.Errorf("CheckIdentity: %v", err)
			}
			if got := sink.TraceKey(id); got != tc.traceKey {
				t.Errorf("TraceKey %q, want %q", got, tc.traceKey)
			}
			if got := sink.DayKey(id); got != tc.dayKey {
				t.Errorf("DayKey %q, want %q", got, tc.dayKey)
			}
			want := dump.Identity{ID: id.ID, TraceID: id.TraceID}
			if got, err := sink.ParseTraceKey(tc.traceKey); err != nil || got != want {
				t.Errorf("ParseTraceKey: %+v, %v; want %+v", got, err, want)
			}
			want.Service = sink.Service(tc.service)
			if got, err := sink.ParseDayKey(tc.dayKey); err != nil || got != want {
				t.Errorf("ParseDayKey: %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestDayPrefixIsUTC(t *testing.T) {
	west := time.FixedZone("", -8*3600)
	if got := sink.DayPrefix(time.Date(2026, 2, 28, 20, 0, 0, 0, west)); got != "v1/days/2026/03/01/" {
		t.Errorf("DayPrefix %q, want that of 1 March", got)
	}
}

func TestCheckIdentity(t *testing.T) {
	for _, id := range []string{
		"00000000-0000-0000-0000-000000000000",
		"0190163d-8694-439b-aea5-966c26f8ad91", // version 4
		"0190163d-8694-739b-2ea5-966c26f8ad91", // another variant
		"e677d21f-dc00-7000-8000-000000000000", // the year 10000
		"ffffffff-ffff-7fff-bfff-ffffffffffff",
	} {
		err := sink.CheckIdentity(identity(t, id, trace1, "checkout"))
		if err == nil || !sink.IsPermanent(err) {
			t.Errorf("%s: %v, want a permanent error", id, err)
		}
	}
	if err := sink.CheckIdentity(dump.Identity{ID: dump.NewID()}); err != nil {
		t.Errorf("a new ID: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	upperID, upperTrace := strings.ToUpper(id1), strings.ToUpper(trace1)
	for _, key := range []string{
		"", "/", "v1", "v1/traces", "v1/traces/", "v1/days/", "v1/traces//", "v1/days/////",
		// of the content
		"/v1/traces/" + trace1 + "/" + id1 + ".cdmp",
		"prefix/v1/traces/" + trace1 + "/" + id1 + ".cdmp",
		"v2/traces/" + trace1 + "/" + id1 + ".cdmp",
		"v1/traces/" + trace1 + "/" + id1,
		"v1/traces/" + trace1 + "/" + id1 + ".CDMP",
		"v1/traces/" + trace1 + "/" + id1 + ".cdmp ",
		"v1/traces/" + trace1 + "/" + id1 + ".cdmp/",
		"v1/traces/" + trace1 + "/" + id1 + ".cdmp.tmp",
		"v1/traces/" + trace1 + "/x/" + id1 + ".cdmp",
		"v1/traces/" + trace1 + "//" + id1 + ".cdmp",
		"v1/traces/" + trace1 + "/../" + id1 + ".cdmp",
		"v1/traces/" + trace1 + "/.cdmp",
		"v1/traces/" + upperTrace + "/" + id1 + ".cdmp",
		"v1/traces/" + trace1 + "/" + upperID + ".cdmp",
		"v1/traces/" + trace1[1:] + "/" + id1 + ".cdmp",
		"v1/traces/" + trace1[:31] + "g/" + id1 + ".cdmp",
		"v1/traces/" + trace1 + "/" + strings.ReplaceAll(id1, "-", "") + ".cdmp",
		"v1/traces/" + trace1 + "/{" + id1[1:35] + "}.cdmp",
		"v1/traces/" + trace1 + "/0190163d-8694-439b-aea5-966c26f8ad91.cdmp",
		"v1/traces/" + trace1 + "/ffffffff-ffff-7fff-bfff-ffffffffffff.cdmp",
		// of the marker
		"v1/days/2024/06/15/checkout/" + id1 + "-" + trace1, // another day than the ID's
		"v1/days/2024/6/14/checkout/" + id1 + "-" + trace1,
		"v1/days/2024/06/14/" + id1 + "-" + trace1,
		"v1/days/2024/06/14//" + id1 + "-" + trace1,
		"v1/days/2024/06/14/../" + id1 + "-" + trace1,
		"v1/days/2024/06/14/a/b/" + id1 + "-" + trace1,
		"v1/days/2024/06/14/a b/" + id1 + "-" + trace1,
		"v1/days/2024/06/14/a%2fb/" + id1 + "-" + trace1, // lower case
		"v1/days/2024/06/14/%61/" + id1 + "-" + trace1,   // needs no escape
		"v1/days/2024/06/14/a%2/" + id1 + "-" + trace1,
		"v1/days/2024/06/14/a%/" + id1 + "-" + trace1,
		"v1/days/2024/06/14/a%zz/" + id1 + "-" + trace1,
		"v1/days/2024/06/14/.a/" + id1 + "-" + trace1,
		"v1/days/2024/06/14/" + strings.Repeat("a", 129) + "/" + id1 + "-" + trace1,
		"v1/days/2024/06/14/checkout/" + id1 + "_" + trace1,
		"v1/days/2024/06/14/checkout/" + id1 + trace1,
		"v1/days/2024/06/14/checkout/" + upperID + "-" + trace1,
		"v1/days/2024/06/14/checkout/" + id1 + "-" + upperTrace,
		"v1/days/2024/06/14/checkout/" + id1 + "-" + trace1 + ".cdmp",
		"v1/days/2024/06/14/checkout/" + id1 + "-" + trace1 + "/",
	} {
		if id, err := sink.ParseTraceKey(key); err == nil {
			t.Errorf("ParseTraceKey(%q) = %+v", key, id)
		}
		if id, err := sink.ParseDayKey(key); err == nil {
			t.Errorf("ParseDayKey(%q) = %+v", key, id)
		}
	}
}

func TestService(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, tc := range []struct{ name, segment string }{
		{"", "unknown_service"},
		{"checkout", "checkout"},
		{"Checkout-1_2~3.4", "Checkout-1_2~3.4"},
		{"unknown_service:main", "unknown_service%3Amain"},
		{"a/b", "a%2Fb"},
		{"a%2Fb", "a%252Fb"},
		{".", "%2E"},
		{"..", "%2E%2E"},
		{"../..", "%2E.%2F.%2E"},
		{".a.", "%2Ea%2E"},
		{"\x00\n\xff", "%00%0A%FF"},
		{"é", "%C3%A9"},
		{long[:128], long[:128]},
		{long[:129], long[:111] + "~0ec9eb33e74510bc"},
		{long, long[:111] + "~44f8354494a5ba03"},
	} {
		if got := sink.EscapeService(tc.name); got != tc.segment {
			t.Errorf("EscapeService(%q) = %q, want %q", tc.name, got, tc.segment)
		}
		checkService(t, tc.name)
	}
	if sink.Service(long) == sink.Service(long[:999]) {
		t.Error("two long names are stored as one")
	}
	// A name is cut between characters: 3 bytes each, 9 escaped.
	cut := sink.Service(strings.Repeat("カ", 100))
	if head, _, _ := strings.Cut(cut, "~"); head != strings.Repeat("カ", 12) {
		t.Errorf("cut name %q", cut)
	}
}

func checkService(t *testing.T, name string) {
	segment := sink.EscapeService(name)
	if segment == "" || len(segment) > sink.MaxServiceSegment || strings.Trim(segment, ".") != segment {
		t.Fatalf("EscapeService(%q) = %q", name, segment)
	}
	for _, c := range []byte(segment) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`/\:*?"<>|`, c) >= 0 {
			t.Fatalf("EscapeService(%q) = %q has the byte %q", name, segment, c)
		}
	}
	back, err := sink.ParseService(segment)
	if err != nil || back != sink.Service(name) {
		t.Fatalf("ParseService(%q) = %q, %v, want %q", segment, back, err, sink.Service(name))
	}
	if again := sink.Service(back); again != back {
		t.Fatalf("Service(%q) = %q, want the same", back, again)
	}
	if 0 < len(name) && len(name) <= sink.MaxServiceSegment/3 && back != name {
		t.Fatalf("Service(%q) = %q, want the same", name, back)
	}
}

func FuzzService(f *testing.F) {
	for _, name := range []string{"", "checkout", "a/b", "..", ".a.", "%", strings.Repeat("ü", 70), strings.Repeat(".", 500)} {
		f.Add(name)
	}
	f.Fuzz(checkService)
}

// FuzzParseKey checks that a key that is read at all is one that is written,
// letter by letter.
func FuzzParseKey(f *testing.F) {
	for _, service := range []string{"", "checkout", "a/b", "..", strings.Repeat("x", 200)} {
		id := identity(f, id1, trace1, service)
		f.Add(sink.TraceKey(id))
		f.Add(sink.DayKey(id))
		id.TraceID = dump.TraceID{}
		f.Add(sink.TraceKey(id))
		f.Add(sink.DayKey(id))
	}
	f.Add("v1/days/2024/06/14/a%2/" + id1 + "-" + trace1)
	f.Add("v1/traces/../../etc/passwd")
	f.Add("")
	f.Fuzz(func(t *testing.T, key string) {
		if id, err := sink.ParseTraceKey(key); err == nil {
			if again := sink.TraceKey(id); again != key {
				t.Fatalf("ParseTraceKey(%q) = %+v, which has the key %q", key, id, again)
			}
			if err := sink.CheckIdentity(id); err != nil {
				t.Fatalf("ParseTraceKey(%q): %v", key, err)
			}
		}
		if id, err := sink.ParseDayKey(key); err == nil {
			if again := sink.DayKey(id); again != key {
				t.Fatalf("ParseDayKey(%q) = %+v, which has the key %q", key, id, again)
			}
			if len(key) > sink.MaxKey {
				t.Fatalf("ParseDayKey takes a key of %d bytes", len(key))
			}
			checkService(t, id.Service)
		}
	})
}
