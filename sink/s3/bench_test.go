package s3_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// BenchmarkFetch copies the dumps of one trace from a real server into files,
// in three ways with the same number of copies at once: with GetObject of the
// bare SDK, which is the least that the server can be asked for; with Open and
// DownloadTo; and with Open and ReadAt, as a reader that knows nothing of this
// package does. The metrics are the times of the latter two in times of the
// first, taken in turns.
func BenchmarkFetch(b *testing.B) {
	const atOnce = 8
	for _, bc := range []struct{ dumps, size int }{{1000, 20 << 10}, {1000, 200 << 10}, {200, 2 << 20}, {10, 40 << 20}} {
		b.Run(fmt.Sprintf("%dx%dKiB", bc.dumps, bc.size>>10), func(b *testing.B) {
			st := versitygw(b)
			st.createBucket(b, bucket)
			s := open(b, st.config(bucket, ""))
			var trace dump.TraceID
			content := content(bc.size)
			each(bc.dumps, atOnce, func(i int) {
				id := idAt(noon, i, "shop")
				if err := st.put(b.Context(), bucket, sink.TraceKey(id), content); err != nil {
					b.Error(err)
				}
			})
			trace = idAt(noon, 0, "").TraceID
			dir := b.TempDir()
			file := func(i int) *os.File {
				f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
				if err != nil {
					b.Error(err)
				}
				return f
			}

			bare := func(ctx context.Context) {
				keys := make([]string, 0, bc.dumps)
				pages := awss3.NewListObjectsV2Paginator(st.raw, &awss3.ListObjectsV2Input{
					Bucket: aws.String(bucket), Prefix: aws.String(sink.TracePrefix(trace)),
				})
				for pages.HasMorePages() {
					page, err := pages.NextPage(ctx)
					if err != nil {
						b.Error(err)
						return
					}
					for _, o := range page.Contents {
						keys = append(keys, *o.Key)
					}
				}
				each(len(keys), atOnce, func(i int) {
					out, err := st.raw.GetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(keys[i])})
					if err != nil {
						b.Error(err)
						return
					}
					defer out.Body.Close()
					f := file(i)
					defer f.Close()
					if n, err := io.Copy(f, out.Body); err != nil || n != int64(bc.size) {
						b.Errorf("%d bytes, %v", n, err)
					}
				})
			}
			ours := func(take func(f *os.File, o sink.Object) (int64, error)) func(context.Context) {
				return func(ctx context.Context) {
					entries, err := s.Trace(ctx, trace)
					if err != nil {
						b.Error(err)
						return
					}
					each(len(entries), atOnce, func(i int) {
						o, err := s.Open(ctx, entries[i])
						if err != nil {
							b.Error(err)
							return
						}
						defer o.Close()
						f := file(i)
						defer f.Close()
						if n, err := take(f, o); err != nil || n != int64(bc.size) {
							b.Errorf("%d bytes, %v", n, err)
						}
					})
				}
			}
			ways := []func(context.Context){
				bare,
				ours(func(f *os.File, o sink.Object) (int64, error) { return o.(s3.Downloader).DownloadTo(f) }),
				ours(func(f *os.File, o sink.Object) (int64, error) {
					return io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{io.NewSectionReader(o, 0, o.Size())}, make([]byte, min(4<<20, o.Size())))
				}),
			}
			var took [3]time.Duration
			for i := range ways { // connections, caches, files
				ways[i](b.Context())
			}
			for round := 0; b.Loop(); round++ {
				for i := range ways {
					i = (i + round) % len(ways)
					begun := time.Now()
					ways[i](b.Context())
					took[i] += time.Since(begun)
				}
			}
			b.ReportMetric(float64(took[0])/float64(b.N)/1e6, "bare-ms")
			b.ReportMetric(float64(took[1])/float64(took[0]), "download/bare")
			b.ReportMetric(float64(took[2])/float64(took[0]), "readat/bare")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// each calls fn for 0 … n-1, so many at once.
func each(n, atOnce int, fn func(i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	workers.Wait()
}
