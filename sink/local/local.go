// Package local stores dumps in a folder of the local (or a mounted) file
// system, under the keys of package sink.
//
// # What is on the disk
//
//	<dir>/v1/traces/<trace-id>/<dump-id>.cdmp                      the dump
//	<dir>/v1/days/<yyyy>/<mm>/<dd>/<service>/<dump-id>-<trace-id>  its marker, empty
//	<dir>/v1/tmp/<dump-id>-<random>.tmp                            a dump that is being written
//
// Folders have mode 0700 and files 0600, because a dump shows the memory of a
// process. Files that are not of this layout are passed over, and so is a
// symbolic link in the place of a dump; nothing outside the folder is ever read
// or written, whatever links lie inside.
//
// # What Put promises
//
// The content is written to a new file in the same store (so that the rename
// cannot cross file systems), flushed to the disk, renamed to its key, and the
// folders that changed are flushed as well; then comes the marker. So a dump has
// its whole content or is not there, also after a power failure, and what Put
// has reported as stored stays stored. A Put that fails takes its temporary file
// away; one whose process died leaves it, and a later Put removes it when it is
// a day old.
//
// If the process dies between dump and marker, Trace finds the dump and List
// does not, until the same Put is made again. List shows a dump only while its
// content is there.
package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

const (
	dirMode  = disk.DirMode
	fileMode = 0o600
)

// Sink stores dumps in a folder. It is a [sink.Sink]; all its methods may be
// called concurrently, and several processes may share the folder.
type Sink struct {
	dir  string // absolute
	sys  disk.System
	now  func() time.Time
	made disk.Made

	mu      sync.Mutex
	cleaned time.Time // when old temporary files were last looked for
}

var _ sink.Sink = (*Sink)(nil)

// New returns a Sink that stores dumps in dir; a relative path is taken from
// the present working directory. It touches nothing: the first Put makes the
// folder, parents included, and until then the store is empty.
func New(dir string) (*Sink, error) {
	if dir == "" {
		return nil, errors.New("local sink: no folder given")
	}
	if strings.ContainsRune(dir, 0) {
		return nil, fmt.Errorf("local sink: folder %q has a zero byte in its name", dir)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("local sink: folder %s: %w", dir, err)
	}
	return &Sink{
		dir:  abs,
		sys:  disk.OS,
		now:  time.Now,
		made: disk.Made{Forget: forgotten},
	}, nil
}

// Dir returns the absolute path of the folder.
func (s *Sink) Dir() string { return s.dir }

// Path returns the absolute path of the file that Put stores the dump in.
func (s *Sink) Path(id dump.Identity) string {
	return filepath.Join(s.dir, filepath.FromSlash(sink.TraceKey(id)))
}

// String describes the store for messages.
func (s *Sink) String() string { return "local folder " + s.dir }

// URI returns the file's address, "file:///abs/path".
func (s *Sink) URI(id dump.Identity) string {
	p := filepath.ToSlash(s.Path(id))
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // "C:/x" is file:///C:/x
	}
	return (&url.URL{Scheme: "file", Path: p}).String()
}

// Put stores a dump, see [sink.Sink]. A trouble of the folder (missing
// permission, full disk, a file where a folder should be) is an error that
// names the path and wraps the system's, and is not permanent.
func (s *Sink) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	if err := s.put(ctx, id, src); err != nil {
		return fmt.Errorf("storing dump %s in %s: %w", id.ID, s, err)
	}
	return nil
}

func (s *Sink) put(ctx context.Context, id dump.Identity, src sink.Source) error {
	if err := sink.CheckIdentity(id); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.sys.MakeDir(s.dir); err != nil {
		return err
	}
	root, err := s.open(s.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	s.clean(root)

	key := sink.TraceKey(id)
	switch info, err := root.Lstat(key); {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is in the way: not a regular file", key)
	case err == nil:
		// Another Put may have renamed the file and not yet flushed the folder.
		if err := s.syncParents(root, key); err != nil {
			return err
		}
	case errors.Is(err, fs.ErrNotExist):
		if err := s.putContent(ctx, root, key, id, src); err != nil {
			return err
		}
	default:
		return err
	}
	return s.putMarker(root, sink.DayKey(id))
}

// putContent writes the dump to a temporary file and renames that to key.
func (s *Sink) putContent(ctx context.Context, root folder, key string, id dump.Identity, src sink.Source) (err error) {
	if err := s.mkdirs(root, tmpDir); err != nil {
		return err
	}
	tmp := tmpName(id.ID)
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// If this fails as well, clean will do it one day.
			_ = root.Remove(tmp)
		}
	}()
	err = sink.Copy(ctx, f, src)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	// The folder of the trace is made last, so that a Put that cannot write
	// leaves none behind.
	err = s.inFolder(root, path.Dir(key), func() error { return root.Rename(tmp, key) })
	if err != nil {
		return err
	}
	return s.syncParents(root, key)
}

// putMarker makes the empty marker that List finds the dump by.
func (s *Sink) putMarker(root folder, key string) error {
	return s.inFolder(root, path.Dir(key), func() error {
		f, err := root.OpenFile(key, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err == nil {
			err = f.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return root.SyncDir(path.Dir(key))
	})
}

// inFolder makes the folder dir and does something in it; again if a Delete
// took the empty folder away between the two.
func (s *Sink) inFolder(root folder, dir string, do func() error) error {
	const attempts = 10
	for n := 1; ; n++ {
		err := s.mkdirs(root, dir)
		if err == nil {
			err = do()
		}
		if n == attempts || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// Open opens a stored dump, see [sink.Sink]. The Object does not depend on the
// context, and stays readable when the dump is deleted meanwhile (except on
// Windows, where Delete fails then).
func (s *Sink) Open(ctx context.Context, e sink.Entry) (sink.Object, error) {
	obj, err := s.openObject(ctx, e.Identity)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = sink.ErrNotFound // the system's words would add nothing
		}
		return nil, fmt.Errorf("opening dump %s in %s: %w", e.ID, s, err)
	}
	return obj, nil
}

func (s *Sink) openObject(ctx context.Context, id dump.Identity) (*object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := s.open(s.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	key := sink.TraceKey(id)
	// Looked at first: opening a named pipe would wait for its writer.
	info, err := root.Lstat(key)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", sink.ErrNotFound, key)
	}
	f, err := root.OpenFile(key, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, err
	}
	return &object{f, info.Size()}, nil
}

// object is an open dump file.
type object struct {
	file
	size int64
}

func (o *object) Size() int64 { return o.size }

// Delete removes a dump and its marker, see [sink.Sink], and the folders that
// became empty.
func (s *Sink) Delete(ctx context.Context, e sink.Entry) error {
	if err := s.remove(ctx, e.Identity); err != nil {
		return fmt.Errorf("deleting dump %s in %s: %w", e.ID, s, err)
	}
	return nil
}

func (s *Sink) remove(ctx context.Context, id dump.Identity) error {
	if err := sink.CheckIdentity(id); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	root, err := s.open(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()

	// The content first: List shows no dump without it, so nobody sees a dump
	// that is half deleted.
	if err := removeFile(root, sink.TraceKey(id)); err != nil {
		return err
	}
	services := []string{sink.EscapeService(id.Service)}
	if id.Service == "" {
		if services, err = subfolders(root, sink.DayPrefix(id.ID.Time())); err != nil {
			return err
		}
	}
	for _, service := range services {
		id.Service, err = sink.ParseService(service)
		if err != nil {
			continue // foreign
		}
		if err := removeFile(root, sink.DayKey(id)); err != nil {
			return err
		}
	}
	return nil
}

// removeFile removes a file of the store, and then the folders above it that
// have become empty. A file that is not there is fine.
func removeFile(root folder, key string) error {
	err := root.Remove(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for dir := path.Dir(key); ; dir = path.Dir(dir) {
		// A folder that something is in refuses, and one where another process
		// is about to put something is made again by that one.
		if !keptFolder(dir) && root.Remove(dir) == nil {
			continue
		}
		// Another Delete may have been quicker.
		if err := root.SyncDir(dir); keptFolder(dir) || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// keptFolder reports whether a folder stays when it is empty.
func keptFolder(dir string) bool {
	return dir+"/" == sink.TracesPrefix || dir+"/" == sink.DaysPrefix
}

// tmpDir is where dumps are written before they get their key.
const tmpDir = "v1/tmp"

// tmpName returns a name that no other temporary file has.
func tmpName(id dump.ID) string {
	return fmt.Sprintf("%s/%s-%016x.tmp", tmpDir, id, rand.Uint64())
}
