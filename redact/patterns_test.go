package redact

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// sample is a text with a secret in it, marked by « and ».
type sample struct {
	rule string
	text string // «…» is what must go, and no more
}

func (s sample) parts() (text, secret string) {
	before, rest, _ := strings.Cut(s.text, "«")
	secret, after, _ := strings.Cut(rest, "»")
	return before + secret + after, secret
}

var pemBody = strings.Repeat(word(3, 64, alnum)+"\n", 5) + word(4, 20, alnum) + "==\n"

func pemBlock(label, nl string) string {
	return "-----BEGIN " + label + "-----" + nl + strings.ReplaceAll(pemBody, "\n", nl) + "-----END " + label + "-----"
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func jwtSample() string {
	url := base64.RawURLEncoding.EncodeToString
	return url([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + url([]byte(`{"sub":"1234567890","admin":true}`)) + "." + word(9, 43, alnum)
}

func patternSamples() []sample {
	aws := "AK" + "IA" + word(1, 16, uppernum)
	ghp := "gh" + "p_" + word(2, 36, alnum)
	jwt := jwtSample()
	samples := []sample{
		{"aws-access-key-id", "«" + aws + "»"},
		{"aws-access-key-id", "caller " + "«AS" + "IA" + word(5, 16, uppernum) + "» denied"},
		{"aws-access-key-id", "arn:«" + aws + "»:x"},
		{"github-token", "clone with «" + ghp + "»."},
		{"github-token", "x«" + ghp + "»"}, // glued to a word
		{"github-token", "«github" + "_pat_" + word(6, 22, alnum) + "_" + word(7, 59, alnum) + "»"},
		{"gitlab-token", "«gl" + "pat-" + word(8, 27, alnum) + ".01." + word(8, 9, alnum) + "»"},
		{"slack-token", "«xo" + "xb-" + word(1, 12, digits) + "-" + word(2, 12, digits) + "-" + word(3, 24, alnum) + "»"},
		{"slack-webhook", "https://hooks.slack.com/services/«T" + word(1, 8, uppernum) + "/B" + word(2, 8, uppernum) + "/" + word(3, 24, alnum) + "»"},
		{"discord-webhook", "https://discord.com/api/webhooks/«" + word(1, 18, digits) + "/" + word(2, 68, alnum) + "»"},
		{"anthropic-key", "«sk-" + "ant-api03-" + word(4, 90, alnum) + "-AA»"},
		{"openai-key", "key «sk-" + "proj-" + word(4, 60, alnum) + "», please"},
		{"airtable-token", "«pat" + word(4, 14, alnum) + "." + word(5, 64, hexes) + "»"},
		{"azure-key", "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=«" + word(5, 86, alnum) + "==»;EndpointSuffix=core.windows.net"},
		{"azure-sas", "https://x.blob.core.windows.net/c?sv=2024-11-04&sig=«" + word(6, 20, alnum) + "%2B" + word(7, 20, alnum) + "%3D»&se=2026"},
		{"azure-client-secret", "«" + word(1, 3, alnum) + "8Q" + "~" + word(2, 34, alnum) + "»"},
		{"telegram-token", "bot«" + word(1, 10, digits) + ":A" + "A" + word(2, 33, alnum) + "»/getMe"},
		{"terraform-token", "«" + word(1, 14, alnum) + ".atlas" + "v1." + word(2, 67, alnum) + "»"},
		{"twilio-key", "«S" + "K" + word(1, 32, hexes) + "»"},
		{"google-oauth", "«ya" + "29." + word(1, 80, alnum) + "»"},
		{"google-oauth", "«1/" + "/0" + word(1, 60, alnum) + "»"},

		{"jwt", "«" + jwt + "»"},
		{"jwt", "the token «" + jwt + "» has expired"},
		{"jwt", "cut «" + jwt[:len(jwt)-44] + "»"}, // no signature
		{"jwt", "«" + jwt[:60] + "»"},              // cut in the payload

		{"private-key", "«" + pemBlock("PRIVATE"+" KEY", "\n") + "»\n"},
		{"private-key", "key: \"«" + pemBlock("RSA PRIVATE"+" KEY", `\n`) + "»\""},
		{"private-key", "«" + pemBlock("OPENSSH PRIVATE"+" KEY", "\r\n") + "»"},
		{"private-key", "«-----BEGIN RSA PRIVATE" + " KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00FF\n\n" + pemBody + "-----END RSA PRIVATE" + " KEY-----»"},

		{"authorization", "Bearer «" + word(1, 24, alnum) + "»"},
		{"authorization", "got header bearer «x7f.q-2_~+/=»"},
		{"authorization", "curl -H 'X: Bearer «opaque»'"},
		{"authorization", "Basic «" + b64("aladdin:opensesame") + "»"},
		{"authorization", "basic «" + b64("user:"+strings.Repeat("long", 100)) + "»"},

		{"url-password", "postgres://bob:«pw»@db:5432/shop?sslmode=disable"},
		{"url-password", "redis://:«s3cr3t»@cache:6379/0"},
		{"url-password", "dial https://bob:«p%40ss»@example.com/a@b: refused"},
		{"url-password", "postgres://bob:«p@ss/w#rd?»@db/shop"},
		{"url-password", "amqp://bob:«a:b»@mq"},
		{"url-password", "bob:«p:w@d»@tcp(db:3306)/shop?parseTime=true"},
		{"url-password", `sql.Open("mysql", "bob:«pw»@unix(/run/mysqld.sock)/shop")`},

		{"key-value", "password=«hunter2»"},
		{"key-value", "login failed: user=bob password=«hunter2» from 10.0.0.1"},
		{"key-value", "password: «hunter2»\nuser: bob"},
		{"key-value", `{"user":"bob","password":"«hunter2»"}`},
		{"key-value", `{"user":"bob","password" : "«hun\"ter\\»"}`},
		{"key-value", `{"body":"{\"password\":\"«hunter2»\"}"}`},
		{"key-value", `{\\\"apiKey\\\":\\\"«abc»\\\"}`},
		{"key-value", "{User:bob Password:«hunter2» Age:3}"},
		{"key-value", `main.User{Name:"bob", DBPassword:"«hunter 2»"}`},
		{"key-value", "map[password:«hunter2» user:bob]"},
		{"key-value", "map[user:bob password:«hunter2»]"},
		{"key-value", "map[X-Api-Key:[«abc def»] Accept:[*/*]]"},
		{"key-value", "GET /items?access_token=«abc123»&page=2"},
		{"key-value", "GET /items?page=2&token=«abc123» HTTP/1.1"},
		{"key-value", "host=db user=bob password='«hunter 2»' dbname=shop"},
		{"key-value", "Server=db;Uid=bob;Pwd=«hunter2»;Database=shop"},
		{"key-value", "password=«ab,cd;e}f»,user=x"}, // separators inside of the value
		{"key-value", "password=«it's»"},
		{"key-value", "Cookie: «theme=dark; sid=abc»\r\nHost: x"},
		{"key-value", "Set-Cookie: «sid=abc; Path=/»\n"},
		{"key-value", "Authorization: «Digest username=bob, response=abc»\n"},
		{"key-value", "Authorization: «secret-scheme-less»\nHost: x"},
		{"key-value", "X-Vault-Token: «abc»\n"},
		{"key-value", "deploy --db-password «hunter2» --verbose"},
		{"key-value", "deploy --db-password=«hunter2» --verbose"},
		{"key-value", "<user>bob</user><password>«hunter 2»</password>"},
		{"key-value", "the api key: «abc123»"},
		{"key-value", `r.Header.Set("X-Api-Key", "«abc»")`},
		{"key-value", `m["password"] = "«hunter2»"`},
		{"key-value", `aws_secret_access_key = «` + word(1, 20, alnum) + "/" + word(2, 19, alnum) + "»"},
		{"key-value", `AWSSecretAccessKey: «abc+/def»`},
		{"key-value", `password := "«hunter2»"`},
		{"key-value", `if password == "«hunter2»" {`},
		{"key-value", "token=«abc\xff\xfe» x"},
		{"key-value", `http.Header{"X-Api-Key":[]string{«"abc", "d}e"»}, "Accept":[]string{"x"}}`},
		{"key-value", `{Secret:[]uint8{«0x61, 0x62»}}`},
		{"key-value", `{"name":"DB_PASSWORD","value":"«hunter2»"}`},
		{"key-value", `{"name": "DB_PASSWORD", "value": "«hunter2»"}`},
		{"key-value", `{\"Name\":\"DB_PASSWORD\",\"Value\":\"«hunter2»\"}`},
		{"key-value", `&{Name:session_id Value:«abc» Path:/}`},
		{"key-value", `http.Cookie{Name:"session_id", Value:"«abc»", Path:"/"}`},
		{"key-value", `wrong password "«hunter2»" for bob`},
		{"key-value", `invalid token "«abc-123»"`},
		{"key-value", "q=password%3D«hunter2»"},
		{"key-value", "pin=«1234»"},
		{"key-value", "otp: «123456»"},

		{"generic-token", "«" + word(1, 32, alnum) + "»"},
		{"generic-token", "id «" + word(1, 32, hexes) + "» was not found"},
		{"generic-token", "«" + word(1, 5000, alnum) + "»"},
		{"generic-token", "\x00\xff«" + word(1, 33, alnum) + "»\xff"},
		{"generic-token", "user_id=«" + word(1, 40, hexes) + "»"},
		{"generic-token", "trace_id=«" + word(1, 33, hexes) + "»"},                      // no such length
		{"generic-token", "trace_id=«" + word(1, 31, hexes) + "g»"},                     // not hexadecimal
		{"generic-token", "trace_id=«" + "aA" + word(1, 30, hexes) + "»"},               // mixed case
		{"generic-token", "no_digest_of=«" + word(1, 31, hexes) + "x»"},                 // by content
		{"generic-token", "«" + strings.Repeat("LongIdentifierWithManyWords", 2) + "»"}, // as in Python coredumpy
	}
	// The documented shape of each provider's tokens, at its shortest.
	for _, f := range tokenFormats {
		for i, p := range f.prefixes {
			set := ""
			for c := range 128 {
				if in(byte(c), f.body&^(csDot|csPercent)) && isAlnum(byte(c)) {
					set += string(rune(c))
				}
			}
			body := word(byte(i+1), f.min, set)
			if f.dotAt > 0 {
				body = body[:f.dotAt] + "." + body[f.dotAt+1:]
			}
			if f.digit {
				body = "7" + body[1:]
			}
			keep := p[:f.keep(p)]
			samples = append(samples, sample{f.id, "(" + keep + "«" + p[len(keep):] + body + "»)"})
		}
	}
	return samples
}

func TestPatternsFind(t *testing.T) {
	e := newTestEngine(t, nil)
	seen := map[string]bool{}
	for _, s := range patternSamples() {
		text, secret := s.parts()
		seen[s.rule] = true
		// On its own, and anywhere in a text.
		for _, round := range []struct{ before, after string }{{"", ""}, {"some text\n", "\nmore text"}, {"\xf0\x28\x8c\n", "\n\x00"}} {
			in := round.before + text + round.after
			out, found := apply(t, e, Text{Value: in})
			if len(found) != 1 || in[found[0].Start:found[0].End] != secret {
				t.Errorf("%s: in %q found %v, want %q: %q", s.rule, in, found, secret, out)
				continue
			}
			if strings.Contains(out, secret) && len(secret) > 3 {
				t.Errorf("%s: %q still has %q", s.rule, out, secret)
			}
		}
		// The rule that names the finding, if it is alone.
		only := newTestEngine(t, func(c *Config) {
			for _, r := range Rules() {
				if r.ID != s.rule && !strings.HasPrefix(r.ID, "name-") {
					c.Disable = append(c.Disable, r.ID)
				}
			}
		})
		if _, found := apply(t, only, Text{Value: text}); rulesOf(found) != s.rule {
			t.Errorf("%s alone: in %q found %v", s.rule, text, found)
		}
		// And nothing of it if it is switched off.
		without := newTestEngine(t, func(c *Config) { c.Disable = []string{s.rule} })
		if _, found := without.Apply(Text{Value: text}); strings.Contains(rulesOf(found), s.rule) {
			t.Errorf("%s is off, but in %q it found %v", s.rule, text, found)
		}
	}
	for _, r := range Rules() {
		if !seen[r.ID] && r.ID != "environ" && !strings.HasPrefix(r.ID, "name-") {
			t.Errorf("rule %s has no sample", r.ID)
		}
	}
}

// negatives are texts that must come out as they are.
var negatives = []string{
	"", "x", "password", "token", "the password is wrong", "invalid token", "Bearer", "Bearer authentication failed", "Basic functionality",
	"missing bearer token", `Bearer realm="shop", error="invalid_token"`, "basic auth is required", "password:", "password=", `password=""`,
	"password: ", `{"password":null}`, `{"password":true,"token":false}`, "password=%s", "token=${TOKEN}", `{"token":"{{ .Token }}"}`,
	"parse token: unexpected end of JSON input", "verify token: signature is invalid", "token: expired", "secret: not found",
	"unexpected token: }", `unexpected token: "x"`, "max_tokens=4096 token_count: 12 tokenizer=bpe", "password_policy=strict", "passwordless=1",
	"cookie_domain=example.com", "secret_name=db", "token_type: bearer", `{"token_endpoint":"https://x/y"}`, "next_page_token=abc",
	"key=value", "primary key: 12", "keyboard: us", "monkey=george", "typing: fast", "opinion=good", "pinned: yes", "session=12", "author=bob",
	"https://example.com:8080/a@b", "http://example.com/user:pw", "http://bob@example.com", "https://bob:xxxxx@example.com/", "mailto:a@b.c", "10:30@noon",
	"git@github.com:acme/shop.git", "::1", "a://b", "://", ":@tcp(", "x@tcp(db)/y",
	"0190163d-8694-739b-aea5-966c26f8ad91", "00-" + word(1, 32, hexes) + "-" + word(2, 16, hexes) + "-01",
	"trace_id=" + word(1, 32, hexes), "trace ID " + word(1, 32, hexes) + " span " + word(2, 16, hexes), `"traceId":"` + word(1, 32, hexes) + `"`,
	"image@sha256:" + word(1, 64, hexes), "commit " + word(1, 40, hexes), "etag: \"" + word(1, 32, hexes) + `"`,
	"/dumps/v1/traces/" + word(1, 32, hexes) + "/0190163d-8694-739b-aea5-966c26f8ad91.cdmp", "md5=" + strings.ToUpper(word(1, 32, hexes)),
	word(1, 31, alnum), strings.Repeat(word(1, 31, alnum)+"-", 9),
	"AKIA", "AKIAIOSFODNN7", "XAKIA" + word(1, 16, uppernum), "ghp_short", "glpat-", "xoxb-", "sk-", "risk-averse-people-in-offices", "task-" + word(1, 25, alnum),
	"sk-learn-is-a-python-library", "hf_hub_download", "SG.x", "eyJ", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9 . x",
	"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
	"no -----BEGIN PRIVATE" + " KEY----- in it", "-----BEGIN ", "pattern.with.dots", "12:34:AAB", "-5Q~", "a.atlasv1.b",
	"2026-11-23T03:20:00Z", "/usr/local/go/src/runtime/panic.go:860", "runtime.gopanic({0x7a6c80?, 0xc000012345?})",
	"github.com/acme/shop/internal/fulfilment.(*Planner).reserveStock", "ORDER-10023", "129.95 EUR", "a\x00b\xffc", "‹", "‹redacted:", "‹redacted:x:len=›",
	"runtime error: index out of range [5] with length 3", "invalid memory address or nil pointer dereference",
	`"channel_creds": [{"type":"x"}]`, "passConstToNestedIf:10", "cookie: value is too long", "http: named cookie not present", "authorization: header missing here",
}

func TestPatternsLeave(t *testing.T) {
	e := newTestEngine(t, nil)
	for _, s := range negatives {
		if out, found := apply(t, e, Text{Value: s}); found != nil {
			t.Errorf("%q: found %v: %q", s, found, out)
		}
	}
}

// Of a PEM block that was cut there is no telling where it ends: text behind it
// may go, too, but nothing of it stays.
func TestCutPEM(t *testing.T) {
	e := newTestEngine(t, nil)
	block := pemBlock("EC PRIVATE"+" KEY", "\n")
	for _, n := range []int{60, 150, 300, len(block) - 30} {
		out, found := apply(t, e, Text{Value: "a " + block[:n]})
		if want := "a " + Marker("private-key", n); out != want {
			t.Errorf("cut at %d: got %q, want %q: %v", n, out, want, found)
		}
	}
}

func TestGenericTokenByName(t *testing.T) {
	e := newTestEngine(t, nil)
	for _, tt := range []struct {
		name, value string
		want        bool // redacted
	}{
		{"traceID", word(1, 32, hexes), false},
		{"trace_id", strings.ToUpper(word(1, 32, hexes)), false},
		{"vcs.revision", word(1, 40, hexes), false},
		{"contentSHA256", word(1, 64, hexes), false},
		{"sha512sum", word(1, 128, hexes), false},
		{"etag", `"` + word(1, 32, hexes) + `"`, false},
		{"commit", word(1, 40, hexes), false},
		{"commit", word(1, 40, alnum), true},
		{"commit", word(1, 41, hexes), true},
		{"orderID", word(1, 32, hexes), true},
		{"", word(1, 32, hexes), true},
		{"tokenHash", word(1, 64, hexes), true}, // a secret name goes first
	} {
		_, found := apply(t, e, Text{Value: tt.value, Name: tt.name})
		if got := found != nil; got != tt.want {
			t.Errorf("%s = %q: redacted %v, want %v", tt.name, tt.value, got, tt.want)
		}
	}
}

func TestSites(t *testing.T) {
	e := newTestEngine(t, func(c *Config) {
		c.Env = []string{"DEPLOY_PASSWORD=opensesame1", "THEME=solarized-dark"}
	})
	long := "TestPlannerReservesStockForShipmentInOrder"
	random := word(1, 40, alnum)
	for _, tt := range []struct {
		site        Site
		name, value string
		want        string // what is left, «rule» for markers
	}{
		{SiteValue, "", long, "«generic-token»"},
		{SiteSymbol, "", "acme/shop." + long, "acme/shop." + long},
		{SitePath, "", "/src/" + long + ".go", "/src/" + long + ".go"},
		{SiteSource, "", "func " + long + "() {}", "func " + long + "() {}"},
		{SiteSource, "", `key := "` + random + `"`, `key := "«generic-token»"`},
		{SiteSource, "", `x := "` + strings.Repeat("abcdefgh", 4) + `"`, `x := "«generic-token»"`},
		{SitePath, "", "/tmp/" + random, "/tmp/«generic-token»"},
		{SitePath, "", "/src/token:x", "/src/token:x"},
		{SitePath, "password", "/src/x.go", "/src/x.go"},
		{SiteSymbol, "", "main.password=x", "main.password=x"},
		{SitePath, "", "/home/opensesame1/x", "/home/«environ»/x"},
		{SitePath, "", "/home/solarized-dark/x", "/home/solarized-dark/x"},
		{SiteValue, "", "theme solarized-dark", "theme «environ»"},

		{SiteSource, "password", `	password := "hunter2secret"`, `	password := "«key-value»"`},
		{SiteSource, "", `password := readPassword(ctx)`, `password := readPassword(ctx)`},
		{SiteSource, "", `Password string ` + "`json:\"password\"`", `Password string ` + "`json:\"password\"`"},
		{SiteSource, "", `opts.Token = token`, `opts.Token = token`},
		{SiteSource, "", `const apiKey string = "abc"`, `const apiKey string = "«key-value»"`},
		{SiteSource, "", `key, err := parse([]byte("x"), password: p)`, `key, err := parse([]byte("x"), password: p)`},
		{SiteSource, "", `secret = []byte("hunter2")`, `secret = []byte("«key-value»")`},
		{SiteSource, "", `dsn := "host=db password=hunter2 user=bob"`, `dsn := "«key-value»"`},
		{SiteSource, "", `db := open("host=db password=hunter2 user=bob")`, `db := open("host=db password=«key-value» user=bob")`},
		{SiteSource, "", `fmt.Errorf("password=%s", p)`, `fmt.Errorf("password=%s", p)`},
		{SiteSource, "", `	token "go/token"`, `	token "go/token"`},
		{SiteSource, "", `tokens := []string{"a", "b"}`, `tokens := []string{«key-value»}`},
		{SiteSource, "", `tokens := []string{a, b}`, `tokens := []string{a, b}`},
		{SiteSource, "", `case "token": return 1`, `case "token": return 1`},
		{
			SiteSource, "", "a\n" + pemBlock("PRIVATE"+" KEY", "\n") + "\nb",
			"a\n" + strings.Repeat("«private-key»\n", 8) + "b",
		},

		{SiteCommandLine, "", "shop\x00--token\x00a b c\x00-v", "shop\x00--token\x00«key-value»\x00-v"},
		{SiteCommandLine, "", "shop\x00--password=a b&c\x00-v", "shop\x00--password=«key-value»\x00-v"},
		{SiteCommandLine, "", "shop --token abc -v", "shop --token «key-value» -v"},
		{SiteCommandLine, "", "shop --token-file /x", "shop --token-file /x"},
		{SiteLabel, "api_key", "abc", "«name-key»"},
		{SiteAttribute, "http.request.header.authorization", "abc", "«name-auth»"},
		{SiteKey, "", "password", "password"},
		{SiteBytes, "body", "token=abc\xff\x00", "token=«key-value»\x00"},
	} {
		out, found := apply(t, e, Text{Value: tt.value, Name: tt.name, Site: tt.site})
		for _, f := range found {
			out = strings.Replace(out, Marker(f.Rule, f.End-f.Start), "«"+f.Rule+"»", 1)
		}
		if out != tt.want {
			t.Errorf("%s %q: got %q, want %q", tt.site, tt.value, out, tt.want)
		}
	}
}

func TestOverlap(t *testing.T) {
	env := "prefix-" + word(1, 12, alnum)
	e := newTestEngine(t, func(c *Config) {
		c.Env = []string{"SETTING=" + env, "OTHER=" + env[8:] + "-suffix"}
		c.Patterns = []string{`left[a-z]+`, `[a-z]+right`}
	})
	ghp := "gh" + "p_" + word(2, 36, alnum)
	for _, tt := range []struct{ in, want string }{
		// Keywords within one another, ends over beginnings.
		{env + "-suffix", "«environ»"},
		{env + env, "«environ»"},
		{"leftmiddleright", "«pattern-1»"},
		// The finding that says most names the whole.
		{"password=" + ghp, "password=«github-token»"},
		{"Authorization: Bearer " + ghp, "Authorization: «github-token»"},
		{"https://x:" + ghp + "@github.com", "https://x:«github-token»@github.com"},
		{"token=" + env + ",x", "token=«environ»"}, // the pair's value is longer
		// Two in a row stay two.
		{"password=a token=b", "password=«key-value» token=«key-value»"},
		// What only the first redaction lays bare.
		{env + "s" + "k-" + word(4, 30, alnum+"7"), "«environ»«openai-key»"},
	} {
		out, found := apply(t, e, Text{Value: tt.in})
		for _, f := range found {
			out = strings.Replace(out, Marker(f.Rule, f.End-f.Start), "«"+f.Rule+"»", 1)
		}
		if out != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, out, tt.want)
		}
	}
}

func TestMarker(t *testing.T) {
	for _, tt := range []struct {
		rule string
		n    int
		want string
	}{
		{"jwt", 212, "‹redacted:jwt:len=212›"},
		{"", 1, "‹redacted:custom:len=1›"},
		{"a b:c›", -3, "‹redacted:a-b-c---:len=0›"},
		{strings.Repeat("x", 99), 1, "‹redacted:" + strings.Repeat("x", 48) + ":len=1›"},
	} {
		got := Marker(tt.rule, tt.n)
		if got != tt.want {
			t.Errorf("Marker(%q, %d) = %q, want %q", tt.rule, tt.n, got, tt.want)
		}
		if end := markerAt("ab"+got+"c", 2); end != 2+len(got) {
			t.Errorf("%q is not recognised as a marker: end %d", got, end)
		}
	}
}

// Text that looks like a marker hides nothing.
func TestForgedMarker(t *testing.T) {
	e := newTestEngine(t, nil)
	m := Marker("jwt", 3)
	for _, tt := range []struct{ name, in, want string }{
		{"", "password=" + m + " token=abc", "password=" + m + " token=" + Marker("key-value", 3)},
		{"password", m, m},
		{"password", m + "x", Marker("name-password", len(m)+1)},
		{"", "password=‹redacted:jwt›", "password=" + Marker("key-value", len("‹redacted:jwt›"))},
		{"", "password=" + m + "rest", "password=" + m + "rest"},
	} {
		if out, _ := apply(t, e, Text{Value: tt.in, Name: tt.name}); out != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, out, tt.want)
		}
	}
}

func ExampleEngine_Apply() {
	e, err := New(DefaultConfig())
	if err != nil {
		panic(err)
	}
	out, found := e.Apply(Text{Value: "dial postgres://bob:hunter2@db/shop: timeout", Site: SiteError})
	fmt.Println(out)
	fmt.Println(found[0].Rule)
	out, _ = e.Apply(Text{Value: "hunter2", Name: "dbPassword"})
	fmt.Println(out)
	// Output:
	// dial postgres://bob:‹redacted:url-password:len=7›@db/shop: timeout
	// url-password
	// ‹redacted:name-password:len=7›
}
