package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// An item is a file: the dump as it is, and behind it a trailer of fixed length
// that says whose it is and by which the file is known to be whole. In the
// trailer, numbers are little endian and what is not used is zero:
//
//	  0   8  trailerMagic
//	  8   2  version of the trailer
//	 10   2  length of the service's name
//	 12   4  CRC-32C of the dump
//	 16   8  length of the dump
//	 24   8  when it was put here, nanoseconds since 1970
//	 32  16  dump ID
//	 48  16  trace ID
//	 64   8  span ID
//	 72 128  the service's name
//	200  24  the trigger
//	224  28  zero
//	252   4  CRC-32C of all this
const (
	trailerLen     = 256
	trailerMagic   = "\x93cdspool"
	trailerVersion = 1

	serviceAt, serviceLen = 72, sink.MaxServiceSegment
	triggerAt, triggerLen = 200, 24
	zerosAt, sumAt        = 224, 252
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// errDamaged says that a file is not an item, or not any more.
	errDamaged = errors.New("the file is damaged")

	// errNewer says that a file is an item of a version that this program does
	// not know. It is left to one that does.
	errNewer = errors.New("the file was written by a newer version of this program")
)

// trailer is what an item says about itself.
type trailer struct {
	id      dump.Identity
	size    int64 // of the dump
	put     time.Time
	trigger dump.Trigger // "" if the dump has no readable header
	sum     uint32       // of the dump
}

// newTrailer returns the trailer of a dump, but for its checksum.
func newTrailer(id dump.Identity, size int64, put time.Time, trigger dump.Trigger) trailer {
	if id.Service != "" {
		id.Service = sink.Service(id.Service)
	}
	if len(trigger) > triggerLen || !printable(string(trigger)) {
		trigger = ""
	}
	return trailer{id: id, size: size, put: time.Unix(0, put.UnixNano()), trigger: trigger}
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

func (t *trailer) encode() []byte {
	b := make([]byte, trailerLen)
	copy(b, trailerMagic)
	le := binary.LittleEndian
	le.PutUint16(b[8:], trailerVersion)
	le.PutUint16(b[10:], uint16(len(t.id.Service)))
	le.PutUint32(b[12:], t.sum)
	le.PutUint64(b[16:], uint64(t.size))
	le.PutUint64(b[24:], uint64(t.put.UnixNano()))
	copy(b[32:48], t.id.ID[:])
	copy(b[48:64], t.id.TraceID[:])
	copy(b[64:72], t.id.SpanID[:])
	copy(b[serviceAt:serviceAt+serviceLen], t.id.Service)
	copy(b[triggerAt:triggerAt+triggerLen], t.trigger)
	le.PutUint32(b[sumAt:], crc32.Checksum(b[:sumAt], castagnoli))
	return b
}

// parseTrailer reads what encode writes, and nothing else. The file has
// fileSize bytes.
func parseTrailer(b []byte, fileSize int64) (trailer, error) {
	le := binary.LittleEndian
	bad := func(what string) (trailer, error) { return trailer{}, fmt.Errorf("%w: %s", errDamaged, what) }
	switch {
	case len(b) != trailerLen:
		return bad("it is too short")
	case string(b[:len(trailerMagic)]) != trailerMagic:
		return bad("it does not end as an item does")
	case crc32.Checksum(b[:sumAt], castagnoli) != le.Uint32(b[sumAt:]):
		return bad("the checksum of its end is wrong")
	case le.Uint16(b[8:]) > trailerVersion:
		return trailer{}, errNewer
	}
	t := trailer{
		size: int64(le.Uint64(b[16:])),
		put:  time.Unix(0, int64(le.Uint64(b[24:]))),
		sum:  le.Uint32(b[12:]),
	}
	copy(t.id.ID[:], b[32:])
	copy(t.id.TraceID[:], b[48:])
	copy(t.id.SpanID[:], b[64:])
	if n := int(le.Uint16(b[10:])); n <= serviceLen {
		t.id.Service = string(b[serviceAt : serviceAt+n])
	}
	t.trigger = dump.Trigger(bytes.TrimRight(b[triggerAt:triggerAt+triggerLen], "\x00"))
	switch {
	case t.size < 0 || t.size != fileSize-trailerLen:
		return bad(fmt.Sprintf("it holds %d bytes instead of %d", fileSize-trailerLen, t.size))
	case sink.CheckIdentity(t.id) != nil,
		t.id.Service != "" && t.id.Service != sink.Service(t.id.Service),
		!printable(string(t.trigger)),
		!bytes.Equal(t.encode(), b):
		return bad("its end makes no sense")
	}
	return t, nil
}

// readTrailer reads and checks the end of a file that has that name and size.
// An error that is neither errDamaged nor errNewer is one of reading.
func readTrailer(r io.ReaderAt, name string, fileSize int64) (trailer, error) {
	if fileSize < trailerLen {
		return trailer{}, fmt.Errorf("%w: it is too short", errDamaged)
	}
	var b [trailerLen]byte
	if n, err := r.ReadAt(b[:], fileSize-trailerLen); n < len(b) {
		return trailer{}, readError(err)
	}
	t, err := parseTrailer(b[:], fileSize)
	if err == nil && itemName(t.id) != name {
		err = fmt.Errorf("%w: it is dump %s of trace %s", errDamaged, t.id.ID, t.id.TraceID)
	}
	return t, err
}

// checkContent reads the dump in an item and compares the checksum.
func (t *trailer) checkContent(ctx context.Context, r io.ReaderAt) error {
	buf := make([]byte, min(copySize, t.size))
	sum := uint32(0)
	for off := int64(0); off < t.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := buf[:min(int64(len(buf)), t.size-off)]
		if n, err := r.ReadAt(chunk, off); n < len(chunk) {
			return readError(err)
		}
		sum = crc32.Update(sum, castagnoli, chunk)
		off += int64(len(chunk))
	}
	if sum != t.sum {
		return fmt.Errorf("%w: the checksum of the dump is %08x instead of %08x", errDamaged, sum, t.sum)
	}
	return nil
}

// readError is the error of a read that gave too little.
func readError(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it has become shorter", errDamaged)
	}
	return err
}

// itemName returns the name of a dump's file, "<dump-id>-<trace-id>.cdmp".
func itemName(id dump.Identity) string {
	return id.ID.String() + "-" + id.TraceID.String() + dump.Extension
}

// parseItemName reads what itemName writes, and nothing else.
func parseItemName(name string) (dump.Identity, bool) {
	marker, ok := strings.CutSuffix(name, dump.Extension)
	if !ok {
		return dump.Identity{}, false
	}
	id, err := sink.ParseMarkerName(marker)
	return id, err == nil
}

// class says how much a dump is worth, for the choice of what has to go. A panic
// is rare and somebody asked for a manual dump; of failed spans there may be
// thousands.
type class int

const (
	classFailed  class = iota // set aside: will not be delivered by itself
	classSpan                 // error_span
	classUnknown              // others, and dumps whose header cannot be read
	classPanic                // panic, manual
)

func classOf(t dump.Trigger) class {
	switch t {
	case dump.TriggerErrorSpan:
		return classSpan
	case dump.TriggerPanic, dump.TriggerManual:
		return classPanic
	}
	return classUnknown
}
