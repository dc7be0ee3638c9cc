package redact

import (
	"bytes"
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// nameClass is the kind of secret that a name stands for.
type nameClass uint8

const (
	notSecret nameClass = iota
	classPassword
	classSecret
	classToken
	classKey
	classCredential
	classAuth
	classCookie
	classSession
	classDSN
	classOTP
	classCard
	classSSN
	classCustom // Config.Names
	numClasses
)

// The rule of each class, by its number.
var classRules = [numClasses]RuleInfo{
	classPassword:   {"name-password", "names of passwords: password, passwd, pwd, passphrase, DB_PASS", true},
	classSecret:     {"name-secret", "names with secret: clientSecret, secret_key", true},
	classToken:      {"name-token", "names of tokens: accessToken, jwt, bearer, csrf; not max_tokens, token_count, next_page_token", true},
	classKey:        {"name-key", "names of keys: apiKey, x-api-key, privateKey, AWS_ACCESS_KEY_ID, encryption_key; not publicKey", true},
	classCredential: {"name-credential", "names of credentials: credentials, creds, assertions", true},
	classAuth:       {"name-auth", "names of authorization headers: Authorization, Proxy-Authorization, auth, basicAuth", true},
	classCookie:     {"name-cookie", "names of cookies: Cookie, Set-Cookie; not cookie_domain", true},
	classSession:    {"name-session", "names of session identifiers: sessionID, JSESSIONID, sid", true},
	classDSN:        {"name-dsn", "names of data source names: dsn, connectionString", true},
	classOTP:        {"name-otp", "names of codes: otp, totp, mfaCode, recovery_codes, pin, seedPhrase", true},
	classCard:       {"name-card", "names of payment card data: cardNumber, cvv, cvc", true},
	classSSN:        {"name-ssn", "names of social security numbers: ssn, socialSecurityNumber", true},
	classCustom:     {"name-custom", "names that the configuration lists", true},
}

// What a word does in a name.
type wordRole uint16

const (
	// exemptAfter: behind a secret word it says that the name is of something
	// about the secret, not of the secret: token_count.
	exemptAfter wordRole = 1 << iota
	// exemptBefore: the same in front of it: has_password.
	exemptBefore
	// exemptToken: the same in front of token, where it makes a place in a
	// listing or in a text: next_page_token.
	exemptToken
	// exemptTokens: the same in front of the plural, where it makes a number:
	// max_tokens.
	exemptTokens
	// keyBefore: in front of key or keys it makes a secret: api_key.
	keyBefore
	// notPass: in front of pass it makes something other than a password.
	notPass
	// digest: the name is of a hash or an identifier that is shown as
	// hexadecimal digits: trace_id, sha256, commit.
	digest
)

type wordInfo struct {
	class nameClass // the class that the word makes on its own
	role  wordRole
}

// words is what is known of each word.
var words = func() map[string]wordInfo {
	m := map[string]wordInfo{}
	class := func(c nameClass, list string) {
		for w := range strings.FieldsSeq(list) {
			i := m[w]
			i.class = c
			m[w] = i
		}
	}
	role := func(r wordRole, list string) {
		for w := range strings.FieldsSeq(list) {
			i := m[w]
			i.role |= r
			m[w] = i
		}
	}
	class(classPassword, "password passwords passwd pwd passphrase passphrases passcode passwort kennwort")
	class(classSecret, "secret secrets")
	class(classToken, "token tokens csrf xsrf authenticity jwt jwts bearer")
	class(classKey, "apikey apikeys appkey accesskey accesskeys secretkey privatekey privkey signingkey encryptionkey masterkey authkey")
	class(classCredential, "credential credentials cred creds")
	class(classAuth, "authorization")
	class(classCookie, "cookie cookies setcookie")
	class(classSession, "sessionid sessid sid phpsessid jsessionid sessionkey")
	class(classDSN, "dsn dsns connectionstring connstring connstr")
	class(classOTP, "otp totp hotp mnemonic pincode")
	class(classCard, "cvv cvvs cvv2 cvc cvc2 cardnumber creditcard")
	class(classSSN, "ssn ssns")
	role(exemptAfter, `age algo algorithm alg alive at attempts audience available bucket budget callback category changed checker
		class column columns consent cost count counter counts created cursor date deadline description dir directory disabled domain
		domains duration enabled endpoint endpoints err error errors estimate exists exp expiration expired expires expiry extractor
		failed failures fetcher field fields file filename files filter format found func function generator handler hits host hosts
		idx index info interval invalid is issuer jar kind label language last latency len length level lifetime limit limits
		location lookup manager max message metadata method min minutes missing mode model ms msg name names ns num number offset ok
		page parser path paths per placeholder plugin policies policy pos position prefs preferences present price prompt provider
		rate realm reason regex regexp remaining required requirement requirements resolver retries rotation rounds rule rules
		samesite scheme scope scopes seconds secure service services size source spec started state stats status store strategy
		strength supplier table template time timeout timestamp title total ttl type types uri url urls usage used valid validator
		validity validation verifier version visible window writer`)
	role(exemptBefore, `has is no not need needs require requires required show hide forgot forget use uses enable disable allow
		allows skip want wants err error public publishable`)
	role(exemptToken, `next page continuation cursor pagination stop start eos bos pad unk sep cls mask special lex lexer syntax ast
		html xml parse parser`)
	role(exemptTokens, `max min num total prompt completion input output cached reasoning n count used remaining per limit`)
	role(keyBefore, `api access private priv secret encryption encrypt decryption decrypt signing sign master license licence
		account shared storage ssh deploy auth hmac aes jwt session subscription functions app admin rsa ecdsa ed25519 tls ssl pgp
		gpg unseal recovery consumer webhook ingest ingestion write cipher symmetric wrapping`)
	role(notPass, `first second third last next single multi one two render shadow by compiler opt optimization test tests fast slow
		boarding season ski day`)
	role(digest, `trace traces traceparent tracestate span spans digest hash sha sha1 sha224 sha256 sha384 sha512 md5 etag checksum
		checksums cksum sum commit commits revision rev fingerprint vcs git oid blob blobs object objects dump dumps build tree`)
	return m
}()

// tails are endings of words written together that make a secret:
// dbpassword, authtoken. Longer ones come first.
var tails = []struct {
	tail  string
	class nameClass
}{
	{"connectionstring", classDSN},
	{"passphrase", classPassword},
	{"credentials", classCredential},
	{"credential", classCredential},
	{"encryptionkey", classKey},
	{"signingkey", classKey},
	{"privatekey", classKey},
	{"accesskeyid", classKey},
	{"accesskey", classKey},
	{"secretkey", classKey},
	{"sessionid", classSession},
	{"password", classPassword},
	{"passwd", classPassword},
	{"sessid", classSession},
	{"apikey", classKey},
	{"secret", classSecret},
	{"token", classToken},
	{"pwd", classPassword},
}

// nameInfo is what is known of a name.
type nameInfo struct {
	class nameClass
	// digest: hexadecimal digits under this name are a hash or an identifier.
	digest bool
	// workingDir: the name may be that of a password or of a working directory
	// (pwd).
	workingDir bool
	// key: the last word is key, which in the environment makes a secret
	// (STRIPE_KEY).
	key bool
}

// lookup finds a word, and if there is none the word without the digits at its
// end (password2).
func lookup(w []byte) wordInfo {
	if len(w) == 0 {
		return wordInfo{}
	}
	if i, ok := words[string(w)]; ok {
		return i
	}
	if !isDigit(w[len(w)-1]) {
		return wordInfo{}
	}
	return words[string(bytes.TrimRight(w, "0123456789"))]
}

func tailClass(w []byte) nameClass {
	w = bytes.TrimRight(w, "0123456789")
	one := bytes.TrimSuffix(w, []byte("s")) // a plural
	for _, t := range tails {
		if len(w) >= len(t.tail) && string(w[len(w)-len(t.tail):]) == t.tail ||
			len(one) >= len(t.tail) && string(one[len(one)-len(t.tail):]) == t.tail {
			return t.class
		}
	}
	return notSecret
}

// names classifies names, whether or not the rules of their classes are on.
type names struct {
	extra map[string]bool // joined lower-case words; true: secret, false: allowed
	cache nameCache
}

// joinName is the form in which configured names are compared: lower-case
// letters and digits only. "" if it is no name.
func joinName(name string) string {
	var w nameWords
	if !w.split(name) {
		return ""
	}
	return string(w.from(0))
}

// classify says what is known of a name. It allocates nothing.
func (c *names) classify(name string) nameInfo {
	var w nameWords
	if !w.split(name) {
		return nameInfo{}
	}
	if len(c.extra) > 0 {
		// The longest listed ending decides.
		for i := 0; i < w.n; i++ {
			if secret, ok := c.extra[string(w.from(i))]; ok {
				info := nameInfo{digest: w.digest()}
				if secret {
					info = nameInfo{class: classCustom}
				}
				return info
			}
		}
	}
	info := nameInfo{class: w.class(), digest: w.digest()}
	last := w.word(w.n - 1)
	info.key = string(last) == "key" || string(last) == "keys"
	if info.class == classPassword && bytes.HasSuffix(last, []byte("pwd")) {
		info.workingDir = true
	}
	return info
}

func (w *nameWords) digest() bool {
	for i := 0; i < w.n; i++ {
		b := w.word(i)
		if lookup(b).role&digest != 0 || bytes.HasSuffix(b, []byte("hash")) || bytes.HasSuffix(b, []byte("sum")) ||
			bytes.HasSuffix(b, []byte("digest")) || bytes.HasPrefix(b, []byte("sha256")) {
			return true
		}
	}
	return false
}

// class finds the last secret word, or pair of words, that nothing round it
// makes harmless.
func (w *nameWords) class() nameClass {
	exempt := false
	for i := w.n - 1; i >= 0; i-- {
		b := w.word(i)
		info := lookup(b)
		class, first := w.classAt(i, info)
		if class == notSecret {
			if info.role&exemptAfter != 0 || string(b) == "id" || string(b) == "ids" {
				exempt = true
			}
			continue
		}
		// An exempt word behind it decides, whatever comes before:
		// password_token_count is a count.
		if exempt {
			return notSecret
		}
		if first > 0 && lookup(w.word(first-1)).role&exemptRole(b) != 0 {
			return notSecret
		}
		return class
	}
	// Capitals at odd places (APIkey) split words that are secret together.
	if w.n > 1 && !exempt {
		switch class := tailClass(w.from(0)); class {
		case classKey, classSession, classDSN:
			return class
		}
	}
	return notSecret
}

// exemptRole says which words in front of the secret word b make it harmless.
func exemptRole(b []byte) wordRole {
	switch string(b) {
	case "token":
		return exemptBefore | exemptToken
	case "tokens":
		return exemptBefore | exemptToken | exemptTokens
	}
	return exemptBefore
}

// classAt returns the class of the secret that ends at the i-th word and the
// index of its first word.
func (w *nameWords) classAt(i int, info wordInfo) (nameClass, int) {
	b, prev := w.word(i), w.word(i-1)
	switch string(b) {
	case "key", "keys":
		if r := lookup(prev); r.role&keyBefore != 0 && string(prev) != "public" {
			return classKey, i - 1
		}
	case "id", "ids":
		switch string(prev) {
		case "session", "sess":
			return classSession, i - 1
		case "key":
			if string(w.word(i-2)) == "access" {
				return classKey, i - 2 // AWS_ACCESS_KEY_ID: half of a credential
			}
		case "secret":
			return classSecret, i - 1 // HashiCorp Vault's AppRole secret_id
		}
	case "pass":
		if i == w.n-1 && lookup(prev).role&notPass == 0 {
			return classPassword, i
		}
	case "phrase":
		switch string(prev) {
		case "pass":
			return classPassword, i - 1
		case "seed", "recovery", "mnemonic", "backup":
			return classOTP, i - 1
		}
	case "code", "codes":
		switch string(prev) {
		case "otp", "totp", "mfa", "2fa", "verification", "recovery", "backup", "pass", "pin", "sms", "time", "auth", "authorization":
			return classOTP, i - 1
		case "security":
			if string(w.word(i-2)) == "card" {
				return classCard, i - 2
			}
		}
	case "verifier":
		if string(prev) == "code" { // RFC 7636
			return classToken, i - 1
		}
	case "pin":
		switch string(prev) {
		case "", "user", "card", "security", "sim", "atm", "account", "login":
			return classOTP, i
		}
	case "auth":
		if w.n == 1 || i == w.n-1 && (string(prev) == "basic" || string(prev) == "x" || string(prev) == "proxy" || string(prev) == "http") {
			return classAuth, i
		}
	case "string", "str":
		switch string(prev) {
		case "connection", "conn":
			return classDSN, i - 1
		}
	case "number", "no", "num":
		switch string(prev) {
		case "card":
			return classCard, i - 1
		case "security":
			if string(w.word(i-2)) == "social" {
				return classSSN, i - 2
			}
		}
	case "card":
		if i == w.n-1 && (string(prev) == "credit" || string(prev) == "debit") {
			return classCard, i - 1
		}
	case "security":
		if i == w.n-1 && string(prev) == "social" {
			return classSSN, i - 1
		}
	case "assertion", "response":
		switch string(prev) {
		case "saml", "client":
			if string(b) == "assertion" || string(prev) == "saml" {
				return classCredential, i - 1
			}
		}
	case "signature":
		switch string(prev) {
		case "amz", "goog": // the query parameters of presigned URLs
			return classToken, i - 1
		}
	case "pat":
		switch string(prev) {
		case "gh", "github", "hub", "gitlab", "lab", "azure", "ado", "devops":
			return classToken, i
		}
	}
	if info.class != notSecret {
		return info.class, i
	}
	if info.role != 0 {
		return notSecret, i
	}
	return tailClass(b), i
}

// nameCache remembers what names are, as a dump has the same few names over
// and over. It is direct mapped, so bounded; a reader takes no lock, and a
// name that falls on another's place replaces it.
type nameCache struct {
	seed  maphash.Seed
	slots [1024]atomic.Pointer[nameEntry]
}

type nameEntry struct {
	name string
	info nameInfo
}

// info is classify with the cache.
func (c *names) info(name string) nameInfo {
	if len(name) > maxName {
		return nameInfo{}
	}
	slot := &c.cache.slots[maphash.String(c.cache.seed, name)%uint64(len(c.cache.slots))]
	if e := slot.Load(); e != nil && e.name == name {
		return e.info
	}
	// The caller's bytes may be gone after the call.
	e := &nameEntry{name: strings.Clone(name)}
	e.info = c.classify(e.name)
	slot.Store(e)
	return e.info
}
