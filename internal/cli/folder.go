package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// store is the part of a [sink.Sink] that finding dumps needs.
type store interface {
	Trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error)
	List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error]
	Open(ctx context.Context, e sink.Entry) (sink.Object, error)
	String() string
}

// folder is a plain folder with dumps somewhere below it: what fetch brought,
// what a colleague sent. Unlike a store it has no layout, so the headers of all
// files have to be read to find one.
type folder struct{ dir string }

func (f folder) String() string { return "folder " + f.dir }

// Trace implements store.
func (f folder) Trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	var out []sink.Entry
	for e, err := range f.List(ctx, sink.Query{}) {
		if err != nil {
			return nil, err
		}
		if e.TraceID == trace && !e.ID.IsZero() {
			out = append(out, e)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// List implements store. A file whose header cannot be read is listed with the
// zero identity, so that it is seen, unless the query asks for a service.
func (f folder) List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		files, err := findDumps(ctx, f.dir)
		if errors.Is(err, fs.ErrNotExist) {
			return // as a store that was not made yet
		}
		if err != nil {
			yield(sink.Entry{}, err)
			return
		}
		for _, d := range files {
			e := sink.Entry{Key: d.path, URI: fileURI(d.path), Size: d.size}
			if d.header != nil {
				e.Identity = d.header.Identity
				if !q.Match(e.Identity) {
					continue
				}
			} else if q.Service != "" || !q.Since.IsZero() && d.time.Before(q.Since) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Open implements store.
func (f folder) Open(_ context.Context, e sink.Entry) (sink.Object, error) {
	return openFile(e.Key)
}

// fileObject is a file as a sink.Object.
type fileObject struct {
	*os.File
	size int64
}

func (o fileObject) Size() int64 { return o.size }

// openFile opens a regular file. The errors name the path.
func openFile(path string) (fileObject, error) {
	// Opening a pipe or a device could block or worse, so look first.
	fi, err := os.Stat(path)
	if err != nil {
		return fileObject{}, err
	}
	if !fi.Mode().IsRegular() {
		return fileObject{}, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return fileObject{}, err
	}
	if fi, err = file.Stat(); err != nil {
		return fileObject{}, errors.Join(err, file.Close())
	}
	return fileObject{file, fi.Size()}, nil
}

// foundDump is a dump file in a folder.
type foundDump struct {
	path   string
	size   int64
	time   time.Time    // of the failure; the file's if the header cannot be read
	header *dump.Header // nil if err is set
	err    error
}

// findDumps walks a folder for dump files and returns them newest first. Hidden
// folders and files are left out, as temporary files of writers are hidden.
// Links to folders are not followed.
func findDumps(ctx context.Context, dir string) ([]foundDump, error) {
	var found []foundDump
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && path == dir:
			return err
		case err != nil:
			return nil // a folder that we may not read hides what is in it only
		case path != dir && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || filepath.Ext(path) != dump.Extension:
			return nil
		}
		found = append(found, foundDump{path: path})
		return nil
	})
	if err != nil {
		return nil, err
	}
	forEach(ctx, width, len(found), func(i int) {
		d := &found[i]
		d.header, d.size, d.time, d.err = headerOfFile(d.path)
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b foundDump) int {
		return cmp.Or(b.time.Compare(a.time), cmp.Compare(a.path, b.path))
	})
	return found, nil
}

// headerOfFile reads a file's header. Size and time are known also with most
// errors.
func headerOfFile(path string) (h *dump.Header, size int64, at time.Time, err error) {
	if fi, err := os.Stat(path); err == nil {
		size, at = fi.Size(), fi.ModTime()
	}
	f, err := openFile(path)
	if err != nil {
		return nil, size, at, err
	}
	defer f.Close()
	if h, err = dump.ReadHeader(f, f.size); err != nil {
		return nil, f.size, at, err
	}
	if at = h.Time; at.IsZero() {
		at = h.ID.Time()
	}
	return h, f.size, at, nil
}

// fileURI is the file: address of a path.
func fileURI(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	p := filepath.ToSlash(abs)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // a Windows drive
	}
	return (&url.URL{Scheme: "file", Path: p}).String()
}
