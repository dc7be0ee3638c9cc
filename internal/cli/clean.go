package cli

import (
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

// clean makes text from a dump safe to print on one line of a terminal, see
// [debugger.Clean].
func clean(s string) string { return debugger.Clean(s) }

// cleanLines is clean for text of several lines: line breaks stay, tabs become
// four spaces.
func cleanLines(s string) []string {
	lines := strings.Split(strings.ReplaceAll(strings.TrimRight(s, "\n"), "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = clean(strings.ReplaceAll(l, "\t", "    "))
	}
	return lines
}

// printable reports whether a character may go to a terminal as it is.
func printable(r rune) bool { return strconv.IsPrint(r) }
