package main

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Generics, closures, iterators, defers.

type ring[T any] struct {
	buf        []T
	head, size int
}

//go:noinline
func (r *ring[T]) at(i int) T {
	if i >= r.size {
		panic(fmt.Sprintf("ring of %d has no %d", r.size, i))
	}
	k := (r.head + i) % len(r.buf)
	return r.buf[k]
}

//go:noinline
func sumOf[K cmp.Ordered, V int | float64](m map[K]V, keys []K, zero V) V {
	total := zero
	for i, k := range keys {
		v, ok := m[k]
		if !ok {
			panic(fmt.Errorf("key %d is missing", i))
		}
		total += v
	}
	return total
}

//go:noinline
func mapTo[T, U any](in []T, f func(int, T) (U, error)) (out []U, err error) {
	for i, x := range in {
		u, err := f(i, x)
		if err != nil {
			err = fmt.Errorf("element %d: %w", i, err)
			report(err)
			return out, err
		}
		out = append(out, u)
	}
	return out, nil
}

//go:noinline
func pairs(n int) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for i := range n {
			if !yield(i, strings.Repeat("x", i)) {
				return
			}
		}
	}
}

//go:noinline
func consume(n, bad int) (total int) {
	for i, s := range pairs(n) {
		total += len(s)
		if i == bad {
			panic(errors.New("bad " + s))
		}
	}
	return total
}

//go:noinline
func counterOf(base int, names ...string) func(string, int) int {
	counts := map[string]int{}
	return func(name string, by int) int {
		i := slices.Index(names, name)
		counts[names[i]] += by
		return base + counts[name]
	}
}

//go:noinline
func useCounter(f func(string, int) int, steps int) int {
	sum := 0
	for s := 0; s < steps; s++ {
		sum += f("a", s)
	}
	return sum + f("nobody", sum)
}

//go:noinline
func pipeline(in []int, stages ...func(int) (int, error)) (res []int, err error) {
	for i, v := range in {
		cur := v
		for k, st := range stages {
			next, err := st(cur)
			if err != nil {
				err = fmt.Errorf("value %d stage %d: %w", i, k, err)
				report(err)
				return res, err
			}
			cur = next
		}
		res = append(res, cur)
	}
	return res, nil
}

//go:noinline
func cleanup(steps []string) (n int, err error) {
	for i, s := range steps {
		defer func() {
			n += i
			if s == "boom" {
				panic(fmt.Sprintf("step %d of %d", i, len(steps)))
			}
		}()
	}
	return len(steps), nil
}

//go:noinline
func rethrow(id int, parts []string) {
	defer func() {
		if p := recover(); p != nil {
			code := id * 2
			panic(fmt.Errorf("job %d code %d: %v", id, code, p))
		}
	}()
	width := len(parts)
	_ = parts[id%7+width]
}

type shape interface{ area() float64 }

type rect struct{ w, h float64 }

type circle struct{ r float64 }

func (r rect) area() float64 { return r.w * r.h }
func (c *circle) area() float64 {
	sq := c.r * c.r
	return sq * 3
}

//go:noinline
func totalArea(shapes []shape, unit string) float64 {
	var sum, biggest float64
	for i, s := range shapes {
		a := s.area()
		if a > biggest {
			biggest = a
		}
		sum += a * float64(i+1)
	}
	return sum + biggest + float64(len(unit))
}

//go:noinline
func castAll(vals []any, want int) (sum int) {
	for i, v := range vals {
		n := v.(int)
		sum += n * (i + want)
	}
	return sum
}

//go:noinline
func newton(f func(float64) float64, x, eps float64, max int) float64 {
	for i := 0; i < max; i++ {
		fx := f(x)
		d := (f(x+eps) - fx) / eps
		if d == 0 {
			panic(fmt.Errorf("step %d: flat at %g", i, x))
		}
		x -= fx / d
	}
	return x
}

type visitor struct {
	seen  map[string]bool
	order []string
	edges map[string][]string
}

//go:noinline
func (v *visitor) visit(name string, path []string) {
	if slices.Contains(path, name) {
		err := fmt.Errorf("cycle %s -> %s", strings.Join(path, " -> "), name)
		report(err)
		return
	}
	next := append(slices.Clip(path), name)
	for _, e := range v.edges[name] {
		v.visit(e, next)
	}
	if !v.seen[name] {
		v.seen[name] = true
		v.order = append(v.order, name)
	}
}

//go:noinline
func hash(s string, seed uint32, table *[16]uint8) uint32 {
	h := seed
	for i := 0; i < len(s); i++ {
		h ^= uint32(s[i])
		h *= 16777619
		h = h<<3 | h>>29
	}
	return h ^ uint32(table[h%32])
}

//go:noinline
func sliceConv(b []byte, n int) (sum int) {
	arr := [4]byte(b[:n])
	for _, x := range arr {
		sum += int(x)
	}
	return sum
}

//go:noinline
func mutate(p *int, flag bool, names []string) (n int) {
	x := *p
	if flag {
		x *= 10
	}
	y := x + len(names)
	helper(&y, names)
	z := y * 2
	return z / (x - 70)
}

//go:noinline
func helper(p *int, names []string) { *p += len(names[0]) }

//go:noinline
func chanWork(in chan int, limit int) (got []int) {
	for v := range in {
		got = append(got, v*v)
		if len(got) > limit {
			close(in)
		}
	}
	return got
}

func genericSites() []Site {
	return []Site{
		{"ring-string", func() { r := &ring[string]{buf: []string{"a", "b", "c"}, head: 1, size: 2}; _ = r.at(2) }},
		{"ring-mod", func() { r := &ring[Item]{size: 5}; _ = r.at(3) }},
		{"sum-of", func() { _ = sumOf(map[string]int{"a": 1, "b": 2}, []string{"a", "b", "z"}, 100) }},
		{"sum-of-float", func() { _ = sumOf(map[int]float64{1: 1.5, 2: 2.5}, []int{1, 2, 9}, 0.25) }},
		{"map-to", func() {
			_, _ = mapTo([]string{"1", "22", "x"}, func(i int, s string) (float64, error) {
				if s == "x" {
					return 0, fmt.Errorf("no number at %d: %q", i, s)
				}
				return float64(len(s)) / 2, nil
			})
		}},
		{"range-func", func() { _ = consume(6, 4) }},
		{"closure-state", func() { f := counterOf(100, "a", "b"); _ = useCounter(f, 3) }},
		{"pipeline", func() {
			k := 3
			_, _ = pipeline([]int{1, 2, 3}, func(v int) (int, error) { return v * k, nil }, func(v int) (int, error) {
				if v > 5 {
					return v, fmt.Errorf("%d is more than %d", v, k+2)
				}
				return v + 1, nil
			})
		}},
		{"defer-panics", func() { _, _ = cleanup([]string{"a", "boom", "c"}) }},
		{"rethrow", func() { rethrow(9, []string{"p", "q", "r"}) }},
		{"interface-nil", func() { var c *circle; _ = totalArea([]shape{rect{2, 3}, &circle{2}, c}, "cm") }},
		{"cast", func() { _ = castAll([]any{1, 2, "three", 4}, 5) }},
		{"newton-flat", func() { _ = newton(func(x float64) float64 { return 4.5 }, 3, 0.5, 10) }},
		{"visit", func() {
			v := &visitor{seen: map[string]bool{}, edges: map[string][]string{"a": {"b", "c"}, "c": {"d"}, "d": {"a"}}}
			v.visit("a", nil)
		}},
		{"hash", func() { _ = hash("hello, world", 2166136261, &[16]uint8{}) }},
		{"slice-to-array", func() { _ = sliceConv([]byte{1, 2, 3, 4, 5}, 3) }},
		{"mutate", func() { x := 7; _ = mutate(&x, true, []string{"abc", "d"}) }},
		{"chan-closed", func() {
			c := make(chan int, 4)
			for i := range 4 {
				c <- i
			}
			func() { _ = chanWork(c, 1) }()
			close(c)
		}},
		{"map-collect", func() {
			m := map[string]int{"x": 1, "y": 2}
			keys := slices.Sorted(maps.Keys(m))
			_ = keys[len(m)]
		}},
	}
}
