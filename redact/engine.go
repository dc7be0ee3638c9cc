package redact

import (
	"fmt"
	"hash/maphash"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

// Lookahead is how many bytes more than it keeps a caller should hand to
// [Engine.Apply] if it cuts texts at a limit, so that a secret that crosses the
// limit is still seen whole. Cut what Apply returns, not what it gets.
const Lookahead = 4096

// Config says what an [Engine] redacts. Start from [DefaultConfig]: the zero
// Config redacts nothing.
type Config struct {
	// Secrets switches the built-in name and pattern rules on (see [Rules]).
	Secrets bool
	// Environ switches on that values of environment variables are redacted.
	Environ bool
	// EnvironMinLength is the length, in bytes, from which the values of
	// environment variables count; 0 is 9. Values of variables with
	// secret names (DB_PASSWORD) count from 4, or from here if this is less.
	EnvironMinLength int
	// EnvironAllow names variables whose values are left alone, besides those
	// that are by default (PATH, HOME, LANG and others). A * at either end
	// stands for anything.
	EnvironAllow []string
	// EnvironFilter, if not nil, decides about each variable in the end. It gets
	// what the other settings say and returns whether the value is
	// to be hidden. It is called by New and by RefreshEnviron, never twice at
	// once, and must not call the Engine. If it panics the value is hidden.
	EnvironFilter func(name, value string, hide bool) bool
	// Env is the environment at the start, in the form of os.Environ; nil means
	// os.Environ().
	Env []string
	// Patterns are regular expressions (RE2, as in package regexp) for more to
	// redact, anywhere in a text. Their rules are pattern-1, pattern-2, …
	Patterns []string
	// Names are more names of secrets. A name matches in any spelling
	// (customerRef, customer_ref, Customer-Ref) and at the end of a longer one
	// (billing.customerRef).
	Names []string
	// AllowNames are names that are no secrets, whatever the rules say, matched
	// in the same way. A pattern may still hit their values.
	AllowNames []string
	// Disable lists IDs of built-in rules to switch off.
	Disable []string
}

// DefaultConfig returns the configuration that otelcoredumpy starts with: all
// built-in rules, and the environment.
func DefaultConfig() Config {
	return Config{Secrets: true, Environ: true, EnvironMinLength: defaultEnvironMin}
}

// Engine applies the rules to texts. It is safe for concurrent use.
type Engine struct {
	cfg      Config
	on       [numRanks]bool
	runs     bool // a rule of runs.go is on
	plain    bool // there are neither patterns nor extra redactors
	names    names
	patterns []pattern
	extra    []Redactor
	env      environ
	m        atomic.Pointer[matcher]
}

// New returns an Engine for cfg. The extra redactors run after the built-in
// rules, in their order. It is an error if a pattern is no regular
// expression, if a rule or a name is unknown or malformed, or if a length
// is negative; the error names it.
func New(cfg Config, extra ...Redactor) (*Engine, error) {
	e := &Engine{cfg: cfg, extra: slices.Clone(extra)}
	for i, r := range extra {
		if r == nil {
			return nil, fmt.Errorf("redact: redactor %d is nil", i+1)
		}
	}
	if cfg.EnvironMinLength < 0 {
		return nil, fmt.Errorf("redact: environ_min_length is %d, want 0 (for %d) or more", cfg.EnvironMinLength, defaultEnvironMin)
	}
	if cfg.EnvironMinLength == 0 {
		e.cfg.EnvironMinLength = defaultEnvironMin
	}
	for i, p := range cfg.Patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("redact: pattern-%d %q: %w", i+1, p, err)
		}
		e.patterns = append(e.patterns, pattern{fmt.Sprintf("pattern-%d", i+1), re})
	}
	for rank, r := range ruleTable {
		e.on[rank] = r.ID != "" && r.Default && cfg.Secrets
	}
	e.on[rankEnviron] = cfg.Environ
	for _, id := range cfg.Disable {
		rank := slices.IndexFunc(ruleTable[:], func(r RuleInfo) bool { return r.ID == id })
		if rank < 0 || id == "" {
			return nil, fmt.Errorf("redact: no rule %q to disable", id)
		}
		e.on[rank] = false
	}
	e.runs = e.on[rankGenericToken] || e.on[rankTwilio]
	e.plain = len(e.patterns) == 0 && len(e.extra) == 0
	e.names.cache.seed = maphash.MakeSeed()
	for _, list := range []struct {
		names  []string
		secret bool
	}{{cfg.Names, true}, {cfg.AllowNames, false}} {
		for _, n := range list.names {
			joined := joinName(n)
			if joined == "" {
				return nil, fmt.Errorf("redact: %q is no name: want letters and digits, at most %d bytes", n, maxName)
			}
			if e.names.extra == nil {
				e.names.extra = map[string]bool{}
			}
			e.names.extra[joined] = list.secret
		}
	}
	e.env.seed = maphash.MakeSeed()
	e.env.index = map[string]int{}
	e.m.Store(newMatcher(e, nil))
	env := cfg.Env
	if env == nil && cfg.Environ {
		env = os.Environ()
	}
	e.cfg.Env = nil
	e.RefreshEnviron(env)
	return e, nil
}

// SecretName reports whether name, of a variable, field, map key, header and
// so on, is that of a secret, and the rule that says so. Callers use it for values
// that are not text, such as a PIN kept as a number.
func (e *Engine) SecretName(name string) (rule string, ok bool) {
	if name == "" {
		return "", false
	}
	class := e.names.info(name).class
	if class == notSecret || !e.on[rankNames+int(class)] {
		return "", false
	}
	return classRules[class].ID, true
}

// keyClass is the class of a key in a text. Keys are not put in the cache, as
// they come from anywhere.
func (e *Engine) keyClass(key string) nameClass {
	class := e.names.classify(key).class
	if class != notSecret && !e.on[rankNames+int(class)] {
		return notSecret
	}
	return class
}

// maxRounds bounds how often a text is looked at again. A second look may find
// what only the removal of the first secret laid bare.
const maxRounds = 8

// Apply returns t.Value with a [Marker] in place of every secret, and what was
// found: in order, not overlapping, with offsets in t.Value. If nothing was
// found out is t.Value itself and found is nil. Applying it to out again finds nothing
// more.
func (e *Engine) Apply(t Text) (out string, found []Finding) {
	if t.Value == "" {
		return t.Value, nil
	}
	digest := false
	if t.Name != "" {
		info := e.names.info(t.Name)
		digest = info.digest && info.class == notSecret
		if info.class != notSecret && e.on[rankNames+int(info.class)] && nameCounts(&t, info) {
			return whole(t.Value, classRules[info.class].ID)
		}
	}
	m := e.m.Load()
	if len(t.Value) < minRun && e.plain && !m.auto.hits(t.Value) {
		return t.Value, nil // most texts of a dump
	}
	return e.look(t, m, digest)
}

// look is Apply for texts that a rule may find something in.
func (e *Engine) look(t Text, m *matcher, digest bool) (string, []Finding) {
	sc := scan{e: e, m: m, s: t.Value, site: t.Site, digest: digest}
	sc.nul = t.Site == SiteCommandLine && strings.IndexByte(t.Value, 0) >= 0
	sc.all()
	if sc.failed {
		return whole(t.Value, RuleInternal)
	}
	for _, r := range e.extra {
		if !sc.ask(r, t) {
			return whole(t.Value, RulePanic)
		}
	}
	if len(sc.found) == 0 {
		return t.Value, nil
	}
	return e.replace(t.Value, &sc)
}

// nameCounts reports whether a secret name hides the value where it stands.
func nameCounts(t *Text, info nameInfo) bool {
	switch t.Site {
	case SiteSource, SitePath, SiteSymbol:
		return false
	}
	if info.workingDir && (t.Value[0] == '/' || len(t.Value) > 2 && t.Value[1] == ':' && t.Value[2] == '\\') {
		return false
	}
	return markerAt(t.Value, 0) != len(t.Value)
}

// ask has an extra redactor look at the text. It reports false if that
// panicked.
func (sc *scan) ask(r Redactor, t Text) (ok bool) {
	defer func() {
		if !ok {
			_ = recover()
		}
	}()
	for _, f := range r.Redact(t) {
		start, end := max(f.Start, 0), min(f.End, len(t.Value))
		if start < end {
			sc.found = append(sc.found, span{start, end, numRanks, cleanRule(f.Rule)})
		}
	}
	return true
}

// whole redacts all of a text.
func whole(s, rule string) (string, []Finding) {
	return Marker(rule, len(s)), []Finding{{rule, 0, len(s)}}
}

// replace puts markers in place of what was found, and looks at the result again until
// nothing more is found.
func (e *Engine) replace(s string, first *scan) (string, []Finding) {
	spans := first.settle()
	out := ""
	for round := 0; ; round++ {
		switch {
		case first.site == SiteSource:
			spans = splitAt(s, spans, '\n')
		case first.nul:
			spans = splitAt(s, spans, 0)
		}
		if len(spans) == 0 {
			return s, nil // markers only
		}
		out = render(s, spans)
		if round == maxRounds {
			break
		}
		again := scan{e: e, m: first.m, s: out, site: first.site, digest: first.digest, nul: first.nul}
		again.all()
		if again.failed {
			return whole(s, RuleInternal)
		}
		more := again.settle()
		if first.site == SiteSource {
			more = splitAt(out, more, '\n')
		} else if first.nul {
			more = splitAt(out, more, 0)
		}
		if len(more) == 0 {
			break
		}
		spans = merge(append(spans, original(spans, more)...))
	}
	found := make([]Finding, len(spans))
	for i, p := range spans {
		found[i] = Finding{p.rule, p.start, p.end}
	}
	return out, found
}

// render returns s with markers for spans.
func render(s string, spans []span) string {
	b := make([]byte, 0, len(s)+32*len(spans))
	at := 0
	for _, p := range spans {
		b = append(b, s[at:p.start]...)
		b = appendMarker(b, p.rule, p.end-p.start)
		at = p.end
	}
	return string(append(b, s[at:]...))
}

// original maps spans of what render(s, spans) returned back to s. They hold no
// part of a marker.
func original(spans, more []span) []span {
	var mapped []span
	var buf [128]byte
	shift, next := 0, 0 // offset in s less offset in the text rendered
	for _, p := range more {
		for next < len(spans) && spans[next].start-shift <= p.start {
			marker := len(appendMarker(buf[:0], spans[next].rule, spans[next].end-spans[next].start))
			shift += spans[next].end - spans[next].start - marker
			next++
		}
		mapped = append(mapped, span{p.start + shift, p.end + shift, p.rank, p.rule})
	}
	return mapped
}

// ApplyLines applies the rules to texts that belong together, such as a run of
// source lines (SiteSource) or the arguments of a command line
// (SiteCommandLine), so that what spans several of them is found: a private key, a flag and
// its value. It returns as many texts as it got, the same slice if nothing was
// found; offsets count in the texts joined by one byte.
func (e *Engine) ApplyLines(site Site, lines []string) ([]string, []Finding) {
	sep := "\n"
	if site == SiteCommandLine {
		sep = "\x00"
	} else {
		site = SiteSource
	}
	joined := strings.Join(lines, sep)
	out, found := e.Apply(Text{Value: joined, Site: site})
	if found == nil {
		return lines, nil
	}
	if parts := strings.Split(out, sep); len(parts) == len(lines) {
		return parts, found
	}
	// All of it was redacted (a redactor panicked), or a line held the separator.
	parts := make([]string, len(lines))
	found = nil
	at := 0
	for i, l := range lines {
		var f []Finding
		parts[i], f = e.Apply(Text{Value: l, Site: site})
		for _, x := range f {
			found = append(found, Finding{x.Rule, x.Start + at, x.End + at})
		}
		at += len(l) + 1
	}
	return parts, found
}
