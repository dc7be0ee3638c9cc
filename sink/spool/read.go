package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// The spool is always looked at before the destination: what is uploaded between
// the two looks is then seen twice, and not missed.

// Trace returns the dumps of a trace in the spool and at the destination, see
// [sink.Sink]. If the destination, or the spool, cannot be read it returns what the other
// one has together with the error.
func (s *Spool) Trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("looking for trace %s in %s: %w", trace, s, err)
	}
	here, err := s.stored(ctx, func(id dump.Identity) bool { return id.TraceID == trace })
	if err != nil {
		err = fmt.Errorf("looking for trace %s in %s: %w", trace, s, s.explain(err))
	}
	there, derr := s.dest.Trace(ctx, trace)
	entries := make([]sink.Entry, 0, len(here)+len(there))
	seen := make(map[dump.ID]bool, len(here))
	for _, f := range here {
		seen[f.id.ID] = true
		e := s.entry(f)
		e.Service, e.SpanID = "", dump.SpanID{} // as every Trace
		entries = append(entries, e)
	}
	for _, e := range there {
		if !seen[e.ID] {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b sink.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return entries, errors.Join(err, derr)
}

// List goes through the dumps in the spool and at the destination, see
// [sink.Sink]. If one of them cannot be read it yields what the other one has, and
// the error last.
func (s *Spool) List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(sink.Entry{}, fmt.Errorf("listing %s: %w", s, err))
			return
		}
		anyService := q
		anyService.Service = ""
		here, problem := s.stored(ctx, anyService.Match)
		if problem != nil {
			problem = fmt.Errorf("listing %s: %w", s, s.explain(problem))
		}
		here = slices.DeleteFunc(here, func(f stored) bool { return !q.Match(f.id) })
		slices.SortFunc(here, func(a, b stored) int { return bytes.Compare(b.id.ID[:], a.id.ID[:]) })

		show := func(e sink.Entry) bool {
			if err := ctx.Err(); err != nil {
				yield(sink.Entry{}, fmt.Errorf("listing %s: %w", s, err))
				return false
			}
			return yield(e, nil)
		}
		// next yields those of the spool that come before a dump, and reports
		// whether to go on.
		next := func(before func(stored) bool) bool {
			for len(here) > 0 && before(here[0]) {
				e := s.entry(here[0])
				e.Service, e.SpanID = sink.Service(e.Service), dump.SpanID{}
				here = here[1:]
				if !show(e) {
					return false
				}
			}
			return true
		}
		own := make(map[dump.ID]bool, len(here)) // of the destination's, these are not shown
		for _, f := range here {
			own[f.id.ID] = true
		}
		for e, err := range s.dest.List(ctx, q) {
			if err != nil {
				problem = errors.Join(problem, err)
				break
			}
			ok := next(func(f stored) bool { return bytes.Compare(f.id.ID[:], e.ID[:]) >= 0 })
			if !ok || !own[e.ID] && !show(e) {
				return
			}
		}
		if !next(func(stored) bool { return true }) {
			return
		}
		if problem != nil {
			yield(sink.Entry{}, problem)
		}
	}
}

// stored is an item as a listing finds it on the disk.
type stored struct {
	trailer
	dir string
}

// stored returns the items whose IDs are wanted, in no order. What is damaged or
// vanishes meanwhile is passed over.
func (s *Spool) stored(ctx context.Context, want func(dump.Identity) bool) ([]stored, error) {
	root, err := s.openToRead()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var list []stored
	seen := make(map[string]bool)
	// An upload that fails moves an item from items to failed, never back.
	for _, dir := range []string{itemsDir, failedDir} {
		files, err := readDir(root, s.path(dir))
		if err != nil {
			return list, err
		}
		for _, f := range files {
			id, ok := parseItemName(f.Name())
			if !ok || !f.Type().IsRegular() || seen[f.Name()] || !want(id) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return list, err
			}
			t, _, err := s.peek(root, s.path(dir, f.Name()), f.Name())
			if dir == itemsDir && errors.Is(err, errGone) {
				// Set aside after the folder was read, and perhaps before failed is.
				continue
			}
			if errors.Is(err, errGone) || errors.Is(err, errDamaged) || errors.Is(err, errNewer) {
				continue
			}
			if err != nil {
				return list, err
			}
			seen[f.Name()] = true
			list = append(list, stored{t, dir})
		}
	}
	return list, nil
}

func (s *Spool) entry(f stored) sink.Entry {
	return sink.Entry{
		Identity: f.id,
		Key:      sink.TraceKey(f.id),
		URI:      s.URIFor(f.id, f.trigger),
		Size:     f.size,
	}
}

// Open opens a dump in the spool, or else at the destination, see [sink.Sink]. One in
// the spool is read and checked as a whole. The Object stays readable when the
// dump is delivered meanwhile.
func (s *Spool) Open(ctx context.Context, e sink.Entry) (sink.Object, error) {
	obj, err := s.openItem(ctx, e.Identity)
	if err == nil {
		return obj, nil
	}
	problem := fmt.Errorf("opening dump %s in %s: %w", e.ID, s, s.explain(err))
	if cerr := ctx.Err(); cerr != nil {
		return nil, problem
	}
	there, derr := s.dest.Open(ctx, e)
	switch {
	case derr == nil:
		return there, nil
	case errors.Is(err, errGone):
		return nil, derr
	}
	return nil, errors.Join(problem, derr)
}

// openItem returns errGone if the dump does not lie in the spool.
func (s *Spool) openItem(ctx context.Context, id dump.Identity) (*object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := s.openToRead()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name := itemName(id)
	for _, dir := range []string{itemsDir, failedDir} {
		path := s.path(dir, name)
		f, t, err := s.openWhole(ctx, root, path, name)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &object{f, t.size}, nil
	}
	return nil, errGone
}

// openWhole opens an item and checks all of it.
func (s *Spool) openWhole(ctx context.Context, root disk.Folder, path, name string) (disk.File, trailer, error) {
	info, err := lstatRegular(root, path)
	if err != nil {
		return nil, trailer{}, err
	}
	f, err := root.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		err = errGone
	}
	if err != nil {
		return nil, trailer{}, err
	}
	t, err := readTrailer(f, name, info.Size())
	if err == nil {
		err = t.checkContent(ctx, f)
	}
	if err != nil {
		_ = f.Close()
		return nil, trailer{}, err
	}
	return f, t, nil
}

// object is an open item.
type object struct {
	file disk.File
	size int64
}

func (o *object) Size() int64                             { return o.size }
func (o *object) Close() error                            { return o.file.Close() }
func (o *object) ReadAt(p []byte, off int64) (int, error) { return readWithin(o.file, o.size, p, off) }

// readWithin is file.ReadAt, except that the file ends at size.
func readWithin(file io.ReaderAt, size int64, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("offset %d is negative", off)
	}
	left := max(size-off, 0)
	if int64(len(p)) <= left {
		return file.ReadAt(p, off)
	}
	n, err := file.ReadAt(p[:left], off)
	if err == nil {
		err = io.EOF
	}
	return n, err
}

// Delete removes a dump from the spool and from the destination, see
// [sink.Sink]. It waits for an upload of the dump that is under way.
func (s *Spool) Delete(ctx context.Context, e sink.Entry) error {
	if err := s.deleteItem(ctx, e.Identity); err != nil {
		return fmt.Errorf("deleting dump %s in %s: %w", e.ID, s, s.explain(err))
	}
	return s.dest.Delete(ctx, e)
}

func (s *Spool) deleteItem(ctx context.Context, id dump.Identity) error {
	if err := sink.CheckIdentity(id); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	name := itemName(id)
	done, err := s.names.lock(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	root, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	s.setDeleting(name, true)
	defer func() {
		s.setDeleting(name, false)
		s.poke()
	}()
	for _, dir := range []string{itemsDir, failedDir, damagedDir} {
		if err := s.deleteFile(ctx, root, s.path(dir, name), name); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if it := s.state.items[name]; it != nil {
		s.state.drop(it)
	}
	s.state.recent.forget(id.ID)
	s.broadcast()
	s.mu.Unlock()
	// If the power failed now, the dump must not be there again, and be uploaded
	// again. Also if the files were gone: an earlier Delete may have failed here.
	for _, dir := range []string{itemsDir, failedDir, damagedDir} {
		if err := root.SyncDir(s.path(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// setDeleting keeps the background from an item that is to be deleted.
func (s *Spool) setDeleting(name string, deleting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.state.items[name]; it != nil {
		it.deleting = deleting
		s.state.enqueue(it)
	}
}

// deleteFile removes a file as soon as nobody uploads it any more. What
// this process uploads is cancelled.
func (s *Spool) deleteFile(ctx context.Context, root disk.Folder, path, name string) error {
	for {
		c, err := s.claim(root, path)
		switch {
		case errors.Is(err, errGone):
			return nil
		case errors.Is(err, errBusy):
			if !s.cancelFlight(ctx, name) {
				return ctx.Err()
			}
			continue
		case err != nil:
			return err
		}
		err = c.remove()
		c.release()
		return err
	}
}

// cancelFlight cancels this Spool's upload of an item and waits for its end, or waits
// a little if it is somebody else's. It reports whether ctx lasted as long.
func (s *Spool) cancelFlight(ctx context.Context, name string) bool {
	s.mu.Lock()
	var fl *flight
	if it := s.state.items[name]; it != nil {
		fl = it.flight
	}
	s.mu.Unlock()
	if fl == nil {
		return sleep(ctx, 10*pollEvery)
	}
	fl.cancel()
	select {
	case <-fl.done:
		return true
	case <-ctx.Done():
		return false
	}
}
