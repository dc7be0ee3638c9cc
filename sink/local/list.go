package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/calendar"
)

// Trace returns the dumps of a trace, see [sink.Sink]. It reads one folder.
func (s *Sink) Trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	entries, err := s.trace(ctx, trace)
	if err != nil {
		return nil, fmt.Errorf("looking for trace %s in %s: %w", trace, s, err)
	}
	return entries, nil
}

func (s *Sink) trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := s.open(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files, err := readDir(root, sink.TracePrefix(trace))
	if err != nil {
		return nil, err
	}
	var entries []sink.Entry
	for _, f := range files {
		id, err := sink.ParseTraceName(f.Name())
		if err != nil || !f.Type().IsRegular() {
			continue // foreign
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, s.entry(dump.Identity{ID: id, TraceID: trace}, info.Size()))
	}
	slices.SortFunc(entries, func(a, b sink.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return entries, nil
}

// List goes through the dumps of a time or a service, see [sink.Sink]. It
// reads the folders of one day at a time. The entries have sizes.
func (s *Sink) List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		fail := func(err error) { yield(sink.Entry{}, fmt.Errorf("listing %s: %w", s, err)) }
		if err := ctx.Err(); err != nil {
			fail(err)
			return
		}
		root, err := s.open(s.dir)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			fail(err)
			return
		}
		defer root.Close()
		children := func(prefix string) ([]string, error) { return subfolders(root, prefix) }
		for day, err := range calendar.Days(q, children) {
			if err != nil {
				fail(err)
				return
			}
			ids, err := markers(ctx, root, sink.DayPrefix(day), q)
			if err != nil {
				fail(err)
				return
			}
			for _, id := range ids {
				if err := ctx.Err(); err != nil {
					fail(err)
					return
				}
				info, err := root.Lstat(sink.TraceKey(id))
				if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
					continue // deleted, or its Put has not finished
				}
				if err != nil {
					fail(err)
					return
				}
				if !yield(s.entry(id, info.Size()), nil) {
					return
				}
			}
		}
	}
}

// markers returns the dumps of one day that match q, newest first.
func markers(ctx context.Context, root folder, prefix string, q sink.Query) ([]dump.Identity, error) {
	services := []string{sink.EscapeService(q.Service)}
	if q.Service == "" {
		var err error
		if services, err = subfolders(root, prefix); err != nil {
			return nil, err
		}
	}
	var ids []dump.Identity
	for _, service := range services {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		files, err := readDir(root, prefix+service+"/")
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			id, err := sink.ParseDayKey(prefix + service + "/" + f.Name())
			if err == nil && f.Type().IsRegular() && q.Match(id) {
				ids = append(ids, id)
			}
		}
	}
	slices.SortFunc(ids, func(a, b dump.Identity) int { return bytes.Compare(b.ID[:], a.ID[:]) })
	return ids, nil
}

func (s *Sink) entry(id dump.Identity, size int64) sink.Entry {
	return sink.Entry{Identity: id, Key: sink.TraceKey(id), URI: s.URI(id), Size: size}
}

// readDir reads a folder of the store; one that is not there is empty.
func readDir(root folder, prefix string) ([]fs.DirEntry, error) {
	list, err := root.ReadDir(prefix[:len(prefix)-1])
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// subfolders returns the names of the folders in a folder of the store.
func subfolders(root folder, prefix string) ([]string, error) {
	list, err := readDir(root, prefix)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
