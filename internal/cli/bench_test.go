package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/internal/versitygw"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// BenchmarkFetch fetches 1,000 dumps of 20 KiB of one trace from a real server on
// this machine, checks and writes them. "server" is how long the same client takes
// for the same GETs alone, as many at a time: what is above that is ours.
func BenchmarkFetch(b *testing.B) {
	const dumps = 1000
	server := versitygw.Start(b)
	server.CreateBucket(b, "dumps")
	dir := b.TempDir()
	awsEnvironment(b, dir)
	for _, kv := range server.Env() {
		k, v, _ := strings.Cut(kv, "=")
		b.Setenv(k, v)
	}
	file := s3Config(b, dir, server.Endpoint, "dumps", "", "")
	cfg, _, err := config.Load(config.LoadOptions{File: file})
	if err != nil {
		b.Fatal(err)
	}
	s, err := cfg.OpenDestination(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	trace := mustTrace(traceA)
	forEach(b.Context(), 16, dumps, func(i int) {
		id := dump.Identity{ID: manyID(i), TraceID: trace}
		if err := s.Put(b.Context(), id, bytes.NewReader(numbered(b, i, 20<<10))); err != nil {
			b.Error(err)
		}
	})
	client := server.Client()
	var alone time.Duration
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		began := time.Now()
		forEach(b.Context(), copyWidth, dumps, func(i int) {
			out, err := client.GetObject(b.Context(), &awss3.GetObjectInput{
				Bucket: aws.String("dumps"), Key: aws.String(sink.TraceKey(dump.Identity{ID: manyID(i), TraceID: trace})),
			})
			if err != nil {
				b.Error(err)
				return
			}
			defer out.Body.Close()
			if _, err := io.Copy(io.Discard, out.Body); err != nil {
				b.Error(err)
			}
		})
		alone += time.Since(began)
		out := filepath.Join(b.TempDir(), "out")
		b.StartTimer()
		std := &stdio{in: strings.NewReader(""), out: io.Discard, err: os.Stderr, now: time.Now, local: time.UTC}
		if code := run(context.Background(), std, []string{"fetch", "--config", file, "-o", out, traceA}); code != exitOK {
			b.Fatalf("code %d", code)
		}
	}
	b.ReportMetric(float64(alone.Nanoseconds())/float64(b.N), "server-ns/op")
	b.ReportMetric(dumps*float64(b.N)/b.Elapsed().Seconds(), "dumps/s")
}

// BenchmarkExport exports a dump of 100,000 objects.
func BenchmarkExport(b *testing.B) {
	const objects = 100_000
	path := writeGraph(b, objects)
	f := &exportFlags{format: formatJSONL}
	for b.Loop() {
		if err := export(b.Context(), &stdio{out: io.Discard, err: os.Stderr}, f, &target{name: path, path: path}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(objects*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}
