package main

// Numbers of system calls that package syscall has not, or has not on every
// architecture.
const (
	sysSeccomp        = 277
	sysOpen           = 56 // openat: there is no other
	sysMemfdCreate    = 279
	sysProcessVMReadv = 270
)
