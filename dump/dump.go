// Package dump is the vocabulary and the file of otelcoredumpy: what a captured
// failure consists of, and how it lies in a .cdmp file.
//
// A dump is a [Header] (what failed, where, when, in which trace), the
// goroutines with their frames and variables, a graph of objects that the
// variables reach, the types that describe them, and the source lines around
// the frames. It is portable: opening one needs no executable, no source tree
// and no Go toolchain, and never runs anything that the dump says.
//
// A [Writer] makes a file; a [Reader] opens one with random access, so that the
// header and the failing goroutine can be read without the rest. The format
// itself is specified in docs/format.md; its schema is dumppb/dump.proto.
//
// The package knows nothing of OpenTelemetry, of capturing or of storage.
package dump

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Extension is the file name extension of a dump, with its dot.
const Extension = ".cdmp"

// ID identifies one dump. It is a UUID of version 7 (RFC 9562), so IDs sort by
// the time at which they were made.
type ID [16]byte

// NewID returns a new ID for a dump made now.
func NewID() ID { return ID(uuid.Must(uuid.NewV7())) }

// ParseID reads the 36-character form that [ID.String] prints.
func ParseID(s string) (ID, error) {
	if len(s) != 36 {
		return ID{}, fmt.Errorf("dump ID %q: want 36 characters like 0190163d-8694-739b-aea5-966c26f8ad91", s)
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return ID{}, fmt.Errorf("dump ID %q: %w", s, err)
	}
	return ID(u), nil
}

// String returns the ID as 8-4-4-4-12 lower-case hexadecimal digits.
func (id ID) String() string { return uuid.UUID(id).String() }

// IsZero reports whether the ID was never set.
func (id ID) IsZero() bool { return id == ID{} }

// Time returns the time at which the ID was made, to the millisecond, in UTC.
func (id ID) Time() time.Time {
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	return time.UnixMilli(ms).UTC()
}

// TraceID is a W3C trace ID. The zero value means that the dump belongs to no
// trace.
type TraceID [16]byte

// ParseTraceID reads 32 hexadecimal digits. The all-zero ID is an error, as in
// the W3C Trace Context recommendation.
func ParseTraceID(s string) (TraceID, error) {
	var id TraceID
	if err := parseHex(id[:], s); err != nil {
		return TraceID{}, fmt.Errorf("trace ID %q: %w", s, err)
	}
	return id, nil
}

// String returns 32 lower-case hexadecimal digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the ID was never set.
func (id TraceID) IsZero() bool { return id == TraceID{} }

// SpanID is a W3C span (parent) ID.
type SpanID [8]byte

// ParseSpanID reads 16 hexadecimal digits, not all zero.
func ParseSpanID(s string) (SpanID, error) {
	var id SpanID
	if err := parseHex(id[:], s); err != nil {
		return SpanID{}, fmt.Errorf("span ID %q: %w", s, err)
	}
	return id, nil
}

// String returns 16 lower-case hexadecimal digits.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the ID was never set.
func (id SpanID) IsZero() bool { return id == SpanID{} }

func parseHex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("has %d characters, want %d hexadecimal digits", len(s), 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		return fmt.Errorf("want hexadecimal digits: %w", err)
	}
	for _, b := range dst {
		if b != 0 {
			return nil
		}
	}
	return fmt.Errorf("is all zeros, which the W3C recommendation calls invalid")
}

// Identity is what storage needs to know of a dump: enough for its key, and no
// more.
type Identity struct {
	ID      ID
	TraceID TraceID // zero: outside any trace
	SpanID  SpanID
	Service string // "" is stored as "unknown_service"
}
