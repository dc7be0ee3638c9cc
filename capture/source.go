package capture

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// sources collects which lines of which files a dump wants.
type sources struct {
	around int
	lines  map[string][]int
	order  []string
}

const (
	maxSourceFiles = 200
	maxSourceSize  = 8 << 20 // of a file that is read
	maxSourceLine  = 1000    // bytes
)

func newSources(around int) *sources { return &sources{around: around, lines: map[string][]int{}} }

// want notes a line. Only absolute names are read: with -trimpath a name says
// nothing of where the file is.
func (s *sources) want(file string, line int) {
	if s.around < 0 || line <= 0 || !filepath.IsAbs(file) {
		return
	}
	if _, ok := s.lines[file]; !ok {
		if len(s.order) >= maxSourceFiles {
			return
		}
		s.order = append(s.order, file)
	}
	s.lines[file] = append(s.lines[file], line)
}

// read reads the files that can be read.
func (s *sources) read(end deadline) []dump.Source {
	var out []dump.Source
	for _, file := range s.order {
		if end.passed() {
			break
		}
		if src, ok := s.readFile(file); ok {
			out = append(out, src)
		}
	}
	return out
}

func (s *sources) readFile(file string) (dump.Source, bool) {
	fi, err := os.Stat(file)
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > maxSourceSize {
		return dump.Source{}, false
	}
	f, err := os.Open(file)
	if err != nil {
		return dump.Source{}, false
	}
	defer f.Close()
	lines := s.lines[file]
	slices.Sort(lines)
	src := dump.Source{File: file}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	last := lines[len(lines)-1] + s.around
	for n := 1; n <= last && sc.Scan(); n++ {
		for len(lines) > 0 && n > lines[0]+s.around {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			break
		}
		if n < lines[0]-s.around {
			continue
		}
		b := sc.Bytes()
		text := string(b[:min(len(b), maxSourceLine)])
		if k := len(src.Blocks) - 1; k >= 0 && src.Blocks[k].First+len(src.Blocks[k].Lines) == n {
			src.Blocks[k].Lines = append(src.Blocks[k].Lines, text)
		} else {
			src.Blocks = append(src.Blocks, dump.SourceBlock{First: n, Lines: []string{text}})
		}
	}
	return src, len(src.Blocks) > 0
}
