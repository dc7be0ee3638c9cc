package repl

import (
	"go/scanner"
	"go/token"
	"strings"
)

// piece is a part of a line in one style.
type piece struct {
	style style
	text  string
}

// highlight splits lines of Go source into pieces: keywords, strings, numbers
// and comments have styles of their own. The lines are an excerpt, so a string
// or comment that began before them is not recognized.
func highlight(lines []string) [][]piece {
	src := strings.Join(lines, "\n")
	styles := make([]style, len(src))
	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(src))
	var s scanner.Scanner
	s.Init(file, []byte(src), func(token.Position, string) {}, scanner.ScanComments)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			break
		}
		var st style
		switch {
		case tok == token.COMMENT:
			st = magenta
		case tok == token.STRING || tok == token.CHAR:
			st = green
		case tok.IsKeyword():
			st = bold
		default:
			continue
		}
		from := file.Offset(pos)
		for i := from; i < min(from+len(lit), len(styles)); i++ {
			styles[i] = st
		}
	}
	out := make([][]piece, len(lines))
	at := 0
	for n, line := range lines {
		start := at
		for i := at; i < at+len(line); i++ {
			if styles[i] != styles[start] {
				out[n] = append(out[n], piece{styles[start], src[start:i]})
				start = i
			}
		}
		if end := at + len(line); start < end {
			out[n] = append(out[n], piece{styles[start], src[start:end]})
		}
		at += len(line) + 1
	}
	return out
}
