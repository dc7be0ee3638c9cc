package cli

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func TestParseStored(t *testing.T) {
	id := fixtureID(40, 1)
	trace := mustTrace(traceA)
	key := sink.TraceKey(dump.Identity{ID: id, TraceID: trace})
	whole := dump.Identity{ID: id, TraceID: trace}
	bare := dump.Identity{ID: id}
	for _, tt := range []struct {
		in   string
		want address
	}{
		{traceA, address{kind: addrTrace, trace: trace}},
		{"00-" + traceA + "-00f067aa0ba902b7-01", address{kind: addrTrace, trace: trace}},
		{"https://h/trace/" + traceA, address{kind: addrTrace, trace: trace}},
		{id.String(), address{kind: addrDump, id: bare}},
		{" '" + strings.ToUpper(id.String()) + "',", address{kind: addrDump, id: bare}},
		{"coredumpy.dump.id=" + id.String(), address{kind: addrDump, id: bare}},
		{`coredumpy.dump.id: "` + id.String() + `"`, address{kind: addrDump, id: bare}},
		{"dump_id=" + id.String(), address{kind: addrDump, id: bare}},
		{"https://dumps.example.com/d/" + id.String(), address{kind: addrDump, id: bare}},
		{"https://dumps.example.com/" + traceA + "/" + id.String() + "?x=" + id.String(), address{kind: addrDump, id: bare}},
		{"s3://b/" + key, address{kind: addrStored, id: whole, base: "s3://b"}},
		{"S3://b/" + key, address{kind: addrStored, id: whole, base: "s3://b"}},
		{"s3://b/p/q/" + key, address{kind: addrStored, id: whole, base: "s3://b/p/q"}},
		{"s3://b/a b+%41?x#y/" + key, address{kind: addrStored, id: whole, base: "s3://b/a b+%41?x#y"}},
		{"s3://b/v1/traces/v1/traces/" + key, address{kind: addrStored, id: whole, base: "s3://b/v1/traces/v1/traces"}},
		{"s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/dumps/" + key, address{kind: addrStored, id: whole, base: "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/dumps"}},
		{"s3://b/" + key + "?endpoint=http://127.0.0.1:9000&path_style=true", address{kind: addrStored, id: whole, base: "s3://b", query: "endpoint=http://127.0.0.1:9000&path_style=true"}},
		{"coredumpy.dump.uri=s3://b/" + key, address{kind: addrStored, id: whole, base: "s3://b"}},
		{"file:///var/dumps/" + key, address{kind: addrFile, path: filepath.FromSlash("/var/dumps/" + key), id: whole}},
		{"file:///tmp/a%20b.cdmp", address{kind: addrFile, path: filepath.FromSlash("/tmp/a b.cdmp")}},
		{"file://localhost/tmp/a.cdmp", address{kind: addrFile, path: filepath.FromSlash("/tmp/a.cdmp")}},
		{"file:/tmp/a.cdmp", address{kind: addrFile, path: filepath.FromSlash("/tmp/a.cdmp")}},
		{"file:///C:/a.cdmp", address{kind: addrFile, path: filepath.FromSlash("C:/a.cdmp")}},
	} {
		got, err := parseStored(tt.in)
		got.arg = ""
		if err != nil || got != tt.want {
			t.Errorf("parseStored(%q) = %+v, %v, want %+v", tt.in, got, err, tt.want)
		}
	}
	for _, bad := range []string{
		"", "-", "a.cdmp", "./a.cdmp", id.String()[1:], "s3://", "s3://b", "s3://b/k", "s3://b/" + traceA, "s3:///" + key, "s3:/" + key,
		"s3://b/" + key + "x", "s3://b/" + strings.ToUpper(key), "s3://b/v1/traces/../" + id.String() + ".cdmp",
		"s3://b/v1/traces/" + traceA + "/../" + id.String() + ".cdmp", "tape://b/" + key, "file://host/x", "file:///", "file://", "file:///a\x00b",
		"https://h/d/x", "C:/x", "01a2066a-eb00-4000-8000-000000000001", "https://h/" + id.String() + "/" + fixtureID(1, 1).String(),
	} {
		if got, err := parseStored(bad); codeOf(err) != exitUsage {
			if bad == "file:///" && err == nil {
				continue // the root folder, which is no dump
			}
			t.Errorf("parseStored(%q) = %+v, %v", bad, got, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("s3://b/p/v1/traces/" + traceA + "/" + fixtureID(1, 1).String() + ".cdmp?region=x")
	f.Add("file:///a%41/" + traceA)
	f.Add("https://h/" + fixtureID(1, 1).String())
	f.Add("coredumpy.dump.id = " + fixtureID(1, 1).String())
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseStored(s)
		if err != nil {
			if codeOf(err) != exitUsage {
				t.Errorf("%q: %v is no usage error", s, err)
			}
			return
		}
		switch a.kind {
		case addrStored:
			if sink.CheckIdentity(a.id) != nil || !strings.Contains(strings.ToLower(s), strings.ToLower(a.uri())) {
				t.Errorf("%q: %q does not stand there", s, a.uri())
			}
		case addrDump:
			if sink.CheckIdentity(a.id) != nil || !strings.Contains(strings.ToLower(s+unescaped(s)), a.id.ID.String()) {
				t.Errorf("%q: %s does not stand there", s, a.id.ID)
			}
		case addrTrace:
			if a.trace.IsZero() {
				t.Errorf("%q: the zero trace", s)
			}
		case addrFile:
			if a.path == "" {
				t.Errorf("%q: no path", s)
			}
		default:
			t.Errorf("%q: kind %d", s, a.kind)
		}
	})
}

// TestPathGoesFirst checks that what exists as a file is the file, whatever else
// its name looks like.
func TestPathGoesFirst(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{traceA, fixtureID(40, 1).String(), "coredumpy.dump.id=x", "-x"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := parseAddress(name); err != nil || a.kind != addrFile || a.path != name {
			t.Errorf("parseAddress(%q) = %+v, %v", name, a, err)
		}
	}
	for name, kind := range map[string]addressKind{
		"-": addrStdin, "nosuch.cdmp": addrFile, traceB: addrTrace, fixtureID(1, 1).String(): addrDump, "a:b/c": addrFile, "xyz": addrFile,
	} {
		if a, err := parseAddress(name); err != nil || a.kind != kind {
			t.Errorf("parseAddress(%q) = %+v, %v, want kind %d", name, a, err, kind)
		}
	}
}

// unescaped is a query as text.
func unescaped(s string) string {
	plain, err := url.QueryUnescape(strings.ToLower(s))
	if err != nil {
		return ""
	}
	return plain
}
