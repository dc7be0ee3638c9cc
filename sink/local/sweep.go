package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/calendar"
)

// unlistedAfter is the age from which a dump without a marker is taken for one
// whose Put has died. A Put makes the marker right after the dump.
const unlistedAfter = time.Hour

// anyDump is the name of some dump, to see whether a folder's name is a trace's.
const anyDump = "00000000-0000-7000-8000-000000000000" + dump.Extension

// Swept is what [Sink.Sweep] has found.
type Swept struct {
	TempFiles int   // of Puts that died at least a day ago: removed
	TempBytes int64 // that these took
	Orphans   int   // markers of dumps that are not there: removed
	Unlisted  int   // dumps that were there and in no listing: they got a marker
	Folders   int   // empty for a day at least: removed
}

// Sweep puts right what processes that died, or somebody who deleted files by
// hand, have left: see [Swept]. No dump is removed. With dryRun nothing is
// changed, and Swept says what would be, except that it does not count the Folders
// above those that are empty now.
//
// It reads all folders of the store, so it is for maintenance. Others may store
// and delete meanwhile. An error ends it; what was found until then is returned.
func (s *Sink) Sweep(ctx context.Context, dryRun bool) (Swept, error) {
	w := &sweep{Sink: s, ctx: ctx, dryRun: dryRun, services: make(map[string][]string)}
	if err := w.run(); err != nil {
		return w.found, fmt.Errorf("sweeping %s: %w", s, err)
	}
	return w.found, nil
}

// sweep is one Sweep under way.
type sweep struct {
	*Sink
	ctx    context.Context
	root   folder
	dryRun bool
	found  Swept

	services map[string][]string // that a day has markers of, by DayPrefix
}

func (w *sweep) run() (err error) {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.root, err = w.open(w.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.root.Close()
	if err := w.tempFiles(); err != nil {
		return err
	}
	if err := w.markers(); err != nil {
		return err
	}
	return w.dumps()
}

// tempFiles removes what is left of Puts.
func (w *sweep) tempFiles() error {
	files, err := readDir(w.root, tmpDir+"/")
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if !f.Type().IsRegular() || !isTmpName(f.Name()) {
			continue // foreign
		}
		info, err := f.Info()
		if err != nil || w.now().Sub(info.ModTime()) <= staleAfter {
			continue
		}
		if !w.dryRun {
			if err := w.root.Remove(tmpDir + "/" + f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		w.found.TempFiles++
		w.found.TempBytes += info.Size()
	}
	return nil
}

// markers removes markers without a dump.
func (w *sweep) markers() error {
	children := func(prefix string) ([]string, error) { return subfolders(w.root, prefix) }
	for day, err := range calendar.Days(sink.Query{}, children) {
		if err != nil {
			return err
		}
		prefix := sink.DayPrefix(day)
		services, err := subfolders(w.root, prefix)
		if err != nil {
			return err
		}
		for _, service := range services {
			if _, err := sink.ParseService(service); err != nil {
				continue // foreign
			}
			if err := w.markersOf(prefix + service + "/"); err != nil {
				return err
			}
		}
		if err := w.removeEmpty(path.Clean(prefix)); err != nil {
			return err
		}
	}
	return nil
}

func (w *sweep) markersOf(prefix string) error {
	files, err := readDir(w.root, prefix)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		key := prefix + f.Name()
		id, err := sink.ParseDayKey(key)
		if err != nil || !f.Type().IsRegular() {
			continue // foreign
		}
		there, err := w.exists(sink.TraceKey(id))
		if err != nil {
			return err
		}
		if there {
			continue
		}
		w.found.Orphans++
		if w.dryRun {
			continue
		}
		if err := removeFile(w.root, key); err != nil {
			return err
		}
		// Somebody may have put the dump a moment ago, and found the marker there.
		if there, err = w.exists(sink.TraceKey(id)); err == nil && there {
			err = w.putMarker(w.root, key)
		}
		if err != nil {
			return err
		}
	}
	return w.removeEmpty(path.Clean(prefix))
}

// dumps gives markers to dumps without one.
func (w *sweep) dumps() error {
	traces, err := subfolders(w.root, sink.TracesPrefix)
	if err != nil {
		return err
	}
	for _, trace := range traces {
		if _, err := sink.ParseTraceKey(sink.TracesPrefix + trace + "/" + anyDump); err != nil {
			continue // foreign
		}
		prefix := sink.TracesPrefix + trace + "/"
		files, err := readDir(w.root, prefix)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			id, err := sink.ParseTraceKey(prefix + f.Name())
			if err != nil || !f.Type().IsRegular() {
				continue // foreign
			}
			info, err := f.Info()
			if err != nil || w.now().Sub(info.ModTime()) <= unlistedAfter {
				continue
			}
			if err := w.list(id, info.Size()); err != nil {
				return err
			}
		}
		if err := w.removeEmpty(path.Clean(prefix)); err != nil {
			return err
		}
	}
	return nil
}

// list sees to it that a dump is in listings.
func (w *sweep) list(id dump.Identity, size int64) error {
	prefix := sink.DayPrefix(id.ID.Time())
	services, ok := w.services[prefix]
	if !ok {
		var err error
		if services, err = subfolders(w.root, prefix); err != nil {
			return err
		}
		w.services[prefix] = services
	}
	name := path.Base(sink.DayKey(id))
	for _, service := range services {
		listed, err := w.exists(prefix + service + "/" + name)
		if err != nil || listed {
			return err
		}
	}
	key := sink.TraceKey(id)
	f, err := w.root.OpenFile(key, 0, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	h, err := dump.ReadHeader(f, size)
	f.Close()
	if err == nil {
		id.Service = h.Service
	} // else it is listed as of an unknown service, and whoever opens it sees why
	w.found.Unlisted++
	if w.dryRun {
		return nil
	}
	if err := w.putMarker(w.root, sink.DayKey(id)); err != nil {
		return err
	}
	delete(w.services, prefix) // there may be one more now
	// As above, the other way round: a Delete may have been under way.
	there, err := w.exists(key)
	if err == nil && !there {
		err = removeFile(w.root, sink.DayKey(id))
	}
	return err
}

func (w *sweep) exists(key string) (bool, error) {
	_, err := w.root.Lstat(key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// removeEmpty removes a folder, and then those above it, if they are empty and
// nothing has happened in them for a day. A Put whose folder is taken from under it
// makes it again; this sees to it that it does not have to do so time and again.
func (w *sweep) removeEmpty(dir string) error {
	old, err := w.isOld(dir)
	for err == nil && old && !keptFolder(dir) {
		files, rerr := readDir(w.root, dir+"/")
		if rerr != nil || len(files) > 0 {
			return rerr
		}
		// Asked first, since removing the folder is something that happens there.
		parent := path.Dir(dir)
		old, err = w.isOld(parent)
		if !w.dryRun && w.root.Remove(dir) != nil {
			return nil // somebody was quicker, with a dump or with removing it
		}
		w.found.Folders++
		if w.dryRun {
			return nil
		}
		dir = parent
	}
	return err
}

// isOld reports whether a folder is there and has not changed for a day.
func (w *sweep) isOld(dir string) (bool, error) {
	info, err := w.root.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && w.now().Sub(info.ModTime()) > staleAfter, err
}
