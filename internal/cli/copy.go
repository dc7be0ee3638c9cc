package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
)

// copied is a dump that fetch brought.
type copied struct {
	entry  sink.Entry // zero for a dump that came from a file
	id     dump.ID
	header *dump.Header // nil if it cannot be read
	path   string
	size   int64
	kept   bool  // the copy was there already
	sealed bool  // it is encrypted
	damage error // it is the store's dump, but not whole
}

const (
	// copyWidth is how many dumps are brought at a time. Most are small, and
	// bringing one is waiting for the server.
	copyWidth = 32

	// copyChunk is how much of a dump is read at a time from a store that does
	// not copy by itself, see [downloader]. One on a server may answer each read
	// with a request, so that less would be slow.
	copyChunk = 2 << 20

	// copyReads is how many such reads are under way at a time, of all dumps
	// together. It bounds the memory.
	copyReads = 16
)

// copier brings dumps into a folder.
type copier struct {
	dir     string
	force   bool
	decrypt bool
	keys    *keys
	bar     *progress
	reads   chan struct{} // holds one for each read under way
	checks  chan struct{} // and for each check of a copy, which is work for a processor
}

func newCopier(dir string, bar *progress) *copier {
	return &copier{
		dir: dir, bar: bar,
		reads: make(chan struct{}, copyReads), checks: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
}

// copyAll copies the dumps into f.out, several at a time, and returns those that
// are there now, in the same order.
func copyAll(ctx context.Context, std *stdio, found []target, f *fetchFlags, failures *failures) []copied {
	if len(found) == 0 {
		return nil
	}
	if f.decrypt {
		// Before anything is copied; and a passphrase is asked for before the
		// progress is shown.
		if ids, err := f.keys.identities(); err != nil || len(ids) == 0 {
			if err == nil {
				err = usageError(hint(errors.New("--decrypt needs a private key"), "%s", hintIdentity))
			}
			failures.add(err)
			return nil
		}
	}
	if err := os.MkdirAll(f.out, 0o777); err != nil {
		failures.add(fmt.Errorf("make the folder for the dumps: %w", err))
		return nil
	}
	bar := newProgress(std, "fetching", len(found))
	k := newCopier(f.out, bar)
	k.force, k.decrypt, k.keys = f.force, f.decrypt, f.keys
	copies := make([]copied, len(found))
	errs := make([]error, len(found))
	forEach(ctx, copyWidth, len(found), func(i int) {
		copies[i], errs[i] = k.copy(ctx, &found[i])
		bar.done()
	})
	bar.close()
	if ctx.Err() != nil {
		return nil
	}
	for i, err := range errs {
		if err != nil {
			failures.add(err)
			copies[i].path = ""
		} else if c := &copies[i]; c.damage != nil {
			failures.add(damageError(c.path, c.damage))
		}
	}
	return slices.DeleteFunc(copies, func(c copied) bool { return c.path == "" })
}

// copy brings one dump. An error means that it is not there.
func (k *copier) copy(ctx context.Context, t *target) (copied, error) {
	c := copied{entry: t.entry, id: t.entry.ID}
	if !c.id.IsZero() && k.keep(ctx, &c, t.entry.Size) {
		return c, nil // without asking the store
	}
	o, err := t.open(ctx, smallDump)
	if err != nil {
		return c, err
	}
	defer o.Close()
	c.size = o.Size()
	if c.id.IsZero() {
		// The name comes from the ID, and from nothing that a stranger wrote.
		h, err := dump.ReadHeader(o, c.size)
		if err != nil {
			return c, openError(t.name, err)
		}
		if c.id = h.ID; c.id.IsZero() {
			return c, openError(t.name, fmt.Errorf("%w: it has no ID", dump.ErrDamaged))
		}
	}
	k.bar.expect(c.size)
	if k.keep(ctx, &c, c.size) {
		k.bar.add(c.size)
		return c, nil
	}
	got, err := k.download(ctx, o, c.id)
	if err != nil {
		return c, fmt.Errorf("fetch %s: %w", t.name, err)
	}
	defer func() { got.discard() }()
	c.header, c.sealed, c.damage = k.check(got, &c)
	switch {
	case errors.Is(c.damage, dump.ErrNotDump):
		return c, withCode(exitDamaged, fmt.Errorf("what lies at %s: %w", t.name, c.damage))
	case c.damage != nil && !isDamage(c.damage):
		return c, fmt.Errorf("check the copy of %s: %w", t.name, c.damage)
	}
	if c.sealed && k.decrypt {
		plain, err := k.open(ctx, got, c.id)
		if err != nil {
			return c, openError(t.name, err)
		}
		got.discard()
		got = plain
		if c.header, c.sealed, c.damage = k.check(got, &c); c.damage != nil {
			return c, openError(t.name, c.damage)
		}
	}
	return c, k.place(&c, got)
}

func (k *copier) path(id dump.ID) string { return filepath.Join(k.dir, id.String()+dump.Extension) }

// keep reports whether the dump is there already, and whole.
func (k *copier) keep(ctx context.Context, c *copied, size int64) bool {
	if k.force || ctx.Err() != nil {
		return false
	}
	path := k.path(c.id)
	there, err := os.Lstat(path)
	if err != nil || !there.Mode().IsRegular() || there.Size() != size && !k.decrypt {
		return false
	}
	h, sealed, err := k.checkFile(path, c)
	if err != nil || sealed && k.decrypt {
		return false
	}
	c.path, c.header, c.sealed, c.size, c.kept = path, h, sealed, there.Size(), true
	return true
}

// place gives a copy its name, unless something else has it.
func (k *copier) place(c *copied, got *arrival) error {
	path := k.path(c.id)
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case k.force:
	case !there.Mode().IsRegular():
		return fmt.Errorf("%s is there and is not a file", path)
	default:
		replace, err := k.replaces(c, got, path)
		if err != nil {
			return err
		}
		if !replace {
			c.path, c.kept = path, true
			return nil
		}
	}
	c.path, c.size = path, got.size // that of what was inside, if it was decrypted
	return got.place(path)
}

// replaces reports whether the new copy goes in the place of a file that is
// there. They may be the same dump, once encrypted and once not: then the plain
// one stays.
func (k *copier) replaces(c *copied, got *arrival, path string) (bool, error) {
	same, torn, err := compare(got, path)
	if same || torn || err != nil {
		return torn, err
	}
	h, sealed, err := k.checkFile(path, c)
	if err == nil && sealed != c.sealed {
		if c.sealed {
			c.header, c.sealed = h, false
			return false, nil
		}
		return true, nil
	}
	return false, hint(fmt.Errorf("%s is there with other content", path), "--force replaces it, -o DIR puts the dump elsewhere")
}

// downloader is an object that is copied as a whole faster than by ReadAt, with
// several ranges at once, such as one in a bucket.
type downloader interface {
	DownloadTo(w io.WriterAt) (int64, error)
}

// download brings an object here.
func (k *copier) download(ctx context.Context, o sink.Object, id dump.ID) (*arrival, error) {
	size := o.Size()
	return k.arrive(id, size, func(to io.WriterAt) error {
		if d, ok := o.(downloader); ok {
			return k.reading(ctx, func() error {
				_, err := d.DownloadTo(&countedWriter{to, k.bar})
				return err
			})
		}
		chunks := int((size + copyChunk - 1) / copyChunk)
		errs := make([]error, chunks)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		forEach(ctx, copyReads, chunks, func(i int) {
			off := int64(i) * copyChunk
			errs[i] = k.reading(ctx, func() error { return k.chunk(ctx, to, o, off, min(copyChunk, size-off)) })
			if errs[i] != nil {
				cancel() // the others are of no use
			}
		})
		for _, err := range errs {
			if err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
		}
		return ctx.Err()
	})
}

// reading reads from the store while not too many others do.
func (k *copier) reading(ctx context.Context, read func() error) error {
	select {
	case k.reads <- struct{}{}:
		defer func() { <-k.reads }()
		return read()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// countedWriter shows what is written.
type countedWriter struct {
	w   io.WriterAt
	bar *progress
}

func (c *countedWriter) WriteAt(p []byte, off int64) (int, error) {
	n, err := c.w.WriteAt(p, off)
	c.bar.add(int64(n))
	return n, err
}

// chunk copies n bytes at off.
func (k *copier) chunk(ctx context.Context, w io.WriterAt, o sink.Object, off, n int64) error {
	return copyRange(ctx, w, o, off, n, k.bar.add)
}

// open decrypts a copy.
func (k *copier) open(ctx context.Context, got *arrival, id dump.ID) (*arrival, error) {
	ids, err := k.keys.identities()
	if err != nil {
		return nil, err
	}
	sealed, done, err := got.content()
	if err != nil {
		return nil, err
	}
	defer done()
	plain, size, err := encrypt.OpenSealed(sealed, got.size, ids...)
	if err != nil {
		return nil, err
	}
	return k.arrive(id, size, func(to io.WriterAt) error { return copyRange(ctx, to, plain, 0, size, func(int64) {}) })
}

// check reads all that has arrived and checks that it is the dump c.
func (k *copier) check(got *arrival, c *copied) (h *dump.Header, sealed bool, err error) {
	r, done, err := got.content()
	if err != nil {
		return nil, false, err
	}
	defer done()
	k.checks <- struct{}{}
	defer func() { <-k.checks }()
	return verifyCopy(r, got.size, c)
}

// checkFile does the same with a file that is there.
func (k *copier) checkFile(path string, c *copied) (h *dump.Header, sealed bool, err error) {
	k.checks <- struct{}{}
	defer func() { <-k.checks }()
	f, err := openFile(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	return verifyCopy(f, f.size, c)
}

// verifyCopy checks everything in a dump, and that it is the dump c, of the same
// trace if it came from where its trace is known. The header is returned also
// with an error, if it can be read.
func verifyCopy(r io.ReaderAt, size int64, c *copied) (h *dump.Header, sealed bool, err error) {
	d, err := dump.NewReader(r, size)
	if err != nil {
		return nil, false, err
	}
	h = d.Header()
	if err := d.Damage(); err != nil {
		return h, d.Sealed(), err
	}
	want := c.entry.Identity
	want.ID = c.id
	if err := sameIdentity(h, want, c.entry.Key != ""); err != nil {
		return h, d.Sealed(), err
	}
	return h, d.Sealed(), d.Verify()
}

// sameIdentity checks that a header is of the dump that the store calls it.
func sameIdentity(h *dump.Header, id dump.Identity, traced bool) error {
	if h.ID != id.ID {
		return fmt.Errorf("%w: its header says that it is dump %s", dump.ErrDamaged, h.ID)
	}
	if traced && h.TraceID != id.TraceID {
		return fmt.Errorf("%w: its header says that it is of trace %s", dump.ErrDamaged, h.TraceID)
	}
	return nil
}

// damageError says that a dump is damaged, or that a file is none, and what to
// do about it.
func damageError(name string, err error) error {
	full := withCode(exitDamaged, fmt.Errorf("%s: %w", name, err))
	switch {
	case errors.Is(err, dump.ErrNotDump):
		return hint(full, "a dump's name ends in %s; fetch brings one, ls lists them", dump.Extension)
	case errors.Is(err, dump.ErrVersion):
		return hint(full, "a newer coredumpy reads it")
	case errors.Is(err, dump.ErrTruncated):
		return hint(full, "the end of the file is missing; what is whole can be read, fetching it again may bring the rest")
	}
	return hint(full, "what is whole can be read; fetching it again may bring the rest")
}
