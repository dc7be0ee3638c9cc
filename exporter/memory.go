package exporter

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// maxMessage is how much of an error message is remembered.
const maxMessage = 1024

// maxMessages is how many messages of one failure are remembered.
const maxMessages = 16

// quietFor is how long after it was last seen a panic is still taken for the
// same one where neither a trace nor a start time tells a later one apart: the
// stack address and the value of a panic come again when the same goroutine
// panics again.
const quietFor = time.Second

// Mark is a point in the sequence of failures that this process has seen. It
// tells before from after without asking a clock.
type Mark uint64

var lastMark atomic.Uint64

// NewMark returns the present point. It is never zero.
func NewMark() Mark { return Mark(lastMark.Load() + 1) }

// record is a failure that was seen. What is not atomic does not change once
// the memory has it, but for messages, which the memory's lock protects.
type record struct {
	ref       Ref // where its dump is; the zero ID: it has none, because it is excluded
	similar   bool
	dying     bool                 // it was made before the process dies
	attrs     []attribute.KeyValue // for a span; nil: those of ref
	at        time.Time
	number    Mark
	trace     dump.TraceID
	span      dump.SpanID
	panicking bool
	key       capture.PanicKey
	messages  []string          // of the error and of what it wraps, outermost first
	reason    dump.ErrorInfo    // the outermost; zero if unknown
	where     dump.Location     // of a panic
	link      trace.SpanContext // the dump's own span

	done      chan struct{} // closed when the dump is stored or lost
	seen      atomic.Int64  // when it was last seen, in Unix nanoseconds
	told      atomic.Bool   // a further sighting has it
	broken    atomic.Bool   // no dump was made after all
	stored    atomic.Bool   // the store has it
	lost      atomic.Bool   // the store does not have it and never will
	forwarded atomic.Bool   // its upload was tried before the process dies

	slot int // in the memory's ring
}

// hasDump reports whether spans are told of a dump.
func (r *record) hasDump() bool { return !r.ref.IsZero() }

// attributes are what a span says of the dump.
func (r *record) attributes() []attribute.KeyValue {
	if r.attrs != nil {
		return r.attrs
	}
	return r.ref.Attributes()
}

// sighting is what is known of a failure before it is captured.
type sighting struct {
	trace     dump.TraceID
	span      dump.SpanID
	since     time.Time // when the span began; zero if unknown
	mark      Mark      // when the request or goroutine began; zero if unknown
	panicking bool
	key       capture.PanicKey
	// raised is set on a panic that the runtime raised (a nil dereference, an
	// index out of range), so that it cannot be an earlier one passed on.
	raised bool
	// dying is set if the process is about to die of it. Then the dump of a
	// failure that was only like it is not enough.
	dying    bool
	messages []string // of the failing span or error; none if it has none
}

// memory knows the failures of the recent past, so that a failure that goes
// through several spans is recognised.
//
// Two sightings are one failure if
//
//   - they are the same panic, by its [capture.PanicKey], within one trace; or
//   - they are in one trace, and the later one's message equals or contains the
//     earlier one's, or equals that of an error that the earlier one wraps: an
//     error on its way up, a panic turned into an error, a panic passed on to
//     another goroutine; or
//   - they are in one trace, and the later one is a span with status Error and
//     no message at all, as instrumentation libraries set it: it has
//     failed because of what failed inside of it;
//
// and if the later span, request or goroutine had begun when the failure was
// first seen.
// What began afterwards fails anew, with the same message or without: a
// second attempt at the same thing is a failure of its own.
//
// Records without a dump of their own, of excluded failures and of those that
// were like another, are kept apart, so that a storm of them does not push the
// others out.
type memory struct {
	mu      sync.Mutex
	dumps   records
	others  records
	byTrace map[dump.TraceID][]*record // oldest first
	byPanic map[capture.PanicKey]*record
}

// maxPerTrace is how many failures of one trace are looked at.
const maxPerTrace = 64

// records is a ring.
type records struct {
	ring []*record
	next int
}

func newMemory(limit int) *memory {
	return &memory{
		dumps: records{ring: make([]*record, limit)}, others: records{ring: make([]*record, limit)},
		byTrace: make(map[dump.TraceID][]*record), byPanic: make(map[capture.PanicKey]*record),
	}
}

// remember adds a record and forgets the oldest one if there are too many.
func (m *memory) remember(r *record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(r)
}

// claim adds a record unless s, which it is of, is a further sighting of
// another failure; then it returns that one. To find and to remember is one step, or two
// goroutines that meet the same failure would both make a dump of it.
func (m *memory) claim(s *sighting, r *record) *record {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.look(s, r); old != nil {
		return old
	}
	m.add(r)
	return nil
}

// learned replaces the messages of a record. If they show that it is another
// sighting of an earlier failure, learned returns that one.
func (m *memory) learned(s *sighting, r *record) *record {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(r.messages) == len(s.messages) {
		return nil
	}
	r.messages = s.messages
	return m.look(s, r)
}

// drop forgets a record.
func (m *memory) drop(r *record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.ringOf(r); l.ring[r.slot] == r {
		l.ring[r.slot] = nil
		m.forget(r)
	}
}

func (m *memory) ringOf(r *record) *records {
	if r.similar || !r.hasDump() {
		return &m.others
	}
	return &m.dumps
}

func (m *memory) add(r *record) {
	l := m.ringOf(r)
	if old := l.ring[l.next]; old != nil {
		m.forget(old)
	}
	r.slot = l.next
	l.ring[l.next] = r
	l.next = (l.next + 1) % len(l.ring)
	r.seen.Store(r.at.UnixNano())
	r.number = Mark(lastMark.Add(1))
	if !r.trace.IsZero() {
		rs := m.byTrace[r.trace]
		if len(rs) == maxPerTrace {
			rs = slices.Delete(rs, 0, 1)
		}
		m.byTrace[r.trace] = append(rs, r)
	}
	if r.panicking {
		m.byPanic[r.key] = r
	}
}

func (m *memory) forget(old *record) {
	if m.byPanic[old.key] == old {
		delete(m.byPanic, old.key)
	}
	rs := m.byTrace[old.trace]
	if i := slices.Index(rs, old); i >= 0 {
		rs = slices.Delete(rs, i, i+1)
		if len(rs) == 0 {
			delete(m.byTrace, old.trace)
		} else {
			m.byTrace[old.trace] = rs
		}
	}
}

// find returns the failure that s is a further sighting of, or nil.
func (m *memory) find(s *sighting) *record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.look(s, nil)
}

// look does what find does, but does not find except.
func (m *memory) look(s *sighting, except *record) *record {
	if s.panicking {
		if r := m.byPanic[s.key]; r != nil && r != except && r.samePanic(s) && r.enough(s) {
			r.seen.Store(time.Now().UnixNano())
			r.told.Store(true)
			return r
		}
	}
	if s.trace.IsZero() || s.panicking && s.raised {
		return nil
	}
	rs := m.byTrace[s.trace]
	for i := len(rs) - 1; i >= 0; i-- {
		if r := rs[i]; r != except && r.after(s) && r.enough(s) && r.sameMessage(s) {
			r.told.Store(true)
			return r
		}
	}
	return nil
}

// enough reports whether the failure's dump will do for s.
func (r *record) enough(s *sighting) bool { return !s.dying || !r.similar }

func (r *record) samePanic(s *sighting) bool {
	mine := r.trace
	if mine != s.trace && !mine.IsZero() && !s.trace.IsZero() {
		return false
	}
	if s.since.IsZero() && s.mark == 0 {
		return time.Since(time.Unix(0, r.seen.Load())) < quietFor
	}
	return r.after(s)
}

// after reports whether the failure was seen after the beginning of what s is
// of.
func (r *record) after(s *sighting) bool { return !r.at.Before(s.since) && r.number >= s.mark }

func (r *record) sameMessage(s *sighting) bool {
	if len(s.messages) == 0 {
		return !s.panicking // of a panic, nothing to know is no sign
	}
	if len(r.messages) == 0 {
		return r.span == s.span
	}
	for _, m := range s.messages {
		if containsWords(m, r.messages[0]) {
			return true
		}
		for _, wrapped := range r.messages[1:] {
			if m == wrapped {
				return true
			}
		}
	}
	return false
}

// containsWords reports whether s contains part, not in the middle of a word.
func containsWords(s, part string) bool {
	if part == "" {
		return false
	}
	for from := 0; ; {
		i := strings.Index(s[from:], part)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		after, _ := utf8.DecodeRuneInString(s[i+len(part):])
		first, _ := utf8.DecodeRuneInString(part)
		last, _ := utf8.DecodeLastRuneInString(part)
		if (i == 0 || !isWord(before) || !isWord(first)) && (i+len(part) == len(s) || !isWord(after) || !isWord(last)) {
			return true
		}
		from = i + 1
	}
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }

// messagesOf returns the first few messages of a chain that are not empty.
func messagesOf(chain []dump.ErrorInfo) []string {
	var ms []string
	for _, i := range chain {
		if i.Message != "" && len(ms) < maxMessages {
			ms = append(ms, shorten(i.Message, maxMessage))
		}
	}
	return ms
}
