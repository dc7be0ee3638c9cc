package redact

import (
	"bytes"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Patterns: []string{"ok", "a(b"}}, "pattern-2"},
		{Config{Disable: []string{"jwt", "nonsense"}}, `"nonsense"`},
		{Config{Disable: []string{""}}, `""`},
		{Config{EnvironMinLength: -1}, "environ_min_length"},
		{Config{Names: []string{"..."}}, `"..."`},
		{Config{AllowNames: []string{strings.Repeat("x", 200)}}, "xxx"},
	} {
		if e, err := New(tt.cfg); err == nil || e != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v): %v, want an error with %s", tt.cfg, err, tt.want)
		}
	}
	if _, err := New(DefaultConfig(), nil); err == nil || !strings.Contains(err.Error(), "redactor 1") {
		t.Errorf("New with a nil redactor: %v", err)
	}
}

func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		if seen[r.ID] {
			t.Errorf("rule %s is there twice", r.ID)
		}
		seen[r.ID] = true
		if r.Doc == "" || !r.Default || cleanRule(r.ID) != r.ID || !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(r.ID) {
			t.Errorf("rule %+v", r)
		}
	}
	if n := rankTokens + len(tokenRanks); n >= rankEnviron {
		t.Errorf("token ranks reach %d, into those of other rules at %d", n, rankEnviron)
	}
	if len(bodySets) > maxBodySets {
		t.Errorf("%d alphabets of tokens", len(bodySets))
	}
	doc, err := os.ReadFile("../docs/redaction.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append(Rules(), RuleInfo{ID: RulePanic}, RuleInfo{ID: RuleInternal}) {
		if !bytes.Contains(doc, []byte("`"+r.ID+"`")) {
			t.Errorf("docs/redaction.md does not speak of rule %s", r.ID)
		}
	}
	all := make([]string, 0, len(seen))
	for id := range seen {
		all = append(all, id)
	}
	e := newTestEngine(t, func(c *Config) { c.Disable = all; c.Env = []string{"X=blue-whale-77"} })
	text := "password=x blue-whale-77 " + word(1, 64, alnum)
	if out, found := apply(t, e, Text{Value: text, Name: "password"}); found != nil || out != text {
		t.Errorf("with all rules off: %q, %v", out, found)
	}
}

func TestZeroConfig(t *testing.T) {
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	text := "password=x " + word(1, 64, alnum)
	if out, found := e.Apply(Text{Value: text, Name: "password"}); found != nil || out != text {
		t.Errorf("got %q, %v", out, found)
	}
}

func TestConfigPatterns(t *testing.T) {
	e := newTestEngine(t, func(c *Config) { c.Patterns = []string{`ORD-[0-9]+`, `(?i)acme`, `x*`} })
	out, found := apply(t, e, Text{Value: "order ORD-100 of Acme"})
	if want := "order " + Marker("pattern-1", 7) + " of " + Marker("pattern-2", 4); out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if !reflect.DeepEqual(found, []Finding{{"pattern-1", 6, 13}, {"pattern-2", 17, 21}}) {
		t.Errorf("found %v", found)
	}
	if out, _ := apply(t, e, Text{Value: "\xffORD-1\xff"}); out != "\xff"+Marker("pattern-1", 5)+"\xff" {
		t.Errorf("got %q", out)
	}
}

func TestExtraRedactors(t *testing.T) {
	var got []Text
	whale := RedactorFunc(func(t Text) []Finding {
		got = append(got, t)
		var f []Finding
		for i := 0; ; {
			n := strings.Index(t.Value[i:], "whale")
			if n < 0 {
				return f
			}
			f = append(f, Finding{"my whale", i + n, i + n + 5})
			i += n + 5
		}
	})
	odd := RedactorFunc(func(t Text) []Finding {
		if strings.Contains(t.Value, "odd") {
			return []Finding{{"", len(t.Value) - 1, len(t.Value) + 100}, {"x", -5, 1}, {"x", 3, 3}, {"x", 5, 2}, {"x", 1 << 40, 1 << 41}}
		}
		return nil
	})
	e := newTestEngine(t, nil, whale, odd)
	text := Text{Value: "a whale, password=whale-2", Name: "n", Type: "string", Site: SiteError}
	out, found := apply(t, e, text)
	if want := "a " + Marker("my-whale", 5) + ", password=" + Marker("key-value", 7); out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if !reflect.DeepEqual(found, []Finding{{"my-whale", 2, 7}, {"key-value", 18, 25}}) {
		t.Errorf("found %v", found)
	}
	if got[0] != text {
		t.Errorf("the redactor got %+v", got[0])
	}
	out, _ = e.Apply(Text{Value: "odd one"})
	if want := Marker("x", 1) + "dd on" + Marker("custom", 1); out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if out, found := e.Apply(Text{Value: "nothing"}); out != "nothing" || found != nil {
		t.Errorf("got %q, %v", out, found)
	}
}

func TestRedactorPanics(t *testing.T) {
	calls := 0
	e := newTestEngine(t, nil, RedactorFunc(func(t Text) []Finding {
		calls++
		panic(t.Value)
	}), RedactorFunc(func(Text) []Finding { calls++; return nil }))
	out, found := e.Apply(Text{Value: "ordinary"})
	if out != Marker(RulePanic, 8) || !reflect.DeepEqual(found, []Finding{{RulePanic, 0, 8}}) || calls != 1 {
		t.Errorf("got %q, %v after %d calls", out, found, calls)
	}
}

// A defect in the engine itself hides the text and hurts nobody.
func TestEngineFails(t *testing.T) {
	e := newTestEngine(t, nil)
	m := *e.m.Load()
	m.keywords = nil // the next hit is out of range
	e.m.Store(&m)
	out, found := e.Apply(Text{Value: "password=x"})
	if out != Marker(RuleInternal, 10) || rulesOf(found) != RuleInternal {
		t.Errorf("got %q, %v", out, found)
	}
}

func TestApplyLines(t *testing.T) {
	e := newTestEngine(t, nil)
	for _, tt := range []struct {
		site     Site
		in, want []string
	}{
		{SiteSource, []string{"a", "b"}, []string{"a", "b"}},
		{SiteSource, nil, nil},
		{
			SiteSource,
			[]string{"a := `-----BEGIN PRIVATE" + " KEY-----", strings.Repeat("ab/+", 16), "-----END PRIVATE" + " KEY-----`", "c"},
			[]string{"a := `" + Marker("private-key", 27), Marker("private-key", 64), Marker("private-key", 25) + "`", "c"},
		},
		{SiteCommandLine, []string{"shop", "--token", "a b", "-v"}, []string{"shop", "--token", Marker("key-value", 3), "-v"}},
		{SiteCommandLine, []string{"shop", "--token", "--password", "x\ny"}, []string{"shop", "--token", "--password", Marker("key-value", 3)}},
		// An argument may not hold NUL, but may come from anywhere.
		{SiteCommandLine, []string{"a\x00b", "password=x\x00y"}, []string{"a\x00b", "password=" + Marker("key-value", 1) + "\x00y"}},
	} {
		out, found := e.ApplyLines(tt.site, tt.in)
		if !slices.Equal(out, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.in, out, tt.want)
		}
		if (found == nil) != slices.Equal(tt.in, tt.want) {
			t.Errorf("%q: found %v", tt.in, found)
		}
	}
	bad := newTestEngine(t, nil, RedactorFunc(func(t Text) []Finding { panic(1) }))
	if out, found := bad.ApplyLines(SiteSource, []string{"a", "bc"}); !slices.Equal(out, []string{Marker(RulePanic, 1), Marker(RulePanic, 2)}) || len(found) != 2 {
		t.Errorf("got %q, %v", out, found)
	}
}

func TestNoAllocations(t *testing.T) {
	e := envEngine(t, "SETTING=blue-whale-77")
	texts := append(slices.Clone(negatives), prose)
	for _, s := range texts {
		if strings.Contains(s, "‹redacted") || strings.Contains(strings.ToLower(s), "bearer") {
			continue // what looks much like a hit may cost something
		}
		for site := SiteValue; site <= SiteSymbol; site++ {
			text := Text{Value: s, Name: "description", Site: site}
			e.Apply(text) // fill the cache of names
			if n := testing.AllocsPerRun(10, func() { e.Apply(text) }); n != 0 {
				t.Errorf("%s %.40q: %v allocations", site, s, n)
			}
		}
	}
}

// Time stays linear in the length, for texts made to be looked at again and
// again. The limit is generous; what is quadratic takes minutes here.
func TestHugeTexts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	e := envEngine(t, "A=abcdefghijkl", "B_PASSWORD=abcd")
	const size = 256 << 10
	for _, unit := range []string{
		"a", " ", "\x00", "password", "password=", "password=\"", "password='", "token=\\\"", "token=`", "token: word ", "authorization: digest ", "authorization: bearer ",
		"cookie:a ", "cookie: a=b ", "token=[", "token=[]string{", "token=[]string{\"", "token, value: ", "token \"a1", "token%3d", "token={{", "token=${", "<token>", "--token ", "token \"", "\"token\": ", "token=,", "token=)", "token=;a", "key", "api key",
		"eyJ", "eyJ.", "eyJhbGciOiJIUzI1NiJ9.", "-----BEGIN ", "-----BEGIN PRIVATE" + " KEY-----", "-----BEGIN PRIVATE" + " KEY-----\n-----END ", "://", "://a:", "x://a:b@", "x://a:/", "@tcp(", "a:@tcp(", "bearer ", "bearer x",
		"basic ", "basic QQ", "basic QUFBQUFBQUFB", "gh" + "p_", "sk-", "xox" + "b-", "xox" + "b-aaaaaaaaaa ", "SG.", "AKIA", "AccountKey=", "?sig=", ":AA", "1:AA", "Q~", "1Q~", ".atlasv1.",
		"abcd", "abcd ", "abcdefghijk", "abcdefghijkl", "‹redacted:", "‹redacted:x:len=1›", "0123456789abcdef0123456789abcdef ", "\"\n", "\\\"", "a=b&", "=", ":", "\\", "pat.", "glc_",
	} {
		text := strings.Repeat(unit, size/len(unit)+1)
		start := time.Now()
		out, found := e.Apply(Text{Value: text})
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%q repeated: %v", unit, d)
		} else if d > time.Second {
			t.Logf("%q repeated: %v, %d findings", unit, d, len(found))
		}
		if found == nil && out != text {
			t.Errorf("%q repeated: changed and found nothing", unit)
		}
	}
}

// Wherever a secret stands, it does not come out.
func TestSecretNeverComesOut(t *testing.T) {
	secret := "blue-whale-77"
	e := envEngine(t, "SETTING="+secret)
	filler := []string{"", " ", "x", "password=", "\"", "\\", "\xff", "://a:", "@", "\n", Marker("jwt", 9), "‹redacted:", word(1, 40, alnum), "Bearer ", ",", "eyJhbGciOiJIUzI1NiJ9.", "key: "}
	for _, a := range filler {
		for _, b := range filler {
			for _, c := range filler {
				in := a + b + secret + c + secret + b
				for site := SiteValue; site < SitePath; site++ {
					if out, _ := apply(t, e, Text{Value: in, Site: site}); strings.Contains(out, secret) {
						t.Fatalf("%s %q came out as %q", site, in, out)
					}
				}
			}
		}
	}
}

// Many secrets of all kinds in one text, in any order: none comes out, and what
// stands between them does.
func TestMixedText(t *testing.T) {
	e := newTestEngine(t, nil)
	samples := patternSamples()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		rnd.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
		var text, want strings.Builder
		for i, s := range samples {
			in, secret := s.parts()
			before, after, _ := strings.Cut(in, secret)
			between := "\nitem " + strconv.Itoa(i) + ". "
			text.WriteString(between + in)
			want.WriteString(between + before + "‹›" + after)
		}
		out, found := apply(t, e, Text{Value: text.String()})
		for _, f := range found {
			out = strings.Replace(out, Marker(f.Rule, f.End-f.Start), "‹›", 1)
		}
		if out != want.String() {
			t.Fatalf("got\n%s\nwant\n%s", out, want.String())
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, s := range patternSamples() {
		text, _ := s.parts()
		f.Add([]byte(text), "name", byte(0))
	}
	for i, s := range negatives {
		f.Add([]byte(s), "password", byte(i))
	}
	secret := "Blue-Whale-77"
	plain, err := New(Config{Secrets: true, Environ: true, Env: []string{"SETTING=" + secret, "DB_PASSWORD=wh77"}})
	if err != nil {
		f.Fatal(err)
	}
	patterned, err := New(Config{Secrets: true, Environ: true, Env: []string{"SETTING=" + secret}, Patterns: []string{`a.*b`, `(?s)x.y`}},
		RedactorFunc(func(t Text) []Finding { return nil }))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte, name string, where byte) {
		site := Site(where % byte(SiteSymbol+1))
		in := Text{Value: string(text), Name: name, Site: site}
		apply(t, plain, in)
		apply(t, patterned, in)
		// A secret put anywhere into the text does not come out.
		if site == SitePath || site == SiteSymbol {
			return
		}
		at := int(where) % (len(text) + 1)
		in.Value = string(slices.Concat(text[:at], []byte(secret), text[at:]))
		if out, _ := apply(t, plain, in); strings.Contains(out, secret) {
			t.Errorf("%q came out as %q", in.Value, out)
		}
	})
}

func FuzzAutomaton(f *testing.F) {
	f.Add([]byte("he she his hers"), []byte("ushers"))
	f.Add([]byte("a aa aaa AAAA \xff\xff"), []byte("aaaaa\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, list, text []byte) {
		var keywords []string
		for _, k := range bytes.Split(list, []byte(" ")) {
			if len(k) > 0 && len(keywords) < 50 {
				keywords = append(keywords, string(k))
			}
		}
		if len(keywords) == 0 {
			return
		}
		a := newAutomaton(keywords)
		type hit struct{ id, end int }
		got := map[hit]int{}
		state := uint32(0)
		for i, c := range text {
			if state = a.next[state+uint32(a.class[c])]; state >= a.accept {
				for _, id := range a.outputs(state) {
					got[hit{int(id), i + 1}]++
				}
			}
		}
		want := map[hit]int{}
		for id, k := range keywords {
			for end := len(k); end <= len(text); end++ {
				match := true
				for i := range len(k) {
					match = match && lower(text[end-len(k)+i]) == lower(k[i])
				}
				if match {
					want[hit{id, end}]++
				}
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("keywords %q in %q: got %v, want %v", keywords, text, got, want)
		}
		if a.hits(string(text)) != (len(want) > 0) {
			t.Errorf("keywords %q in %q: hits is %v", keywords, text, len(want) == 0)
		}
	})
}
