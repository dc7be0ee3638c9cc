package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// stdio is the world that a command sees.
type stdio struct {
	in       io.Reader
	out, err io.Writer

	inTerminal bool // in is a terminal: ask and edit lines
	outStyle   style
	errStyle   style
	errWidth   int // columns of err if it is a terminal that takes progress bars, else 0
	outWidth   int // columns of out if it is a terminal, else 0

	// ask asks for a passphrase at the terminal. It is nil if there is none: a
	// script gives keys that need no passphrase.
	ask func(prompt string) ([]byte, error)

	getenv func(string) string
	now    func() time.Time
	local  *time.Location // in which times are shown to people
}

// osStdio is the process's own world.
func osStdio() *stdio {
	std := &stdio{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		getenv: os.Getenv, now: time.Now, local: time.Local,
	}
	std.inTerminal = term.IsTerminal(int(os.Stdin.Fd()))
	if std.inTerminal && term.IsTerminal(int(os.Stderr.Fd())) {
		std.ask = askTerminal
	}
	std.outWidth = terminalWidth(os.Stdout)
	std.outStyle = style{wantsColour(std.outWidth)}
	if os.Getenv("TERM") != "dumb" {
		std.errWidth = terminalWidth(os.Stderr)
	}
	std.errStyle = style{wantsColour(std.errWidth)}
	return std
}

// askTerminal reads a line that is not shown.
func askTerminal(prompt string) ([]byte, error) {
	fmt.Fprint(os.Stderr, clean(prompt)+": ")
	defer fmt.Fprintln(os.Stderr)
	return term.ReadPassword(int(os.Stdin.Fd()))
}

// wantsColour reports whether a stream that is a terminal of that width, or
// none if it is 0, gets colour. https://no-color.org: NO_COLOR set to anything
// but the empty string means no.
func wantsColour(width int) bool {
	return width > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// terminalWidth returns the number of columns, 0 if f is not a terminal.
func terminalWidth(f *os.File) int {
	if !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	w, _, err := term.GetSize(int(f.Fd()))
	if err != nil || w <= 0 {
		return 80
	}
	return w
}

// style puts text into colour if the stream is a terminal that wants it. The
// zero style changes nothing.
type style struct{ colour bool }

func (s style) sgr(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(t string) string   { return s.sgr("1", t) }
func (s style) dim(t string) string    { return s.sgr("2", t) }
func (s style) red(t string) string    { return s.sgr("31", t) }
func (s style) green(t string) string  { return s.sgr("32", t) }
func (s style) yellow(t string) string { return s.sgr("33", t) }
func (s style) cyan(t string) string   { return s.sgr("36", t) }
