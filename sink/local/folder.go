package local

import (
	"path"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// folder is what the Sink needs of the store's folder, which no name and no
// symbolic link leads out of. Tests put one in its place that fails.
type (
	folder = disk.Folder
	file   = disk.File
)

// open opens the folder of the store, which must be there.
func (s *Sink) open(dir string) (folder, error) { return s.sys.Open(dir) }

// mkdirs makes a folder of the store and its parents, and sees to it that they
// survive a power failure.
func (s *Sink) mkdirs(root folder, dir string) error { return s.made.Mkdirs(root, dir, dirMode) }

// forgotten reports whether a folder is not worth remembering: there is no end
// to those of traces, and hardly one is used twice.
func forgotten(dir string) bool { return strings.HasPrefix(dir, sink.TracesPrefix) }

// syncParents flushes the folder that a dump lies in, and that folder's own
// entry in its parent.
func (s *Sink) syncParents(root folder, key string) error {
	dir := path.Dir(key)
	if err := root.SyncDir(dir); err != nil {
		return err
	}
	return root.SyncDir(path.Dir(dir))
}
