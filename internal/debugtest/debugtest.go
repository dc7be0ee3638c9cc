// Package debugtest runs a package's tests in a binary that has debug info.
//
// go test, like go run, links without it unless it is told to keep the binary, and
// then there are no variables to read. A package whose tests capture in their own
// process calls [Main] from its TestMain.
package debugtest

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Main runs the tests of m, in this process if it has debug info, else in one that
// was built again with it. It does not return.
//
// Debug info that the tests unpack goes into a cache of their own (XDG_CACHE_HOME).
func Main(m *testing.M) {
	cache, err := os.MkdirTemp("", "debugtest")
	if err == nil {
		err = os.Setenv("XDG_CACHE_HOME", cache)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "debugtest:", err)
		os.Exit(2)
	}
	code := run(m)
	os.RemoveAll(cache)
	os.Exit(code)
}

func run(m *testing.M) int {
	if runtime.GOOS != "linux" || has() {
		return m.Run()
	}
	code, err := again()
	if err != nil {
		fmt.Fprintln(os.Stderr, "debugtest: building the tests with debug info:", err)
		return 2
	}
	return code
}

// has reports whether the running program has debug info.
func has() bool {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return false
	}
	defer f.Close()
	return f.Section(".debug_info") != nil
}

func again() (int, error) {
	dir, err := os.MkdirTemp("", "debugtest")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "test")
	args := []string{"test", "-c", "-o", bin}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, ".")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return 0, err
	}
	if f, err := elf.Open(bin); err != nil {
		return 0, err
	} else if f.Section(".debug_info") == nil {
		f.Close()
		return 0, errors.New("go test -c left it out, too")
	} else {
		f.Close()
	}
	run := exec.Command(bin, os.Args[1:]...)
	run.Stdin, run.Stdout, run.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = run.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() < 0 {
			return 0, err
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}
