package capture_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// targetArch is the architecture that the target programs are built for; COREDUMPY_ARCH
// sets it, and they run under qemu-user then ("make test-arm64").
var targetArch = os.Getenv("COREDUMPY_ARCH")

// goBuild compiles a package to bin.
func goBuild(t *testing.T, bin, pkg string, flags ...string) {
	t.Helper()
	args := append(append([]string{"build"}, flags...), "-o", bin, pkg)
	cmd := exec.Command("go", args...)
	if targetArch != "" {
		cmd.Env = append(os.Environ(), "GOARCH="+targetArch, "CGO_ENABLED=0")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// targetCommand is a command that runs a target program.
func targetCommand(bin string, args ...string) *exec.Cmd {
	switch targetArch {
	case "":
		return exec.Command(bin, args...)
	case "arm64":
		return exec.Command("qemu-aarch64-static", append([]string{bin}, args...)...)
	}
	panic("there is no emulator for " + targetArch)
}

// needsCgo reports whether a build needs a C compiler for the target's architecture.
func needsCgo(flags []string) bool {
	return targetArch != "" && strings.Contains(strings.Join(flags, " "), "-race")
}
