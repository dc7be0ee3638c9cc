package capture

import "strings"

// dictionary returns the address of the dictionary that a generic function was called
// with: the table of its type arguments' types and of those made of them
// (cmd/compile/internal/noder/reader.go). The compiler describes no place for it in
// optimised builds, but the caller has its address among the instructions that
// prepare the call, if it knows the type arguments itself. 0: unknown.
func (l *locator) dictionary(f *frame) uint64 {
	prefix := dictionaryPrefix(f.fn.name)
	if prefix == "" {
		return 0
	}
	if f.returnPC != 0 {
		const before = 160 // bytes of code
		code := l.arena.alloc(before)
		if l.mem.ReadAt(code, f.returnPC-before) == nil {
			// The dictionary is the first argument, or the second behind a receiver.
			m := &l.types.module
			a := lastLoaded(code, f.returnPC-before, strings.Contains(f.fn.name, "]).") || strings.Contains(f.fn.name, "]."),
				func(pc uint64) bool { return pc >= m.text && pc < m.etext })
			if a != 0 && strings.HasPrefix(l.di.dicts.name(a), prefix) {
				return a
			}
		}
	}
	return l.di.dicts.only(prefix)
}

// dictionaryPrefix is what the symbols of a generic function's dictionaries begin with:
// "pkg..dict.F[" for pkg.F[…], "pkg..dict.T[" for the methods of pkg.T[…].
func dictionaryPrefix(fn string) string {
	name, _, ok := strings.Cut(fn, "[")
	if !ok {
		return ""
	}
	pkg := packageOf(fn)
	if len(pkg) >= len(name) {
		return ""
	}
	name = strings.TrimPrefix(name[len(pkg)+1:], "(*")
	if strings.Contains(name, ".") {
		return "" // a closure
	}
	return pkg + "..dict." + name + "["
}
