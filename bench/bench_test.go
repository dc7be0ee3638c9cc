package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

var sides = []struct {
	name      string
	installed bool
}{{"bare", false}, {"installed", true}}

// BenchmarkHealthy is a request that succeeds.
func BenchmarkHealthy(b *testing.B) {
	for _, side := range sides {
		b.Run(side.name, func(b *testing.B) {
			s := newService(b, side.installed)
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/orders/A-1001/quote", nil)
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("status %d", w.Code)
				}
			}
		})
	}
}

// BenchmarkMiddleware is our middleware alone.
func BenchmarkMiddleware(b *testing.B) {
	dumps := install(b)
	handler := dumps.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	noAllocations(b, func() { handler.ServeHTTP(w, r) })
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(w, r)
	}
}

// BenchmarkSpanProcessor is our span processor alone, with a span that did not
// fail.
func BenchmarkSpanProcessor(b *testing.B) {
	dumps := install(b)
	next := &nothing{}
	p := dumps.SpanProcessor(next)
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(next))
	ctx, span := tp.Tracer("bench").Start(b.Context(), "healthy")
	rw := span.(sdktrace.ReadWriteSpan)
	span.End()
	noAllocations(b, func() {
		p.OnStart(ctx, rw)
		p.OnEnd(next.ended)
	})
	b.ReportAllocs()
	for b.Loop() {
		p.OnStart(ctx, rw)
		p.OnEnd(next.ended)
	}
}

func noAllocations(b *testing.B, f func()) {
	b.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		b.Fatalf("%v allocations, want none", n)
	}
}

// nothing is a span processor that keeps the last span.
type nothing struct{ ended sdktrace.ReadOnlySpan }

func (*nothing) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (n *nothing) OnEnd(s sdktrace.ReadOnlySpan)                 { n.ended = s }
func (*nothing) Shutdown(context.Context) error                  { return nil }
func (*nothing) ForceFlush(context.Context) error                { return nil }

// BenchmarkFailing is a request that fails: how long it waits for us is the
// difference of the medians.
func BenchmarkFailing(b *testing.B) {
	scenarios := []struct{ name, method, target string }{
		{"nil-deref", http.MethodGet, "/orders/A-1002/quote"},
		{"index", http.MethodGet, "/orders/A-1003/shipping?service=express"},
		{"custom-panic", http.MethodPost, "/orders/A-1005/pay"},
		{"error-span", http.MethodPost, "/orders/A-1006/reserve"},
	}
	for _, sc := range scenarios {
		for _, side := range sides {
			b.Run(sc.name+"/"+side.name, func(b *testing.B) {
				s := newService(b, side.installed)
				url, times := s.server(b)
				fail := func() time.Duration {
					took := fail(b, url, sc.method, sc.target, times)
					if side.installed {
						if err := <-s.stored; err != nil {
							b.Fatal(err)
						}
					}
					return took
				}
				fail() // the first one has to find out much that the others know
				var all []time.Duration
				for b.Loop() {
					all = append(all, fail())
				}
				slices.Sort(all)
				var sum time.Duration
				for _, d := range all {
					sum += d
				}
				micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
				// What the clock of the benchmark says includes the dump.
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(micros(sum/time.Duration(len(all))), "mean-µs")
				b.ReportMetric(micros(all[len(all)/2]), "p50-µs")
				b.ReportMetric(micros(all[len(all)*99/100]), "p99-µs")
			})
		}
	}
}
