package exporter

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Whether a panic will be recovered cannot be known: any deferred function may
// do it. What can be known is which functions are on the stack. If one of them
// is known to recover from panics of what it calls, the process lives on, and
// the dump is finished in the background; else it is taken to be about to die, and everything is
// written before the panic goes on. Being wrong costs a pause in the one case, a
// dump in the other.

// KnownRecoverers returns the functions that are known to recover from panics of
// what they call. Closures of a function count as the function.
func KnownRecoverers() []string { return slices.Clone(knownRecoverers) }

var knownRecoverers = []string{
	// net/http/server.go and h2_bundle.go of Go 1.26; golang.org/x/net/http2/server.go.
	"net/http.(*conn).serve",
	"net/http.(*http2serverConn).runHandler",
	"net/http.(*timeoutHandler).ServeHTTP",
	"golang.org/x/net/http2.(*serverConn).runHandler",
	// fmt/print.go: a String, Error or Format method that panics.
	"fmt.(*pp).handleMethods",
	// Recovery middlewares and interceptors.
	"github.com/grpc-ecosystem/go-grpc-middleware/recovery.UnaryServerInterceptor",
	"github.com/grpc-ecosystem/go-grpc-middleware/recovery.StreamServerInterceptor",
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery.UnaryServerInterceptor",
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery.StreamServerInterceptor",
	"connectrpc.com/connect.(*recoverHandlerInterceptor).WrapUnary",
	"connectrpc.com/connect.(*recoverHandlerInterceptor).WrapStreamingHandler",
	"github.com/gofiber/fiber/v2/middleware/recover.New",
	"github.com/gofiber/fiber/v3/middleware/recover.New",
	// Job queues.
	"github.com/hibiken/asynq.(*processor).perform",
}

// recoverers are the names of functions that recover.
type recoverers map[string]struct{}

func newRecoverers(extra []string) recoverers {
	r := make(recoverers)
	for _, list := range [][]string{knownRecoverers, extra} {
		for _, name := range list {
			r[strings.TrimSpace(name)] = struct{}{}
		}
	}
	return r
}

// panicStack is what the stack of a panicking goroutine tells.
type panicStack struct {
	recovers bool // a function further out is known to recover
	raised   bool // the runtime raised the panic, no panic statement did
}

// inspect walks the calling goroutine's stack, on which a panic is under way.
// It looks at the innermost and outermost few hundred frames.
func (r recoverers) inspect() panicStack {
	const chunk = 512
	pcs := make([]uintptr, chunk)
	n := runtime.Callers(1, pcs)
	if n == chunk { // deep: skip what lies between
		// Each look at the stack walks it from its top, so the depth is found by
		// doubling and halving.
		const maxDepth = 1 << 20
		last := make([]uintptr, chunk)
		low, high := chunk, 2*chunk // there are at least low frames, and fewer than high
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
		m := runtime.Callers(max(1+chunk, high-chunk), last)
		pcs = append(pcs[:chunk], last[:m]...)
		n = len(pcs)
	}
	var st panicStack
	frames := runtime.CallersFrames(pcs[:n])
	atPanic := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			// Of several panics the one furthest out began it; those further
			// in pass it on.
			st = panicStack{}
			atPanic = true
		case atPanic && (strings.HasPrefix(f.Function, "runtime.") || strings.HasPrefix(f.Function, "internal/runtime/")):
			st.raised = true
		default:
			atPanic = false
			if r.has(f.Function) {
				st.recovers = true
			}
		}
		if !more {
			return st
		}
	}
}

// has reports whether the function, or the one that it is a closure of, is
// known to recover.
func (r recoverers) has(name string) bool {
	for {
		if _, ok := r[name]; ok {
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

// await waits until the dump is stored or lost, before the process dies.
func (e *Exporter) await(rec *record) {
	t := time.NewTimer(e.cfg.Timeout + e.cfg.DyingPutTimeout)
	defer t.Stop()
	select {
	case <-rec.done:
	case <-t.C:
	}
}

// flush flushes the processors, before the process dies. If that took too
// long once for this failure, it is not tried again on the spans further out.
func (e *Exporter) flush(rec *record, nexts ...sdktrace.SpanProcessor) {
	defer e.contain("flushing spans")
	if rec.flushBroken.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), e.cfg.FlushTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			if r := recover(); r != nil {
				e.stats.contained()
			}
			done <- err
		}()
		for _, p := range nexts {
			if e := p.ForceFlush(ctx); e != nil {
				err = e
			}
		}
	}()
	t := time.NewTimer(e.cfg.FlushTimeout + grace)
	defer t.Stop()
	select {
	case err := <-done:
		if err != nil {
			rec.flushBroken.Store(true)
			e.trouble.report("flush", "spans not flushed before the process dies: %v", printable(err))
		}
	case <-t.C:
		rec.flushBroken.Store(true)
		e.trouble.report("flush", "spans not flushed before the process dies within %v", e.cfg.FlushTimeout)
	}
}
