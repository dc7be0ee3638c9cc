package redact

// maxName is the longest name, in bytes, that is looked at. What is longer (a
// text used as a map key) is no name.
const maxName = 96

// maxWords is how many words a name may have.
const maxWords = 24

// nameWords is a name split into lower-case words.
type nameWords struct {
	buf  [maxName]byte
	ends [maxWords]uint8 // end of each word in buf; words follow each other without gaps
	n    int
	// env is set for names in the manner of environment variables: capitals,
	// digits and '_' only.
	env bool
}

// split splits a name into words: at every byte that is neither a letter nor a
// digit, before a capital that follows a small letter or a digit, and before
// the last capital of a run that a small letter follows (AWSSecret is aws,
// secret; but userIDs is user, ids). A digit belongs to the word it follows. Bytes
// of other alphabets count as small letters. It reports whether name is a
// name.
func (w *nameWords) split(name string) bool {
	w.n, w.env = 0, true
	if len(name) == 0 || len(name) > maxName {
		return false
	}
	at, start := 0, 0
	end := func() bool {
		if at == start {
			return true
		}
		if w.n == maxWords {
			return false
		}
		w.ends[w.n] = uint8(at)
		w.n++
		start = at
		return true
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !isAlnum(c) && c < 0x80 {
			if c != '_' {
				w.env = false
			}
			if !end() {
				return false
			}
			continue
		}
		if isUpper(c) && i > 0 {
			p := name[i-1]
			if isLower(p) || isDigit(p) || p >= 0x80 || isUpper(p) && i+1 < len(name) && isLower(name[i+1]) && !plural(name, i+1) {
				if !end() {
					return false
				}
			}
		}
		if !isUpper(c) && !isDigit(c) {
			w.env = false
		}
		w.buf[at] = lower(c)
		at++
	}
	return end() && w.n > 0
}

// plural reports whether name[i] is the s of a plural acronym: IDs, APIs.
func plural(name string, i int) bool {
	return name[i] == 's' && (i+1 == len(name) || !isLower(name[i+1]))
}

// word returns the i-th word; nil if there is none. It is valid until the next
// split.
func (w *nameWords) word(i int) []byte {
	if i < 0 || i >= w.n {
		return nil
	}
	start := 0
	if i > 0 {
		start = int(w.ends[i-1])
	}
	return w.buf[start:w.ends[i]]
}

// from returns the words from the i-th on as one.
func (w *nameWords) from(i int) []byte {
	start := 0
	if i > 0 {
		start = int(w.ends[i-1])
	}
	return w.buf[start:w.ends[w.n-1]]
}
