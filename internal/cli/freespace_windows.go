package cli

import (
	"math"

	"golang.org/x/sys/windows"
)

// freeSpace returns how many bytes of the disk that a folder lies on are free for
// this user; false if that cannot be known.
func freeSpace(dir string) (int64, bool) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var n uint64
	if err := windows.GetDiskFreeSpaceEx(path, &n, nil, nil); err != nil {
		return 0, false
	}
	return int64(min(n, math.MaxInt64)), true
}
