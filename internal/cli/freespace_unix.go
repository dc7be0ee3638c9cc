//go:build darwin || dragonfly || freebsd || linux

package cli

import "golang.org/x/sys/unix"

// freeSpace returns how many bytes of the disk that a folder lies on are free for
// who is not root; false if that cannot be known.
func freeSpace(dir string) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return max(int64(st.Bavail), 0) * int64(st.Bsize), true //nolint:unconvert // the types differ between systems
}
