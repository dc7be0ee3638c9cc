package capture

import "unsafe"

// objectPage is how many objects are allocated together. They stay where they
// are: a list that grew by copying would allocate several times its size, on the
// failing path.
const objectPage = 256

// objects is the list of a walk's objects, in the order in which they were found, with
// an index by address, type and shape. The zero value is an empty list.
type objects struct {
	n     int
	pages []*[objectPage]object
	// index is a hash table with linear probing; its length is a power of two. An
	// entry is 1 + the number of an object, 0 if there is none, below 32 bits of its hash:
	// so neither a search nor a larger table looks at objects, which lie all over
	// memory, but at the one that is searched for.
	index []uint64
}

func (l *objects) len() int { return l.n }

// at returns object i, which must be less than len. It stays valid.
func (l *objects) at(i int) *object { return &l.pages[uint(i)/objectPage][uint(i)%objectPage] }

func hashObject(addr uint64, id uint32, s shape, total int64) uint32 {
	h := addr*0x9e3779b97f4a7c15 ^ uint64(id)*0xc2b2ae3d27d4eb4f ^ uint64(s)<<57
	if s == shapeArray || s == shapeText {
		h ^= uint64(total) * 0x165667b19e3779f9
	}
	h ^= h >> 29
	return uint32(h ^ h>>32)
}

func (o *object) is(addr uint64, t *typ, s shape, total int64) bool {
	return o.addr == addr && o.t == t && o.shape == s && (o.total == total || s != shapeArray && s != shapeText)
}

// find returns the object, nil if it is not in the list.
func (l *objects) find(addr uint64, t *typ, s shape, total int64) *object {
	if l.n == 0 {
		return nil
	}
	h := hashObject(addr, t.id, s, total)
	mask := uint32(len(l.index) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		e := l.index[i]
		if e == 0 {
			return nil
		}
		if uint32(e>>32) == h {
			if o := l.at(int(uint32(e) - 1)); o.is(addr, t, s, total) {
				return o
			}
		}
	}
}

// add appends an object that is not in the list yet, with no more than its
// identity set.
func (l *objects) add(addr uint64, t *typ, s shape, total int64) *object {
	if l.n == len(l.pages)*objectPage {
		l.pages = append(l.pages, new([objectPage]object))
	}
	l.n++
	o := l.at(l.n - 1)
	o.addr, o.t, o.shape, o.total = addr, t, s, total
	if 2*l.n > len(l.index) {
		old := l.index
		l.index = make([]uint64, max(1024, 2*len(old)))
		for _, e := range old {
			if e != 0 {
				l.insert(e)
			}
		}
	}
	l.insert(uint64(hashObject(addr, t.id, s, total))<<32 | uint64(l.n))
	return o
}

// truncate removes the objects from n on. Pointers to them must not be used any more.
func (l *objects) truncate(n int) {
	mask := uint32(len(l.index) - 1)
	for l.n > n {
		o := l.at(l.n - 1)
		i := hashObject(o.addr, o.t.id, o.shape, o.total) & mask
		for uint32(l.index[i]) != uint32(l.n) {
			i = (i + 1) & mask
		}
		// What a search would not find any more beyond the gap moves into it.
		for j := (i + 1) & mask; l.index[j] != 0; j = (j + 1) & mask {
			if home := uint32(l.index[j]>>32) & mask; (j-home)&mask >= (j-i)&mask {
				l.index[i] = l.index[j]
				i = j
			}
		}
		l.index[i] = 0
		*o = object{}
		l.n--
	}
}

func (l *objects) insert(e uint64) {
	mask := uint32(len(l.index) - 1)
	i := uint32(e>>32) & mask
	for l.index[i] != 0 {
		i = (i + 1) & mask
	}
	l.index[i] = e
}

// bytes is how much memory the list takes.
func (l *objects) bytes() int64 {
	return int64(len(l.pages))*int64(unsafe.Sizeof([objectPage]object{})) + 8*int64(len(l.index))
}
