// Package harness is what the programs of this module have in common: a service with
// OpenTelemetry and otelcoredumpy as docs/service.md describes it, and a crowd of clients.
package harness

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/otelcoredumpy/otelcoredumpy"
)

// Request is one request to the service.
type Request struct{ Method, Path, Body string }

// Install sets OpenTelemetry and otelcoredumpy up, with dumps in the folder that is the
// program's first argument.
func Install(service string, opts ...otelcoredumpy.Option) (*otelcoredumpy.Installed, error) {
	dumps, err := otelcoredumpy.Install(append([]otelcoredumpy.Option{
		otelcoredumpy.WithService(service), otelcoredumpy.WithDir(os.Args[1]),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	// Spans go nowhere; what is behind the processor of otelcoredumpy is not under test.
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(dumps.SpanProcessor(nowhere{}))))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return dumps, nil
}

type nowhere struct{}

func (nowhere) OnStart(context.Context, trace.ReadWriteSpan) {}
func (nowhere) OnEnd(trace.ReadOnlySpan)                     {}
func (nowhere) Shutdown(context.Context) error               { return nil }
func (nowhere) ForceFlush(context.Context) error             { return nil }

// Serve runs a service with clients that send good all the time. In between it sends warm, which
// fails as well, so that what is measured is not a first dump, and then bad. It prints the trace ID of bad, and returns
// when both dumps are stored.
func Serve(service string, h http.Handler, good []Request, warm, bad Request, opts ...otelcoredumpy.Option) error {
	stored := make(chan error, 16)
	dumps, err := Install(service, append(opts, otelcoredumpy.OnDump(func(_ otelcoredumpy.Ref, err error) { stored <- err }))...)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := dumps.Ready(ctx); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	name := func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path }
	server := &http.Server{Handler: otelhttp.NewHandler(h, service, otelhttp.WithSpanNameFormatter(name)), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	url := "http://" + l.Addr().String()

	var crowd sync.WaitGroup
	var done atomic.Bool
	started := make(chan error, clients)
	for i := range clients {
		crowd.Go(func() {
			for k := i; !done.Load(); k++ {
				code, err := send(url, good[k%len(good)], "")
				if err == nil && code != http.StatusOK {
					err = fmt.Errorf("%v: status %d", good[k%len(good)], code)
				}
				if k == i || err != nil {
					started <- err
				}
				if err != nil {
					return
				}
			}
		})
	}
	for range clients { // all of them are at it
		if err := <-started; err != nil {
			return err
		}
	}
	for _, r := range []Request{warm, bad} {
		id := make([]byte, 24)
		_, _ = rand.Read(id)
		traceID := hex.EncodeToString(id[:16])
		// The connection breaks, or a recovery of the framework answers.
		if code, err := send(url, r, "00-"+traceID+"-"+hex.EncodeToString(id[16:])+"-01"); err == nil && code < 500 {
			return fmt.Errorf("%v did not fail: status %d", r, code)
		}
		if err := <-stored; err != nil {
			return err
		}
		if r == bad {
			fmt.Println(traceID)
		}
	}
	done.Store(true)
	crowd.Wait()
	return errors.Join(dumps.Shutdown(ctx), server.Close())
}

// clients is how many there are.
const clients = 8

func send(url string, r Request, traceparent string) (int, error) {
	req, err := http.NewRequest(r.Method, url+r.Path, strings.NewReader(r.Body))
	if err != nil {
		return 0, err
	}
	if traceparent != "" {
		req.Header.Set("Traceparent", traceparent)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// TraceID returns the trace ID of a context.
func TraceID(ctx context.Context) string {
	return oteltrace.SpanContextFromContext(ctx).TraceID().String()
}

// Exit ends the program.
func Exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
