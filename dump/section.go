package dump

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
)

const (
	defaultCache = 8 << 20
	cacheChunks  = 16
)

// sectionReader gets at the records of a file's sections, and keeps those that
// were used last.
type sectionReader struct {
	r        io.ReaderAt
	size     int64
	head     []byte // the first bytes of the file
	sections []section

	cache chunkCache

	damageMu sync.Mutex
	damage   []error
	noted    map[int]bool  // sections that have an error in damage
	bad      map[int]error // sections that need not be tried again
}

// records is the decompressed payload of a section.
type records struct {
	raw []byte
	at  []span
}

// span is where a record lies in raw.
type span struct{ from, to uint32 }

func (c *records) record(i int) []byte { return c.raw[c.at[i].from:c.at[i].to] }

func (r *sectionReader) addDamage(err error) {
	r.damageMu.Lock()
	r.damage = append(r.damage, err)
	r.damageMu.Unlock()
}

// bytesAt returns n bytes of the file from offset on, fewer where the file ends.
// They must not be changed.
func (r *sectionReader) bytesAt(offset int64, n int) ([]byte, error) {
	return r.bytesIn(new(buffer), offset, n)
}

// bytesIn is bytesAt. What it returns may lie in buf.
func (r *sectionReader) bytesIn(buf *buffer, offset int64, n int) ([]byte, error) {
	n = int(max(0, min(int64(n), r.size-offset)))
	if offset+int64(n) <= int64(len(r.head)) {
		return r.head[offset : offset+int64(n)], nil
	}
	buf.b = slices.Grow(buf.b[:0], n)[:n]
	got, err := readAt(r.r, buf.b, offset)
	if err != nil {
		return nil, fmt.Errorf("read dump at byte %d: %w", offset, err)
	}
	return buf.b[:got], nil
}

// buffers are for sections as they lie in the file, which are needed only until
// they are decompressed.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

type buffer struct{ b []byte }

// maxBuffer is the largest buffer that is kept.
const maxBuffer = 1 << 20

func (b *buffer) free() {
	if cap(b.b) <= maxBuffer {
		buffers.Put(b)
	}
}

// stored reads a section and checks its checksums.
func (r *sectionReader) stored(s *section) (f frame, payload []byte, err error) {
	return r.storedIn(new(buffer), s)
}

// storedIn is stored. What it returns may lie in buf.
func (r *sectionReader) storedIn(buf *buffer, s *section) (f frame, payload []byte, err error) {
	if s.end() > r.size {
		return f, nil, truncated(r.size, s.String(), "%d of its %d bytes are missing", min(s.end()-r.size, s.end()-s.offset), s.end()-s.offset)
	}
	b, err := r.bytesIn(buf, s.offset, frameLen+int(s.stored))
	if err != nil {
		return f, nil, err
	}
	if len(b) < frameLen+int(s.stored) { // the reader's size was not true
		at := s.offset + int64(len(b))
		return f, nil, truncated(at, s.String(), "%d of its %d bytes are missing", s.end()-at, s.end()-s.offset)
	}
	f, ok := parseFrame(b)
	if !ok {
		return f, nil, damaged(s.offset, s.String(), "no intact frame header")
	}
	if f.kind != s.kind || f.firstID != s.firstID || f.count != s.count || f.raw != s.raw || f.stored != s.stored {
		return f, nil, damaged(s.offset, s.String(), "the frame header is not that of the directory")
	}
	payload = b[frameLen:]
	if crc := checksum(payload); crc != f.crc {
		return f, nil, damaged(s.offset+frameLen, s.String(), "checksum is %08x, want %08x", crc, f.crc)
	}
	return f, payload, nil
}

// load reads, checks and decompresses a section.
func (r *sectionReader) load(s *section) (*records, error) {
	buf := buffers.Get().(*buffer)
	f, payload, err := r.storedIn(buf, s)
	if err != nil {
		return nil, err
	}
	at := s.offset + frameLen
	if err := s.checkKnown(f.flags); err != nil {
		return nil, err
	}
	if f.flags&flagZstd != 0 {
		payload, err = decompress(payload, int(s.raw))
		buf.free()
		if err != nil {
			return nil, damaged(at, s.String(), "%w", err)
		}
	} else if len(payload) != int(s.raw) {
		return nil, damaged(at, s.String(), "%w", errRawLength)
	}
	c, err := splitRecords(payload, int(s.count))
	if err != nil {
		return nil, damaged(at, s.String(), "%w", err)
	}
	return c, nil
}

// checkKnown reports whether this reader knows how to read a section of records
// with these flags.
func (s *section) checkKnown(flags uint16) error {
	if flags&^knownFlags != 0 {
		return fmt.Errorf("%w: %v is stored in a way that this reader does not know (flags %#x)", ErrVersion, s, flags)
	}
	return nil
}

// splitRecords finds the count records of a payload.
func splitRecords(raw []byte, count int) (*records, error) {
	if count > len(raw)/2 {
		return nil, fmt.Errorf("%d records in %d bytes", count, len(raw))
	}
	c := &records{raw: raw, at: make([]span, 0, count)}
	for at := 0; at < len(raw); {
		f := fields{b: raw[at:]}
		if !f.next() {
			return nil, f.err
		}
		at = len(raw) - len(f.b)
		if f.tag != recordTag {
			continue
		}
		if len(c.at) == count {
			return nil, fmt.Errorf("more than the %d records that are declared", count)
		}
		c.at = append(c.at, span{from: uint32(at - len(f.v)), to: uint32(at)})
	}
	if len(c.at) != count {
		return nil, fmt.Errorf("%d records where %d are declared", len(c.at), count)
	}
	return c, nil
}

// chunk returns the records of section i, from the cache if they are there.
func (r *sectionReader) chunk(i int) (*records, error) {
	if err := r.known(i); err != nil {
		return nil, err
	}
	return r.cache.get(i, func() (*records, error) { return r.fresh(i) })
}

// passing is chunk for whoever goes through all sections: they are not kept, since
// nobody goes through them twice, and what is kept is of more use.
func (r *sectionReader) passing(i int) (*records, error) {
	if err := r.known(i); err != nil {
		return nil, err
	}
	if r.cache.has(i) {
		return r.chunk(i)
	}
	return r.fresh(i)
}

func (r *sectionReader) fresh(i int) (*records, error) {
	c, err := r.load(&r.sections[i])
	if err != nil {
		r.lost(i, err)
	}
	return c, err
}

// known returns the error of a section that need not be tried again.
func (r *sectionReader) known(i int) error {
	r.damageMu.Lock()
	defer r.damageMu.Unlock()
	return r.bad[i]
}

// lost remembers that section i cannot be read, unless that may change, as an
// error of a remote file may.
func (r *sectionReader) lost(i int, err error) {
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
		return
	}
	r.damageMu.Lock()
	if r.bad == nil {
		r.bad = make(map[int]error)
	}
	r.bad[i] = err
	r.damageMu.Unlock()
	r.note(i, err)
}

// note adds err to the damage, once for each section. Of a truncated file only
// the first missing section is noted.
func (r *sectionReader) note(i int, err error) {
	r.damageMu.Lock()
	defer r.damageMu.Unlock()
	cut := func(err error) bool { return errors.Is(err, ErrTruncated) }
	if r.noted[i] || cut(err) && slices.ContainsFunc(r.damage, cut) {
		return
	}
	if r.noted == nil {
		r.noted = make(map[int]bool)
	}
	r.noted[i] = true
	r.damage = append(r.damage, err)
}

// record decodes one record of section i.
func (r *sectionReader) record(i, index int, decode func(d *decoder, b []byte) error) error {
	c, err := r.chunk(i)
	if err != nil {
		return err
	}
	d := decoders.Get().(*decoder).reset()
	defer d.free()
	if err := decode(d, c.record(index)); err != nil {
		return r.badRecord(i, index, err)
	}
	return nil
}

// badRecord makes the error for a record whose checksum was right and that makes
// no sense nevertheless.
func (r *sectionReader) badRecord(i, index int, err error) error {
	s := &r.sections[i]
	err = damaged(s.offset+frameLen, s.String(), "record %d: %w", index+1, err)
	r.note(i, err)
	return err
}

// eachRecord decodes the records of section i one by one. An error ends it.
func eachRecord[T any](r *Reader, i int, decode func(*decoder, []byte, *T) error) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		c, err := r.passing(i)
		if err != nil {
			yield(nil, err)
			return
		}
		d := decoders.Get().(*decoder)
		defer d.free()
		for k := range c.at {
			v := new(T)
			if err := decode(d.reset(), c.record(k), v); err != nil {
				yield(nil, r.badRecord(i, k, err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// chunkCache keeps the sections that were used last.
type chunkCache struct {
	limit int // bytes

	mu      sync.Mutex
	bytes   int
	entries map[int]*cacheEntry
	order   []int // least recently used first
}

type cacheEntry struct {
	load  sync.Once
	c     *records
	err   error
	bytes int
}

// get returns what load returned for i, and calls it if that is not known any
// more. Concurrent calls for one i load it once. Errors are not kept.
func (cc *chunkCache) get(i int, load func() (*records, error)) (*records, error) {
	cc.mu.Lock()
	e := cc.entries[i]
	if e == nil {
		if cc.entries == nil {
			cc.entries = make(map[int]*cacheEntry)
		}
		e = new(cacheEntry)
		cc.entries[i] = e
		cc.order = append(cc.order, i)
	} else if last := len(cc.order) - 1; cc.order[last] != i {
		k := slices.Index(cc.order, i)
		copy(cc.order[k:], cc.order[k+1:])
		cc.order[last] = i
	}
	cc.mu.Unlock()

	e.load.Do(func() {
		e.c, e.err = load()
		cc.loaded(i, e)
	})
	return e.c, e.err
}

// loaded accounts for a new entry and makes room for it.
func (cc *chunkCache) loaded(i int, e *cacheEntry) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.entries[i] != e {
		return // pushed out while it was loading
	}
	if e.err != nil {
		cc.drop(slices.Index(cc.order, i))
		return
	}
	e.bytes = len(e.c.raw) + 8*len(e.c.at)
	cc.bytes += e.bytes
	for k := 0; k < len(cc.order) && (len(cc.order) > cacheChunks || cc.bytes > cc.limit); {
		if cc.order[k] == i {
			k++
			continue
		}
		cc.drop(k)
	}
}

// has reports whether section i is in memory, or about to be.
func (cc *chunkCache) has(i int) bool {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return cc.entries[i] != nil
}

// drop removes the entry at order[k].
func (cc *chunkCache) drop(k int) {
	i := cc.order[k]
	cc.bytes -= cc.entries[i].bytes
	delete(cc.entries, i)
	cc.order = slices.Delete(cc.order, k, k+1)
}
