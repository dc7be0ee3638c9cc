package local

import (
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func TestOpenURL(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"file:dumps":        filepath.Join(here, "dumps"),
		"file:./dumps/x":    filepath.Join(here, "dumps", "x"),
		"file:../dumps":     filepath.Join(filepath.Dir(here), "dumps"),
		"file:a%20b%23%3Fc": filepath.Join(here, "a b#?c"),
	}
	if runtime.GOOS == "windows" {
		want["file:///C:/dumps"] = `C:\dumps`
	} else {
		for raw, dir := range map[string]string{
			"file:///var/lib/dumps":          "/var/lib/dumps",
			"file:/var/lib/dumps/":           "/var/lib/dumps",
			"file://localhost/var/lib/dumps": "/var/lib/dumps",
			"file:///a%20b/c+d%25":           "/a b/c+d%",
			"file:///C:/dumps":               "/C:/dumps",
		} {
			want[raw] = dir
		}
	}
	for raw, dir := range want {
		s, err := sink.Open(t.Context(), raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
		} else if got := s.(*Sink).Dir(); got != dir {
			t.Errorf("%s is the folder %q, want %q", raw, got, dir)
		}
	}
}

func TestOpenURLErrors(t *testing.T) {
	for raw, want := range map[string]string{
		"file:":                       "names no folder",
		"file://":                     "names no folder",
		"file://dumps":                `names the host "dumps": want file:///absolute/path`,
		"file://server/dumps":         `names the host "server"`,
		"file:///dumps?mode=hunter2":  `unknown parameter "mode"`,
		"file:dumps?a=1&b=hunter2&a=": `unknown parameter "a, b"`,
		"file:///dumps#x":             `has a "#" in it`,
		"file:a%zz":                   "want %XX behind a %",
		"file:a%00b":                  "zero byte",
		"file://me:hunter2@host/x":    "user or password",
	} {
		s, err := sink.Open(t.Context(), raw)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q in it", raw, err, want)
		}
		if s != nil {
			t.Errorf("%s: %T with the error", raw, s)
		}
	}
	if _, err := OpenURL(&url.URL{Scheme: "s3", Host: "b"}); err == nil {
		t.Error("another scheme: no error")
	}
}

// TestURIOpens checks that the address that a Sink gives its dumps leads back
// to the folder.
func TestURIOpens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b#?%ü")
	raw := (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
	if runtime.GOOS == "windows" {
		raw = "file:///" + strings.TrimPrefix(raw, "file:")
	}
	s, err := sink.Open(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.(*Sink).Dir(); got != dir {
		t.Errorf("%s is the folder %q, want %q", raw, got, dir)
	}
}
