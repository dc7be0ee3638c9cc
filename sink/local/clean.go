package local

import (
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

const (
	// staleAfter is the age from which a temporary file is taken for the
	// remains of a process that died. No Put lasts that long.
	staleAfter = 24 * time.Hour

	// cleanEvery is how often a Sink looks for such remains.
	cleanEvery = time.Hour
)

// clean removes what processes that died left in tmpDir. It is a favour to the
// disk and not part of anybody's Put, so trouble is left to the next time.
func (s *Sink) clean(root folder) {
	now := s.now()
	s.mu.Lock()
	due := s.cleaned.IsZero() || now.Sub(s.cleaned) >= cleanEvery
	if due {
		s.cleaned = now
	}
	s.mu.Unlock()
	if !due {
		return
	}
	files, err := readDir(root, tmpDir+"/")
	if err != nil {
		return
	}
	for _, f := range files {
		if !f.Type().IsRegular() || !isTmpName(f.Name()) {
			continue // foreign
		}
		if info, err := f.Info(); err == nil && now.Sub(info.ModTime()) > staleAfter {
			_ = root.Remove(tmpDir + "/" + f.Name())
		}
	}
}

// isTmpName reports whether tmpName can have made the name.
func isTmpName(name string) bool {
	const idLen = 36
	if len(name) != idLen+len("-0123456789abcdef.tmp") || !strings.HasSuffix(name, ".tmp") || name[idLen] != '-' {
		return false
	}
	_, err := dump.ParseID(name[:idLen])
	return err == nil
}
