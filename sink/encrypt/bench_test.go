package encrypt

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/memory"
)

// discard reads what is put and keeps nothing.
type discard struct{ sink.Sink }

func (discard) Put(_ context.Context, _ dump.Identity, src sink.Source) error {
	_, err := io.Copy(io.Discard, io.NewSectionReader(src, 0, src.Size()))
	return err
}

var benchSizes = []int{64 << 10, 1 << 20, 16 << 20}

func BenchmarkPut(b *testing.B) {
	key := newKey(b)
	for _, n := range benchSizes {
		for _, spill := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dKiB/file=%t", n>>10, spill), func(b *testing.B) {
				s := newStore(b, discard{}, Config{Recipients: []string{key.pub}, TempDir: b.TempDir()}).(*store)
				if spill {
					s.inMemory = 0
				}
				id, content := newIdentity(), noise(n)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Put(b.Context(), id, bytes.NewReader(content)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkOpenAndRead(b *testing.B) {
	key := newKey(b)
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			inner, id := memory.New("x"), newIdentity()
			s := newStore(b, inner, Config{Recipients: []string{key.pub}, Identities: []string{key.file}})
			put(b, s, id, noise(n))
			b.SetBytes(int64(n))
			for b.Loop() {
				obj, err := s.Open(b.Context(), entry(id))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.CopyBuffer(io.Discard, io.NewSectionReader(obj, 0, obj.Size()), make([]byte, 256<<10)); err != nil {
					b.Fatal(err)
				}
				obj.Close()
			}
		})
	}
}
