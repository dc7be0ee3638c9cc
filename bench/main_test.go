package bench

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// again is set in the process that TestMain starts.
const again = "COREDUMPY_BENCH_AGAIN"

// TestMain runs the benchmarks in a binary with debug information. `go test`
// links without it unless it is to keep the binary, and a capture without it
// has nothing to do.
func TestMain(m *testing.M) {
	if os.Getenv(again) != "" || hasDebugInfo() {
		os.Exit(m.Run())
	}
	code, err := runAgain()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	os.Exit(code)
}

func hasDebugInfo() bool {
	exe, err := os.Executable()
	if err != nil {
		return false
	}
	f, err := elf.Open(exe)
	if err != nil {
		return true // not Linux: there is none to be had
	}
	defer f.Close()
	return f.Section(".debug_info") != nil
}

// runAgain links this test once more, to keep it, and runs that.
func runAgain() (int, error) {
	dir, err := os.MkdirTemp("", "coredumpy-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "bench.test")
	if out, err := exec.Command("go", "test", "-c", "-o", binary, ".").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	cmd := exec.Command(binary, os.Args[1:]...)
	cmd.Env = append(os.Environ(), again+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
