package exporter

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
)

// A failing goroutine's stack is looked at before anything else is done about
// the failure: who is on it says whether a panic will be recovered (dying.go), and where
// it comes from is half of what makes two failures alike (fingerprint.go). Most
// failures of a storm get no further than this, so it must cost microseconds. The runtime
// walks a stack at some ten nanoseconds a frame; naming the frames would cost ten times as
// much, so what is to be known of a frame is kept by its program counter.

// frameClass says what a frame is.
type frameClass uint8

const (
	frameRuntime  frameClass = 1 << iota // the Go runtime
	frameGopanic                         // runtime.gopanic
	frameOurs                            // otelcoredumpy, or OpenTelemetry's own machinery
	frameStd                             // the standard library
	frameRecovers                        // known to recover from panics of what it calls
	frameKnown                           // set on every class
)

// skipped are the frames between the failure and where we are asked.
const skipped = frameRuntime | frameGopanic | frameOurs

// stacks looks at the calling goroutine's stack. It is safe for concurrent use.
type stacks struct {
	recoverers map[string]struct{}
	// classes is a cache of the classes of frames, in which a program counter has one place. An
	// entry is the counter, shifted by a byte, and the class.
	classes [4096]atomic.Uint64
	bufs    sync.Pool
}

func newStacks(recoveredBy []string) *stacks {
	s := &stacks{recoverers: make(map[string]struct{})}
	s.bufs.New = func() any { return new([2 * maxWalk]uintptr) }
	for _, list := range [][]string{knownRecoverers, recoveredBy} {
		for _, name := range list {
			s.recoverers[strings.TrimSpace(name)] = struct{}{}
		}
	}
	return s
}

// maxWalk is how many frames are looked at from either end of a stack.
const maxWalk = 512

// place is where a failure comes from.
type place struct {
	// recovers: a function further out than the panic is known to recover.
	recovers bool
	// raised: the runtime raised the panic, no panic statement did.
	raised bool
	// pcs are the innermost n calls, recursion folded.
	pcs [maxPlace]uintptr
	n   int
	// whole stands for all calls that were looked at. Of a panic only.
	whole uint64
	// user is the innermost call that is not the standard library's, 0 if there
	// is none.
	user uintptr
}

// maxPlace is how many calls say where a failure comes from.
const maxPlace = 16

// panicked looks at the calling goroutine's stack, on which a panic is under
// way, at its innermost and outermost few hundred frames.
func (s *stacks) panicked() (p place) {
	buf := s.bufs.Get().(*[2 * maxWalk]uintptr)
	defer s.bufs.Put(buf)
	pcs := buf[:runtime.Callers(2, buf[:maxWalk])]
	if len(pcs) == maxWalk { // deep: skip what lies between
		// Each look at the stack walks it from its top, so the depth is found by
		// doubling and halving.
		const maxDepth = 1 << 20
		last := buf[maxWalk:]
		low, high := maxWalk, 2*maxWalk // there are at least low frames, and fewer than high
		for high < maxDepth && runtime.Callers(high, last[:1]) > 0 {
			low, high = high, 2*high
		}
		for high-low > 1 {
			if m := (low + high) / 2; runtime.Callers(m, last[:1]) > 0 {
				low = m
			} else {
				high = m
			}
		}
		n := runtime.Callers(max(2+maxWalk, high-maxWalk), last)
		pcs = buf[:maxWalk+n]
	}
	// Who recovers and panics again with the same value is not where it comes
	// from.
	from, atPanic, again := 0, false, capture.Repanics()
	for i, pc := range pcs {
		c := s.class(pc)
		switch {
		case c&frameGopanic != 0:
			// Of several panics the one furthest out began it; those further
			// in pass it on.
			p.recovers, p.raised = false, false
			atPanic = true
			if again >= 0 {
				from = i
				again--
			}
		case atPanic && c&frameRuntime != 0:
			p.raised = true
		default:
			atPanic = false
			if c&frameRecovers != 0 {
				p.recovers = true
			}
		}
	}
	pcs = s.skip(pcs[from:])
	p.fold(pcs)
	p.user = s.firstUser(pcs)
	h := uint64(offset64)
	for _, pc := range pcs {
		h = (h ^ uint64(pc)) * prime64
	}
	p.whole = h
	return p
}

// FNV-1a, over words instead of bytes.
const (
	offset64 = 14695981039346656037
	prime64  = 1099511628211
)

// failed looks at the innermost frames of the calling goroutine, which has met
// an error.
func (s *stacks) failed() (p place) {
	var pcs [2 * maxPlace]uintptr // half of them suffice, and some are ours and the SDK's
	rest := s.skip(pcs[:runtime.Callers(2, pcs[:])])
	p.fold(rest)
	p.user = s.firstUser(rest)
	if len(rest) > 0 && &rest[len(rest)-1] == &pcs[len(pcs)-1] && (p.n < maxPlace || p.user == 0) {
		s.failedDeep(&p) // in a recursion
	}
	return p
}

//go:noinline
func (s *stacks) failedDeep(p *place) {
	buf := s.bufs.Get().(*[2 * maxWalk]uintptr)
	defer s.bufs.Put(buf)
	rest := s.skip(buf[:runtime.Callers(3, buf[:])])
	p.n = 0
	p.fold(rest)
	p.user = s.firstUser(rest)
}

// skip leaves out the frames that only lead from the failure to us.
func (s *stacks) skip(pcs []uintptr) []uintptr {
	for i, pc := range pcs {
		if s.class(pc)&skipped == 0 {
			return pcs[i:]
		}
	}
	return nil
}

func (s *stacks) firstUser(pcs []uintptr) uintptr {
	for _, pc := range pcs {
		if s.class(pc)&(skipped|frameStd) == 0 {
			return pc
		}
	}
	return 0
}

// fold takes over the innermost calls. A run of calls that is repeated at once,
// as a recursion does it, counts once, so that its depth makes no difference.
func (p *place) fold(pcs []uintptr) {
	const maxCycle = 4
	for _, pc := range pcs {
		p.pcs[p.n] = pc
		p.n++
		for c := 1; c <= maxCycle && 2*c <= p.n; c++ {
			if slices.Equal(p.pcs[p.n-c:p.n], p.pcs[p.n-2*c:p.n-c]) {
				p.n -= c
				break
			}
		}
		if p.n == maxPlace {
			return
		}
	}
}

// class returns what the frame is that has this program counter, as
// runtime.Callers gives it.
func (s *stacks) class(pc uintptr) frameClass {
	at := &s.classes[(pc^pc>>12)%uintptr(len(s.classes))]
	if e := at.Load(); uintptr(e>>8) == pc && e != 0 {
		return frameClass(e)
	}
	c := s.classify(pc)
	if pc>>56 == 0 {
		at.Store(uint64(pc)<<8 | uint64(c))
	}
	return c
}

func (s *stacks) classify(pc uintptr) frameClass {
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	c := frameKnown
	if f.Function == "" {
		return c | frameStd // C code, say
	}
	switch pkg := packageOf(f.Function); {
	case pkg == "runtime" || strings.HasPrefix(pkg, "internal/runtime/"):
		c |= frameRuntime
		if f.Function == "runtime.gopanic" {
			c |= frameGopanic
		}
	case isMachinery(pkg) && !strings.HasSuffix(f.File, "_test.go"):
		c |= frameOurs
	case isStd(pkg):
		c |= frameStd
	}
	if s.knows(f.Function) {
		c |= frameRecovers
	}
	return c
}

// knows reports whether the function, or the one that it is a closure of, is
// known to recover.
func (s *stacks) knows(name string) bool {
	for {
		if _, ok := s.recoverers[name]; ok {
			return true
		}
		i := strings.LastIndexByte(name, '.')
		if i < 0 || !isClosure(name[i+1:]) {
			return false
		}
		name = name[:i]
	}
}

// isClosure reports whether the last part of a function's name is one that the
// compiler gives to a closure: func1, 1, gowrap2, deferwrap1, func1-range2.
func isClosure(s string) bool {
	for _, p := range []string{"func", "gowrap", "deferwrap"} {
		s = strings.TrimPrefix(s, p)
	}
	return s != "" && s[0] >= '0' && s[0] <= '9'
}

// packageOf returns the import path in a function's full name, such as
// "example.com/shop/store.(*Store).Get". Dots of the path's last element are
// written as %2e there.
func packageOf(fn string) string {
	end := len(fn)
	if i := strings.IndexByte(fn, '['); i >= 0 { // type arguments have paths of their own
		end = i
	}
	slash := strings.LastIndexByte(fn[:end], '/') + 1
	dot := strings.IndexByte(fn[slash:], '.')
	if dot < 0 {
		return fn
	}
	pkg := fn[:slash+dot]
	if strings.Contains(pkg[slash:], "%2e") {
		pkg = pkg[:slash] + strings.ReplaceAll(pkg[slash:], "%2e", ".")
	}
	return pkg
}

// packageAt returns the import path of the function at pc.
func packageAt(pc uintptr) string {
	if pc == 0 {
		return ""
	}
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return packageOf(f.Function)
}

const (
	ownPath  = "github.com/otelcoredumpy/otelcoredumpy"
	otelPath = "go.opentelemetry.io/otel"
)

// isMachinery reports whether a package is part of what makes dumps or spans.
// The examples and tests of this module are programs like any other.
func isMachinery(pkg string) bool {
	if rest, ok := strings.CutPrefix(pkg, otelPath); ok {
		return rest == "" || rest[0] == '/'
	}
	switch rest, ok := strings.CutPrefix(pkg, ownPath); {
	case !ok:
		return false
	case rest == "", rest == "/exporter", rest == "/capture":
		return true
	}
	return false
}

// isStd reports whether a package belongs to the standard library: what is
// neither main, nor in a module of the program, nor under a path whose first
// element has a dot, as that of every published module has.
func isStd(pkg string) bool {
	if pkg == "main" {
		return false
	}
	for _, m := range modules() {
		if rest, ok := strings.CutPrefix(pkg, m); ok && (rest == "" || rest[0] == '/') {
			return false
		}
	}
	first, _, _ := strings.Cut(pkg, "/")
	return !strings.Contains(first, ".")
}

// modules returns the paths of the program's modules.
var modules = sync.OnceValue(func() (paths []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path != "" {
			paths = append(paths, m.Path)
		}
	}
	if info.Path != "" && info.Path != "command-line-arguments" {
		paths = append(paths, info.Path)
	}
	return paths
})
