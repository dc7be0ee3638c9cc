package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// repoRoot is the folder of the module.
func repoRoot() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// place is a line of a file in the module.
type place struct {
	file string // relative to the module, with slashes
	line int
}

var failComment = regexp.MustCompile(`// FAIL: ([a-z-]+)`)

// shopSource has the lines of each of the shop's files.
var shopSource = sync.OnceValues(func() (map[string][]string, error) {
	files := make(map[string][]string)
	root := repoRoot()
	err := filepath.WalkDir(filepath.Join(root, "examples", "checkout", "shop"), func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		files[filepath.ToSlash(rel)] = strings.Split(string(text), "\n")
		return err
	})
	return files, err
})

// failPlaces returns the lines with the FAIL comment of that name.
func failPlaces(t *testing.T, name string) []place {
	return findPlaces(t, "FAIL: "+name, func(line string) bool {
		m := failComment.FindStringSubmatch(line)
		return m != nil && m[1] == name
	})
}

// textPlaces returns the lines that contain the text.
func textPlaces(t *testing.T, text string) []place {
	return findPlaces(t, text, func(line string) bool { return strings.Contains(line, text) })
}

func findPlaces(t *testing.T, what string, is func(string) bool) []place {
	t.Helper()
	files, err := shopSource()
	if err != nil {
		t.Fatal(err)
	}
	var found []place
	for file, lines := range files {
		for i, line := range lines {
			if is(line) {
				found = append(found, place{file: file, line: i + 1})
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no line of the shop has %q", what)
	}
	return found
}
