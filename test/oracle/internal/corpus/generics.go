package corpus

import "cmp"

func init() {
	register("generics", func() {
		generic("k", 1, []string{"a"})
	})
	register("genericint", func() { generic(7, int8(3), []int{1, 2}) })
	register("genericptr", func() { generic(&person{"p", 1}, &key{2, "x"}, nil) })
	register("genericstruct", func() { generic(key{1, "k"}, person{"v", 9}, []key{{2, "l"}}) })
	register("genericstack", func() { stackOf(3) })
	register("genericmethods", func() {
		l := &table[string, int]{}
		l.push("a", 1)
		l.push("b", 2)
		l.each(func(k string, v int) {
			if v == 1 {
				fail(k)
			}
		})
	})
	register("genericnest", func() { outerGen[int64](5) })
	register("genericiface", func() { generic[error, any](errFixed, codeError(2), []error{nil, codeError(1)}) })
}

type pair[K, V any] struct {
	Key K
	Val V
}

type stack[T any] struct {
	items []T
	max   *T
}

func (s *stack[T]) push(x T) { s.items = append(s.items, x) }

func (s *stack[T]) pop() T {
	n := len(s.items)
	last := s.items[n-1]
	s.items = s.items[:n-1]
	return last
}

type table[K comparable, V any] struct {
	head *elem[K, V]
	byK  map[K]V
}

type elem[K comparable, V any] struct {
	pair[K, V]
	next *elem[K, V]
}

func (l *table[K, V]) push(k K, v V) {
	l.head = &elem[K, V]{pair[K, V]{k, v}, l.head}
	if l.byK == nil {
		l.byK = map[K]V{}
	}
	l.byK[k] = v
}

func (l *table[K, V]) each(f func(K, V)) {
	n := 0
	for e := l.head; e != nil; e = e.next {
		n++
		f(e.Key, e.Val)
	}
	sink = n
}

//go:noinline
func generic[K, V any](k K, v V, ks []K) {
	p := pair[K, V]{k, v}
	pp := &p
	m := map[string]V{"v": v}
	c := make(chan K, 1)
	c <- k
	var zero V
	arr := [2]K{k, k}
	var boxed any = k
	f := func() V { return v }
	s := stack[V]{items: []V{v}}
	fail("generic")
	if never {
		sink = []any{p, pp, m, c, zero, arr, boxed, f, s, ks}
	}
}

func stackOf(n int) {
	s := &stack[pair[string, int]]{}
	for i := range n {
		s.push(pair[string, int]{"k", i})
	}
	for {
		p := s.pop()
		sink = p.Val
	}
}

type number interface{ ~int | ~int64 | ~float64 }

func outerGen[T number](x T) {
	conv := func(y T) T { return x + y }
	innerGen(pair[T, string]{x, "i"}, conv)
}

func innerGen[A number, B cmp.Ordered](p pair[A, B], f func(A) A) {
	got := f(p.Key)
	deep := pair[pair[A, B], []A]{p, []A{got}}
	if got > 0 {
		fail("nest")
	}
	sink = deep
}
