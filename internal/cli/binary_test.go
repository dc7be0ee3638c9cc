package cli

import (
	"debug/elf"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
		{[]string{"-ldflags=-w"}, statusWarn, "no arguments and locals", `build without -ldflags=-w or -s, and do not strip the binary; it was built with -ldflags="-w"`},
		{[]string{"-ldflags=-s -w"}, statusWarn, "is missing", "-ldflags=\"-s -w\""},
	} {
		t.Run(strings.Join(tt.flags, " "), func(t *testing.T) {
			checks := checkBinary(buildProgram(t, tt.flags...))
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
	c := checkNamed(t, checkBinary(buildProgram(t, "-trimpath")), "source")
	if c.Status != statusWarn || !strings.Contains(c.Text, "-trimpath") {
		t.Errorf("got %+v", c)
	}
}

// TestSeparateDebugFile checks that a debug file that lies where distributions
// put it counts as debug information.
func TestSeparateDebugFile(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	const id = "00112233445566778899aabbccddeeff00112233"
	stripped := buildProgram(t, "-ldflags=-s -w -B 0x"+id)
	whole := buildProgram(t, "-ldflags=-B 0x"+id)
	f, err := elf.Open(stripped)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := hex.EncodeToString(gnuBuildID(f)); got != id {
		t.Fatalf("build ID %s, want %s", got, id)
	}

	root := t.TempDir()
	old := debugRoots
	debugRoots = []string{root}
	defer func() { debugRoots = old }()
	if c := checkNamed(t, checkBinary(stripped), "debug info"); c.Status != statusWarn {
		t.Errorf("without the file: %+v", c)
	}
	if err := os.Mkdir(filepath.Join(root, id[:2]), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, id[:2], id[2:]+".debug")
	if err := os.Rename(whole, path); err != nil {
		t.Fatal(err)
	}
	if c := checkNamed(t, checkBinary(stripped), "debug info"); c.Status != statusOK || c.Text != "is in "+path {
		t.Errorf("with the file: %+v", c)
	}
}
