package capture

import "encoding/binary"

// gsignalBytes is how much of the signal stack is searched for the fault's
// context: its distance from the stack's end depends on the size of the CPU's
// XSAVE area.
const gsignalBytes = 16 << 10

// DWARF numbers (System V ABI, figure 3.36) of the registers in the order in
// which Linux lays them down in a signal frame (struct sigcontext_64): r8 … r15,
// rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp; rip follows.
var sigcontext = [...]int{8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7}

const (
	regRBP = 6
	regRSP = 7
	regR14 = 14
)

// faultRegisters finds in a copy of the signal stack the general registers at
// the fault that made goroutine g panic. The signal handler has changed two of
// them: rip, to the entry of runtime.sigpanic0, and rsp, to push the faulting pc
// (runtime.(*sigctxt).preparePanic); rsp is put back. g is in R14 in all Go code.
func faultRegisters(signalStack []byte, sigpanic0, g uint64) *registers {
	if sigpanic0 == 0 {
		return nil
	}
	for off := 16 * 8; off+8 <= len(signalStack); off += 8 {
		if binary.LittleEndian.Uint64(signalStack[off:]) != sigpanic0 {
			continue
		}
		var r registers
		for i, n := range sigcontext {
			r.set(n, word(signalStack, off-16*8+i*8))
		}
		if r.val[regR14] != g {
			continue
		}
		r.val[regRSP] += 8
		return &r
	}
	return nil
}

// boundsRegisters are the offsets, from the stack pointer of
// runtime.panicBounds, at which it stores registers (runtime/asm_amd64.s, Go 1.26).
var boundsRegisters = [...]struct{ reg, off int }{
	{0, 16},
	{2, 24},
	{1, 32},
	{3, 40},
	{6, 56},
	{4, 64},
	{5, 72},
	{8, 80},
	{9, 88},
	{10, 96},
	{11, 104},
	{12, 112},
	{13, 120},
	{15, 136},
}

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
			if fault != nil && caller.pc == sigpc {
				// The stack may have moved since; everything on it has moved by the
				// same distance. Where the stack pointer was tells whether it was
				// this fault or an earlier one of the goroutine, which left a context on
				// the stack of a thread that it is on again.
				r := *fault
				sp := r.val[regRSP]
				if !moved(sp, caller.sp) {
					continue
				}
				r.relocate(caller.sp-sp, stack)
				caller.regs = &r
				fault = nil
			}
		case "runtime.panicBounds":
			var r registers
			ok := true
			for _, b := range boundsRegisters {
				if at := f.sp + uint64(b.off); stack.contains(at, 8) {
					r.set(b.reg, word(stack.data, int(at-stack.lo)))
				} else {
					ok = false
				}
			}
			// The assembler has put a frame pointer of panicBounds' own there before: it
			// lies two words below the CFA. The caller's has been pushed to that place.
			if bp := r.val[regRBP]; ok {
				r.relocate(f.cfa-16-bp, stack)
				r.valid &^= 1 << regRBP
			}
			if ok {
				caller.regs = &r
			}
		}
	}
}

// relocate adds delta to the registers that point into the stack as it lay before it moved by
// delta.
func (r *registers) relocate(delta uint64, stack *region) {
	if delta == 0 {
		return
	}
	hi := stack.lo + uint64(len(stack.data))
	for i := range r.val {
		if v := r.val[i] + delta; r.valid&(1<<i) != 0 && v >= stack.lo && v < hi {
			r.val[i] = v
		}
	}
}
