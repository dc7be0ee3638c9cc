package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-delve/liner"
)

// editor reads lines from the terminal, with the keys of dlv: it is dlv's own
// line editor.
type editor struct {
	line    *liner.State
	history *os.File // open for appending, nil for none
	note    func(string)
}

// errAborted says that the line was dropped with Ctrl-C.
var errAborted = errors.New("line dropped")

// Bounds of the history file; beyond the first it is cut to the second.
const (
	historyLimit = 4 * liner.HistoryLimit
	historyKeep  = liner.HistoryLimit
)

// newEditor puts the terminal into its editing mode until close.
func newEditor(r *runner) *editor {
	ed := &editor{line: liner.NewLiner(), note: func(s string) { fmt.Fprintln(r.err, s) }}
	ed.line.SetCtrlCAborts(true)
	ed.line.SetCtrlZStop(true)
	ed.line.SetTabCompletionStyle(liner.TabPrints)
	ed.line.SetWordCompleter(func(line string, pos int) (string, []string, string) {
		// pos counts runes.
		runes := []rune(line)
		pos = min(max(pos, 0), len(runes))
		head, list := r.complete(string(runes[:pos]))
		return head, list, string(runes[pos:])
	})
	ed.openHistory(r.o.HistoryFile)
	return ed
}

func (ed *editor) close() {
	_ = ed.line.Close() // there is nobody to tell
	if ed.history != nil {
		_ = ed.history.Close()
	}
}

// read returns the next line. The error is errAborted, io.EOF, or ctx's.
func (ed *editor) read(ctx context.Context) (string, error) {
	type answer struct {
		line string
		err  error
	}
	ch := make(chan answer, 1)
	go func() {
		line, err := ed.line.Prompt(Prompt)
		ch <- answer{line, err}
	}()
	select {
	case a := <-ch:
		if errors.Is(a.err, liner.ErrPromptAborted) {
			return "", errAborted
		}
		if a.err != nil {
			return "", a.err
		}
		ed.remember(strings.TrimSpace(a.line))
		return a.line, nil
	case <-ctx.Done():
		return "", ctx.Err() // the prompt is left waiting; the process is about to end
	}
}

// remember keeps a line for this session and the next ones.
func (ed *editor) remember(line string) {
	if line == "" {
		return
	}
	ed.line.AppendHistory(line)
	if ed.history == nil {
		return
	}
	if _, err := ed.history.WriteString(line + "\n"); err != nil {
		ed.note("history is not kept: " + err.Error())
		_ = ed.history.Close()
		ed.history = nil
	}
}

// openHistory reads the history file and opens it for what is to come. Without
// it there is a history of this session only.
func (ed *editor) openHistory(name string) {
	if name == "" {
		return
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		ed.note("history is not kept: " + err.Error())
		return
	}
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		ed.note("history is not kept: " + err.Error())
		return
	}
	lines := bytes.SplitAfter(old, []byte("\n"))
	if len(lines) > historyLimit {
		old = bytes.Join(lines[len(lines)-historyKeep:], nil)
		if err := os.WriteFile(name, old, 0o600); err != nil {
			ed.note("cutting the history: " + err.Error())
		}
	}
	if _, err := ed.line.ReadHistory(bytes.NewReader(old)); err != nil {
		ed.note("reading the history: " + err.Error())
	}
	ed.history, err = os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		ed.note("history is not kept: " + err.Error())
		ed.history = nil
	}
}

// DefaultHistoryFile returns where the history of typed commands belongs:
// coredumpy/history in $XDG_STATE_HOME, or in the user's configuration folder if
// that is not set.
func DefaultHistoryFile() (string, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) { // the specification says to ignore it then
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return "", fmt.Errorf("finding a place for the history: %w", err)
		}
	}
	return filepath.Join(dir, "coredumpy", "history"), nil
}
