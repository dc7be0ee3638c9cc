package redact

import "strings"

// maxKey bounds, in bytes, how far a key reaches to each side of the word that
// called attention to it.
const maxKey = 64

// pair looks for a key and its value where the automaton found a word of a
// secret name at s[i:end]: key=value, key: value, "key":"value", key := "value",
// --key value, <key>value</key>. The value is what gets redacted.
func (sc *scan) pair(i, end int) {
	s := sc.s
	ke := run(s, end, csKey, maxKey)
	if ke <= sc.keyEnd {
		return // another word of the key that was looked at last
	}
	sc.keyEnd = ke
	ks := i
	for ks > 0 && i-ks < maxKey && in(s[ks-1], csKey) {
		ks--
	}
	// What stands round a key is not part of it: -password, password. (prose).
	for ks < i && (s[ks] == '-' || s[ks] == '.') {
		ks++
	}
	for ke > end && (s[ke-1] == '-' || s[ke-1] == '.') {
		ke--
	}

	p := pairPlace{ks: ks, ke: ke}
	if !sc.separator(&p) {
		return
	}
	key := s[ks:ke]
	class := sc.e.keyClass(key)
	if class == notSecret {
		// "api key: x" in prose: one word further to the left.
		if p.quoted || ks < 2 || s[ks-1] != ' ' || !in(s[ks-2], csAlnum) {
			return
		}
		for ks--; ks > 0 && ke-ks < maxKey && in(s[ks-1], csKey); ks-- {
		}
		if class = sc.e.keyClass(s[ks:ke]); class == notSecret {
			return
		}
	} else if foldEqual(key, "token") && ks >= 11 && foldEqual(s[ks-11:ks], "unexpected ") {
		return // a parser's
	}
	start, stop := sc.value(&p, class)
	if start < stop {
		sc.add(start, stop, rankKeyValue)
	}
}

// pairPlace is where a pair lies.
type pairPlace struct {
	ks, ke int
	value  int  // where the value begins, spaces left out
	quoted bool // the key stands in quotes
	sep    byte // '=' ':' or ',' (Set("key", "value")) '>' (XML) ' ' (--key value) '"' (key "value")
	space  bool // there is space behind the separator
}

// separator finds what separates the key from its value.
func (sc *scan) separator(p *pairPlace) bool {
	s, i := sc.s, p.ke
	for i < len(s) && s[i] == '\\' && i-p.ke < 8 {
		i++
	}
	if i < len(s) && (s[i] == '"' || s[i] == '\'' || s[i] == '`') {
		if s[i] == '`' && (p.ks == 0 || s[p.ks-1] != '`') {
			return false // the end of a path in Markdown
		}
		p.quoted = true
		i++
		if i < len(s) && s[i] == ']' { // m["key"] = "value"
			i++
		}
	} else if i > p.ke {
		return false
	}
	blank := i
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') && i-blank < 32 {
		i++
	}
	if i == len(s) {
		return false
	}
	switch c := s[i]; c {
	case '=':
		p.sep = '='
		i++
		if i < len(s) && (s[i] == '=' || s[i] == '>') {
			i++
		}
	case ':':
		p.sep = ':'
		i++
		if i < len(s) && s[i] == '=' {
			p.sep = '='
			i++
		} else if i+1 < len(s) && s[i] == '/' && s[i+1] == '/' {
			return false // a scheme
		}
	case '!':
		if i+1 >= len(s) || s[i+1] != '=' {
			return false
		}
		p.sep = '='
		i += 2
	case ',':
		if j := valueLabel(s, i+1); j > 0 { // "name": "apiKey", "value": "…"
			p.sep = ':'
			i = j
			break
		}
		if !p.quoted || p.ks < 2 || s[p.ks-2] != '(' {
			return false
		}
		p.sep = ','
		i++
	case '%':
		if !foldHasPrefix(s[i:], "%3d") { // an escaped =
			return false
		}
		p.sep = '='
		i += 3
	case '"':
		if blank == i || p.quoted || sc.site == SiteSource {
			return false
		}
		p.sep = '"' // invalid password "…"
	case '>':
		if p.ks == 0 || s[p.ks-1] != '<' || blank != i {
			return false
		}
		p.sep = '>'
		i++
	case 0:
		if !sc.nul || p.quoted || !sc.flag(p.ks) {
			return false
		}
		p.sep = ' '
		i++
	default:
		j := 0
		if blank < i {
			j = valueLabel(s, i)
		}
		switch {
		case j > 0: // {Name:sid Value:…}
			p.sep = ':'
			i = j
		case sc.site == SiteSource && foldHasPrefix(s[i:], "string = \""): // const key string = "value"
			p.sep = '='
			i += len("string =")
		case blank < i && !p.quoted && sc.flag(p.ks):
			p.sep = ' '
		default:
			return false
		}
	}
	blank = i
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') && i-blank < 32 {
		i++
	}
	p.space = i > blank
	p.value = i
	return i < len(s)
}

// valueLabel returns the end of value: or "value"= at s[i:], spaces in front left
// out; 0 if there is none.
func valueLabel(s string, i int) int {
	start := i
	for i < len(s) && i-start < 32 && (s[i] == ' ' || s[i] == '\\' || s[i] == '"' || s[i] == '\'') {
		i++
	}
	if !foldHasPrefix(s[i:], "value") {
		return 0
	}
	for i += len("value"); i < len(s) && (s[i] == '\\' || s[i] == '"' || s[i] == '\''); i++ {
	}
	if i < len(s) && (s[i] == ':' || s[i] == '=') {
		return i + 1
	}
	return 0
}

// flag reports whether the key at ks is a command-line flag: -key, --key.
func (sc *scan) flag(ks int) bool {
	i := ks
	for i > 0 && ks-i < 2 && sc.s[i-1] == '-' {
		i--
	}
	return i < ks && (i == 0 || sc.s[i-1] <= ' ' || sc.s[i-1] == '"' || sc.s[i-1] == '\'')
}

// value finds the bounds of the value of a pair. An empty range is none.
func (sc *scan) value(p *pairPlace, class nameClass) (start, stop int) {
	s, i := sc.s, p.value
	if markerAt(s, i) > 0 {
		return 0, 0
	}
	if sc.site == SiteSource {
		for _, conv := range [...]string{"[]byte(", "string("} {
			if strings.HasPrefix(s[i:], conv) {
				i += len(conv)
				break
			}
		}
	}
	if i < sc.quoteEnd {
		return 0, 0 // in a quoted value that is already redacted
	}
	if start, stop = sc.quotedValue(i); start > 0 {
		if v := s[start:stop]; sc.harmless(v, class) || p.sep == '"' && class != classPassword && !looksSecret(v, class) {
			return 0, 0
		}
		sc.quoteEnd = stop
		return start, stop
	}
	if p.sep == ',' || p.sep == '"' || i < sc.bareEnd {
		return 0, 0 // a bare value within another ends where that one does
	}
	if start = sc.goSlice(i); start > 0 {
		for stop = start; stop < len(s) && s[stop] != '}' && stop-start < 4096; stop++ {
			if _, end := sc.quotedValue(stop); end > stop {
				stop = end
			}
		}
		stop = min(stop, len(s))
		if sc.harmless(strings.Trim(s[start:stop], `"`), class) || sc.site == SiteSource && !strings.ContainsAny(s[start:stop], "\"`") {
			return 0, 0
		}
		sc.bareEnd, sc.quoteEnd = stop, stop
		return start, stop
	}
	if sc.site == SiteSource && !(p.sep != ' ' && !p.space && sc.inLiteral(p.ks)) {
		return 0, 0 // an expression, a type
	}
	switch {
	case p.sep == '>':
		stop = strings.IndexByte(s[i:min(len(s), i+4096)], '<')
		if stop < 0 {
			return 0, 0
		}
		stop += i
	case s[i] == '[' && p.sep != ' ':
		// A list in a printed map or in JSON: Authorization:[Bearer x]
		for i++; i < len(s) && (s[i] == ' ' || s[i] == '\t'); i++ {
		}
		if i < len(s) && (s[i] == '{' || s[i] == '[') {
			return 0, 0
		}
		stop = i
		for stop < len(s) && s[stop] != ']' && s[stop] != '\n' && stop-i < 4096 {
			stop++
		}
		if sc.harmless(strings.Trim(s[i:stop], `"' `), class) {
			return 0, 0
		}
		sc.bareEnd = stop
		return i, stop
	case s[i] == '{', s[i] == '&' && i+1 < len(s) && s[i+1] == '{':
		return 0, 0 // what is inside is judged by its own names
	case p.sep == ' ' && (s[i] == '-' || sc.site != SiteCommandLine && proseFollows(s, i)):
		return 0, 0
	case p.sep == ':' && class == classCookie:
		if !cookiePairFollows(s, i) {
			return 0, 0
		}
		stop = lineEnd(s, i)
	default:
		scheme := false
		if class == classAuth {
			stop, scheme = sc.authEnd(i)
		} else {
			stop = sc.bareValueEnd(i)
		}
		if !scheme && p.sep == ':' && p.space && class != classPassword && proseFollows(s, i) && !hasDigit(s[i:stop]) {
			return 0, 0
		}
	}
	if sc.harmless(s[i:stop], class) {
		return 0, 0
	}
	sc.bareEnd = stop
	return i, stop
}

// goSlice returns where the elements of a slice printed with %#v, or written in
// source code, begin; 0 if none is at s[i:].
func (sc *scan) goSlice(i int) int {
	if !strings.HasPrefix(sc.s[i:], "[]") {
		return 0
	}
	for _, t := range [...]string{"[]string{", "[]interface {}{", "[]any{", "[]byte{", "[]uint8{"} {
		if strings.HasPrefix(sc.s[i:], t) {
			return i + len(t)
		}
	}
	return 0
}

// looksSecret decides about token "…" in prose: k8s says secret "name" not
// found, parsers quote tokens of their language.
func looksSecret(v string, class nameClass) bool {
	switch class {
	case classToken, classKey, classSession, classOTP, classAuth:
		return (hasDigit(v) || len(v) >= 16) && strings.IndexByte(v, ' ') < 0
	}
	return false
}

// cookiePairFollows reports whether s[i:] reads like the value of a Cookie or Set-Cookie
// header (RFC 6265): name=value.
func cookiePairFollows(s string, i int) bool {
	for end := min(len(s), i+256); i < end && s[i] > ' '; i++ {
		if s[i] == '=' {
			return true
		}
	}
	return false
}

// quotedValue returns the bounds of what stands in quotes at s[i:], 0 if no
// quotes do. Quotes may be escaped, as in JSON within JSON.
func (sc *scan) quotedValue(i int) (start, stop int) {
	s := sc.s
	depth := 0
	for i < len(s) && s[i] == '\\' && depth < 16 {
		i++
		depth++
	}
	if i == len(s) || s[i] != '"' && s[i] != '\'' && s[i] != '`' {
		return 0, 0
	}
	quote := s[i]
	start = i + 1
	if quote == '`' {
		if n := strings.IndexByte(s[start:min(len(s), start+4096)], '`'); n >= 0 {
			return start, start + n
		}
	}
	slashes := 0
	for stop = start; stop < len(s); stop++ {
		switch c := s[stop]; {
		case c == '\\':
			slashes++
			continue
		case c == '\n':
			return start, stop // never closed
		case c == quote:
			// A quote of the value itself is escaped once more than the ones round
			// it, or doubly so.
			if depth == 0 && slashes%2 == 0 || depth > 0 && slashes <= depth {
				return start, stop - min(slashes, depth)
			}
		}
		slashes = 0
	}
	return start, stop
}

// bareValueEnd returns the end of the value that begins at s[i] without
// quotes. A byte that may end a value does so only if what follows looks like the end of one.
func (sc *scan) bareValueEnd(i int) int {
	s := sc.s
	if sc.nul {
		if n := strings.IndexByte(s[i:], 0); n >= 0 {
			return i + n
		}
		return len(s)
	}
	for start := i; i < len(s); i++ {
		switch c := s[i]; c {
		case '&', ',', ';', '|':
			if i+1 == len(s) || endsValue(s[i+1]) || keyFollows(s, i+1) {
				return i
			}
		case ')', '}', ']', '>', '"', '\'', '`':
			j := i
			for j < len(s) && j-i < 8 && endsValue(s[j]) && s[j] > ' ' {
				j++
			}
			if j == len(s) || j-i == 8 || s[j] <= ' ' || s[j] == '.' || s[j] == ':' {
				return i
			}
			if (c == '"' || c == '\'' || c == '`') && i > start && keyFollows(s, j) {
				return i
			}
		case '\\':
			// \" ends a value that stands in an escaped text.
			if j := i + 1; j < len(s) && (s[j] == '"' || s[j] == '\'') && (j+1 == len(s) || endsValue(s[j+1])) {
				return i
			}
		default:
			if c <= ' ' || c == 0x7f {
				return i
			}
		}
	}
	return i
}

// endsValue reports whether c may follow a value.
func endsValue(c byte) bool {
	switch c {
	case ')', '}', ']', '>', '"', '\'', '`', ',', ';', '&', '\\', '|':
		return true
	}
	return c <= ' '
}

// keyFollows reports whether a key and a separator stand at s[i:].
func keyFollows(s string, i int) bool {
	for i < len(s) && (s[i] == '"' || s[i] == '\'') {
		i++
	}
	end := run(s, i, csKey, maxKey)
	return end > i && end < len(s) && (s[end] == '=' || s[end] == ':' || s[end] == '"')
}

// authEnd returns the end of the value of an Authorization header, and whether
// it begins with a known scheme: RFC 9110 section 11.4: a scheme and a token, or a scheme
// and parameters to the end of the line.
func (sc *scan) authEnd(i int) (end int, scheme bool) {
	s := sc.s
	end = sc.bareValueEnd(i)
	if end == len(s) || s[end] != ' ' {
		return end, false
	}
	name := s[i:end]
	switch {
	case foldEqual(name, "digest"), foldEqual(name, "hawk"), foldEqual(name, "oauth"), foldHasPrefix(name, "aws4-hmac"),
		foldHasPrefix(name, "signature"), foldHasPrefix(name, "hmac"):
		return lineEnd(s, i), true
	case foldEqual(name, "bearer"), foldEqual(name, "basic"), foldEqual(name, "token"), foldEqual(name, "negotiate"),
		foldEqual(name, "ntlm"), foldEqual(name, "apikey"), foldEqual(name, "dpop"), foldEqual(name, "key"):
		for end < len(s) && s[end] == ' ' {
			end++
		}
		return sc.bareValueEnd(end), true
	}
	return end, false
}

// lineEnd returns the end of the line that s[i] is in, escaped line ends
// included.
func lineEnd(s string, i int) int {
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\n' || c == '\r' || c == 0 || c == '"' || c == '`':
			return i
		case c == '\\' && i+1 < len(s) && (s[i+1] == 'n' || s[i+1] == 'r' || s[i+1] == '"'):
			return i
		}
	}
	return i
}

// proseFollows reports whether a word of letters stands at s[i:] with another
// word behind it, as in "token: signature is invalid".
func proseFollows(s string, i int) bool {
	end := run(s, i, csLower|csUpper, 24)
	return end > i && end+1 < len(s) && s[end] == ' ' && in(s[end+1], csLower|csUpper)
}

// inLiteral reports whether s[i] lies in a string literal that began on the
// same line of source code.
func (sc *scan) inLiteral(i int) bool {
	s := sc.s
	in := false
	start := i
	for start > 0 && i-start < 256 && s[start-1] != '\n' {
		start--
	}
	for ; start < i; start++ {
		switch s[start] {
		case '\\':
			start++
		case '"', '`':
			in = !in
		}
	}
	return in
}

// plainWords stand where a value would, and are none.
var plainWords = map[string]bool{
	"true": true, "false": true, "null": true, "nil": true, "<nil>": true, "none": true, "undefined": true, "yes": true, "no": true,
	"string": true, "int": true, "int64": true, "bool": true, "bytes": true, "object": true, "number": true, "integer": true, "any": true,
	"required": true, "optional": true, "missing": true, "invalid": true, "expired": true, "empty": true, "unexpected": true,
	"unknown": true, "failed": true, "denied": true, "revoked": true, "malformed": true, "rejected": true, "incorrect": true,
	"mismatch": true, "wrong": true, "is": true, "not": true, "must": true, "cannot": true, "can't": true, "could": true, "too": true,
	"eof": true, "error": true, "ok": true, "unset": true, "set": true, "unauthorized": true, "forbidden": true, "unauthenticated": true,
	"valid": true, "enabled": true, "disabled": true, "default": true, "has": true, "was": true, "unsupported": true, "no such": true,
	"[redacted]": true, "redacted": true, "(redacted)": true, "bearer": true, "basic": true, "digest": true, "<redacted>": true, "[filtered]": true, "<hidden>": true, "<no value>": true,
}

// harmless reports whether what stands where a secret would is visibly none.
func (sc *scan) harmless(v string, class nameClass) bool {
	v = strings.Trim(v, " ")
	v = strings.TrimRight(v, ".:!?") // prose
	if v == "" {
		return true
	}
	if !hasAlnum(v) {
		// Masks and placeholders, unless somebody's password is "#!?".
		if class != classPassword {
			return v[0] < 0x80
		}
		return strings.Trim(v, "*") == "" || strings.Trim(v, "•") == "" || strings.Trim(v, ".,;:()[]{}<>") == ""
	}
	if len(v) <= 16 {
		var buf [16]byte
		for i := 0; i < len(v); i++ {
			buf[i] = lower(v[i])
		}
		if plainWords[string(buf[:len(v)])] {
			return true
		}
	}
	// %s, %+v; ${NAME}, {{ .Name }}
	if v[0] == '%' && len(v) <= 4 && in(v[len(v)-1], csLower) {
		return true
	}
	return len(v) < 128 && (strings.HasPrefix(v, "${") && run(v, 2, csWord, 0) >= len(v)-1 || strings.HasPrefix(v, "{{"))
}
