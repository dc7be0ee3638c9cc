package capture

import "syscall"

// haveRoom reports whether the address space, if it is limited (RLIMIT_AS), has
// room for n more bytes.
func haveRoom(n int64) bool {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_AS, &l) != nil || l.Cur == ^uint64(0) {
		return true
	}
	n += heapGrowth
	if int64(int(n)) != n {
		return false
	}
	// The kernel is asked, for it alone knows; nothing is touched.
	b, err := syscall.Mmap(-1, 0, int(n), syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return false
	}
	return syscall.Munmap(b) == nil
}
