package corpus

import (
	"iter"
	"slices"
)

func init() {
	register("rangefunc", func() { rangeFunc(3) })
	register("rangenest", func() { rangeNest([]string{"a", "b"}) })
	register("rangedefer", func() { rangeDefer(2) })
	register("rangegen", func() { rangeGen(map[string]int{"k": 1}, 5) })
	register("rangerecurse", func() { rangeRecurse(2) })
	register("rangelib", func() { rangeLib([]int{4, 5, 6}) })
	register("rangemethod", func() { (&counter{n: 2, hist: []int{7, 8}}).walk("m") })
	register("rangeiter", func() { rangeInIterator(1) })
	register("rangeint", func() { rangeInt(3) })
}

func count(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i * 10) {
				return
			}
		}
	}
}

func pairs(ss []string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for i, s := range ss {
			if !yield(i, s) {
				return
			}
		}
	}
}

func rangeFunc(n int) {
	sum, tag := 0, "tag"
	for x := range count(n) {
		twice := 2 * x
		sum += twice
		if x == 10 {
			fail(tag)
		}
	}
	sink = sum
}

func rangeNest(ss []string) (found int) {
	outer := "outer"
	for i, s := range pairs(ss) {
		mid := s + outer
		for x := range count(3) {
			inner := x + i
			found += inner
			if i == 1 && x == 20 {
				fail(mid)
			}
			if x == 10 {
				continue
			}
		}
	}
	return found
}

func rangeDefer(n int) {
	var log []string
	for x := range count(n) {
		defer func() { log = append(log, "d") }()
		log = append(log, "x")
		if x == 10 {
			var p *person
			sink = p.Name
		}
	}
}

func rangeGen[K comparable, V any](m map[K]V, v V) {
	got := 0
	for k, w := range all(m) {
		got++
		last := pair[K, V]{k, w}
		fail("gen")
		sink = last
	}
	sink = v
}

func all[K comparable, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, v := range m {
			if !yield(k, v) {
				return
			}
		}
	}
}

func rangeRecurse(depth int) {
	at := depth * 100
	for x := range count(2) {
		here := at + x
		if depth == 0 {
			fail("deep")
		}
		rangeRecurse(depth - 1)
		sink = here
	}
}

func rangeLib(list []int) {
	seen := 0
	for i, x := range slices.All(list) {
		seen += x
		if i == 1 {
			_ = list[seen]
		}
	}
}

func (c *counter) walk(why string) {
	total := 1
	for v := range slices.Values(c.hist) {
		total += v * c.n
		f := func() int { return total + v }
		if v == 8 {
			fail(why)
		}
		sink = f
	}
}

// rangeInIterator fails in the iterator, not in the loop's body.
func rangeInIterator(n int) {
	state := "s"
	seq := func(yield func(int) bool) {
		i := n
		yield(i)
		fail(state)
	}
	for x := range seq {
		state += "x"
		n += x
	}
}

func rangeInt(n int) {
	acc := []int{}
	for i := range n {
		acc = append(acc, i)
		if i == 2 {
			fail("int")
		}
	}
}
