package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy"
)

// report is what the service says of itself when the storm is over.
type report struct {
	Seconds  float64        `json:"seconds"`
	Failures int64          `json:"failures"`
	CPU      float64        `json:"cpu_seconds"`
	RSS      int64          `json:"rss_bytes"`
	PeakRSS  int64          `json:"peak_rss_bytes"`
	Heap     uint64         `json:"heap_bytes"`
	Before   int            `json:"goroutines_before"`
	After    int            `json:"goroutines_after"`
	Stats    map[string]any `json:"stats,omitempty"`
}

// serve is the service: a handler that works, and a storm of failures beside it
// until standard input ends.
func serve(o options) error {
	var (
		dumps     *otelcoredumpy.Installed
		processor sdktrace.SpanProcessor = sdktrace.NewBatchSpanProcessor(discard{})
	)
	if o.mode == "installed" {
		var err error
		dumps, err = otelcoredumpy.Install(otelcoredumpy.WithDir(o.dir), otelcoredumpy.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))))
		if err != nil {
			return err
		}
		if err := dumps.Ready(context.Background()); err != nil {
			return fmt.Errorf("no debug information: %w", err)
		}
		processor = dumps.SpanProcessor(processor)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(processor))
	mux := http.NewServeMux()
	mux.Handle("/healthy", dumps.Middleware(http.HandlerFunc(healthy)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: otelhttp.NewHandler(mux, "storm", otelhttp.WithTracerProvider(provider))}
	go func() { _ = server.Serve(l) }()

	runtime.GC()
	r := report{Before: runtime.NumGoroutine()}
	enc := json.NewEncoder(os.Stdout)
	if err := enc.Encode(map[string]string{"URL": "http://" + l.Addr().String()}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	began := time.Now()
	r.Failures = storm(ctx, provider.Tracer("storm"), o.rate)
	r.Seconds = time.Since(began).Seconds()

	rss, peak := memory()
	r.RSS, r.PeakRSS, r.CPU = rss, peak, cpu()
	ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := dumps.Flush(ctx); err != nil {
		return err
	}
	_ = server.Shutdown(ctx)
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.Heap, r.After = m.HeapAlloc, runtime.NumGoroutine()
	if dumps != nil {
		b, err := json.Marshal(dumps.Stats())
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &r.Stats); err != nil {
			return err
		}
	}
	if err := errors.Join(dumps.Shutdown(ctx), provider.Shutdown(ctx)); err != nil {
		return err
	}
	return enc.Encode(r)
}

// healthy does what a small request does: some allocation, some work.
func healthy(w http.ResponseWriter, _ *http.Request) {
	items := make([]string, 0, 64)
	for i := range 64 {
		items = append(items, strconv.Itoa(i*i))
	}
	fmt.Fprint(w, strings.Join(items, ","))
}

// storm fails about rate times a second until ctx ends, and returns how often
// it did. Most of it is one error over and over again, as when a database is
// gone; some of it differs, and some is panics.
func storm(ctx context.Context, tracer trace.Tracer, rate int) int64 {
	const tick = 10 * time.Millisecond
	var (
		failed atomic.Int64
		wg     sync.WaitGroup
	)
	t := time.NewTicker(tick)
	defer t.Stop()
	began := time.Now()
	for ctx.Err() == nil {
		select {
		case <-t.C:
		case <-ctx.Done():
			continue
		}
		// What is due is made up for after a late tick, but not without limit.
		due := min(int64(time.Since(began).Seconds()*float64(rate))-failed.Load(), int64(rate)/10)
		for range due {
			n := failed.Add(1)
			wg.Add(1)
			go func() {
				defer wg.Done()
				failure(tracer, n)
			}()
		}
		wg.Wait() // a service has a bounded number of requests under way as well
	}
	return failed.Load()
}

// order is what the failing requests are about.
type order struct {
	ID       int64
	Customer string
	Items    []string
	Previous *order
}

var errDatabase = errors.New("dial tcp 10.0.0.7:5432: connect: connection refused")

// failure is a request that fails.
func failure(tracer trace.Tracer, n int64) {
	o := &order{ID: n, Customer: "customer-" + strconv.FormatInt(n, 10), Items: []string{"a", "b"}, Previous: &order{ID: n - 1}}
	switch {
	case n%50 == 0:
		panics(tracer, o)
	case n%10 == 0: // each one new to whoever compares names
		fails(tracer, "GET /orders/"+strconv.FormatInt(n, 10), fmt.Errorf("order %d: %w", o.ID, errDatabase), o)
	default:
		fails(tracer, "GET /orders/{id}", fmt.Errorf("order %d: %w", o.ID, errDatabase), o)
	}
}

//go:noinline
func fails(tracer trace.Tracer, name string, err error, o *order) {
	_, span := tracer.Start(context.Background(), name)
	defer span.End()
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
	runtime.KeepAlive(o)
}

//go:noinline
func panics(tracer trace.Tracer, o *order) {
	defer func() { _ = recover() }()
	_, span := tracer.Start(context.Background(), "pay")
	defer span.End()
	var missing *order
	o.Items[0] = missing.Customer
}

// memory returns the resident set now and at most, in bytes.
func memory() (now, peak int64) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kb << 10
		case "VmHWM:":
			peak = kb << 10
		}
	}
	return now, peak
}

// cpu returns how much processor time the process has used, in seconds.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// discard is an exporter to nowhere.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }
