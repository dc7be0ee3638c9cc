package debugger

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// PackageVar is a package variable that the dump has.
type PackageVar struct {
	Package string // import path
	Name    string
	Value   *Value
}

// FullName returns the name as dlv prints it: import path, dot, name.
func (v PackageVar) FullName() string { return Clean(v.Package + "." + v.Name) }

// maxPackageVars bounds the list of package variables, whose length a dump may lie
// about; the engine keeps 10,000.
const maxPackageVars = 1 << 18

// packageVarIndex finds package variables by name.
type packageVarIndex struct {
	names []packageVarName
	paths map[string]bool
	err   error
}

type packageVarName struct {
	pkg, name string
	number    int
}

func (s *Session) packageVarIndex() *packageVarIndex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vars != nil {
		return s.vars
	}
	x := &packageVarIndex{paths: map[string]bool{}}
	i := 0
	for v, err := range s.r.PackageVars() {
		if err != nil {
			x.err = fmt.Errorf("reading the package variables: %w", err)
			break // the numbers of those behind are not known
		}
		if i == maxPackageVars {
			break
		}
		x.names = append(x.names, packageVarName{v.Package, v.Name, i})
		x.paths[v.Package] = true
		i++
	}
	s.vars = x
	return x
}

// PackageVars returns the package variables whose full names match re (nil: all), in
// the order of the dump. What could be read is returned beside an error.
func (s *Session) PackageVars(re *regexp.Regexp) ([]PackageVar, error) {
	x := s.packageVarIndex()
	var list []PackageVar
	for i := range x.names {
		n := &x.names[i]
		v := PackageVar{Package: n.pkg, Name: n.name}
		if re != nil && !re.MatchString(v.FullName()) {
			continue
		}
		v.Value = s.packageVar(n)
		list = append(list, v)
	}
	return list, x.err
}

// NumPackageVars returns how many package variables the dump says to have.
func (s *Session) NumPackageVars() int { return s.r.NumPackageVars() }

func (s *Session) packageVar(n *packageVarName) *Value {
	name := baseOf(n.pkg) + "." + n.name
	v, err := s.r.PackageVarAt(n.number)
	if err != nil {
		return s.missing(origin{name: name}, nil, "unreadable: "+Clean(err.Error()))
	}
	x := s.view(&v.Value, origin{name: name, state: v.State, late: v.Late})
	if v.State == dump.VarMissing {
		if x.why = s.reasonText(v.Value.Reason, v.Value.Detail); x.why == "" {
			x.why = "missing"
		}
	}
	return x
}

// baseOf returns what a package is called in code, as far as its path tells: the last
// element, without a version ("/v2", ".v3").
func baseOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 && isVersion(path[i+1:]) {
		path = path[:i]
	}
	path = path[strings.LastIndexByte(path, '/')+1:]
	if i := strings.LastIndexByte(path, '.'); i > 0 && isVersion(path[i+1:]) {
		path = path[:i]
	}
	return path
}

func isVersion(s string) bool {
	return len(s) > 1 && s[0] == 'v' && strings.Trim(s[1:], "0123456789") == ""
}

// findPackageVar returns the variable of a package that is given by its whole path or
// by what it is called in code; nil if there is none.
func (s *Session) findPackageVar(pkg, name string) (*Value, error) {
	x := s.packageVarIndex()
	var found *packageVarName
	for i := range x.names {
		n := &x.names[i]
		if n.name != name {
			continue
		}
		if n.pkg == pkg {
			return s.packageVar(n), nil
		}
		if baseOf(n.pkg) != pkg {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%s.%s is ambiguous: %q.%s, %q.%s", Clean(pkg), Clean(name), found.pkg, Clean(name), n.pkg, Clean(name))
		}
		found = n
	}
	if found == nil {
		return nil, nil
	}
	return s.packageVar(found), nil
}

// hasPackage reports whether there are package variables of a package.
func (s *Session) hasPackage(pkg string) bool {
	x := s.packageVarIndex()
	if x.paths[pkg] {
		return true
	}
	for path := range x.paths {
		if baseOf(path) == pkg {
			return true
		}
	}
	return false
}

// ownPackageVar returns the variable of the scope's own package, nil if there is none.
func (sc Scope) ownPackageVar(name string) *Value {
	pkg := sc.pkg()
	if plain, err := url.PathUnescape(pkg); err == nil {
		pkg = plain // functions have their packages as the linker writes them
	}
	if pkg == "" || !sc.s.packageVarIndex().paths[pkg] {
		return nil
	}
	for i := range sc.s.vars.names {
		if n := &sc.s.vars.names[i]; n.pkg == pkg && n.name == name {
			return sc.s.packageVar(n)
		}
	}
	return nil
}

// packageVarNames returns the names of the variables of a package, given as for
// findPackageVar.
func (s *Session) packageVarNames(pkg string) []string {
	var names []string
	for _, n := range s.packageVarIndex().names {
		if n.pkg == pkg || baseOf(n.pkg) == pkg {
			names = append(names, n.name)
		}
	}
	return names
}

// packageNames returns what the packages with variables are called in code.
func (s *Session) packageNames() []string {
	var names []string
	for path := range s.packageVarIndex().paths {
		names = append(names, baseOf(path))
	}
	slices.Sort(names)
	return slices.Compact(names)
}
