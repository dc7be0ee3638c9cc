package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// arrival is a dump that was brought here and has no name yet: in memory if it is
// small, as most are, else in a temporary file beside the place that it will
// have.
type arrival struct {
	dir  string
	id   dump.ID
	size int64
	mem  memory // nil: it lies in the file
	file string // "" once there is none, or it has its name
}

// smallDump is the size up to which a dump is brought in memory. Making files
// takes most of the time that bringing many small ones costs us.
const smallDump = 1 << 20

// arrive makes room for a dump, and lets fill put it there.
func (k *copier) arrive(id dump.ID, size int64, fill func(io.WriterAt) error) (*arrival, error) {
	a := &arrival{dir: k.dir, id: id, size: size}
	if size <= smallDump {
		a.mem = make(memory, size)
		return a, fill(a.mem)
	}
	tmp, err := a.create()
	if err != nil {
		return nil, err
	}
	if err = errors.Join(fill(tmp), tmp.Close()); err != nil {
		a.discard()
		return nil, err
	}
	return a, nil
}

// create makes the temporary file.
func (a *arrival) create() (*os.File, error) {
	tmp, err := os.CreateTemp(a.dir, "."+a.id.String()+".*.tmp") // mode 0600: it holds what the process held
	if err == nil {
		a.file = tmp.Name()
	}
	return tmp, err
}

// content opens the dump; done closes it.
func (a *arrival) content() (r io.ReaderAt, done func() error, err error) {
	if a.mem != nil {
		return a.mem, func() error { return nil }, nil
	}
	f, err := os.Open(a.file)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

// place gives the dump its name, at once and as a whole, in the place of whatever
// has the name. The disk is not waited for: the store has the dump, and a copy
// that a power failure has torn is fetched again, see [compare].
func (a *arrival) place(path string) error {
	if a.mem != nil {
		tmp, err := a.create()
		if err != nil {
			return err
		}
		_, err = tmp.Write(a.mem)
		if err = errors.Join(err, tmp.Close()); err != nil {
			return err
		}
	}
	if err := os.Rename(a.file, path); err != nil {
		return err
	}
	a.file = ""
	return nil
}

// discard removes what has no name.
func (a *arrival) discard() {
	if a.file != "" {
		os.Remove(a.file)
		a.file = ""
	}
}

// compare compares a dump with a file. torn says that the file is one that the
// system left behind when the power failed: empty, or nothing but zeros where a
// dump begins.
func compare(a *arrival, path string) (same, torn bool, err error) {
	f, err := openFile(path)
	if err != nil {
		return false, false, err
	}
	defer f.Close()
	r, done, err := a.content()
	if err != nil {
		return false, false, err
	}
	defer done()
	start := make([]byte, min(f.size, 512))
	if _, err := f.ReadAt(start, 0); err != nil {
		return false, false, err
	}
	if len(bytes.Trim(start, "\x00")) == 0 {
		return false, true, nil
	}
	if f.size != a.size {
		return false, false, nil
	}
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); off < a.size; off += int64(len(bufA)) {
		n := min(int64(len(bufA)), a.size-off)
		if _, err := r.ReadAt(bufA[:n], off); err != nil {
			return false, false, err
		}
		if _, err := f.ReadAt(bufB[:n], off); err != nil {
			return false, false, err
		}
		if !bytes.Equal(bufA[:n], bufB[:n]) {
			return false, false, nil
		}
	}
	return true, false, nil
}

// memory is a dump in memory, of a size that does not change.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(m)) || int64(len(p)) > int64(len(m))-off {
		return 0, fmt.Errorf("write of %d bytes at %d of %d: %w", len(p), off, len(m), io.ErrShortWrite)
	}
	return copy(m[off:], p), nil
}

// copyRange copies n bytes at off.
func copyRange(ctx context.Context, w io.WriterAt, r io.ReaderAt, off, n int64, done func(int64)) error {
	buf := make([]byte, min(n, copyChunk))
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := r.ReadAt(buf[:min(n, int64(len(buf)))], off)
		if got == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if _, err := w.WriteAt(buf[:got], off); err != nil {
			return err
		}
		done(int64(got))
		off, n = off+int64(got), n-int64(got)
	}
	return nil
}
