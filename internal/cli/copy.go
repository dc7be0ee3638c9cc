package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// copied is a dump that fetch brought.
type copied struct {
	entry  sink.Entry
	header *dump.Header // nil if it cannot be read
	path   string
	size   int64
	kept   bool  // the copy was there already
	damage error // it is the store's dump, but not whole
}

// copyBuffer is how much is read from the store at a time. An S3 object answers
// each read with one request, so that a small buffer would be slow.
const copyBuffer = 4 << 20

// copyAll copies the entries into f.out, several at a time, and returns those
// that are there now, in the order of the entries.
func copyAll(ctx context.Context, std *stdio, st store, entries []sink.Entry, f *fetchFlags, failures *failures) []copied {
	if len(entries) == 0 {
		return nil
	}
	if err := os.MkdirAll(f.out, 0o777); err != nil {
		failures.add(fmt.Errorf("make the folder for the dumps: %w", err))
		return nil
	}
	bar := newProgress(std, len(entries))
	copies := make([]copied, len(entries))
	errs := make([]error, len(entries))
	forEach(ctx, len(entries), func(i int) {
		copies[i], errs[i] = copyOne(ctx, st, entries[i], f.out, f.force, bar)
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

// copyOne brings one dump to dir. An error means that it is not there.
func copyOne(ctx context.Context, st store, e sink.Entry, dir string, force bool, bar *progress) (copied, error) {
	c := copied{entry: e, path: filepath.Join(dir, e.ID.String()+dump.Extension)}
	o, err := st.Open(ctx, e)
	if errors.Is(err, sink.ErrNotFound) {
		return c, withCode(exitNoDump, fmt.Errorf("dump %s disappeared from %s: %w", e.ID, st, err))
	} else if err != nil {
		return c, fmt.Errorf("fetch dump %s from %s: %w", e.ID, st, err)
	}
	defer o.Close()
	c.size = o.Size()
	bar.expect(c.size)

	there, err := os.Lstat(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return c, err
	case force:
	case !there.Mode().IsRegular():
		return c, fmt.Errorf("%s is there and is not a file", c.path)
	case there.Size() == c.size:
		if h, err := verify(c.path, e.ID); err == nil {
			c.header, c.kept = h, true
			bar.add(c.size)
			return c, nil
		}
	}

	tmp, err := os.CreateTemp(dir, "."+e.ID.String()+".*.tmp") // mode 0600: it holds what the process held
	if err != nil {
		return c, err
	}
	defer os.Remove(tmp.Name()) // fails once it has its name
	err = download(ctx, tmp, o, bar)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return c, fmt.Errorf("fetch dump %s from %s: %w", e.ID, st, err)
	}
	c.header, c.damage = verify(tmp.Name(), e.ID)
	switch {
	case errors.Is(c.damage, dump.ErrNotDump):
		return c, withCode(exitDamaged, fmt.Errorf("what %s has as dump %s: %w", st, e.ID, c.damage))
	case c.damage != nil && !isDamage(c.damage):
		return c, fmt.Errorf("check the copy of dump %s: %w", e.ID, c.damage)
	}
	if there != nil && !force {
		same, err := sameContent(tmp.Name(), c.path)
		if err != nil {
			return c, err
		}
		if !same {
			return c, hint(fmt.Errorf("%s is there with other content", c.path), "--force replaces it, -o DIR puts the dump elsewhere")
		}
		c.kept = true
		return c, nil
	}
	return c, os.Rename(tmp.Name(), c.path)
}

func download(ctx context.Context, w io.Writer, o sink.Object, bar *progress) error {
	buf := make([]byte, max(1, min(copyBuffer, o.Size())))
	for off := int64(0); off < o.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := o.ReadAt(buf[:min(int64(len(buf)), o.Size()-off)], off)
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		off += int64(n)
		bar.add(int64(n))
	}
	return nil
}

// verify reads a whole dump file and checks that it is that dump. The header is
// returned also with an error, if it can be read.
func verify(path string, id dump.ID) (*dump.Header, error) {
	r, err := dump.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h := r.Header()
	if h.ID != id {
		return h, fmt.Errorf("%w: its header says that it is dump %s", dump.ErrDamaged, h.ID)
	}
	if err := r.Damage(); err != nil {
		return h, err
	}
	return h, r.Verify()
}

func sameContent(a, b string) (bool, error) {
	fa, err := openFile(a)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := openFile(b)
	if err != nil {
		return false, err
	}
	defer fb.Close()
	if fa.size != fb.size {
		return false, nil
	}
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); off < fa.size; off += int64(len(bufA)) {
		n := min(int64(len(bufA)), fa.size-off)
		if _, err := fa.ReadAt(bufA[:n], off); err != nil {
			return false, err
		}
		if _, err := fb.ReadAt(bufB[:n], off); err != nil {
			return false, err
		}
		if !bytes.Equal(bufA[:n], bufB[:n]) {
			return false, nil
		}
	}
	return true, nil
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
