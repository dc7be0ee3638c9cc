package local_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/sinktest"
)

func newSink(t *testing.T, dir string) *local.Sink {
	t.Helper()
	s, err := local.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keys returns the paths of all files below a folder.
func keys(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
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

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{
		New:    func(t *testing.T) sink.Sink { return newSink(t, filepath.Join(t.TempDir(), "not", "yet")) },
		Reopen: func(t *testing.T, s sink.Sink) sink.Sink { return newSink(t, s.(*local.Sink).Dir()) },
		Keys:   func(t *testing.T, s sink.Sink) []string { return keys(t, s.(*local.Sink).Dir()) },
		Plant: func(t *testing.T, s sink.Sink, key string, content []byte) error {
			path := filepath.Join(s.(*local.Sink).Dir(), filepath.FromSlash(key))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			return os.WriteFile(path, content, 0o600)
		},
	})
}
