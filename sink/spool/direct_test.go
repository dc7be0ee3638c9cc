package spool

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// TestDirect is about a spool that cannot take dumps.
func TestDirect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(file, "spool")
	dest := newStore()
	w := &witness{}
	s := newTestSpool(t, dest, w.watch(Config{Dir: dir, Direct: true}))
	defer shutdown(t, s)

	id := newIdentity()
	put(t, s, id, 1000)
	settled(t, s)
	if r := w.last(t, id.ID); r.Identity != id || r.Outcome != Delivered || r.Size != 1000 || len(w.outcomes(id.ID)) != 1 {
		t.Errorf("%+v", r)
	}
	w.mu.Lock()
	if !slices.ContainsFunc(w.troubles, func(line string) bool {
		return strings.HasPrefix(line, TroubleDirect+": ") && strings.Contains(line, dir)
	}) {
		t.Errorf("was told of %q", w.troubles)
	}
	w.mu.Unlock()
	if err := s.Forward(t.Context(), id.ID); err != nil {
		t.Errorf("Forward of what is there: %v", err)
	}

	// Neither here nor there.
	gone := errors.New("bucket is gone")
	for _, hook := range []func(context.Context, dump.Identity, int) error{
		func(context.Context, dump.Identity, int) error { return gone },
		func(context.Context, dump.Identity, int) error { panic(gone) },
	} {
		dest.setHook(hook)
		err := s.Put(t.Context(), newIdentity(), bytes.NewReader([]byte("dump")))
		if err == nil || !strings.Contains(err.Error(), gone.Error()) || !strings.Contains(err.Error(), dir) {
			t.Errorf("Put: %v, want both reasons", err)
		}
	}
	dest.setHook(nil)

	plain := newTestSpool(t, dest, Config{Dir: dir})
	defer shutdown(t, plain)
	if err := plain.Put(t.Context(), newIdentity(), bytes.NewReader([]byte("dump"))); err == nil {
		t.Error("without Direct a dump went past the spool")
	}
}
