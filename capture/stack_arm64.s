#include "textflag.h"

// func getg() uintptr
TEXT ·getg(SB),NOSPLIT,$0-8
	MOVD g, ret+0(FP)
	RET

// func copyStack(dst *byte, n uintptr) (sp, hi, copied, pc uintptr)
//
// Frameless and in assembly, so that the stack neither grows nor shrinks, and
// the goroutine is not preempted, between the reading of SP and the last copied byte.
TEXT ·copyStack(SB),NOSPLIT|NOFRAME,$0-48
	MOVD R30, pc+40(FP)     // the return address
	MOVD 8(g), R0           // g.stack.hi
	MOVD RSP, R1
	MOVD R1, sp+16(FP)
	MOVD R0, hi+24(FP)
	SUB  R1, R0, R2         // how much there is
	MOVD n+8(FP), R3
	CMP  R3, R2
	CSEL HI, R3, R2, R2     // the smaller of the two
	MOVD R2, copied+32(FP)
	MOVD dst+0(FP), R4
	CBZ  R2, done
loop:
	MOVBU.P 1(R1), R5
	MOVB.P  R5, 1(R4)
	SUBS $1, R2, R2
	BNE  loop
done:
	RET
