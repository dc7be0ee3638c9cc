package capture

// insn is what one machine instruction means for where values lie: which registers
// and which part of the frame it overwrites, and whether it does nothing but copy.
type insn struct {
	off    uint32 // in the function
	n      uint8  // bytes
	kind   insnKind
	target int32 // of a direct jump or call, in the function's offsets

	kill uint32 // registers that it writes to, as places

	// A copy of width bytes between registers, or between one and the frame. from
	// and to are registers as places, -1: memory at mem. width 0: no copy.
	width    uint8
	from, to int8

	// Memory relative to the stack pointer: read if only load, else written to.
	mem    int32
	load   bool
	store  uint8 // bytes that it writes at mem, 0: none
	rmw    bool  // what it writes is made of what was there
	wild   bool  // it writes to the frame, nobody knows where
	spMove int32 // what it adds to the stack pointer
	lea    bool  // it takes the address of memory at mem
	// data is the address, relative to the function, that it puts into register to.
	data    int64
	hasData bool
	base    int8 // register that an indirect jump's table is in, -1: unknown
}

type insnKind uint8

const (
	insnPlain insnKind = iota
	insnJump
	insnBranch
	insnCall
	insnReturn       // returns or jumps out of the function
	insnStop         // never goes on
	insnJumpIndirect // through a table, or out of the function
)
