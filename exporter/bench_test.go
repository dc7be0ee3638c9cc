package exporter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// deep calls f n calls further in, which look like calls of many functions: no
// call comes again soon, as it does in a recursion.
//
//go:noinline
func deep(n int, f func()) {
	switch n % 16 {
	case 0:
		if n == 0 {
			f()
			return
		}
		deep(n-1, f)
	case 1:
		deep(n-1, f)
	case 2:
		deep(n-1, f)
	case 3:
		deep(n-1, f)
	case 4:
		deep(n-1, f)
	case 5:
		deep(n-1, f)
	case 6:
		deep(n-1, f)
	case 7:
		deep(n-1, f)
	case 8:
		deep(n-1, f)
	case 9:
		deep(n-1, f)
	case 10:
		deep(n-1, f)
	case 11:
		deep(n-1, f)
	case 12:
		deep(n-1, f)
	case 13:
		deep(n-1, f)
	case 14:
		deep(n-1, f)
	case 15:
		deep(n-1, f)
	}
	runtime.KeepAlive(n) // so that the compiler does not make one call of all
}

// failSpanOf returns a span with status Error as the SDK hands it to OnEnd.
func failSpanOf(tb testing.TB, err error) sdktrace.ReadOnlySpan {
	var got sdktrace.ReadOnlySpan
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(grab{&got}), sdktrace.WithResource(testResource))
	_, s := tp.Tracer("bench").Start(context.Background(), "GET /orders/{id}", trace.WithSpanKind(trace.SpanKindServer))
	fail(s, err, "")
	if got == nil {
		tb.Fatal("no span")
	}
	return got
}

// BenchmarkFingerprint is the cost of telling which failure is like which.
func BenchmarkFingerprint(b *testing.B) {
	s := failSpanOf(b, fmt.Errorf("order 4711: %w", errors.New(`dial tcp 10.0.0.7:5432: lookup "db-7": connection refused`)))
	stacks, prints := newStacks(nil), newFingerprints()
	chain, messages := errorsOf(s)
	f := &failure{trigger: dump.TriggerErrorSpan, span: s, chain: chain, sighting: sighting{messages: messages}}
	for _, depth := range []int{5, 20, 80} {
		b.Run(fmt.Sprint("depth=", depth), func(b *testing.B) {
			b.ReportAllocs()
			deep(depth, func() {
				for b.Loop() {
					f.place = stacks.failed()
					prints.of(f)
				}
			})
		})
	}
	b.Run("panic/depth=20", func(b *testing.B) {
		b.ReportAllocs()
		caught(func() {
			defer func() {
				for b.Loop() {
					f.place = stacks.panicked()
					prints.of(f)
				}
			}()
			deep(20, boom)
		})
	})
}

// BenchmarkSuppressedSpan is what a failing span costs that has no dump of its
// own.
func BenchmarkSuppressedSpan(b *testing.B) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		unique bool
	}{
		{"similar", func(c *Config) { c.Window = 24 * time.Hour }, false},
		{"limited", func(c *Config) { c.Window, c.PerMinute = -1, 1 }, false},
		{"sampled_out", func(c *Config) { c.Sample = map[dump.Trigger]float64{dump.TriggerErrorSpan: 0} }, false},
		{"excluded", func(c *Config) { c.Exclude = []string{"connection refused"} }, false},
		{"unique", func(c *Config) { c.PerMinute = 1 }, true},
	} {
		b.Run(tt.name, func(b *testing.B) {
			cfg := DefaultConfig()
			tt.change(&cfg)
			e, err := New(ForEngine(engine), &store{}, cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer e.Shutdown(context.Background())
			spans := []sdktrace.ReadOnlySpan{failSpanOf(b, errLeaf)}
			if tt.unique {
				for i := range 2 * maxFamilies {
					// The number is written in letters, which count.
					spans = append(spans, failSpanOf(b, fmt.Errorf("%s: %w", letters(i), errLeaf)))
				}
			}
			p := e.SpanProcessor(grab{new(sdktrace.ReadOnlySpan)}).(*Processor)
			p.OnEnd(spans[0])
			b.ReportAllocs()
			b.ResetTimer()
			deep(20, func() {
				i := 0
				for b.Loop() {
					p.OnEnd(spans[i%len(spans)])
					i++
				}
			})
		})
	}
}

func letters(n int) string {
	s := ""
	for range 4 {
		s += string(rune('g' + n%16))
		n /= 16
	}
	return s
}

// BenchmarkSuppressedPanic is the same of a panic that goes through a span.
func BenchmarkSuppressedPanic(b *testing.B) {
	cfg := DefaultConfig()
	cfg.Window = 24 * time.Hour
	cfg.RecoveredBy = []string{"github.com/otelcoredumpy/otelcoredumpy/exporter.serve"}
	e, err := New(ForEngine(engine), &store{}, cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Shutdown(context.Background())
	p := e.SpanProcessor(grab{new(sdktrace.ReadOnlySpan)})
	for _, tt := range []struct {
		name string
		sps  []sdktrace.TracerProviderOption
	}{
		{"bare", nil},
		{"installed", []sdktrace.TracerProviderOption{sdktrace.WithSpanProcessor(p)}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			tracer := sdktrace.NewTracerProvider(tt.sps...).Tracer("bench")
			b.ReportAllocs()
			for b.Loop() {
				serve(func() {
					_, s := tracer.Start(context.Background(), "s")
					defer s.End()
					deep(20, boom)
				})
			}
		})
	}
}
