package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// prelude is what the first read of a file gives.
type prelude struct {
	head     []byte // the first bytes of the file, at most preludeMax
	start    start
	header   *Header
	sections []sectionInfo
	end      int64 // where the prelude ends in the file
}

// ReadHeader reads the header of the dump of size bytes in r, with one read of at
// most 64 KiB. The error is ErrNotDump, ErrVersion, ErrTruncated or ErrDamaged,
// or that of r. What follows the header is not looked at.
func ReadHeader(r io.ReaderAt, size int64) (*Header, error) {
	p, err := readPrelude(r, size)
	return p.header, err
}

// readPrelude reads and checks the beginning of a file. On an error, head and
// start are set if they could be read.
func readPrelude(r io.ReaderAt, size int64) (p prelude, err error) {
	head := make([]byte, max(0, min(size, preludeMax)))
	n, err := readAt(r, head, 0)
	if err != nil {
		return p, fmt.Errorf("read dump: %w", err)
	}
	head = head[:n]
	p.head = head

	common := min(n, len(magic))
	if n == 0 || string(head[:common]) != magic[:common] {
		return p, foreign(head)
	}
	if n < startLen {
		return p, truncated(int64(n), "start", "the file ends within its first %d bytes", startLen)
	}
	p.start = parseStart(head)
	p.end = startLen + int64(p.start.prelude)
	newer := fmt.Errorf("%w: it is %s, and this reader knows %d.x; a newer coredumpy opens it",
		ErrVersion, formatVersion(p.start.major, p.start.minor), versionMajor)

	if p.end > preludeMax {
		if p.start.major > versionMajor {
			return p, newer
		}
		return p, damaged(0, "start", "the prelude is declared to be %d bytes long", p.start.prelude)
	}
	if p.end > int64(n) {
		return p, truncated(int64(n), "prelude", "%d of its %d bytes are missing", p.end-int64(n), p.start.prelude)
	}
	body := head[startLen:p.end]
	if crc := crc32.Update(checksum(head[:startLen-4]), castagnoli, body); crc != p.start.crc {
		return p, damaged(0, "prelude", "checksum is %08x, want %08x", crc, p.start.crc)
	}
	if p.start.major != versionMajor {
		return p, newer
	}

	d := decoders.Get().(*decoder).reset()
	defer d.free()
	h := &Header{FormatVersion: formatVersion(p.start.major, p.start.minor)}
	p.sections, err = d.prelude(body, h)
	if err != nil {
		return p, damaged(startLen, "prelude", "%w", err)
	}
	p.header = h
	return p, nil
}

// readAt is r.ReadAt, except that the end of the file is no error: n tells.
func readAt(r io.ReaderAt, b []byte, off int64) (n int, err error) {
	n, err = r.ReadAt(b, off)
	if n == len(b) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// checkDirectory turns the directory of a file into sections. Its checksum was
// right, so what does not make sense here was written so.
func checkDirectory(infos []sectionInfo, preludeEnd int64) ([]section, error) {
	sections := make([]section, 0, len(infos))
	at := preludeEnd
	next := nextIDs{}
	for i := range infos {
		in := &infos[i]
		bad := func(format string, args ...any) error {
			return damaged(startLen, fmt.Sprintf("directory entry %d", i), format, args...)
		}
		if in.kind > math.MaxUint16 || in.stored > math.MaxUint32 || in.raw > math.MaxUint32 || in.count > math.MaxUint32 {
			return nil, bad("out of range")
		}
		if in.offset < uint64(at) || in.offset > math.MaxInt64-frameLen-math.MaxUint32 {
			return nil, bad("offset %d, want at least %d", in.offset, at)
		}
		s := section{
			kind: sectionKind(in.kind), offset: int64(in.offset), stored: uint32(in.stored), raw: uint32(in.raw),
			firstID: in.firstID, count: uint32(in.count),
		}
		if err := next.check(&s); err != nil {
			return nil, bad("%w", err)
		}
		at = s.end()
		sections = append(sections, s)
	}
	return sections, nil
}

// nextIDs checks that the sections of each kind number their records 1, 2, 3, …,
// and that they keep the limits of the format.
type nextIDs map[sectionKind]uint64

func (n nextIDs) check(s *section) error {
	if s.raw > maxSection || s.stored > maxSection {
		return fmt.Errorf("%v: %d bytes, %d in the file; at most %d are allowed", s.kind, s.raw, s.stored, maxSection)
	}
	if err := n.checkSealed(s); err != nil || s.kind == secSealed {
		return err
	}
	switch s.kind {
	case secTypes, secObjects, secGoroutines, secSources, secVars:
	case secFailing, secExtra, secEnd:
		if s.count != 1 || n[s.kind] != 0 {
			return fmt.Errorf("%v: more or less than one", s.kind)
		}
	default:
		return nil // of a newer version, which knows what its numbers mean
	}
	if s.count > maxRecords || s.count > s.raw/2 {
		return fmt.Errorf("%v: %d records in %d bytes", s.kind, s.count, s.raw)
	}
	if want := n[s.kind] + 1; s.firstID != want {
		return fmt.Errorf("%v: begins with number %d, want %d", s.kind, s.firstID, want)
	}
	n[s.kind] += uint64(s.count)
	if s.kind == secTypes && n[s.kind] > math.MaxUint32 || s.kind == secSources && n[s.kind] > maxSources {
		return fmt.Errorf("%v: more than the format allows", s.kind)
	}
	return nil
}

// salvage finds the sections of a file whose prelude is damaged by their frame
// headers, from the first intact one on.
func (r *Reader) salvage() error {
	var marker [4]byte
	binary.LittleEndian.PutUint32(marker[:], frameMagic)
	at := int64(startLen)
	for {
		i := bytes.Index(r.head[at:], marker[:])
		if i < 0 {
			return nil
		}
		at += int64(i)
		if f, err := r.frameAt(at); err != nil {
			return err
		} else if f != nil {
			break
		}
		at++
	}
	next := nextIDs{}
	for len(r.sections) < maxSections {
		f, err := r.frameAt(at)
		if err != nil {
			return err
		}
		if f == nil {
			return nil
		}
		s := section{kind: f.kind, offset: at, stored: f.stored, raw: f.raw, firstID: f.firstID, count: f.count}
		if next.check(&s) != nil {
			return nil
		}
		r.sections = append(r.sections, s)
		at = s.end()
	}
	return nil
}

// frameAt reads the frame header at that offset; nil if there is none or it is
// damaged.
func (r *Reader) frameAt(at int64) (*frame, error) {
	b, err := r.bytesAt(at, frameLen)
	if err != nil {
		return nil, err
	}
	f, ok := parseFrame(b)
	if !ok {
		return nil, nil
	}
	return &f, nil
}

// checkEnd compares the end of the file with the directory, and notes the damage.
// The error is one of reading.
func (r *Reader) checkEnd(preludeCRC uint32) error {
	if len(r.sections) == 0 || r.sections[len(r.sections)-1].kind != secEnd {
		r.addDamage(damaged(r.size, "end", "there is no end section"))
		return nil
	}
	i := len(r.sections) - 1
	s := &r.sections[i]
	if r.size < s.end() {
		r.addDamage(truncated(r.size, "end", "%d bytes are missing of %d", s.end()-r.size, s.end()))
		return nil
	}
	if r.size > s.end() {
		r.addDamage(damaged(s.end(), "end", "%d bytes too many follow", r.size-s.end()))
	}
	var e endRecord
	err := r.record(i, 0, func(d *decoder, b []byte) error { return d.end(b, &e) })
	switch {
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrVersion):
		return nil // it is in the damage already
	case err != nil:
		return err
	case !r.salvaged && e.preludeCRC != preludeCRC:
		r.addDamage(damaged(s.offset, "end", "belongs to another file: it has prelude checksum %08x, want %08x", e.preludeCRC, preludeCRC))
	case e.size != uint64(s.end()) || e.sections != uint64(len(r.sections)):
		r.addDamage(damaged(s.offset, "end", "does not fit: %d sections in %d bytes, want %d in %d", len(r.sections), s.end(), e.sections, e.size))
	}
	return nil
}
