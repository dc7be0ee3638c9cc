package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parsers.

type token struct {
	kind  byte
	text  string
	start int
}

type lexer struct {
	src    string
	pos    int
	tokens []token
	depth  int
}

//go:noinline
func (l *lexer) next() token {
	for l.pos < len(l.src) && l.src[l.pos] == ' ' {
		l.pos++
	}
	start := l.pos
	switch c := l.src[l.pos]; {
	case c >= '0' && c <= '9':
		for l.pos < len(l.src) && l.src[l.pos] >= '0' && l.src[l.pos] <= '9' {
			l.pos++
		}
		return token{'n', l.src[start:l.pos], start}
	default:
		l.pos++
		return token{c, l.src[start:l.pos], start}
	}
}

//go:noinline
func (l *lexer) expr(prec int) int {
	l.depth++
	t := l.next()
	var left int
	switch t.kind {
	case 'n':
		left, _ = strconv.Atoi(t.text)
	case '(':
		left = l.expr(0)
		closing := l.next()
		if closing.kind != ')' {
			panic(fmt.Errorf("at %d: want ), have %q", closing.start, closing.text))
		}
	case '-':
		left = -l.expr(9)
	}
	for l.pos < len(l.src) {
		save := l.pos
		op := l.next()
		p := 1
		if op.kind == '*' || op.kind == '/' {
			p = 2
		}
		if op.kind == ')' || p <= prec {
			l.pos = save
			break
		}
		right := l.expr(p)
		switch op.kind {
		case '+':
			left += right
		case '-':
			left -= right
		case '*':
			left *= right
		case '/':
			left /= right
		}
		l.tokens = append(l.tokens, op)
	}
	l.depth--
	return left
}

//go:noinline
func parseHeader(b []byte, order binary.ByteOrder) (kind uint16, size uint32, body []byte, err error) {
	if len(b) < 6 {
		err = io.ErrUnexpectedEOF
		report(err)
		return 0, 0, nil, err
	}
	kind = order.Uint16(b)
	size = order.Uint32(b[2:])
	body = b[6 : 6+size]
	return kind, size, body, nil
}

//go:noinline
func parseFrames(b []byte) (n int, sum uint32) {
	for len(b) > 0 {
		kind, size, body, err := parseHeader(b, binary.BigEndian)
		if err != nil {
			return n, sum
		}
		for _, c := range body {
			sum += uint32(c) * uint32(kind)
		}
		n++
		b = b[6+size:]
	}
	return n, sum
}

//go:noinline
func keyValues(text string) (map[string]int, error) {
	out := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, val, ok := strings.Cut(line, "=")
		if !ok {
			err := fmt.Errorf("line %d: no = in %q", i+1, line)
			report(err)
			return out, err
		}
		n, err := strconv.Atoi(strings.TrimSpace(val))
		if err != nil {
			err = fmt.Errorf("line %d: %s: %w", i+1, key, err)
			report(err)
			return out, err
		}
		out[strings.TrimSpace(key)] = n
	}
	return out, nil
}

//go:noinline
func scanWords(r io.Reader, limit int) (words []string, longest int) {
	s := bufio.NewScanner(r)
	count := 0
	s.Split(func(data []byte, atEOF bool) (advance int, tok []byte, err error) {
		count++
		i := bytes.IndexByte(data, ' ')
		if i < 0 {
			if atEOF && len(data) > 0 {
				return len(data), data, nil
			}
			return 0, nil, nil
		}
		if count > limit {
			bad := data[i:]
			_ = data[len(data)+len(bad)]
		}
		return i + 1, data[:i], nil
	})
	for s.Scan() {
		w := s.Text()
		longest = max(longest, len(w))
		words = append(words, w)
	}
	return words, longest
}

type node struct {
	key         string
	val         int
	left, right *node
}

//go:noinline
func (n *node) insert(key string, val, depth int) *node {
	if n == nil {
		if depth > 3 {
			panic("tree is too deep for " + key)
		}
		return &node{key: key, val: val}
	}
	if key < n.key {
		n.left = n.left.insert(key, val, depth+1)
	} else {
		n.right = n.right.insert(key, val+n.val, depth+1)
	}
	return n
}

//go:noinline
func build(keys []string) (root *node, weight int) {
	for i, k := range keys {
		weight += len(k) * i
		root = root.insert(k, i*10, 0)
	}
	return root, weight
}

//go:noinline
func decodeRunes(b []byte, want int) (out []rune, bad int) {
	for off := 0; off < want; {
		r, size := utf8.DecodeRune(b[off:want])
		if r == utf8.RuneError {
			bad++
		}
		out = append(out, r)
		off += size
	}
	return out, bad
}

//go:noinline
func matrix(rows []string) [][]float64 {
	var m [][]float64
	width := -1
	for y, row := range rows {
		var vals []float64
		for x, f := range strings.Fields(row) {
			v, err := strconv.ParseFloat(f, 64)
			if err != nil {
				panic(fmt.Errorf("row %d column %d: %w", y, x, err))
			}
			vals = append(vals, v)
		}
		if width >= 0 && len(vals) != width {
			panic(fmt.Sprintf("row %d has %d columns, not %d", y, len(vals), width))
		}
		width = len(vals)
		m = append(m, vals)
	}
	return m
}

type opcode byte

//go:noinline
func interpret(code []byte, stack []int) (steps int) {
	sp := 0
	for pc := 0; pc < len(code); pc++ {
		steps++
		switch op := opcode(code[pc]); op {
		case 0:
			stack[sp] = int(code[pc+1])
			sp++
			pc++
		case 1:
			sp--
			stack[sp-1] += stack[sp]
		case 2:
			sp--
			stack[sp-1] *= stack[sp]
		case 3:
			stack[sp-1] = -stack[sp-1]
		case 4:
			stack[sp] = stack[sp-1]
			sp++
		case 5:
			sp--
		case 6:
			stack[sp-1], stack[sp-2] = stack[sp-2], stack[sp-1]
		case 7:
			sp--
			stack[sp-1] %= stack[sp]
		case 8:
			stack[sp-1] <<= 1
		default:
			panic(fmt.Sprintf("op %d at %d", op, pc))
		}
	}
	return steps
}

type limited struct {
	r    io.Reader
	left int
}

var errLimit = errors.New("limit")

//go:noinline
func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		err := fmt.Errorf("reading %d bytes: %w", len(p), errLimit)
		report(err)
		return 0, err
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

func parseSites() []Site {
	return []Site{
		{"expr-divide", func() { l := &lexer{src: "1 + 2 * (3 - 3) + 8 / (2 - 2)"}; _ = l.expr(0) }},
		{"expr-paren", func() { l := &lexer{src: "2 * (3 + 4 ] 5"}; _ = l.expr(0) }},
		{"expr-end", func() { l := &lexer{src: "2 * "}; _ = l.expr(0) }},
		{"frames", func() { _, _ = parseFrames([]byte{0, 1, 0, 0, 0, 2, 7, 8, 0, 2, 0, 0, 0, 9, 1, 2}) }},
		{"frames-short", func() { _, _ = parseFrames([]byte{0, 1, 0, 0, 0, 2, 7, 8, 0, 2, 0}) }},
		{"key-values", func() { _, _ = keyValues("a = 1\n# c\nb = 22\nc = x3\n") }},
		{"key-values-cut", func() { _, _ = keyValues("a = 1\nbcd\n") }},
		{"scan-words", func() { _, _ = scanWords(strings.NewReader("the quick brown fox jumps over it"), 3) }},
		{"tree", func() { _, _ = build([]string{"m", "p", "t", "x", "zz"}) }},
		{"runes", func() { _, _ = decodeRunes([]byte("héllo\xff"), 12) }},
		{"matrix", func() { _ = matrix([]string{"1 2 3", "4 5.5 6", "7 8"}) }},
		{"matrix-parse", func() { _ = matrix([]string{"1 2 3", "4 5..5 6"}) }},
		{"interpret-stack", func() { _ = interpret([]byte{0, 5, 0, 6, 1, 4, 2, 5, 5, 1}, make([]int, 4)) }},
		{"interpret-op", func() { _ = interpret([]byte{0, 5, 0, 6, 2, 3, 99}, make([]int, 4)) }},
		{"interpret-mod", func() { _ = interpret([]byte{0, 5, 0, 0, 7}, make([]int, 4)) }},
		{"read-all", func() { _, _ = io.ReadAll(&limited{strings.NewReader(strings.Repeat("data ", 400)), 600}) }},
	}
}
