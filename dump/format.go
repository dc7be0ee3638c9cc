package dump

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// This file holds the fixed parts of the format, which docs/format.md specifies:
// the start of the file and the frame header of a section.

// magic begins every dump. The byte above 0x7f tells it from text and shows when
// a transfer has cleared the eighth bit; the line ends show when one has
// converted them; 0x1a stops a careless print on some systems.
const magic = "\x89CDMP\r\n\x1a"

const (
	versionMajor = 1
	versionMinor = 1
)

const (
	startLen   = 20       // magic, major, minor, prelude length, checksum
	preludeMax = 64 << 10 // start included

	frameMagic = 0xc5d3ab91
	frameLen   = 36

	// flagZstd: the payload is one or more zstd frames.
	flagZstd = 1 << 0
	// flagAge: the payload is a part of an age file; see sealed.go.
	flagAge = 1 << 1
	// flagInPlace: there are objects whose values are without the address that
	// the object says.
	flagInPlace = 1 << 2
	// knownFlags are those that a section of records may have.
	knownFlags = flagZstd | flagInPlace
)

// The limits of the format. A writer keeps them, and a reader refuses what goes
// beyond them; so a hostile file cannot make it use memory without bound.
const (
	// maxSection is the greatest raw length of a section.
	maxSection = 256 << 20
	// maxRecords is how many records there may be in one section.
	maxRecords = 1 << 20
	// maxSources is how many sources there may be in one file.
	maxSources = 1 << 20
	// maxItems is how many repeated elements (values, frames, variables, lines,
	// …) there may be in one record, all levels together.
	maxItems = 1 << 20
	// maxDepth is how deep values may nest within one record.
	maxDepth = 64
	// maxWindow is the largest window of a zstd frame.
	maxWindow = 8 << 20
)

// sectionKind says what a section's payload is; see SectionKind in dump.proto.
type sectionKind uint16

const (
	secTypes      sectionKind = 1
	secFailing    sectionKind = 2
	secObjects    sectionKind = 3
	secGoroutines sectionKind = 4
	secSources    sectionKind = 5
	secExtra      sectionKind = 6
	secSealed     sectionKind = 7
	secVars       sectionKind = 8
	secEnd        sectionKind = 255
)

func (k sectionKind) String() string {
	switch k {
	case secTypes:
		return "types"
	case secFailing:
		return "failing goroutine"
	case secObjects:
		return "objects"
	case secGoroutines:
		return "goroutines"
	case secSources:
		return "sources"
	case secExtra:
		return "extra"
	case secSealed:
		return "sealed part"
	case secVars:
		return "package variables"
	case secEnd:
		return "end"
	}
	return fmt.Sprintf("section of unknown kind %d", uint16(k))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// start is the fixed beginning of a file.
type start struct {
	major, minor uint16
	prelude      uint32 // length
	crc          uint32 // of the 16 bytes before it and of the prelude
}

func appendStart(b []byte, s start, prelude []byte) []byte {
	at := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, s.major)
	b = binary.LittleEndian.AppendUint16(b, s.minor)
	b = binary.LittleEndian.AppendUint32(b, s.prelude)
	crc := crc32.Update(checksum(b[at:]), castagnoli, prelude)
	return binary.LittleEndian.AppendUint32(b, crc)
}

// parseStart reads the first startLen bytes, of which the caller has checked the
// magic.
func parseStart(b []byte) start {
	return start{
		major:   binary.LittleEndian.Uint16(b[8:]),
		minor:   binary.LittleEndian.Uint16(b[10:]),
		prelude: binary.LittleEndian.Uint32(b[12:]),
		crc:     binary.LittleEndian.Uint32(b[16:]),
	}
}

// frame is the header that precedes every section's payload.
type frame struct {
	kind    sectionKind
	flags   uint16
	firstID uint64
	count   uint32
	raw     uint32 // length of the payload
	stored  uint32 // its length in the file
	crc     uint32 // of the stored bytes
}

// put writes the header into the first frameLen bytes of b.
func (f *frame) put(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], frameMagic)
	le.PutUint16(b[4:], uint16(f.kind))
	le.PutUint16(b[6:], f.flags)
	le.PutUint64(b[8:], f.firstID)
	le.PutUint32(b[16:], f.count)
	le.PutUint32(b[20:], f.raw)
	le.PutUint32(b[24:], f.stored)
	le.PutUint32(b[28:], f.crc)
	le.PutUint32(b[32:], checksum(b[:32]))
}

// parseFrame reads a frame header; ok is false if b does not begin with a whole
// and undamaged one.
func parseFrame(b []byte) (f frame, ok bool) {
	le := binary.LittleEndian
	if len(b) < frameLen || le.Uint32(b) != frameMagic || le.Uint32(b[32:]) != checksum(b[:32]) {
		return frame{}, false
	}
	return frame{
		kind:    sectionKind(le.Uint16(b[4:])),
		flags:   le.Uint16(b[6:]),
		firstID: le.Uint64(b[8:]),
		count:   le.Uint32(b[16:]),
		raw:     le.Uint32(b[20:]),
		stored:  le.Uint32(b[24:]),
		crc:     le.Uint32(b[28:]),
	}, true
}

// section is what the directory knows of a section.
type section struct {
	kind    sectionKind
	offset  int64 // of its frame header
	stored  uint32
	raw     uint32
	firstID uint64
	count   uint32
}

func (s *section) end() int64 { return s.offset + frameLen + int64(s.stored) }

// String names the section for error messages.
func (s *section) String() string {
	switch s.kind {
	case secTypes, secObjects, secGoroutines, secSources, secVars:
		switch s.count {
		case 0:
		case 1:
			return fmt.Sprintf("%v %d", strings.TrimSuffix(s.kind.String(), "s"), s.firstID)
		default:
			return fmt.Sprintf("%v %d–%d", s.kind, s.firstID, s.firstID+uint64(s.count)-1)
		}
	case secSealed:
		return fmt.Sprintf("%v %d", s.kind, s.firstID)
	}
	return s.kind.String()
}

func formatVersion(major, minor uint16) string { return fmt.Sprintf("%d.%d", major, minor) }
