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
	if s.kind == secSealed {
		return r.verifySealed(s)
	}
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
	secObjects:    (*decoder).checkObject,
	secGoroutines: func(d *decoder, b []byte) error { return d.goroutine(b, new(Goroutine)) },
	secVars:       func(d *decoder, b []byte) error { return d.packageVar(b, new(PackageVar)) },
	secSources:    func(d *decoder, b []byte) error { return d.source(b, new(Source)) },
	secExtra:      func(d *decoder, b []byte) error { return d.extra(b, new(Extra)) },
	secEnd:        func(d *decoder, b []byte) error { return d.end(b, new(endRecord)) },
}

// checkObject finds the errors that decoding an object would, and keeps nothing of
// it: there may be millions, and one may have a million values.
func (d *decoder) checkObject(b []byte) error {
	f := fields{b: b}
	for f.next() {
		if f.tag == valueTag {
			if err := d.checkValue(f.v, 1); err != nil {
				return err
			}
		}
	}
	return f.err
}

func (d *decoder) checkValue(b []byte, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	f := fields{b: b}
	var v Value
	many, elems := 0, 0
	for f.next() {
		switch {
		case f.tag == elemTag:
			if err := d.take(1); err != nil {
				return err
			}
			if err := d.checkValue(f.v, depth+1); err != nil {
				return err
			}
			elems++
		case many != 0 && elems != 0:
			return errOrder
		case f.tag == countTag:
			if err := d.valueField(&f, &v, &many, depth); err != nil {
				return err
			}
		case f.tag == childTag:
			if err := d.take(1); err != nil {
				return err
			}
			c := fields{b: f.v}
			for c.next() {
				if c.tag == 2<<3|wireBytes {
					if err := d.checkValue(c.v, depth+1); err != nil {
						return err
					}
				}
			}
			if c.err != nil {
				return c.err
			}
		}
	}
	if f.err == nil && many != 0 && many != elems {
		return errCount
	}
	return f.err
}
