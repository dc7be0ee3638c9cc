package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

const (
	dirMode  = disk.DirMode
	fileMode = 0o600
)

// The folders of a destination.
const (
	itemsDir   = "items"
	failedDir  = "failed"
	damagedDir = "damaged"
	tmpDir     = "tmp"
)

// path returns the name, inside the spool folder, of a file or folder of the
// destination.
func (s *Spool) path(parts ...string) string {
	return s.home + "/" + strings.Join(parts, "/")
}

// create opens the spool folder for a Put, and makes what is missing of it.
func (s *Spool) create() (disk.Folder, error) {
	if err := s.sys.MakeDir(s.dir); err != nil {
		return nil, err
	}
	root, err := s.sys.Open(s.dir)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{tmpDir, itemsDir} {
		if err := s.made.Mkdirs(root, s.path(dir), dirMode); err != nil {
			root.Close()
			return nil, err
		}
	}
	if err := s.sys.Trust(filepath.Join(s.dir, s.home)); err != nil {
		root.Close()
		return nil, err
	}
	s.label(root)
	return root, nil
}

// open opens the spool folder to change what is there, or to send it away. It
// returns fs.ErrNotExist if nothing was ever put there.
func (s *Spool) open() (disk.Folder, error) {
	root, err := s.sys.Open(s.dir)
	if err != nil {
		return nil, err
	}
	if err := s.sys.Trust(filepath.Join(s.dir, s.home)); err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// openToRead opens the spool folder to read it. Whoever can read it may.
func (s *Spool) openToRead() (disk.Folder, error) { return s.sys.Open(s.dir) }

const labelFile = "destination"

// maxLabel is how much of a destination file is read.
const maxLabel = 4096

// label writes the destination's name into its folder, for people and for
// Waiting. It is a favour, so trouble is left to the next Put.
func (s *Spool) label(root disk.Folder) {
	s.mu.Lock()
	done := s.state.labelled
	s.mu.Unlock()
	if done {
		return
	}
	if readLabel(root, s.path(labelFile)) != s.name && s.writeLabel(root) != nil {
		return
	}
	s.mu.Lock()
	s.state.labelled = true
	s.mu.Unlock()
}

func (s *Spool) writeLabel(root disk.Folder) error {
	tmp, f, err := s.openTmp(root, labelFile)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(s.name + "\n"))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = root.Rename(tmp, s.path(labelFile))
	}
	if err != nil {
		_ = root.Remove(tmp)
	}
	_ = f.Close()
	return err
}

// readLabel returns what a destination file says, "" if it cannot be read.
func readLabel(root disk.Folder, name string) string {
	info, err := root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxLabel {
		return ""
	}
	f, err := root.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, info.Size())
	if n, _ := f.ReadAt(b, 0); n < len(b) {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
}

// readDir reads a folder of the spool; one that is not there is empty.
func readDir(root disk.Folder, name string) ([]fs.DirEntry, error) {
	list, err := root.ReadDir(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// lockHome keeps other processes from making room at the same time. It waits
// only so long: without the lock too much may be removed, but nothing wrong.
func (s *Spool) lockHome(ctx context.Context, root disk.Folder) (unlock func()) {
	const patience, poll = 2 * time.Second, 5 * time.Millisecond
	f, err := root.OpenFile(s.path("lock"), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(patience); ; {
		ok, err := f.TryLock()
		if ok || err != nil || time.Now().After(end) || !sleep(ctx, poll) {
			return func() { _ = f.Close() }
		}
	}
}

// sleep waits, and reports whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

const (
	// cleanEvery is how often the background looks for temporary files of
	// processes that died.
	cleanEvery = time.Hour

	// staleAfter is the age from which a temporary file is taken for such a
	// file where files cannot be locked.
	staleAfter = 24 * time.Hour
)

// tmpName returns a name that no other temporary file has.
func tmpName(what string) string {
	return fmt.Sprintf("%s-%016x.tmp", what, rand.Uint64())
}

// isTmpName reports whether tmpName, or label, can have made the name.
func isTmpName(name string) bool {
	const randLen = len("-0123456789abcdef.tmp")
	if len(name) < randLen || !strings.HasSuffix(name, ".tmp") || name[len(name)-randLen] != '-' {
		return false
	}
	head := name[:len(name)-randLen]
	_, err := dump.ParseID(head)
	return err == nil || head == labelFile
}

// clean removes what processes that died left in tmp. Whoever writes there
// holds a lock.
func (s *Spool) clean(root disk.Folder) error {
	files, err := readDir(root, s.path(tmpDir))
	if err != nil {
		return err
	}
	for _, f := range files {
		if !f.Type().IsRegular() || !isTmpName(f.Name()) {
			continue // foreign
		}
		name := s.path(tmpDir, f.Name())
		c, err := s.claim(root, name)
		if err != nil {
			continue // being written, or gone
		}
		if c.locked || time.Since(c.info.ModTime()) > staleAfter {
			if rerr := root.Remove(name); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
				err = rerr
			}
		}
		c.release()
		if err != nil {
			return err
		}
	}
	return nil
}
