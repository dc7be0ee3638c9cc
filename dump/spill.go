package dump

import (
	"fmt"
	"io"
)

// A SpillFile takes what a Writer does not want to keep in memory; an [os.File]
// that was just created is one.
type SpillFile interface {
	io.Writer   // appends
	io.ReaderAt // reads what was written
}

// WithSpill makes the Writer keep at most limit bytes of compressed sections in
// memory, and append the others to file until they are written by Close. So
// writing takes memory for the records of one section and not for a whole dump,
// however large that is.
//
// The file must be empty. It stays the caller's, who removes it when Close has
// returned or the Writer is not needed any more. What is in it is no dump; it has
// the values of the program in the clear, as the dump has.
func WithSpill(file SpillFile, limit int) WriterOption {
	return writerOption(func(w *Writer) { w.spill = spill{file: file, limit: int64(limit)} })
}

// spill keeps finished sections, in memory as long as they are few.
type spill struct {
	file  SpillFile // nil: all stays in memory
	limit int64
	used  int64 // bytes in memory
	size  int64 // bytes in file
}

// take decides where p is kept.
func (s *spill) take(p *packed) error {
	n := int64(len(p.data))
	if s.file == nil || s.used+n <= s.limit {
		s.used += n
		return nil
	}
	wrote, err := s.file.Write(p.data)
	if err == nil && wrote < len(p.data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("spill a part of the dump: %w", err)
	}
	p.data, p.at = nil, s.size
	s.size += n
	return nil
}

// section returns the bytes of a section that was spilled.
func (s *spill) section(p *packed) io.Reader {
	return io.NewSectionReader(s.file, p.at, frameLen+int64(p.stored))
}
