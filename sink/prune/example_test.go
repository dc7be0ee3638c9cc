package prune_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/prune"
)

// Keep the newest two dumps.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := local.New(dir)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for range 5 {
		id := dump.Identity{ID: dump.NewID(), Service: "checkout"}
		if err := store.Put(ctx, id, bytes.NewReader(make([]byte, 100))); err != nil {
			panic(err)
		}
	}

	found, err := prune.Plan(ctx, store, prune.Policy{MaxCount: 2, MaxAge: 30 * 24 * time.Hour})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d dumps of %d bytes would go\n", len(found.Victims), found.Bytes)
	done, err := prune.Apply(ctx, store, found, nil)
	if err != nil {
		panic(err)
	}
	swept, err := store.Sweep(ctx, false)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d went, %d are left, and %d half-written files\n", done.Deleted, found.Kept, swept.TempFiles)
	// Output:
	// 3 dumps of 300 bytes would go
	// 3 went, 2 are left, and 0 half-written files
}
