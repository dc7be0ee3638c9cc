package dump

import (
	"bytes"
	"errors"
	"fmt"
)

// The errors of reading a dump, for errors.Is.
var (
	// ErrNotDump: the file is something else, or empty.
	ErrNotDump = errors.New("not a dump file")
	// ErrVersion: the file, or a part of it, needs a newer reader.
	ErrVersion = errors.New("made by a newer version of the format")
	// ErrDamaged: bytes of the file are not what the writer wrote.
	ErrDamaged = errors.New("dump is damaged")
	// ErrTruncated: the end of the file is missing. Errors that are
	// ErrTruncated are also ErrDamaged.
	ErrTruncated = errors.New("dump is truncated")
	// ErrNotFound: the dump is fine and does not hold what was asked for.
	ErrNotFound = errors.New("not in the dump")
)

// A DamageError says where a dump is damaged and how. It is ErrDamaged, and also
// ErrTruncated if the place lies behind the end of the file.
type DamageError struct {
	// Offset is the first byte of the file that is missing or wrong, as far as
	// can be told; a checksum covers many bytes, then it is the first of them.
	Offset int64
	// What names the part: "prelude", "objects 1–512", …
	What string
	// Err says what is wrong with it. It is never nil.
	Err error

	truncated bool
}

// Error says what is damaged, where and how, in one line.
func (e *DamageError) Error() string {
	if e.truncated {
		return fmt.Sprintf("%v at byte %d: %s: %v", ErrTruncated, e.Offset, e.What, e.Err)
	}
	return fmt.Sprintf("%v at byte %d: %s: %v", ErrDamaged, e.Offset, e.What, e.Err)
}

// Truncated reports whether what is wrong is that the end is missing.
func (e *DamageError) Truncated() bool { return e.truncated }

// Unwrap gives the sentinel errors that the damage counts as, and its cause.
func (e *DamageError) Unwrap() []error {
	if e.truncated {
		return []error{ErrTruncated, ErrDamaged, e.Err}
	}
	return []error{ErrDamaged, e.Err}
}

func damaged(offset int64, what, format string, args ...any) error {
	return &DamageError{Offset: offset, What: what, Err: fmt.Errorf(format, args...)}
}

func truncated(offset int64, what, format string, args ...any) error {
	return &DamageError{Offset: offset, What: what, Err: fmt.Errorf(format, args...), truncated: true}
}

// foreign makes the error for a file that does not start as a dump does, with a
// guess at what it is instead.
func foreign(head []byte) error {
	if len(head) == 0 {
		return fmt.Errorf("%w: the file is empty", ErrNotDump)
	}
	if bytes.HasPrefix(head, []byte(magic[:5])) {
		return fmt.Errorf("%w: it was one, but its line ends were converted (transferred as text, not binary)", ErrNotDump)
	}
	if guess := guessFormat(head); guess != "" {
		return fmt.Errorf("%w: it looks like %s", ErrNotDump, guess)
	}
	return ErrNotDump
}

// guessFormat names the format of what people mistake for a dump, "" if it
// knows none.
func guessFormat(head []byte) string {
	for _, f := range [...]struct{ prefix, name string }{
		{"\x1f\x8b", "a gzip file (uncompress it first)"},
		{"\x28\xb5\x2f\xfd", "a zstd file (uncompress it first)"},
		{"BZh", "a bzip2 file (uncompress it first)"},
		{"\xfd7zXZ\x00", "an xz file (uncompress it first)"},
		{"PK\x03\x04", "a zip archive"},
		{"age-encryption.org/", "a file encrypted with age"},
		{"-----BEGIN AGE ENCRYPTED FILE", "a file encrypted with age"},
		{"go1.", "a Go heap dump or execution trace"},
		{"go 1.", "a Go execution trace"},
		{"goroutine ", "the text of a Go traceback"},
		{"panic: ", "the text of a Go traceback"},
		{"\xcf\xfa\xed\xfe", "a Mach-O file"},
		{"MDMP", "a Windows minidump"},
		{"<?xml", "an XML document, such as the error answer of a storage server"},
		{"<!DOCTYPE", "an HTML page"},
		{"<html", "an HTML page"},
	} {
		if bytes.HasPrefix(head, []byte(f.prefix)) {
			return f.name
		}
	}
	if bytes.HasPrefix(head, []byte("\x7fELF")) {
		const etCore = 4 // e_type, in either byte order
		if len(head) > 17 && (head[16] == etCore || head[17] == etCore) {
			return "an ELF core file"
		}
		return "an ELF program or library"
	}
	text := bytes.TrimLeft(head, " \t\r\n")
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		// Python's coredumpy writes {"objects": {…}, "threads": {…}, …}.
		if bytes.Contains(head, []byte(`"threads"`)) || bytes.Contains(head, []byte(`"objects"`)) {
			return "a dump of Python's coredumpy, which only that can open"
		}
		return "a JSON document"
	}
	return ""
}
