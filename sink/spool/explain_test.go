package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// TestExplainsItsOwn: what can be done about the spool folder does not help a
// destination that is a folder with the same trouble.
func TestExplainsItsOwn(t *testing.T) {
	for _, cause := range []error{disk.ErrNotDir, fs.ErrPermission} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{Passive: true})
			w.dest.setHook(fails(fmt.Errorf("storing in /dumps: %w", cause)))
			w.put(dump.TriggerPanic)
			_, err := w.s.Push(t.Context(), nil)
			if !errors.Is(err, cause) || strings.Contains(err.Error(), "(spool ") {
				t.Errorf("Push: %v", err)
			}
			w.end()
			w.start(Config{})
			time.Sleep(time.Minute)
			w.end()
			settled(t, w.s)
			w.witness.mu.Lock()
			defer w.witness.mu.Unlock()
			for _, line := range w.troubles {
				if strings.Contains(line, "(spool ") {
					t.Errorf("was told: %s", line)
				}
			}
			if own := w.s.explain(cause); !errors.Is(own, cause) || !strings.Contains(own.Error(), "(spool "+memDir) {
				t.Errorf("%v", own)
			}
		})
	}
}

// TestExplainsBoth: the destination has refused a dump, and the spool folder is in
// trouble as well.
func TestExplainsBoth(t *testing.T) {
	dest, w := newStore(), &witness{}
	dest.setHook(fails(sink.Permanent(fmt.Errorf("storing in /dumps: %w", disk.ErrNotDir))))
	broken := false
	s, _ := newFaulty(t, dest, w.watch(Config{Dir: t.TempDir(), Passive: true}), func(_ int, op, _ string) error {
		if broken && op == "rename" {
			return syscall.EACCES
		}
		return nil
	})
	put(t, s, newIdentity(), 10)
	broken = true
	_, err := s.Push(t.Context(), nil)
	if !errors.Is(err, disk.ErrNotDir) || !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "move the file away") ||
		strings.Count(err.Error(), "let this process's user own the folder") != 1 {
		t.Errorf("Push: %v", err)
	}
	shutdown(t, s)
}
