package spool

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk/disktest"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
)

var benchSizes = []int{10 << 10, 100 << 10, 1 << 20}

func size(n int) string { return fmt.Sprintf("%dKiB", n>>10) }

// BenchmarkPut is what a failing service waits for: on the real disk with its
// flushes, and what is left of it if those cost nothing.
func BenchmarkPut(b *testing.B) {
	for _, where := range []string{"disk", "memory"} {
		for _, n := range benchSizes {
			b.Run(where+"/"+size(n), func(b *testing.B) {
				sys, dir := disk.OS, b.TempDir()
				if where == "memory" {
					sys = disktest.NewMem()
				}
				s, err := newSpool(newStore(), Config{Dir: dir, Passive: true, MinFree: -1, MaxBytes: -1, MaxItems: -1}, sys)
				if err != nil {
					b.Fatal(err)
				}
				content := contentOf(dump.ID{}, n)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Put(context.Background(), newIdentity(), bytes.NewReader(content)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkPutDirect is the same without a spool, for comparison.
func BenchmarkPutDirect(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(size(n), func(b *testing.B) {
			dest, err := local.New(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			content := contentOf(dump.ID{}, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				if err := dest.Put(context.Background(), newIdentity(), bytes.NewReader(content)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPutFull is a Put into a spool of ten thousand dumps that is full, so
// that one has to go for each that comes.
func BenchmarkPutFull(b *testing.B) {
	const items = 10_000
	mem := disktest.NewMem()
	s, err := newSpool(newStore(), Config{Dir: "/spool", Passive: true, MinFree: -1, MaxItems: items}, mem)
	if err != nil {
		b.Fatal(err)
	}
	src := bytes.NewReader(dumpOf(b, newIdentity(), dump.TriggerErrorSpan))
	for range items {
		if err := s.Put(context.Background(), newIdentity(), src); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := s.Put(context.Background(), newIdentity(), src); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDrain brings a thousand dumps from the real disk to a destination that
// costs nothing, and to a real folder.
func BenchmarkDrain(b *testing.B) {
	const items = 1000
	for _, where := range []string{"nowhere", "folder"} {
		for _, n := range []int{10 << 10, 100 << 10} {
			b.Run(where+"/"+size(n), func(b *testing.B) {
				content := contentOf(dump.ID{}, n)
				b.SetBytes(int64(items * n))
				for b.Loop() {
					b.StopTimer()
					dir := b.TempDir()
					var dest sink.Sink = nowhere{newStore()}
					if where == "folder" {
						var err error
						if dest, err = local.New(filepath.Join(dir, "dumps")); err != nil {
							b.Fatal(err)
						}
					}
					c := Config{Dir: filepath.Join(dir, "spool"), Passive: true, Concurrency: 4}
					s := newTestSpool(b, dest, c)
					for range items {
						if err := s.Put(context.Background(), newIdentity(), bytes.NewReader(content)); err != nil {
							b.Fatal(err)
						}
					}
					c.Passive = false
					b.StartTimer()
					s = newTestSpool(b, dest, c)
					awaitSweep(s)
					if err := s.Flush(context.Background()); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					if err := s.Shutdown(context.Background()); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				b.ReportMetric(float64(items*b.N)/b.Elapsed().Seconds(), "dumps/s")
			})
		}
	}
}

// nowhere reads what it is given and keeps nothing.
type nowhere struct{ *store }

func (nowhere) Put(_ context.Context, _ dump.Identity, src sink.Source) error {
	buf := make([]byte, 64<<10)
	for off := int64(0); off < src.Size(); {
		n, err := src.ReadAt(buf[:min(int64(len(buf)), src.Size()-off)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// BenchmarkScan is the regular look at a folder of ten thousand dumps, the first
// time and every later time.
func BenchmarkScan(b *testing.B) {
	const items = 10_000
	dir := b.TempDir()
	dest := newStore()
	// The time is that of reading; writing would take a minute of flushes.
	s := newTestSpool(b, dest, Config{Dir: dir, Passive: true})
	root, err := s.create()
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	for range items {
		id := newIdentity()
		f, err := root.OpenFile(s.path(itemsDir, itemName(id)), os.O_WRONLY|os.O_CREATE, fileMode)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.Write(itemOf(b, id, []byte("dump"), dump.TriggerPanic, time.Now())); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			s := newTestSpool(b, dest, Config{Dir: dir, Passive: true})
			s.sweep()
			if st := s.Stats(); st.Items != items {
				b.Fatalf("%+v", st)
			}
		}
	})
	b.Run("later", func(b *testing.B) {
		s.sweep()
		for b.Loop() {
			s.sweep()
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for _, err := range s.List(context.Background(), sink.Query{}) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != items {
				b.Fatal(n)
			}
		}
	})
}
