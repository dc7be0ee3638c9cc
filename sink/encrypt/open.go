package encrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

const (
	// maxAgeHeader is how long the header of an age file may be. That of 500
	// post-quantum recipients is no longer.
	maxAgeHeader = 1 << 20

	// maxRescue is how much of a truncated dump is decrypted into memory.
	maxRescue = 256 << 20
)

// NoIdentityError says that a sealed dump cannot be opened with the identities
// there are.
type NoIdentityError struct {
	// Recipients says for whom the dump was sealed: for each of them the kind
	// of key, "X25519" (age1…), "mlkem768x25519" (age1pq1…), "ssh-ed25519",
	// "ssh-rsa". Who they are an age file does not tell.
	Recipients []string
	// Tried is how many identities were tried.
	Tried int
}

// Error says for how many recipients the dump is sealed, and of which kinds.
func (e *NoIdentityError) Error() string {
	n := "one recipient"
	if len(e.Recipients) != 1 {
		n = fmt.Sprintf("%d recipients", len(e.Recipients))
	}
	text := fmt.Sprintf("the dump is sealed for %s (%s)", n, strings.Join(e.Recipients, ", "))
	switch e.Tried {
	case 0:
		return text + ", and no identity was given"
	case 1:
		return text + ", and the identity that was given is none of theirs"
	}
	return fmt.Sprintf("%s, and none of the %d identities that were given is one of theirs", text, e.Tried)
}

// Hint says what to try.
func (e *NoIdentityError) Hint() string {
	return "give the file with the private key of one of them: --identity FILE, or encrypt.identities in the configuration"
}

// OpenSealed opens the sealed dump of size bytes in r and gives random access to
// the plain dump in it, whose size it returns. What is read is decrypted and
// authenticated in chunks of 64 KiB, of which one is kept.
//
// The error is [dump.ErrNotSealed] if the file is not a sealed dump; a
// [NoIdentityError] if no identity fits; [dump.ErrDamaged], also from ReadAt, if
// the encrypted bytes are not those that were sealed; that of r; or what an
// identity says, such as that a passphrase is wrong.
//
// Of a file whose end is missing it gives, from memory, what is there of the plain
// dump, as far as that is authentic: a [dump.Reader] sees that it is truncated.
func OpenSealed(r io.ReaderAt, size int64, ids ...age.Identity) (io.ReaderAt, int64, error) {
	p, err := openSealed(r, size, ids)
	if err != nil {
		return nil, 0, err
	}
	return p, p.size, nil
}

func openSealed(r io.ReaderAt, size int64, ids []age.Identity) (*plain, error) {
	payload, err := dump.SealedPayload(r, size)
	cut := payload != nil && errors.Is(err, dump.ErrTruncated)
	if err != nil && !cut {
		return nil, err
	}
	in := source{payload}
	head, key, err := unwrap(in, payload, ids)
	if err != nil {
		return nil, err
	}
	open := &plain{in: in, payload: payload, header: head}
	if !cut {
		open.r, open.size, err = age.DecryptReaderAt(in, payload.Size(), age.NewInjectedFileKeyIdentity(key))
		if err == nil {
			return open, nil
		}
		if cause := readCause(err); cause != nil {
			return nil, cause
		}
		// Its last chunk is not the last that was sealed: cut off where nothing
		// else could show it, or damaged.
	}
	return open.rescue(key)
}

// rescue decrypts as much of the beginning as is there and authentic.
func (p *plain) rescue(key []byte) (*plain, error) {
	if p.payload.Size() > maxRescue {
		return nil, p.damage(p.payload.Size(), fmt.Errorf("the end is missing, and what is there is more than %d MiB", maxRescue>>20))
	}
	in := io.NewSectionReader(p.in, 0, p.payload.Size())
	out, err := age.Decrypt(in, age.NewInjectedFileKeyIdentity(key))
	var b []byte
	if err == nil {
		b, err = io.ReadAll(out)
	}
	if cause := readCause(err); cause != nil {
		return nil, cause
	}
	if err != nil && len(b) == 0 {
		return nil, p.damage(p.header, err)
	}
	return &plain{r: bytes.NewReader(b), size: int64(len(b)), in: p.in, payload: p.payload, header: p.header}, nil
}

// unwrap reads the header of an age file and finds the key of its content with one
// of the identities.
func unwrap(in source, payload *dump.Payload, ids []age.Identity) (headerLen int64, key []byte, err error) {
	damaged := func(err error) error {
		return &dump.DamageError{Offset: payload.FileOffset(0), What: "age header", Err: err}
	}
	header, err := age.ExtractHeader(io.NewSectionReader(in, 0, min(payload.Size(), maxAgeHeader)))
	if cause := readCause(err); cause != nil {
		return 0, nil, cause
	}
	if err != nil {
		return 0, nil, damaged(err)
	}
	// The own kinds of age come first, which ask nobody. The list is a new one each
	// time: age sorts it, too, in place.
	tried := make([]age.Identity, 0, len(ids))
	watched := new(watch)
	for _, native := range []bool{true, false} {
		for _, id := range ids {
			if isNative(id) == native {
				tried = append(tried, &watchedIdentity{id, watched})
			}
		}
	}
	none := &NoIdentityError{Tried: len(ids)}
	if len(ids) > 0 {
		key, err = age.DecryptHeader(header, tried...)
		var noMatch *age.NoIdentityMatchError
		switch {
		case err == nil:
			return int64(len(header)), key, nil
		case watched.err != nil:
			return 0, nil, watched.err
		case !errors.As(err, &noMatch):
			return 0, nil, damaged(err)
		}
	}
	for line := range bytes.Lines(header) {
		kind, ok := bytes.CutPrefix(line, []byte("-> "))
		kind, _, _ = bytes.Cut(bytes.TrimSpace(kind), []byte(" "))
		// Some implementations add a recipient that is none, so that nobody relies
		// on knowing all kinds.
		if ok && !bytes.HasSuffix(kind, []byte("-grease")) {
			none.Recipients = append(none.Recipients, string(kind))
		}
	}
	return 0, nil, none
}

// watch takes down what identities say that have failed for a reason of their own.
type watch struct{ err error }

type watchedIdentity struct {
	age.Identity
	w *watch
}

func (i *watchedIdentity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	key, err := i.Identity.Unwrap(stanzas)
	if err != nil && !errors.Is(err, age.ErrIncorrectIdentity) && !isPlainKey(i.Identity) {
		i.w.err = err
	}
	return key, err
}

func isNative(id age.Identity) bool {
	switch id.(type) {
	case *age.X25519Identity, *age.HybridIdentity:
		return true
	}
	return false
}

// isPlainKey reports whether an identity is nothing but a key: what it cannot
// unwrap is damaged.
func isPlainKey(id age.Identity) bool {
	switch id.(type) {
	case *agessh.Ed25519Identity, *agessh.RSAIdentity:
		return true
	}
	return isNative(id)
}

// source marks errors of reading, so that they can be told from damage in what age
// makes of them.
type source struct{ r io.ReaderAt }

func (s source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = &readError{err}
	}
	return n, err
}

type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// readCause returns the error of reading that is the cause of err, or nil.
func readCause(err error) error {
	var read *readError
	if errors.As(err, &read) {
		return read.err
	}
	return nil
}

// plain is the plain dump inside a sealed one.
type plain struct {
	r    io.ReaderAt
	size int64

	in      source
	payload *dump.Payload
	header  int64 // length of the age header
}

// ReadAt reads decrypted bytes. An error is that of the file, or damage.
func (p *plain) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at byte %d", off)
	}
	if off >= p.size {
		if len(b) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n, err := p.r.ReadAt(b, off)
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	default:
		if cause := readCause(err); cause != nil {
			return n, cause
		}
	}
	const nonce = 16 // behind the header, from the specification of age
	chunk := (off + int64(n)) / ageChunk
	return n, p.damage(p.header+nonce+chunk*(ageChunk+ageTag), err)
}

// damage makes the error for bytes that are not what was sealed, from one of the
// age file on.
func (p *plain) damage(off int64, err error) error {
	return &dump.DamageError{Offset: p.payload.FileOffset(off), What: "sealed dump", Err: err}
}

// object is a sealed dump that is open.
type object struct {
	*plain
	inner  sink.Object
	closed atomic.Bool
}

func (o *object) Size() int64 { return o.size }

// ReadAt reads from the plain dump. What is cached is not given out any more once
// the object is closed.
func (o *object) ReadAt(b []byte, off int64) (int, error) {
	if o.closed.Load() {
		return 0, fs.ErrClosed
	}
	return o.plain.ReadAt(b, off)
}

func (o *object) Close() error {
	o.closed.Store(true)
	return o.inner.Close()
}
