package dump

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sort"
	"sync"
)

// A Reader reads one dump. Opening it reads the header and the directory; all
// else is read when it is asked for. It trusts nothing that the file says: a
// damaged or hostile file gives errors, and costs memory only in proportion to
// what is really in it.
//
// Records can be had one by one, by their numbers or names, or in the order in
// which they lie in the file with [Reader.Types], [Reader.Goroutines],
// [Reader.Objects] and [Reader.Excerpts]. To go through a whole dump with
// little memory, take first the types, which describe the rest.
//
// What the methods return is the caller's, except for the [Header] and the
// [Type]s, which are shared and must not be changed. A Reader is safe for
// concurrent use.
type Reader struct {
	sectionReader
	closer io.Closer

	header   *Header
	salvaged bool // the directory was lost and put together again from the sections

	// Indices into sections; failing and extra are -1 if there is none.
	types, objects, goroutines, sources, vars []int
	failing, extra                            int

	typeMu   sync.Mutex
	typeByID map[TypeID]*Type

	goroutineIndex func() goroutineIndex
	sourceIndex    sourceIndex
}

// A ReaderOption changes how a Reader works.
type ReaderOption interface{ applyReader(*Reader) }

type readerOption func(*Reader)

func (f readerOption) applyReader(r *Reader) { f(r) }

// WithCacheSize sets how many bytes of decompressed chunks the reader keeps at
// most; the default is 8 MiB. The chunk that was used last is kept in any case.
func WithCacheSize(bytes int) ReaderOption {
	return readerOption(func(r *Reader) { r.cache.limit = bytes })
}

// Open opens the dump in the file at path. The caller must close it.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open dump: %w", err)
	}
	r, err := openFile(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open dump %s: %w", path, err)
	}
	r.closer = f
	return r, nil
}

func openFile(f *os.File) (*Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", ErrNotDump)
	}
	return NewReader(f, info.Size())
}

// NewReader opens the dump of size bytes in r, which must allow concurrent calls
// of ReadAt. It reads the first 64 KiB and the end.
//
// It succeeds if anything of the dump can be read, so also for one that is
// truncated: [Reader.Damage] tells. Otherwise the error is ErrNotDump,
// ErrVersion, ErrTruncated or ErrDamaged, or that of r.
func NewReader(r io.ReaderAt, size int64, opts ...ReaderOption) (*Reader, error) {
	dr := &Reader{failing: -1, extra: -1, typeByID: make(map[TypeID]*Type)}
	dr.r, dr.size = r, size
	dr.cache.limit = defaultCache
	for _, o := range opts {
		o.applyReader(dr)
	}
	dr.goroutineIndex = sync.OnceValue(dr.indexGoroutines)

	p, err := readPrelude(r, size)
	dr.head = p.head
	var damage *DamageError
	switch {
	case err == nil:
		dr.header = p.header
		dr.sections, err = checkDirectory(p.sections, p.end)
		if err != nil {
			return nil, err
		}
	case errors.As(err, &damage) && len(p.head) >= startLen:
		if err := dr.salvage(); err != nil {
			return nil, err
		}
		if len(dr.sections) == 0 {
			return nil, damage
		}
		dr.salvaged = true
		dr.header = &Header{
			Missing: []Missing{{
				What: "header",
				Why:  "the beginning of the file is damaged; goroutines and objects were found by looking for them",
			}},
		}
		dr.damage = []error{damage}
	default:
		return nil, err
	}
	dr.sort()
	if err := dr.checkEnd(p.start.crc); err != nil {
		return nil, err
	}
	return dr, nil
}

// sort notes which sections are of which kind.
func (r *Reader) sort() {
	for i := range r.sections {
		switch r.sections[i].kind {
		case secTypes:
			r.types = append(r.types, i)
		case secObjects:
			r.objects = append(r.objects, i)
		case secGoroutines:
			r.goroutines = append(r.goroutines, i)
		case secSources:
			r.sources = append(r.sources, i)
		case secVars:
			r.vars = append(r.vars, i)
		case secFailing:
			r.failing = i
		case secExtra:
			r.extra = i
		}
	}
}

// Header returns what the dump is about. It must not be changed. If the
// beginning of the file is damaged, it is empty but for Missing, and Damage tells.
func (r *Reader) Header() *Header { return r.header }

// Size returns the size of the file in bytes.
func (r *Reader) Size() int64 { return r.size }

// Damage returns nil if the dump is whole, as far as is known: opening it checks
// the header, the directory and the end, and each part is checked when it is
// read. Otherwise the error says what is wrong and at which byte; it is
// ErrDamaged, and ErrTruncated if the end is missing. [Reader.Verify] looks at
// everything.
func (r *Reader) Damage() error {
	r.damageMu.Lock()
	defer r.damageMu.Unlock()
	if len(r.damage) == 1 {
		return r.damage[0]
	}
	return errors.Join(r.damage...)
}

// NumTypes returns the number of types, as the file declares it.
func (r *Reader) NumTypes() int { return r.total(r.types) }

// NumObjects returns the number of objects, as the file declares it. Do not
// allocate by it.
func (r *Reader) NumObjects() int { return r.total(r.objects) }

// NumGoroutines returns the number of goroutines, the failing one included, as the
// file declares it.
func (r *Reader) NumGoroutines() int {
	n := r.total(r.goroutines)
	if r.failing >= 0 {
		n++
	}
	return n
}

func (r *Reader) total(list []int) int {
	n := 0
	for _, i := range list {
		n += int(r.sections[i].count)
	}
	return n
}

// find returns the section of list that has record id, and the record's index in
// it.
func (r *Reader) find(list []int, id uint64) (sec, index int, ok bool) {
	k := sort.Search(len(list), func(k int) bool { return r.sections[list[k]].firstID > id }) - 1
	if k < 0 {
		return 0, 0, false
	}
	s := &r.sections[list[k]]
	if id-s.firstID >= uint64(s.count) {
		return 0, 0, false
	}
	return list[k], int(id - s.firstID), true
}

// notFound is the error for a record that the directory does not have.
func (r *Reader) notFound(format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if r.salvaged {
		return fmt.Errorf("%s: not in what could be salvaged: %w", what, ErrDamaged)
	}
	return fmt.Errorf("%s: %w", what, ErrNotFound)
}

// Type returns the type with that number, nil if there is none or if it cannot
// be read (Damage tells then). The type must not be changed.
func (r *Reader) Type(id TypeID) *Type {
	r.typeMu.Lock()
	t := r.typeByID[id]
	r.typeMu.Unlock()
	if t != nil {
		return t
	}
	sec, index, ok := r.find(r.types, uint64(id))
	if !ok {
		return nil
	}
	t = &Type{ID: id}
	if err := r.record(sec, index, func(d *decoder, b []byte) error { return d.typ(b, t) }); err != nil {
		return nil
	}
	r.typeMu.Lock()
	defer r.typeMu.Unlock()
	if other := r.typeByID[id]; other != nil {
		return other
	}
	r.typeByID[id] = t
	return t
}

// Types goes through the types in the order of their numbers. An error stands for
// those of one section that cannot be read; the iteration goes on behind it.
func (r *Reader) Types() iter.Seq2[*Type, error] {
	return numbered(r, r.types, (*decoder).typ, func(t *Type, id uint64) { t.ID = TypeID(id) })
}

// Object returns the object with that number. The error is ErrNotFound if there
// is none, or ErrDamaged or ErrTruncated if it cannot be read.
func (r *Reader) Object(id ObjectID) (*Object, error) {
	sec, index, ok := r.find(r.objects, uint64(id))
	if !ok {
		return nil, r.notFound("object %d", id)
	}
	o := &Object{ID: id}
	if err := r.record(sec, index, func(d *decoder, b []byte) error { return d.object(b, o) }); err != nil {
		return nil, err
	}
	return o, nil
}

// Objects goes through the objects in the order of their numbers. An error stands
// for those of one section that cannot be read; the iteration goes on behind it.
// It keeps no more in memory than one section and one object.
func (r *Reader) Objects() iter.Seq2[*Object, error] {
	return numbered(r, r.objects, (*decoder).object, func(o *Object, id uint64) { o.ID = ObjectID(id) })
}

// numbered goes through the records of some sections, whose numbers are not in
// them.
func numbered[T any](r *Reader, sections []int, decode func(*decoder, []byte, *T) error, number func(*T, uint64)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for _, sec := range sections {
			id := r.sections[sec].firstID
			for v, err := range eachRecord(r, sec, decode) {
				if v != nil {
					number(v, id)
					id++
				}
				if !yield(v, err) {
					return
				}
			}
		}
	}
}

// Failing returns the goroutine that the dump is about. The error is ErrNotFound
// if there is none.
func (r *Reader) Failing() (*Goroutine, error) {
	if r.failing < 0 {
		return nil, r.notFound("failing goroutine")
	}
	g := new(Goroutine)
	err := r.record(r.failing, 0, func(d *decoder, b []byte) error { return d.goroutine(b, g) })
	if err != nil {
		return nil, err
	}
	g.Failing = true
	return g, nil
}

// Goroutines goes through all goroutines, the failing one first. An error stands
// for those of one section that cannot be read; the iteration goes on behind it.
func (r *Reader) Goroutines() iter.Seq2[*Goroutine, error] {
	return func(yield func(*Goroutine, error) bool) {
		if r.failing >= 0 && !yield(r.Failing()) {
			return
		}
		for _, sec := range r.goroutines {
			for g, err := range eachRecord(r, sec, (*decoder).goroutine) {
				if !yield(g, err) {
					return
				}
			}
		}
	}
}

// Source returns what the dump has of the source file of that name, which is as
// in [Frame]. The error is ErrNotFound if it has nothing.
func (r *Reader) Source(file string) (*Source, error) {
	at, ok, err := r.sourcePlace(file)
	if !ok {
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", file, err)
		}
		return nil, r.notFound("source %s", file)
	}
	s := new(Source)
	err = r.record(at.sec, at.index, func(d *decoder, b []byte) error { return d.source(b, s) })
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Sources returns the names of the source files that the dump has something of.
// If some cannot be read, it returns the others with an error.
func (r *Reader) Sources() ([]string, error) {
	return r.sourceFiles()
}

// Excerpts goes through the sources in the order of the file. An error stands for
// those of one section that cannot be read; the iteration goes on behind it.
func (r *Reader) Excerpts() iter.Seq2[*Source, error] {
	return numbered(r, r.sources, (*decoder).source, func(*Source, uint64) {})
}

// Extra returns what is known besides the header. The error is ErrNotFound if the
// dump has none.
func (r *Reader) Extra() (*Extra, error) {
	if r.extra < 0 {
		return nil, r.notFound("extra")
	}
	x := new(Extra)
	err := r.record(r.extra, 0, func(d *decoder, b []byte) error { return d.extra(b, x) })
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Close closes the file that Open opened. For NewReader it does nothing.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}
