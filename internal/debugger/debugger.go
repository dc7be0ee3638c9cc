// Package debugger is one post-mortem session over a dump: it selects
// goroutines and frames, resolves variables, evaluates Go expressions over
// captured values, and prints values as dlv prints them.
//
// A [Session] is opened on a [dump.Reader] and stands at first on the failing
// user frame. A [Scope] is one frame of one goroutine, in which expressions are
// evaluated; a [Value] is what came out, which reads its children from the dump
// when they are asked for and never before. The terminal, an editor's protocol
// and a web page are faces of the same session; this package knows none of
// them, and writes nothing anywhere.
//
// A dump is read as a stranger's bytes. Nothing in it is run; indices, counts,
// type numbers and object numbers that do not fit together lead to a value that
// says "unreadable", not to a panic, and walks over it are bounded. Text that
// comes out of [Value.Format] and from the names in this package is free of
// control characters, except where a method says otherwise.
//
// Nothing is made up: a value that the dump has not got says why, and an
// expression over it fails with that reason ([MissingError]) instead of
// computing with a zero.
package debugger

import (
	"errors"
	"fmt"
	"sync"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Session is a debugging session over one dump. The selection (which goroutine,
// which frame) belongs to one user at a time: a Session is not safe for
// concurrent use, but its Scopes and Values are, and several sessions may share
// a Reader.
type Session struct {
	r       *dump.Reader
	h       *dump.Header
	problem error

	failing *dump.Goroutine // nil if there is none
	g       *dump.Goroutine // selected, nil if the dump has none
	frame   int

	mu    sync.Mutex
	types *typeIndex      // made when a type is first looked up by name
	list  []GoroutineInfo // made by the first Goroutines
	// waiters are the goroutines that wait for something, by its address; made by the first Waiters.
	waiters map[uint64][]int64
	funcs   map[string]Source // made by the first location by function name
	large   []*object         // the last ones that were large
	vars    *packageVarIndex  // made when a package variable is first looked for
}

// Source is a place in a source file.
type Source struct {
	File string
	Line int
}

// New opens a session on the failing goroutine, at the failing user frame. A
// dump without one (made by hand, or damaged) opens on its first goroutine; a
// dump without any opens too, and evaluates constants only. The reader stays
// the caller's to close, after the session.
func New(r *dump.Reader) (*Session, error) {
	if r == nil {
		return nil, errors.New("debugger: no dump")
	}
	s := &Session{r: r, h: r.Header()}
	if s.h == nil {
		return nil, errors.New("debugger: the dump has no header")
	}
	g, err := r.Failing()
	switch {
	case err == nil && g != nil:
		s.failing, s.g = g, g
		s.frame = s.failingFrame()
	case err != nil && !errors.Is(err, dump.ErrNotFound):
		s.problem = fmt.Errorf("reading the failing goroutine: %w", err)
	}
	if s.g == nil {
		for g, err := range r.Goroutines() {
			if err != nil {
				if s.problem == nil {
					s.problem = fmt.Errorf("reading the goroutines: %w", err)
				}
				continue
			}
			s.g = g
			break
		}
	}
	if s.problem == nil {
		s.problem = r.Damage()
	}
	return s, nil
}

// failingFrame returns the index of the failing user frame of the failing
// goroutine: the header's, if it is one of the frames, else the first user
// frame, else 0.
func (s *Session) failingFrame() int {
	fs := s.failing.Frames
	if i := s.h.Failing.Frame; s.h.Failing.Func != "" && i >= 0 && i < len(fs) {
		return i
	}
	for i := range fs {
		if fs[i].User {
			return i
		}
	}
	return 0
}

// Header returns the dump's header. It must not be changed.
func (s *Session) Header() *dump.Header { return s.h }

// Reader returns the dump that the session reads.
func (s *Session) Reader() *dump.Reader { return s.r }

// Problem returns what is wrong with the dump as far as opening it showed, or
// nil: it is truncated, its failing goroutine cannot be read, and so on.
func (s *Session) Problem() error { return s.problem }

// Scope returns the selected frame of the selected goroutine.
func (s *Session) Scope() Scope { return Scope{s: s, g: s.g, frame: s.frame} }

// Home returns the scope that the session opened on: the failing user frame.
func (s *Session) Home() Scope {
	if s.failing == nil {
		return Scope{s: s, g: s.g}
	}
	return Scope{s: s, g: s.failing, frame: s.failingFrame()}
}

// Select makes sc the selected scope.
func (s *Session) Select(sc Scope) { s.g, s.frame = sc.g, sc.frame }

// AtGoroutine returns the scope of the goroutine with that ID: its failing user
// frame if it is the failing goroutine, else its innermost frame.
func (s *Session) AtGoroutine(id int64) (Scope, error) {
	if s.failing != nil && s.failing.ID == id {
		return s.Home(), nil
	}
	if s.g != nil && s.g.ID == id {
		return Scope{s: s, g: s.g}, nil
	}
	g, err := s.r.Goroutine(id)
	if err != nil {
		if errors.Is(err, dump.ErrNotFound) {
			return Scope{}, fmt.Errorf("unknown goroutine %d", id)
		}
		return Scope{}, fmt.Errorf("reading goroutine %d: %w", id, err)
	}
	if g == nil {
		return Scope{}, fmt.Errorf("unknown goroutine %d", id)
	}
	return Scope{s: s, g: g}, nil
}
