//go:build unix

package capture

import (
	"errors"
	"os"
	"syscall"
)

// mapFile maps a whole file for reading. The file may be closed afterwards.
func mapFile(f *os.File) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() <= 0 || int64(int(st.Size())) != st.Size() {
		return nil, errors.New("it is no file that can be mapped")
	}
	return syscall.Mmap(int(f.Fd()), 0, int(st.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
}

func unmapFile(b []byte) { _ = syscall.Munmap(b) }
