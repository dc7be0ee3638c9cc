package dump

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	defaultChunk = 128 << 10
	minChunk     = 4 << 10
	maxChunk     = 64 << 20
	// chunkSteady is up to how many sections chunks are of the size that was asked
	// for, and chunkGrowth after how many more they double each time, so that the
	// directory of a huge dump keeps within the prelude. In 128 KiB chunks a million
	// objects are some hundred sections.
	chunkSteady = 480
	chunkGrowth = 60
)

var errClosed = errors.New("dump writer is closed")

// A Writer makes one dump. Types, objects, goroutines, sources and the rest may
// be handed in in any order and interleaved; each is encoded at once, so that
// the caller may use its memory again. They are compressed chunk by chunk,
// kept compressed, in memory unless [WithSpill] says otherwise, and written by
// [Writer.Close]: a file begins with its directory, which is known last.
//
// Errors stay: after the first one every method returns it. A Writer that is not
// needed any more may be dropped without closing it. It is not safe for
// concurrent use.
type Writer struct {
	w         io.Writer
	level     zstd.EncoderLevel
	chunkSize int

	types, objects, goroutines, sources, vars chunk
	failing, extra                            chunk // of one record

	maxSection int    // the constant, less in tests
	sections   int    // finished ones, of all chunks
	scratch    []byte // for compressed payloads
	spill      spill
	counts     Counts
	anyOthers  bool // a goroutine has been written
	err        error
}

// chunk collects the records of one kind, and is the list of its finished
// sections.
type chunk struct {
	encoder
	kind  sectionKind
	first uint64 // number of the first record in b
	count uint32 // records in b
	done  []packed
}

// packed is a section as it will lie in the file, frame header included.
type packed struct {
	section
	data []byte // nil if it was spilled:
	at   int64  // where it lies in the spill file
}

// A WriterOption changes how a Writer works.
type WriterOption interface{ applyWriter(*Writer) }

type writerOption func(*Writer)

func (f writerOption) applyWriter(w *Writer) { f(w) }

// WithLevel sets the zstd compression level, from 1 (fastest) to 22; the default
// is 3. There are four speeds: 1 to 2, 3 to 5, 6 to 9, and 10 and above.
func WithLevel(level int) WriterOption {
	return writerOption(func(w *Writer) { w.level = zstd.EncoderLevelFromZstd(level) })
}

// WithChunkSize sets how many bytes are compressed together, and so how much has
// to be read and decompressed to get at one object. The default is 128 KiB.
// Values below 4 KiB or above 64 MiB count as those. Chunks of very large dumps
// are larger than that.
func WithChunkSize(bytes int) WriterOption {
	return writerOption(func(w *Writer) { w.chunkSize = min(max(bytes, minChunk), maxChunk) })
}

// NewWriter returns a Writer whose Close writes the dump to w.
func NewWriter(w io.Writer, opts ...WriterOption) *Writer {
	dw := &Writer{
		w:          w,
		level:      zstd.SpeedDefault,
		chunkSize:  defaultChunk,
		maxSection: maxSection,
		types:      chunk{kind: secTypes, first: 1},
		objects:    chunk{kind: secObjects, first: 1},
		goroutines: chunk{kind: secGoroutines, first: 1},
		sources:    chunk{kind: secSources, first: 1},
		vars:       chunk{kind: secVars, first: 1},
		failing:    chunk{kind: secFailing, first: 1},
		extra:      chunk{kind: secExtra, first: 1},
	}
	for _, o := range opts {
		o.applyWriter(dw)
	}
	return dw
}

// Type adds a type. Types are numbered 1, 2, 3, … in the order in which they are
// added, and t.ID must be that number.
func (w *Writer) Type(t *Type) error {
	c := &w.types
	if err := w.inOrder(c, uint64(t.ID)); err != nil {
		return err
	}
	at := c.begin()
	c.typ(t)
	if !w.commit(c, at) {
		return w.fail(fmt.Errorf("dump: type %d is larger than %d MiB", t.ID, maxSection>>20))
	}
	return w.err
}

// Object adds an object. Objects are numbered 1, 2, 3, … in the order in which
// they are added, and o.ID must be that number. Objects that lie near each other
// in the order are read together, so those nearest the failure should come first.
//
// Values that go beyond the limits of the format (nested more than 64 deep, more
// than a million in one object, 256 MiB) are left out, with a Reason.
func (w *Writer) Object(o *Object) error {
	c := &w.objects
	if err := w.inOrder(c, uint64(o.ID)); err != nil {
		return err
	}
	at := c.begin()
	c.object(o)
	if !w.commit(c, at) {
		at = c.begin()
		c.object(&Object{Addr: o.Addr, Late: o.Late, Value: Value{
			Type: o.Value.Type, Addr: o.Value.Addr, Len: o.Value.Len, Cap: o.Value.Cap,
			Reason: ByteBudget, Detail: "larger than a dump file can hold of one object",
		}})
		w.commit(c, at)
	}
	w.counts.Objects++
	return w.err
}

// Goroutine adds a goroutine. The failing one, if there is one, must be the first
// to be added.
func (w *Writer) Goroutine(g *Goroutine) error {
	if w.err != nil {
		return w.err
	}
	c := &w.goroutines
	if g.Failing {
		if w.anyOthers {
			return w.fail(fmt.Errorf("dump: the failing goroutine %d is not the first", g.ID))
		}
		c = &w.failing
	}
	w.anyOthers = true
	at := c.begin()
	c.goroutine(g)
	if !w.commit(c, at) {
		at = c.begin()
		small := *g
		small.Frames, small.Values, small.Labels, small.Waits, small.Others = nil, nil, nil, nil, nil
		small.Missing = []Missing{{What: "frames", Why: "the goroutine is larger than a dump file can hold of one goroutine"}}
		c.goroutine(&small)
		w.commit(c, at)
	}
	w.counts.Goroutines++
	w.counts.Frames += len(g.Frames)
	w.counts.Variables += len(g.Values)
	for i := range g.Frames {
		w.counts.Variables += len(g.Frames[i].Vars)
	}
	return w.err
}

// Source adds the excerpts of one source file. A file should be added once.
func (w *Writer) Source(s *Source) error {
	if w.err != nil {
		return w.err
	}
	c := &w.sources
	if c.first+uint64(c.count) > maxSources {
		return w.fail(fmt.Errorf("dump: more than %d sources", maxSources))
	}
	at := c.begin()
	c.source(s)
	if !w.commit(c, at) {
		return w.fail(fmt.Errorf("dump: source %q is larger than %d MiB", s.File, maxSection>>20))
	}
	return w.err
}

// Extra sets what is known besides the header. It may be called once.
func (w *Writer) Extra(x *Extra) error {
	if w.err != nil {
		return w.err
	}
	c := &w.extra
	if c.count != 0 {
		return w.fail(errors.New("dump: Extra was written twice"))
	}
	at := c.begin()
	c.extra(x)
	if !w.commit(c, at) {
		return w.fail(fmt.Errorf("dump: Extra is larger than %d MiB", maxSection>>20))
	}
	return w.err
}

// Close completes the dump, writes it, and returns the size of the file. It sets
// h.FormatVersion, and those of h.Counts that it knows and that are zero. A header
// that is longer than the format allows is shortened in the file, which its
// Missing then says; h itself is not.
func (w *Writer) Close(h *Header) (int64, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.complete(h)
	var sections []packed
	for _, c := range []*chunk{&w.failing, &w.types, &w.objects, &w.goroutines, &w.vars, &w.sources, &w.extra} {
		w.flush(c)
		sections = append(sections, c.done...)
		c.done = nil
	}
	if w.err != nil {
		return 0, w.err
	}
	size, err := w.writeFile(h, sections)
	w.err = errClosed
	if err != nil {
		w.err = fmt.Errorf("write dump: %w", err)
		return size, w.err
	}
	return size, nil
}

// complete fills in what the writer knows of the header.
func (w *Writer) complete(h *Header) {
	h.FormatVersion = formatVersion(versionMajor, versionMinor)
	for _, c := range []struct {
		dst *int
		n   int
	}{
		{&h.Counts.Goroutines, w.counts.Goroutines},
		{&h.Counts.Frames, w.counts.Frames},
		{&h.Counts.Variables, w.counts.Variables},
		{&h.Counts.Objects, w.counts.Objects},
	} {
		if *c.dst == 0 {
			*c.dst = c.n
		}
	}
}

// writeFile lays the file out and writes it.
func (w *Writer) writeFile(h *Header, sections []packed) (int64, error) {
	end := packEnd(0, len(sections)+1, 0) // its content is known below, its length now
	directory := make([]section, 0, len(sections)+1)
	for i := range sections {
		directory = append(directory, sections[i].section)
	}
	directory = append(directory, end.section)

	// The directory is at its longest when its offsets are.
	for i := range directory {
		directory[i].offset = preludeMax
		if i > 0 {
			directory[i].offset = directory[i-1].end()
		}
	}
	const fieldOverhead = 1 + 4 // tag and length of the header within the prelude
	room := preludeMax - startLen - fieldOverhead - len(encodePrelude(nil, directory))
	head := buildPrelude(fitHeader(h, room), directory)
	size := directory[len(directory)-1].end()
	end = packEnd(size, len(directory), parseStart(head).crc)

	var written int64
	write := func(b []byte) error {
		n, err := w.w.Write(b)
		written += int64(n)
		if err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
		return err
	}
	if err := write(head); err != nil {
		return written, err
	}
	for i := range sections {
		p := &sections[i]
		if p.data != nil {
			if err := write(p.data); err != nil {
				return written, err
			}
			p.data = nil // whoever writes to memory need not have it twice
			continue
		}
		n, err := io.Copy(w.w, w.spill.section(p))
		written += n
		if err == nil && n < frameLen+int64(p.stored) {
			err = fmt.Errorf("spilled part of the dump: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return written, err
		}
	}
	err := write(end.data)
	return written, err
}

func packEnd(size int64, sections int, preludeCRC uint32) packed {
	c := chunk{kind: secEnd, first: 1}
	at := c.begin()
	c.end(size, sections, preludeCRC)
	c.close(at)
	c.count = 1
	return c.pack(len(c.b), c.b, 0)
}

func (w *Writer) fail(err error) error {
	w.err = err
	return err
}

// inOrder checks the number of the next record of c.
func (w *Writer) inOrder(c *chunk, id uint64) error {
	if w.err != nil {
		return w.err
	}
	if want := c.first + uint64(c.count); id != want {
		return w.fail(fmt.Errorf("dump: %v: got number %d where %d is next", c.kind, id, want))
	}
	return nil
}

// begin starts a record.
func (c *chunk) begin() (at int) {
	c.items = 0
	return c.open(1)
}

// commit ends the record that began at at, and the chunk if that is full. It
// returns false, and takes the record back, if the record is too large for any
// section. A record that fills a section by itself has one for itself, so that
// nobody who wants another one has to read it.
func (w *Writer) commit(c *chunk, at int) bool {
	c.close(at)
	at -= 2 // where its tag is
	switch n := len(c.b) - at; {
	case n > w.maxSection:
		c.b = c.b[:at]
		return false
	case len(c.b) > w.maxSection || n >= w.chunkLimit():
		w.cut(c, at)
	}
	c.count++
	if len(c.b) >= w.chunkLimit() || c.count == maxRecords {
		w.flush(c)
	}
	return true
}

// chunkLimit is the length at which a chunk is full. It grows with the number of
// sections.
func (w *Writer) chunkLimit() int {
	if w.sections < chunkSteady {
		return w.chunkSize
	}
	return min(w.chunkSize<<min(1+(w.sections-chunkSteady)/chunkGrowth, 20), maxChunk)
}

// flush makes a section of the records in c, if there are any.
func (w *Writer) flush(c *chunk) {
	w.cut(c, len(c.b))
	c.flags = 0
}

// cut makes a section of the c.count records in the first n bytes of c, if there
// are any, and leaves the rest.
func (w *Writer) cut(c *chunk, n int) {
	if c.count == 0 || w.err != nil {
		return
	}
	if w.sections+1 >= maxSections { // the end section is one more
		w.fail(errors.New("dump: too large for the format"))
		return
	}
	payload := c.b[:n]
	stored, flags := payload, c.flags
	if n >= compressMin {
		if err := w.compress(payload, c.count); err != nil {
			w.fail(err)
			return
		}
		if len(w.scratch) < n {
			stored, flags = w.scratch, flags|flagZstd
		}
	}
	p := c.pack(n, stored, flags)
	if err := w.spill.take(&p); err != nil {
		w.fail(fmt.Errorf("dump: %w", err))
		return
	}
	c.done = append(c.done, p)
	w.sections++
	c.first += uint64(c.count)
	c.count = 0
	rest := c.b[n:]
	if cap(c.b) > 4*w.chunkLimit() && len(rest) == 0 { // one huge record made it so
		c.b = nil
	}
	c.b = append(c.b[:0], rest...)
}

// compress compresses a payload of count records into w.scratch. The beginning of
// a large record is a zstd frame for itself: whoever wants no more than that need
// not decompress more.
func (w *Writer) compress(payload []byte, count uint32) (err error) {
	w.scratch = w.scratch[:0]
	if count == 1 && len(payload) >= largeSection {
		if w.scratch, err = compress(w.scratch, payload[:headStart], w.level); err != nil {
			return err
		}
		payload = payload[headStart:]
	}
	w.scratch, err = compress(w.scratch, payload, w.level)
	return err
}

// pack puts a frame header before the stored form of a payload of raw bytes.
func (c *chunk) pack(raw int, stored []byte, flags uint16) packed {
	data := make([]byte, frameLen+len(stored))
	copy(data[frameLen:], stored)
	f := frame{
		kind: c.kind, flags: flags, firstID: c.first, count: c.count,
		raw: uint32(raw), stored: uint32(len(stored)), crc: checksum(stored),
	}
	f.put(data)
	return packed{data: data, section: section{
		kind: f.kind, stored: f.stored, raw: f.raw, firstID: f.firstID, count: f.count,
	}}
}
