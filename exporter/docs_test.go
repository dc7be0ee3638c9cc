package exporter

import (
	"os"
	"strings"
	"testing"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDocumentedRules parses the rules that the manual shows.
func TestDocumentedRules(t *testing.T) {
	doc, n := readDoc(t, "storms.md"), 0
	for line := range strings.Lines(doc) {
		rule, ok := strings.CutPrefix(strings.TrimSpace(line), "- ")
		if !ok || !strings.HasPrefix(rule, "keep") && !strings.HasPrefix(rule, "drop") {
			continue
		}
		n++
		if r, err := ParseRule(rule); err != nil || r.String() != rule {
			t.Errorf("%s: %v, %v", rule, r, err)
		}
	}
	if n < 5 {
		t.Errorf("only %d rules found", n)
	}
	for _, key := range append([]string{"attr."}, ruleKeys...) {
		if !strings.Contains(doc, "`"+key) {
			t.Errorf("docs/storms.md does not tell of %s", key)
		}
	}
	for _, reason := range []string{SuppressedSimilar, SuppressedRate, SuppressedSampled, DropQueueFull, DropMemory, DropBusy} {
		if !strings.Contains(doc, reason) {
			t.Errorf("docs/storms.md does not tell of %s", reason)
		}
	}
}
