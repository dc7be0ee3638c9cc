package capture

import "unsafe"

// PanicKey identifies a panic of a goroutine. It stays the same when a deferred
// function recovers the value and panics with it again, as the SDK's span.End does.
// Two panics in succession at the same place with the same value have the same key.
// The zero key is no panic.
type PanicKey struct {
	g         uintptr
	typ, data uintptr // the value
	pc        uintptr // where the first panic with that value was started …
	height    uintptr // … and how far from the stack's end
}

// PanicInFlight reports whether a panic is unwinding the calling goroutine, that is,
// whether the caller was called, however indirectly, by a function that a panic
// runs as deferred. After recover() has been called it is still true until the recovering
// function has returned. It costs about a nanosecond and allocates nothing.
// runtime.Goexit is not a panic. Always false on architectures other than amd64 and
// arm64.
func PanicInFlight() bool {
	return haveStack && newestPanic() != nil
}

// CurrentPanic returns the key of the panic that is unwinding the calling
// goroutine.
func CurrentPanic() (PanicKey, bool) {
	if !haveStack {
		return PanicKey{}, false
	}
	p := newestPanic()
	if p == nil {
		return PanicKey{}, false
	}
	for o := p.link; o != nil; o = o.link {
		if !o.flags[2] && !o.deferret && o.flags[0] && o.arg == p.arg { // recovered, and panicked with again
			p = o
		}
	}
	hi := stackHi()
	return PanicKey{g: getg(), typ: p.arg[0], data: p.arg[1], pc: p.startPC, height: hi - p.startSP}, true
}

// probePanics panics once, and reports whether the runtime's record of it is where
// newestPanic looks for it. Only guarded reads are used: a Go release that has moved
// it must not be a crash.
func probePanics() (ok bool) {
	sentinel := any(&ok)
	want := *(*[2]uintptr)(unsafe.Pointer(&sentinel))
	defer func() { _ = recover() }()
	defer guarded(func() {
		r := reader{Memory: self{}}
		g := uint64(getg())
		lo, err1 := r.word(g)
		hi, err2 := r.word(g + 8)
		p, err3 := r.word(g + gPanicOffset)
		if err1 != nil || err2 != nil || err3 != nil || p < lo || p >= hi {
			return
		}
		b, err := r.bytes(p, 104)
		if err != nil {
			return
		}
		sp := word(b, int(unsafe.Offsetof(runtimePanic{}.startSP)))
		flags := b[unsafe.Offsetof(runtimePanic{}.flags):][:4]
		ok = word(b, 0) == uint64(want[0]) && word(b, 8) == uint64(want[1]) && sp >= lo && sp < hi &&
			flags[0]|flags[1]|flags[2]|flags[3] == 0
	})
	panic(sentinel)
}

// stackHi returns the end of the calling goroutine's stack.
//
//go:norace
//go:nocheckptr
func stackHi() uintptr {
	at := getg() + 8 // runtime.g.stack.hi, "known to runtime/cgo"
	return *(*uintptr)(*(*unsafe.Pointer)(unsafe.Pointer(&at)))
}

// PanicValueIs reports whether the panic that is unwinding the calling goroutine
// has exactly the value v: the same type and the same pointer, without calling a
// method or comparing contents.
func PanicValueIs(v any) bool {
	if !haveStack {
		return false
	}
	p := newestPanic()
	return p != nil && p.arg == *(*[2]uintptr)(unsafe.Pointer(&v))
}

// PanicValue returns the value of the panic that is unwinding the calling
// goroutine, nil if there is none. It is the program's own value, alive: its
// type may be looked at, but to call a method of it is to run code of the program in
// the middle of a failure.
//
//go:nosplit
//go:norace
//go:nocheckptr
func PanicValue() any {
	if !haveStack {
		return nil
	}
	p := newestPanic()
	if p == nil {
		return nil
	}
	return *(*any)(unsafe.Pointer(&p.arg))
}

// Repanics returns how often the value of the panic that is unwinding the calling
// goroutine was recovered and panicked with again: how many calls of
// runtime.gopanic lie on the stack before the one that began it.
func Repanics() int {
	if !haveStack {
		return 0
	}
	p := newestPanic()
	if p == nil {
		return 0
	}
	n, between := 0, 0
	for o := p.link; o != nil; o = o.link {
		if o.flags[2] || o.deferret {
			continue
		}
		between++
		if o.flags[0] && o.arg == p.arg {
			n = between
		}
	}
	return n
}

// runtimePanic is the beginning of runtime._panic (runtime/runtime2.go, Go 1.26;
// TestLayout checks it).
type runtimePanic struct {
	arg      [2]uintptr // the interface value
	link     *runtimePanic
	startPC  uintptr
	startSP  uintptr
	_        [6]uintptr // sp, lr, fp, retpc, deferBitsPtr, slotsPtr
	flags    [3]bool    // recovered, repanicked, goexit
	deferret bool       // deferreturn: normal return, no panic
}

// gPanicOffset is where runtime.g keeps its innermost panic; the assembler knows
// it too ("offset known to liblink").
const gPanicOffset = 32

// newestPanic returns the innermost runtime._panic of the calling goroutine that is
// a panic. It lies on that goroutine's own stack, so only nosplit code may hold
// the pointer as such.
//
//go:nosplit
//go:norace
//go:nocheckptr
func newestPanic() *runtimePanic {
	gp := getg() + gPanicOffset
	p := *(**runtimePanic)(*(*unsafe.Pointer)(unsafe.Pointer(&gp)))
	for p != nil && (p.flags[2] || p.deferret) {
		p = p.link
	}
	return p
}
