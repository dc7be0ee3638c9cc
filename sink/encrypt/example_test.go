package encrypt_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
)

// A service stores dumps that it cannot read itself; somebody with the private key
// can.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	key, err := age.GenerateX25519Identity() // age-keygen does this
	if err != nil {
		panic(err)
	}
	keyFile := filepath.Join(dir, "key.txt")
	if err := os.WriteFile(keyFile, []byte(key.String()), 0o600); err != nil {
		panic(err)
	}
	folder, err := local.New(filepath.Join(dir, "dumps"))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	id := dump.Identity{ID: dump.NewID(), Service: "checkout"}

	service, err := encrypt.New(folder, encrypt.Config{Recipients: []string{key.Recipient().String()}})
	if err != nil {
		panic(err)
	}
	var plain bytes.Buffer
	if _, err := dump.NewWriter(&plain).Close(&dump.Header{Identity: id, Description: "a secret"}); err != nil {
		panic(err)
	}
	if err := service.Put(ctx, id, bytes.NewReader(plain.Bytes())); err != nil {
		panic(err)
	}

	people, err := encrypt.New(folder, encrypt.Config{Identities: []string{keyFile}})
	if err != nil {
		panic(err)
	}
	for _, s := range []sink.Sink{folder, people} {
		obj, err := s.Open(ctx, sink.Entry{Identity: id})
		if err != nil {
			panic(err)
		}
		r, err := dump.NewReader(obj, obj.Size())
		if err != nil {
			panic(err)
		}
		fmt.Printf("sealed: %t, service %q, description %q\n", r.Sealed(), r.Header().Service, r.Header().Description)
		obj.Close()
	}
	// Output:
	// sealed: true, service "checkout", description ""
	// sealed: false, service "checkout", description "a secret"
}
