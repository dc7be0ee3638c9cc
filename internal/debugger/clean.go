package debugger

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Clean returns s with everything that a terminal might act on (control
// characters, escape sequences, line breaks, bidirectional overrides, invalid
// UTF-8) in the escaped form of a Go string literal. The result is one line.
//
// Names, paths and messages of a dump are a stranger's text; they go through
// here before they reach a terminal or a table.
func Clean(s string) string { return clean(s, "") }

// CleanText is like [Clean] but leaves line feeds and tabs alone.
func CleanText(s string) string { return clean(s, "\n\t") }

func clean(s, keep string) string {
	bad := -1
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f || strings.IndexByte(keep, c) >= 0 {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			bad = i
			break
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !strconv.IsPrint(r) {
			bad = i
			break
		}
		i += n
	}
	if bad < 0 {
		return s
	}
	b := []byte(s[:bad])
	for i := bad; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'x', hex[s[i]>>4], hex[s[i]&15])
		case strconv.IsPrint(r) || r < utf8.RuneSelf && strings.IndexByte(keep, byte(r)) >= 0:
			b = append(b, s[i:i+n]...)
		default:
			q := strconv.AppendQuoteRune(nil, r)
			b = append(b, q[1:len(q)-1]...)
		}
		i += n
	}
	return string(b)
}
