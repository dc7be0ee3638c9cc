package main

// Numbers of system calls that package syscall has not, or has not on every
// architecture.
const (
	sysSeccomp        = 317
	sysOpen           = 2
	sysMemfdCreate    = 319
	sysProcessVMReadv = 310
)
