package local

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// folder is what the Sink needs of a file system: an *os.Root, which lets no
// name and no symbolic link lead out of the store. Tests put one in its place
// that fails. Names use "/".
type folder interface {
	Mkdir(name string, mode fs.FileMode) error
	OpenFile(name string, flag int, mode fs.FileMode) (file, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Lstat(name string) (fs.FileInfo, error)
	Rename(from, to string) error
	Remove(name string) error
	SyncDir(name string) error
	Close() error
}

type file interface {
	io.ReaderAt
	io.Writer
	Stat() (fs.FileInfo, error)
	Sync() error
	Close() error
}

type osFolder struct{ *os.Root }

func openFolder(dir string) (folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return osFolder{root}, nil
}

func (f osFolder) OpenFile(name string, flag int, mode fs.FileMode) (file, error) {
	opened, err := f.Root.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return opened, nil
}

func (f osFolder) ReadDir(name string) ([]fs.DirEntry, error) {
	dir, err := f.Root.Open(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.ReadDir(-1)
}

func (f osFolder) SyncDir(name string) error {
	dir, err := f.Root.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return syncDir(dir)
}

// makeDir makes the folder of the store and whatever parents are missing.
func makeDir(dir string) error {
	info, err := os.Stat(dir)
	if err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: errNotDir}
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// The parents are not ours: they may not be readable for us, and what is
	// not readable cannot be flushed. Then the file system decides when.
	if f, err := os.Open(parent); err == nil {
		_ = syncDir(f)
		_ = f.Close()
	}
	return nil
}

var errNotDir = errors.New("a file is in the place of the folder")

// mkdirs makes a folder of the store and its parents, and sees to it that they
// survive a power failure.
func (s *Sink) mkdirs(root folder, dir string) error {
	for i := 0; i <= len(dir); i++ {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		name := dir[:i]
		err := root.Mkdir(name, dirMode)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err != nil {
			if s.isSynced(name) {
				continue
			}
			info, err := root.Lstat(name)
			if err != nil {
				return err
			}
			if !info.IsDir() {
				return &fs.PathError{Op: "mkdir", Path: name, Err: errNotDir}
			}
		}
		// Also if it was there already: whoever made it may not have got this
		// far.
		if err := root.SyncDir(path.Dir(name)); err != nil {
			return err
		}
		s.setSynced(name)
	}
	return nil
}

// syncParents flushes the folder that a dump lies in, and that folder's own
// entry in its parent.
func (s *Sink) syncParents(root folder, key string) error {
	dir := path.Dir(key)
	if err := root.SyncDir(dir); err != nil {
		return err
	}
	return root.SyncDir(path.Dir(dir))
}

// isSynced reports whether this Sink has flushed a folder's entry before.
// Folders of traces are not remembered: there is no end to them, and hardly one
// is used twice.
func (s *Sink) isSynced(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.synced[dir]
	return ok
}

func (s *Sink) setSynced(dir string) {
	if strings.HasPrefix(dir, sink.TracesPrefix) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced[dir] = struct{}{}
}
