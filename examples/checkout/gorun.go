package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// underGoRun builds the program again with go build, if it was started by go run,
// and runs that instead: go run links without debug info (so does go test), and
// without it a dump has no variables. A service that is built with go build needs
// nothing of this. done says that the other one has run; code is its exit status.
func underGoRun(args []string) (code int, done bool) {
	exe, err := os.Executable()
	if err != nil || filepath.Base(filepath.Dir(exe)) != "exe" || !strings.Contains(exe, "go-build") || hasDebugInfo(exe) {
		return 0, false
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return 0, false
	}
	dir, err := os.MkdirTemp("", "checkout")
	if err != nil {
		return 0, false
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "checkout")
	build := []string{"build", "-o", bin}
	for _, s := range info.Settings {
		// What the user told go run is told go build.
		if slices.Contains([]string{"-race", "-tags", "-gcflags", "-ldflags", "-asmflags", "-trimpath", "-buildmode"}, s.Key) {
			build = append(build, s.Key+"="+s.Value)
		}
	}
	cmd := exec.Command("go", append(build, info.Path)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "checkout: go run leaves out the debug info, and building with go build failed, so the dumps will have no variables: %v\n%s", err, out)
		return 0, false
	}
	run := exec.Command(bin, args...)
	run.Stdin, run.Stdout, run.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = run.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), true
	case err != nil:
		fmt.Fprintln(os.Stderr, "checkout:", err)
		return 1, true
	}
	return 0, true
}

func hasDebugInfo(exe string) bool {
	f, err := elf.Open(exe)
	if err != nil {
		return true // not ELF: there is nothing to be won by building again
	}
	defer f.Close()
	return f.Section(".debug_info") != nil || f.Section(".zdebug_info") != nil
}
