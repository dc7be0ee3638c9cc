package repl

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

// complete proposes how to continue a line that ends at the cursor. head is what
// stands before what the proposals replace.
func (r *runner) complete(line string) (head string, proposals []string) {
	head, list := r.completeCall(call{scope: r.s.Scope(), args: line})
	// File names come from the user's disk, the rest from the dump; nothing that
	// a terminal acts on may be among them.
	list = slices.DeleteFunc(list, func(s string) bool { return debugger.Clean(s) != s })
	return head, list
}

func (r *runner) completeCall(c call) (head string, proposals []string) {
	trimmed := strings.TrimLeft(c.args, " \t")
	space := c.args[:len(c.args)-len(trimmed)]
	i := strings.IndexAny(trimmed, " \t")
	if i < 0 {
		return space, commandNames(trimmed)
	}
	cmd := find(trimmed[:i])
	if cmd == nil || cmd.complete == nil {
		return c.args, nil
	}
	rest := strings.TrimLeft(trimmed[i:], " \t")
	before := c.args[:len(c.args)-len(rest)]
	c.args = rest
	h, list := cmd.complete(r, c)
	return before + h, list
}

// commandNames returns the names of commands, not their short aliases, that
// begin with part.
func commandNames(part string) []string {
	var list []string
	for _, c := range commands() {
		if c.live != "" {
			continue
		}
		for i, n := range c.names {
			if strings.HasPrefix(n, part) && (i == 0 || len(n) > 2 || n == part) {
				list = append(list, n)
			}
		}
	}
	slices.Sort(list)
	return list
}

func prefixed(list []string, part string) []string {
	list = slices.DeleteFunc(list, func(s string) bool { return !strings.HasPrefix(s, part) })
	slices.Sort(list)
	return slices.Compact(list)
}

func completeExpr(_ *runner, c call) (string, []string) {
	verb := ""
	if strings.HasPrefix(c.args, "%") {
		i := strings.IndexByte(c.args, ' ')
		if i < 0 {
			return c.args, nil
		}
		verb, c.args = c.args[:i+1], c.args[i+1:]
	}
	head, list := c.scope.Complete(c.args)
	return verb + head, list
}

func completeVars(_ *runner, c call) (string, []string) {
	i := strings.LastIndexByte(c.args, ' ') + 1
	var names []string
	for _, v := range c.scope.Variables() {
		names = append(names, v.Name)
	}
	return c.args[:i], prefixed(names, c.args[i:])
}

func completeConfig(_ *runner, c call) (string, []string) {
	if strings.ContainsRune(c.args, ' ') {
		return c.args, nil
	}
	names := []string{"-list"}
	for _, s := range settings() {
		names = append(names, s.name)
	}
	return "", prefixed(names, c.args)
}

func completeHelp(_ *runner, c call) (string, []string) {
	return "", prefixed(append(commandNames(c.args), topicExpressions), c.args)
}

// completeFrame completes the command behind the number of frame (dir 0), up (1)
// or down (-1).
func completeFrame(dir int) func(*runner, call) (string, []string) {
	return func(r *runner, c call) (string, []string) {
		return r.completeBehind(c, func(n int64) (debugger.Scope, error) {
			if dir == 0 {
				return c.scope.AtFrame(int(n))
			}
			return c.scope.AtFrame(c.scope.FrameIndex() + dir*int(n))
		}, nil)
	}
}

// maxCompleteGoroutines is how many goroutines are proposed.
const maxCompleteGoroutines = 200

func completeGoroutine(r *runner, c call) (string, []string) {
	return r.completeBehind(c, r.s.AtGoroutine, func() []string {
		list, _ := r.s.Goroutines() // an error means fewer proposals
		var ids []string
		for _, g := range list[:min(len(list), maxCompleteGoroutines)] {
			ids = append(ids, strconv.FormatInt(g.ID, 10))
		}
		return ids
	})
}

func (r *runner) completeBehind(c call, at func(int64) (debugger.Scope, error), numbers func() []string) (string, []string) {
	i := strings.IndexByte(c.args, ' ')
	if i < 0 {
		if numbers == nil {
			return c.args, nil
		}
		return "", prefixed(numbers(), c.args)
	}
	n, err := strconv.ParseInt(c.args[:i], 10, 64)
	if err != nil {
		return c.args, nil
	}
	sc, err := at(n)
	if err != nil {
		return c.args, nil
	}
	head, list := r.completeCall(call{scope: sc, args: c.args[i+1:]})
	return c.args[:i+1] + head, list
}

func completeLocation(r *runner, c call) (string, []string) {
	files, _ := r.s.Reader().Sources() // an error means fewer proposals
	var names []string
	for _, f := range files {
		names = append(names, f[strings.LastIndexByte(f, '/')+1:]+":")
	}
	for _, f := range c.scope.Frames() {
		names = append(names, debugger.ShortFunc(f.Func))
	}
	return "", prefixed(names, c.args)
}

func completeFile(_ *runner, c call) (string, []string) {
	dir, base := filepath.Split(c.args)
	entries, err := os.ReadDir(expandHome(or(dir, ".")))
	if err != nil {
		return c.args, nil
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") && !strings.HasPrefix(base, ".") {
			continue
		}
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	return dir, prefixed(names, base)
}

// completePackageVars proposes full names of package variables.
func completePackageVars(r *runner, c call) (string, []string) {
	vars, _ := r.s.PackageVars(nil)
	var list []string
	for _, v := range vars {
		list = append(list, v.FullName())
	}
	return "", prefixed(list, c.args)
}
