//go:build amd64 || arm64

package capture

// haveStack says that this architecture's stacks can be copied, and that the
// runtime keeps its panics where this version looks for them.
var haveStack = probePanics()

// getg returns the address of the running goroutine's runtime.g.
func getg() uintptr

// copyStack copies up to n bytes of the running goroutine's stack, from the caller's
// stack pointer upwards, to dst. It returns that stack pointer, the end of the stack
// (g.stack.hi), how many bytes it copied, and the address to which it returns in the caller.
//
//go:noescape
func copyStack(dst *byte, n uintptr) (sp, hi, copied, pc uintptr)
