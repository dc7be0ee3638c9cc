//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// answers are the lines of the log that say how the shop answered.
func answers(stderr string) []string {
	var list []string
	for l := range strings.Lines(stderr) {
		if _, answer, ok := strings.Cut(l, "msg=answer "); ok && !strings.HasPrefix(l, " ") {
			list = append(list, strings.TrimSpace(answer))
		}
	}
	return list
}

var warnings = regexp.MustCompile(`(?m)^time=.* level=(?:WARN|ERROR) .*$`)

// TestBadStore checks that a store which cannot be written changes nothing for
// whoever sent the request: the answers are the same as with a good one, and
// the log has one line about it.
func TestBadStore(t *testing.T) {
	checkout := buildCheckout(t, variantNamed(t, "default"))
	good := execute(t, runOptions{}, checkout, "-v", "-dir", t.TempDir())
	if good.exit != 0 {
		t.Fatalf("exit code %d with a good store:\n%s", good.exit, good.stderr)
	}
	want := answers(good.stderr)
	if len(want) < 12 {
		t.Fatalf("only %d answers in the log:\n%s", len(want), good.stderr)
	}
	stores := map[string]func(t *testing.T) (string, func(*exec.Cmd)){
		"full disk": func(t *testing.T) (string, func(*exec.Cmd)) { return fullDisk(t), nil },
		"unwritable folder": func(t *testing.T) (string, func(*exec.Cmd)) {
			dir := filepath.Join(t.TempDir(), "dumps")
			if err := os.Mkdir(dir, 0o555); err != nil {
				t.Fatal(err)
			}
			return dir, asNobody(t, dir)
		},
		"file in the way": func(t *testing.T) (string, func(*exec.Cmd)) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "v1"), []byte("not a folder"), 0o600); err != nil {
				t.Fatal(err)
			}
			return dir, nil
		},
	}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			dir, prep := store(t)
			got := execute(t, runOptions{prep: prep}, checkout, "-v", "-dir", dir)
			if have := answers(got.stderr); !slices.Equal(have, want) {
				t.Errorf("answers:\n\t%s\nwant:\n\t%s", strings.Join(have, "\n\t"), strings.Join(want, "\n\t"))
			}
			if lines, _ := parseLines(got.stdout); len(lines) > 0 {
				t.Errorf("%d dumps were stored, want none: %v", len(lines), lines)
			}
			if got.exit != 1 {
				t.Errorf("exit code %d, want 1", got.exit)
			}
			// One line a minute says it; not one for each dump.
			if warned := warnings.FindAllString(got.stderr, -1); len(warned) != 1 {
				t.Errorf("%d warnings in the log, want 1:\n%s", len(warned), strings.Join(warned, "\n"))
			}
			filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".cdmp") {
					t.Errorf("%s was left behind", path)
				}
				return nil
			})
		})
	}
}

// fullDisk returns a folder on a disk with no room.
func fullDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=4k"); err != nil {
		t.Skipf("no permission to mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// asNobody makes a command run as a user who may not write the folder.
func asNobody(t *testing.T, dir string) func(*exec.Cmd) {
	if os.Getuid() != 0 {
		return nil
	}
	// The temporary folders of tests are only for their owner.
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return func(cmd *exec.Cmd) {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
}
