package capture

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

// elfFile is an ELF file that is mapped into memory: the executable, a file with its
// debug info, or a plugin. The mapping stays as long as the process does.
type elfFile struct {
	path string
	data []byte
	elf  *elf.File
}

// openELF maps the file at path.
func openELF(path string) (*elfFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mapELF(path, f)
}

func mapELF(path string, f *os.File) (*elfFile, error) {
	data, err := mapFile(f)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	o, err := newELF(path, data)
	if err != nil {
		unmapFile(data)
		return nil, err
	}
	return o, nil
}

// newELF reads the headers of the ELF file whose bytes are data. They may change
// or go away while they are read: all that reads them does so within [shielded].
func newELF(path string, data []byte) (o *elfFile, err error) {
	defer func() {
		if p := recover(); p != nil {
			o, err = nil, fmt.Errorf("%s is damaged: %v", path, p)
		}
	}()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s is no ELF file: %w", path, err)
	}
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
		return nil, fmt.Errorf("%s is not for a 64-bit little-endian machine", path)
	}
	return &elfFile{path, data, f}, nil
}

func (o *elfFile) close() { unmapFile(o.data) }

// raw returns the bytes of a section as they are in the file, nil if it has none there.
func (o *elfFile) raw(s *elf.Section) []byte {
	if s == nil || s.Type == elf.SHT_NOBITS || s.Offset > uint64(len(o.data)) || s.FileSize > uint64(len(o.data))-s.Offset {
		return nil
	}
	return o.data[s.Offset : s.Offset+s.FileSize : s.Offset+s.FileSize]
}

// buildIDs are what tells builds of a program from each other.
type buildIDs struct {
	gnu string // hexadecimal; of the note that linkers write (--build-id, go build since 1.24)
	gc  string // Go's own, as go tool buildid prints it
}

func (o *elfFile) buildIDs() (ids buildIDs) {
	for _, s := range o.elf.Sections {
		if s.Type != elf.SHT_NOTE {
			continue
		}
		r := &byteReader{b: o.raw(s)}
		for len(r.b) >= 12 && !r.bad {
			nameSize, descSize, kind := r.u32(), r.u32(), r.u32()
			if nameSize > 1<<10 || descSize > 1<<10 {
				break
			}
			name, desc := r.take(int(nameSize+3)&^3), r.take(min(int(descSize+3)&^3, len(r.b)))
			if r.bad || len(desc) < int(descSize) {
				break
			}
			desc = desc[:descSize]
			switch {
			case kind == 3 && bytes.HasPrefix(name, []byte("GNU\x00")): // NT_GNU_BUILD_ID
				ids.gnu = hex.EncodeToString(desc)
			case kind == 4 && bytes.HasPrefix(name, []byte("Go\x00")): // cmd/internal/buildid
				ids.gc = string(desc)
			}
		}
	}
	return ids
}

var errShielded = errors.New("the debug info has gone away, or is damaged")

// shielded runs f, which reads mapped files, and makes an error of whatever goes
// wrong: the pages of a file that somebody has cut short are gone (SIGBUS), and damaged data
// may lead package dwarf astray.
func shielded(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errShielded, p)
		}
	}()
	return f()
}
