package capture

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// section is one debug section of an object: where its bytes are, and how packed.
type section struct {
	name    string // "info" for .debug_info
	raw     []byte
	size    uint64 // unpacked
	packing packing
}

type packing uint8

const (
	plain packing = iota
	packedZlib
	packedZstd
)

func (p packing) String() string { return [...]string{"none", "zlib", "zstd"}[p] }

// debugNames are the sections that are read; the others (.debug_gdb_scripts, …) do not matter here.
var debugNames = []string{"abbrev", "info", "line", "frame", "loclists", "loc", "rnglists", "ranges", "addr", "str", "line_str", "str_offsets"}

// maxSections bounds the unpacked size of all debug sections of a file.
const maxSections = 4 << 30

// debugSections lists the debug sections of o. The error says what is wrong with one.
func (o *elfFile) debugSections() ([]section, error) {
	var out []section
	total := uint64(0)
	for _, name := range debugNames {
		s := o.elf.Section(".debug_" + name)
		old := s == nil
		if old {
			s = o.elf.Section(".zdebug_" + name)
		}
		if s == nil || s.Type == elf.SHT_NOBITS {
			continue
		}
		sec := section{name: name, raw: o.raw(s), size: s.FileSize}
		if uint64(len(sec.raw)) != s.FileSize {
			return nil, fmt.Errorf("section %s lies outside of the file", s.Name)
		}
		if err := sec.unwrap(old, s.Flags&elf.SHF_COMPRESSED != 0); err != nil {
			return nil, fmt.Errorf("section %s %w", s.Name, err)
		}
		if total += sec.size; sec.size > maxSections || total > maxSections {
			return nil, fmt.Errorf("section %s claims %d bytes", s.Name, sec.size)
		}
		if sec.size > 0 {
			out = append(out, sec)
		}
	}
	return out, nil
}

// unwrap takes off the header of a packed section. Nothing that is packed well
// claims more than its method can pack.
func (s *section) unwrap(old, compressed bool) error {
	switch {
	case old: // .zdebug_: "ZLIB", the size, a zlib stream
		if len(s.raw) < 12 || string(s.raw[:4]) != "ZLIB" {
			return errors.New("has no ZLIB header")
		}
		s.size, s.raw, s.packing = binary.BigEndian.Uint64(s.raw[4:]), s.raw[12:], packedZlib
	case compressed: // Elf64_Chdr
		if len(s.raw) < 24 {
			return errors.New("has no header")
		}
		switch kind := elf.CompressionType(binary.LittleEndian.Uint32(s.raw)); kind {
		case elf.COMPRESS_ZLIB:
			s.packing = packedZlib
		case elf.COMPRESS_ZSTD:
			s.packing = packedZstd
		default:
			return fmt.Errorf("is compressed in a way that is not known: %v", kind)
		}
		s.size, s.raw = binary.LittleEndian.Uint64(s.raw[8:]), s.raw[24:]
	default:
		return nil
	}
	most := uint64(1040) // to one, for zlib
	if s.packing == packedZstd {
		most = 40_000 // blocks of 128 KiB that repeat one byte
	}
	if s.size > most*uint64(len(s.raw))+1024 {
		return fmt.Errorf("claims %d bytes, packed into %d", s.size, len(s.raw))
	}
	return nil
}

// unpackStep is how much is unpacked before others get their turn: about a tenth of a
// millisecond's work, so that a program of one thread is not held up by it.
const unpackStep = 32 << 10

// unpack fills dst, which is as long as the section is large.
func (s *section) unpack(dst []byte) error {
	var r io.Reader
	switch s.packing {
	case plain:
		if copy(dst, s.raw) != len(dst) {
			return io.ErrUnexpectedEOF
		}
		return nil
	case packedZlib:
		z, err := zlib.NewReader(bytes.NewReader(s.raw))
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	case packedZstd:
		z, err := zstd.NewReader(bytes.NewReader(s.raw), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSections), zstd.WithDecoderLowmem(true))
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	}
	for len(dst) > 0 {
		n, err := io.ReadFull(r, dst[:min(unpackStep, len(dst))])
		if err != nil {
			return err
		}
		dst = dst[n:]
		runtime.Gosched()
	}
	// The stream's own checksum is compared where it ends.
	var more [1]byte
	if n, err := r.Read(more[:]); n != 0 || err != io.EOF {
		return fmt.Errorf("does not end where it should: %w", errors.Join(err, errShielded))
	}
	return nil
}

// contentKey names what unpacking the sections gives. A build ID stands for the
// content of a file, and the checksums at the end of zlib streams are among what is
// hashed besides; without a build ID all of the packed data is.
func (o *elfFile) contentKey(secs []section) (key [32]byte) {
	ids := o.buildIDs()
	h := sha256.New()
	fmt.Fprintf(h, "otelcoredumpy debug sections 1\n%q %q %d\n", ids.gnu, ids.gc, len(o.data))
	for i := range secs {
		s := &secs[i]
		fmt.Fprintf(h, "%s %s %d %d\n", s.name, s.packing, s.size, len(s.raw))
		if n := len(s.raw); ids.gnu == "" && ids.gc == "" || n <= 512 {
			h.Write(s.raw)
		} else {
			h.Write(s.raw[:256])
			h.Write(s.raw[n-256:])
		}
	}
	h.Sum(key[:0])
	return key
}

// unpackSections returns the sections by name. What is packed is unpacked outside of
// the Go heap: into a file of the cache, which other processes and later ones map, or, if
// there is no cache that can be used, into memory. What is not packed stays where it
// is in the mapped file. cache may be nil.
func (o *elfFile) unpackSections(secs []section, cache *infoCache) (map[string][]byte, error) {
	out := map[string][]byte{}
	var packed []section
	for _, s := range secs {
		if s.packing == plain {
			out[s.name] = s.raw
		} else {
			packed = append(packed, s)
		}
	}
	if len(packed) == 0 {
		return out, nil
	}
	key := o.contentKey(packed)
	if got := cache.load(key, packed); got != nil {
		for i, s := range packed {
			out[s.name] = got[i]
		}
		return out, nil
	}
	if got := cache.fill(key, packed); got != nil {
		for i, s := range packed {
			out[s.name] = got[i]
		}
		return out, nil
	}
	var made [][]byte
	for i := range packed {
		s := &packed[i]
		b, err := allocOffHeap(int(s.size))
		if err == nil {
			made = append(made, b)
			err = shielded(func() error { return s.unpack(b) })
		}
		if err != nil {
			for _, b := range made {
				freeOffHeap(b)
			}
			return nil, fmt.Errorf("reading section .debug_%s: %w", s.name, err)
		}
		out[s.name] = b
	}
	return out, nil
}
