package debugger

import (
	"errors"
	"slices"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// An object may have a million elements, of which a user looks at a few. So of a
// large object only the first elements are read with it, and the others in pieces
// when they are asked for.

const (
	// firstElems is how many elements of an object are read with it.
	firstElems = 64
	// minPiece and maxPiece are how many are read later at once: few if somebody
	// looks at one here and one there, more and more if they go through all.
	minPiece = 256
	maxPiece = 1 << 16
	// keptObjects is how many large objects are kept with their first elements.
	keptObjects = 32
)

// object is an object with its first elements.
type object struct {
	*dump.Object
	more *more // the others, nil if there are none
}

// more are the elements of an object that were not read with it.
type more struct {
	r     *dump.Reader
	id    dump.ObjectID
	total int // of all elements
}

// object reads an object. The last large ones are kept, because they are likely to
// be asked for again, and finding the beginning of one takes time.
func (s *Session) object(id dump.ObjectID) (*object, error) {
	if o := s.kept(id); o != nil {
		return o, nil
	}
	obj, total, err := s.r.ObjectPart(id, 0, firstElems)
	if err != nil {
		return nil, err
	}
	o := &object{Object: obj}
	if total <= len(obj.Value.Elems) {
		return o, nil
	}
	o.more = &more{r: s.r, id: id, total: total}
	if t := s.r.Type(obj.Value.Type); t != nil && t.Kind == dump.Struct {
		// The fields of a struct are no collection.
		if o.Object, err = s.r.Object(id); err != nil {
			return nil, err
		}
		o.more = nil
	}
	if o.more != nil {
		s.keep(o)
	}
	return o, nil
}

func (s *Session) kept(id dump.ObjectID) *object {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.large {
		if o.ID == id {
			return o
		}
	}
	return nil
}

func (s *Session) keep(o *object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.large) == keptObjects {
		s.large = slices.Delete(s.large, 0, 1)
	}
	s.large = append(s.large, o)
}

// piece is some elements of a large object.
type piece struct {
	from  int
	elems []dump.Value
	size  int // how many were asked for
}

var errChanged = errors.New("the file has changed while it was open")

// elem returns element i, which must be below m.total, out of p if it is there;
// else it reads the piece that it is in.
func (m *more) elem(i int, p *piece) (*dump.Value, error) {
	if k := i - p.from; k < 0 || k >= len(p.elems) {
		size := minPiece
		if k == len(p.elems) && k > 0 {
			size = min(4*p.size, maxPiece)
		}
		obj, _, err := m.r.ObjectPart(m.id, i, size)
		if err != nil {
			return nil, err
		}
		if len(obj.Value.Elems) == 0 {
			return nil, errChanged
		}
		*p = piece{from: i, elems: obj.Value.Elems, size: size}
	}
	return &p.elems[i-p.from], nil
}
