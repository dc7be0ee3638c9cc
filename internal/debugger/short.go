package debugger

import (
	"strings"
	"unicode/utf8"
)

// Short prints the value on one line of at most width characters, for tables:
// with few elements, types without the folders of their package paths, and … at
// the end if it was cut. A width below 1 means no limit.
func (x *Value) Short(width int) string {
	s := x.Format(Format{
		LoadConfig: LoadConfig{FollowPointers: true, MaxVariableRecurse: 1, MaxStringLen: 64, MaxArrayValues: 8, MaxStructFields: 8},
		ShortTypes: true,
	})
	return cutTo(s, width)
}

// cutTo cuts s to width characters, the last of them … if anything was cut.
func cutTo(s string, width int) string {
	if width < 1 || len(s) <= width || utf8.RuneCountInString(s) <= width {
		return s
	}
	n := 0
	for i := range s {
		if n == width-1 {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// ShortenType returns a type's name without the folders of package paths:
// "map[string]*store.Order" of "map[string]*github.com/acme/shop/store.Order".
func ShortenType(name string) string {
	if !strings.Contains(name, "/") {
		return name
	}
	var b strings.Builder
	start, quoted := 0, false // start of the current word; inside a struct tag
	for i := 0; i < len(name); i++ {
		c := name[i]
		if quoted {
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
				b.WriteString(name[start : i+1])
				start = i + 1
			}
			continue
		}
		switch c {
		case '/':
			start = i + 1
		case ' ', '*', '[', ']', '(', ')', '{', '}', ',', ';', '<':
			b.WriteString(name[start : i+1])
			start = i + 1
		case '"':
			quoted = true
		}
	}
	if start < len(name) {
		b.WriteString(name[start:])
	}
	return b.String()
}
