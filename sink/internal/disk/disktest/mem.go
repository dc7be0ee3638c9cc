package disktest

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// Mem is a file system in memory that knows what of it is on the disk, so that
// [Mem.Crash] can tell what is left after the power failed. It follows POSIX:
// what is written to a file is on the disk once the file was flushed, an entry
// of a folder once the folder was flushed. A rename between two folders is one
// step, as in file systems with a journal: flushing the old folder never loses
// the file, flushing the new one may leave it in the old one as well. MakeDir's
// folders are on the disk at once.
type Mem struct {
	// Before, if set, is called before each operation, without any lock held.
	Before func(op, name string)

	// Ignores is an operation that does nothing and reports success: "sync" or
	// "syncdir", to see a test notice it.
	Ignores string

	// FreeBytes is what Free returns.
	FreeBytes int64

	mu      sync.Mutex
	root    *node
	journal []*change // not on the disk, the oldest first
}

// node is a file or a folder.
type node struct {
	dir  bool
	mode fs.FileMode
	time time.Time

	entries map[string]*node // of a folder
	durable map[string]*node // those on the disk
	gone    bool             // a folder that was removed

	data   []byte // of a file; appended to, never written over
	synced []byte // what of it is on the disk

	lock *memFile
}

// change is an entry of a folder that came or went, or moved.
type change struct {
	dir  *node
	name string
	node *node // nil: removed

	from     *node // the folder it moved out of, nil if it did not
	fromName string
}

// NewMem returns an empty file system.
func NewMem() *Mem { return &Mem{root: newDir(0o755), FreeBytes: -1} }

func newDir(mode fs.FileMode) *node {
	return &node{dir: true, mode: mode, time: time.Now(), entries: map[string]*node{}, durable: map[string]*node{}}
}

func (m *Mem) before(op, name string) {
	if m.Before != nil {
		m.Before(op, name)
	}
}

// Keep says how much of what was not flushed a crash leaves.
type Keep int

// The degrees of luck.
const (
	KeepNone Keep = iota // only what was flushed
	KeepSome             // the older part of the rest
	KeepAll
)

// Crash returns the file system as it is found after a power failure now, and
// leaves m as it is. Locks are gone.
func (m *Mem) Crash(rng *rand.Rand, entries, data Keep) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &crash{
		rng: rng, data: data, dirs: map[*node]map[string]*node{}, done: map[*node]*node{},
		entries: func(n *node) map[string]*node { return n.durable },
	}
	switch entries {
	case KeepAll:
		c.entries = func(n *node) map[string]*node { return n.entries }
	case KeepSome:
		for _, ch := range m.journal[:rng.IntN(len(m.journal)+1)] {
			if ch.from != nil {
				delete(c.entriesOf(ch.from), ch.fromName)
			}
			if ch.dir == nil {
				continue
			}
			if ch.node == nil {
				delete(c.entriesOf(ch.dir), ch.name)
			} else {
				c.entriesOf(ch.dir)[ch.name] = ch.node
			}
		}
	}
	return &Mem{root: c.clone(m.root), FreeBytes: m.FreeBytes}
}

type crash struct {
	rng     *rand.Rand
	data    Keep
	entries func(*node) map[string]*node
	dirs    map[*node]map[string]*node // entries of folders that were changed
	done    map[*node]*node
}

// entriesOf returns the entries of a folder for changing.
func (c *crash) entriesOf(n *node) map[string]*node {
	if c.dirs[n] == nil {
		c.dirs[n] = maps.Clone(c.entries(n))
	}
	return c.dirs[n]
}

func (c *crash) clone(n *node) *node {
	if c.done[n] != nil {
		return c.done[n]
	}
	clone := &node{dir: n.dir, mode: n.mode, time: n.time}
	c.done[n] = clone
	if !n.dir {
		kept := n.synced
		switch unsynced := len(n.data) - len(n.synced); {
		case c.data == KeepAll:
			kept = n.data
		case c.data == KeepSome && unsynced > 0:
			// Some of the bytes, and a length that need not fit them.
			whole := len(n.synced) + c.rng.IntN(unsynced+1)
			length := whole + c.rng.IntN(len(n.data)-whole+1)
			kept = make([]byte, length)
			copy(kept, n.data[:whole])
		}
		clone.data = kept[:len(kept):len(kept)]
		clone.synced = clone.data
		return clone
	}
	clone.entries = map[string]*node{}
	entries := c.dirs[n]
	if entries == nil {
		entries = c.entries(n)
	}
	for name, child := range entries {
		clone.entries[name] = c.clone(child)
	}
	clone.durable = maps.Clone(clone.entries)
	return clone
}

// MakeDir makes a folder with its parents.
func (m *Mem) MakeDir(dir string) error {
	m.before("makedir", dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.root
	for _, name := range split(filepath.ToSlash(dir)) {
		next := at.entries[name]
		if next == nil {
			next = newDir(disk.DirMode)
			at.entries[name], at.durable[name] = next, next
		}
		if !next.dir {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: disk.ErrNotDir}
		}
		at = next
	}
	return nil
}

// Trust finds nothing to say.
func (m *Mem) Trust(string) error { return nil }

// Free returns FreeBytes.
func (m *Mem) Free(string) (int64, error) { return m.FreeBytes, nil }

// Open opens a folder.
func (m *Mem) Open(dir string) (disk.Folder, error) {
	m.before("openroot", dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := walk(m.root, filepath.ToSlash(dir))
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &memFolder{m, n}, nil
}

// Files returns the paths and the contents of all files below a folder.
func (m *Mem) Files(dir string) map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	files := map[string][]byte{}
	if n, err := walk(m.root, filepath.ToSlash(dir)); err == nil {
		collect(files, n, "")
	}
	return files
}

func collect(files map[string][]byte, n *node, name string) {
	if !n.dir {
		files[name] = n.data[:len(n.data):len(n.data)]
		return
	}
	for child, c := range n.entries {
		collect(files, c, path.Join(name, child))
	}
}

func split(name string) []string {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// walk finds what has that name below a folder.
func walk(at *node, name string) (*node, error) {
	for _, part := range split(name) {
		if !at.dir {
			return nil, syscall.ENOTDIR
		}
		at = at.entries[part]
		if at == nil {
			return nil, syscall.ENOENT
		}
	}
	return at, nil
}

// memFolder is an open folder of a Mem.
type memFolder struct {
	m    *Mem
	root *node
}

// parent finds the folder that a name lies in.
func (f *memFolder) parent(name string) (*node, string, error) {
	dir, base := path.Split(path.Clean(name))
	n, err := walk(f.root, dir)
	switch {
	case err != nil:
		return nil, "", err
	case !n.dir:
		return nil, "", syscall.ENOTDIR
	case n.gone:
		return nil, "", syscall.ENOENT
	case base == "." || base == ".." || base == "":
		return nil, "", syscall.EINVAL
	}
	return n, base, nil
}

func (f *memFolder) do(op, name string, do func() error) error {
	f.m.before(op, name)
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := do(); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

func (f *memFolder) Mkdir(name string, mode fs.FileMode) error {
	return f.do("mkdir", name, func() error {
		dir, base, err := f.parent(name)
		if err != nil {
			return err
		}
		if dir.entries[base] != nil {
			return syscall.EEXIST
		}
		dir.entries[base] = newDir(mode)
		f.m.journal = append(f.m.journal, &change{dir: dir, name: base, node: dir.entries[base]})
		return nil
	})
}

func (f *memFolder) OpenFile(name string, flag int, mode fs.FileMode) (disk.File, error) {
	var opened *memFile
	err := f.do("openfile", name, func() error {
		dir, base, err := f.parent(name)
		if err != nil {
			return err
		}
		n := dir.entries[base]
		switch {
		case n == nil && flag&os.O_CREATE == 0:
			return syscall.ENOENT
		case n != nil && flag&os.O_EXCL != 0:
			return syscall.EEXIST
		case n != nil && n.dir:
			return syscall.EISDIR
		case n != nil && flag&os.O_TRUNC != 0:
			return errors.New("disktest: O_TRUNC is not known")
		case n == nil:
			n = &node{mode: mode, time: time.Now()}
			dir.entries[base] = n
			f.m.journal = append(f.m.journal, &change{dir: dir, name: base, node: n})
		}
		opened = &memFile{m: f.m, n: n, name: name}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return opened, nil
}

func (f *memFolder) ReadDir(name string) ([]fs.DirEntry, error) {
	var list []fs.DirEntry
	err := f.do("readdir", name, func() error {
		n, err := walk(f.root, name)
		if err != nil {
			return err
		}
		if !n.dir {
			return syscall.ENOTDIR
		}
		for base, child := range n.entries {
			list = append(list, fs.FileInfoToDirEntry(info(base, child)))
		}
		return nil
	})
	return list, err
}

func (f *memFolder) Lstat(name string) (fs.FileInfo, error) {
	var found fs.FileInfo
	err := f.do("lstat", name, func() error {
		n, err := walk(f.root, name)
		if err == nil {
			found = info(path.Base(name), n)
		}
		return err
	})
	return found, err
}

func (f *memFolder) Rename(from, to string) error {
	return f.do("rename", to, func() error {
		source, sourceName, err := f.parent(from)
		if err != nil {
			return err
		}
		target, targetName, err := f.parent(to)
		if err != nil {
			return err
		}
		n, old := source.entries[sourceName], target.entries[targetName]
		if n == nil {
			return syscall.ENOENT
		}
		if n.dir || old != nil && old.dir {
			return syscall.EISDIR
		}
		delete(source.entries, sourceName)
		target.entries[targetName] = n
		f.m.journal = append(f.m.journal, &change{dir: target, name: targetName, node: n, from: source, fromName: sourceName})
		return nil
	})
}

func (f *memFolder) Remove(name string) error {
	return f.do("remove", name, func() error {
		dir, base, err := f.parent(name)
		if err != nil {
			return err
		}
		n := dir.entries[base]
		if n == nil {
			return syscall.ENOENT
		}
		if n.dir && len(n.entries) > 0 {
			return syscall.ENOTEMPTY
		}
		n.gone = n.dir
		delete(dir.entries, base)
		f.m.journal = append(f.m.journal, &change{dir: dir, name: base})
		return nil
	})
}

func (f *memFolder) SyncDir(name string) error {
	return f.do("syncdir", name, func() error {
		dir, err := walk(f.root, name)
		if err != nil {
			return err
		}
		if !dir.dir {
			return syscall.ENOTDIR
		}
		if f.m.Ignores == "syncdir" {
			return nil
		}
		dir.durable = maps.Clone(dir.entries)
		left := f.m.journal[:0]
		for _, ch := range f.m.journal {
			if ch.from == dir {
				// A rename is one step: what left is in its new place now.
				if ch.dir != nil && ch.dir != dir && ch.dir.entries[ch.name] == ch.node {
					ch.dir.durable[ch.name] = ch.node
				}
				continue
			}
			if ch.dir == dir {
				if ch.from == nil {
					continue
				}
				ch.dir = nil // what is left is to go from the old place
			}
			left = append(left, ch)
		}
		clear(f.m.journal[len(left):])
		f.m.journal = left
		return nil
	})
}

func (f *memFolder) Same(a, b fs.FileInfo) bool { return a.Sys() == b.Sys() }
func (f *memFolder) Close() error               { return nil }

// memFile is an open file of a Mem.
type memFile struct {
	m      *Mem
	n      *node
	name   string
	closed bool
}

func (f *memFile) do(op string, do func() error) error {
	f.m.before(op, f.name)
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := fs.ErrClosed
	if !f.closed {
		err = do()
	}
	if err != nil && err != io.EOF { //nolint:errorlint // as a Reader returns it
		err = &fs.PathError{Op: op, Path: f.name, Err: err}
	}
	return err
}

func (f *memFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.do("read", func() error {
		if off < 0 {
			return syscall.EINVAL
		}
		if off >= int64(len(f.n.data)) {
			if len(p) == 0 {
				return nil
			}
			return io.EOF
		}
		n = copy(p, f.n.data[off:])
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (f *memFile) Write(p []byte) (n int, err error) {
	err = f.do("write", func() error {
		f.n.data = append(f.n.data, p...)
		n = len(p)
		return nil
	})
	return n, err
}

func (f *memFile) Stat() (found fs.FileInfo, err error) {
	err = f.do("stat", func() error {
		found = info(path.Base(f.name), f.n)
		return nil
	})
	return found, err
}

func (f *memFile) Sync() error {
	return f.do("sync", func() error {
		if f.m.Ignores == "sync" {
			return nil
		}
		f.n.synced = f.n.data[:len(f.n.data):len(f.n.data)]
		return nil
	})
}

func (f *memFile) TryLock() (ok bool, err error) {
	err = f.do("lock", func() error {
		ok = f.n.lock == nil || f.n.lock == f
		if ok {
			f.n.lock = f
		}
		return nil
	})
	return ok, err
}

func (f *memFile) Unlock() error {
	return f.do("unlock", func() error {
		if f.n.lock == f {
			f.n.lock = nil
		}
		return nil
	})
}

func (f *memFile) Close() error {
	return f.do("close", func() error {
		if f.n.lock == f {
			f.n.lock = nil
		}
		f.closed = true
		return nil
	})
}

// memInfo describes a file or a folder.
type memInfo struct {
	name string
	size int64
	mode fs.FileMode
	time time.Time
	node *node
}

func info(name string, n *node) memInfo {
	mode := n.mode
	if n.dir {
		mode |= fs.ModeDir
	}
	return memInfo{name, int64(len(n.data)), mode, n.time, n}
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.time }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return i.node }
