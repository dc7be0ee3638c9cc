// Command bigprogram is a program of 80 MB that measures what its debug info costs:
// how long Install takes, how long after it the first dump is there, and what stays on the Go heap.
//
//	cd bench/bigprogram && go build && ./bigprogram
//
// Each figure is the median of several processes, each of which starts anew. Cold ones find no cache, warm
// ones find what an earlier process has left there.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/otelcoredumpy/otelcoredumpy"
)

func main() {
	runs := flag.Int("runs", 9, "processes for each figure")
	flag.Parse()
	if dir := os.Getenv("BIGPROGRAM_DIR"); dir != "" {
		if err := measure(dir); err != nil {
			fmt.Fprintln(os.Stderr, "bigprogram:", err)
			os.Exit(1)
		}
		return
	}
	if err := report(*runs); err != nil {
		fmt.Fprintln(os.Stderr, "bigprogram:", err)
		os.Exit(1)
	}
}

// figures are what one process measures.
type figures struct {
	install, first time.Duration
	cpu            time.Duration // of the process, from Install to the dump
	heap           int64         // bytes of the Go heap more than before, afterwards
}

func report(runs int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	st, err := os.Stat(self)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %.0f MB, %d processes each, medians\n\n", st.Name(), float64(st.Size())/1e6, runs)
	fmt.Println("| | Install | first dump stored | processor time | Go heap afterwards |")
	fmt.Println("|---|---|---|---|---|")
	for _, c := range []struct{ name, cache string }{{"cold", ""}, {"cold, without a cache", "off"}, {"warm", "kept"}} {
		var all []figures
		kept, err := os.MkdirTemp("", "bigprogram")
		if err != nil {
			return err
		}
		defer os.RemoveAll(kept)
		n := runs
		if c.cache == "kept" {
			n++ // the first one fills it
		}
		for i := range n {
			f, err := run(self, c.cache, kept)
			if err != nil {
				return err
			}
			if c.cache != "kept" || i > 0 {
				all = append(all, f)
			}
		}
		fmt.Printf("| %s | %s | %s | %s | %.1f MB |\n", c.name, median(all, func(f figures) time.Duration { return f.install }),
			median(all, func(f figures) time.Duration { return f.first }),
			median(all, func(f figures) time.Duration { return f.cpu }), float64(median(all, func(f figures) time.Duration { return time.Duration(f.heap) }))/1e6)
	}
	return nil
}

func median(all []figures, get func(figures) time.Duration) time.Duration {
	var v []time.Duration
	for _, f := range all {
		v = append(v, get(f))
	}
	slices.Sort(v)
	return v[len(v)/2].Round(10 * time.Microsecond)
}

// run starts a process that measures.
func run(self, cache, kept string) (f figures, err error) {
	dir, err := os.MkdirTemp("", "bigprogram")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	switch cache {
	case "":
		cache = dir + "/cache"
	case "kept":
		cache = kept + "/cache"
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "BIGPROGRAM_DIR="+dir, "COREDUMPY_DEBUG_INFO_CACHE_DIR="+cache, "COREDUMPY_CAPTURE_TIMEOUT=1m")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return f, err
	}
	_, err = fmt.Sscan(out.String(), (*int64)(&f.install), (*int64)(&f.first), (*int64)(&f.cpu), &f.heap)
	return f, err
}

func measure(dir string) error {
	keep()
	before := heap()
	cpu := cpuTime()
	start := time.Now()
	inst, err := otelcoredumpy.Install(otelcoredumpy.WithDir(dir + "/dumps"))
	install := time.Since(start)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := inst.Dump(ctx); err != nil {
		return err
	}
	if err := inst.Flush(ctx); err != nil {
		return err
	}
	first := time.Since(start)
	cpu = cpuTime() - cpu
	if err := inst.Ready(ctx); err != nil {
		return err
	}
	after := heap() - before
	fmt.Println(int64(install), int64(first), int64(cpu), after)
	return inst.Shutdown(ctx)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// keep makes the linker keep all of what makes the program large: a template may
// call any method.
func keep() {
	var out strings.Builder
	c, err := kubernetes.NewForConfig(&rest.Config{})
	_ = template.Must(template.New("").Parse("{{.nothing}}")).Execute(&out, map[string]any{"kubernetes": c, "error": err, "s3": s3.New(s3.Options{})})
}
