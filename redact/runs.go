package redact

// minRun is the length from which a run of letters and digits counts as a
// token: Python coredumpy's default pattern is [A-Za-z0-9]{32,1024}. Longer
// ones than that count here, too.
const minRun = 32

// runs finds the runs of minRun or more letters and digits. It looks at every
// 32nd byte first and goes on from the last byte that is neither, so in
// ordinary text it touches one byte in eight or so.
func (sc *scan) runs() {
	s := sc.s
	for i := 0; i+minRun <= len(s); {
		j := i + minRun - 1
		for j >= i && isAlnum(s[j]) {
			j--
		}
		if j >= i {
			i = j + 1
			continue
		}
		end := run(s, i+minRun, csAlnum, 0)
		sc.run(i, end)
		i = end + 1
	}
}

// run judges one run.
func (sc *scan) run(start, end int) {
	text := sc.s[start:end]
	// Twilio docs, "API keys": SK and 32 hexadecimal digits.
	if len(text) == 34 && text[:2] == "SK" && allIn(text[2:], csHexLower) && sc.e.on[rankTwilio] {
		sc.add(start, end, rankTwilio)
		return
	}
	if !sc.e.on[rankGenericToken] {
		return
	}
	if isDigestLength(len(text)) && isHex(text) && sc.shownAsDigest(start, end) {
		return
	}
	if wordy(text) {
		switch sc.site {
		case SitePath, SiteSymbol:
			return
		case SiteSource:
			if !sc.inLiteral(start) {
				return
			}
		}
	}
	sc.add(start, end, rankGenericToken)
}

// isDigestLength reports whether n hexadecimal digits make a trace ID or an MD5
// (32), a SHA-1 or Git object (40), or a member of the SHA-2 family.
func isDigestLength(n int) bool {
	switch n {
	case 32, 40, 56, 64, 96, 128:
		return true
	}
	return false
}

// isHex reports whether s is hexadecimal digits whose letters are all small or
// all capital.
func isHex(s string) bool {
	if allIn(s, csHexLower) {
		return true
	}
	for i := 0; i < len(s); i++ {
		if !in(s[i], csHex) || isLower(s[i]) {
			return false
		}
	}
	return true
}

// shownAsDigest reports whether the name of the text, or the key in front of the
// run, says that it is a hash or an identifier such as a trace ID.
func (sc *scan) shownAsDigest(start, end int) bool {
	s := sc.s
	if sc.digest {
		return true
	}
	// W3C Trace Context: 00-<trace ID>-<span ID>-<flags>
	if end-start == 32 && start >= 3 && s[start-1] == '-' && len(s)-end >= 18 && s[end] == '-' && s[end+17] == '-' &&
		allIn(s[start-3:start-1], csHexLower) && allIn(s[end+1:end+17], csHexLower) {
		return true
	}
	i := start
	for i > 0 && start-i < 4 && (s[i-1] == '"' || s[i-1] == '\'' || s[i-1] == '`' || s[i-1] == '\\') {
		i--
	}
	for i > 0 && start-i < 8 && s[i-1] == ' ' {
		i--
	}
	if i > 0 && (s[i-1] == '=' || s[i-1] == ':' || s[i-1] == '/' || s[i-1] == '~') {
		i--
	} else if i == start {
		return false
	}
	for i > 0 && start-i < 12 && (s[i-1] == '"' || s[i-1] == '\'' || s[i-1] == '\\' || s[i-1] == ' ' || s[i-1] == ':') {
		i--
	}
	end = i
	for i > 0 && end-i < maxName && in(s[i-1], csKey) {
		i--
	}
	if i == end {
		return false
	}
	if foldEqual(s[i:end], "id") && i > 0 && s[i-1] == ' ' { // trace ID: …
		for i--; i > 0 && end-i < maxName && in(s[i-1], csKey); i-- {
		}
	}
	info := sc.e.names.classify(s[i:end])
	return info.digest && info.class == notSecret
}

// wordy reports whether a run reads like an identifier, not like something
// random: few changes between small letters, capitals and digits. The words of
// identifiers have four letters and more; in random letters and digits a change
// comes after every second.
func wordy(s string) bool {
	parts := 1
	for i := 1; i < len(s); i++ {
		p, c := s[i-1], s[i]
		if isDigit(p) != isDigit(c) || isLower(p) && isUpper(c) {
			parts++
		}
	}
	return 10*len(s) >= 32*parts
}
