#include "textflag.h"

// func getg() uintptr
TEXT ·getg(SB),NOSPLIT,$0-8
	MOVQ (TLS), AX
	MOVQ AX, ret+0(FP)
	RET

// func copyStack(dst *byte, n uintptr) (sp, hi, copied, pc uintptr)
//
// Frameless and in assembly, so that the stack neither grows nor shrinks, and
// the goroutine is not preempted, between the reading of SP and the last copied byte.
TEXT ·copyStack(SB),NOSPLIT|NOFRAME,$0-48
	MOVQ (TLS), DX
	MOVQ 8(DX), AX          // g.stack.hi
	MOVQ 0(SP), SI          // the return address
	MOVQ SI, pc+40(FP)
	LEAQ 8(SP), SI
	MOVQ SI, sp+16(FP)
	MOVQ AX, hi+24(FP)
	SUBQ SI, AX             // how much there is
	MOVQ n+8(FP), CX
	CMPQ AX, CX
	CMOVQLT AX, CX          // the smaller of the two
	MOVQ CX, copied+32(FP)
	MOVQ dst+0(FP), DI
	CLD
	REP; MOVSB
	RET

