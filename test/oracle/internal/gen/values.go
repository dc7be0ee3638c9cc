package gen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// value is a value of a program: how it is written there, and how it must be shown.
type value struct{ src, text string }

// zero values are written and shown by kind.
func (m *maker) zero(t *typ) value {
	switch t.kind {
	case kBool:
		return value{t.conv("false"), "false"}
	case kInt, kUint, kFloat:
		return value{t.conv("0"), "0"}
	case kComplex:
		return value{t.conv("0"), "0,0"}
	case kString:
		return value{t.conv(`""`), `""`}
	}
	return m.value(t, 0)
}

// conv writes a constant as one of the type.
func (t *typ) conv(c string) string { return t.src + "(" + c + ")" }

// cast writes nil as a value of the type.
func (t *typ) cast(c string) string { return "(" + t.src + ")(" + c + ")" }

// value returns a random value of a type; depth bounds how much collections hold.
func (m *maker) value(t *typ, depth int) value {
	switch t.kind {
	case kBool:
		b := strconv.FormatBool(m.pick(2) == 0)
		return value{t.conv(b), b}
	case kInt:
		n := int64(m.r.Uint64()) >> (64 - t.bits)
		if m.pick(2) == 0 {
			n %= 100
		}
		s := strconv.FormatInt(n, 10)
		return value{t.conv(s), s}
	case kUint:
		n := m.r.Uint64() >> (64 - t.bits)
		if m.pick(2) == 0 {
			n %= 100
		}
		s := strconv.FormatUint(n, 10)
		return value{t.conv(s), s}
	case kFloat:
		s := m.float()
		return value{t.conv(s), s}
	case kComplex:
		re, im := m.float(), m.float()
		return value{t.conv("complex(" + re + ", " + im + ")"), re + "," + im}
	case kString:
		s := m.text()
		return value{t.conv(strconv.Quote(s)), strconv.Quote(s)}
	case kStruct:
		var src, text []string
		for _, f := range t.fields {
			v := m.value(f.t, depth-1)
			src, text = append(src, f.name+": "+v.src), append(text, v.text)
		}
		return value{t.src + "{" + strings.Join(src, ", ") + "}", "{" + strings.Join(text, " ") + "}"}
	case kArray:
		src, text := m.elems(t.elem, t.len, depth)
		return value{t.src + "{" + src + "}", "[" + text + "]"}
	case kSlice:
		if m.pick(6) == 0 {
			return value{t.cast("nil"), "nil"}
		}
		src, text := m.elems(t.elem, m.size(depth), depth)
		return value{t.src + "{" + src + "}", "[" + text + "]"}
	case kMap:
		if m.pick(6) == 0 {
			return value{t.cast("nil"), "nil"}
		}
		n := m.size(depth)
		if depth > 1 && m.pick(4) == 0 {
			n += 10
		}
		seen := map[string]bool{}
		var src, text []string
		for range n {
			k := m.value(t.key, 2)
			if seen[k.text] {
				continue
			}
			seen[k.text] = true
			e := m.value(t.elem, depth-1)
			src, text = append(src, k.src+": "+e.src), append(text, k.text+":"+e.text)
		}
		slices.Sort(text)
		return value{t.src + "{" + strings.Join(src, ", ") + "}", "map{" + strings.Join(text, " ") + "}"}
	case kPointer:
		if depth <= 0 || m.pick(5) == 0 {
			return value{t.cast("nil"), "nil"}
		}
		e := m.value(t.elem, depth-1)
		src := "ptr(" + e.src + ")"
		if t.named {
			src = t.conv(src)
		}
		return value{src, "&" + e.text}
	case kAny:
		if depth <= 0 || m.pick(5) == 0 {
			return value{"any(nil)", "nil"}
		}
		d := m.typ(depth - 1)
		if d.kind == kAny || d.kind == kFunc {
			d = m.basic()
		}
		v := m.value(d, depth-1)
		return value{"any(" + v.src + ")", d.full + "(" + v.text + ")"}
	case kChan:
		if m.pick(5) == 0 {
			return value{t.cast("nil"), "nil"}
		}
		n := m.size(depth)
		c := n + m.pick(3)
		src, text := m.elems(t.elem, n, depth)
		args := ""
		if n > 0 {
			args = ", " + src
		}
		made := fmt.Sprintf("queue[%s](%d, %d%s)", t.elem.src, c, m.pick(4), args)
		if t.named {
			made = t.conv(made)
		}
		return value{made, fmt.Sprintf("chan(%d/%d)[%s]", n, c, text)}
	case kFunc:
		if m.pick(2) == 0 {
			return value{t.cast("nil"), "nil"}
		}
		return value{t.cast("twice"), "func " + Path + ".twice"}
	}
	panic("no such kind")
}

func (m *maker) size(depth int) int {
	if depth <= 0 {
		return 0
	}
	return m.pick(5)
}

func (m *maker) elems(t *typ, n, depth int) (src, text string) {
	var ss, ts []string
	for range n {
		v := m.value(t, depth-1)
		ss, ts = append(ss, v.src), append(ts, v.text)
	}
	return strings.Join(ss, ", "), strings.Join(ts, " ")
}

// float returns a number that both sizes have exactly.
func (m *maker) float() string {
	return strconv.FormatFloat(float64(m.pick(4000)-2000)/8, 'g', -1, 32)
}

var alphabet = []string{"a", "b", " ", "ä", "€", "\x00", "\xff", "\n", "\"", "z", "0", "😀"}

func (m *maker) text() string {
	var b strings.Builder
	n := m.pick(6)
	if m.pick(8) == 0 {
		n = 80
	}
	for range n {
		b.WriteString(alphabet[m.pick(len(alphabet))])
	}
	return b.String()
}
