package spool

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// found is a file in one of the folders.
type found struct {
	size   int64
	failed bool
}

// scan looks at what is on the disk and brings the state in line with it. Only
// one scan runs at a time.
func (s *Spool) scan(ctx context.Context, root disk.Folder) error {
	select {
	case s.scanning <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.scanning }()

	s.mu.Lock()
	began := s.state.seq
	s.state.gone = make(map[string]struct{})
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.state.gone = nil
		s.mu.Unlock()
	}()

	files := make(map[string]found)
	foreign, err := s.look(root, itemsDir, func(name string, size int64) { files[name] = found{size: size} })
	if err != nil {
		return err
	}
	_, err = s.look(root, failedDir, func(name string, size int64) {
		// A dump that is in both was moved when the power failed. Then it
		// gets another chance.
		if _, both := files[name]; !both {
			files[name] = found{size: size, failed: true}
		}
	})
	if err != nil {
		return err
	}
	var damagedItems int
	var damagedBytes int64
	_, err = s.look(root, damagedDir, func(_ string, size int64) {
		damagedItems++
		damagedBytes += size
	})
	if err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.state
	for name, f := range files {
		if _, gone := st.gone[name]; gone {
			continue
		}
		if it := st.items[name]; it == nil || it.flight == nil {
			st.add(name, f.size, f.failed)
		}
	}
	for name, it := range st.items {
		if _, there := files[name]; !there && it.seq <= began && it.flight == nil {
			st.drop(it)
		}
	}
	st.damagedItems, st.damagedBytes, st.foreign = damagedItems, damagedBytes, foreign
	st.scanned = time.Now()
	s.broadcast()
	return nil
}

// look calls a function for each of our files in a folder of the destination,
// and counts the others.
func (s *Spool) look(root disk.Folder, dir string, each func(name string, size int64)) (foreign int, err error) {
	list, err := readDir(root, s.path(dir))
	if err != nil {
		return 0, err
	}
	for _, f := range list {
		if _, ok := parseItemName(f.Name()); !ok || !f.Type().IsRegular() {
			foreign++
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // delivered meanwhile
		}
		if err != nil {
			return foreign, err
		}
		each(f.Name(), info.Size())
	}
	return foreign, nil
}

// forgetAll is for a spool folder that is not there. What was put since the
// change began is there by now.
func (s *Spool) forgetAll(began uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.state
	for _, it := range st.items {
		if it.flight == nil && it.seq <= began {
			st.drop(it)
		}
	}
	st.damagedItems, st.damagedBytes, st.foreign, st.labelled = 0, 0, 0, false
	st.scanned = time.Now()
	s.broadcast()
}

// load reads the trailer of an item that it was not read of yet. What cannot be
// read, or is damaged, will be found out by the attempt to upload it.
func (s *Spool) load(root disk.Folder, it *item) {
	s.mu.Lock()
	known, dir := it.meta != nil, itemsDir
	if it.failed {
		dir = failedDir
	}
	s.mu.Unlock()
	if known {
		return
	}
	t, _, err := s.peek(root, s.path(dir, it.name), it.name)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	it.learn(t)
}

// learn notes what the trailer of an item tells.
func (it *item) learn(t trailer) {
	it.meta, it.id = &t, t.id
}

// peek reads the trailer of a file.
func (s *Spool) peek(root disk.Folder, path, name string) (trailer, fs.FileInfo, error) {
	info, err := lstatRegular(root, path)
	if err != nil {
		return trailer{}, nil, err
	}
	f, err := root.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return trailer{}, nil, errGone
	}
	if err != nil {
		return trailer{}, nil, err
	}
	defer f.Close()
	t, err := readTrailer(f, name, info.Size())
	return t, info, err
}

// sweep is the background's regular look at the folder.
func (s *Spool) sweep() {
	s.mu.Lock()
	// Not all processes at once.
	s.state.nextScan = time.Now().Add(scanEvery - rand.N(scanEvery/10))
	clean := s.state.cleaned.IsZero() || time.Since(s.state.cleaned) >= cleanEvery
	began := s.state.seq
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.state.sweeps++
		s.broadcast()
	}()

	root, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		s.forgetAll(began)
		return
	}
	if err != nil {
		s.trouble(TroubleFolder, s.explain(err))
		return
	}
	defer root.Close()
	if err := s.scan(s.base, root); err != nil {
		if s.base.Err() == nil {
			s.trouble(TroubleFolder, s.explain(err))
		}
		return
	}
	if clean {
		if err := s.clean(root); err != nil {
			s.trouble(TroubleFolder, s.explain(err))
		}
		s.mu.Lock()
		s.state.cleaned = time.Now()
		s.mu.Unlock()
	}
	for _, it := range s.itemsNow(func(it *item) bool { return it.meta == nil }) {
		if s.base.Err() != nil {
			return
		}
		s.load(root, it)
	}
	s.expire(root)
	s.shrink(root)
}

// itemsNow returns the items that are wanted, in no order.
func (s *Spool) itemsNow(want func(*item) bool) []*item {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*item
	for _, it := range s.state.items {
		if want(it) {
			list = append(list, it)
		}
	}
	return list
}

func everyItem(*item) bool { return true }

// broadcast wakes those who wait for a change of the state. The caller has mu.
func (s *Spool) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}
