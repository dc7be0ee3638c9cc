// Command subject runs the corpus. While a fixture's goroutine is held in the panic that it ends
// in, it is captured by the engine and looked at by Delve, and the two accounts are compared.
//
//	subject [-truth dir] [-out dir] [fixture …]
//
// The result is a JSON object for each fixture on standard output. With -out the dumps are kept; with -truth, the dumps of another
// build's run, both accounts are compared with those, too.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
	"github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/corpus"
	"github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/verdict"
	"github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/witness"
)

func main() {
	truth := flag.String("truth", "", "folder with dumps that are right")
	out := flag.String("out", "", "folder for the dumps")
	flag.Parse()
	if err := run(*truth, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "subject:", err)
		os.Exit(1)
	}
}

func run(truth, out string, wanted []string) error {
	redactor, err := redact.New(redact.Config{})
	if err != nil {
		return err
	}
	engine, err := capture.New(capture.Config{
		Depth: 250, Pause: time.Minute, Timeout: 5 * time.Minute, Goroutines: capture.ScopeFailing, MaxStringLen: 16 << 20,
		MaxArrayValues: 100_000, MaxMapEntries: 100_000, MaxObjects: 2_000_000, MaxBytes: 512 << 20, SourceLines: -1, Redactor: redactor,
	})
	if err != nil {
		return err
	}
	if err := engine.Ready(context.Background()); err != nil {
		return err
	}
	delve, err := witness.New()
	if err != nil {
		return err
	}
	if truth != "" {
		verdict.Careful()
	}
	enc := json.NewEncoder(os.Stdout)
	for _, f := range corpus.All {
		if len(wanted) > 0 && !slices.Contains(wanted, f.Name) {
			continue
		}
		r, err := examine(engine, delve, f, truth, out)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// held is a goroutine that waits in the panic that it will end in.
type held struct {
	snapshot *capture.Snapshot
	err      error
	goid     int64
	release  chan struct{}
	ended    chan struct{}
}

// hold runs a fixture until it has panicked and was captured.
func hold(e *capture.Engine, f corpus.Fixture) *held {
	h := &held{release: make(chan struct{}), ended: make(chan struct{})}
	captured := make(chan struct{})
	go func() {
		defer close(h.ended)
		roomy(func() {
			defer func() { _ = recover() }()
			defer h.capture(e, time.Now(), captured)
			f.Run()
		}, 4)
	}()
	<-captured
	return h
}

// roomy runs f on a stack that is large enough already, so that nothing moves it: addresses stay true. A
// larger array would be put on the heap.
//
//go:noinline
func roomy(f func(), more int) {
	var room [64 << 10]byte
	touch(room[:])
	if more > 0 {
		roomy(f, more-1)
		return
	}
	f()
}

//go:noinline
func touch(b []byte) { b[0] = 1 }

func (h *held) capture(e *capture.Engine, since time.Time, captured chan struct{}) {
	h.snapshot, h.err = e.Snapshot(capture.Event{Trigger: dump.TriggerPanic, Since: since})
	if h.err == nil {
		h.goid = h.snapshot.Failing().Goroutine
	}
	close(captured)
	<-h.release
}

func examine(e *capture.Engine, delve *witness.Witness, f corpus.Fixture, truth, out string) (*verdict.Result, error) {
	// A collection would shrink stacks, and free what only the debug info still sees.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC() // ends the one that may be under way
	h := hold(e, f)
	defer func() { close(h.release); <-h.ended }()
	if h.err != nil {
		return nil, h.err
	}
	defer h.snapshot.Release()
	var file bytes.Buffer
	if _, err := h.snapshot.Encode(context.Background(), &file, &dump.Header{}, nil); err != nil {
		return nil, err
	}
	if out != "" {
		if err := os.WriteFile(filepath.Join(out, f.Name+dump.Extension), file.Bytes(), 0o600); err != nil {
			return nil, err
		}
	}
	ours, err := accountOf(file.Bytes())
	if err != nil {
		return nil, err
	}
	frames, err := delve.Frames(h.goid, 200)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(frames, func(f witness.Frame) bool { return f.Func == "runtime.gopanic" })
	if i < 0 {
		return nil, fmt.Errorf("delve sees no panic in %s", text(frames))
	}
	theirs := untilMain(verdict.OfDelve(frames[i:]))
	r := &verdict.Result{Fixture: f.Name}
	c := verdict.Comparison{Fixture: f.Name, SameProcess: true}
	c.Stacks(ours, theirs)
	r.Delve = c.Tally()
	if truth != "" {
		b, err := os.ReadFile(filepath.Join(truth, f.Name+dump.Extension))
		if err != nil {
			return nil, err
		}
		right, err := accountOf(b)
		if err != nil {
			return nil, err
		}
		r.Truth = verdict.Judge(f.Name, ours, right)
		r.DelveTruth = verdict.Judge(f.Name, theirs, right)
	}
	return r, nil
}

func accountOf(file []byte) ([]verdict.Frame, error) {
	r, err := dump.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	g, err := r.Failing()
	if err != nil {
		return nil, err
	}
	return untilMain(verdict.OfDump(r, g)), nil
}

// untilMain returns the frames of the corpus and of what it calls: those of this program hold the
// engine, which leaves itself out.
func untilMain(frames []verdict.Frame) []verdict.Frame {
	i := slices.IndexFunc(frames, func(f verdict.Frame) bool { return strings.HasPrefix(f.Func, "main.") })
	if i < 0 {
		return frames
	}
	return frames[:i]
}

func text(frames []witness.Frame) string {
	var names []string
	for i := range frames {
		names = append(names, frames[i].Func)
	}
	return strings.Join(names, " ← ")
}
