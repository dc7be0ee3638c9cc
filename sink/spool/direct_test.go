package spool

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
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
	var results []Result
	var troubles []string
	s := newTestSpool(t, dest, Config{
		Dir: dir, Direct: true,
		OnResult:  func(r Result) { results = append(results, r) },
		OnTrouble: func(kind string, err error) { troubles = append(troubles, kind+": "+err.Error()) },
	})
	defer shutdown(t, s)

	id := newIdentity()
	put(t, s, id, 1000)
	settled(t, s)
	if len(results) != 1 || results[0].Identity != id || results[0].Outcome != Delivered || results[0].Size != 1000 {
		t.Errorf("results %+v", results)
	}
	if len(troubles) == 0 || !strings.HasPrefix(troubles[len(troubles)-1], TroubleDirect) || !strings.Contains(troubles[len(troubles)-1], dir) {
		t.Errorf("troubles %q", troubles)
	}
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
