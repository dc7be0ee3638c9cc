package dump

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// The small dump is torn and flipped at every byte. Of a large one, with many
// sections of every kind that can have several, the boundaries are tried and a
// sample of the rest.

const (
	largeObjectCount    = 2500
	largeGoroutineCount = 400
	largeSourceCount    = 300
	largeTypeCount      = 300
)

func largeDump(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := NewWriter(&buf, WithChunkSize(minChunk), WithLevel(1))
	rnd := rand.New(rand.NewPCG(3, 4))
	_, object := benchGraph()
	var o Object
	for i := 1; i <= largeObjectCount; i++ {
		object(i, &o)
		o.Value.Num2 = rnd.Uint64()
		o.Value.Num = uint64(i)
		if i == largeObjectCount/2 {
			o.Value.Elems = make([]Value, 3*manyElems)
			for k := range o.Value.Elems {
				o.Value.Elems[k].Ptr = rnd.Uint64()
			}
		}
		if err := w.Object(&o); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i <= largeTypeCount; i++ {
		if err := w.Type(&Type{ID: TypeID(i), Name: fmt.Sprintf("type%d.%x", i, rnd.Uint64()), Len: int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i <= largeGoroutineCount; i++ {
		g := &Goroutine{ID: int64(i), Failing: i == 1, Status: fmt.Sprintf("%x", rnd.Uint64()), WaitSince: 5}
		if err := w.Goroutine(g); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i <= largeSourceCount; i++ {
		s := &Source{File: fmt.Sprintf("file%d.go", i), Blocks: []SourceBlock{{First: i, Lines: []string{fmt.Sprintf("%x", rnd.Uint64())}}}}
		if err := w.Source(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Extra(&Extra{Scope: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(&Header{Trigger: TriggerTest}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// census counts what can be read of each kind, by going through it, and fails if
// something is not what was written.
func census(t *testing.T, r *Reader) map[sectionKind]int {
	t.Helper()
	n := map[sectionKind]int{}
	for o, err := range r.Objects() {
		if err == nil {
			if o.Value.Num != uint64(o.ID) || o.Addr != 0xc000_0000_00+uint64(o.ID)*56 || o.Value.Addr != o.Addr {
				t.Fatalf("object %d is wrong, and no error says so: %+v", o.ID, o)
			}
			n[secObjects]++
		}
	}
	for ty, err := range r.Types() {
		if err == nil {
			if ty.Len != int64(ty.ID) {
				t.Fatalf("type %d is wrong, and no error says so: %+v", ty.ID, ty)
			}
			n[secTypes]++
		}
	}
	for g, err := range r.Goroutines() {
		if err == nil {
			if g.WaitSince != 5 || g.Failing != (g.ID == 1) {
				t.Fatalf("goroutine %d is wrong, and no error says so: %+v", g.ID, g)
			}
			if g.Failing {
				n[secFailing]++
			} else {
				n[secGoroutines]++
			}
		}
	}
	for s, err := range r.Excerpts() {
		if err == nil {
			if s.File != fmt.Sprintf("file%d.go", s.Blocks[0].First) {
				t.Fatalf("source %s is wrong, and no error says so: %+v", s.File, s)
			}
			n[secSources]++
		}
	}
	if x, err := r.Extra(); err == nil && x.Scope == "x" {
		n[secExtra]++
	}
	return n
}

func TestLargeDamage(t *testing.T) {
	file := largeDump(t)
	whole := open(t, file)
	all := census(t, whole)
	want := map[sectionKind]int{
		secObjects: largeObjectCount, secTypes: largeTypeCount, secFailing: 1, secGoroutines: largeGoroutineCount - 1,
		secSources: largeSourceCount, secExtra: 1,
	}
	same(t, "what is in the whole dump", all, want)
	sections := map[sectionKind]int{}
	for i := range whole.sections {
		sections[whole.sections[i].kind]++
	}
	t.Logf("%d bytes, %d sections: %v", len(file), len(whole.sections), sections)
	for _, kind := range []sectionKind{secObjects, secTypes, secGoroutines, secSources} {
		if sections[kind] < 2 {
			t.Fatalf("only %d sections of %v", sections[kind], kind)
		}
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	samples := 200
	if raceEnabled {
		samples = 20
	}

	t.Run("torn", func(t *testing.T) {
		at := []int64{0, 1, startLen - 1, startLen, whole.sections[0].offset - 1}
		for i := range whole.sections {
			if s := &whole.sections[i]; !raceEnabled || i%20 == 0 {
				at = append(at, s.offset, s.offset+1, s.offset+frameLen, s.end()-1)
			}
		}
		for range samples {
			at = append(at, rnd.Int64N(int64(len(file))))
		}
		for _, n := range at {
			r, err := NewReader(bytes.NewReader(file[:n]), n)
			if err != nil {
				if n >= whole.sections[0].offset {
					t.Fatalf("cut at %d: %v", n, err)
				}
				continue
			}
			want := map[sectionKind]int{}
			for i := range whole.sections {
				if s := &whole.sections[i]; s.kind != secEnd && s.end() <= n {
					want[s.kind] += int(s.count)
				}
			}
			same(t, fmt.Sprintf("what is left of %d bytes", n), census(t, r), want)
			var de *DamageError
			if err := r.Damage(); !errors.As(err, &de) || !de.Truncated() || de.Offset != n {
				t.Fatalf("cut at %d: damage %v", n, err)
			}
		}
	})

	t.Run("flipped", func(t *testing.T) {
		for range samples {
			at, bit := rnd.IntN(len(file)), byte(1)<<rnd.IntN(8)
			file[at] ^= bit
			r, err := NewReader(bytes.NewReader(file), int64(len(file)))
			if err == nil {
				// Nothing but the section that was hit is lost.
				want := map[sectionKind]int{}
				for i := range whole.sections {
					s := &whole.sections[i]
					if hit := int64(at) >= s.offset && int64(at) < s.end(); s.kind != secEnd && !hit {
						want[s.kind] += int(s.count)
					}
				}
				same(t, fmt.Sprintf("what is left with byte %d wrong", at), census(t, r), want)
				if err := r.Verify(); !errors.Is(err, ErrDamaged) {
					t.Fatalf("byte %d is wrong, and Verify says %v", at, err)
				}
			} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotDump) {
				t.Fatalf("byte %d is wrong: %v", at, err)
			}
			file[at] ^= bit
		}
	})

	t.Run("a hole", func(t *testing.T) { // as a disk that lost a block
		hole := bytes.Clone(file)
		for range samples / 4 {
			copy(hole, file)
			at := rnd.IntN(len(file) - 4096)
			clear(hole[at : at+4096])
			r, err := NewReader(bytes.NewReader(hole), int64(len(hole)))
			if err != nil {
				if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotDump) {
					t.Fatal(err)
				}
				continue
			}
			census(t, r)
			if r.Verify() == nil {
				t.Fatalf("bytes from %d on are gone, and Verify says nothing", at)
			}
		}
	})
}
