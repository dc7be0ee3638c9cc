package capture

import (
	"encoding/binary"
	"errors"
	"runtime/debug"
	"unsafe"
)

// Memory is where a capture reads from: this process, another one, a core file,
// or copied stacks laid over any of them.
type Memory interface {
	// ReadAt fills buf with the bytes at addr. It fills all of it or fails.
	ReadAt(buf []byte, addr uint64) error
}

var errUnreadable = errors.New("memory cannot be read")

// minAddress is below every address that a Go process maps; runtime.minLegalPointer
// is the same number.
const minAddress = 4096

// self is the memory of this process. Its reads are guarded by
// debug.SetPanicOnFault, which the goroutine that reads must have switched on
// (see [guarded]): a fault is then a panic that ReadAt recovers.
type self struct{}

func (self) ReadAt(buf []byte, addr uint64) (err error) {
	if len(buf) == 0 {
		return nil
	}
	if addr < minAddress || addr+uint64(len(buf)) < addr {
		return errUnreadable
	}
	err = errUnreadable
	defer func() {
		// recover is dear while the program panics: it looks through the stack.
		if err != nil {
			_ = recover()
		}
	}()
	peek(buf, uintptr(addr))
	return nil
}

// peek copies from an address that may be anything. The race detector must not
// see it, since it races with the program by design (the builtin copy tells it,
// memmove does not), and checkptr must not, since the address is an integer made a
// pointer.
//
//go:norace
//go:nocheckptr
//go:noinline
func peek(buf []byte, addr uintptr) {
	memmove(unsafe.Pointer(unsafe.SliceData(buf)), *(*unsafe.Pointer)(unsafe.Pointer(&addr)), uintptr(len(buf)))
}

// memmove is the runtime's; it is push-linknamed there (runtime/stubs.go).
//
//go:noescape
//go:linkname memmove runtime.memmove
func memmove(to, from unsafe.Pointer, n uintptr)

// guarded runs f with faults of this goroutine turned into panics.
func guarded(f func()) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	f()
}

// region is a copy of [lo, lo+len(data)).
type region struct {
	lo   uint64
	data []byte
}

func (r *region) contains(addr uint64, n int) bool {
	return addr >= r.lo && addr-r.lo+uint64(n) <= uint64(len(r.data)) && addr-r.lo <= uint64(len(r.data))
}

// overlay is a region laid over another memory. A read lies wholly in the one or
// wholly in the other.
type overlay struct {
	region
	under Memory
}

func (o *overlay) ReadAt(buf []byte, addr uint64) error {
	if o.contains(addr, len(buf)) {
		copy(buf, o.data[addr-o.lo:])
		return nil
	}
	return o.under.ReadAt(buf, addr)
}

// reader reads small things from a Memory without allocating: what is passed to an
// interface's method escapes, so the buffer is part of the reader. It belongs to one
// goroutine.
type reader struct {
	Memory
	buf [128]byte
}

// bytes reads n bytes, at most 128. They are good until the next call.
func (r *reader) bytes(addr uint64, n int) ([]byte, error) {
	b := r.buf[:n]
	return b, r.ReadAt(b, addr)
}

func (r *reader) word(addr uint64) (uint64, error) {
	b := r.buf[:8]
	if err := r.ReadAt(b, addr); err != nil {
		return 0, err
	}
	return word(b, 0), nil
}

// readString reads a string header at addr and at most limit bytes of content.
func readString(m Memory, addr uint64, limit int) (string, error) {
	h := make([]byte, 16)
	if err := m.ReadAt(h, addr); err != nil {
		return "", err
	}
	return readStringAt(m, word(h, 0), int64(word(h, 8)), limit)
}

func readStringAt(m Memory, data uint64, n int64, limit int) (string, error) {
	if n < 0 || n > 1<<40 {
		return "", errUnreadable
	}
	b := make([]byte, min(n, int64(limit)))
	if err := m.ReadAt(b, data); err != nil {
		return "", err
	}
	return string(b), nil
}

func word(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }

func putWord(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }

// unsafeString is b as a string; b must not change while it is in use.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
