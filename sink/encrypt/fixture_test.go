package encrypt

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/memory"
)

var update = flag.Bool("update", false, "seal dump/testdata/v1.cdmp anew; never do that to the file of a released version")

var fixtures = filepath.Join("..", "..", "dump", "testdata")

const keyNotice = `# A key for the tests. It is public, and protects nothing.
`

// The first sealed file opens for ever, with the key beside it, and what is in it
// is the plain fixture.
func TestGolden(t *testing.T) {
	plainName, name, keyName := filepath.Join(fixtures, "v1.cdmp"), filepath.Join(fixtures, "sealed-v1.cdmp"), filepath.Join(fixtures, "sealed-v1.key")
	content, err := os.ReadFile(plainName)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		makeGolden(t, content, name, keyName)
	}
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ReadIdentities(nil, keyName)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readSealed(file, ids...)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, want the %d of %s; error %v", len(got), len(content), plainName, err)
	}
}

func makeGolden(t *testing.T, content []byte, name, keyName string) {
	t.Helper()
	if _, err := os.Stat(keyName); errors.Is(err, fs.ErrNotExist) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(keyName, []byte(keyNotice+id.String()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ids, err := ReadIdentities(nil, keyName)
	if err != nil {
		t.Fatal(err)
	}
	h, err := dump.ReadHeader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	inner := memory.New("x")
	var s sink.Sink = newStore(t, inner, Config{Recipients: []string{ids[0].(*age.X25519Identity).Recipient().String()}})
	put(t, s, h.Identity, content)
	if err := os.WriteFile(name, inner.Content(h.Identity), 0o644); err != nil {
		t.Fatal(err)
	}
}
