//go:build !amd64 && !arm64

package capture

// Stacks are read on amd64 and arm64 only; see docs/limits.md.

const (
	gsignalBytes = 0
	xRegsBytes   = 0
)

func faultRegisters([]byte, uint64, uint64, uint64) *registers { return nil }

func recoverPreempted([]frame, *region, []byte) {}

func recoverRegisters([]frame, *region, *registers, uint64, func(old, now uint64) bool) {}
