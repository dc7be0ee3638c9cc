package capture

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

const haveCache = true

// errUntrusted is why a cache is not used that somebody else could have written.
var errUntrusted = errors.New("is not used")

// open opens the folder; all that is done in it is done relative to what was opened
// and checked, not to its name.
func (c *infoCache) open(create bool) (*os.Root, error) {
	if create {
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return nil, err
		}
	}
	named, err := os.Lstat(c.dir)
	if err != nil {
		return nil, err
	}
	if named.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("the debug info cache %s %w: it is a symbolic link", c.dir, errUntrusted)
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return nil, err
	}
	st, err := root.Stat(".")
	if err == nil && !os.SameFile(named, st) {
		err = fmt.Errorf("the debug info cache %s %w: it has just become another folder", c.dir, errUntrusted)
	}
	if err == nil {
		if why := untrusted(st); why != "" {
			err = fmt.Errorf("the debug info cache %s %w: it %s", c.dir, errUntrusted, why)
		}
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// untrusted says why a file or folder may have been written by somebody else, "" if
// it may not.
func untrusted(st fs.FileInfo) string {
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return "has no owner that is known"
	case int(sys.Uid) != os.Geteuid():
		return fmt.Sprintf("belongs to user %d, and this process is of user %d", sys.Uid, os.Geteuid())
	case st.Mode().Perm()&0o022 != 0:
		return fmt.Sprintf("can be written by others (%v)", st.Mode().Perm())
	}
	return ""
}

// complain tells what a user can mend; a cache that is merely not there, full or
// read-only is done without.
func (c *infoCache) complain(err error) {
	if errors.Is(err, errUntrusted) {
		c.warn(err)
	}
}

// openFile opens a file of the cache, and checks that nobody else could have
// written it.
func (c *infoCache) openFile(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	named, err := root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !named.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s in the debug info cache %s %w: it is no regular file", name, c.dir, errUntrusted)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err == nil && !os.SameFile(named, st) {
		err = fs.ErrNotExist // replaced in this moment, by a process like this one
	}
	if err == nil {
		if why := untrusted(st); why != "" {
			err = fmt.Errorf("%s in the debug info cache %s %w: it %s", name, c.dir, errUntrusted, why)
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, st, nil
}

// load maps the sections of an earlier fill, nil if there are none that are whole.
func (c *infoCache) load(key [32]byte, secs []section) [][]byte {
	if c == nil {
		return nil
	}
	root, err := c.open(false)
	if err != nil {
		c.complain(err)
		return nil
	}
	defer root.Close()
	return c.loadFrom(root, key, secs)
}

func (c *infoCache) loadFrom(root *os.Root, key [32]byte, secs []section) (got [][]byte) {
	name := cacheFile(key)
	f, st, err := c.openFile(root, name)
	if err != nil {
		c.complain(err)
		return nil
	}
	defer f.Close()
	_, size := cacheLayout(secs)
	if uint64(st.Size()) != size {
		return nil
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	_ = shielded(func() error {
		got = sectionsOfCache(b, key, secs)
		return nil
	})
	if got == nil {
		_ = syscall.Munmap(b)
		return nil
	}
	// Comparing the checksums has touched every page; what is needed comes back by itself.
	_ = syscall.Madvise(b, syscall.MADV_DONTNEED)
	if now := time.Now(); now.Sub(st.ModTime()) > day {
		_ = root.Chtimes(name, now, now) // when it was last used, for prune
	}
	return got
}

const day = 24 * time.Hour

// fillWait is how long a process waits for another one that is filling the same file.
const fillWait = time.Second

// fill unpacks the sections into a file of the cache and returns them, mapped. nil:
// that was not possible, for whatever reason.
func (c *infoCache) fill(key [32]byte, secs []section) [][]byte {
	if c == nil {
		return nil
	}
	offs, size := cacheLayout(secs)
	if int64(size) > c.max {
		return nil
	}
	root, err := c.open(true)
	if err != nil {
		c.complain(err)
		return nil
	}
	defer root.Close()
	if !room(c.dir, size) {
		return nil
	}
	name := cacheFile(key)
	temp := strings.TrimSuffix(name, cacheSuffix) + tempSuffix
	f := lockTemp(root, temp)
	if f == nil {
		return c.loadFrom(root, key, secs) // another process was quicker
	}
	defer f.Close() // and with it the lock goes
	if got := c.loadFrom(root, key, secs); got != nil {
		_ = root.Remove(temp)
		return got
	}
	b, err := mapTemp(f, size)
	if err != nil {
		_ = root.Remove(temp)
		return nil
	}
	var out [][]byte
	err = shielded(func() error {
		var sums []uint32
		for i := range secs {
			p := b[offs[i] : offs[i]+secs[i].size : offs[i]+secs[i].size]
			if err := secs[i].unpack(p); err != nil {
				return err
			}
			out, sums = append(out, p), append(sums, crc32.Checksum(p, castagnoli))
		}
		copy(b, makeCacheHeader(key, size, secs, sums))
		return syscall.Mprotect(b, syscall.PROT_READ)
	})
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		_ = syscall.Munmap(b)
		_ = root.Remove(temp)
		return nil
	}
	_ = syscall.Madvise(b, syscall.MADV_DONTNEED)
	c.prune(root, name)
	return out
}

const tempSuffix = ".tmp"

// lockTemp opens the temporary file and locks it. nil: that cannot be, or another
// process has had it and made the file that it was for.
func lockTemp(root *os.Root, temp string) *os.File {
	for until := time.Now().Add(fillWait); ; time.Sleep(10 * time.Millisecond) {
		f, err := root.OpenFile(temp, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return nil
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			st, err1 := f.Stat()
			named, err2 := root.Lstat(temp)
			if err1 == nil && err2 == nil && st.Mode().IsRegular() && untrusted(st) == "" && os.SameFile(st, named) {
				return f
			}
			f.Close()
			return nil // it has been renamed meanwhile
		}
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(until) {
			return nil
		}
	}
}

// mapTemp gives the file its size, with blocks on the disk for all of it, and maps it.
func mapTemp(f *os.File, size uint64) ([]byte, error) {
	fd := int(f.Fd())
	if err := syscall.Ftruncate(fd, 0); err != nil {
		return nil, err
	}
	// A write to a mapping for which the disk has no room is a fault. Where blocks
	// cannot be reserved there is no cache.
	if err := syscall.Fallocate(fd, 0, 0, int64(size)); err != nil {
		return nil, err
	}
	return syscall.Mmap(fd, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

// keepFree is how much of the disk the cache leaves to others.
const keepFree = 256 << 20

// room reports whether a file of that size may be written.
func room(dir string, size uint64) bool {
	var l syscall.Rlimit // beyond this, a file that grows brings a signal
	if syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l) == nil && size > l.Cur {
		return false
	}
	var s syscall.Statfs_t
	return syscall.Statfs(dir, &s) == nil && s.Bavail > 0 && (size+keepFree)/uint64(s.Bsize) < s.Bavail
}

// cacheAge is how long a file that nobody has used stays.
const cacheAge = 30 * day

// prune removes the files that have not been used for long, and the oldest as long as all
// together are more than c.max. A process that has mapped one keeps what it has.
func (c *infoCache) prune(root *os.Root, keep string) {
	dir, err := root.Open(".")
	if err != nil {
		return
	}
	entries, err := dir.ReadDir(10_000)
	dir.Close()
	if err != nil {
		return
	}
	var files []fs.FileInfo
	for _, e := range entries {
		st, err := e.Info()
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		switch age := time.Since(st.ModTime()); {
		case strings.HasSuffix(e.Name(), tempSuffix) && age > day:
			_ = root.Remove(e.Name())
		case strings.HasSuffix(e.Name(), cacheSuffix):
			files = append(files, st)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	total := int64(0)
	for _, st := range files {
		total += st.Size()
		if st.Name() != keep && (total > c.max || time.Since(st.ModTime()) > cacheAge) {
			_ = root.Remove(st.Name())
			total -= st.Size()
		}
	}
}
