// Package sink is where dumps are stored and found again.
//
// A [Sink] is one store of dumps: a folder (package local), an S3 bucket
// (package s3), or something that stands in front of another Sink and adds to
// it, such as a spool, retries, a choice among several stores, or encryption.
// All of them hold dumps under the same keys (see [TraceKey] and [DayKey]), so
// that a bucket can be copied into a folder and read there. No index server is
// needed: a listing of one key prefix answers every question that is asked of a
// store.
//
// Writing goes dump first, marker second. The dump is found by its trace as
// soon as Put has written it, by its day once the marker is there as well. A
// Put that failed between the two is repaired by the same Put again.
//
// The package knows nothing of what is inside a dump beyond its
// [dump.Identity], and never reads or writes the content.
//
// Package sinktest holds the conformance suite that every Sink passes.
package sink

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// ErrNotFound says that a dump, or what it should be read from, is not in the
// store. Test for it with errors.Is. It is permanent: asking again will not
// help.
var ErrNotFound = errors.New("dump not found")

// Sink is a store of dumps. These comments are the contract; package sinktest
// checks it.
//
// All methods may be called concurrently, also from several processes on one
// store. A method returns soon after its context is done, with an error that
// wraps the context's. An error says what was being done and to what; one that
// [IsPermanent] calls permanent cannot be helped by trying again, every other
// error may be. A Sink logs nothing.
//
// A Sink that holds something open for its whole life, or works in the
// background, also has a method Shutdown(context.Context) error, after which
// it must not be used. [Shutdown] calls it where there is one.
type Sink interface {
	// Put stores what src holds as the dump id. It reads src before it
	// returns and not after, possibly more than once.
	//
	// Put is idempotent: a dump that the store already has is success, and the
	// stored content stays. It is atomic: whoever lists or opens meanwhile
	// sees the whole dump or none, also if src fails halfway, the context
	// ends or the process dies. When Put has returned nil the dump is as
	// durable as the store can make it.
	//
	// An identity that has no key (see [CheckIdentity]) is a permanent error.
	Put(ctx context.Context, id dump.Identity, src Source) error

	// URI says where Put stores the dump, for attributes of spans and for
	// people: "file:///abs/path" or "s3://bucket/key". It does no I/O, does
	// not say that the dump is there, and gives the same answer in every
	// process that is configured alike. It is never a secret, so never a
	// presigned URL.
	URI(id dump.Identity) string

	// Trace returns the dumps of one trace, oldest first. A trace that has
	// none is not an error. The zero trace ID asks for the dumps that were
	// made outside any trace. The entries have no service and no span, which
	// the dumps' headers tell.
	Trace(ctx context.Context, trace dump.TraceID) ([]Entry, error)

	// List goes through the dumps that q asks for, newest first by the time
	// in their IDs. It works as the caller iterates, and reads about as much
	// as the caller consumes: breaking off after a few is cheap in a store
	// of years. An error comes as the last pair, with a zero Entry.
	//
	// A dump may disappear between List and Open, and a store may list a dump
	// that is half deleted; Open then says ErrNotFound and the caller goes on.
	List(ctx context.Context, q Query) iter.Seq2[Entry, error]

	// Open gives random access to a stored dump. Only the ID and the TraceID
	// of e are needed; an Entry from a listing may save a round trip. A dump
	// that is not there is ErrNotFound. The context also covers the reads
	// from the Object.
	Open(ctx context.Context, e Entry) (Object, error)

	// Delete removes a dump and its marker. Only the ID and the TraceID of e
	// are needed; without the Service the store may have to look for it. A
	// dump that is not there is success. After an error part of it may still
	// be there; the same Delete again removes the rest.
	Delete(ctx context.Context, e Entry) error

	// String describes the store for messages: "local folder /x/dumps",
	// "bucket s3://b/prefix at http://127.0.0.1:9000".
	String() string
}

// Source is the content of a dump that is to be stored. *bytes.Reader and
// *io.SectionReader are Sources; a file becomes one with [io.NewSectionReader].
// ReadAt must be as [io.ReaderAt] wants it, Size must not change.
type Source interface {
	io.ReaderAt
	Size() int64
}

// Object is a stored dump, open for reading. ReadAt may be called
// concurrently. The caller closes it.
type Object interface {
	io.ReaderAt
	Size() int64
	io.Closer
}

// Entry is one stored dump as a listing knows it.
type Entry struct {
	// Identity as far as the listing tells it. ID and TraceID always; the
	// Service in entries of List (as [Service] returns it); never the SpanID.
	dump.Identity

	// Key is [TraceKey] of the dump: without the prefix of the store, so the
	// same in every store.
	Key string

	// URI says where the dump lies: what Sink.URI returns for it, and in a
	// store made of several, what the one that has it returns.
	URI string

	// Size is the length of the stored dump in bytes, 0 if the listing does
	// not tell.
	Size int64
}

// Query says which dumps List goes through. The zero Query means all.
type Query struct {
	// Since and Until bound the time in the dumps' IDs, which has
	// milliseconds: Since ≤ time < Until. A zero time is no bound.
	Since, Until time.Time

	// Service is the name of the service as in [dump.Identity]; "" means any.
	// Dumps of a service without a name are stored as [UnknownService].
	Service string
}

// Match reports whether List with this Query shows the dump.
func (q Query) Match(id dump.Identity) bool {
	t := id.ID.Time()
	if !q.Since.IsZero() && t.Before(q.Since.Truncate(time.Millisecond)) {
		return false
	}
	if !q.Until.IsZero() && !t.Before(q.Until) {
		return false
	}
	return q.Service == "" || Service(q.Service) == Service(id.Service)
}

// permanentError marks an error that trying again will not help.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks err as one that the same call again will run into again,
// whatever happens outside: an identity without a key, a dump larger than the
// store takes. It does not change the text. Permanent(nil) is nil.
//
// What an operator can mend while the process runs, such as a full disk, a
// missing bucket or a wrong permission, is not permanent.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err was marked by [Permanent], or is
// [ErrNotFound], anywhere in its tree.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p) || errors.Is(err, ErrNotFound)
}
