package local_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
)

// A dump goes in under its identity and is found again by its trace.
func Example() {
	ctx := context.Background()
	tmp, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(tmp)

	store, err := local.New(filepath.Join(tmp, "dumps"))
	if err != nil {
		panic(err)
	}
	trace, err := dump.ParseTraceID("4bf92f3577b34da6a3ce929d0e0e4736")
	if err != nil {
		panic(err)
	}
	id := dump.Identity{ID: dump.NewID(), TraceID: trace, Service: "checkout"}
	if err := store.Put(ctx, id, bytes.NewReader([]byte("what capture wrote"))); err != nil {
		panic(err)
	}

	entries, err := store.Trace(ctx, trace)
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		obj, err := store.Open(ctx, e)
		if err != nil {
			panic(err)
		}
		content := make([]byte, obj.Size())
		if _, err := obj.ReadAt(content, 0); err != nil {
			panic(err)
		}
		obj.Close()
		fmt.Printf("%d bytes: %s\n", e.Size, content)
	}
	// Output: 18 bytes: what capture wrote
}
