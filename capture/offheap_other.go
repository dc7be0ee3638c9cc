//go:build !unix

package capture

func allocOffHeap(n int) ([]byte, error) { return make([]byte, n), nil }

func freeOffHeap([]byte) {}
