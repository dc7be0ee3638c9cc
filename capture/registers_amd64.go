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
//
// The registers of SSE lie where the context says, on the same stack (struct
// _fpstate_64, in the FXSAVE format of Intel's SDM, volume 1, 10.5.1). base is where the copy
// was made from.
func faultRegisters(signalStack []byte, base, sigpanic0, g uint64) *registers {
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
		const afterIP = 7 * 8 // fpstate, behind flags, segments, err, trapno, oldmask, cr2
		if off+afterIP+8 <= len(signalStack) {
			fp := word(signalStack, off+afterIP) - base
			if n := uint64(len(signalStack)); fp > uint64(off) && fp < n && n-fp >= 512 {
				r.setSSE(signalStack[fp+160:], 16)
			}
		}
		return &r
	}
	return nil
}

// setSSE sets the low halves of the sixteen registers of SSE, which lie stride bytes apart.
func (r *registers) setSSE(b []byte, stride int) {
	for i := range 16 {
		r.set(17+i, word(b, i*stride))
	}
}

// preemptRegisters are the registers that runtime.asyncPreempt stores at its stack pointer, in
// order (runtime/preempt_amd64.s, Go 1.26). It has pushed BP before, and the flags.
var preemptRegisters = [...]int{0, 2, 1, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15}

// xRegsBytes is how much of a runtime.xRegs is read: sixteen registers at intervals of
// xRegsStride, the size of the widest that there are.
const (
	xRegsStride = 64
	xRegsBytes  = 16 * xRegsStride
)

// recoverPreempted sets the registers of a goroutine that was preempted where it just was.
// xregs is a copy of the goroutine's runtime.xRegs, nil if it could not be read.
func recoverPreempted(frames []frame, stack *region, xregs []byte) {
	for i := 0; i+1 < len(frames); i++ {
		f, caller := &frames[i], &frames[i+1]
		if f.fn == nil || f.fn.name != asyncPreempt {
			continue
		}
		size := uint64(8 * len(preemptRegisters))
		if f.cfa-f.sp != size+24 || !stack.contains(f.sp, int(size+24)) {
			return
		}
		var r registers
		for k, n := range preemptRegisters {
			r.set(n, word(stack.data, int(f.sp-stack.lo)+8*k))
		}
		r.set(regRBP, word(stack.data, int(f.cfa-16-stack.lo)))
		r.set(regRSP, f.cfa)
		if len(xregs) == xRegsBytes {
			r.setSSE(xregs, xRegsStride)
		}
		caller.regs = &r
		return
	}
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
