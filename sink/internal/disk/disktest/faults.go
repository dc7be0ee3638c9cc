// Package disktest has file systems for tests: [Faults] fails when told to, and
// [Mem] loses its power.
package disktest

import (
	"errors"
	"io/fs"
	"sync"

	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// Faults is a file system that counts its operations, remembers them, and lets
// some of them fail.
type Faults struct {
	disk.System // on which the operations are carried out

	// Fail is asked before each operation, the n-th counting from 1, and its
	// error is the operation's. It is not called concurrently, and must not be
	// changed while the file system is in use.
	Fail func(n int, op, name string) error

	mu  sync.Mutex
	n   int
	ops []string
}

// Ops returns the operations that were let through, as "op name", in their
// order.
func (f *Faults) Ops() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.ops...)
}

// Reset forgets the operations and counts anew.
func (f *Faults) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n, f.ops = 0, nil
}

func (f *Faults) step(op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if f.Fail != nil {
		if err := f.Fail(f.n, op, name); err != nil {
			return &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	f.ops = append(f.ops, op+" "+name)
	return nil
}

// MakeDir is the operation "makedir".
func (f *Faults) MakeDir(dir string) error {
	if err := f.step("makedir", dir); err != nil {
		return err
	}
	return f.System.MakeDir(dir)
}

// Trust is the operation "trust".
func (f *Faults) Trust(dir string) error {
	if err := f.step("trust", dir); err != nil {
		return err
	}
	return f.System.Trust(dir)
}

// Free is the operation "free".
func (f *Faults) Free(dir string) (int64, error) {
	if err := f.step("free", dir); err != nil {
		return -1, err
	}
	return f.System.Free(dir)
}

// Open is the operation "openroot".
func (f *Faults) Open(dir string) (disk.Folder, error) {
	if err := f.step("openroot", dir); err != nil {
		return nil, err
	}
	inner, err := f.System.Open(dir)
	if err != nil {
		return nil, err
	}
	return &faultFolder{inner, f}, nil
}

type faultFolder struct {
	disk.Folder
	f *Faults
}

func (d *faultFolder) Mkdir(name string, mode fs.FileMode) error {
	if err := d.f.step("mkdir", name); err != nil {
		return err
	}
	err := d.Folder.Mkdir(name, mode)
	if errors.Is(err, fs.ErrExist) {
		d.f.forget("mkdir " + name) // nothing happened
	}
	return err
}

// forget takes back the latest operation of that name.
func (f *Faults) forget(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.ops) - 1; i >= 0; i-- {
		if f.ops[i] == line {
			f.ops = append(f.ops[:i], f.ops[i+1:]...)
			return
		}
	}
}

func (d *faultFolder) OpenFile(name string, flag int, mode fs.FileMode) (disk.File, error) {
	if err := d.f.step("openfile", name); err != nil {
		return nil, err
	}
	inner, err := d.Folder.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return &faultFile{inner, d.f, name}, nil
}

func (d *faultFolder) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := d.f.step("readdir", name); err != nil {
		return nil, err
	}
	return d.Folder.ReadDir(name)
}

func (d *faultFolder) Lstat(name string) (fs.FileInfo, error) {
	if err := d.f.step("lstat", name); err != nil {
		return nil, err
	}
	return d.Folder.Lstat(name)
}

func (d *faultFolder) Rename(from, to string) error {
	if err := d.f.step("rename", to); err != nil {
		return err
	}
	return d.Folder.Rename(from, to)
}

func (d *faultFolder) Remove(name string) error {
	if err := d.f.step("remove", name); err != nil {
		return err
	}
	return d.Folder.Remove(name)
}

func (d *faultFolder) SyncDir(name string) error {
	if err := d.f.step("syncdir", name); err != nil {
		return err
	}
	return d.Folder.SyncDir(name)
}

type faultFile struct {
	disk.File
	f    *Faults
	name string
}

func (w *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := w.f.step("read", w.name); err != nil {
		n, _ := w.File.ReadAt(p[:len(p)/2], off)
		return n, err
	}
	return w.File.ReadAt(p, off)
}

// Write that fails has written half, as on a disk that became full.
func (w *faultFile) Write(p []byte) (int, error) {
	if err := w.f.step("write", w.name); err != nil {
		n, _ := w.File.Write(p[:len(p)/2])
		return n, err
	}
	return w.File.Write(p)
}

func (w *faultFile) Stat() (fs.FileInfo, error) {
	if err := w.f.step("stat", w.name); err != nil {
		return nil, err
	}
	return w.File.Stat()
}

func (w *faultFile) Sync() error {
	if err := w.f.step("sync", w.name); err != nil {
		return err
	}
	return w.File.Sync()
}

func (w *faultFile) TryLock() (bool, error) {
	if err := w.f.step("lock", w.name); err != nil {
		return false, err
	}
	return w.File.TryLock()
}

func (w *faultFile) Unlock() error {
	if err := w.f.step("unlock", w.name); err != nil {
		return err
	}
	return w.File.Unlock()
}

// Close that fails has closed the file, as that of the system.
func (w *faultFile) Close() error {
	err := w.File.Close()
	if serr := w.f.step("close", w.name); serr != nil {
		return serr
	}
	return err
}
