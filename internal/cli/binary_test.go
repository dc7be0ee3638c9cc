package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
)

// buildProgram builds a small Go program with the given flags.
func buildProgram(t *testing.T, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.com/small\n\ngo 1.26\n",
		"main.go": "package main\n\nfunc main() { println(1) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "small")
	cmd := exec.Command("go", slices.Concat([]string{"build", "-o", out}, flags, []string{"."})...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

func checkNamed(t *testing.T, checks []check, name string) check {
	t.Helper()
	i := slices.IndexFunc(checks, func(c check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no check %q in %v", name, checks)
	}
	return checks[i]
}

// TestBinary checks what doctor says of programs built with different flags.
func TestBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	for _, tt := range []struct {
		flags      []string
		status     string
		text, hint string
	}{
		{nil, statusOK, "is there: dumps have arguments and locals", ""},
		{[]string{"-gcflags=all=-N -l"}, statusOK, "not optimised", ""},
		{[]string{"-ldflags=-w"}, statusWarn, "no arguments and locals", `it was built with -ldflags="-w"`},
		{[]string{"-ldflags=-s -w"}, statusWarn, "has no debug info", "-ldflags=\"-s -w\""},
	} {
		t.Run(strings.Join(tt.flags, " "), func(t *testing.T) {
			checks := checkBinary(buildProgram(t, tt.flags...), capture.DebugInfo{CacheDir: capture.CacheOff})
			got := checkNamed(t, checks, "debug info")
			if got.Status != tt.status || !strings.Contains(got.Text, tt.text) || !strings.Contains(got.Hint, tt.hint) {
				t.Errorf("got %+v", got)
			}
			if c := checkNamed(t, checks, "otelcoredumpy"); c.Status != statusFail || c.Text != "is not built in" {
				t.Errorf("got %+v", c)
			}
			if c := checkNamed(t, checks, "binary"); c.Status != statusOK || !strings.Contains(c.Text, "linux/amd64, example.com/small") {
				t.Errorf("got %+v", c)
			}
		})
	}
}

// TestTrimmedBinary checks that -trimpath is warned of.
func TestTrimmedBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	c := checkNamed(t, checkBinary(buildProgram(t, "-trimpath"), capture.DebugInfo{CacheDir: capture.CacheOff}), "source")
	if c.Status != statusWarn || !strings.Contains(c.Text, "-trimpath") {
		t.Errorf("got %+v", c)
	}
}

// TestSeparateDebugFile checks that the debug info of a stripped program is found in a file of its own,
// and that what does not fit is named.
func TestSeparateDebugFile(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	whole, other := buildProgram(t), buildProgram(t, "-gcflags=-N")
	stripped := filepath.Join(t.TempDir(), "stripped")
	if out, err := exec.Command("strip", "-o", stripped, whole).CombinedOutput(); err != nil {
		t.Fatalf("strip, of binutils: %v\n%s", err, out)
	}
	off := capture.DebugInfo{CacheDir: capture.CacheOff}
	if c := checkNamed(t, checkBinary(stripped, off), "debug info"); c.Status != statusWarn {
		t.Errorf("without the file: %+v", c)
	}
	off.Paths = []string{other}
	checks := checkBinary(stripped, off)
	if c := checkNamed(t, checks, "debug info"); c.Status != statusWarn || !strings.Contains(c.Text, other+" is of another build") {
		t.Errorf("with that of another build: %+v", c)
	}
	if !slices.ContainsFunc(checks, func(c check) bool {
		return strings.HasPrefix(c.Text, "/usr/lib/debug/.build-id/") && strings.HasSuffix(c.Text, "is not there")
	}) {
		t.Errorf("it does not say where it has looked: %+v", checks)
	}
	off.Paths = []string{whole}
	checks = checkBinary(stripped, off)
	if c := checkNamed(t, checks, "debug info"); c.Status != statusOK || !strings.HasPrefix(c.Text, "is in "+whole) {
		t.Errorf("with the file: %+v", c)
	}
	if c := checks[len(checks)-1]; !strings.Contains(c.Text, "DWARF 5") || !strings.Contains(c.Text, "compressed (zlib)") {
		t.Errorf("what kind it is: %+v", c)
	}
}

// TestCacheCheck checks what doctor says of the cache of debug info.
func TestCacheCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	cfg := capture.DebugInfo{CacheDir: dir}
	if c := checkCache(cfg); c.Status != statusOK || !strings.Contains(c.Text, "is not there yet") {
		t.Errorf("before the first start: %+v", c)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if c := checkCache(cfg); c.Status != statusOK || !strings.Contains(c.Text, "0 programs") {
		t.Errorf("empty: %+v", c)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if c := checkCache(cfg); runtime.GOOS == "linux" && (c.Status != statusWarn || !strings.Contains(c.Text, "can be written by others")) {
		t.Errorf("open to all: %+v", c)
	}
	cfg.CacheDir = capture.CacheOff
	if c := checkCache(cfg); c.Status != statusOK || !strings.Contains(c.Text, "there is none") {
		t.Errorf("off: %+v", c)
	}
}
