package exporter

import (
	"encoding/binary"
	"hash/maphash"
	"strings"
)

// Two failures are alike if they have the same fingerprint: the same trigger, types
// of errors, span (name, kind, instrumentation scope) and message, but for what
// differs from one request to the next, and come from the same place in the
// program. The fingerprint must be had before phase one of a capture, for it decides whether there is to
// be one.

// fingerprint is a hash of what makes a failure alike to others. It means
// nothing outside of the process.
type fingerprint uint64

// fingerprints makes fingerprints. The seed is its own, so nobody can make two
// failures collide.
type fingerprints struct{ seed maphash.Seed }

func newFingerprints() fingerprints { return fingerprints{maphash.MakeSeed()} }

// of returns the fingerprint of f, whose place must be known.
func (p fingerprints) of(f *failure) fingerprint {
	var h maphash.Hash
	h.SetSeed(p.seed)
	word := func(s string) {
		_, _ = h.WriteString(s)
		_ = h.WriteByte(0)
	}
	word(string(f.trigger))
	for i := range f.chain {
		word(f.chain[i].Type)
	}
	_ = h.WriteByte(1)
	var buf pattern
	if f.span != nil {
		_, _ = h.Write(normalise(&buf, f.span.Name()))
		_ = h.WriteByte(byte(f.span.SpanKind()))
		word(f.span.InstrumentationScope().Name)
	}
	if len(f.messages) > 0 {
		_, _ = h.Write(normalise(&buf, f.messages[0]))
	}
	_ = h.WriteByte(1)
	var pcs [8 * maxPlace]byte
	for i, pc := range f.place.pcs[:f.place.n] {
		binary.NativeEndian.PutUint64(pcs[8*i:], uint64(pc))
	}
	_, _ = h.Write(pcs[:8*f.place.n])
	return fingerprint(h.Sum64())
}

// maxPattern is how much of a normalised message counts.
const maxPattern = 96

// pattern is room for a normalised message; the last bytes are only written
// over.
type pattern [maxPattern + 4]byte

// normalise writes to buf what is left of a message or name without what
// differs from one time to the next: numbers, hexadecimal IDs, UUIDs, addresses
// and long keys become #, quoted parts "#". It allocates nothing.
//
//	order 42: dial tcp 10.0.0.7:5432: connect: connection refused
//	order #: dial tcp #: connect: connection refused
func normalise(buf *pattern, s string) []byte {
	out := buf[:0]
	for i := 0; i < len(s) && len(out) < maxPattern; {
		switch c := s[i]; {
		case c == '"' || c == '`':
			end := strings.IndexByte(s[i+1:], c)
			out = append(out, c, '#', c)
			if end < 0 {
				return out[:min(len(out), maxPattern)] // cut off
			}
			i += end + 2
		case c == '\'' && (i == 0 || !isAlnum(s[i-1])): // not an apostrophe
			end := strings.IndexByte(s[i+1:], c)
			if end < 0 {
				out = append(out, c)
				i++
				break
			}
			out = append(out, '\'', '#', '\'')
			i += end + 2
		case isAlnum(c):
			end := i + 1
			for end < len(s) && isAlnum(s[end]) {
				end++
			}
			out = normaliseWord(out, s[i:end])
			i = end
		default:
			out = append(out, c)
			i++
		}
	}
	return out[:min(len(out), maxPattern)]
}

// normaliseWord appends a run of letters and digits.
func normaliseWord(out []byte, w string) []byte {
	const longWord = 16 // a key, if there are digits in it
	digits, hex := 0, 0
	for i := range len(w) {
		switch c := w[i]; {
		case c <= '9':
			digits++
			hex++
		case c|0x20 <= 'f':
			hex++
		}
	}
	prefixed := len(w) > 2 && w[0] == '0' && w[1]|0x20 == 'x' && hex == len(w)-1
	switch {
	case digits == 0:
		return append(out, w[:min(len(w), maxPattern-len(out))]...)
	case hex == len(w) && (len(w) >= 6 || digits == len(w) || hexBefore(out)), prefixed, len(w) >= longWord:
		return number(out)
	}
	for i := 0; i < len(w) && len(out) < maxPattern; {
		if w[i] > '9' {
			out = append(out, w[i])
			i++
			continue
		}
		for i < len(w) && w[i] <= '9' {
			i++
		}
		out = number(out)
	}
	return out
}

// hexBefore reports whether a number and a hyphen or colon come before: a group
// of a UUID, an IPv6 address.
func hexBefore(out []byte) bool {
	n := len(out)
	return n >= 2 && out[n-2] == '#' && (out[n-1] == '-' || out[n-1] == ':')
}

// number appends #, once for numbers with nothing but one punctuation mark
// between them: 10.0.0.7:5432, 2026-01-02, 1.5.
func number(out []byte) []byte {
	n := len(out)
	if n >= 1 && out[n-1] == '#' {
		return out
	}
	if n >= 2 && out[n-2] == '#' {
		switch out[n-1] {
		case '.', ',', ':', '-', '/', '+', '_':
			return out[:n-1]
		}
	}
	return append(out, '#')
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
