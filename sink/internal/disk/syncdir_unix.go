//go:build !windows

package disk

import (
	"errors"
	"os"
	"syscall"
)

// syncDir flushes a folder's entries to the disk.
func syncDir(dir *os.File) error {
	err := dir.Sync()
	// Some network and user-space file systems cannot flush folders; there is
	// nothing else to be done on them.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
