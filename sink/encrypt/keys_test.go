package encrypt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"

	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/memory"
)

type sshPair struct{ pub, file string }

// newSSH makes an SSH key and the file that it is in, in today's format.
func newSSH(tb testing.TB, kind, passphrase string) sshPair {
	tb.Helper()
	var private any
	var public any
	switch kind {
	case "ed25519":
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		private, public = key, pub
	case "rsa":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			tb.Fatal(err)
		}
		private, public = key, &key.PublicKey
	}
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return sshPair{authorized(tb, public), writeFile(tb, "id_"+kind, string(pem.EncodeToMemory(block)))}
}

func authorized(tb testing.TB, public any) string {
	tb.Helper()
	pub, err := ssh.NewPublicKey(public)
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub)))
}

// oldSSH makes an RSA key with a passphrase in the format of old, which does not
// show the public key.
func oldSSH(tb testing.TB, passphrase string) sshPair {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	//lint:ignore SA1019 people still have such keys
	block, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), []byte(passphrase), x509.PEMCipherAES256)
	if err != nil {
		tb.Fatal(err)
	}
	p := sshPair{authorized(tb, &key.PublicKey), writeFile(tb, "id_rsa", string(pem.EncodeToMemory(block)))}
	if err := os.WriteFile(p.file+".pub", []byte(p.pub+" me@example\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return p
}

// lockedFile encrypts a file of identities with a passphrase, as "age -p" does.
func lockedFile(tb testing.TB, content, passphrase string, armored bool) string {
	tb.Helper()
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		tb.Fatal(err)
	}
	r.SetWorkFactor(10)
	return writeFile(tb, "key.age", seal(tb, content, armored, r))
}

func seal(tb testing.TB, content string, armored bool, r age.Recipient) string {
	tb.Helper()
	var buf bytes.Buffer
	var dst io.WriteCloser = nopCloser{&buf}
	if armored {
		dst = armor.NewWriter(&buf)
	}
	w, err := age.Encrypt(dst, r)
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = dst.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return buf.String()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// asker answers with a passphrase and counts how often it was asked.
type asker struct {
	mu      sync.Mutex
	answer  string
	err     error
	prompts []string
}

func (a *asker) ask(prompt string) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prompts = append(a.prompts, prompt)
	return []byte(a.answer), a.err
}

// Every kind of key opens what was sealed for it, and asks for a passphrase once
// at most.
func TestKinds(t *testing.T) {
	plain := newKey(t)
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	ed, rsa := newSSH(t, "ed25519", ""), newSSH(t, "rsa", "")
	lockedEd, lockedRSA, old := newSSH(t, "ed25519", "sesame"), newSSH(t, "rsa", "sesame"), oldSSH(t, "sesame")
	other := newKey(t)
	for _, c := range []struct {
		name      string
		recipient string
		file      string
		asks      int
	}{
		{"age", plain.pub, plain.file, 0},
		{"age, recipients in a file", writeFile(t, "team.txt", "# us\n\n"+other.pub+"\n"+plain.pub+"\r\n"), plain.file, 0},
		{"age, several in a file", plain.pub, writeFile(t, "keys", other.id.String()+"\n# two\n"+plain.id.String()), 0},
		{"age, post-quantum", pq.Recipient().String(), writeFile(t, "pq", pq.String()), 0},
		{"age, with a passphrase", plain.pub, lockedFile(t, plain.id.String(), "sesame", false), 1},
		{"age, with a passphrase, armored", plain.pub, lockedFile(t, "# mine\n"+plain.id.String()+"\n", "sesame", true), 1},
		{"SSH, ed25519", ed.pub, ed.file, 0},
		{"SSH, ed25519, with a comment", ed.pub + " me@example", ed.file, 0},
		{"SSH, RSA", rsa.pub, rsa.file, 0},
		{"SSH, recipients in a file", writeFile(t, "authorized_keys", rsa.pub+" a\n"+ed.pub+" b\n"), ed.file, 0},
		{"SSH, ed25519, with a passphrase", lockedEd.pub, lockedEd.file, 1},
		{"SSH, RSA, with a passphrase", lockedRSA.pub, lockedRSA.file, 1},
		{"SSH, RSA, with a passphrase, old", old.pub, old.file, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner, id := memory.New("x"), newIdentity()
			b := newDump(t, id)
			put(t, newStore(t, inner, Config{Recipients: []string{c.recipient}}), id, b)
			a := &asker{answer: "sesame"}
			s := newStore(t, inner, Config{Identities: []string{c.file}, Passphrase: a.ask})
			if len(a.prompts) != 0 {
				t.Errorf("asked before it was needed: %q", a.prompts)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if !bytes.Equal(get(t, s, id), b) {
						t.Error("other bytes come out")
					}
				})
			}
			wg.Wait()
			if len(a.prompts) != c.asks {
				t.Errorf("asked %q, want %d times", a.prompts, c.asks)
			}
			for _, p := range a.prompts {
				if !strings.Contains(p, c.file) {
					t.Errorf("prompt %q does not name the file", p)
				}
			}
			// Another dump is not this key's.
			id = newIdentity()
			put(t, newStore(t, inner, Config{Recipients: []string{newKey(t).pub}}), id, b)
			var none *NoIdentityError
			if _, err := s.Open(t.Context(), entry(id)); !errors.As(err, &none) {
				t.Errorf("a dump for somebody else: error %v", err)
			}
		})
	}
}

// Whoever has a key without a passphrase is not asked for that of another.
func TestAsksLast(t *testing.T) {
	plain, locked := newKey(t), newSSH(t, "ed25519", "sesame")
	inner, id := memory.New("x"), newIdentity()
	put(t, newStore(t, inner, Config{Recipients: []string{plain.pub, locked.pub}}), id, newDump(t, id))
	a := &asker{answer: "sesame"}
	file := lockedFile(t, plain.id.String(), "sesame", false)
	get(t, newStore(t, inner, Config{Identities: []string{file, locked.file, plain.file}, Passphrase: a.ask}), id)
	if len(a.prompts) != 0 {
		t.Errorf("asked %q", a.prompts)
	}
}

func TestPassphraseTrouble(t *testing.T) {
	plain := newKey(t)
	ed := newSSH(t, "ed25519", "sesame")
	cancelled := errors.New("cancelled")
	for name, k := range map[string]struct{ pub, file string }{
		"age":     {plain.pub, lockedFile(t, plain.id.String(), "sesame", true)},
		"ed25519": {ed.pub, ed.file},
	} {
		inner, id := memory.New("x"), newIdentity()
		b := newDump(t, id)
		put(t, newStore(t, inner, Config{Recipients: []string{k.pub}}), id, b)
		open := func(ask Passphrase) error {
			_, err := newStore(t, inner, Config{Identities: []string{k.file}, Passphrase: ask}).Open(t.Context(), entry(id))
			return err
		}
		for _, c := range []struct {
			ask  Passphrase
			want string
		}{
			{nil, "nobody to ask"},
			{(&asker{answer: "open"}).ask, "is wrong"},
			{(&asker{}).ask, "no passphrase was given"},
			{(&asker{err: cancelled}).ask, "cancelled"},
		} {
			err := open(c.ask)
			var none *NoIdentityError
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), k.file) || errors.As(err, &none) {
				t.Errorf("%s: error %v, want %q", name, err, c.want)
			}
			if c.want == "cancelled" && !errors.Is(err, cancelled) {
				t.Errorf("%s: error %v does not wrap that of the question", name, err)
			}
		}
		// A wrong answer is not the last word.
		a := &asker{answer: "open"}
		s := newStore(t, inner, Config{Identities: []string{k.file}, Passphrase: a.ask})
		if _, err := s.Open(t.Context(), entry(id)); err == nil {
			t.Errorf("%s: opened with the wrong passphrase", name)
		}
		a.answer = "sesame"
		if !bytes.Equal(get(t, s, id), b) {
			t.Errorf("%s: other bytes", name)
		}
	}
}

func TestBadRecipients(t *testing.T) {
	key, ed := newKey(t), newSSH(t, "ed25519", "")
	for name, c := range map[string]struct{ entry, want string }{
		"empty":            {" ", "empty"},
		"private key":      {key.id.String(), "private key"},
		"private key, low": {strings.ToLower(key.id.String()), "private key"},
		"private SSH key":  {mustRead(t, ed.file), "private key"},
		"typing error":     {key.pub[:30] + "q" + key.pub[31:] + "q", "recipient 1"},
		"plugin":           {"age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t", "plugin"},
		"ecdsa":            {"ssh-dss AAAAB3NzaC1kc3MAAACB", "no public key"},
		"broken SSH":       {"ssh-ed25519 AAAA", "recipient 1"},
		"no file":          {"/does/not/exist", "/does/not/exist"},
		"folder":           {t.TempDir(), "directory"},
		"nothing in it":    {writeFile(t, "f", "# nobody\n\n"), "no public key"},
		"identity in it":   {writeFile(t, "f", key.pub+"\n"+key.id.String()+"\n"), "line 2: is a private key"},
		"text in it":       {writeFile(t, "f", "root:SECRET:0:0\n"), "line 1: is no public key"},
		"large":            {writeFile(t, "f", strings.Repeat(key.pub+"\n", 20_000)), "larger than"},
	} {
		_, err := ParseRecipients([]string{c.entry})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
		checkHarmless(t, name, err, key.id.String(), ed.file)
	}
	if list, err := ParseRecipients([]string{"  " + key.pub + "\n", ed.pub}); err != nil || len(list) != 2 {
		t.Errorf("%d recipients, error %v", len(list), err)
	}
}

func TestBadIdentities(t *testing.T) {
	key, ed := newKey(t), newSSH(t, "ed25519", "")
	old := oldSSH(t, "sesame")
	if err := os.Remove(old.file + ".pub"); err != nil {
		t.Fatal(err)
	}
	pemOf := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("SECRET")}))
	}
	for name, c := range map[string]struct{ file, want string }{
		"the key itself":     {key.id.String(), "name of a file"},
		"the SSH key itself": {mustRead(t, ed.file), "name of a file"},
		"no file":            {"/does/not/exist", "/does/not/exist"},
		"empty":              {writeFile(t, "f", ""), "no private key"},
		"recipient":          {writeFile(t, "f", key.pub), "line 1: is a public key"},
		"SSH recipient":      {writeFile(t, "f", ed.pub), "line 1: is a public key"},
		"plugin":             {writeFile(t, "f", "AGE-PLUGIN-YUBIKEY-1SECRET"), "plugin"},
		"half a key":         {writeFile(t, "f", "#\n"+key.id.String()[:40]), "line 2: is a private key with an error"},
		"half a new key":     {writeFile(t, "f", "AGE-SECRET-KEY-PQ-1SECRET"), "line 1: is a private key with an error"},
		"text":               {writeFile(t, "f", "SECRET"), "line 1: is no private key"},
		"certificate":        {writeFile(t, "f", pemOf("CERTIFICATE")), "no SSH private key"},
		"broken SSH key":     {writeFile(t, "f", pemOf("OPENSSH PRIVATE KEY")), "no SSH private key"},
		"old without .pub":   {old.file, ".pub"},
	} {
		_, err := ReadIdentities(nil, c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
		checkHarmless(t, name, err, key.id.String(), ed.file)
	}

	// Encrypted for a key instead of with a passphrase.
	a := &asker{answer: "sesame"}
	ids, err := ReadIdentities(a.ask, writeFile(t, "f", seal(t, key.id.String(), false, key.id.Recipient())))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ids[0].Unwrap([]*age.Stanza{{Type: "X25519"}}); err == nil || !strings.Contains(err.Error(), "not encrypted with a passphrase") {
		t.Errorf("error %v", err)
	}
}

// checkHarmless looks for parts of private keys in an error.
func checkHarmless(t *testing.T, name string, err error, key, sshFile string) {
	t.Helper()
	if err == nil {
		return
	}
	text := strings.ToUpper(err.Error())
	for _, secret := range append(strings.Split(mustRead(t, sshFile), "\n")[1:3], key[20:40], "SECRET:", "1SECRET") {
		if strings.Contains(text, strings.ToUpper(secret)) {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
	}
}

func mustRead(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestNoIdentityErrorTexts(t *testing.T) {
	for want, e := range map[string]*NoIdentityError{
		"sealed for one recipient (X25519), and no identity was given":                                             {[]string{"X25519"}, 0},
		"sealed for one recipient (X25519), and the identity that was given is none of theirs":                     {[]string{"X25519"}, 1},
		"sealed for 2 recipients (X25519, ssh-rsa), and none of the 3 identities that were given is one of theirs": {[]string{"X25519", "ssh-rsa"}, 3},
	} {
		if got := e.Error(); got != "the dump is "+want {
			t.Errorf("%q, want %q", got, want)
		}
		if e.Hint() == "" {
			t.Error("no hint")
		}
	}
}
