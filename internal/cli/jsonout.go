package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// outputFormat is the value of --format.
type outputFormat string

const (
	formatText outputFormat = "text"
	formatJSON outputFormat = "json"
)

// addFormat gives a command the flag --format.
func addFormat(cmd *cobra.Command, to *outputFormat) {
	*to = formatText
	cmd.Flags().Var(&formatValue{to, []outputFormat{formatText, formatJSON}}, "format", "how to print: text or json")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{string(formatText), string(formatJSON)}, cobra.ShellCompDirectiveNoFileComp))
}

// formatValue is a flag with a fixed set of values.
type formatValue struct {
	to      *outputFormat
	allowed []outputFormat
}

func (v *formatValue) String() string { return string(*v.to) }
func (v *formatValue) Type() string   { return "format" }
func (v *formatValue) Set(s string) error {
	for _, a := range v.allowed {
		if s == string(a) {
			*v.to = a
			return nil
		}
	}
	return fmt.Errorf("want one of %s", v.allowed)
}

// writeJSON prints v as indented JSON with a line break behind it.
func writeJSON(w io.Writer, v any) error { return encodeJSON(w, v) }

// jsonArray prints an array piece by piece, as writeJSON prints it as a whole.
// Nothing is printed before the first element or the end.
type jsonArray struct {
	w   io.Writer
	n   int
	err error // the first one; it stays
}

func newJSONArray(w io.Writer) *jsonArray { return &jsonArray{w: w} }

// add prints one more element.
func (a *jsonArray) add(v any) error {
	if a.err != nil {
		return a.err
	}
	var buf bytes.Buffer
	sep := ",\n"
	if a.n == 0 {
		sep = "[\n"
	}
	a.n++
	if a.err = encodeJSON(&buf, v); a.err != nil {
		return a.err
	}
	text := bytes.ReplaceAll(bytes.TrimRight(buf.Bytes(), "\n"), []byte("\n"), []byte("\n  "))
	_, a.err = a.w.Write(append([]byte(sep+"  "), text...))
	return a.err
}

// close prints the end.
func (a *jsonArray) close() error {
	end := "\n]\n"
	if a.n == 0 {
		end = "[]\n"
	}
	if a.err == nil {
		_, a.err = io.WriteString(a.w, end)
	}
	return a.err
}

func encodeJSON(w io.Writer, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // "<" is legible so, and no browser reads this
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("make JSON: %w", err)
	}
	_, err := w.Write(cleanJSON(buf.Bytes()))
	return err
}

// cleanJSON puts the unprintable characters of a JSON text as \u escapes, so
// that it says the same and does nothing to a terminal. Beyond ASCII such
// characters can stand only inside strings; package encoding/json escapes those
// below space, and never writes invalid UTF-8.
func cleanJSON(text []byte) []byte {
	dirty := false
	for i := 0; i < len(text) && !dirty; {
		if c := text[i]; ' ' <= c && c < 0x7f || c == '\n' {
			i++ // nearly all of a dump is this
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		dirty = !printable(r) && r != '\n'
		i += n
	}
	if !dirty {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case printable(r) || r == '\n':
			out = append(out, text[:n]...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = appendEscape(appendEscape(out, hi), lo)
		default:
			out = appendEscape(out, r)
		}
		text = text[n:]
	}
	return out
}

func appendEscape(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// jsonTime is a time in JSON: RFC 3339 in UTC with all its digits, null if it
// is not known.
func jsonTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(time.RFC3339Nano)
	return &s
}

// hexAddr is an address in JSON, a string: numbers of 64 bits do not survive
// every reader.
func hexAddr(a uint64) string {
	if a == 0 {
		return ""
	}
	return "0x" + strconv.FormatUint(a, 16)
}

// list makes a nil slice an empty one, which JSON prints as [].
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
