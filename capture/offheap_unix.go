//go:build unix

package capture

import "syscall"

func allocOffHeap(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func freeOffHeap(b []byte) { _ = syscall.Munmap(b) }
