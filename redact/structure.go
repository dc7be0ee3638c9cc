package redact

import (
	"encoding/base64"
	"strings"
)

// The verifiers of this file find secrets by the structure round them rather
// than by a provider's prefix. Each gets the place where one of its keywords
// begins.

// minJWTPart is the least length of the first two parts of a JWT: {"a":"b"}
// in base64url has 12 characters, an empty payload 3.
const minJWTPart = 12

// jwt: RFC 7519 over RFC 7515: three parts of base64url with dots between; the
// first is a JSON object, so it begins with eyJ ({" and a letter). The signature may be
// empty ("alg":"none") and, in a text that was cut, missing.
func (sc *scan) jwt(i int) {
	s := sc.s
	if i < sc.jwtEnd {
		return // inside a run of base64url that was looked at from its start
	}
	head := run(s, i, csURL, 0)
	sc.jwtEnd = head
	if head-i < minJWTPart || head+1 >= len(s) || s[head] != '.' {
		return
	}
	end := run(s, head+1, csURL|csDot, 0) // JWE (RFC 7516) has five parts
	if end-head-1 < 3 {
		return
	}
	for end > head+2 && s[end-1] == '.' {
		end--
	}
	sc.jwtEnd = end
	sc.add(i, end, rankJWT)
}

// maxPEM bounds the search for the end of a PEM block. An RSA key of 16384 bits
// takes 12.6 KB.
const maxPEM = 16 << 10

// pem: RFC 7468: -----BEGIN … PRIVATE KEY----- to -----END …-----. Of a block
// without end all that can belong to it is taken. Line ends may be escaped, as
// in JSON.
func (sc *scan) pem(i int) {
	s := sc.s
	if i < sc.pemEnd {
		return // inside the last block
	}
	label := s[i+len(kwPEM):]
	label = label[:min(len(label), 64)]
	dashes := strings.Index(label, "-----")
	if dashes < 0 || !strings.Contains(label[:dashes], "PRIVATE KEY") {
		return
	}
	body := i + len(kwPEM) + dashes + len("-----")
	rest := s[body:]
	rest = rest[:min(len(rest), maxPEM)]
	if next := strings.Index(rest, "-----BEGIN "); next >= 0 {
		rest = rest[:next]
	}
	if end := strings.Index(rest, "-----END "); end >= 0 {
		stop := body + end + len("-----END ")
		tail := s[stop:]
		tail = tail[:min(len(tail), 64)]
		if d := strings.Index(tail, "-----"); d >= 0 {
			stop += d + len("-----")
		}
		sc.pemEnd = stop
		sc.add(i, stop, rankPEM)
		return
	}
	end, chars := body, 0
	for end < len(s) && inPEM(s[end]) {
		if in(s[end], csBase64) {
			chars++
		}
		end++
	}
	if chars < 16 {
		return // a text that speaks of such blocks
	}
	sc.pemEnd = end
	sc.add(i, end, rankPEM)
}

// inPEM reports whether c may stand in a PEM block, headers such as
// "DEK-Info: AES-128-CBC,…" (RFC 1421) and escaped line ends included.
func inPEM(c byte) bool {
	if in(c, csBase64) {
		return true
	}
	switch c {
	case '\n', '\r', '\t', ' ', '\\', ':', ',', '-':
		return true
	}
	return false
}

// bearerWords follow "bearer" in prose and in challenges.
var bearerWords = map[string]bool{
	"token": true, "tokens": true, "auth": true, "authentication": true, "authorization": true, "authenticated": true, "scheme": true,
	"realm": true, "error": true, "header": true, "headers": true, "credentials": true, "credential": true, "format": true, "is": true,
	"and": true, "or": true, "not": true, "was": true, "has": true, "for": true, "in": true, "of": true, "with": true, "token-based": true,
	"scheme.": true, "token.": true, "required": true, "missing": true, "method": true, "type": true, "prefix": true, "only": true,
	"assertion": true, "grant": true, "certificate": true, "to": true, "must": true, "bonds": true, "share": true, "shares": true,
}

// bearer: RFC 6750: the word Bearer, spaces, and a token68 (RFC 7235).
func (sc *scan) bearer(i, end int) {
	s := sc.s
	if i > 0 && isAlnum(s[i-1]) {
		return
	}
	for end < len(s) && s[end] == ' ' {
		end++
	}
	stop := run(s, end, csToken, 0)
	value := s[end:stop]
	if len(value) < 4 || !hasAlnum(value) || bearerWords[strings.ToLower(value[:min(len(value), 16)])] {
		return
	}
	if eq := strings.IndexByte(value, '='); eq >= 0 && (eq+1 < len(value) && value[eq+1] != '=' || stop < len(s) && s[stop] == '"') {
		return // Bearer realm="…": a challenge
	}
	sc.add(end, stop, rankAuthorization)
}

// basic: RFC 7617: the word Basic, spaces, and user:password in base64.
func (sc *scan) basic(i, end int) {
	s := sc.s
	if i > 0 && isAlnum(s[i-1]) {
		return
	}
	for end < len(s) && s[end] == ' ' {
		end++
	}
	stop := run(s, end, csBase64, 1024)
	value := strings.TrimRight(s[end:stop], "=")
	if len(value) < 2 {
		return
	}
	// The first 256 characters are enough to find the colon behind a user name.
	var src, dst [256]byte
	n := copy(src[:], value)
	if len(value) > n || n%4 == 1 {
		n -= n % 4
	}
	n, err := base64.RawStdEncoding.Decode(dst[:], src[:n])
	if err != nil {
		return
	}
	for _, c := range dst[:n] {
		if c == ':' {
			sc.add(end, run(s, end, csBase64, 0), rankAuthorization)
			return
		}
		if c < ' ' {
			return
		}
	}
}

// urlPassword: RFC 3986 section 3.2.1: scheme://user:password@host. Only the
// password goes. i is where :// begins.
func (sc *scan) urlPassword(i int) {
	s := sc.s
	start := i + len("://")
	end := start
	for end < len(s) && !urlEnd(s[end]) && s[end] != '/' && s[end] != '?' && s[end] != '#' {
		end++
	}
	colon := strings.IndexByte(s[start:end], ':')
	if colon < 0 {
		return
	}
	colon += start
	at := strings.LastIndexByte(s[colon:end], '@')
	// A password may hold '/', '?' or '#' that nobody escaped. That matters in
	// the connection strings of databases, whose paths hold no '@'; in http URLs the '@' of a
	// path would be taken for it.
	scheme := i
	for scheme > 0 && i-scheme < 16 && (isAlnum(s[scheme-1]) || s[scheme-1] == '+') {
		scheme--
	}
	web := foldHasPrefix(s[scheme:i], "http") || foldHasPrefix(s[scheme:i], "ws") || foldHasPrefix(s[scheme:i], "ftp")
	next := s[end-1] == ':' && strings.HasPrefix(s[end:], "//") // another URL begins
	if end < len(s) && !urlEnd(s[end]) && !next && (!web || at < 0 && !allIn(s[colon+1:end], csDigit)) && start >= sc.urlEnd {
		long := end
		for long < len(s) && !urlEnd(s[long]) && !strings.HasPrefix(s[long:], "://") {
			long++
		}
		sc.urlEnd = long
		if p := strings.LastIndexByte(s[colon:long], '@'); p >= 0 {
			at = p
		}
	}
	if at < 0 {
		return
	}
	if pw := s[colon+1 : colon+at]; pw == "" || pw == "xxxxx" { // url.URL.Redacted
		return
	}
	sc.add(colon+1, colon+at, rankURLPassword)
}

// urlEnd reports whether no URL goes on over c.
func urlEnd(c byte) bool {
	return c <= ' ' || c == '"' || c == '<' || c == '>' || c == '`' || c == '\\' || c == 0x7f
}

// maxDSN is how far in front of @tcp( a Go MySQL data source name may begin.
const maxDSN = 128

// mysqlPassword: the DSN of go-sql-driver/mysql, README "DSN":
// user:password@protocol(address)/db. i is the @.
func (sc *scan) mysqlPassword(i int) {
	s := sc.s
	start := i
	for start > 0 && i-start < maxDSN && !urlEnd(s[start-1]) && s[start-1] != '\'' {
		start--
	}
	// A key in front (dsn=user:pw@…) belongs to no user name.
	if eq := strings.LastIndexByte(s[start:i], '='); eq >= 0 && !strings.Contains(s[start:start+eq], ":") {
		start += eq + 1
	}
	if scheme := strings.Index(s[start:i], "://"); scheme >= 0 {
		start += scheme + len("://")
	}
	colon := strings.IndexByte(s[start:i], ':')
	if colon < 0 || start+colon+1 == i {
		return
	}
	sc.add(start+colon+1, i, rankURLPassword)
}

// telegram: Telegram Bot API, "Authorizing your bot": the bot's number, a colon
// and 35 characters of base64url, which begin with AA. i is the colon.
func (sc *scan) telegram(i int) {
	s := sc.s
	start := i
	for start > 0 && i-start <= 12 && isDigit(s[start-1]) {
		start--
	}
	if i-start < 7 || i-start > 12 || s[i+1:i+3] != "AA" {
		return
	}
	if end := run(s, i+1, csURL, 0); end-i-1 >= 34 && end-i-1 <= 64 {
		sc.add(start, end, rankTelegram)
	}
}

// terraform: HCP Terraform docs, "API tokens": 14 characters, .atlasv1., 60 or
// more. i is the first dot.
func (sc *scan) terraform(i, end int) {
	s := sc.s
	start := i
	for start > 0 && i-start < 14 && isAlnum(s[start-1]) {
		start--
	}
	if stop := run(s, end, csURL, 0); i-start == 14 && stop-end >= 40 {
		sc.add(start, stop, rankTerraform)
	}
}

// entra: Microsoft Entra client secrets: 40 characters with a digit and Q~ at the fourth.
// Published in Microsoft Purview, "Microsoft Entra client secret". i is the Q.
func (sc *scan) entra(i int) {
	s := sc.s
	const set = csURL | csDot | csTilde
	if i < 4 || s[i] != 'Q' || !isDigit(s[i-1]) || run(s, i-4, set, 4) != i || i > 4 && in(s[i-5], set) {
		return
	}
	if end := run(s, i, set, 64); end-i >= 31 && end-i <= 38 {
		sc.add(i-4, end, rankEntra)
	}
}

func hasAlnum(s string) bool {
	for i := 0; i < len(s); i++ {
		if isAlnum(s[i]) {
			return true
		}
	}
	return false
}
