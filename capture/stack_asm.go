//go:build amd64 || arm64

package capture

// haveStack says that this architecture's stacks can be copied.
const haveStack = true

// getg returns the address of the running goroutine's runtime.g.
func getg() uintptr

// copyStack copies up to n bytes of the running goroutine's stack, from its own
// stack pointer upwards, to dst, and returns that stack pointer, the end of the
// stack (g.stack.hi) and how many bytes it copied. On amd64 the first copied
// word is the return address into the caller, whose stack pointer is sp+8.
//
//go:noescape
func copyStack(dst *byte, n uintptr) (sp, hi, copied uintptr)
