package dump

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// The prelude is shared between header and directory: this much is always
	// left to the header,
	headerRoom = 23 << 10
	// and this much is what a directory entry takes at most.
	entryMax = 34
	// maxSections is how many sections the rest has room for.
	maxSections = (preludeMax - startLen - headerRoom) / entryMax
)

// buildPrelude returns the start and the prelude of a file with these
// sections, setting their offsets, which follow from the prelude's length.
// header is a Header message.
func buildPrelude(header []byte, sections []section) []byte {
	length := 0
	for {
		at := int64(startLen + length)
		for i := range sections {
			sections[i].offset = at
			at = sections[i].end()
		}
		prelude := encodePrelude(header, sections)
		// A longer prelude means greater offsets, which never take less room;
		// so the length only grows, and soon stands still.
		if len(prelude) == length {
			s := start{major: versionMajor, minor: versionMinor, prelude: uint32(length)}
			return append(appendStart(make([]byte, 0, startLen+length), s, prelude), prelude...)
		}
		length = len(prelude)
	}
}

func encodePrelude(header []byte, sections []section) []byte {
	var e encoder
	e.bytes(1, header)
	for i := range sections {
		at := e.open(2)
		e.section(&sections[i])
		e.close(at)
	}
	return e.b
}

// fitHeader encodes h into at most room bytes. If it is too long, its long texts
// are shortened and its long lists cut, as little as will do, and the header says
// so in Missing.
func fitHeader(h *Header, room int) []byte {
	encode := func(h *Header) []byte {
		var e encoder
		e.header(h)
		return e.b
	}
	b := encode(h)
	for limit := 16 << 10; len(b) > room && limit >= 32; limit -= limit / 4 {
		short := shortener{text: limit, list: max(limit/8, 16)}
		b = encode(short.header(h))
	}
	return b
}

// shortener cuts what is longer than its limits.
type shortener struct {
	text, list           int // limits: bytes of a text, elements of a list
	cutTexts, cutEntries int
}

// header returns a shortened copy of h.
func (s *shortener) header(h *Header) *Header {
	c := *h
	for _, p := range []*string{
		&c.Service, (*string)(&c.Trigger), &c.Name, &c.Description, &c.SpanName, &c.Host, &c.GoVersion,
		&c.GOOS, &c.GOARCH, &c.Module.Path, &c.Module.Version, &c.VCS.Revision, &c.VCS.Time,
		&c.Failing.Func, &c.Failing.File,
	} {
		s.cut(p)
	}
	c.Reason = cutList(s, c.Reason)
	for i := range c.Reason {
		s.cut(&c.Reason[i].Type)
		s.cut(&c.Reason[i].Message)
	}
	c.Resource = cutList(s, c.Resource)
	for i := range c.Resource {
		s.cut(&c.Resource[i].Key)
		s.cut(&c.Resource[i].Value)
	}
	c.Budgets = cutList(s, c.Budgets)
	for i := range c.Budgets {
		s.cut(&c.Budgets[i].Name)
		s.cut(&c.Budgets[i].Unit)
	}
	c.Redactions = cutList(s, c.Redactions)
	for i := range c.Redactions {
		s.cut(&c.Redactions[i].Rule)
	}
	c.Missing = cutList(s, c.Missing)
	for i := range c.Missing {
		s.cut(&c.Missing[i].What)
		s.cut(&c.Missing[i].Why)
		s.cut(&c.Missing[i].Hint)
	}
	c.Missing = append(c.Missing, Missing{
		What: "parts of the header",
		Why: fmt.Sprintf("the header of a dump file has room for %d KiB: %d texts were cut to %d bytes, %d list entries left out",
			preludeMax>>10, s.cutTexts, s.text, s.cutEntries),
	})
	return &c
}

func (s *shortener) cut(p *string) {
	const mark = "…"
	if len(*p) <= s.text {
		return
	}
	n := s.text - len(mark)
	for n > 0 && !utf8.RuneStart((*p)[n]) {
		n--
	}
	*p = strings.Clone((*p)[:n]) + mark
	s.cutTexts++
}

// cutList returns a copy of the first elements.
func cutList[T any](s *shortener, list []T) []T {
	if len(list) > s.list {
		s.cutEntries += len(list) - s.list
		list = list[:s.list]
	}
	return slices.Clone(list)
}
