package repl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

// call is one use of a command.
type call struct {
	scope  debugger.Scope
	scoped bool   // the scope was given with the command: "frame 2 list"
	args   string // what stands behind the command's name, trimmed
}

type group int

const (
	groupData group = iota
	groupStack
	groupGoroutine
	groupSource
	groupOther
	groupLive
)

var groupNames = [...]string{
	groupData:      "Viewing program variables",
	groupStack:     "Viewing the call stack and selecting frames",
	groupGoroutine: "Listing and switching between goroutines",
	groupSource:    "Viewing source",
	groupOther:     "Other commands",
	groupLive:      "Commands of dlv that a dump cannot do",
}

// command is one command. Names, aliases and behaviour are dlv's wherever dlv
// has the command.
type command struct {
	names []string // the first is the name, the others are aliases
	group group
	usage []string // one line for each form, without the prefix of the scope
	short string   // one line
	long  string   // more, may be empty
	// scoped says that "goroutine N" and "frame M" may stand before it.
	scoped bool
	run    func(*runner, call) error
	// complete proposes ends for the arguments, as debugger.Scope.Complete does.
	complete func(*runner, call) (head string, proposals []string)
	live     string // why a dump cannot do it; run and complete are nil then
}

func (c *command) name() string { return c.names[0] }

// commands is the table of all commands. It is a function because commands refer
// to the table.
func commands() []*command { return table }

var table []*command

func init() {
	table = slices.Concat(dataCommands(), stackCommands(), goroutineCommands(), sourceCommands(), otherCommands(), liveCommands())
}

// find returns the command of that name or alias, nil if there is none.
func find(name string) *command {
	for _, c := range commands() {
		if slices.Contains(c.names, name) {
			return c
		}
	}
	return nil
}

// call runs the command that begins c.args.
func (r *runner) call(c call) error {
	name, args, _ := strings.Cut(strings.TrimSpace(c.args), " ")
	if i := strings.IndexByte(name, '\t'); i >= 0 {
		args = name[i:] + " " + args
		name = name[:i]
	}
	cmd := find(name)
	if cmd == nil {
		return unknown(name)
	}
	if cmd.live != "" {
		return errors.New(cmd.live)
	}
	c.args = strings.TrimSpace(args)
	return cmd.run(r, c)
}

// unknown is the error for a command that there is not.
func unknown(name string) error {
	best, least := "", 3 // more than two mistakes make another word
	for _, c := range commands() {
		if c.live != "" {
			continue
		}
		for _, n := range c.names {
			if len(n) < 3 {
				continue
			}
			d := distance(name, n)
			if strings.HasPrefix(n, name) && len(name) > 1 {
				d = 1
			}
			if d < least {
				best, least = n, d
			}
		}
	}
	if best != "" {
		return fmt.Errorf("command not available: %q; did you mean %s?", name, best)
	}
	return fmt.Errorf("command not available: %q; type help for the commands", name)
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	if len(a) > 32 || len(b) > 32 {
		return 32
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next := min(row[j]+1, row[j-1]+1, diagonal+cost)
			diagonal, row[j] = row[j], next
		}
	}
	return row[len(b)]
}

// word splits the first word off s.
func word(s string) (first, rest string) {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}
