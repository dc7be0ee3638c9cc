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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

const (
	// headSize is what Open reads: the header of a dump lies in it.
	headSize = 64 << 10

	// blockSize is what is read when something behind that is touched.
	blockSize = 1 << 20

	// maxBlocks is how many blocks an Object keeps.
	maxBlocks = 8

	// readAttempts is how often a range is asked for whose bytes break off.
	// Requests that fail before that are repeated by the SDK.
	readAttempts = 3
)

// Open makes one ranged GET, see [sink.Sink]. The Object keeps up to 8 MiB that
// it has read. The bytes are not checked against the store's checksum, which
// is of the whole object; a dump has checksums of its own.
func (s *Sink) Open(ctx context.Context, e sink.Entry) (sink.Object, error) {
	obj, err := s.openKey(ctx, sink.TraceKey(e.Identity))
	if err != nil {
		return nil, fmt.Errorf("opening dump %s in %s: %w", e.ID, s, err)
	}
	return obj, nil
}

func (s *Sink) openKey(ctx context.Context, key string) (*object, error) {
	// Also for an Entry that tells the size: the answer says whether the dump
	// is there, and the header is what is read next anyway.
	head := make([]byte, headSize)
	n, size, err := s.readRange(ctx, key, head, 0)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	return &object{ctx: ctx, cancel: cancel, sink: s, key: key, size: size, head: head[:n]}, nil
}

// object is a stored dump, read by ranges.
type object struct {
	ctx    context.Context // of Open, ended by Close
	cancel context.CancelFunc
	sink   *Sink
	key    string
	size   int64
	head   []byte // the first headSize bytes

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
		err = fmt.Errorf("reading s3://%s/%s%s: %w", o.sink.bucket, o.sink.prefix, o.key, err)
	}
	return n, err
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
	number := (off - headSize) / blockSize
	b, mine := o.block(number, len(p) < blockSize)
	if b == nil {
		// Somebody copies the dump: what fills blocks by itself goes past them.
		n, err := o.fetch(p, off)
		return n, err
	}
	start := headSize + number*blockSize
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
	n, _, err := o.sink.readRange(o.ctx, o.key, p, off)
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

// readRange reads the bytes of an object from off on into p, as many as there
// are, and returns their number and the size of the whole object.
func (s *Sink) readRange(ctx context.Context, key string, p []byte, off int64) (n int, size int64, err error) {
	for attempt := 1; ; attempt++ {
		var got int
		var broken bool
		got, size, broken, err = s.tryRange(ctx, key, p[n:], off+int64(n))
		n += got
		if err == nil {
			return n, size, nil
		}
		if !broken || attempt == readAttempts || ctx.Err() != nil {
			return n, 0, err
		}
	}
}

// tryRange makes one request for a range. It reports as broken an answer that
// began well.
func (s *Sink) tryRange(ctx context.Context, key string, p []byte, off int64) (n int, size int64, broken bool, err error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String(s.bucket),
		Key:    aws.String(s.prefix + key),
		Range:  aws.String(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)),
	})
	if err != nil {
		if off == 0 && errorCode(err) == "InvalidRange" {
			return 0, 0, false, nil // nothing in the range of an empty object
		}
		return 0, 0, false, s.explain(ctx, err, "s3:GetObject")
	}
	defer out.Body.Close()
	if out.ContentRange == nil {
		// The whole object: some stores pass over a range that covers it.
		size = aws.ToInt64(out.ContentLength)
		if _, err := io.CopyN(io.Discard, out.Body, off); err != nil {
			return 0, 0, true, s.explain(ctx, err, "s3:GetObject")
		}
	} else {
		var start int64
		start, size, err = parseContentRange(*out.ContentRange)
		if err == nil && start != off {
			err = fmt.Errorf("asked for bytes from %d on, got %q", off, *out.ContentRange)
		}
		if err != nil {
			return 0, 0, false, err
		}
	}
	p = p[:min(int64(len(p)), max(size-off, 0))]
	n, err = io.ReadFull(out.Body, p)
	if err != nil {
		return n, 0, true, s.explain(ctx, err, "s3:GetObject")
	}
	return n, size, false, nil
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
