package capture

// Errors of [Engine.Snapshot] that say that a capture was not begun.
var (
	// ErrBusy says that another capture was under way for longer than this one
	// could wait.
	ErrBusy = errBusy
	// ErrMemory says that the snapshots which are not encoded yet hold as much
	// memory as they may; see Config.MaxPending.
	ErrMemory = errMemory
)
