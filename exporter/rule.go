package exporter

import (
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Rule says which failures get a dump. [ParseRule] makes one from text:
//
//	drop kind=client route=/healthz*
//	drop error=*net.OpError|*url.Error message="connection reset*"
//	keep package=example.com/shop/...
//	drop
//
// The first word says what becomes of a failure for which all conditions hold;
// of several rules the first that applies decides, and a failure to which none applies
// gets its dump. A condition is key=value. In a value * stands for anything, also
// for slashes; values that are joined by | are alternatives; a value with spaces is
// quoted, and within quotes a backslash takes the meaning from the character
// behind it.
//
//	trigger   panic or error_span
//	error     the type of the panic value or error, or of one that it wraps: *net.OpError, *net/url.Error
//	message   the message of one of these, or the description of the span's status
//	package   the import path of the innermost function on the stack that is not
//	          the standard library's; example.com/shop/... is that package and all below it
//	span      the span's name
//	kind      the span's kind: internal, server, client, producer, consumer
//	route     the span's http.route, else url.path or http.target
//	service   the service's name
//	scope     the name of the span's instrumentation scope
//	attr.x    the span's attribute x, as text
//
// A condition about something that a failure has not got does not hold. Rules are not
// asked about dumps that the program asks for.
//
// The zero Rule applies to nothing.
type Rule struct {
	action string
	conds  []condition
}

// condition holds if one of the patterns matches.
type condition struct {
	key    string
	values []glob
}

// The actions of rules.
const (
	ruleKeep = "keep"
	ruleDrop = "drop"
)

// The keys of conditions.
const (
	ruleTrigger = "trigger"
	ruleError   = "error"
	ruleMessage = "message"
	rulePackage = "package"
	ruleSpan    = "span"
	ruleKind    = "kind"
	ruleRoute   = "route"
	ruleService = "service"
	ruleScope   = "scope"
	ruleAttr    = "attr."
)

var ruleKeys = []string{ruleTrigger, ruleError, ruleMessage, rulePackage, ruleSpan, ruleKind, ruleRoute, ruleService, ruleScope}

// ParseRule reads a rule. The error names the word that is wrong.
func ParseRule(s string) (Rule, error) {
	rest := strings.TrimLeft(s, ruleSpace)
	end := strings.IndexAny(rest, ruleSpace)
	if end < 0 {
		end = len(rest)
	}
	r := Rule{action: rest[:end]}
	switch r.action {
	case ruleKeep, ruleDrop:
	case "":
		return Rule{}, fmt.Errorf("a rule is empty: want drop or keep, and conditions like kind=client")
	default:
		return Rule{}, fmt.Errorf("rule %q: begins with %q, want drop or keep", s, r.action)
	}
	for {
		rest = strings.TrimLeft(rest[end:], ruleSpace)
		if rest == "" {
			return r, nil
		}
		c, n, err := parseCondition(rest)
		if err != nil {
			return Rule{}, fmt.Errorf("rule %q: %w", s, err)
		}
		r.conds = append(r.conds, c)
		end = n
	}
}

const ruleSpace = " \t\r\n"

// parseCondition reads a condition from the beginning of s, and returns how
// long it is.
func parseCondition(s string) (c condition, n int, err error) {
	n = strings.IndexAny(s, "="+ruleSpace)
	if n < 0 {
		n = len(s)
	}
	if n == len(s) || s[n] != '=' {
		return c, 0, fmt.Errorf("%q is no condition, want one like kind=client", s[:n])
	}
	c.key = s[:n]
	attr, isAttr := strings.CutPrefix(c.key, ruleAttr)
	switch {
	case isAttr && (attr == "" || strings.ContainsAny(attr, `"|`)), !isAttr && !slices.Contains(ruleKeys, c.key):
		return c, 0, fmt.Errorf("%q is no condition; there are %s and attr.<name>", c.key, strings.Join(ruleKeys, ", "))
	}
	for {
		start := n + 1
		var g glob
		if g, n, err = parseGlob(s, start); err != nil {
			return c, 0, fmt.Errorf("%s: %w", c.key, err)
		}
		if n == start {
			return c, 0, fmt.Errorf("%s: a value is missing; an empty one is written \"\"", c.key)
		}
		if err := checkValue(c.key, g); err != nil {
			return c, 0, err
		}
		c.values = append(c.values, g)
		if n == len(s) || s[n] != '|' {
			return c, n, nil
		}
	}
}

// checkValue reports a value that the condition can never have.
func checkValue(key string, g glob) error {
	text, plain := g.plain()
	if !plain {
		return nil
	}
	var known []string
	switch key {
	case ruleKind:
		for k := trace.SpanKindInternal; k <= trace.SpanKindConsumer; k++ {
			known = append(known, k.String())
		}
	case ruleTrigger:
		known = []string{string(dump.TriggerPanic), string(dump.TriggerErrorSpan)}
	default:
		return nil
	}
	if slices.Contains(known, text) {
		return nil
	}
	return fmt.Errorf("%s: %q is none of %s", key, text, strings.Join(known, ", "))
}

// parseGlob reads a value that begins at s[n], and returns where it ends.
func parseGlob(s string, n int) (glob, int, error) {
	g := glob{""}
	last := func() *string { return &g[len(g)-1] }
	for n < len(s) {
		switch c := s[n]; {
		case c == '"':
			quoted := false
			for n++; n < len(s); n++ {
				switch c := s[n]; {
				case c == '"':
					quoted = true
				case c == '*':
					g = append(g, "")
					continue
				case c == '\\' && n+1 < len(s):
					n++
					*last() += s[n : n+1]
					continue
				default:
					*last() += s[n : n+1]
					continue
				}
				break
			}
			if !quoted {
				return nil, n, fmt.Errorf("a quote is not closed")
			}
			n++
		case c == '*':
			g = append(g, "")
			n++
		case c == '|' || strings.IndexByte(ruleSpace, c) >= 0:
			return g, n, nil
		default:
			*last() += s[n : n+1]
			n++
		}
	}
	return g, n, nil
}

// String returns the rule as ParseRule reads it.
func (r Rule) String() string {
	var b strings.Builder
	b.WriteString(r.action)
	for _, c := range r.conds {
		b.WriteString(" " + c.key)
		sep := byte('=')
		for _, g := range c.values {
			b.WriteByte(sep)
			b.WriteString(g.String())
			sep = '|'
		}
	}
	return b.String()
}

// glob is a pattern: the texts between its stars. So one without a star has one
// text, and "*" has two empty ones.
type glob []string

// plain returns the text of a glob without stars.
func (g glob) plain() (string, bool) {
	if len(g) == 1 {
		return g[0], true
	}
	return "", false
}

func (g glob) String() string {
	bare := !(len(g) == 1 && g[0] == "")
	for _, part := range g {
		bare = bare && !strings.ContainsAny(part, `"|*\`+ruleSpace)
	}
	if bare {
		return strings.Join(g, "*")
	}
	quote := strings.NewReplacer(`"`, `\"`, `\`, `\\`, `*`, `\*`)
	parts := make([]string, len(g))
	for i, part := range g {
		parts[i] = quote.Replace(part)
	}
	return `"` + strings.Join(parts, "*") + `"`
}

// match reports whether the whole of s is what g stands for.
func (g glob) match(s string) bool {
	if len(g) == 1 {
		return s == g[0]
	}
	s, ok := strings.CutPrefix(s, g[0])
	if !ok {
		return false
	}
	for _, part := range g[1 : len(g)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, g[len(g)-1])
}

// matchType reports whether g stands for a type, which the SDK writes as
// "*url.Error" if it is a pointer, but "net/url.Error" if not. A star at the
// beginning is a pointer's if a package follows.
func (g glob) matchType(t string) bool {
	if len(g) > 1 && g[0] == "" && strings.IndexByte(g[1], '.') > 0 {
		rest, ok := strings.CutPrefix(t, "*")
		return ok && g[1:].matchName(rest)
	}
	return g.matchName(t)
}

// matchName does the same without the pointer's star, as far as g has one.
func (g glob) matchName(t string) bool {
	if g.match(t) || g.match(shortType(t)) {
		return true
	}
	if p, plain := g.plain(); plain && !strings.Contains(t, "/") {
		return shortType(p) == t
	}
	return false
}

// matchPackage reports whether g stands for an import path.
func (g glob) matchPackage(pkg string) bool {
	if p, plain := g.plain(); plain {
		if tree, ok := strings.CutSuffix(p, "/..."); ok {
			rest, ok := strings.CutPrefix(pkg, tree)
			return ok && (rest == "" || rest[0] == '/')
		}
	}
	return g.match(pkg)
}

// rules are the rules of a configuration.
type rules []Rule

func newRules(list []Rule) rules {
	return slices.DeleteFunc(slices.Clone(list), func(r Rule) bool { return r.action == "" })
}

// answer is whether something is so.
type answer uint8

const (
	no answer = iota
	maybe
	yes
)

// drop reports whether the rules leave f out. If that depends on what is not
// known before phase one, they do not yet. all says that they leave out every
// failure with the same fingerprint: nothing decided that another one may have
// otherwise.
func (e *Exporter) drop(f *failure) (drop, all bool) {
	all = true
	for i := range e.rules {
		r := &e.rules[i]
		applies, alike := yes, true
		for j := range r.conds {
			c := &r.conds[j]
			holds := e.holds(c, f)
			if holds == no && c.alike() {
				applies, alike = no, true // whatever else
				break
			}
			applies, alike = min(applies, holds), alike && c.alike()
		}
		all = all && alike
		switch applies {
		case yes:
			return r.action == ruleDrop, all
		case maybe:
			return false, false
		}
	}
	return false, false
}

// alike reports whether the condition holds for all failures with one
// fingerprint or for none.
func (c *condition) alike() bool {
	switch c.key {
	case ruleTrigger, ruleError, ruleSpan, ruleKind, ruleScope, ruleService, rulePackage:
		return true
	}
	return false
}

// holds reports whether a condition holds.
func (e *Exporter) holds(c *condition, f *failure) answer {
	any := func(match func(g glob) bool) answer {
		if slices.ContainsFunc(c.values, match) {
			return yes
		}
		return no
	}
	text := func(s string) answer { return any(func(g glob) bool { return g.match(s) }) }
	unless := no // what it means that nothing matches
	if !f.complete {
		unless = maybe
	}
	switch c.key {
	case ruleTrigger:
		return text(string(f.trigger))
	case ruleService:
		return text(e.service(f))
	case rulePackage:
		pkg := packageAt(e.locate(f).user)
		if pkg == "" {
			return no
		}
		return any(func(g glob) bool { return g.matchPackage(pkg) })
	case ruleError:
		for i := range f.chain {
			if t := f.chain[i].Type; t != "" && any(func(g glob) bool { return g.matchType(t) }) == yes {
				return yes
			}
		}
		return unless
	case ruleMessage:
		for i := range f.chain {
			if text(f.chain[i].Message) == yes {
				return yes
			}
		}
		if f.span != nil && text(f.span.Status().Description) == yes {
			return yes
		}
		return unless
	}
	if f.span == nil {
		return no
	}
	switch c.key {
	case ruleSpan:
		return text(f.span.Name())
	case ruleKind:
		return text(f.span.SpanKind().String())
	case ruleScope:
		return text(f.span.InstrumentationScope().Name)
	case ruleRoute:
		for _, name := range []string{"http.route", "url.path", "http.target"} {
			if v, ok := attributeOf(f, name); ok {
				return text(v)
			}
		}
		return no
	}
	if v, ok := attributeOf(f, strings.TrimPrefix(c.key, ruleAttr)); ok {
		return text(v)
	}
	return no
}

// attributeOf returns an attribute of the failing span as text.
func attributeOf(f *failure, name string) (string, bool) {
	kvs := f.span.Attributes()
	for i := len(kvs) - 1; i >= 0; i-- {
		if string(kvs[i].Key) == name {
			return kvs[i].Value.String(), true
		}
	}
	return "", false
}

// unwanted reports whether the configuration leaves f out, as far as it is
// known by now, and whether it then leaves out all failures with the same fingerprint.
func (e *Exporter) unwanted(f *failure) (unwanted, all bool) {
	switch {
	case f.fresh:
		return false, false
	case e.exclude.matchAny(f.chain), e.sentinels.match(f):
		return true, true
	}
	return e.drop(f)
}
