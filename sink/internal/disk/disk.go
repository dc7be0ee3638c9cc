// Package disk is what the stores that lie on a disk (packages local and spool)
// need of a file system, as interfaces: [OS] is the real one, and package
// disktest has one that fails and one that loses its power.
//
// Names inside a [Folder] use "/" on every operating system. Nothing in a
// Folder leads out of it: neither a name nor a symbolic link.
package disk

import (
	"errors"
	"io"
	"io/fs"
)

// ErrNotDir says that something else is where a folder should be.
var ErrNotDir = errors.New("a file is in the place of the folder")

// System is a file system.
type System interface {
	// MakeDir makes a folder and whatever parents are missing, and flushes what
	// it has made as far as it may.
	MakeDir(dir string) error
	// Open opens a folder, which must be there.
	Open(dir string) (Folder, error)
	// Trust reports why others could replace the folder, which must be there,
	// or what lies in it; see [OS].
	Trust(dir string) error
	// Free returns how many bytes this process may still write to the file
	// system that the folder lies on; negative if that is not known.
	Free(dir string) (int64, error)
}

// Folder is an open folder.
type Folder interface {
	Mkdir(name string, mode fs.FileMode) error
	OpenFile(name string, flag int, mode fs.FileMode) (File, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Lstat(name string) (fs.FileInfo, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir flushes the entries of a folder.
	SyncDir(name string) error
	// Same reports whether two descriptions are of one file.
	Same(a, b fs.FileInfo) bool
	Close() error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.Writer
	Stat() (fs.FileInfo, error)
	Sync() error
	// TryLock locks the file against every other opening of it that locks it,
	// in this process and in others, and reports whether it could. The lock
	// ends with the process, with Unlock or with Close. It stops no one from
	// reading, writing, renaming or removing the file. ErrNoLocks says that the
	// file system has no such locks.
	TryLock() (bool, error)
	Unlock() error
	Close() error
}

// ErrNoLocks says that files cannot be locked there.
var ErrNoLocks = errors.New("files cannot be locked here")
