package dump

import "errors"

// Verify reads the whole dump and checks every checksum, length and record. It
// returns nil if all is well, else all that is wrong; errors of reading the file
// end it. It needs no more memory than one section does.
func (r *Reader) Verify() error {
	for i := range r.sections {
		if err := r.verify(i); err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				return err
			}
			r.note(i, err)
		}
	}
	return r.Damage()
}

// verify checks one section, without using the cache.
func (r *Reader) verify(i int) error {
	s := &r.sections[i]
	decode := verifiers[s.kind]
	if decode == nil { // of a newer version
		_, _, err := r.stored(s)
		return err
	}
	c, err := r.load(s)
	if err != nil {
		return err
	}
	d := decoders.Get().(*decoder)
	defer d.free()
	for k := range c.at {
		if err := decode(d.reset(), c.record(k)); err != nil {
			return r.badRecord(i, k, err)
		}
	}
	return nil
}

// verifiers decode a record of each kind, to see whether that can be done.
var verifiers = map[sectionKind]func(*decoder, []byte) error{
	secTypes:      func(d *decoder, b []byte) error { return d.typ(b, new(Type)) },
	secFailing:    func(d *decoder, b []byte) error { return d.goroutine(b, new(Goroutine)) },
	secObjects:    func(d *decoder, b []byte) error { return d.object(b, new(Object)) },
	secGoroutines: func(d *decoder, b []byte) error { return d.goroutine(b, new(Goroutine)) },
	secSources:    func(d *decoder, b []byte) error { return d.source(b, new(Source)) },
	secExtra:      func(d *decoder, b []byte) error { return d.extra(b, new(Extra)) },
	secEnd:        func(d *decoder, b []byte) error { return d.end(b, new(endRecord)) },
}
