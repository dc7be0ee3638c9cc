package capture

import "unsafe"

// A fault of ours while we read memory that may be anything leaves its mark in
// the goroutine: g.sig, sigcode0, sigcode1 and sigpc (runtime/runtime2.go), and to
// recover from it clears g.sig. If the process dies of its panic afterwards, the runtime
// prints them: "[signal SIGSEGV … addr=… pc=…]", with our address in place of the
// program's, or not at all. So they are put back.

// signalInfo is what a goroutine knows of its last fault.
type signalInfo struct {
	sig              uint32
	code0, code1, pc uint64
}

// signalOf reads it from a copy of a runtime.g.
func signalOf(g []byte, l *layout) signalInfo {
	pc := int(l.gSigPC)
	return signalInfo{sig: uint32(word(g, int(l.gSig))), code0: word(g, pc-16), code1: word(g, pc-8), pc: word(g, pc)}
}

// restoreSignal puts it back into the calling goroutine, whose runtime.g is at g.
//
//go:norace
//go:nocheckptr
func restoreSignal(g uint64, l *layout, was signalInfo) {
	base := uintptr(g)
	at := func(off uint64) unsafe.Pointer {
		p := base + uintptr(off)
		return *(*unsafe.Pointer)(unsafe.Pointer(&p))
	}
	// What does not look like a signal's number is not one, in a runtime that we
	// do not know.
	const maxSignal = 64
	sig := (*uint32)(at(l.gSig))
	if *sig > maxSignal || was.sig > maxSignal {
		return
	}
	*sig = was.sig
	*(*uint64)(at(l.gSigPC - 16)), *(*uint64)(at(l.gSigPC - 8)), *(*uint64)(at(l.gSigPC)) = was.code0, was.code1, was.pc
}
