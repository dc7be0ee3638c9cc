package redact

import "slices"

// automaton finds all occurrences of a set of keywords, overlapping ones
// included, in one pass (A. V. Aho and M. J. Corasick, "Efficient string
// matching", CACM 18(6), 1975). ASCII case is ignored; who needs it compares
// again. Its transitions are a full table, so a byte costs one load, however
// many keywords there are.
type automaton struct {
	// class maps bytes to columns; bytes that no keyword contains share
	// column 0.
	class [256]uint8
	// next holds rows of stride columns. A state is the index of its row's
	// first column; 0 is the root.
	next   []uint32
	stride uint32
	// States from accept on end a keyword. outAt[(state-accept)/stride] and the
	// element after it bound the state's keywords in out.
	accept uint32
	outAt  []uint32
	out    []uint16 // indexes of keywords
}

// newAutomaton makes an automaton for keywords, of which none may be empty.
func newAutomaton(keywords []string) *automaton {
	a := &automaton{}
	columns := 1
	for _, k := range keywords {
		for i := 0; i < len(k); i++ {
			if c := lower(k[i]); a.class[c] == 0 {
				// At most 230 columns are needed (256 bytes less 26 capitals).
				a.class[c] = uint8(columns)
				columns++
			}
		}
	}
	for c := byte('A'); c <= 'Z'; c++ {
		a.class[c] = a.class[lower(c)]
	}

	// The trie; child 0 is none, as nothing leads back to the root.
	child := [][]int32{make([]int32, columns)}
	ends := [][]uint16{nil}
	for id, k := range keywords {
		at := int32(0)
		for i := 0; i < len(k); i++ {
			c := a.class[k[i]]
			if child[at][c] == 0 {
				child[at][c] = int32(len(child))
				child = append(child, make([]int32, columns))
				ends = append(ends, nil)
			}
			at = child[at][c]
		}
		ends[at] = append(ends[at], uint16(id))
	}

	// Breadth first, so that the node a failure leads to is complete.
	fail := make([]int32, len(child))
	queue := make([]int32, 0, len(child))
	for _, n := range child[0] {
		if n != 0 {
			queue = append(queue, n)
		}
	}
	for i := 0; i < len(queue); i++ {
		at := queue[i]
		ends[at] = append(ends[at], ends[fail[at]]...)
		for c, n := range child[at] {
			if n == 0 {
				child[at][c] = child[fail[at]][c]
				continue
			}
			fail[n] = child[fail[at]][c]
			queue = append(queue, n)
		}
	}

	// Rows are numbered with the accepting states last, else breadth first,
	// which keeps the rows that ordinary text visits together.
	order := append(make([]int32, 0, len(child)), 0)
	for _, n := range queue {
		if len(ends[n]) == 0 {
			order = append(order, n)
		}
	}
	a.stride = uint32(columns)
	a.accept = uint32(len(order)) * a.stride
	for _, n := range queue {
		if len(ends[n]) > 0 {
			order = append(order, n)
			a.outAt = append(a.outAt, uint32(len(a.out)))
			a.out = append(a.out, ends[n]...)
		}
	}
	a.outAt = append(a.outAt, uint32(len(a.out)))
	row := make([]uint32, len(child))
	for i, n := range order {
		row[n] = uint32(i) * a.stride
	}
	a.next = slices.Grow(a.next, len(order)*columns)
	for _, n := range order {
		for _, to := range child[n] {
			a.next = append(a.next, row[to])
		}
	}
	return a
}

// outputs returns the keywords that end in an accepting state.
func (a *automaton) outputs(state uint32) []uint16 {
	i := (state - a.accept) / a.stride
	return a.out[a.outAt[i]:a.outAt[i+1]]
}

// hits reports whether any keyword occurs in s.
func (a *automaton) hits(s string) bool {
	next, accept := a.next, a.accept
	state := uint32(0)
	for i := 0; i < len(s); i++ {
		state = next[state+uint32(a.class[s[i]])]
		if state >= accept {
			return true
		}
	}
	return false
}
