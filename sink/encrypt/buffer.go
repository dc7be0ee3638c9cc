package encrypt

import (
	"fmt"
	"io"
	"os"
)

// buffer holds an age file until it is stored.
type buffer interface {
	io.Writer
	io.ReaderAt
	Size() int64
	Close() error
}

// newBuffer returns a buffer for size bytes.
func (s *store) newBuffer(size int64) (buffer, error) {
	if size <= s.inMemory {
		return &memoryBuffer{b: make([]byte, 0, size)}, nil
	}
	f, err := os.CreateTemp(s.tempDir, "coredumpy-*.age")
	if err != nil {
		return nil, fmt.Errorf("making a temporary file for an encrypted dump of %d bytes: %w", size, err)
	}
	// Where the system lets us, the file has no name from now on, and so is gone
	// when the process is.
	return &tempFile{f: f, unlinked: os.Remove(f.Name()) == nil}, nil
}

type memoryBuffer struct{ b []byte }

func (m *memoryBuffer) Write(p []byte) (int, error) {
	m.b = append(m.b, p...)
	return len(p), nil
}

func (m *memoryBuffer) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at byte %d", off)
	}
	if off >= int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(p, m.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memoryBuffer) Size() int64  { return int64(len(m.b)) }
func (m *memoryBuffer) Close() error { return nil }

// tempFile does not embed the file, whose other methods would write past size.
type tempFile struct {
	f        *os.File
	size     int64
	unlinked bool
}

func (t *tempFile) Write(p []byte) (int, error) {
	n, err := t.f.Write(p)
	t.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("writing an encrypted dump to a temporary file: %w", err)
	}
	return n, nil
}

func (t *tempFile) ReadAt(p []byte, off int64) (int, error) { return t.f.ReadAt(p, off) }
func (t *tempFile) Size() int64                             { return t.size }

// Close removes the file.
func (t *tempFile) Close() error {
	err := t.f.Close()
	if !t.unlinked {
		_ = os.Remove(t.f.Name()) // it holds no secret
	}
	return err
}
