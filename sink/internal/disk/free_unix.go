//go:build darwin || dragonfly || freebsd || linux

package disk

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// free asks for what an unprivileged process may use. Superfluous conversions
// are those of other systems.
func free(dir string) (int64, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "statfs", Path: dir, Err: err}
		}
		break
	}
	blocks, size := int64(st.Bavail), int64(st.Bsize) //nolint:unconvert // the types differ between systems
	switch {
	case size <= 0:
		return -1, nil
	case blocks <= 0: // negative on FreeBSD when only root may write
		return 0, nil
	case blocks > math.MaxInt64/size:
		return math.MaxInt64, nil
	}
	return blocks * size, nil
}
