package capture

import "encoding/binary"

// gsignalBytes is how much of the signal stack is searched for the fault's
// context: its distance from the stack's end depends on which vector
// registers the CPU has.
const gsignalBytes = 24 << 10

// The registers of preempted goroutines are not looked for on arm64 yet; see
// docs/limits.md.
const xRegsBytes = 0

func recoverPreempted([]frame, *region, []byte) {}

const (
	regG  = 28 // Go's own use of it
	regLR = 30
	regSP = 31
)

// faultRegisters finds in a copy of the signal stack the general registers at
// the fault that made goroutine g panic: Linux' struct sigcontext, regs[31], sp, pc. The signal handler
// has changed three of them (runtime.(*sigctxt).preparePanic): pc, to the entry of
// runtime.sigpanic; lr, to look as if that had been called; and sp, to save lr. sp is put back, lr
// is not known. g is in R28 in all Go code.
func faultRegisters(signalStack []byte, _, sigpanic, g uint64) *registers {
	if sigpanic == 0 {
		return nil
	}
	for off := 32 * 8; off+8 <= len(signalStack); off += 8 {
		if binary.LittleEndian.Uint64(signalStack[off:]) != sigpanic {
			continue
		}
		var r registers
		for i := range 32 {
			r.set(i, word(signalStack, off-(32-i)*8))
		}
		if r.val[regG] != g {
			continue
		}
		r.val[regSP] += injectedCallSize
		r.valid &^= 1 << regLR
		return &r
	}
	return nil
}

// Where runtime.panicBounds stores R0 to R15, from its stack pointer
// (runtime/asm_arm64.s, Go 1.26).
const (
	boundsOffset = 24
	boundsCount  = 16
)

// recoverRegisters sets the registers of the frames that the runtime has kept
// them for. fault are those of [faultRegisters], nil if there are none; they belong to
// the frame that faulted at sigpc.
//
// moved reports whether a stack address may have become another one.
func recoverRegisters(frames []frame, stack *region, fault *registers, sigpc uint64, moved func(old, now uint64) bool) {
	for i := 0; i+1 < len(frames); i++ {
		f, caller := &frames[i], &frames[i+1]
		if f.fn == nil {
			continue
		}
		switch f.fn.name {
		case "runtime.sigpanic":
			if fault == nil || caller.pc != sigpc {
				continue
			}
			// See registers_amd64.go.
			r := *fault
			sp := r.val[regSP]
			if !moved(sp, caller.sp) {
				continue
			}
			r.relocate(caller.sp-sp, stack)
			caller.regs = &r
			fault = nil
		case "runtime.panicBounds":
			// If the stack has moved since, nothing among them tells by how much; what they
			// point to there is then found as that of other variables (heap.moved).
			at := f.sp + boundsOffset
			if !stack.contains(at, 8*boundsCount) {
				continue
			}
			var r registers
			for k := range boundsCount {
				r.set(k, word(stack.data, int(at-stack.lo)+8*k))
			}
			caller.regs = &r
		}
	}
}
