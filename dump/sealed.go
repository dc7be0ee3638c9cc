package dump

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sort"
)

// A sealed dump is a .cdmp file that shows a part of the header to everybody, and
// holds the whole plain dump as one age file (https://age-encryption.org/v1),
// cut into sections. This file lays it out and finds the age file again; what
// encrypts and decrypts is package sink/encrypt, so that this package depends on
// no cryptography.

// ErrNotSealed says that a file is no sealed dump: it is a plain one, or none.
var ErrNotSealed = errors.New("dump is not sealed")

const (
	// versionSealed is the minor version of sealed files.
	versionSealed = 1

	// ageIntro is the first line of every age file.
	ageIntro = "age-encryption.org/v1\n"

	// sealedPart is how much of the age file goes into one section, if it does not
	// take too many: Verify reads a section at a time.
	sealedPart = 16 << 20
	// maxParts is how many sections there are at most; the end is one more.
	maxParts = maxSections - 1
)

// Searchable returns the part of h that a sealed dump shows to everybody unless
// it is to show less: IDs, service, time, trigger, span name, types of the errors
// without their messages, failing place, what the program was built from, and
// how much there is. No value of the program is among it, save for what somebody
// has put into the name of a service or span.
func (h *Header) Searchable() *Header {
	s := &Header{
		Identity:  h.Identity,
		Time:      h.Time,
		Trigger:   h.Trigger,
		SpanName:  h.SpanName,
		GoVersion: h.GoVersion,
		Module:    h.Module,
		VCS:       h.VCS,
		Failing:   h.Failing,
		Counts:    h.Counts,
	}
	for _, r := range h.Reason {
		s.Reason = append(s.Reason, ErrorInfo{Type: r.Type, Parent: r.Parent, Panic: r.Panic, Runtime: r.Runtime})
	}
	return s
}

// KeyOnly returns the part of h that whoever sees the dump's keys in a store
// knows anyway, and the trigger: IDs of dump and trace, service, and the time to
// the millisecond.
func (h *Header) KeyOnly() *Header {
	return &Header{
		Identity: Identity{ID: h.ID, TraceID: h.TraceID, Service: h.Service},
		Time:     h.ID.Time(),
		Trigger:  h.Trigger,
	}
}

// sealedNotice is what the header of a sealed dump says of the rest.
var sealedNotice = Missing{
	What: "everything but a part of the header",
	Why:  "the dump is sealed: encrypted with age for those whose keys it was sealed for",
	Hint: "open it with the file of one of their private keys: --identity FILE",
}

// Seal lays out a sealed dump. public is what everybody may see, usually
// [Header.Searchable] of the dump's header; that the rest is missing is added to
// what it says. payload is an age file of size bytes, which holds a whole plain
// dump.
//
// The payload is read once, for the checksums. What Seal returns is the file: it
// reads from payload as it is read, and keeps nothing of it in memory.
func Seal(public *Header, payload io.ReaderAt, size int64) (*io.SectionReader, error) {
	return seal(public, payload, size, partSize(size))
}

// partSize is how much of an age file of that size goes into one section.
func partSize(size int64) int64 {
	return max(sealedPart, (size+maxParts-1)/maxParts)
}

func seal(public *Header, payload io.ReaderAt, size, part int64) (*io.SectionReader, error) {
	switch {
	case size < int64(len(ageIntro)):
		return nil, fmt.Errorf("seal dump: a payload of %d bytes is no age file", size)
	case part > maxSection:
		return nil, errors.New("seal dump: too large for the format")
	}
	var parts []section
	var frames []byte // of the parts, one behind the other
	for at := int64(0); at < size; at += part {
		n := min(part, size-at)
		crc, err := sealedChecksum(payload, at, n)
		if err != nil {
			return nil, fmt.Errorf("seal dump: %w", err)
		}
		f := frame{
			kind: secSealed, flags: flagAge, firstID: uint64(len(parts) + 1), count: 1,
			raw: uint32(n), stored: uint32(n), crc: crc,
		}
		parts = append(parts, section{kind: f.kind, stored: f.stored, raw: f.raw, firstID: f.firstID, count: f.count})
		frames = append(frames, make([]byte, frameLen)...)
		f.put(frames[len(frames)-frameLen:])
	}

	h := *public
	h.Missing = append(slices.Clone(h.Missing), sealedNotice)
	head, directory := sealedHead(&h, parts)
	end := &directory[len(directory)-1]

	var file splice
	file.add(memory(head), 0, int64(len(head)))
	at := int64(0)
	for i := range parts {
		file.add(memory(frames), int64(i*frameLen), frameLen)
		file.add(payload, at, int64(parts[i].stored))
		at += int64(parts[i].stored)
	}
	tail := packEnd(end.end(), len(directory), parseStart(head).crc).data
	file.add(memory(tail), 0, int64(len(tail)))
	return io.NewSectionReader(&file, 0, file.size), nil
}

// sealedHead returns start and prelude of a sealed dump, and its directory with
// the end, offsets set.
func sealedHead(h *Header, parts []section) (head []byte, directory []section) {
	directory = append(slices.Clone(parts), packEnd(0, len(parts)+1, 0).section)
	// The directory is at its longest when its offsets are.
	for i := range directory {
		directory[i].offset = preludeMax
		if i > 0 {
			directory[i].offset = directory[i-1].end()
		}
	}
	const fieldOverhead = 1 + 4 // tag and length of the header within the prelude
	room := preludeMax - startLen - fieldOverhead - len(encodePrelude(nil, directory))
	prelude := buildPrelude(fitHeader(h, room), directory)[startLen:]
	s := start{major: versionMajor, minor: versionSealed, prelude: uint32(len(prelude))}
	return append(appendStart(make([]byte, 0, startLen+len(prelude)), s, prelude), prelude...), directory
}

// sealedChecksum reads a part of an age file. The first one has to begin as such
// files do, so that nothing can be stored as sealed that is not.
func sealedChecksum(payload io.ReaderAt, at, n int64) (crc uint32, err error) {
	buf := make([]byte, min(n, 256<<10))
	for done := int64(0); done < n; {
		b := buf[:min(int64(len(buf)), n-done)]
		got, err := readAt(payload, b, at+done)
		if err != nil {
			return 0, fmt.Errorf("read the age file at byte %d: %w", at+done, err)
		}
		if got < len(b) {
			return 0, fmt.Errorf("read the age file: %d bytes: %w", at+done+int64(got), io.ErrUnexpectedEOF)
		}
		if intro := min(got, len(ageIntro)); at+done == 0 && string(b[:intro]) != ageIntro[:intro] {
			return 0, errors.New("the payload is no age file")
		}
		crc = crc32.Update(crc, castagnoli, b)
		done += int64(got)
	}
	return crc, nil
}

// WriteSealed writes the sealed dump that [Seal] lays out, and returns its size.
func WriteSealed(w io.Writer, public *Header, payload io.ReaderAt, size int64) (int64, error) {
	file, err := Seal(public, payload, size)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, file)
	if err != nil {
		return n, fmt.Errorf("write dump: %w", err)
	}
	return n, nil
}

// Sealed reports whether the dump is sealed: all that can be read of it then is
// the part of the header that is for everybody, and [SealedPayload] gives the
// rest, encrypted.
func (r *Reader) Sealed() bool {
	return slices.ContainsFunc(r.sections, func(s section) bool { return s.kind == secSealed })
}

// checkSealed checks a section of a sealed dump, and that such sections and those
// of a plain dump are not in one file: what is plain there would be believed to
// be sealed.
func (n nextIDs) checkSealed(s *section) error {
	switch s.kind {
	case secTypes, secFailing, secObjects, secGoroutines, secSources, secExtra, secVars:
		if n[secSealed] > 0 {
			return fmt.Errorf("%v: beside sealed parts", s.kind)
		}
	case secSealed:
		for kind := range n {
			if kind != secSealed {
				return fmt.Errorf("%v: beside %v", s.kind, kind)
			}
		}
		if s.count != 1 || s.stored == 0 || s.raw != s.stored {
			return fmt.Errorf("%v: %d records, %d bytes, %d in the file", s.kind, s.count, s.raw, s.stored)
		}
		if want := n[secSealed] + 1; s.firstID != want {
			return fmt.Errorf("%v: number %d, want %d", s.kind, s.firstID, want)
		}
		n[secSealed]++
	}
	return nil
}

// checkFlags reports whether this reader knows in which way a part was sealed.
func (s *section) checkFlags(flags uint16) error {
	if flags != flagAge {
		return fmt.Errorf("%w: %v is sealed in a way that this reader does not know (flags %#x)", ErrVersion, s, flags)
	}
	return nil
}

func (r *Reader) verifySealed(s *section) error {
	f, _, err := r.stored(s)
	if err != nil {
		return err
	}
	return s.checkFlags(f.flags)
}

// A Payload is the age file that a sealed dump holds. Its checksums are not
// checked as it is read, because age authenticates every byte. It is safe for
// concurrent use if the file is.
type Payload struct{ parts splice }

// SealedPayload finds the age file in the sealed dump of size bytes in r. What
// that decrypts to is a plain dump. Of a plain dump it reads no more than
// [ReadHeader] does.
//
// The error is ErrNotSealed if the file is not a sealed dump, or not known to be
// one because its beginning is damaged; ErrVersion if it is sealed in a way that
// is not known; ErrDamaged; or that of r. If the file is ErrTruncated in the age
// file, the Payload is that part of it which is there.
func SealedPayload(r io.ReaderAt, size int64) (*Payload, error) {
	ours := func(err error) bool {
		return errors.Is(err, ErrNotDump) || errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged)
	}
	p, err := readPrelude(r, size)
	known := err == nil // which sections there are
	if known && !slices.ContainsFunc(p.sections, func(s sectionInfo) bool { return s.kind == uint64(secSealed) }) {
		return nil, ErrNotSealed
	}
	if err != nil && !ours(err) {
		return nil, err
	}
	dr, err := NewReader(r, size)
	switch {
	case err == nil && !dr.Sealed():
		return nil, ErrNotSealed
	case err == nil:
		return dr.payload()
	case !known && ours(err):
		return nil, fmt.Errorf("%w: %w", ErrNotSealed, err)
	}
	return nil, err
}

func (r *Reader) payload() (*Payload, error) {
	p := new(Payload)
	for i := range r.sections {
		s := &r.sections[i]
		if s.kind != secSealed {
			continue
		}
		head, err := r.bytesAt(s.offset, frameLen)
		if err != nil {
			return nil, err
		}
		if len(head) < frameLen {
			return p, truncated(min(r.size, s.offset+int64(len(head))), s.String(), "it is missing")
		}
		f, ok := parseFrame(head)
		if !ok {
			return nil, damaged(s.offset, s.String(), "no intact frame header")
		}
		if f.kind != s.kind || f.firstID != s.firstID || f.count != s.count || f.raw != s.raw || f.stored != s.stored {
			return nil, damaged(s.offset, s.String(), "the frame header is not that of the directory")
		}
		if err := s.checkFlags(f.flags); err != nil {
			return nil, err
		}
		there := min(int64(s.stored), max(0, r.size-s.offset-frameLen))
		p.parts.add(r.r, s.offset+frameLen, there)
		if there < int64(s.stored) {
			return p, truncated(r.size, s.String(), "%d of its %d bytes are missing", int64(s.stored)-there, s.stored)
		}
	}
	return p, nil
}

// Size returns the length of the age file.
func (p *Payload) Size() int64 { return p.parts.size }

// ReadAt reads from the age file as [io.ReaderAt] wants it.
func (p *Payload) ReadAt(b []byte, off int64) (int, error) { return p.parts.ReadAt(b, off) }

// FileOffset returns where byte off of the age file lies in the dump's file.
func (p *Payload) FileOffset(off int64) int64 {
	list := p.parts.pieces
	if len(list) == 0 {
		return 0
	}
	i := min(p.parts.find(off), len(list)-1)
	return list[i].from + off - list[i].at
}

// splice is one sequence of bytes that is put together from pieces of others.
type splice struct {
	pieces []piece
	size   int64
}

type piece struct {
	r    io.ReaderAt
	from int64 // offset in r
	n    int64
	at   int64 // offset in the splice
}

func (s *splice) add(r io.ReaderAt, from, n int64) {
	if n > 0 {
		s.pieces = append(s.pieces, piece{r: r, from: from, n: n, at: s.size})
		s.size += n
	}
}

// find returns the piece that has the byte at off, or how many there are.
func (s *splice) find(off int64) int {
	return sort.Search(len(s.pieces), func(i int) bool { return s.pieces[i].at+s.pieces[i].n > off })
}

func (s *splice) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at byte %d", off)
	}
	for i := s.find(off); n < len(b) && i < len(s.pieces); i++ {
		p := &s.pieces[i]
		from := off + int64(n) - p.at
		want := b[n : n+int(min(int64(len(b)-n), p.n-from))]
		got, err := readAt(p.r, want, p.from+from)
		n += got
		if err == nil && got < len(want) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, err
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// memory is a piece that is in memory.
type memory []byte

func (m memory) ReadAt(b []byte, off int64) (int, error) { return copy(b, m[off:]), nil }
