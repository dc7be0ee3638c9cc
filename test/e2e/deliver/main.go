// Command deliver is the service of the delivery tests: it fails, says of each
// dump when it is safe, and is killed in between.
//
// Its configuration comes from the environment. It prints "ready", then "stored
// <dump-id> <trace-id>" for every dump that was reported as stored, "lost
// <dump-id> <error>" for every other, and at its end "left <error>" if Shutdown
// could not bring everything away.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy"
)

func main() {
	n := flag.Int("n", 0, "how many failures; 0 fails until standard input ends")
	crash := flag.Bool("crash", false, "end with a panic that nobody recovers from")
	drain := flag.Duration("drain", 20*time.Second, "how long Shutdown may take")
	flag.Parse()
	if err := run(*n, *crash, *drain); err != nil {
		fmt.Fprintln(os.Stderr, "deliver:", err)
		os.Exit(1)
	}
}

func run(n int, crash bool, drain time.Duration) error {
	var mu sync.Mutex
	dumps, err := otelcoredumpy.Install(
		otelcoredumpy.WithService("deliver"),
		otelcoredumpy.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))),
		otelcoredumpy.OnDump(func(ref otelcoredumpy.Ref, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				fmt.Println("lost", ref.ID, err)
				return
			}
			// One write, so that it is printed as a whole or not at all.
			fmt.Println("stored", ref.ID, ref.TraceID)
		}),
	)
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(dumps.SpanProcessor(sdktrace.NewBatchSpanProcessor(discard{}))))
	tracer := provider.Tracer("deliver")
	_ = dumps.Ready(context.Background()) // without debug info it delivers as well
	fmt.Println("ready")

	ended := make(chan struct{})
	if n == 0 {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			close(ended)
		}()
	}
	ctx := context.Background()
	for i := 0; n == 0 || i < n; i++ {
		fail(tracer, i)
		if err := dumps.Flush(ctx); err != nil {
			return err
		}
		select {
		case <-ended:
			n = i // no more
		default:
		}
	}
	if crash {
		ctx, span := tracer.Start(ctx, "crash")
		defer span.End()
		crashed(ctx, "the last order")
	}
	down, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	if err := errors.Join(dumps.Shutdown(down), provider.Shutdown(down)); err != nil {
		fmt.Println("left", err)
	}
	return nil
}

// crashed is where the process dies.
//
//go:noinline
func crashed(_ context.Context, order string) {
	panic("nobody recovers from this: " + order)
}

// fail is a request that fails. The messages differ in more than numbers, so
// that no failure is taken for another one like it.
//
//go:noinline
func fail(tracer trace.Tracer, i int) {
	order := "order-" + strconv.Itoa(i)
	_, span := tracer.Start(context.Background(), "fail "+words(i))
	defer span.End()
	err := fmt.Errorf("no such %s", order)
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
}

func words(i int) string {
	var s []byte
	for ; ; i /= 26 {
		if s = append(s, 'a'+byte(i%26)); i < 26 {
			return string(s)
		}
	}
}

// discard is an exporter to nowhere.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }
