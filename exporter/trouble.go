package exporter

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
)

// troubleEvery is how often the same kind of trouble is reported.
const troubleEvery = time.Minute

// troubleLog reports what went wrong, at most once a minute for each kind.
//
// It logs on a goroutine of its own: the failing goroutine may hold a lock of
// the very logger (a panic inside of a slog.Handler, say), and would wait for
// itself.
type troubleLog struct {
	logger *slog.Logger
	now    func() time.Time // nil: time.Now

	mu    sync.Mutex
	kinds map[string]*troubleKind
}

type troubleKind struct {
	last    time.Time
	skipped int
}

// maxKinds is how many kinds are told apart; there should be fewer.
const maxKinds = 100

// report logs the message unless one of the same kind was logged within the
// last minute. There is a fixed number of kinds.
func (t *troubleLog) report(kind, format string, args ...any) {
	now := time.Now()
	if t.now != nil {
		now = t.now()
	}
	t.mu.Lock()
	if t.kinds == nil {
		t.kinds = make(map[string]*troubleKind)
	}
	k := t.kinds[kind]
	if k == nil && len(t.kinds) >= maxKinds {
		kind = ""
		k = t.kinds[kind]
	}
	if k == nil {
		k = &troubleKind{}
		t.kinds[kind] = k
	} else if now.Sub(k.last) < troubleEvery {
		k.skipped++
		t.mu.Unlock()
		return
	}
	skipped := k.skipped
	k.last, k.skipped = now, 0
	t.mu.Unlock()

	msg := fmt.Sprintf(format, args...)
	if skipped > 0 {
		msg += fmt.Sprintf(" (and %d times more since the last report)", skipped)
	}
	go t.emit(msg)
}

func (t *troubleLog) emit(msg string) {
	defer func() { _ = recover() }() // a logger that panics has nowhere to say so
	if t.logger != nil {
		t.logger.Warn("otelcoredumpy: " + msg)
		return
	}
	otel.Handle(fmt.Errorf("otelcoredumpy: %s", msg))
}

// printable prints a recovered value of our own code without calling methods
// that might panic in turn.
func printable(r any) string {
	var s string
	switch v := r.(type) {
	case string:
		s = v
	case error:
		s = func() (s string) {
			defer func() {
				if recover() != nil {
					s = fmt.Sprintf("%T", v)
				}
			}()
			return v.Error()
		}()
	default:
		s = fmt.Sprintf("%T", v)
	}
	return shorten(s, 512)
}

// shorten cuts s to at most n bytes, at a character.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
