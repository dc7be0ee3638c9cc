package capture

import (
	"unsafe"
)

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

// canRestoreSignal says that the offsets of go126 hold. It is the one place where the engine
// writes to what is the runtime's, so on any other release it does not, whatever
// debug info says.
var canRestoreSignal = haveStack && isGo126

// signalOf reads it from a copy of a runtime.g.
func signalOf(g []byte) signalInfo {
	pc := int(go126.gSigPC)
	return signalInfo{sig: uint32(word(g, int(go126.gSig))), code0: word(g, pc-16), code1: word(g, pc-8), pc: word(g, pc)}
}

// restoreSignal puts it back into the calling goroutine, whose runtime.g is at g, if
// canRestoreSignal. Where nothing has changed it writes nothing.
//
//go:norace
//go:nocheckptr
func restoreSignal(g uint64, was signalInfo) {
	base := uintptr(g)
	at := func(off uint64) unsafe.Pointer {
		p := base + uintptr(off)
		return *(*unsafe.Pointer)(unsafe.Pointer(&p))
	}
	sig := (*uint32)(at(go126.gSig))
	code0, code1, pc := (*uint64)(at(go126.gSigPC-16)), (*uint64)(at(go126.gSigPC-8)), (*uint64)(at(go126.gSigPC))
	if now := (signalInfo{*sig, *code0, *code1, *pc}); now != was {
		*sig, *code0, *code1, *pc = was.sig, was.code0, was.code1, was.pc
	}
}
