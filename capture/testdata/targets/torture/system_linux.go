package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
)

// pointer makes an address a pointer.
//
//go:nocheckptr
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// signalHandlers tells what the kernel has for each signal (rt_sigaction(2)).
func signalHandlers() string {
	var b strings.Builder
	for sig := uintptr(1); sig <= 64; sig++ {
		var act [4]uint64 // handler, flags, restorer, mask
		_, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&act)), 8, 0, 0)
		fmt.Fprintf(&b, "%d %x %d\n", sig, act, e)
	}
	return b.String()
}

// filter is a sock_filter of seccomp(2).
type filter struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// refuse has the kernel answer these system calls with an error from now on, on every thread.
func refuse(errno syscall.Errno, calls ...uintptr) {
	prog := []filter{{code: 0x20, k: 0}} // load the call's number
	for i, c := range calls {
		prog = append(prog, filter{code: 0x15, jt: uint8(len(calls) - i), k: uint32(c)}) // equal: go to the refusal
	}
	prog = append(prog, filter{code: 0x06, k: 0x7fff0000}, filter{code: 0x06, k: 0x00050000 | uint32(errno)}) // allow; errno
	fprog := struct {
		n uint16
		p *filter
	}{uint16(len(prog)), &prog[0]}
	const noNewPrivs, setModeFilter, tsync = 38, 1, 1
	runtime.LockOSThread() // seccomp passes both on to the other threads
	defer runtime.UnlockOSThread()
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, noNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		die("prctl: %v", e)
	}
	if _, _, e := syscall.RawSyscall(sysSeccomp, setModeFilter, tsync, uintptr(unsafe.Pointer(&fprog))); e != 0 {
		die("seccomp: %v", e)
	}
}

func init() {
	hard := func(name string, before, run func()) {
		scenarios = append(scenarios, scenario{name: name, before: before, run: run})
	}
	some := func() {
		for i := range min(rounds, 5) {
			r := panicking(func() { keep(i, func() { var p *node; p.Text = "x" }) })
			if r == nil {
				die("there is no dump")
			}
			if g, err := r.Failing(); err != nil || len(g.Frames) == 0 {
				die("%v, no frames", err)
			}
		}
	}
	// No file can be opened: no debug info, no source.
	hard("no-open", func() { bare = true; refuse(syscall.EPERM, syscall.SYS_OPENAT, sysOpen) }, some)
	hard("no-open-enosys", func() { bare = true; refuse(syscall.ENOSYS, syscall.SYS_OPENAT, sysOpen) }, some)
	// Files can be opened, and then neither be measured, read at a place nor mapped.
	hard("no-read", func() { bare = true; refuse(syscall.EPERM, syscall.SYS_PREAD64) }, some)
	hard("no-files-later", func() {}, func() {
		refuse(syscall.EACCES, syscall.SYS_OPENAT, sysOpen, syscall.SYS_PREAD64, sysMemfdCreate, sysProcessVMReadv)
		some()
	})
	// The address space is limited; to run out of it ends the program.
	hard("address-space", func() {}, func() { crowded(512, some) })
	hard("address-space-cold", func() {
		bare = true
		crowdedFrom(32)
	}, func() {
		if err := engine.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "RLIMIT_AS") {
			die("debug info was read all the same: %v", err)
		}
	})
	hard("address-space-none", func() {}, func() {
		crowded(32, func() {
			for range rounds {
				if _, err := engine.Snapshot(capture.Event{Trigger: "manual"}); !errors.Is(err, capture.ErrMemory) {
					die("there is no room: %v", err)
				}
			}
		})
	})
}

// crowded runs f while only some megabytes of address space are left.
func crowded(megabytes int, f func()) {
	restore := crowdedFrom(megabytes)
	f()
	restore()
}

func crowdedFrom(megabytes int) (restore func()) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		die("%v", err)
	}
	var pages uint64
	_, _ = fmt.Sscan(string(b), &pages)
	var old syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_AS, &old)
	now := old
	now.Cur = pages*uint64(os.Getpagesize()) + uint64(megabytes)<<20
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &now); err != nil {
		die("setrlimit: %v", err)
	}
	return func() { _ = syscall.Setrlimit(syscall.RLIMIT_AS, &old) }
}
