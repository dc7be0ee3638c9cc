package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
)

// content is a dump that was opened: its reader, and what lies below that.
type content struct {
	*dump.Reader
	name    string
	object  sink.Object
	plain   io.ReaderAt  // what the reader reads: the object, or what is encrypted in it
	size    int64        // of plain
	partial bool         // only the first headSize bytes of it are read
	outer   *dump.Reader // of the file that it is encrypted in, if it was decrypted
	sealed  bool         // encrypted; the reader knows the public header only
	closed  bool
}

// openContent opens a dump, and decrypts it if it is encrypted and an identity
// opens it. With part, of a dump that lies on a server only the beginning is
// read, with one request.
//
// Without a content the error says what was being done. With one it is about
// what is in the dump, see [openError]: the content has no Reader then if
// nothing can be read, and that of the public header if decrypting failed.
func openContent(ctx context.Context, t *target, k *keys, part bool) (*content, error) {
	whole := int64(math.MaxInt64)
	if part = part && t.remote(); part {
		whole = headSize
	}
	o, err := t.open(ctx, whole)
	if err != nil {
		return nil, err
	}
	c := &content{name: t.name, object: o}
	if err := c.read(o, o.Size(), part); err != nil || !c.Sealed() {
		return c, err
	}
	c.sealed = true
	ids, err := k.identities()
	if err != nil || len(ids) == 0 {
		return c, err
	}
	outer, cut := c.Reader, c.partial
	plain, size, err := encrypt.OpenSealed(o, o.Size(), ids...)
	if err == nil {
		err = c.read(plain, size, part)
	}
	if err != nil {
		return c, err
	}
	if c.sealed = false; !cut {
		c.outer = outer
	}
	if want, got := outer.Header().Identity, c.Header().Identity; c.damage() == nil && (got.ID != want.ID || got.TraceID != want.TraceID) {
		return c, fmt.Errorf("%w: what is encrypted in it is the dump %s of trace %s", dump.ErrDamaged, got.ID, got.TraceID)
	}
	return c, nil
}

// openPlain opens a dump whose content is needed.
func openPlain(ctx context.Context, t *target, k *keys) (*content, error) {
	c, err := openContent(ctx, t, k, false)
	switch {
	case c == nil:
		return nil, err
	case err != nil:
		return nil, errors.Join(openError(t.name, err), c.Close())
	case c.sealed:
		return nil, errors.Join(sealedError(t.name), c.Close())
	}
	return c, nil
}

// read opens the dump in plain; after an error the content is what it was.
func (c *content) read(plain io.ReaderAt, size int64, part bool) error {
	var from io.ReaderAt = plain
	part = part && size > headSize
	if part {
		from = beginning{plain}
	}
	r, err := dump.NewReader(from, size)
	if err == nil {
		c.Reader, c.plain, c.size, c.partial = r, plain, size, part
	}
	return err
}

// Close closes the file or ends the requests. A second call does nothing.
func (c *content) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	return c.object.Close()
}

// damage is what is known to be wrong, as far as it was read.
func (c *content) damage() error {
	if !c.partial {
		if c.outer != nil && c.Damage() == nil {
			return c.outer.Damage()
		}
		return c.Damage()
	}
	_, err := dump.ReadHeader(beginning{c.plain}, c.size)
	return err
}

// headSize is how much of a dump is read if no more than the header is asked
// for. A store on a server gives that much with its first answer, and the
// failing goroutine mostly lies in it, too.
const headSize = 64 << 10

// beginning is a file of which only the first headSize bytes are there.
type beginning struct{ r io.ReaderAt }

func (b beginning) ReadAt(p []byte, off int64) (int, error) {
	if off >= headSize {
		return 0, io.EOF
	}
	whole := len(p)
	p = p[:min(int64(whole), headSize-off)]
	n, err := b.r.ReadAt(p, off)
	if err == nil && n < whole {
		err = io.EOF
	}
	return n, err
}

// openError is the error for a dump that cannot be opened.
func openError(name string, err error) error {
	if isDamage(err) {
		return damageError(name, err)
	}
	return keyError(fmt.Errorf("open %s: %w", name, err))
}

// sealedError says that a dump is encrypted, where its content is needed.
func sealedError(name string) error {
	return hint(fmt.Errorf("%s is encrypted", name), "%s", hintIdentity)
}
