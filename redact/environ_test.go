package redact

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

func envEngine(tb testing.TB, env ...string) *Engine {
	tb.Helper()
	return newTestEngine(tb, func(c *Config) { c.Env = env })
}

func TestEnvironValues(t *testing.T) {
	tests := []struct {
		env  string
		in   string
		want string // with «» round what goes
	}{
		// Whole and as a part; case matters.
		{"VENDOR=blue-whale-77", "blue-whale-77", "«blue-whale-77»"},
		{"VENDOR=blue-whale-77", "xblue-whale-77x", "x«blue-whale-77»x"},
		{"VENDOR=blue-whale-77", "Blue-whale-77", "Blue-whale-77"},
		{"VENDOR=blue-whale-77", "blue-whale-7", "blue-whale-7"},
		{"VENDOR=blue-whale-77\n", "blue-whale-77", "«blue-whale-77»"},
		{"VENDOR=a=b=c=d=e=f", "a=b=c=d=e=f", "«a=b=c=d=e=f»"},
		{"VENDOR=\xff\xfe\x01\x02\x03\x04\x05\x06\x07", "x\xff\xfe\x01\x02\x03\x04\x05\x06\x07y", "x«\xff\xfe\x01\x02\x03\x04\x05\x06\x07»y"},
		// Length.
		{"VENDOR=whale-77", "whale-77", "whale-77"},
		{"VENDOR=whale-777", "whale-777", "«whale-777»"},
		{"VENDOR_PASSWORD=wh77", "wh77", "«wh77»"},
		{"VENDOR_PASSWORD=w77", "w77", "w77"},
		{"STRIPE_KEY=wh77", "wh77", "«wh77»"},
		// Short ones only where they stand alone.
		{"VENDOR_PASSWORD=wh77", "awh77 wh77b wh77.", "awh77 wh77b «wh77»."},
		// Common ones only as the whole.
		{"DB_PASSWORD=postgres", "postgres", "«postgres»"},
		{"DB_PASSWORD=postgres", "cannot reach postgres", "cannot reach postgres"},
		{"USER_PIN=1234", "1234", "«1234»"},
		{"USER_PIN=1234", "id 1234", "id 1234"},
		{"APP_MODE=production", "production", "production"},
		// Harmless names and values.
		{"PATH=/opt/whale/bin:/usr/bin", "/opt/whale/bin:/usr/bin", "/opt/whale/bin:/usr/bin"},
		{"LC_MONETARY=de_DE.UTF-8", "de_DE.UTF-8", "de_DE.UTF-8"},
		{"GOFLAGS=-mod=vendor", "-mod=vendor", "-mod=vendor"},
		{"COREDUMPY_CONFIG=blue-whale-77", "blue-whale-77", "blue-whale-77"},
		{"WHALE_SERVICE_HOST=blue-whale-77", "blue-whale-77", "blue-whale-77"},
		{"WHALE_LIMIT=1234567890", "1234567890", "1234567890"},
		{"WHALE_TIMEOUT=100000000ms", "100000000ms", "100000000ms"},
		{"WHALE_ADDR=10.20.30.40:8080", "10.20.30.40:8080", "10.20.30.40:8080"},
		{"WHALE_ADDR=localhost:8080", "localhost:8080", "localhost:8080"},
		{"WHALE_DIR=/srv/whale/data", "/srv/whale/data/x", "/srv/whale/data/x"},
		{"JAVA_HOME=/usr/lib/jvm/java-21-openjdk", "/usr/lib/jvm/java-21-openjdk", "/usr/lib/jvm/java-21-openjdk"},
		{"WHALE=/" + word(1, 39, alnum), "(" + "/" + word(1, 30, alnum) + ")", "(/" + word(1, 30, alnum) + ")"},
		{"GITHUB_REPOSITORY=acme/blue-whale", "acme/blue-whale", "acme/blue-whale"},
		{"GITHUB_TOKEN=blue-whale-77", "blue-whale-77", "«blue-whale-77»"},
		{"EMPTY=", "", ""},
		// What is inside of a value.
		{"WHALE_URL=postgres://bob:wh77@db/x", "wh77", "«wh77»"},
		{"WHALE_URL=postgres://bob:wh77@db/x", "bob@db", "bob@db"},
		{"OTEL_EXPORTER_OTLP_HEADERS=api-key=wh-77,x=y", "send wh-77!", "send «wh-77»!"},
	}
	for _, tt := range tests {
		e := envEngine(t, tt.env)
		out, found := apply(t, e, Text{Value: tt.in})
		for _, f := range found {
			if f.Rule != "environ" {
				t.Errorf("%q: %q: rule %s", tt.env, tt.in, f.Rule)
			}
			out = strings.Replace(out, Marker(f.Rule, f.End-f.Start), "«"+tt.in[f.Start:f.End]+"»", 1)
		}
		if out != tt.want {
			t.Errorf("%q: %q came out as %q, want %q", tt.env, tt.in, out, tt.want)
		}
	}
}

func TestEnvironSettings(t *testing.T) {
	const kv, value = "VENDOR=blue-whale-77", "blue-whale-77"
	for _, tt := range []struct {
		name   string
		change func(*Config)
		hidden bool
	}{
		{"default", func(*Config) {}, true},
		{"off", func(c *Config) { c.Environ = false }, false},
		{"disabled", func(c *Config) { c.Disable = []string{"environ"} }, false},
		{"only it", func(c *Config) { c.Secrets = false }, true},
		{"longer", func(c *Config) { c.EnvironMinLength = 14 }, false},
		{"just as long", func(c *Config) { c.EnvironMinLength = 13 }, true},
		{"allowed", func(c *Config) { c.EnvironAllow = []string{"VENDOR"} }, false},
		{"allowed by front", func(c *Config) { c.EnvironAllow = []string{"vend*"} }, false},
		{"allowed by end", func(c *Config) { c.EnvironAllow = []string{"*DOR"} }, false},
		{"allowed by middle", func(c *Config) { c.EnvironAllow = []string{"*ENDO*"} }, false},
		{"another allowed", func(c *Config) { c.EnvironAllow = []string{"VENDO", "ENDOR", "*VEND"} }, true},
		{"filter shows", func(c *Config) {
			c.EnvironFilter = func(n, v string, hide bool) bool { return n != "VENDOR" || v != value || !hide }
		}, false},
		{"filter panics", func(c *Config) { c.EnvironFilter = func(string, string, bool) bool { panic("x") } }, true},
		{"filter hides", func(c *Config) {
			c.EnvironAllow = []string{"VENDOR"}
			c.EnvironFilter = func(_, _ string, hide bool) bool { return !hide }
		}, true},
	} {
		e := newTestEngine(t, func(c *Config) { c.Env = []string{kv}; tt.change(c) })
		if _, found := apply(t, e, Text{Value: "x " + value}); (found != nil) != tt.hidden {
			t.Errorf("%s: found %v, want hidden %v", tt.name, found, tt.hidden)
		}
	}
}

func TestEnvironOfProcess(t *testing.T) {
	t.Setenv("REDACT_TEST_VENDOR", "blue-whale-77")
	e, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, found := e.Apply(Text{Value: os.Getenv("REDACT_TEST_VENDOR")}); rulesOf(found) != "environ" {
		t.Errorf("found %v", found)
	}
}

func TestRefreshEnviron(t *testing.T) {
	e := envEngine(t, "A_SETTING=first-value", "B_SETTING=other-value")
	check := func(text string, want bool) {
		t.Helper()
		if _, found := apply(t, e, Text{Value: text}); (found != nil) != want {
			t.Errorf("%q: found %v, want hidden %v", text, found, want)
		}
	}
	check("second-value", false)
	e.RefreshEnviron([]string{"A_SETTING=second-value", "=C:=C:\\x", "NOVALUE", ""})
	check("first-value", true) // popped, but a copy may be in memory
	check("second-value", true)
	check("other-value", true)
	m := e.m.Load()
	e.RefreshEnviron([]string{"A_SETTING=second-value", "=C:=C:\\x", "NOVALUE", ""})
	e.RefreshEnviron([]string{"B_SETTING=other-value"})
	if e.m.Load() != m {
		t.Error("the automaton was made again, though there is nothing new")
	}
	// A value that turns out to be a secret's.
	if _, found := apply(t, e, Text{Value: "/x/other-value", Site: SitePath}); found != nil {
		t.Errorf("found %v", found)
	}
	e.RefreshEnviron([]string{"B_TOKEN=other-value"})
	if _, found := apply(t, e, Text{Value: "/x/other-value", Site: SitePath}); found == nil {
		t.Error("the value of B_TOKEN is shown in a path")
	}
}

// An environment that keeps changing costs bounded memory, and what New saw
// stays hidden.
func TestEnvironBounded(t *testing.T) {
	e := envEngine(t, "A_SETTING=first-value")
	var env []string
	for round := range 9 {
		env = env[:0]
		for i := range maxNeedles / 4 {
			env = append(env, fmt.Sprintf("V%d=value-%d-of-round-%d", i, i, round))
		}
		e.RefreshEnviron(env)
	}
	if n := len(e.env.needles); n > maxNeedles || n != len(e.env.index) {
		t.Errorf("%d needles, %d in the index", n, len(e.env.index))
	}
	for _, s := range []string{"first-value", "value-7-of-round-0", "value-7-of-round-8", "value-1023-of-round-8"} {
		if _, found := e.Apply(Text{Value: s}); found == nil {
			t.Errorf("%s is not hidden", s)
		}
	}
	big := strings.Repeat("0123456789abcdef", 7<<10)
	for i := range 90 {
		e.RefreshEnviron([]string{fmt.Sprintf("BIG=%d%s", i, big)})
	}
	if e.env.bytes > maxNeedleBytes+maxNeedle {
		t.Errorf("%d bytes of values", e.env.bytes)
	}
}

func TestRefreshEnvironConcurrent(t *testing.T) {
	e := envEngine(t, "A_SETTING=first-value")
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := range 20 {
				e.RefreshEnviron([]string{fmt.Sprintf("A_SETTING=value-%d-%d", g, i)})
				if out, found := e.Apply(Text{Value: "the first-value"}); rulesOf(found) != "environ" {
					t.Errorf("got %q", out)
				}
				if out, found := e.Apply(Text{Value: fmt.Sprintf("value-%d-%d", g, i)}); rulesOf(found) != "environ" {
					t.Errorf("got %q", out)
				}
			}
		})
	}
	wg.Wait()
}

// Overlapping values are all found, also where one begins within another.
func TestEnvironOverlap(t *testing.T) {
	e := envEngine(t, "A=abcdefghijkl", "B=ghijklmnopqr", "C=mnopqrstuvwx", "D=hijklmnop")
	out, found := apply(t, e, Text{Value: "<abcdefghijklmnopqrstuvwx>"})
	if out != "<"+Marker("environ", 24)+">" {
		t.Errorf("got %q, %v", out, found)
	}
}
