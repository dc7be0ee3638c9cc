package encrypt

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
)

// shows reports whether a text can be seen in bytes, as they are or in whatever is
// zstd among them.
func shows(t *testing.T, b []byte, text string) bool {
	t.Helper()
	if bytes.Contains(b, []byte(text)) {
		return true
	}
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], magic)
		if i < 0 {
			return false
		}
		at += i
		dec, err := zstd.NewReader(bytes.NewReader(b[at:]), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		out, _ := io.ReadAll(dec) // what follows the frame is an error
		dec.Close()
		if bytes.Contains(out, []byte(text)) {
			return true
		}
	}
}

// everything returns the names and contents of all files below a folder.
func everything(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		all = append(append(all, path...), '\n')
		if d.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Of what is in a dump nothing lies anywhere in the folder that it is stored in,
// nor in the folder for temporary files while it is stored.
func TestNothingShows(t *testing.T) {
	key := newKey(t)
	// What the header may show, and what only the sealed one hides.
	searchable := []string{"POST /charge", "shop/pay.Charge", "*shop/pay.Declined"}
	for name, c := range map[string]struct {
		cfg    *Config
		hidden []string
		shown  []string
	}{
		"plain":         {nil, nil, append(searchable, secrets...)}, // or this test could not fail
		"sealed":        {&Config{}, secrets, searchable},
		"header sealed": {&Config{SealHeader: true}, append(searchable, secrets...), []string{"shop", "panic"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, tmp := t.TempDir(), t.TempDir()
			inner, err := local.New(dir)
			if err != nil {
				t.Fatal(err)
			}
			id := newIdentity()
			b := newDump(t, id)
			if c.cfg == nil {
				put(t, inner, id, b)
			} else {
				c.cfg.Recipients, c.cfg.TempDir = []string{key.pub}, tmp
				s := newStore(t, &peeping{inner, func() {
					for _, text := range c.hidden {
						if shows(t, append(everything(t, dir), everything(t, tmp)...), text) {
							t.Errorf("%q is on the disk while the dump is stored", text)
						}
					}
				}}, *c.cfg).(*store)
				put(t, s, id, b)
				s.inMemory = 0 // again, by way of a file
				put(t, s, newIdentity(), b)
			}
			all := everything(t, dir)
			for _, text := range c.hidden {
				if shows(t, all, text) {
					t.Errorf("%q is in the folder", text)
				}
			}
			for _, text := range c.shown {
				if !shows(t, all, text) {
					t.Errorf("%q is not in the folder, where it should be", text)
				}
			}
		})
	}
}

// peeping calls a function while a dump is being stored.
type peeping struct {
	*local.Sink
	look func()
}

func (p *peeping) Put(ctx context.Context, id dump.Identity, src sink.Source) error {
	p.look()
	err := p.Sink.Put(ctx, id, src)
	p.look()
	return err
}

// No part of the content shows in the encrypted bytes, and two dumps of the same
// content have nothing in common.
func TestCiphertextIsNoise(t *testing.T) {
	key := newKey(t)
	content := []byte(strings.Repeat("the same line again and again\n", 10_000))
	a, b := sealFor(t, content, key.pub), sealFor(t, content, key.pub)
	if bytes.Contains(a, []byte("again")) {
		t.Error("the content shows")
	}
	const window = 32
	seen := map[string]bool{}
	for i := 2048; i+window < len(a); i += window { // behind the header and the prelude
		seen[string(a[i:i+window])] = true
	}
	for i := 2048; i+window < len(b); i++ {
		if seen[string(b[i:i+window])] {
			t.Fatalf("at byte %d both have the same bytes", i)
		}
	}
}
