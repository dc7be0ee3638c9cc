package capture

import "sync"

// store is an instruction that writes to the function's own frame.
type store struct {
	pc   uint64 // DWARF address
	off  uint64 // from the stack pointer
	size uint64
	reg  int // DWARF number of the register that is stored, -1 if unknown
}

// maxCode is how much code of one function is searched for stores.
const maxCode = 1 << 20

// storesOf lists the stores to a function's frame, relative to the stack pointer, which
// does not change between a Go function's prologue and its epilogue.
func (di *debugInfo) storesOf(mem *reader, f *function) []store {
	f.storesOnce.Do(func() {
		n := f.high - f.low
		if n > maxCode {
			return
		}
		code := make([]byte, n)
		if mem.ReadAt(code, f.low+di.bias) == nil {
			f.stores = findStores(code, f.low)
		}
	})
	return f.stores
}

// stores of a function, made when they are first asked for.
type storeList struct {
	storesOnce sync.Once
	stores     []store
}
