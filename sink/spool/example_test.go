package spool_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/spool"
)

// What is put is safe at once, and brought to its destination in the background.
func Example() {
	ctx := context.Background()
	tmp, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(tmp)
	dest, err := local.New(filepath.Join(tmp, "dumps")) // or a bucket
	if err != nil {
		panic(err)
	}

	s, err := spool.New(dest, spool.Config{
		Dir:      filepath.Join(tmp, "spool"),
		OnResult: func(r spool.Result) { fmt.Println(r.Outcome, r.Size, "bytes") },
	})
	if err != nil {
		panic(err)
	}
	id := dump.Identity{ID: dump.NewID(), Service: "checkout"}
	if err := s.Put(ctx, id, bytes.NewReader([]byte("what capture wrote"))); err != nil {
		panic(err)
	}
	// The dump is safe now, and under way.
	if err := s.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output: delivered 18 bytes
}
