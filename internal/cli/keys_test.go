package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
)

// TestPassphrase has a private key that is encrypted itself: somebody at a terminal
// is asked for the passphrase, once, and a script is told that nobody was asked.
func TestPassphrase(t *testing.T) {
	dir := t.TempDir()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if err := sealFixtures(dir, encrypt.Config{Recipients: []string{id.Recipient().String()}}, "panic", "errspan"); err != nil {
		t.Fatal(err)
	}
	lock, err := age.NewScryptRecipient("open sesame")
	if err != nil {
		t.Fatal(err)
	}
	lock.SetWorkFactor(10)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, lock)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, id.String()+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "key.age")
	if err := os.WriteFile(key, sealed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	runAsking := func(ask func(string) ([]byte, error), args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		std := &stdio{in: strings.NewReader(""), out: &out, err: &errs, ask: ask, now: func() time.Time { return testNow }, local: time.UTC}
		code := run(t.Context(), std, args)
		return code, out.String(), errs.String()
	}
	asked := 0
	right := func(string) ([]byte, error) {
		asked++
		return []byte("open sesame"), nil
	}
	code, out, errs := runAsking(right, "peek", "--dir", dir, "-i", key, traceA)
	if code != exitOK || asked != 1 || !strings.Contains(out, "A-1001") || errs != "" {
		t.Errorf("the right passphrase: code %d, asked %d times, %q\n%s", code, asked, errs, out)
	}
	asked = 0
	dest := filepath.Join(dir, "out")
	code, out, errs = runAsking(right, "fetch", "--dir", dir, "-o", dest, "--decrypt", "--peek", "-i", key, traceA)
	if code != exitOK || asked != 1 || !strings.Contains(out, "A-1001") || errs != "" {
		t.Errorf("fetch --decrypt: code %d, asked %d times, %q\n%s", code, asked, errs, out)
	}
	for name, ask := range map[string]func(string) ([]byte, error){
		"nobody": nil,
		"wrong":  func(string) ([]byte, error) { return []byte("sesame"), nil },
		"none":   func(string) ([]byte, error) { return nil, errors.New("inappropriate ioctl") },
	} {
		code, out, errs = runAsking(ask, "load", "--dir", dir, "-i", key, traceA, "-c", "bt")
		if code != exitFailed || out != "" || !strings.Contains(errs, "passphrase") {
			t.Errorf("%s: code %d, %q, %q", name, code, out, errs)
		}
	}
	// The plain ones need none.
	asked = 0
	if code, _, errs = runAsking(right, "verify", "--dir", dest, "-i", key); code != exitOK || asked != 0 {
		t.Errorf("verify of plain dumps: code %d, asked %d times, %q", code, asked, errs)
	}
}

// TestPeekSealedOneRequest checks that what is public of an encrypted dump in a
// bucket comes with one request.
func TestPeekSealedOneRequest(t *testing.T) {
	b := newBucket(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(b.dir, "key")
	if err := os.WriteFile(key, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := b.config(t, "dumps", "", "")
	putSealed(t, file, id.Recipient(), "large")
	b.take()
	uri := "s3://dumps/v1/traces/" + traceA + "/" + fixtureID(2, 6).String() + ".cdmp"
	code, out, errs := session(t, 0, "peek", "--config", file, uri)
	if code != exitOK || errs != "" || !strings.Contains(out, "store.(*Store).Price") || strings.Contains(out, "truncated") {
		t.Errorf("code %d, %q\n%s", code, errs, out)
	}
	if got := b.take(); len(got) != 1 {
		t.Errorf("requests %q, want one", got)
	}
	code, out, errs = session(t, 0, "peek", "--config", file, "-i", key, uri)
	if code != exitOK || errs != "" || !strings.Contains(out, "nil pointer dereference") || !strings.Contains(out, "n   local    2") {
		t.Errorf("with the key: code %d, %q\n%s", code, errs, out)
	}
	if got := b.take(); len(got) > 3 {
		t.Errorf("with the key: requests %q", got)
	}
	// One that fits the first 64 KiB when it is plain, and does not as it is stored.
	data := numbered(t, 0, headSize-100-len(numbered(t, 0, 0)))
	if len(data) > headSize || len(data) < headSize-300 {
		t.Fatalf("%d bytes", len(data))
	}
	s, err := encrypt.New(openDestination(t, file), encrypt.Config{Recipients: []string{id.Recipient().String()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), dump.Identity{ID: manyID(0), TraceID: mustTrace(traceA), Service: "checkout"}, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	code, out, errs = session(t, 0, "peek", "--config", file, "-i", key, manyID(0).String())
	if code != exitOK || errs != "" || !strings.Contains(out, "A-1001") || strings.Contains(out, "only the first") {
		t.Errorf("a dump of %d bytes: code %d, %q\n%s", len(data), code, errs, out)
	}
	if err := s.Delete(t.Context(), sink.Entry{Identity: dump.Identity{ID: manyID(0), TraceID: mustTrace(traceA)}}); err != nil {
		t.Fatal(err)
	}
	code, out, errs = session(t, 0, "verify", "--config", file, "-i", key)
	if code != exitOK || errs != "" || !strings.Contains(out, ": 1 whole") {
		t.Errorf("verify: code %d, %q, %q", code, errs, out)
	}
}
