package dump

import (
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file reads a part of an object: some elements of a slice, map or channel
// that has very many. Whoever shows eight elements of a million should not pay for
// a million.

const (
	// headStart is how much of a payload is decompressed first to find the
	// beginning of a large object in it; it grows by headGrowth until that is enough.
	headStart  = 16 << 10
	headGrowth = 4
	// largeSection and largeRecord are from where on a payload is not decompressed
	// as a whole for the beginning of one of its objects: it is long, and has few
	// records, so that nobody will want the others as well.
	largeSection = 512 << 10
	largeRecord  = 64 << 10
	// nearFirst is up to which element the beginning of an object is looked for.
	nearFirst = 1 << 14
)

// ObjectPart is [Reader.Object] for objects that may be very large: of the
// elements of the object's value (its Elems) it returns those from number from on,
// and at most n. total is how many there are. Values are not cut into otherwise,
// so Raw is whole.
//
// It costs memory and time in proportion to n if from is near 0, as long as the
// object was written by a Writer of version 1.1 or later of the format. Then
// what lies behind the part is covered by the checksum and not looked at.
func (r *Reader) ObjectPart(id ObjectID, from, n int) (o *Object, total int, err error) {
	sec, index, ok := r.find(r.objects, uint64(id))
	if !ok {
		return nil, 0, r.notFound("object %d", id)
	}
	w := &window{from: max(from, 0), n: max(n, 0)}
	o = &Object{ID: id}
	if r.fewLarge(sec) && w.from <= nearFirst && w.n <= nearFirst {
		found, err := r.beginning(sec, index, o, w)
		if err != nil {
			return nil, 0, err
		}
		if found {
			return o, w.total, nil
		}
		*o, w.total = Object{ID: id}, 0
	}
	err = r.record(sec, index, func(d *decoder, b []byte) error {
		d.window = w
		defer func() { d.window = nil }()
		return d.object(b, o)
	})
	if err != nil {
		return nil, 0, err
	}
	return o, w.total, nil
}

// window is a part of the elements of an object's value.
type window struct {
	from, n int
	total   int // how many elements there are
}

// has reports whether element i is in the part.
func (w *window) has(i int) bool { return i >= w.from && i-w.from < w.n }

// element reads the current field of f, an element of the value v of an object, if
// it is in the window.
func (d *decoder) element(w *window, f *fields, v *Value) error {
	i := w.total
	w.total++
	if w.total > maxItems {
		return errItems
	}
	if !w.has(i) {
		return nil
	}
	if err := d.take(1); err != nil {
		return err
	}
	if v.Elems == nil {
		v.Elems = make([]Value, 0, f.more(w.n))
	}
	v.Elems = append(v.Elems, Value{})
	return d.value(f.v, &v.Elems[len(v.Elems)-1], 2)
}

// fewLarge reports whether section i is one of few and large records that is not
// in memory.
func (r *sectionReader) fewLarge(i int) bool {
	s := &r.sections[i]
	return s.raw >= largeSection && s.raw/s.count >= largeRecord && !r.cache.has(i)
}

// beginning reads the beginning of a record of section i, with the elements in the
// window. It returns false if the record has to be read whole: it is small, or
// was written by an older writer, or the part is not near its beginning.
func (r *sectionReader) beginning(i, index int, o *Object, w *window) (bool, error) {
	if err := r.known(i); err != nil {
		return false, err
	}
	s := &r.sections[i]
	buf := buffers.Get().(*buffer)
	defer buf.free()
	f, payload, err := r.storedIn(buf, s)
	if err == nil {
		err = s.checkKnown(f.flags)
	}
	if err != nil {
		r.lost(i, err)
		return false, err
	}
	d := decoders.Get().(*decoder)
	defer d.free()
	if f.flags&flagZstd == 0 {
		return d.reset().recordHead(payload, index, o, w) == headFound, nil
	}
	in, err := decompressor(payload)
	if err != nil {
		return false, err
	}
	defer freeDecompressor(in)
	out := buffers.Get().(*buffer)
	defer out.free()
	b := slices.Grow(out.b[:0], headStart)
	// What is wrong with the payload is for the whole to say: false is no error.
	for want := headStart; want < int(s.raw)/2; want *= headGrowth {
		b = slices.Grow(b, want-len(b))
		n, err := io.ReadFull(in, b[len(b):want])
		b = b[:len(b)+n]
		out.b = b
		if err != nil {
			return false, nil
		}
		switch d.reset().recordHead(b, index, o, w) {
		case headFound:
			return true, nil
		case headNot:
			return false, nil
		}
		*o, w.total = Object{ID: o.ID}, 0
	}
	return false, nil
}

// headState is what came of looking for the beginning of a record.
type headState int

const (
	headShort headState = iota // more of the payload may help
	headNot                    // only the whole record will do, if that makes sense
	headFound
)

// recordHead decodes record index of the payload that begins with b, or its
// beginning, up to the last element of the window.
func (d *decoder) recordHead(b []byte, index int, o *Object, w *window) headState {
	for ; ; index-- {
		tag, length, rest, ok := lengthPrefix(b)
		switch {
		case !ok:
			return headShort
		case tag != recordTag:
			return headNot
		case index == 0 && length > uint64(len(rest)):
			return d.objectHead(rest, length, o, w)
		case length > uint64(len(rest)):
			return headShort
		case index == 0:
			d.window = w
			defer func() { d.window = nil }()
			if d.object(rest[:length], o) != nil {
				return headNot
			}
			return headFound
		}
		b = rest[length:]
	}
}

// objectHead decodes an object of length bytes that begins with b.
func (d *decoder) objectHead(b []byte, length uint64, o *Object, w *window) headState {
	inPlace := false
	f := fields{b: b}
	for {
		tag, n, rest, ok := lengthPrefix(f.b)
		if ok && tag == valueTag {
			// If something follows the value, not everything is known from here.
			if before := uint64(len(b) - len(rest)); n > maxSection || before+n != length {
				return headNot
			}
			state := d.valueHead(rest, &o.Value, w)
			o.place(inPlace)
			return state
		}
		if !f.next() {
			return headShort
		}
		o.field(&f, &inPlace)
	}
}

// valueHead decodes the value of an object that begins with b, which is a value
// with many elements: they come last.
func (d *decoder) valueHead(b []byte, v *Value, w *window) headState {
	f := fields{b: b}
	many := 0
	for {
		tag, _, _, ok := lengthPrefix(f.b)
		if ok && tag == elemTag {
			break
		}
		if !f.next() {
			return headShort
		}
		if d.valueField(&f, v, &many, 1) != nil {
			return headNot
		}
	}
	if many == 0 || many > maxItems {
		return headNot
	}
	for last := min(w.from+w.n, many); w.total < last; {
		if !f.next() {
			return headShort
		}
		if f.tag != elemTag || d.element(w, &f, v) != nil {
			return headNot
		}
	}
	w.total = many
	return headFound
}

// lengthPrefix reads the tag and the length of the field that b begins with, if it
// has length. rest is what follows, which need not be all of it.
func lengthPrefix(b []byte) (tag, length uint64, rest []byte, ok bool) {
	tag, n := protowire.ConsumeVarint(b)
	if n < 0 || tag&7 != wireBytes {
		return 0, 0, nil, false
	}
	length, m := protowire.ConsumeVarint(b[n:])
	if m < 0 {
		return 0, 0, nil, false
	}
	return tag, length, b[n+m:], true
}
