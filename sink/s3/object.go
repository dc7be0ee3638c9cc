package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

const (
	// headSize is what Open reads: the header of a dump lies in it.
	headSize = 64 << 10

	// wholeSize is the size up to which Open reads a dump as a whole, if the
	// Entry tells its size. It is small enough to be held, and large enough
	// for one more request not to count behind it.
	wholeSize = 4 << 20

	// blockSize is what is read when something behind that is touched.
	blockSize = 1 << 20

	// maxBlocks is how many blocks an Object keeps.
	maxBlocks = 8

	// readAttempts is how often a range is asked for whose bytes break off.
	// Requests that fail before that are repeated by the SDK.
	readAttempts = 3

	// stallTimeout is how long a body may give nothing before it counts as
	// broken off. A slow one that goes on is fine.
	stallTimeout = time.Minute
)

// errStalled is why a request ends whose body gives nothing any more.
var errStalled = errors.New("the answer stalled")

// Open makes one ranged GET, see [sink.Sink]: of the first 64 KiB, or of the
// whole dump if e tells that it has no more than 4 MiB. So a caller who wants the
// dump passes the Entry of a listing as it is, and one who wants the header
// sets its Size to 0. The Object keeps up to 8 MiB besides that it has read. The
// bytes are not checked against the store's checksum, which is of the whole
// object; a dump has checksums of its own.
//
// The Object is a [Downloader].
func (s *Sink) Open(ctx context.Context, e sink.Entry) (sink.Object, error) {
	obj, err := s.openKey(ctx, sink.TraceKey(e.Identity), e.Size)
	if err != nil {
		return nil, fmt.Errorf("opening dump %s in %s: %w", e.ID, s, err)
	}
	return obj, nil
}

func (s *Sink) openKey(ctx context.Context, key string, expected int64) (*object, error) {
	// One request in any case: the answer says whether the dump is there, and
	// the header is what is read next anyway.
	want := int64(headSize)
	if headSize < expected && expected <= wholeSize {
		want = expected
	}
	head, size, err := s.readHead(ctx, key, want)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	return &object{ctx: ctx, cancel: cancel, sink: s, key: key, size: size, head: head}, nil
}

// object is a stored dump, read by ranges.
type object struct {
	ctx    context.Context // of Open, ended by Close
	cancel context.CancelFunc
	sink   *Sink
	key    string
	size   int64
	head   []byte // its first bytes: at least headSize, or all

	mu     sync.Mutex
	closed bool
	blocks []*block // the most recently used first
}

// block is blockSize bytes of an object, the first one behind the head being
// number 0. Its data and err are set when ready is closed.
type block struct {
	number int64
	ready  chan struct{}
	data   []byte
	err    error
}

func (o *object) Size() int64 { return o.size }

// Close ends reads that are under way. It never fails.
func (o *object) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.blocks = nil
	o.cancel()
	return nil
}

func (o *object) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.readAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = o.failed(err)
	}
	return n, err
}

// failed says which object could not be read.
func (o *object) failed(err error) error {
	return fmt.Errorf("reading s3://%s/%s%s: %w", o.sink.cfg.Bucket, o.sink.prefix, o.key, err)
}

func (o *object) readAt(p []byte, off int64) (int, error) {
	if o.isClosed() {
		return 0, fs.ErrClosed
	}
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("offset %d is negative", off)
	}
	want := len(p)
	if left := max(o.size-off, 0); int64(want) > left {
		p = p[:left]
	}
	n := 0
	for n < len(p) {
		got, err := o.readSome(p[n:], off+int64(n))
		n += got
		if err != nil {
			return n, err
		}
	}
	if n < want {
		return n, io.EOF
	}
	return n, nil
}

// readSome reads at least one byte of those at off into p, which is not empty
// and ends inside the object.
func (o *object) readSome(p []byte, off int64) (int, error) {
	if off < int64(len(o.head)) {
		return copy(p, o.head[off:]), nil
	}
	base := int64(len(o.head))
	number := (off - base) / blockSize
	b, mine := o.block(number, len(p) < blockSize)
	if b == nil {
		// Somebody copies the dump: what fills blocks by itself goes past them.
		return o.fetch(p, off)
	}
	start := base + number*blockSize
	if mine {
		data := make([]byte, min(blockSize, o.size-start))
		_, b.err = o.fetch(data, start)
		b.data = data
		close(b.ready)
		if b.err != nil {
			o.drop(b)
		}
	}
	select {
	case <-b.ready:
	case <-o.ctx.Done():
		if o.isClosed() {
			return 0, fs.ErrClosed
		}
		return 0, o.ctx.Err()
	}
	if b.err != nil {
		return 0, b.err
	}
	return copy(p, b.data[off-start:]), nil
}

// fetch fills p from the store.
func (o *object) fetch(p []byte, off int64) (int, error) {
	n, err := o.sink.readRange(o.ctx, o.key, p, off)
	if err == nil && n < len(p) {
		err = io.ErrUnexpectedEOF // shorter than it was when it was opened
	}
	if err != nil && o.isClosed() {
		err = fs.ErrClosed
	}
	return n, err
}

// block returns a block of the cache. If it is not there and add is set, a new
// one is put there, and the caller is the one to fill it.
func (o *object) block(number int64, add bool) (b *block, mine bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.IndexFunc(o.blocks, func(b *block) bool { return b.number == number }); i >= 0 {
		b = o.blocks[i]
		o.blocks = slices.Insert(slices.Delete(o.blocks, i, i+1), 0, b)
		return b, false
	}
	if !add {
		return nil, false
	}
	b = &block{number: number, ready: make(chan struct{})}
	o.blocks = slices.Insert(o.blocks, 0, b)
	if len(o.blocks) > maxBlocks {
		o.blocks = slices.Delete(o.blocks, maxBlocks, len(o.blocks))
	}
	return b, true
}

func (o *object) drop(b *block) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blocks = slices.DeleteFunc(o.blocks, func(other *block) bool { return other == b })
}

func (o *object) isClosed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}

// readHead reads up to n bytes from the start of an object, and returns them
// and the size of the whole object.
func (s *Sink) readHead(ctx context.Context, key string, n int64) (head []byte, size int64, err error) {
	_, err = s.resume(ctx, key, 0, n, func(r io.Reader, from, left, whole int64) (int64, error) {
		if from == 0 {
			head, size = make([]byte, left), whole
		}
		if from+left != int64(len(head)) || whole != size {
			return 0, fmt.Errorf("the object has changed from %d to %d bytes while it was read", size, whole)
		}
		return readFull(r, head[from:])
	})
	return head, size, err
}

// readRange reads the bytes of an object from off on into p, as many as there
// are, and returns their number.
func (s *Sink) readRange(ctx context.Context, key string, p []byte, off int64) (int, error) {
	n, err := s.resume(ctx, key, off, int64(len(p)), func(r io.Reader, from, left, _ int64) (int64, error) {
		return readFull(r, p[from-off:from-off+left])
	})
	return int(n), err
}

// readFull fills p. An end before that is never io.EOF.
func readFull(r io.Reader, p []byte) (int64, error) {
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return int64(n), err
}

// resume reads n bytes of an object from off on, or as many as there are, and
// goes on where an answer breaks off. For each answer it calls take, which has
// to read left bytes, those from from on, out of r, and returns
// io.ErrUnexpectedEOF if there are fewer; whole is the size of the object.
func (s *Sink) resume(ctx context.Context, key string, off, n int64, take func(r io.Reader, from, left, whole int64) (int64, error)) (done int64, err error) {
	for attempt := 1; ; attempt++ {
		var got int64
		var broken bool
		got, broken, err = s.getRange(ctx, key, off+done, n-done, take)
		done += got
		if err == nil {
			return done, nil
		}
		if !broken || attempt == readAttempts || ctx.Err() != nil {
			return done, err
		}
	}
}

// getRange makes one request for a range. It reports as broken an answer that
// began well.
func (s *Sink) getRange(ctx context.Context, key string, off, n int64, take func(r io.Reader, from, left, whole int64) (int64, error)) (got int64, broken bool, err error) {
	// The end of the request's own context is what unblocks a body.
	asked, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out, err := s.client.GetObject(asked, &s3.GetObjectInput{
		Bucket: s.bucket(),
		Key:    s.key(key),
		Range:  aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1)),
	})
	if err != nil {
		if off == 0 && errorCode(err) == "InvalidRange" {
			_, err := take(strings.NewReader(""), 0, 0, 0) // nothing in the range of an empty object
			return 0, false, err
		}
		return 0, false, s.explain(ctx, err, mayRead)
	}
	defer out.Body.Close()
	body := &watched{r: out.Body, stall: s.stall}
	body.timer = time.AfterFunc(s.stall, func() { cancel(errStalled) })
	defer body.timer.Stop()
	fail := func(err error) error {
		if cause := context.Cause(asked); errors.Is(cause, errStalled) {
			err = cause
		}
		return s.explain(ctx, err, mayRead)
	}

	var size int64
	if out.ContentRange == nil {
		// The whole object: some stores pass over a range that covers it.
		if out.ContentLength == nil {
			return 0, false, errors.New("the store answered without a length")
		}
		size = *out.ContentLength
		if _, err := io.CopyN(io.Discard, body, min(off, size)); err != nil {
			return 0, true, fail(err)
		}
	} else {
		var start int64
		start, size, err = parseContentRange(*out.ContentRange)
		if err == nil && start != off {
			err = fmt.Errorf("asked for bytes from %d on, got %q", off, *out.ContentRange)
		}
		if err != nil {
			return 0, false, err
		}
	}
	got, err = take(body, off, min(n, max(size-off, 0)), size)
	switch {
	case err == nil:
		return got, false, nil
	case body.err != nil:
		return got, true, fail(body.err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return got, true, fail(err)
	}
	return got, false, err // of whom the bytes are for
}

// watched reads a body and notes when something comes. It remembers the
// body's own error, so that it can be told from that of who copies it.
type watched struct {
	r     io.Reader
	stall time.Duration
	timer *time.Timer
	err   error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.timer.Reset(w.stall)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// parseContentRange reads "bytes 0-65535/123456".
func parseContentRange(s string) (start, size int64, err error) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	first, _, ok3 := strings.Cut(span, "-")
	start, err1 := strconv.ParseInt(first, 10, 64)
	size, err2 := strconv.ParseInt(total, 10, 64)
	if !ok || !ok2 || !ok3 || err1 != nil || err2 != nil || start < 0 || size < 0 {
		return 0, 0, fmt.Errorf("the store answered with the unreadable range %q", s)
	}
	return start, size, nil
}
