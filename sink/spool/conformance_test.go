package spool

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/sinktest"
)

// filesBelow returns the paths of all files below a folder.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	list := []string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		list = append(list, filepath.ToSlash(rel))
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return list
}

// keysOf returns the keys of all that a Spool and its local destination hold,
// whichever of them does.
func keysOf(t *testing.T, s *Spool) []string {
	t.Helper()
	if !s.cfg.Passive {
		// What is being written at the destination has no key yet.
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	keys := map[string]bool{}
	for _, name := range filesBelow(t, filepath.Join(s.dir, s.home)) {
		if name == labelFile || name == "lock" {
			continue
		}
		f, err := os.Open(filepath.Join(s.dir, s.home, name))
		if os.IsNotExist(err) {
			continue // delivered meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		tr, err := readTrailer(f, filepath.Base(name), info.Size())
		f.Close()
		if err != nil || filepath.Dir(name) != itemsDir {
			keys[name] = true // which nobody wants
			continue
		}
		keys[sink.TraceKey(tr.id)], keys[sink.DayKey(tr.id)] = true, true
	}
	for _, key := range filesBelow(t, s.dest.(*local.Sink).Dir()) {
		keys[key] = true
	}
	var list []string
	for key := range keys {
		list = append(list, key)
	}
	return list
}

func TestConformance(t *testing.T) {
	for name, passive := range map[string]bool{"Active": false, "Passive": true} {
		t.Run(name, func(t *testing.T) {
			open := func(t *testing.T, dir string) *Spool {
				dest, err := local.New(filepath.Join(dir, "dumps"))
				if err != nil {
					t.Fatal(err)
				}
				s, err := New(dest, Config{Dir: filepath.Join(dir, "spool"), Passive: passive, MinFree: -1})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { shutdown(t, s) })
				return s
			}
			sinktest.Run(t, sinktest.Harness{
				New: func(t *testing.T) sink.Sink { return open(t, t.TempDir()) },
				Reopen: func(t *testing.T, s sink.Sink) sink.Sink {
					return open(t, filepath.Dir(s.(*Spool).dir))
				},
				Keys: func(t *testing.T, s sink.Sink) []string { return keysOf(t, s.(*Spool)) },
				Plant: func(t *testing.T, s sink.Sink, key string, content []byte) error {
					path := filepath.Join(s.(*Spool).dest.(*local.Sink).Dir(), filepath.FromSlash(key))
					if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
						return err
					}
					return os.WriteFile(path, content, 0o600)
				},
			})
		})
	}
}
