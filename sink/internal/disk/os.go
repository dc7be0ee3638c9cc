package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// DirMode is the mode of the folders that this package makes: what a dump
// shows is nobody else's business.
const DirMode = 0o700

// OS is the file system of the operating system. Its Folders are [os.Root].
//
// Trust goes down the path of a folder. In a folder for everybody (writable for
// all, with the sticky bit, such as /tmp) it wants one that belongs to this
// process's user or to root and that nobody else may write to. Elsewhere it
// asks nothing: who may write there is the administrator's choice.
// On Windows temporary folders are each user's own, and it asks nothing at all.
var OS System = system{}

type system struct{}

// MakeDir makes the folder and whatever parents are missing.
func (s system) MakeDir(dir string) error {
	info, err := os.Stat(dir)
	if err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: ErrNotDir}
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := s.MakeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, DirMode); err != nil && !errors.Is(err, fs.ErrExist) {
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

func (system) Open(dir string) (Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return folder{root}, nil
}

func (system) Trust(dir string) error         { return trust(dir) }
func (system) Free(dir string) (int64, error) { return free(dir) }

type folder struct{ *os.Root }

func (f folder) OpenFile(name string, flag int, mode fs.FileMode) (File, error) {
	opened, err := f.Root.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return file{opened}, nil
}

func (f folder) ReadDir(name string) ([]fs.DirEntry, error) {
	dir, err := f.Root.Open(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.ReadDir(-1)
}

func (f folder) SyncDir(name string) error {
	dir, err := f.Root.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return syncDir(dir)
}

func (folder) Same(a, b fs.FileInfo) bool { return os.SameFile(a, b) }

type file struct{ *os.File }

func (f file) TryLock() (bool, error) { return tryLock(f.File) }
func (f file) Unlock() error          { return unlock(f.File) }
