//go:build !windows

package disk

import (
	"errors"
	"syscall"
)

// IsFull reports whether an error says that no more fits on the disk, or that
// the user may not use more of it.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, errQuota)
}

// IsReadOnly reports whether an error says that the file system takes no
// changes.
func IsReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }
