package debugger

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Line is one line of source.
type Line struct {
	N    int
	Text string // without its line break; may hold tabs, but no other control character
}

// ErrNoSource is wrapped by errors about source lines that a dump has not got.
var ErrNoSource = errors.New("the dump has no source lines there")

// Lines returns the stored lines from first to last of the file, both included;
// lines that were not stored are left out. It is an error that wraps
// [ErrNoSource] if none of them was.
func (s *Session) Lines(file string, first, last int) ([]Line, error) {
	src, err := s.r.Source(file)
	if err != nil && !errors.Is(err, dump.ErrNotFound) {
		return nil, fmt.Errorf("reading the source of %s: %w", Clean(file), err)
	}
	var lines []Line
	if src != nil && err == nil {
		for _, b := range src.Blocks {
			for i, text := range b.Lines {
				if n := b.First + i; n >= first && n <= last {
					lines = append(lines, Line{n, clean(strings.TrimRight(text, "\r\n"), "\t")})
				}
			}
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%w: %s:%d", ErrNoSource, Clean(file), (first+last)/2)
	}
	return lines, nil
}

// maxCandidates is how many candidates an error about an ambiguous location
// names, as in dlv.
const maxCandidates = 5

// Find returns the place that a location means, in the notation of dlv:
//
//	<line>, +<n>, -<n>      in the scope's file, absolute or from its line
//	<file>:<line>           the file by its name, or by the end of its path
//	<function>[:<n>]        the beginning of a function, or n lines after it
//
// A function is known if it has a frame in the dump. Its package, and its
// receiver, can be left out as long as the name stays unambiguous.
func (sc Scope) Find(spec string) (Source, error) {
	spec = strings.TrimSpace(spec)
	notFound := fmt.Errorf("location %q not found", spec)
	if spec == "" {
		return Source{}, errors.New("empty location")
	}
	if n, err := strconv.Atoi(spec); err == nil {
		f := sc.Frame()
		if f == nil {
			return Source{}, errNoGoroutine
		}
		if spec[0] == '+' || spec[0] == '-' {
			n += f.Line
		}
		if n < 1 {
			return Source{}, notFound
		}
		return Source{f.File, n}, nil
	}
	base, line := spec, 0
	if i := strings.LastIndexByte(spec, ':'); i > 0 {
		n, err := strconv.Atoi(strings.TrimPrefix(spec[i+1:], "+"))
		if err != nil || n < 0 {
			return Source{}, fmt.Errorf("malformed location %q: %q is not a line number", spec, spec[i+1:])
		}
		base, line = spec[:i], n
		if file, err := sc.s.findFile(base); err != nil {
			return Source{}, err
		} else if file != "" {
			return Source{file, line}, nil
		}
	}
	at, err := sc.s.findFunc(base)
	if err != nil {
		return Source{}, err
	}
	if at == (Source{}) {
		return Source{}, notFound
	}
	at.Line += line
	return at, nil
}

// findFile returns the stored file that name means, "" if there is none.
func (s *Session) findFile(name string) (string, error) {
	files, err := s.r.Sources()
	if err != nil && len(files) == 0 {
		return "", fmt.Errorf("reading the list of source files: %w", err)
	}
	name = path.Clean(strings.ReplaceAll(name, `\`, "/"))
	var found []string
	for _, f := range files {
		p := strings.ReplaceAll(f, `\`, "/")
		if p == name {
			return f, nil
		}
		if strings.HasSuffix(p, "/"+strings.TrimPrefix(name, "./")) {
			found = append(found, f)
		}
	}
	return one(name, found)
}

func one(name string, found []string) (string, error) {
	slices.Sort(found)
	found = slices.Compact(found)
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	more := ""
	if len(found) > maxCandidates {
		found, more = found[:maxCandidates], "…"
	}
	return "", fmt.Errorf("location %q ambiguous: %s%s", name, Clean(strings.Join(found, ", ")), more)
}

// functions returns the functions that have a frame in the dump, by full name.
func (s *Session) functions() map[string]Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.funcs != nil {
		return s.funcs
	}
	funcs := map[string]Source{}
	for g, err := range s.r.Goroutines() {
		if err != nil {
			continue // others may be whole
		}
		for i := range g.Frames {
			f := &g.Frames[i]
			at := Source{f.File, f.FuncLine}
			if at.Line == 0 {
				at.Line = f.Line
			}
			if _, ok := funcs[f.Func]; !ok {
				funcs[f.Func] = at
			}
		}
	}
	s.funcs = funcs
	return funcs
}

// findFunc returns where the function that name means begins, the zero Source
// if there is none.
func (s *Session) findFunc(name string) (Source, error) {
	funcs := s.functions()
	if at, ok := funcs[name]; ok {
		return at, nil
	}
	want := plainFunc(name)
	var found []string
	for f := range funcs {
		plain := plainFunc(f)
		if strings.HasSuffix(plain, want) && len(plain) > len(want) {
			if c := plain[len(plain)-len(want)-1]; c == '.' || c == '/' {
				found = append(found, f)
			}
		} else if plain == want {
			found = append(found, f)
		}
	}
	f, err := one(name, found)
	if f == "" || err != nil {
		return Source{}, err
	}
	return funcs[f], nil
}

// plainFunc returns a function's name without the marks round a receiver, so
// that "store.(*Store).Get" and "store.Store.Get" are alike.
func plainFunc(name string) string {
	return strings.NewReplacer("(*", "", ")", "", "(", "").Replace(name)
}
