package cli

import (
	"io"
	"strings"
	"unicode/utf8"
)

// table prints rows in columns that are as wide as their widest cell. Cells
// must be clean text; colour is applied after the widths are known.
type table struct {
	head []string
	rows [][]string
	// flex are the columns that may be cut if the table is too wide.
	flex []int
	// right are the columns that are aligned to the right.
	right map[int]bool
	paint func(row, col int, text string) string // nil: no colour
	// after are the widths of the piece that this one goes on; nil for the first
	// piece, which has the head.
	after  []int
	widest []int // set by write
}

const columnGap = "  "

// write prints the table; width 0 means that the lines may be as long as they
// like.
func (t *table) write(w io.Writer, s style, width int) error {
	if len(t.head) == 0 {
		return nil
	}
	widths := t.widths(width)
	t.widest = widths
	var b strings.Builder
	if t.after == nil {
		t.line(&b, widths, t.head, func(_ int, text string) string { return s.bold(text) })
	}
	for i, row := range t.rows {
		t.line(&b, widths, row, func(col int, text string) string {
			if t.paint == nil {
				return text
			}
			return t.paint(i, col, text)
		})
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *table) widths(width int) []int {
	const least = 12
	widths := make([]int, len(t.head))
	sum := len(columnGap) * (len(t.head) - 1)
	for i, h := range t.head {
		widths[i] = utf8.RuneCountInString(h)
		if t.after != nil {
			widths[i] = t.after[i]
		}
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		sum += widths[i]
	}
	if width == 0 {
		return widths
	}
	for sum > width {
		// The widest of those that may be cut gives one column.
		at := -1
		for _, i := range t.flex {
			if widths[i] > least && (at < 0 || widths[i] > widths[at]) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		widths[at]--
		sum--
	}
	return widths
}

func (t *table) line(b *strings.Builder, widths []int, cells []string, paint func(int, string) string) {
	for i, cell := range cells {
		if i > 0 {
			b.WriteString(columnGap)
		}
		cell = shorten(cell, widths[i])
		pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
		switch {
		case t.right[i]:
			b.WriteString(pad)
			b.WriteString(paint(i, cell))
		case i == len(cells)-1:
			b.WriteString(paint(i, cell))
		default:
			b.WriteString(paint(i, cell))
			b.WriteString(pad)
		}
	}
	b.WriteByte('\n')
}
