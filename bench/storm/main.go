// Command storm shows what a storm of failures does to a service: it runs a real
// one under load, first without otelcoredumpy and then with it, lets it fail
// thousands of times a second, and prints how long healthy requests took, how
// much memory the process had, and what became of the failures.
//
//	go build -o /tmp/storm ./storm && /tmp/storm -rate 10000 -for 60s
//
// It builds with go build, not go run, which links without the debug
// information that captures need. The service is this program itself, started
// again; the load comes from the first process.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	var o options
	flag.IntVar(&o.rate, "rate", 10_000, "failing spans a second")
	flag.DurationVar(&o.length, "for", time.Minute, "how long each run lasts")
	flag.IntVar(&o.healthy, "healthy", 200, "healthy requests a second")
	flag.StringVar(&o.mode, "serve", "", "be the service: bare or installed")
	flag.StringVar(&o.dir, "dir", "", "where the service puts its dumps; default: a folder that is removed again")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	if o.mode != "" {
		if err := serve(o); err != nil {
			fmt.Fprintln(os.Stderr, "storm:", err)
			os.Exit(1)
		}
		return
	}
	var results []result
	for _, mode := range []string{"bare", "installed"} {
		r, err := run(o, mode)
		if err != nil {
			fmt.Fprintf(os.Stderr, "storm: %s: %v\n", mode, err)
			os.Exit(1)
		}
		results = append(results, r)
	}
	if *asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		_ = enc.Encode(results)
		return
	}
	print(results)
}

type options struct {
	rate, healthy int
	length        time.Duration
	mode, dir     string
}

// result is what one run showed.
type result struct {
	Mode     string        `json:"mode"`
	Requests int           `json:"healthy_requests"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	Max      time.Duration `json:"max_ns"`
	report
}

// run starts the service, sends it healthy requests for as long as the storm
// lasts, and returns what both sides saw.
func run(o options, mode string) (result, error) {
	dir, err := os.MkdirTemp("", "storm")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	if o.dir != "" {
		dir = o.dir
	}
	exe, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	cmd := exec.Command(exe, "-serve", mode, "-dir", dir, "-rate", fmt.Sprint(o.rate), "-for", o.length.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return result{}, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return result{}, err
	}
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	defer cmd.Process.Kill()
	dec := json.NewDecoder(out)
	var hello struct{ URL string }
	if err := dec.Decode(&hello); err != nil {
		return result{}, fmt.Errorf("the service did not start: %w", err)
	}

	r := result{Mode: mode}
	latencies := load(hello.URL, o)
	if err := in.Close(); err != nil { // the storm is over
		return r, err
	}
	if err := dec.Decode(&r.report); err != nil {
		return r, fmt.Errorf("the service did not report: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return r, err
	}
	r.Mode, r.Requests = mode, len(latencies)
	slices.Sort(latencies)
	if n := len(latencies); n > 0 {
		r.P50, r.P99, r.Max = latencies[n/2], latencies[n*99/100], latencies[n-1]
	}
	return r, nil
}

// load sends healthy requests at a fixed rate, whether or not those before were
// answered, and returns how long each took from when it was due.
func load(url string, o options) []time.Duration {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	var (
		mu        sync.Mutex
		latencies []time.Duration
		wg        sync.WaitGroup
	)
	interval := time.Second / time.Duration(o.healthy)
	start := time.Now()
	for due := start; due.Sub(start) < o.length; due = due.Add(interval) {
		time.Sleep(time.Until(due))
		wg.Go(func() {
			resp, err := client.Get(url + "/healthy")
			if err != nil {
				fmt.Fprintln(os.Stderr, "storm: healthy request:", err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, took)
		})
	}
	wg.Wait()
	return latencies
}

func print(results []result) {
	row := func(name string, cell func(r result) string) {
		fmt.Printf("%-34s", name)
		for _, r := range results {
			fmt.Printf(" %16s", cell(r))
		}
		fmt.Println()
	}
	row("", func(r result) string { return r.Mode })
	row("failing spans a second", func(r result) string { return fmt.Sprintf("%.0f", float64(r.Failures)/r.Seconds) })
	row("healthy requests", func(r result) string { return fmt.Sprint(r.Requests) })
	row("  p50", func(r result) string { return r.P50.Round(time.Microsecond).String() })
	row("  p99", func(r result) string { return r.P99.Round(time.Microsecond).String() })
	row("  max", func(r result) string { return r.Max.Round(time.Microsecond).String() })
	row("CPU, seconds", func(r result) string { return fmt.Sprintf("%.1f", r.CPU) })
	row("RSS at the end, MB", func(r result) string { return fmt.Sprintf("%.0f", float64(r.RSS)/1e6) })
	row("RSS at most, MB", func(r result) string { return fmt.Sprintf("%.0f", float64(r.PeakRSS)/1e6) })
	row("heap after a GC, MB", func(r result) string { return fmt.Sprintf("%.1f", float64(r.Heap)/1e6) })
	row("goroutines before / after", func(r result) string { return fmt.Sprintf("%d / %d", r.Before, r.After) })
	last := results[len(results)-1]
	if len(last.Stats) == 0 {
		return
	}
	b, err := json.MarshalIndent(last.Stats, "  ", "  ")
	if err == nil {
		fmt.Printf("\nwhat became of %d failures:\n  %s\n", last.Failures, strings.TrimSpace(string(b)))
	}
}
