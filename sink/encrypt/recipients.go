package encrypt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
)

// maxKeyFile is the greatest size of a file with keys.
const maxKeyFile = 1 << 20

// ParseRecipients reads public keys. Each entry is a key as text, or the path of a
// file with one a line, where empty lines and lines beginning with "#" are
// skipped (as "age -R" has it). A key is
//
//   - age1…, an X25519 key of age-keygen;
//   - age1pq1…, a hybrid post-quantum key of "age-keygen -pq"; it cannot be mixed
//     with others, which would give its strength away;
//   - ssh-ed25519 … or ssh-rsa …, an SSH public key, which age supports for
//     convenience. A file sealed for one shows the first bytes of its hash.
//
// A file whose name begins like a key is given as "./age1". No error shows a
// secret that was given by mistake.
func ParseRecipients(list []string) ([]age.Recipient, error) {
	var all []age.Recipient
	for i, entry := range list {
		entry = strings.TrimSpace(entry)
		what := fmt.Sprintf("recipient %d", i+1)
		switch {
		case entry == "":
			return nil, fmt.Errorf("%s is empty", what)
		case looksSecret(entry):
			return nil, fmt.Errorf("%s is a private key; give the public key that belongs to it", what)
		case strings.HasPrefix(entry, "age1") || strings.HasPrefix(entry, "ssh-"):
			r, err := parseRecipient(entry)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", what, short(entry), err)
			}
			all = append(all, r)
		default:
			list, err := readRecipients(entry)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			all = append(all, list...)
		}
	}
	return all, nil
}

func readRecipients(name string) ([]age.Recipient, error) {
	var all []age.Recipient
	err := readLines(name, func(line string) error {
		if looksSecret(line) {
			return errors.New("is a private key; the public key that belongs to it is needed")
		}
		r, err := parseRecipient(line)
		all = append(all, r)
		return err
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no public key is in the file %s", name)
	}
	return all, err
}

func parseRecipient(s string) (age.Recipient, error) {
	switch {
	case strings.HasPrefix(s, "age1pq1"):
		r, err := age.ParseHybridRecipient(s)
		if err != nil {
			return nil, err
		}
		return r, nil
	case strings.HasPrefix(s, "age1") && strings.Count(s, "1") > 1:
		return nil, errors.New("is a key of an age plugin, and plugins are not supported")
	case strings.HasPrefix(s, "age1"):
		r, err := age.ParseX25519Recipient(s)
		if err != nil {
			return nil, err
		}
		return r, nil
	case strings.HasPrefix(s, "ssh-ed25519 "), strings.HasPrefix(s, "ssh-rsa "):
		return agessh.ParseRecipient(s)
	}
	return nil, errors.New("is no public key of age (age1…) nor one of SSH of the type ssh-ed25519 or ssh-rsa")
}

// looksSecret reports whether text is, or begins with, a private key, which must
// not get into a message.
func looksSecret(text string) bool {
	return strings.HasPrefix(strings.ToUpper(text), "AGE-") || strings.HasPrefix(text, "-----BEGIN")
}

// short is a public key as a message shows it.
func short(key string) string {
	const n = 24
	if len(key) <= n {
		return fmt.Sprintf("%q", key)
	}
	return fmt.Sprintf("%q…", key[:n])
}

// readLines goes through the lines of a file with keys. What it says of a line
// does not repeat the line.
func readLines(name string, do func(line string) error) error {
	b, err := readKeyFile(name)
	if err != nil {
		return err
	}
	return eachLine(name, b, do)
}

func eachLine(name string, b []byte, do func(line string) error) error {
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxKeyFile+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := do(line); err != nil {
			return fmt.Errorf("file %s: line %d: %w", name, n, err)
		}
	}
	return lines.Err()
}

func readKeyFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("file %s is larger than %d KiB: it is no file of keys", name, maxKeyFile>>10)
	}
	return b, nil
}
