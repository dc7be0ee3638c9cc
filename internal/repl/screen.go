package repl

import (
	"io"
	"unicode/utf8"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

// style is a way to print text on a terminal with colours. The colours are
// dlv's defaults.
type style string

const (
	plain    style = ""
	bold     style = "\x1b[1m"
	red      style = "\x1b[31m"
	green    style = "\x1b[32m"
	yellow   style = "\x1b[33m"
	blue     style = "\x1b[34m"
	grey     style = "\x1b[90m"
	magenta  style = "\x1b[95m"
	resetSeq       = "\x1b[0m"
)

// screen is the only way out. It makes everything that is written to it
// harmless to a terminal; escape sequences come from styles alone.
type screen struct {
	w     io.Writer
	color bool
	err   error  // the first error of w; nothing is written after it
	part  []byte // the beginning of a character whose end was not written yet
}

// Write never fails; the error is kept.
func (s *screen) Write(p []byte) (int, error) {
	b := p
	if len(s.part) > 0 {
		b = append(s.part, p...)
		s.part = nil
	}
	if n := incomplete(b); n > 0 {
		s.part = append([]byte(nil), b[len(b)-n:]...)
		b = b[:len(b)-n]
	}
	s.send(debugger.CleanText(string(b)))
	return len(p), nil
}

func (s *screen) send(text string) {
	if s.err == nil && text != "" {
		_, s.err = io.WriteString(s.w, text)
	}
}

// flush writes a character that was never completed.
func (s *screen) flush() {
	if len(s.part) > 0 {
		b := s.part
		s.part = nil
		s.send(debugger.CleanText(string(b)))
	}
}

// print writes text in a style.
func (s *screen) print(st style, text string) {
	s.flush()
	if text == "" {
		return
	}
	if !s.color || st == plain {
		s.send(debugger.CleanText(text))
		return
	}
	s.send(string(st) + debugger.CleanText(text) + resetSeq)
}

// incomplete returns how many bytes at the end of b may be the beginning of a
// character.
func incomplete(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
