//go:build !(darwin || dragonfly || freebsd || linux || windows)

package cli

// freeSpace returns how many bytes of a disk are free; here that cannot be known.
func freeSpace(string) (int64, bool) { return 0, false }
