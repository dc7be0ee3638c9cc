package corpus

import "math"

func init() {
	register("maps", func() { maps("k") })
	register("bigmaps", bigMaps)
	register("tombstones", tombstones)
	register("oddmaps", oddMaps)
	register("maploop", func() { mapLoop(map[string]int{"only": 1}) })
}

type key struct {
	a int
	b string
}

type wide struct {
	head string
	pad  [40]int
}

func maps(k string) {
	var none map[string]int
	hollow := map[string]int{}
	sized := make(map[string]int, 100)
	one := map[string]int{k: 1}
	full := map[int]string{}
	for i := range 8 {
		full[i] = string(rune('a' + i))
	}
	cleared := map[int]int{1: 1, 2: 2, 3: 3}
	clear(cleared)
	gap := map[int]int{}
	for i := range 8 {
		gap[i] = i
	}
	delete(gap, 3)
	delete(gap, 5)
	set := map[string]struct{}{"x": {}, "y": {}}
	units := map[struct{}]int{{}: 5}
	bools := map[bool]string{true: "t", false: "f"}
	structs := map[key]*person{{1, "a"}: {"p", 1}, {2, "b"}: nil}
	arrays := map[[2]int]int{{1, 2}: 3}
	floats := map[float64]float32{1.5: 2, math.Inf(1): 3}
	runes := map[rune]bool{'ä': true}
	bytes := map[byte]byte{1: 2}
	nest := map[string]map[string][]int{"a": {"b": {1, 2}}, "c": nil}
	funcs := map[string]func(int) int{"f": func(x int) int { return x + len(k) }, "nil": nil}
	anys := map[string]any{"i": 1, "s": "x", "n": nil, "m": one, "self": nil}
	anys["self"] = anys
	fail("maps")
	if never {
		sink = []any{none, hollow, sized, one, full, cleared, gap, set, units, bools, structs, arrays, floats, runes, bytes, nest, funcs, anys}
	}
}

func bigMaps() {
	nine := map[int]int{}
	for i := range 9 {
		nine[i] = -i
	}
	thousand := map[int]string{}
	for i := range 1000 {
		thousand[i] = "v"
	}
	many := map[uint16]uint16{} // several tables
	for i := range 20_000 {
		many[uint16(i)] = uint16(i * 3)
	}
	growing := map[string]int{}
	for i := range 897 { // a table is split at 7/8 of 1024
		growing[string(rune(0x4e00+i))] = i
	}
	presized := make(map[int]int, 5000)
	presized[7] = 49
	ptrs := map[*int]int{}
	for i := range 20 {
		ptrs[&[]int{i}[0]] = i
	}
	fail("bigmaps")
	if never {
		sink = []any{nine, thousand, many, growing, presized, ptrs}
	}
}

func tombstones() {
	sparse := map[int]int{}
	for i := range 5000 {
		sparse[i] = i
	}
	for i := range 5000 {
		if i%100 != 0 {
			delete(sparse, i)
		}
	}
	refilled := map[int]int{}
	for i := range 300 {
		refilled[i] = i
	}
	for i := range 200 {
		delete(refilled, i)
	}
	for i := 1000; i < 1100; i++ {
		refilled[i] = i
	}
	emptied := map[string]int{}
	for i := range 100 {
		emptied[string(rune('a'+i))] = i
	}
	for i := range 100 {
		delete(emptied, string(rune('a'+i)))
	}
	cleared := map[int]string{}
	for i := range 3000 {
		cleared[i] = "x"
	}
	clear(cleared)
	cleared[1] = "one"
	fail("tombstones")
	if never {
		sink = []any{sparse, refilled, emptied, cleared}
	}
}

func oddMaps() {
	nan := math.NaN()
	nans := map[float64]int{nan: 1}
	nans[nan] = 2
	nans[nan] = 3
	many := map[float64]int{}
	for i := range 40 {
		many[nan] = i
		many[float64(i)] = i
	}
	ifaces := map[any]string{1: "int", "1": "string", int8(1): "int8", 1.0: "float", key{1, "x"}: "key", nil: "nil", true: "bool", [1]int{1}: "array", nan: "nan", empty{}: "empty"}
	errs := map[error]int{errFixed: 1, nil: 2, codeError(4): 3}
	bigKeys := map[wide]int{{head: "a"}: 1, {head: "b"}: 2}
	bigVals := map[string]wide{"x": {head: "x"}, "y": {head: "y"}}
	bigBoth := map[wide]wide{}
	for i := range 30 {
		bigBoth[wide{head: string(rune('a' + i)), pad: [40]int{i}}] = wide{pad: [40]int{39: i}}
	}
	edge := map[[128]byte][128]byte{{1}: {2}}
	over := map[[129]byte][129]byte{{1}: {2}}
	chans := map[chan int]string{make(chan int, 1): "c"}
	cplx := map[complex128]int{1i: 1}
	named := map[name]celsius{"n": 1.5}
	anon := map[struct{ X, Y int8 }]struct{ Z string }{{1, 2}: {"z"}}
	iface := map[interface{ code() int }]int{codeError(1): 1}
	zero := map[int]struct{}{}
	for i := range 12 {
		zero[i] = struct{}{}
	}
	fail("oddmaps")
	if never {
		sink = []any{nans, many, ifaces, errs, bigKeys, bigVals, bigBoth, edge, over, chans, cplx, named, anon, iface, zero}
	}
}

func mapLoop(m map[string]int) {
	total := 10
	for k, v := range m {
		total += v
		clear(m)
		m["new"] = total
		fail(k)
	}
	sink = total
}
