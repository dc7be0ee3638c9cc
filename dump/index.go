package dump

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// place is where a record is.
type place struct{ sec, index int }

// indexMax bounds the memory of the goroutine index. What a dump has beyond it is
// looked for one by one.
const indexMax = 1 << 20

// goroutineIndex finds goroutines, other than the failing one, by their IDs.
type goroutineIndex struct {
	at   map[int64]place
	rest []int // sections that are not in the index: too much, or not readable
}

func (r *Reader) indexGoroutines() goroutineIndex {
	x := goroutineIndex{at: make(map[int64]place)}
	for k, sec := range r.goroutines {
		if len(x.at)+int(r.sections[sec].count) > indexMax {
			x.rest = append(x.rest, r.goroutines[k:]...)
			break
		}
		c, err := r.passing(sec)
		if err != nil {
			x.rest = append(x.rest, sec) // a remote file may be well again later
			continue
		}
		for i := range c.at {
			id := goroutineID(c.record(i))
			if _, ok := x.at[id]; !ok {
				x.at[id] = place{sec, i}
			}
		}
	}
	return x
}

// goroutineID reads the ID of a Goroutine message and nothing else.
func goroutineID(b []byte) int64 {
	for f := (fields{b: b}); f.next(); {
		if f.tag == 1<<3|wireVarint {
			return int64(f.u)
		}
	}
	return 0
}

// Goroutine returns the goroutine with that ID. The error is ErrNotFound if
// there is none, or ErrDamaged or ErrTruncated if it cannot be read or might be in
// a part that cannot.
func (r *Reader) Goroutine(id int64) (*Goroutine, error) {
	var unread error
	if r.failing >= 0 {
		c, err := r.chunk(r.failing)
		if err == nil && goroutineID(c.record(0)) == id {
			return r.Failing()
		}
		unread = err
	}
	index := r.goroutineIndex()
	if at, ok := index.at[id]; ok {
		return r.goroutineAt(at)
	}
	for _, sec := range index.rest {
		c, err := r.chunk(sec)
		if err != nil {
			unread = errors.Join(unread, err)
			continue
		}
		for i := range c.at {
			if goroutineID(c.record(i)) == id {
				return r.goroutineAt(place{sec, i})
			}
		}
	}
	if unread != nil {
		return nil, fmt.Errorf("goroutine %d: not in what can be read: %w", id, unread)
	}
	return nil, r.notFound("goroutine %d", id)
}

func (r *Reader) goroutineAt(at place) (*Goroutine, error) {
	g := new(Goroutine)
	err := r.record(at.sec, at.index, func(d *decoder, b []byte) error { return d.goroutine(b, g) })
	if err != nil {
		return nil, err
	}
	return g, nil
}

// sourceIndex finds sources by their files. It is made section by section, as far
// as somebody has looked: the source of the failing frame is among the first.
type sourceIndex struct {
	mu    sync.Mutex
	next  int // the first section, of Reader.sources, that is not in it
	at    map[string]place
	files []string // in the order of the file
	err   error    // why some are missing
}

// sourcePlace returns where the source of that file is. err says why it may be
// missing.
func (r *Reader) sourcePlace(file string) (at place, ok bool, err error) {
	x := &r.sourceIndex
	x.mu.Lock()
	defer x.mu.Unlock()
	for at, ok = x.at[file]; !ok && x.next < len(r.sources); at, ok = x.at[file] {
		r.indexSources()
	}
	return at, ok, x.err
}

// sourceFiles returns the files of all sources. err says why some are missing.
func (r *Reader) sourceFiles() (files []string, err error) {
	x := &r.sourceIndex
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.next < len(r.sources) {
		r.indexSources()
	}
	return slices.Clone(x.files), x.err
}

// indexSources adds the next section to the index.
func (r *Reader) indexSources() {
	x := &r.sourceIndex
	sec := r.sources[x.next]
	x.next++
	c, err := r.chunk(sec)
	if err != nil {
		x.err = errors.Join(x.err, err)
		return
	}
	if x.at == nil {
		x.at = make(map[string]place)
	}
	d := decoders.Get().(*decoder)
	defer d.free()
	for i := range c.at {
		file := d.sourceFile(c.record(i))
		if _, ok := x.at[file]; !ok {
			x.at[file] = place{sec, i}
			x.files = append(x.files, file)
		}
	}
}

// sourceFile reads the file name of a Source message and nothing else.
func (d *decoder) sourceFile(b []byte) string {
	for f := (fields{b: b}); f.next(); {
		if f.tag == 1<<3|wireBytes {
			return d.string(f.v)
		}
	}
	return ""
}
