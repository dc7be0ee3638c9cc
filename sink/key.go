package sink

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// The two parts of a store. Every key begins with one of them, behind the
// store's own prefix. Keys use "/" on every operating system.
const (
	TracesPrefix = "v1/traces/"
	DaysPrefix   = "v1/days/"
)

// UnknownService is the name under which dumps of a service without a name
// are stored. The name is that of the semantic conventions for service.name.
const UnknownService = "unknown_service"

// MaxServiceSegment is the greatest length in bytes of the service's part of a
// key. It fits the 143 bytes that encrypting file systems leave of a file name.
const MaxServiceSegment = 128

// MaxKey is the length in bytes of the longest key, a marker's.
const MaxKey = len(DaysPrefix) + len("2006/01/02/") + MaxServiceSegment + len("/") + idLen + len("-") + traceLen

const (
	idLen    = 36 // of a dump ID as text
	traceLen = 32 // of a trace ID as text
)

// errKey says that a string is not a key of this layout.
var errKey = errors.New("not a key of a dump")

// CheckIdentity reports, as a permanent error, why a dump has no key: its ID is
// not a UUID of version 7, or its time lies behind the year 9999. Whatever
// [dump.NewID] makes is fine.
func CheckIdentity(id dump.Identity) error {
	if err := checkID(id.ID); err != nil {
		return Permanent(err)
	}
	return nil
}

func checkID(id dump.ID) error {
	if id[6]>>4 != 7 || id[8]>>6 != 0b10 {
		return fmt.Errorf("dump ID %s is not a UUID of version 7", id)
	}
	if y := id.Time().Year(); y > 9999 {
		return fmt.Errorf("dump ID %s is of the year %d", id, y)
	}
	return nil
}

// TraceKey returns the key of a dump's content,
// "v1/traces/<trace-id>/<dump-id>.cdmp". A dump without a trace has 32 zeros
// for the trace ID.
func TraceKey(id dump.Identity) string {
	return TracePrefix(id.TraceID) + id.ID.String() + dump.Extension
}

// TracePrefix returns what the keys of all dumps of a trace begin with, up to
// and with the last "/".
func TracePrefix(trace dump.TraceID) string {
	return TracesPrefix + trace.String() + "/"
}

// DayKey returns the key of a dump's empty marker,
// "v1/days/<yyyy>/<mm>/<dd>/<service>/<dump-id>-<trace-id>", where the day is
// that of the dump ID in UTC and the service is written by [EscapeService].
func DayKey(id dump.Identity) string {
	return DayPrefix(id.ID.Time()) + EscapeService(id.Service) + "/" + markerName(id)
}

// DayPrefix returns what the keys of all markers of t's day in UTC begin with,
// up to and with the last "/".
func DayPrefix(t time.Time) string {
	return DaysPrefix + t.UTC().Format("2006/01/02") + "/"
}

func markerName(id dump.Identity) string {
	return id.ID.String() + "-" + id.TraceID.String()
}

// ParseTraceKey reads what [TraceKey] writes, and nothing else: exactly those
// keys that TraceKey gives for the identity that it returns. That identity has
// no service and no span.
func ParseTraceKey(key string) (dump.Identity, error) {
	rest, ok := strings.CutPrefix(key, TracesPrefix)
	trace, name, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return dump.Identity{}, keyError(key)
	}
	var id dump.Identity
	var err error
	if id.TraceID, err = parseTraceID(trace); err != nil {
		return dump.Identity{}, keyError(key)
	}
	if id.ID, err = ParseTraceName(name); err != nil {
		return dump.Identity{}, keyError(key)
	}
	return id, nil
}

// ParseTraceName reads the last part of a [TraceKey], "<dump-id>.cdmp".
func ParseTraceName(name string) (dump.ID, error) {
	text, ok := strings.CutSuffix(name, dump.Extension)
	if !ok {
		return dump.ID{}, keyError(name)
	}
	return parseID(text)
}

// ParseDayKey reads what [DayKey] writes, and nothing else: exactly those keys
// that DayKey gives for the identity that it returns. That identity has no
// span.
func ParseDayKey(key string) (dump.Identity, error) {
	rest, ok := strings.CutPrefix(key, DaysPrefix)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 5 {
		return dump.Identity{}, keyError(key)
	}
	service, err := ParseService(parts[3])
	if err != nil {
		return dump.Identity{}, keyError(key)
	}
	id, err := ParseMarkerName(parts[4])
	if err != nil {
		return dump.Identity{}, keyError(key)
	}
	id.Service = service
	if DayKey(id) != key { // the day is another than the ID's
		return dump.Identity{}, keyError(key)
	}
	return id, nil
}

// ParseMarkerName reads the last part of a [DayKey], "<dump-id>-<trace-id>".
func ParseMarkerName(name string) (dump.Identity, error) {
	if len(name) != idLen+1+traceLen || name[idLen] != '-' {
		return dump.Identity{}, keyError(name)
	}
	var id dump.Identity
	var err error
	if id.ID, err = parseID(name[:idLen]); err != nil {
		return dump.Identity{}, err
	}
	if id.TraceID, err = parseTraceID(name[idLen+1:]); err != nil {
		return dump.Identity{}, err
	}
	return id, nil
}

func keyError(key string) error { return fmt.Errorf("%q: %w", key, errKey) }

// parseID reads a dump ID as keys have it: lower case, version 7.
func parseID(s string) (dump.ID, error) {
	id, err := dump.ParseID(s)
	if err != nil || id.String() != s || checkID(id) != nil {
		return dump.ID{}, keyError(s)
	}
	return id, nil
}

// parseTraceID reads a trace ID as keys have it: lower case, and all zeros for
// a dump without a trace, which dump.ParseTraceID refuses.
func parseTraceID(s string) (dump.TraceID, error) {
	var id dump.TraceID
	if len(s) != 2*len(id) {
		return dump.TraceID{}, keyError(s)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil || id.String() != s {
		return dump.TraceID{}, keyError(s)
	}
	return id, nil
}

// Service returns the name under which a service's dumps are stored and
// listed: [UnknownService] for "", and a name that does not fit
// [MaxServiceSegment] cut off and completed by "~" and a hash of the whole.
// Every other name stays as it is. Service(Service(s)) is Service(s).
func Service(name string) string {
	if name == "" {
		return UnknownService
	}
	if escapedLen(name) <= MaxServiceSegment {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	tail := "~" + hex.EncodeToString(sum[:8])
	room := MaxServiceSegment - len(tail)
	end := 0
	for end < len(name) {
		// Whole characters, so that a cut name still reads.
		_, n := utf8.DecodeRuneInString(name[end:])
		room -= escapedLen(name[end : end+n])
		if room < 0 {
			break
		}
		end += n
	}
	return name[:end] + tail
}

// EscapeService returns a service's part of a key: Service(name) with every
// byte except letters, digits, "-", "_", "~" and a "." that is neither first
// nor last written as %XX. So it has no "/", is neither "." nor "..", is
// at most [MaxServiceSegment] bytes, and [ParseService] can undo it.
func EscapeService(name string) string {
	const digits = "0123456789ABCDEF"
	name = Service(name)
	var b strings.Builder
	b.Grow(escapedLen(name))
	for i := range len(name) {
		if c := name[i]; plain(name, i) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

// ParseService reads what [EscapeService] writes, and nothing else, and returns
// the name as [Service] does.
func ParseService(segment string) (string, error) {
	if segment == "" || len(segment) > MaxServiceSegment {
		return "", keyError(segment)
	}
	name := make([]byte, 0, len(segment))
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '%' {
			var raw [1]byte
			if i+3 > len(segment) {
				return "", keyError(segment)
			}
			if _, err := hex.Decode(raw[:], []byte(segment[i+1:i+3])); err != nil {
				return "", keyError(segment)
			}
			c = raw[0]
			i += 2
		}
		name = append(name, c)
	}
	if EscapeService(string(name)) != segment {
		return "", keyError(segment)
	}
	return string(name), nil
}

// plain reports whether the byte at i stands for itself in a key. A dot at
// either end does not: it would make "." and "..", hidden files, and names that
// Windows shortens.
func plain(name string, i int) bool {
	switch c := name[i]; {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '~':
		return true
	case c == '.':
		return 0 < i && i < len(name)-1
	}
	return false
}

func escapedLen(name string) int {
	n := len(name)
	for i := range len(name) {
		if !plain(name, i) {
			n += 2
		}
	}
	return n
}
