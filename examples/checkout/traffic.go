package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// scenario is one way to fail, with the requests that do.
type scenario struct {
	name     string
	requests []string
	// fatal means that the process ends, so that another one has to do it.
	fatal bool
}

// healthy are requests that succeed. They come before the failures.
var healthy = []string{
	"GET /orders",
	"GET /orders/A-1001/quote",
	"GET /orders/A-1001/shipping?service=economy",
	"POST /orders/A-1001/notes?author=kim&text=gift+wrap",
	"POST /orders/A-1001/pay",
	"POST /orders/A-1001/reserve",
	"POST /orders/A-1001/pack",
	"POST /orders/A-1001/refund?percent=50",
}

var scenarios = []scenario{
	{name: "nil-deref", requests: []string{"GET /orders/A-1002/quote"}},
	{name: "index", requests: []string{"GET /orders/A-1003/shipping?service=express"}},
	{name: "nil-map", requests: []string{"POST /orders/A-1004/notes?author=sam&text=call+before+delivery"}},
	{name: "custom-panic", requests: []string{"POST /orders/A-1005/pay"}},
	{name: "error-span", requests: []string{
		"POST /orders/A-1006/reserve",            // recorded where it was made
		"POST /orders/A-1001/refund?percent=150", // recorded where the span ends
	}},
	{name: "goroutine", requests: []string{"POST /orders/A-1007/pack"}, fatal: true},
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// dumpTimeout is how long a dump may take until it is stored.
const dumpTimeout = 20 * time.Second

// traffic sends the shop its requests.
type traffic struct {
	base   string
	opts   *options
	log    *slog.Logger
	report *report
	stderr io.Writer
}

// send sends every request. It goes on after a failure without a dump, and
// returns what went wrong.
func (t *traffic) send(ctx context.Context) error {
	if err := t.sendHealthy(ctx); err != nil {
		return err
	}
	var errs []error
	for _, s := range scenarios {
		if t.opts.scenario != "" && t.opts.scenario != s.name {
			continue
		}
		if s.fatal {
			if err := t.spawn(ctx, s); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
			}
			continue
		}
		for _, request := range s.requests {
			if err := t.fail(ctx, s, request); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", s.name, request, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (t *traffic) sendHealthy(ctx context.Context) error {
	for _, request := range healthy {
		status, err := t.request(ctx, request, "")
		if err != nil {
			return fmt.Errorf("%s: %w", request, err)
		}
		if status != http.StatusOK {
			return fmt.Errorf("%s: status %d", request, status)
		}
	}
	return nil
}

// fail sends a request that fails, and waits until its dump is stored.
func (t *traffic) fail(ctx context.Context, s scenario, request string) error {
	failure := t.report.expect(s.name)
	// A panic in a handler ends the connection, which is no error here.
	status, err := t.request(ctx, request, failure.key)
	if err == nil && status == http.StatusOK {
		return errors.New("did not fail")
	}
	select {
	case err := <-failure.done:
		return err
	case <-time.After(dumpTimeout):
		return fmt.Errorf("no dump within %v", dumpTimeout)
	}
}

// request sends one request, written as "METHOD /path?query".
func (t *traffic) request(ctx context.Context, request, key string) (int, error) {
	method, target, _ := strings.Cut(request, " ")
	req, err := http.NewRequestWithContext(ctx, method, t.base+target, nil)
	if err != nil {
		return 0, err
	}
	// On a connection that was used before, net/http would send a GET again when
	// a panic has closed it: two failures for one request.
	req.Close = true
	req.Header.Set("X-Request-Id", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err // without the port, which is never the same
		}
		t.log.Info("answer", "request", request, "err", err)
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	t.log.Info("answer", "request", request, "status", resp.StatusCode, "body", strings.TrimSpace(string(body)), "err", err)
	return resp.StatusCode, err
}
