package dump

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// largeObjects are three objects of which the second has n elements.
func largeObjects(n int) []*Object {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	elems := make([]Value, n)
	for i := range elems {
		elems[i] = Value{Type: 2, Ptr: rnd.Uint64() >> 20, Obj: ObjectID(i + 1)}
		if i%1000 == 0 {
			elems[i].Elems = []Value{{Num: uint64(i)}, {Detail: "inner"}}
		}
	}
	return []*Object{
		{ID: 1, Addr: 7, Value: Value{Num: 1, Addr: 7}},
		{ID: 2, Addr: 8, Late: true, Value: Value{
			Type: 3, Addr: 8, Len: int64(2 * n), Elems: elems,
			Reason: CollectionLimit, Detail: "more", Summary: "many",
		}},
		{ID: 3, Value: Value{Num: 3, Elems: elems[:min(n, 5)]}},
	}
}

// checkParts compares parts of the objects with what they are parts of.
func checkParts(t *testing.T, r *Reader, objects []*Object, windows ...window) {
	t.Helper()
	for _, o := range objects {
		for _, w := range windows {
			want := *o
			all := want.Value.Elems
			want.Value.Elems = nil
			if from := min(max(w.from, 0), len(all)); w.n > 0 && from < len(all) {
				want.Value.Elems = all[from:min(from+w.n, len(all))]
			}
			got, total, err := r.ObjectPart(o.ID, w.from, w.n)
			if err != nil {
				t.Fatalf("object %d, %d elements from %d on: %v", o.ID, w.n, w.from, err)
			}
			what := fmt.Sprintf("object %d, %d elements from %d on,", o.ID, w.n, w.from)
			same(t, what+" total", total, len(all))
			if len(got.Value.Elems) == 0 {
				got.Value.Elems = nil
			}
			same(t, what, got, &want)
		}
	}
}

func TestObjectPart(t *testing.T) {
	for _, n := range []int{0, 1, 10, manyElems - 1, manyElems, 5000, 200_000} {
		if raceEnabled && n > 5000 {
			continue
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := &content{objects: largeObjects(n)}
			file := c.file(t)
			windows := []window{
				{from: 0, n: 1 << 30},
				{from: 0, n: 0},
				{from: 0, n: 8},
				{from: 3, n: 1},
				{from: -4, n: 3},
				{from: 2, n: -1},
				{from: 990, n: 20},
				{from: nearFirst, n: 100},
				{from: n - 1, n: 10},
				{from: n, n: 1},
				{from: n / 2, n: n},
				{from: 1 << 30, n: 1 << 30},
			}
			for _, w := range windows { // each of them with nothing in memory
				checkParts(t, open(t, file), c.objects, w)
			}
			r := open(t, file)
			checkParts(t, r, c.objects, windows...)
			if _, _, err := r.ObjectPart(4, 0, 1); !errors.Is(err, ErrNotFound) {
				t.Errorf("an object that is not there: %v", err)
			}
		})
	}
}

// Of a very large object the beginning is read without the rest.
func TestObjectPartIsCheap(t *testing.T) {
	if raceEnabled {
		t.Skip("half a million values take too long with the race detector, and nothing here is concurrent")
	}
	c := &content{objects: largeObjects(500_000)}
	file := c.file(t)
	whole, part := uint64(0), uint64(0)
	c.objects = c.objects[1:2]
	r := open(t, file)
	checkParts(t, r, c.objects, window{from: 5, n: 100})
	part = allocated(func() {
		if _, _, err := r.ObjectPart(2, 0, 100); err != nil {
			t.Fatal(err)
		}
	})
	sec, _, _ := r.find(r.objects, 2)
	if r.cache.has(sec) {
		t.Error("the beginning of the object was looked for in the whole section")
	}
	whole = allocated(func() {
		if _, err := r.Object(2); err != nil {
			t.Fatal(err)
		}
	})
	if s := &r.sections[sec]; s.count != 1 {
		t.Errorf("the large object is in one section with others: %v", s)
	}
	stored := uint64(r.sections[sec].stored)
	if part > stored+1<<20 || whole < 10*part {
		t.Errorf("100 elements cost %d KiB, all of them %d KiB; the section has %d KiB in the file", part>>10, whole>>10, stored>>10)
	}
	// Near its end it is a part of the whole, but no more is decoded.
	if n := allocated(func() { checkParts(t, r, c.objects, window{from: 499_990, n: 5}) }); n > 1<<20 {
		t.Errorf("5 elements of a section in memory cost %d KiB", n>>10)
	}
}

// Writers of version 1.0 did not say how many elements there are, and wrote the
// elements in front of other fields.
func TestObjectPartOfOldWriter(t *testing.T) {
	const n = 100_000
	var value []byte
	for i := range n {
		value = protowire.AppendVarint(value, elemTag)
		value = protowire.AppendBytes(value, protowire.AppendVarint([]byte{2 << 3}, uint64(i)*0x9e3779b97f4a7c15>>20))
	}
	value = append(value, 13<<3, byte(Dead))
	record := append(object(value), 2<<3, 9)
	r := open(t, forge(1, 0, nil, plain(secObjects, record)))
	o, total, err := r.ObjectPart(1, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	if total != n || len(o.Value.Elems) != 2 || o.Addr != 9 || o.Value.Reason != Dead {
		t.Errorf("%d elements in all, got %+v", total, o)
	}
}

// manyValue makes the value of an object that says it has count elements, has n of
// them, and then tail.
func manyValue(count, n int, tail ...byte) []byte {
	b := []byte{1 << 3, 3}
	b = protowire.AppendVarint(b, 17<<3)
	b = protowire.AppendVarint(b, uint64(count))
	one := protowire.AppendBytes(protowire.AppendVarint(nil, elemTag), append(append([]byte{2 << 3, 1, 8<<3 | 2, 20}, make([]byte, 18)...), 1, 1))
	return append(append(b, bytes.Repeat(one, n)...), tail...)
}

// A file may say what it likes of the number of elements.
func TestHostileCount(t *testing.T) {
	n := 100_000
	if raceEnabled {
		n = 5000
	}
	for _, c := range []struct {
		name  string
		value []byte
		whole bool // Object and Verify say that it is damaged
	}{
		{"true", manyValue(n, n), false},
		{"one too many", manyValue(n+1, n), true},
		{"one too few", manyValue(n-1, n), true},
		{"beyond the limit", manyValue(1<<31-1, n), true},
		{"beyond 32 bits", manyValue(1<<60, n), true},
		{"none", manyValue(5, 0), true},
		{"a field behind the elements", manyValue(n, n, 13<<3, 9), true},
		{"no message behind the elements", manyValue(n, n, 0xff), true},
		{"elements cut", manyValue(n, n-1, byte(elemTag), 9, 1, 2), true},
	} {
		for _, zip := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,zstd=%v", c.name, zip), func(t *testing.T) {
				s := plain(secObjects, object(c.value))
				if zip {
					s = squeezed(secObjects, 1, int(s.raw), zstdOf(t, s.payload))
				}
				file := forge(1, 1, nil, s)
				for _, w := range []window{{from: 0, n: 3}, {from: n / 2, n: 3}, {from: n - 2, n: 10}, {from: 0, n: 1 << 40}} {
					r := open(t, file)
					used := allocated(func() {
						o, total, err := r.ObjectPart(1, w.from, w.n)
						if err != nil && !errors.Is(err, ErrDamaged) {
							t.Errorf("error %v", err)
						}
						if err == nil && (len(o.Value.Elems) > w.n || total > maxItems) {
							t.Errorf("%d elements of %d where %d were asked for", len(o.Value.Elems), total, w.n)
						}
					})
					if used > 64<<20 {
						t.Errorf("%d MiB were allocated", used>>20)
					}
					_, err := r.Object(1)
					if errors.Is(err, ErrDamaged) != c.whole {
						t.Errorf("reading all of it: error %v", err)
					}
					if err := r.Verify(); errors.Is(err, ErrDamaged) != c.whole {
						t.Errorf("Verify: error %v", err)
					}
				}
			})
		}
	}
}

// A part of a damaged section is not handed out.
func TestObjectPartOfDamage(t *testing.T) {
	c := &content{objects: largeObjects(100_000)}
	file := c.file(t)
	whole := open(t, file)
	sec, _, _ := whole.find(whole.objects, 2)
	s := whole.sections[sec]
	for _, at := range []int64{s.offset + 5, s.offset + frameLen, s.end() - 1} {
		bad := bytes.Clone(file)
		bad[at] ^= 4
		r := open(t, bad)
		for range 2 {
			if _, _, err := r.ObjectPart(2, 0, 1); !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d is wrong: error %v", at, err)
			}
		}
		if r.Damage() == nil {
			t.Error("Damage says nothing")
		}
	}
	cut := file[:s.end()-1]
	if _, _, err := open(t, cut).ObjectPart(2, 0, 1); !errors.Is(err, ErrTruncated) {
		t.Errorf("error %v, want ErrTruncated", err)
	}
}

// FuzzObjectPart compares parts of any object, however it is written, with the
// whole.
func FuzzObjectPart(f *testing.F) {
	f.Add(manyValue(40, 40), 3, 5)
	f.Add(manyValue(41, 40), 3, 50)
	f.Add(manyValue(40, 40, 13<<3, 9), 0, 1)
	f.Fuzz(func(t *testing.T, value []byte, from, n int) {
		if len(value) > 1<<16 {
			return
		}
		record := object(value)
		d := decoders.Get().(*decoder)
		defer d.free()
		var whole Object
		wholeErr := d.reset().object(record, &whole)
		if err := d.reset().checkObject(record); (err == nil) != (wholeErr == nil) {
			t.Fatalf("checking says %v, reading %v", err, wholeErr)
		}
		all := whole.Value.Elems
		cut := func(total int) []Value {
			from := min(max(from, 0), len(all))
			return all[from : from+min(max(n, 0), len(all)-from)]
		}
		check := func(how string, o Object, total int) {
			if wholeErr != nil {
				return // of what cannot be read whole a part may be had
			}
			if total != len(all) || len(o.Value.Elems) != len(cut(total)) {
				t.Fatalf("%s: %d elements of %d, want %d of %d", how, len(o.Value.Elems), total, len(cut(total)), len(all))
			}
			want := whole
			want.Value.Elems = append([]Value(nil), cut(total)...)
			o.Value.Elems = append([]Value(nil), o.Value.Elems...)
			same(t, how, o, want)
		}
		w := window{from: max(from, 0), n: max(n, 0)}
		d.window = &w
		var o Object
		err := d.reset().object(record, &o)
		d.window = nil
		if err == nil {
			check("a part", o, w.total)
		} else if wholeErr == nil {
			t.Fatalf("a part: %v", err)
		}
		if w.from > nearFirst || w.n > nearFirst {
			return
		}
		for _, there := range []int{len(record) / 2, len(record) - 1} {
			w := window{from: w.from, n: w.n}
			var o Object
			if d.reset().objectHead(record[:there], uint64(len(record)), &o, &w) == headFound {
				check(fmt.Sprintf("a part of the first %d bytes", there), o, w.total)
			}
		}
	})
}
