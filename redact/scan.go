package redact

import (
	"slices"
	"strings"
)

// matcher is an automaton and what its keywords stand for. It does not change
// once made.
type matcher struct {
	auto     *automaton
	keywords []keyword
}

// keyword says what to do where the automaton found one.
type keyword struct {
	kind   kind
	text   string
	format *tokenFormat // kindToken
	rank   int          // kindToken
	set    int          // kindToken: of bodySets
	needle *needle      // kindNeedle
}

type kind uint8

const (
	kindMarker kind = iota
	kindToken
	kindPair
	kindJWT
	kindPEM
	kindBearer
	kindBasic
	kindURL
	kindMySQL
	kindTelegram
	kindTerraform
	kindEntra
	kindNeedle
)

const kwPEM = "-----BEGIN "

// structures are the keywords of structure.go.
var structures = []struct {
	kind kind
	rank int
	text string
}{
	{kindJWT, rankJWT, "eyJ"},
	{kindPEM, rankPEM, kwPEM},
	{kindBearer, rankAuthorization, "bearer "},
	{kindBasic, rankAuthorization, "basic "},
	{kindURL, rankURLPassword, "://"},
	{kindMySQL, rankURLPassword, "@tcp("},
	{kindMySQL, rankURLPassword, "@unix("},
	{kindTelegram, rankTelegram, ":AA"},
	{kindTerraform, rankTerraform, ".atlasv1."},
	{kindEntra, rankEntra, "Q~"},
}

// pairWords are parts of secret names, at least one of which is in each of
// them, as short as they may be without being in every other text.
var pairWords = strings.Fields(`pass pwd kennwort secret token key cred auth cookie sess sid dsn conn bearer otp pin cvv cvc card ssn
	social jwt mnemonic csrf xsrf mfa 2fa verif recover backup sms seed saml assertion signature`)

// newMatcher makes the matcher for the rules of e that are on, and needles.
func newMatcher(e *Engine, needles []needle) *matcher {
	m := &matcher{}
	add := func(k keyword) { m.keywords = append(m.keywords, k) }
	add(keyword{kind: kindMarker, text: markerOpen})
	for i := range tokenFormats {
		if !e.on[tokenRanks[i]] {
			continue
		}
		for _, p := range tokenFormats[i].prefixes {
			add(keyword{kind: kindToken, text: p, format: &tokenFormats[i], rank: tokenRanks[i], set: bodySets[tokenFormats[i].body]})
		}
	}
	for _, k := range structures {
		if e.on[k.rank] {
			add(keyword{kind: k.kind, text: k.text})
		}
	}
	if e.on[rankKeyValue] {
		for _, w := range pairWords {
			add(keyword{kind: kindPair, text: w})
		}
		for _, name := range e.cfg.Names {
			if w := longestWord(name); w != "" {
				add(keyword{kind: kindPair, text: w})
			}
		}
	}
	for i := range needles {
		n := needles[i] // a copy: the list changes
		add(keyword{kind: kindNeedle, text: n.value[n.at : n.at+n.n], needle: &n})
	}
	texts := make([]string, len(m.keywords))
	for i, k := range m.keywords {
		texts[i] = k.text
	}
	m.auto = newAutomaton(texts)
	return m
}

func longestWord(name string) string {
	var w nameWords
	if !w.split(name) {
		return ""
	}
	var longest []byte
	for i := range w.n {
		if b := w.word(i); len(b) > len(longest) {
			longest = b
		}
	}
	return string(longest)
}

// span is a part of a text that a rule found. Of spans that overlap the one
// with the lowest rank gives the rule of the whole.
type span struct {
	start, end int
	rank       int
	rule       string
}

// scan is the state of looking through one text.
type scan struct {
	e       *Engine
	m       *matcher
	s       string
	site    Site
	digest  bool // the name of the text is that of a hash or of an identifier
	nul     bool // arguments of a command line with NUL between them
	failed  bool
	found   []span
	markers []span // in order

	// How far verifiers have looked, so that none looks at a byte twice for the
	// same purpose.
	jwtEnd, pemEnd, urlEnd    int
	keyEnd, quoteEnd, bareEnd int
	bodyEnds                  [maxBodySets]int // by alphabet: the end of the last run
}

func (sc *scan) add(start, end, rank int) {
	if n := len(sc.found); n > 0 {
		// The same once more, or a part of it.
		if last := sc.found[n-1]; last.rank == rank && last.start <= start && end <= last.end {
			return
		}
	}
	sc.found = append(sc.found, span{start, end, rank, ruleTable[rank].ID})
}

// keywords runs the automaton over the text.
func (sc *scan) keywords() {
	s, a := sc.s, sc.m.auto
	next, accept := a.next, a.accept
	state := uint32(0)
	for i := 0; i < len(s); i++ {
		state = next[state+uint32(a.class[s[i]])]
		if state >= accept {
			for _, id := range a.outputs(state) {
				if k := &sc.m.keywords[id]; k.kind != kindMarker {
					sc.hit(k, i+1)
				} else if start := i + 1 - len(k.text); markerAt(s, start) > 0 {
					// Nothing in a marker is looked at.
					end := markerAt(s, start)
					sc.markers = append(sc.markers, span{start: start, end: end})
					i, state = end-1, 0
					break
				}
			}
		}
	}
}

// hit looks closer where a keyword ends before s[end].
func (sc *scan) hit(k *keyword, end int) {
	i := end - len(k.text)
	switch k.kind {
	case kindPair:
		if sc.site != SitePath && sc.site != SiteSymbol {
			sc.pair(i, end)
		}
	case kindToken:
		if start, stop, ok := sc.token(k, i); ok {
			sc.add(start, stop, k.rank)
		}
	case kindNeedle:
		sc.needle(k.needle, end)
	case kindJWT:
		if sc.s[i:end] == "eyJ" {
			sc.jwt(i)
		}
	case kindPEM:
		sc.pem(i)
	case kindBearer:
		sc.bearer(i, end)
	case kindBasic:
		sc.basic(i, end)
	case kindURL:
		sc.urlPassword(i)
	case kindMySQL:
		sc.mysqlPassword(i)
	case kindTelegram:
		sc.telegram(i)
	case kindTerraform:
		sc.terraform(i, end)
	case kindEntra:
		sc.entra(i)
	}
}

// all applies every rule of the engine to the text. It never panics: a defect
// of ours is noted in failed.
func (sc *scan) all() {
	defer func() {
		if recover() != nil {
			sc.failed = true
		}
	}()
	sc.keywords()
	if len(sc.s) >= minRun && sc.e.runs {
		sc.runs()
	}
	for i := range sc.e.patterns {
		p := &sc.e.patterns[i]
		for _, m := range p.re.FindAllStringIndex(sc.s, -1) {
			if m[0] < m[1] {
				sc.found = append(sc.found, span{m[0], m[1], rankPattern, p.id})
			}
		}
	}
}

// settle sorts what was found, joins what overlaps, and leaves out what is a
// marker already.
func (sc *scan) settle() []span {
	return subtract(merge(sc.found), sc.markers)
}

// merge sorts spans and joins those that overlap, or that touch and are of one
// rule. It reuses the slice.
func merge(spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	slices.SortFunc(spans, func(a, b span) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return a.rank - b.rank
	})
	last := 0
	for _, s := range spans[1:] {
		l := &spans[last]
		switch {
		case s.start < l.end || s.start == l.end && s.rule == l.rule:
			l.end = max(l.end, s.end)
			if s.rank < l.rank {
				l.rank, l.rule = s.rank, s.rule
			}
		default:
			last++
			spans[last] = s
		}
	}
	return spans[:last+1]
}

// subtract takes the holes out of spans. Both are in order and without overlap.
func subtract(spans, holes []span) []span {
	if len(holes) == 0 {
		return spans
	}
	var out []span
	h := 0
	for _, s := range spans {
		for h < len(holes) && holes[h].end <= s.start {
			h++
		}
		for i := h; i < len(holes) && holes[i].start < s.end; i++ {
			if s.start < holes[i].start {
				out = append(out, span{s.start, holes[i].start, s.rank, s.rule})
			}
			s.start = min(max(s.start, holes[i].end), s.end)
		}
		if s.start < s.end {
			out = append(out, s)
		}
	}
	return out
}

// splitAt cuts spans at every byte sep of s, which stays.
func splitAt(s string, spans []span, sep byte) []span {
	var out []span
	for _, p := range spans {
		for p.start < p.end {
			n := strings.IndexByte(s[p.start:p.end], sep)
			if n < 0 {
				out = append(out, p)
				break
			}
			if n > 0 {
				out = append(out, span{p.start, p.start + n, p.rank, p.rule})
			}
			p.start += n + 1
		}
	}
	return out
}
