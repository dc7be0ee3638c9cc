package capture

import "fmt"

// A stack that would have to grow beyond what runtime/debug.SetMaxStack allows, and a
// heap that would have to grow beyond what the address space is limited to, end the program;
// nothing can recover that. A program which is that close to an end of its own must
// not be pushed over it by us.

// ownStack is how much stack phase one may need.
const ownStack = 64 << 10

// stackIsFull reports whether phase one might need more stack than the goroutine may
// have.
func (s *Snapshot) stackIsFull() bool {
	if s.hi == 0 || s.lo == 0 || s.startSP-s.lo > ownStack {
		return false
	}
	// It grows to twice the size (runtime.newstack).
	largest := uint64(1 << 20) // the limit is not known; nobody sets it to less than that
	if at := s.e.symbols.Load().maxStack; at != 0 {
		guarded(func() {
			r := reader{Memory: self{}}
			if n, err := r.word(at); err == nil {
				largest = n
			}
		})
	}
	return 2*(s.hi-s.lo) >= largest
}

// elsewhere has another goroutine do phase one, while the failing one waits.
func (s *Snapshot) elsewhere(start int64) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("capture failed: %v", p)
			}
		}()
		err = s.phaseOne(start)
	}()
	<-done
	return err
}

// spaceError says that haveRoom found none.
type spaceError struct{}

func (spaceError) Error() string {
	return "the address space (RLIMIT_AS) has no room left for a capture"
}
func (spaceError) Is(target error) bool { return target == errMemory }

// heapGrowth is by how much the Go heap grows at least when it needs more address
// space (heapArenaBytes in runtime/malloc.go), once for us and once for the program.
const heapGrowth = 2 * heapArenaBytes
