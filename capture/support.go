package capture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// TypeSupport says how the values of a type are shown in a dump, and what of them need not be
// captured. It is for types whose fields do not speak for themselves: an amount that is a number
// of cents, an ID that is sixteen bytes.
//
// It adds to what a dump has of a value: the fields are there as ever.
type TypeSupport struct {
	// Describe describes one value of the type. It runs after the failure, in phase two, on a
	// goroutine of the capture's own, and sees the copy that was made: it must read v and nothing else, keep neither v nor d,
	// and need no lock. It is called for every value of the type in every dump, so it should be quick.
	//
	// It may be called with anything: a value that is cut, partly known, torn
	// by a concurrent write, of another version of the type. What it cannot read it should leave undescribed:
	// a call that sets nothing leaves the value as if there were no support.
	//
	// A panic is contained and counted in the dump's header. So is a call that takes too many steps; one that
	// does not return for a second is given up, and its support is not used again in this
	// process. All of it counts against Config.Timeout: when that is over, a call is left alone and no other is
	// made in that dump. Nothing helps against a stack overflow.
	//
	// nil describes nothing.
	Describe func(v View, d *Description)
	// Leave names the fields of a struct type whose pointers, strings and so on
	// are not followed from here: what is large and says little.
	Leave []string
	// Near names the fields of a struct type that are followed without a step of [Config.Depth], because the value
	// means nothing without them.
	Near []string

	// follow adds to a walk what a value with the bytes data leads to and its type does not say.
	follow func(w *walker, t *typ, data []byte, depth uint8, name string, secret bool)
}

// Description is what a type support says of a value.
type Description struct {
	summary string
	kids    []describedChild
	full    bool
}

type describedChild struct {
	name string
	text string
	v    View
}

const (
	maxSummary  = 1024
	maxChildren = 64
)

// Summary sets the value's description in one line, as its String method might have it. It is redacted like any text,
// and cut at 1,024 bytes.
func (d *Description) Summary(s string) {
	d.summary = strings.Clone(clip(strings.ToValidUTF8(clip(s, maxSummary), "\uFFFD"), maxSummary))
}

// Child adds a named value that is part of v, or that v leads to. There may be 64
// of Child and Text together; more are left out, and a last one says so.
func (d *Description) Child(name string, v View) { d.add(name, "", v) }

// Text adds a named text.
func (d *Description) Text(name, text string) {
	d.add(name, text, View{})
}

func (d *Description) add(name, text string, v View) {
	if len(d.kids) >= maxChildren {
		d.full = true
		return
	}
	d.kids = append(d.kids, describedChild{name: strings.Clone(clip(name, 256)), text: strings.Clone(clip(text, maxSummary)), v: v})
}

func clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// RegisterType has the values of some types described by s, in dumps of engines that are made
// afterwards: call it from init, or before Install. It is safe for concurrent use.
//
// The pattern is the full name of a defined type, with its package path and, of a generic type, its type
// arguments: "time.Time", "github.com/acme/shop/money.Amount", "main.Pair[string,int]". A * stands for any characters,
// also none: "github.com/acme/*.ID", "sync/atomic.Pointer[*]". Pointers to the type need no pattern of their own.
//
// Of several patterns that match a type the one counts that is registered, before those built in; then the one without a *;
// then the one with the most characters besides; then the last. An error says that the pattern is not one.
func RegisterType(pattern string, s TypeSupport) error {
	e, err := newSupport(pattern, s)
	if err != nil {
		return err
	}
	registered.Lock()
	defer registered.Unlock()
	registered.list = append(registered.list, e)
	return nil
}

var registered struct {
	sync.Mutex
	list []*support
}

// support is a registered TypeSupport.
type support struct {
	TypeSupport
	pattern string
	builtin bool
	broken  atomic.Bool // it did not return
}

func newSupport(pattern string, s TypeSupport) (*support, error) {
	if !strings.Contains(pattern, ".") || strings.ContainsAny(pattern, " \t\n") && !strings.Contains(pattern, "[") || pattern[0] == '[' {
		return nil, fmt.Errorf("capture: %q is not the name of a defined type with its package path, like %q or %q", pattern, "time.Time", "example.com/shop/*.ID")
	}
	return &support{TypeSupport: s, pattern: pattern}, nil
}

// supportSet finds the support of a type.
type supportSet struct {
	exact    map[string]*support
	patterns []*support // the first that matches counts
	broad    []*support // of those built in
	// For types that their fields tell.
	message, embedding *support
}

// newSupportSet makes a set of those that are registered now.
func newSupportSet() *supportSet {
	registered.Lock()
	list := slices.Clone(registered.list)
	registered.Unlock()
	s := &supportSet{exact: map[string]*support{}, message: messageSupport.support(), embedding: embeddingSupport.support()}
	slices.Reverse(list) // the last of those that are alike first
	for _, e := range list {
		if strings.Contains(e.pattern, "*") {
			s.patterns = append(s.patterns, e)
		} else if s.exact[e.pattern] == nil {
			s.exact[e.pattern] = e
		}
	}
	bySpecific := func(a, b *support) int {
		lit := func(e *support) int { return len(e.pattern) - strings.Count(e.pattern, "*") }
		return cmp.Compare(lit(b), lit(a))
	}
	slices.SortStableFunc(s.patterns, bySpecific)
	for _, e := range builtinSupports() {
		if strings.Contains(e.pattern, "*") {
			s.broad = append(s.broad, e)
		} else if s.exact[e.pattern] == nil && s.match(s.patterns, e.pattern) == nil {
			s.exact[e.pattern] = e
		}
	}
	slices.SortStableFunc(s.broad, bySpecific)
	return s
}

func (s *supportSet) match(list []*support, name string) *support {
	for _, e := range list {
		if glob(e.pattern, name) {
			return e
		}
	}
	return nil
}

// of returns the support of a type, nil if there is none.
func (s *supportSet) of(t *typ) *support {
	if !t.named || t.opaque || s == nil {
		return nil
	}
	if e := s.exact[t.name]; e != nil {
		return e
	}
	if e := s.match(s.patterns, t.name); e != nil {
		return e
	}
	if e := s.match(s.broad, t.name); e != nil {
		return e
	}
	return s.byShape(t)
}

// glob reports whether a name is as a pattern has it, in which * stands for any characters.
func glob(pattern, name string) bool {
	star, back := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, back = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			back++
			p, n = star+1, back
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// attach gives a type its support. The fields are known already; the table's lock is held.
func (t *typ) attach() {
	t.support = t.table.supports.of(t)
	if t.support == nil || t.kind != dump.Struct {
		return
	}
	for i := range t.fields {
		f := &t.fields[i]
		f.left = slices.Contains(t.support.Leave, f.name)
		f.near = slices.Contains(t.support.Near, f.name)
	}
}

// appendMore lists the values inside of one of type t, itself included, whose supports follow what
// their types do not say.
func (t *typ) appendMore() (s []slot) {
	if t.support != nil && t.support.follow != nil {
		s = append(s, slot{typ: t})
	}
	switch t.kind {
	case dump.Struct:
		for i := range t.fields {
			f := &t.fields[i]
			if f.left {
				continue
			}
			for _, m := range f.typ.more {
				m.off += f.off
				if m.name == "" {
					m.name, m.secret = f.name, t.table.isSecret(f.name)
				}
				s = append(s, m)
			}
		}
	case dump.Array:
		if t.elem == nil || len(t.elem.more) == 0 || t.len*int64(len(t.elem.more)) > maxFlatSlots {
			break
		}
		for i := range uint64(t.len) {
			for _, m := range t.elem.more {
				m.off += i * t.elem.size
				s = append(s, m)
			}
		}
	}
	return s
}

// followMore adds what supports know of a value of type t with the bytes data.
func (w *walker) followMore(t *typ, data []byte, depth uint8, name string) {
	for i := range t.more {
		s := &t.more[i]
		if s.off+s.typ.size > uint64(len(data)) {
			return
		}
		n := s.name
		if n == "" {
			n = name
		}
		s.typ.support.follow(w, s.typ, data[s.off:s.off+s.typ.size], depth, n, s.secret)
	}
}
