package spool

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"

	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

var (
	errGone = errors.New("the dump is not in the spool any more")
	errBusy = errors.New("another process has claimed the dump")
)

// claim is the right to upload, move or remove a file. Nobody else who keeps to
// the rules has it at the same time, in this process or in others.
type claim struct {
	root   disk.Folder
	file   disk.File
	name   string // inside the spool folder
	info   fs.FileInfo
	locked bool   // by the operating system
	held   string // its place in the table of those that are not
}

// held has the claims of this process on file systems without locks, by
// absolute path. It is all that can be done there; uploads are idempotent.
var held = struct {
	sync.Mutex
	m map[string]struct{}
}{m: make(map[string]struct{})}

// claim claims a file. The error is errGone or errBusy, or one of the file.
func (s *Spool) claim(root disk.Folder, name string) (*claim, error) {
	// Looked at first: opening a named pipe would wait for its writer.
	info, err := lstatRegular(root, name)
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) || disk.IsReadOnly(err) {
		// It may be locked and read all the same, but for NFS, where locks
		// want files that can be written to.
		f, err = root.OpenFile(name, os.O_RDONLY, 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	c := &claim{root: root, file: f, name: name, info: info}
	ok, err := f.TryLock()
	c.locked = ok
	if errors.Is(err, disk.ErrNoLocks) {
		ok, err = c.hold(filepath.Join(s.dir, filepath.FromSlash(name))), nil
	}
	if err == nil && !ok {
		err = errBusy
	}
	if err == nil {
		err = c.recheck()
	}
	if err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

func lstatRegular(root disk.Folder, name string) (fs.FileInfo, error) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone
	}
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	return info, err
}

// recheck makes sure that the file that was locked is still the one of that name.
// Whoever had it locked before may have removed or moved it meanwhile.
func (c *claim) recheck() error {
	info, err := lstatRegular(c.root, c.name)
	if err != nil {
		return err
	}
	mine, err := c.file.Stat()
	if err != nil {
		return err
	}
	if !c.root.Same(info, mine) {
		return errGone
	}
	c.info = info
	return nil
}

func (c *claim) hold(path string) bool {
	held.Lock()
	defer held.Unlock()
	if _, taken := held.m[path]; taken {
		return false
	}
	held.m[path] = struct{}{}
	c.held = path
	return true
}

// give gives the claim up and keeps the file open for reading.
func (c *claim) give() {
	if c.locked {
		c.locked = false
		_ = c.file.Unlock()
	}
	if c.held != "" {
		held.Lock()
		delete(held.m, c.held)
		held.Unlock()
		c.held = ""
	}
}

// release gives the claim up.
func (c *claim) release() {
	c.give()
	_ = c.file.Close()
}

// remove removes the file.
func (c *claim) remove() error {
	err := c.root.Remove(c.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// move moves the file into another folder of the destination. If the power
// fails before that is on the disk, the file is found where it was, or in both.
func (s *Spool) move(c *claim, dir string) error {
	if err := s.made.Mkdirs(c.root, s.path(dir), dirMode); err != nil {
		return err
	}
	to := s.path(dir, path.Base(c.name))
	if err := c.root.Rename(c.name, to); err != nil {
		return err
	}
	c.name = to
	_ = c.root.SyncDir(s.path(dir))
	return nil
}
