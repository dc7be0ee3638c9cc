package corpus

func init() {
	register("structs", func() { structs(order{ID: 7, address: address{Street: "Main", City: city{"Wien", 1010}}}) })
	register("arrays", func() { arrays(2) })
	register("slices", func() { slicesOf(4) })
	register("pointers", pointers)
}

type city struct {
	Name string
	Zip  int
}

type address struct {
	Street string
	City   city
}

type person struct {
	Name string
	Age  uint8
}

type order struct {
	ID int64
	address
	*person
	note   string `db:"n"`
	Labels map[string]string
}

type empty struct{}

type zeroes struct {
	first empty
	A     int8
	mid   struct{}
	B     int64
	arr   [0]string
	_     int32
	C     int8
	_     [3]byte
	last  empty
}

type node struct {
	val         int
	left, right *node
	up          *node
}

type boxed struct{ p *int }

type wrapped struct{ in boxed }

type padded struct {
	a bool
	b complex128
	c bool
	d float32
	e uint16
}

type nested struct {
	A struct {
		B struct {
			C [2]struct{ D, E int }
		}
		F string
	}
	g any
}

func structs(o order) {
	o.person = &person{"Ada", 36}
	o.note = "n"
	copied := o
	copied.Street = "Side"
	pt := &copied.City
	anon := struct {
		X, Y int
		Name string `tag:"x"`
	}{1, 2, "anon"}
	anons := []struct{ K, V string }{{"a", "b"}, {"c", "d"}}
	z := zeroes{A: 1, B: 2, C: 3}
	var zz empty
	zs := [3]empty{}
	pz := &z
	pad := padded{true, complex(1, 2), true, 2.5, 9}
	root := &node{val: 1}
	root.left = &node{val: 2, up: root}
	root.right = &node{val: 3, up: root, left: root.left}
	five := 5
	bx := boxed{&five}
	wr := wrapped{bx}
	var n nested
	n.A.B.C[1].E = 11
	n.A.F = "f"
	n.g = n.A.B.C
	var none order
	fail("structs")
	if never {
		sink = []any{o, copied, pt, anon, anons, z, zz, zs, pz, pad, root, bx, wr, n, none}
	}
}

type matrix [2][3]int

func arrays(n int) {
	m := matrix{{1, 2, 3}, {4, 5, -6}}
	deep := [2][2][2]string{{{"a", "b"}, {"c", "d"}}, {{"e", "f"}, {"g", "h"}}}
	var none [0]int
	one := [1]*int{&n}
	oneString := [1]string{"only"}
	big := [300]int32{0: 1, 299: -1}
	recs := [3]person{{"x", 1}, {"y", 2}, {"z", 3}}
	ifs := [4]any{1, "two", nil, 4.0}
	bools := [5]bool{true, false, true, true, false}
	cplx := [2]complex64{1, 2i}
	floats := [3]float32{0.5, 1, -1}
	ptrs := [2]*person{{"p", 9}, nil}
	bytes := [6]byte{'b', 'y', 0, 255}
	slices := [2][]int{{1}, nil}
	maps := [2]map[string]int{{"a": 1}, nil}
	parr := &m
	row := m[1]
	fail("arrays")
	if never {
		sink = []any{m, deep, none, one, oneString, big, recs, ifs, bools, cplx, floats, ptrs, bytes, slices, maps, parr, row}
	}
}

func slicesOf(n int) {
	base := make([]int, n, 2*n)
	for i := range base {
		base[i] = i * i
	}
	head, tail, capped, ext := base[:2], base[2:], base[1:2:3], base[:2*n]
	var none []string
	hollow := []string{}
	past := base[n:]
	zs := make([]struct{}, 5)
	recs := []person{{"a", 1}, {"b", 2}}
	sub := recs[1:]
	ptrs := []*person{&recs[0], &recs[1], nil}
	grid := [][]int{{1}, {}, nil, base}
	anys := []any{1, "s", base, nil, recs[0], &recs[0]}
	anys[3] = anys // contains itself
	arr := [4]int{1, 2, 3, 4}
	ofArr := arr[1:3]
	toArr := (*[2]int)(base)
	u16 := []uint16{1, 2, 65535}
	f64 := []float64{1.25, -2}
	bools := []bool{true, false}
	cs := []complex128{1 + 2i}
	strs := []string{"", "a", "\xff"}
	long := make([]int64, 2000)
	long[1999] = 7
	big := make([][50]int, 20)
	big[19][49] = 3
	fail("slices")
	if never {
		sink = []any{base, head, tail, capped, ext, none, hollow, past, zs, recs, sub, ptrs, grid, anys, ofArr, toArr, u16, f64, bools, cs, strs, long, big, arr}
	}
}

type ring struct {
	n    int
	next *ring
}

func pointers() {
	x := 42
	p := &x
	pp := &p
	ppp := &pp
	*p = 43
	var np *int
	var npp **int
	s := person{"in", 3}
	field := &s.Age
	arr := [3]string{"a", "b", "c"}
	elem := &arr[1]
	z1, z2 := new(struct{}), new([0]int)
	var first *ring
	for i := range 200 {
		first = &ring{i, first}
	}
	last := first
	for last.next != nil {
		last = last.next
	}
	last.next = first
	self := new(any)
	*self = self
	type rec *rec
	var r rec
	r = &r
	fn := new(func() int)
	*fn = func() int { return x }
	pslice := &[]int{1, 2}
	pmap := &map[string]int{"k": 1}
	pchan := new(chan int)
	pstr := new(string)
	piface := new(error)
	fail("pointers")
	if never {
		sink = []any{p, pp, ppp, np, npp, s, field, arr, elem, z1, z2, first, last, self, r, fn, pslice, pmap, pchan, pstr, piface}
	}
}
