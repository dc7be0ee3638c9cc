package repl

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	manual      = "../../docs/load.md"
	manualBegin = "<!-- begin commands: written by go test ./internal/repl -run TestManual -update -->\n"
	manualEnd   = "<!-- end commands -->\n"
)

// TestManual checks that the manual's reference of commands says what help says.
func TestManual(t *testing.T) {
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), manualBegin)
	got, after, ok2 := strings.Cut(rest, manualEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the commands", manual)
	}
	want := reference()
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not what help says; write it anew with -update", manual)
	}
	if err := os.WriteFile(manual, []byte(before+manualBegin+want+manualEnd+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reference is the part of the manual that is made from the table of commands.
func reference() string {
	var b strings.Builder
	for g := range groupLive {
		fmt.Fprintf(&b, "\n### %s\n", groupNames[g])
		for _, c := range sorted(g) {
			alias := ""
			if len(c.names) > 1 {
				alias = " (" + strings.Join(c.names[1:], ", ") + ")"
			}
			fmt.Fprintf(&b, "\n**%s**%s\n\n```text\n%s\n```\n", c.name(), alias, c.helpText())
		}
	}
	fmt.Fprintf(&b, "\n### %s\n\nEach answers with a sentence that says why.\n\n", groupNames[groupLive])
	why := map[string][]string{}
	var order []string
	for _, c := range commands() {
		if c.live == "" {
			continue
		}
		if why[c.live] == nil {
			order = append(order, c.live)
		}
		why[c.live] = append(why[c.live], "`"+strings.Join(c.names, "`, `")+"`")
	}
	for _, reason := range order {
		fmt.Fprintf(&b, "- %s: %s.\n", strings.Join(why[reason], ", "), reason)
	}
	fmt.Fprintf(&b, "\n### Expressions\n\n```text\n%s\n```\n\n", expressions)
	return b.String()
}

// TestHelpIsWhole checks that no command is without help, and that no two have
// one name.
func TestHelpIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range commands() {
		for _, n := range c.names {
			if seen[n] {
				t.Errorf("two commands are called %s", n)
			}
			seen[n] = true
		}
		if c.live != "" {
			continue
		}
		if c.run == nil || c.short == "" || len(c.usage) == 0 {
			t.Errorf("%s: incomplete", c.name())
		}
		if !strings.HasSuffix(c.short, ".") {
			t.Errorf("%s: %q is no sentence", c.name(), c.short)
		}
	}
}
