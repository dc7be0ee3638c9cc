package corpus

import (
	"sort"
	"strings"
)

func init() {
	register("funcs", func() { funcs(3, "s") })
	register("closures", func() { closures(10) })
	register("variadic", func() { variadic("v", 1, 2, 3) })
	register("results", func() { _, _, _ = results(4) })
	register("manyargs", func() {
		manyArgs(1, "two", 3.5, []int{4}, key{5, "k"}, person{"p", 6}, &person{"q", 7}, errFixed, 8, true, 'r', wide{head: "w"}, map[string]int{"m": 9}, 1i, 10, 11, 12)
	})
	register("methods", func() { (&counter{n: 1, hist: []int{5}}).add(3) })
	register("callback", func() { callback([]person{{"c", 3}, {"a", 1}, {"b", 2}}) })
	register("recursion", func() { recursion(30, "r") })
	register("defers", func() { defers(2) })
	register("repanic", func() { repanic(1) })
	register("directcall", func() { directCall(&person{"d", 4}) })
	register("inlined", func() { inlined(6) })
}

type counter struct {
	n    int
	hist []int
}

func (c counter) value() int       { return c.n }
func (c *counter) incr(by int)     { c.n += by }
func (c counter) fails(why string) { panic(why + string(rune('0'+c.n))) }

func double(x int) int { return 2 * x }

type namedFunc func(int) int

func funcs(n int, s string) {
	var none func()
	top := double
	c := counter{n: n}
	pc := &c
	bound, boundPtr := c.value, pc.incr
	expr, exprPtr := counter.value, (*counter).incr
	lib := strings.ToUpper
	empty := func() {}
	byVal := func() int { return n + len(s) }
	ref := 0
	byRef := func() { ref++ }
	byRef()
	byRef()
	both := func(x int) int { ref += x; return n }
	nest := func() func() string { return func() string { return s + string(rune(ref)) } }
	made := nest()
	big := wide{head: "captured"}
	withBig := func() string { return big.head }
	var rec func(int) int
	rec = func(i int) int {
		if i == 0 {
			return n
		}
		return rec(i - 1)
	}
	named := namedFunc(double)
	iface := any(byVal)
	list := []func() int{byVal, bound, nil}
	reader := strings.NewReader("abc")
	method := reader.Len
	ifaceMethod := error(codeError(3)).Error
	gen := genericFn[string]
	fail("funcs")
	if never {
		sink = []any{none, top, bound, boundPtr, expr, exprPtr, lib, empty, byVal, byRef, both, nest, made, withBig, rec, named, iface, list, method, ifaceMethod, gen}
	}
}

func genericFn[T any](x T) []T { return []T{x} }

func closures(n int) {
	sum, label := 0, "sum"
	list := []int{1, 2, 3}
	each := func(f func(int, string)) {
		for i, x := range list {
			f(x*n, label)
			sum += i
		}
	}
	each(func(x int, why string) {
		local := x + sum
		func() {
			sum += local
			if x == 20 {
				fail(why)
			}
		}()
	})
}

func variadic(prefix string, nums ...int) {
	rest := nums[1:]
	func(more ...string) {
		fail(prefix + strings.Join(more, ","))
	}("a", "b")
	sink = rest
}

func results(n int) (total int, text string, err error) {
	total = n
	defer func() {
		if never {
			err = errFixed
		}
	}()
	for i := range n {
		total += i
		text += "x"
	}
	if total > 5 {
		panic(text)
	}
	return total, text, nil
}

//go:noinline
func manyArgs(a int, b string, c float64, d []int, e key, f person, g *person, h error, i int8, j bool, k rune, l wide, m map[string]int, o complex128, p, q, r uint64) (s string) {
	t := b + e.b + f.Name
	s = t
	fail(t)
	if never {
		sink = []any{a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t}
	}
	return s
}

func (c *counter) add(n int) {
	before := c.n
	c.n += n
	c.hist = append(c.hist, before)
	c.fails("add")
}

func callback(ps []person) {
	calls := 0
	sort.Slice(ps, func(i, j int) bool {
		calls++
		a, b := ps[i], ps[j]
		if calls == 2 {
			fail(a.Name + b.Name)
		}
		return a.Age < b.Age
	})
}

func recursion(depth int, path string) int {
	local := depth * 3
	if depth == 0 {
		fail(path)
	}
	n := recursion(depth-1, path[:1]) + local
	return n
}

func defers(n int) {
	state := "start"
	defer func() {
		state += "-deferred"
		x := recover()
		if n > 1 {
			panic(state)
		}
		sink = x
	}()
	state = "body"
	fail(state)
}

func repanic(n int) {
	var got any
	func() {
		defer func() { got = recover() }()
		fail("first")
	}()
	err, _ := got.(string)
	n++
	panic(err + " again")
}

type point struct{ x, y int }

func (p point) scale(k int) point { return point{p.x * k, p.y * k} }
func (p point) sum() int          { q := p.scale(2); return check(q.x + q.y) }

func check(n int) int {
	half := n / 2
	if n > 10 {
		tiny(half)
	}
	return half
}

func tiny(h int) { fail(string(rune('a' + h))) }

func inlined(n int) {
	p := point{n, 2}
	s := p.sum()
	sink = s
}

// directCall has closures that are only called directly.
func directCall(p *person) {
	w := wide{head: "direct"}
	f := func() { sink = p }
	f()
	g := func() int { return w.pad[0] + int(p.Age) }
	n := g()
	fail("directcall")
	if never {
		sink = []any{p, w, n}
	}
}
