package redact

// charset is a set of bytes that a token's body consists of. Sets are bits, so
// that one table serves all of them.
type charset uint16

const (
	csDigit    charset = 1 << iota // 0-9
	csLower                        // a-z
	csUpper                        // A-Z
	csHexLower                     // 0-9 a-f
	csHex                          // 0-9 a-f A-F
	csWord                         // letters, digits, _
	csURL                          // base64url: letters, digits, _ -
	csBase64                       // base64: letters, digits, + / =
	csToken                        // letters, digits, _ - . = + / ~ : RFC 7235 token68
	csKey                          // letters, digits, _ - . : what a key in a text consists of
	csUpperNum                     // A-Z 0-9
	csDot                          // .
	csPercent                      // %
	csTilde                        // ~
	csAlnum    = csDigit | csLower | csUpper
)

var byteSets = func() (t [256]charset) {
	add := func(cs charset, chars string) {
		for i := 0; i < len(chars); i++ {
			t[chars[i]] |= cs
		}
	}
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const alnum = digits + lower + upper
	add(csDigit, digits)
	add(csLower, lower)
	add(csUpper, upper)
	add(csHexLower, digits+"abcdef")
	add(csHex, digits+"abcdefABCDEF")
	add(csWord, alnum+"_")
	add(csURL, alnum+"_-")
	add(csBase64, alnum+"+/=")
	add(csToken, alnum+"_-.=+/~")
	add(csKey, alnum+"_-.")
	add(csUpperNum, digits+upper)
	add(csDot, ".")
	add(csPercent, "%")
	add(csTilde, "~")
	return t
}()

// in reports whether c is in any of the sets of cs.
func in(c byte, cs charset) bool { return byteSets[c]&cs != 0 }

func isAlnum(c byte) bool { return byteSets[c]&csAlnum != 0 }
func isDigit(c byte) bool { return c-'0' < 10 }
func isLower(c byte) bool { return c-'a' < 26 }
func isUpper(c byte) bool { return c-'A' < 26 }

func lower(c byte) byte {
	if isUpper(c) {
		return c + 'a' - 'A'
	}
	return c
}

// run returns the end of the longest run of bytes of cs at s[i:], looking at no
// more than limit bytes (0: no limit).
func run(s string, i int, cs charset, limit int) int {
	end := len(s)
	if limit > 0 && end-i > limit {
		end = i + limit
	}
	for i < end && byteSets[s[i]]&cs != 0 {
		i++
	}
	return i
}

// allIn reports whether s consists of bytes of cs only.
func allIn(s string, cs charset) bool { return run(s, 0, cs, 0) == len(s) }

// foldHasPrefix reports whether s begins with the lower-case prefix, ASCII case
// aside.
func foldHasPrefix(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := 0; i < len(prefix); i++ {
		if lower(s[i]) != prefix[i] {
			return false
		}
	}
	return true
}

// foldEqual reports whether s is the lower-case word, ASCII case aside.
func foldEqual(s, word string) bool { return len(s) == len(word) && foldHasPrefix(s, word) }
