package encrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"
)

// Passphrase asks somebody for a passphrase. The prompt says what it is for, such
// as "passphrase of the SSH key /home/me/.ssh/id_ed25519", without a colon. It is
// called when the passphrase is needed, which may be never, and only once for each
// identity unless it was wrong. It may be called on any goroutine.
type Passphrase func(prompt string) ([]byte, error)

// ReadIdentities reads files with private keys. Each is one of
//
//   - a file of age-keygen: lines with AGE-SECRET-KEY-1… or AGE-SECRET-KEY-PQ-1…;
//   - such a file encrypted with a passphrase ("age -p"), armored or not;
//   - an SSH private key of the type ed25519 or RSA, which may have a passphrase.
//
// What has a passphrase is opened when a dump that it might fit is, with what ask
// returns; if ask is nil, the error then says that nobody could be asked. No error
// shows a part of a key.
//
// The identities may be used concurrently.
func ReadIdentities(ask Passphrase, files ...string) ([]age.Identity, error) {
	var all []age.Identity
	for _, name := range files {
		if looksSecret(strings.TrimSpace(name)) {
			return nil, errors.New("an identity is given as a private key itself; give the name of a file that holds it")
		}
		list, err := readIdentities(ask, name)
		if err != nil {
			return nil, fmt.Errorf("reading identities: %w", err)
		}
		all = append(all, list...)
	}
	return all, nil
}

func readIdentities(ask Passphrase, name string) ([]age.Identity, error) {
	b, err := readKeyFile(name)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(b, []byte("age-encryption.org/")), bytes.HasPrefix(b, []byte(armor.Header)):
		return []age.Identity{&encryptedFile{name: name, content: b, ask: ask}}, nil
	case bytes.HasPrefix(b, []byte("-----BEGIN")):
		id, err := readSSH(ask, name, b)
		if err != nil {
			return nil, err
		}
		return []age.Identity{id}, nil
	}
	return parseIdentities(name, b)
}

func parseIdentities(name string, b []byte) ([]age.Identity, error) {
	var all []age.Identity
	err := eachLine(name, b, func(line string) error {
		switch {
		case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
			id, err := age.ParseHybridIdentity(line)
			if err != nil {
				return errMalformed // the error of age may quote it
			}
			all = append(all, id)
		case strings.HasPrefix(line, "AGE-SECRET-KEY-1"):
			id, err := age.ParseX25519Identity(line)
			if err != nil {
				return errMalformed
			}
			all = append(all, id)
		case strings.HasPrefix(line, "AGE-PLUGIN-"):
			return errors.New("is an identity of an age plugin, and plugins are not supported")
		case strings.HasPrefix(line, "age1"), strings.HasPrefix(line, "ssh-"):
			return errors.New("is a public key; the private key that belongs to it is needed")
		default:
			return errors.New("is no private key (AGE-SECRET-KEY-…)")
		}
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no private key is in the file %s", name)
	}
	return all, err
}

var errMalformed = errors.New("is a private key with an error in it: perhaps it is not whole")

// callPassphrase asks, or says that nobody can be asked.
func callPassphrase(ask Passphrase, what string) ([]byte, error) {
	if ask == nil {
		return nil, fmt.Errorf("the %s has a passphrase, and there is nobody to ask for it", what)
	}
	pass, err := ask("passphrase of the " + what)
	if err != nil {
		return nil, fmt.Errorf("asking for the passphrase of the %s: %w", what, err)
	}
	if len(pass) == 0 {
		return nil, fmt.Errorf("no passphrase was given for the %s", what)
	}
	return pass, nil
}

// encryptedFile is a file of identities that is encrypted with a passphrase.
type encryptedFile struct {
	name    string
	content []byte
	ask     Passphrase

	mu         sync.Mutex
	identities []age.Identity // once it is open
}

// Unwrap asks for the passphrase at the first call: there is no telling before
// what is in the file.
func (f *encryptedFile) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.identities == nil {
		list, err := f.open()
		if err != nil {
			return nil, err
		}
		f.identities = list
	}
	for _, id := range f.identities {
		key, err := id.Unwrap(stanzas)
		if !errors.Is(err, age.ErrIncorrectIdentity) {
			return key, err
		}
	}
	return nil, age.ErrIncorrectIdentity
}

func (f *encryptedFile) open() ([]age.Identity, error) {
	what := "identity file " + f.name
	var in io.Reader = bytes.NewReader(f.content)
	if bytes.HasPrefix(f.content, []byte(armor.Header)) {
		in = armor.NewReader(in)
	}
	lock := &passphraseLock{ask: f.ask, what: what}
	out, err := age.Decrypt(in, lock)
	var none *age.NoIdentityMatchError
	switch {
	case lock.err != nil:
		return nil, lock.err
	case errors.As(err, &none):
		return nil, fmt.Errorf("the %s is not encrypted with a passphrase", what)
	}
	var b []byte
	if err == nil {
		b, err = io.ReadAll(io.LimitReader(out, maxKeyFile))
	}
	if err != nil {
		return nil, fmt.Errorf("the %s cannot be decrypted: %w", what, err)
	}
	return parseIdentities(f.name, b)
}

// passphraseLock opens what is encrypted with a passphrase. It tells a wrong
// passphrase from something that has none.
type passphraseLock struct {
	ask  Passphrase
	what string
	err  error
}

func (l *passphraseLock) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != "scrypt" {
		return nil, age.ErrIncorrectIdentity
	}
	pass, err := callPassphrase(l.ask, l.what)
	if err != nil {
		l.err = err
		return nil, err
	}
	id, err := age.NewScryptIdentity(string(pass))
	if err != nil {
		l.err = err
		return nil, err
	}
	key, err := id.Unwrap(stanzas)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		l.err = fmt.Errorf("the passphrase of the %s is wrong", l.what)
		return nil, l.err
	}
	return key, err
}

// readSSH reads an SSH private key.
func readSSH(ask Passphrase, name string, pem []byte) (age.Identity, error) {
	id, err := agessh.ParseIdentity(pem)
	if err == nil {
		return id, nil
	}
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		return nil, fmt.Errorf("file %s holds no SSH private key that can be used: %w", name, err)
	}
	pub := locked.PublicKey
	if pub == nil { // in the old format the public key is behind the passphrase as well
		if pub, err = readPublicKey(name + ".pub"); err != nil {
			return nil, fmt.Errorf("the SSH key %s has a passphrase and does not say which public key is its own: %w", name, err)
		}
	}
	k := &lockedSSH{what: "SSH key " + name}
	k.inner, err = agessh.NewEncryptedSSHIdentity(pub, pem, func() ([]byte, error) {
		pass, err := callPassphrase(ask, k.what)
		k.asked, k.err = true, err
		return pass, err
	})
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", name, err)
	}
	return k, nil
}

func readPublicKey(name string) (ssh.PublicKey, error) {
	b, err := readKeyFile(name)
	if err != nil {
		return nil, err
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(b)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", name, err)
	}
	return pub, nil
}

// lockedSSH is an SSH private key with a passphrase, which is asked for when
// something is to be opened that was sealed for the key.
type lockedSSH struct {
	what string

	mu    sync.Mutex // agessh's own is not safe for concurrent use
	inner *agessh.EncryptedSSHIdentity
	asked bool
	err   error
}

func (k *lockedSSH) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked, k.err = false, nil
	key, err := k.inner.Unwrap(stanzas)
	switch {
	case k.err != nil: // agessh keeps only the text of it
		return nil, k.err
	case err != nil && k.asked && !errors.Is(err, age.ErrIncorrectIdentity):
		return nil, fmt.Errorf("the passphrase of the %s is wrong, or the key is damaged: %w", k.what, err)
	}
	return key, err
}
