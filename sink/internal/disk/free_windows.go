package disk

import (
	"math"
	"os"

	"golang.org/x/sys/windows"
)

func free(dir string) (int64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return -1, &os.PathError{Op: "free space", Path: dir, Err: err}
	}
	var n uint64
	if err := windows.GetDiskFreeSpaceEx(path, &n, nil, nil); err != nil {
		return -1, &os.PathError{Op: "free space", Path: dir, Err: err}
	}
	return int64(min(n, math.MaxInt64)), nil
}
