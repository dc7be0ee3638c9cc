package corpus

import "strings"

func init() {
	register("index", func() { index([]int{1, 2, 3}, 5) })
	register("slicebounds", func() { sliceBounds("text", 3, 1) })
	register("nilderef", func() { nilDeref(&order{ID: 3}, 2) })
	register("nilmap", func() { nilMap(nil, "k") })
	register("divide", func() { divide(7, 0) })
	register("assertion", func() { assertion("text", 4) })
	register("nilfunc", func() { nilFunc(nil, 4) })
	register("niliface", func() { nilIface(nil, "x") })
	register("negative", func() { negative(-1) })
	register("arraybound", func() { arrayBound([4]string{"a", "b"}, 7) })
	register("stackarray", func() { stackArray(9) })
	register("convert", func() { convert([]int{1}) })
	register("scopes", func() { scopes(4, "in") })
	register("switches", func() { switches(key{3, "k"}) })
	register("blank", func() { blank(1, "unused", 2) })
	register("shadow", func() { shadow(1) })
	register("goexit", func() { inGoroutineLike(5) })
}

func index(list []int, i int) {
	total := 0
	for _, x := range list {
		total += x
	}
	total += list[i]
	sink = total
}

func sliceBounds(s string, lo, hi int) {
	up := strings.ToUpper(s)
	cut := up[lo:hi]
	sink = cut
}

func nilDeref(o *order, k int) {
	sum := k * 3
	name := o.person.Name
	sink = []any{name, sum}
}

func nilMap(m map[string]int, k string) {
	n := len(k)
	m[k] = n
}

func divide(a, b int) {
	c := a * 2
	d := c / b
	sink = d
}

func assertion(v any, n int) {
	s, ok := v.(string)
	i := v.(int)
	sink = []any{s, ok, i, n}
}

func nilFunc(f func(int) int, x int) {
	y := x + 1
	z := f(y)
	sink = z + x
}

func nilIface(e error, why string) {
	n := len(why)
	s := e.Error()
	sink = s[n:]
}

func negative(n int) {
	m := n * 2
	b := make([]int, m)
	sink = b
}

func arrayBound(a [4]string, i int) {
	j := i - 1
	s := a[j]
	sink = s + a[0]
}

func stackArray(n int) {
	var buf [8]byte
	for i := range n {
		buf[i] = byte(i)
	}
	sink = buf
}

func convert(s []int) {
	n := len(s)
	p := (*[4]int)(s)
	sink = p[n]
}

func scopes(n int, s string) {
	x := 1
	{
		x := "inner"
		y := x + s
		sink = y
	}
	for i := 0; i < 3; i++ {
		x := x + i
		if z := x * 2; z > 4 {
			w := []int{z}
			fail("scopes")
			sink = w
		} else {
			late := z
			sink = late
		}
	}
	after := x
	sink = after
}

func switches(v any) {
	switch n := v.(type) {
	case int:
		a := n
		sink = a
	case key:
		b := n.a
		switch c := b + 1; {
		case c > 3:
			d := c * 2
			fail("switch")
			sink = d
		}
	case error:
		sink = n
	}
}

func blank(a int, _ string, _ int) (_ int, err error) {
	_, b := a, a+1
	fail("blank")
	return b, nil
}

func shadow(err int) {
	err2 := err
	if err := codeError(err); err > 0 {
		err2 += int(err)
		if err := errFixed; err != nil {
			fail(err.Error())
		}
	}
	sink = err2
}

func inGoroutineLike(n int) {
	type local struct{ a, b int }
	l := local{n, n + 1}
	const c = 5
	var unused int
	_ = unused
	fail("local")
	sink = l.a + c
}
