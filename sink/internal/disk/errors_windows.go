package disk

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// IsFull reports whether an error says that no more fits on the disk, or that
// the user may not use more of it.
func IsFull(err error) bool {
	for _, full := range []error{
		windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED,
		syscall.ENOSPC, // what tests put in
	} {
		if errors.Is(err, full) {
			return true
		}
	}
	return false
}

// IsReadOnly reports whether an error says that the file system takes no
// changes.
func IsReadOnly(err error) bool {
	return errors.Is(err, windows.ERROR_WRITE_PROTECT) || errors.Is(err, syscall.EROFS)
}
