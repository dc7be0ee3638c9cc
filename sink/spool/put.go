package spool

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// Put writes the dump to the spool, see [sink.Sink]. Trouble of the folder
// (missing permission, full disk, a bound of the spool that nothing may be removed
// for) is an error that names the path and is not permanent; a dump larger
// than MaxBytes is. After Shutdown a dump is still taken and stays in the spool.
func (s *Spool) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	err := s.put(ctx, id, src)
	if err != nil {
		err = s.explain(err)
		if s.cfg.Direct && ctx.Err() == nil && sink.CheckIdentity(id) == nil {
			err = s.putDirect(ctx, id, src, err)
		}
	}
	if err != nil {
		return fmt.Errorf("storing dump %s in %s: %w", id.ID, s, err)
	}
	return nil
}

func (s *Spool) put(ctx context.Context, id dump.Identity, src sink.Source) error {
	if err := sink.CheckIdentity(id); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	size := src.Size()
	if size < 0 {
		return sink.Permanent(fmt.Errorf("source has a negative size, %d bytes", size))
	}
	if size > s.cfg.MaxBytes-trailerLen {
		return sink.Permanent(fmt.Errorf("the dump has %d bytes, the whole spool may have %d", size, s.cfg.MaxBytes))
	}
	name := itemName(id)
	done, err := s.names.lock(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	if s.alreadyDelivered(ctx, id) {
		return nil
	}

	root, err := s.create()
	if err != nil {
		return err
	}
	defer root.Close()
	there, err := s.alreadyHere(ctx, root, name)
	if there || err != nil {
		return err
	}
	var trigger dump.Trigger
	if h, err := dump.ReadHeader(src, size); err == nil {
		trigger = h.Trigger
	}
	t := newTrailer(id, size, time.Now(), trigger)
	free, err := s.reserve(ctx, root, size+trailerLen, classOf(trigger))
	if err != nil {
		return err
	}
	stored := false
	defer func() { // also if src panics
		s.mu.Lock()
		free()
		if stored {
			s.state.put(name, t)
		}
		s.mu.Unlock()
		s.poke()
	}()
	err = s.write(ctx, root, name, &t, src)
	if disk.IsFull(err) {
		// The file system says no before our own bounds do. What lies here and
		// is worth no more makes room once.
		if merr := s.makeRoom(ctx, root, need{bytes: s.missing(size + trailerLen)}, classOf(trigger)); merr == nil {
			err = s.write(ctx, root, name, &t, src)
		}
	}
	stored = err == nil
	return err
}

// missing returns how much has to go from a full disk for a file of that size. If the
// file system says that there is room, it is the number of files or the
// user's share that is used up.
func (s *Spool) missing(size int64) int64 {
	free, err := s.sys.Free(s.dir)
	if err != nil || free < 0 || free >= size {
		return size
	}
	return size - free
}

// alreadyDelivered reports whether the destination has a dump that this Spool
// has brought there lately. The answer may be no longer true, so the
// destination is asked; that Put is hardly ever made.
func (s *Spool) alreadyDelivered(ctx context.Context, id dump.Identity) bool {
	s.mu.Lock()
	known := s.state.recent.m[id.ID] == Delivered
	s.mu.Unlock()
	if !known {
		return false
	}
	obj, err := s.dest.Open(ctx, sink.Entry{Identity: id})
	if err != nil {
		return false
	}
	_ = obj.Close()
	return true
}

// alreadyHere reports whether the dump lies whole in the spool. A file of its
// name that is damaged is set aside.
func (s *Spool) alreadyHere(ctx context.Context, root disk.Folder, name string) (bool, error) {
	for _, dir := range []string{itemsDir, failedDir} {
		path := s.path(dir, name)
		f, _, err := s.openWhole(ctx, root, path, name)
		switch {
		case err == nil:
			_ = f.Close()
			fallthrough
		case errors.Is(err, errNewer):
			// Another Put may have renamed the file and not yet flushed the
			// folder.
			return true, root.SyncDir(s.path(dir))
		case errors.Is(err, errGone):
		case errors.Is(err, errDamaged):
			c, cerr := s.claim(root, path)
			if errors.Is(cerr, errGone) {
				continue
			}
			if cerr != nil {
				return false, cerr
			}
			merr := s.damage(c, err)
			c.release()
			if merr != nil {
				return false, merr
			}
		default:
			return false, err
		}
	}
	return false, nil
}

// write writes an item, first under a temporary name.
func (s *Spool) write(ctx context.Context, root disk.Folder, name string, t *trailer, src sink.Source) error {
	tmp, f, err := s.openTmp(root, t.id.ID.String())
	if err != nil {
		return err
	}
	// The lock on the file ends when the item is in its place and flushed, so
	// that until then nobody takes the file for one of a process that died.
	done := false
	defer func() { // also if src panics
		if !done {
			// If this fails as well, clean will do it.
			_ = root.Remove(tmp)
		}
		_ = f.Close() // whose error says nothing that Sync did not
	}()
	if err := copyItem(ctx, f, t, src); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	target := s.path(itemsDir, name)
	if err := root.Rename(tmp, target); err != nil {
		return err
	}
	if err := root.SyncDir(s.path(itemsDir)); err != nil {
		tmp = target // reported as not stored, so it must not be there
		return err
	}
	done = true
	return nil
}

// openTmp makes a temporary file and locks it.
func (s *Spool) openTmp(root disk.Folder, what string) (string, disk.File, error) {
	const attempts = 1000 // with bad luck; nobody cleans up for longer
	for n := 1; ; n++ {
		name := s.path(tmpDir, tmpName(what))
		f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
		if err != nil {
			return "", nil, err
		}
		ok, err := f.TryLock()
		if errors.Is(err, disk.ErrNoLocks) {
			return name, f, nil
		}
		if err == nil && ok {
			// Somebody who cleans up may have been quicker than the lock.
			c := claim{root: root, file: f, name: name}
			if err = c.recheck(); err == nil {
				return name, f, nil
			}
		}
		_ = f.Close()
		_ = root.Remove(name)
		if err != nil && !errors.Is(err, errGone) || n == attempts {
			return "", nil, fmt.Errorf("locking %s: %w", name, errors.Join(err, errBusy))
		}
	}
}

// copyItem writes the dump and the trailer to w, and fails if src is not as long
// as it says.
func copyItem(ctx context.Context, w io.Writer, t *trailer, src sink.Source) error {
	buf := make([]byte, min(copySize, t.size), min(copySize, t.size)+trailerLen)
	t.sum = 0
	for off := int64(0); off < t.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := buf[:min(int64(len(buf)), t.size-off)]
		n, err := src.ReadAt(chunk, off)
		if n < len(chunk) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading the dump: %d of %d bytes: %w", off+int64(n), t.size, err)
		}
		t.sum = crc32.Update(t.sum, castagnoli, chunk)
		off += int64(n)
		if off == t.size {
			chunk = append(chunk, t.encode()...)
		}
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	if t.size == 0 {
		if _, err := w.Write(t.encode()); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// names lets only one call at a time work on a dump.
type names struct {
	mu sync.Mutex
	m  map[string]chan struct{}
}

func (n *names) lock(ctx context.Context, name string) (unlock func(), err error) {
	for {
		n.mu.Lock()
		if n.m == nil {
			n.m = make(map[string]chan struct{})
		}
		other := n.m[name]
		if other == nil {
			mine := make(chan struct{})
			n.m[name] = mine
			n.mu.Unlock()
			return func() {
				n.mu.Lock()
				delete(n.m, name)
				n.mu.Unlock()
				close(mine)
			}, nil
		}
		n.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// poke wakes the background.
func (s *Spool) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
