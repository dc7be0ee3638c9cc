// Package encrypt stores dumps encrypted with age (https://age-encryption.org),
// so that a bucket, a spool folder or a backup gives no value of the program away
// to whoever can only read files.
//
// [New] puts itself in front of any [sink.Sink]. A service needs public keys
// only: whoever takes the whole machine over afterwards cannot read the dumps
// that have left it. Private keys stay with the people who look at dumps.
//
// What is stored is still a .cdmp file under the same key: a sealed dump (see
// [dump.Seal] and docs/format.md), whose header shows what one searches for, or
// hardly anything (Config.SealHeader), and which holds the whole plain dump as
// one ordinary age file. So listing, counting, copying, verifying and deleting
// need no key.
//
// # Memory
//
// Put encrypts the dump before it hands it on, because the store may read it more
// than once. The encrypted dump, which is as large as the plain one and 1/4000,
// is held in memory up to 64 MiB, and beyond that in a temporary file, which
// never has anything but ciphertext in it. Besides, a Put needs about 1 MiB.
//
// # Keys
//
// Recipients are age's own (age1…), its post-quantum ones (age1pq1…; all
// recipients have to be of that kind then), and SSH keys (ssh-ed25519, ssh-rsa).
// Plugins are not run. [ParseRecipients] and [ReadIdentities] say more.
package encrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"filippo.io/age"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// Config says for whom dumps are encrypted, and with what they are opened. One of
// the two lists must not be empty.
type Config struct {
	// Recipients are the public keys that Put encrypts for, each as text or as
	// the path of a file with one a line; see [ParseRecipients]. Without any,
	// Put refuses a dump that is not sealed already.
	Recipients []string

	// Identities are the names of files with private keys, which Open decrypts
	// with; see [ReadIdentities]. Without any, Open gives sealed dumps as they
	// are stored, so that they can be copied. A service should have none.
	Identities []string

	// SealHeader leaves as little of the header outside as there can be, see
	// [dump.Header.KeyOnly]. Otherwise it is [dump.Header.Searchable].
	SealHeader bool

	// Passphrase asks for the passphrase of an identity, see [ReadIdentities].
	// Nil: those that have one cannot be used.
	Passphrase Passphrase

	// TempDir is where Put makes its temporary file for a large dump. Empty:
	// [os.TempDir].
	TempDir string
}

// memoryLimit is the size up to which an encrypted dump is held in memory.
const memoryLimit = 64 << 20

// store is the Sink that encrypts.
type store struct {
	inner      sink.Sink
	recipients []age.Recipient
	headerLen  int64 // of an age file for these recipients
	sealHeader bool
	identities []age.Identity
	tempDir    string
	inMemory   int64 // memoryLimit, less in tests
}

// forwarder is a store in front of a [sink.Forwarder], and one itself. It is a
// type of its own, because whoever asks a Sink whether it is a Forwarder wants to
// know whether a dump may be on its way still when Put has returned.
type forwarder struct {
	*store
	inner sink.Forwarder
}

// Forward passes the call on.
func (f forwarder) Forward(ctx context.Context, id dump.ID) error { return f.inner.Forward(ctx, id) }

// New returns a Sink that stores dumps in inner, encrypted. It reads the files
// that cfg names, and touches nothing else.
//
// The Sink is a [sink.Forwarder] exactly if inner is one. It is always a
// [sink.Router] and a [sink.Shutdowner], which passes the calls on if inner is
// one. Its entries have a Size only if it has no identities: with identities, Open
// gives what is inside, whose size no listing knows.
func New(inner sink.Sink, cfg Config) (sink.Sink, error) {
	if inner == nil {
		return nil, errors.New("encrypt: no store given")
	}
	if len(cfg.Recipients) == 0 && len(cfg.Identities) == 0 {
		return nil, errors.New("encrypt: neither recipients nor identities are given")
	}
	s := &store{inner: inner, sealHeader: cfg.SealHeader, tempDir: cfg.TempDir, inMemory: memoryLimit}
	var err error
	if len(cfg.Recipients) > 0 {
		if s.recipients, err = ParseRecipients(cfg.Recipients); err != nil {
			return nil, fmt.Errorf("encrypt: %w", err)
		}
		// Recipients that do not go together are found out now, not at the first
		// dump.
		if s.headerLen, err = ageHeaderLen(s.recipients); err != nil {
			return nil, fmt.Errorf("encrypt: %w", err)
		}
	}
	if len(cfg.Identities) > 0 {
		if s.identities, err = ReadIdentities(cfg.Passphrase, cfg.Identities...); err != nil {
			return nil, fmt.Errorf("encrypt: %w", err)
		}
	}
	if f, ok := inner.(sink.Forwarder); ok {
		return forwarder{s, f}, nil
	}
	return s, nil
}

// ageHeaderLen returns the length of what comes before the content in an age file.
func ageHeaderLen(recipients []age.Recipient) (int64, error) {
	var buf bytes.Buffer
	if _, err := age.Encrypt(&buf, recipients...); err != nil {
		return 0, err
	}
	return int64(buf.Len()), nil
}

// Put encrypts a dump and stores it in the inner Sink, see [sink.Sink]. What is
// sealed already is stored as it is, except that its header is cut down if
// Config.SealHeader wants that; so pushing a spool's items on needs no key.
func (s *store) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	sealed, done, err := s.seal(ctx, id, src)
	if err != nil {
		return fmt.Errorf("encrypting dump %s: %w", id.ID, err)
	}
	defer done()
	return s.inner.Put(ctx, id, sealed)
}

// seal returns what is to be stored of src, and what is to be called when that is
// not needed any more.
func (s *store) seal(ctx context.Context, id dump.Identity, src sink.Source) (sealed sink.Source, done func(), err error) {
	if err := sink.CheckIdentity(id); err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if src.Size() < 0 {
		return nil, nil, sink.Permanent(fmt.Errorf("source has a negative size, %d bytes", src.Size()))
	}
	h, err := header(id, src)
	if err != nil {
		return nil, nil, err
	}
	public := h.Searchable()
	if s.sealHeader {
		public = h.KeyOnly()
	}

	switch payload, err := dump.SealedPayload(src, src.Size()); {
	case err == nil && !s.sealHeader:
		return src, func() {}, nil
	case err == nil:
		file, err := dump.Seal(public, payload, payload.Size())
		return file, func() {}, err
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	}
	// Anything else, a damaged sealed dump among it, is encrypted as it is. If it
	// cannot be read, that shows below.

	if len(s.recipients) == 0 {
		return nil, nil, sink.Permanent(errors.New("no recipients are given, and a dump is not stored unencrypted"))
	}
	buf, err := s.newBuffer(ageSize(s.headerLen, src.Size()))
	if err != nil {
		return nil, nil, err
	}
	if err := s.encrypt(ctx, buf, src); err != nil {
		buf.Close()
		return nil, nil, err
	}
	file, err := dump.Seal(public, buf, buf.Size())
	if err != nil {
		buf.Close()
		return nil, nil, err
	}
	return file, func() { buf.Close() }, nil
}

// header returns what is known of the dump: its header, or, of what has none, the
// identity. The identity has the last word, since the key is made of it.
func header(id dump.Identity, src sink.Source) (*dump.Header, error) {
	h, err := dump.ReadHeader(src, src.Size())
	switch {
	case errors.Is(err, dump.ErrNotDump), errors.Is(err, dump.ErrVersion), errors.Is(err, dump.ErrDamaged):
		h = &dump.Header{Time: id.ID.Time()}
	case err != nil:
		return nil, err
	}
	if id.Service == "" {
		id.Service = h.Service
	}
	if id.SpanID.IsZero() {
		id.SpanID = h.SpanID
	}
	h.Identity = id
	return h, nil
}

const (
	// From the specification of age: the content is encrypted in chunks, each of
	// which grows by its authentication tag.
	ageChunk = 64 << 10
	ageTag   = 16
)

// ageSize returns the size of an age file.
func ageSize(header, content int64) int64 {
	chunks := max(1, (content+ageChunk-1)/ageChunk)
	return header + content + chunks*ageTag
}

// encrypt writes the age file of src to w.
func (s *store) encrypt(ctx context.Context, w io.Writer, src sink.Source) error {
	out, err := age.Encrypt(w, s.recipients...)
	if err != nil {
		return err
	}
	if err := sink.Copy(ctx, out, src); err != nil {
		return err
	}
	return out.Close()
}

// Open gives the plain dump if there are identities, see [sink.Sink]. A dump that
// is not sealed is given as it is stored, and so is every dump if there are no
// identities. The error is a [NoIdentityError] if none of the identities fits, and
// [dump.ErrDamaged] if the sealed dump is damaged where it must not be.
func (s *store) Open(ctx context.Context, e sink.Entry) (sink.Object, error) {
	obj, err := s.inner.Open(ctx, e)
	if err != nil || len(s.identities) == 0 {
		return obj, err
	}
	p, err := openSealed(obj, obj.Size(), s.identities)
	switch {
	case errors.Is(err, dump.ErrNotSealed):
		return obj, nil
	case err != nil:
		obj.Close()
		return nil, fmt.Errorf("decrypting dump %s in %s: %w", e.ID, s, err)
	}
	return &object{plain: p, inner: obj}, nil
}

// Trace passes the call on, see [sink.Sink].
func (s *store) Trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	entries, err := s.inner.Trace(ctx, trace)
	for i := range entries {
		entries[i] = s.entry(entries[i])
	}
	return entries, err
}

// List passes the call on, see [sink.Sink].
func (s *store) List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		for e, err := range s.inner.List(ctx, q) {
			if !yield(s.entry(e), err) {
				return
			}
		}
	}
}

// entry takes the size away that Open will not give.
func (s *store) entry(e sink.Entry) sink.Entry {
	if len(s.identities) > 0 {
		e.Size = 0
	}
	return e
}

// Delete passes the call on, see [sink.Sink].
func (s *store) Delete(ctx context.Context, e sink.Entry) error { return s.inner.Delete(ctx, e) }

// URI is that of the inner Sink.
func (s *store) URI(id dump.Identity) string { return s.inner.URI(id) }

// URIFor passes the call on, see [sink.Router].
func (s *store) URIFor(id dump.Identity, t dump.Trigger) string { return sink.URIFor(s.inner, id, t) }

// String is that of the inner Sink: it says where dumps lie, and that is there.
func (s *store) String() string { return s.inner.String() }

// Shutdown shuts the inner Sink down, if it has to be.
func (s *store) Shutdown(ctx context.Context) error { return sink.Shutdown(ctx, s.inner) }
