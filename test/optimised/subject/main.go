// Command subject fails at many sites, captures each failure, and has Delve read the same
// goroutine at the same instant. It prints what the two say of the variables as
// JSON, one site a line. The test holds that against a run of the same program built
// without optimisation, in which every variable has its place.
//
//	subject [-pressure] [site …]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// Site is a way to fail.
type Site struct {
	Name string
	Run  func()
}

// Account is what one reader says of the failing goroutine.
type Account struct {
	Frames []Frame
	Err    string `json:",omitempty"`
}

// Frame is a call.
type Frame struct {
	Func string
	Line int
	User bool `json:",omitempty"`
	Vars []Var
}

// Var is a variable.
type Var struct {
	Name  string
	Decl  int
	State string `json:",omitempty"`
	Value *Node
}

// Report is what is known of a site.
type Report struct {
	Site  string
	Ours  Account
	Delve *Account `json:",omitempty"`
}

var (
	engine   *capture.Engine
	pressure = flag.Bool("pressure", false, "collect garbage and make the stack grow between the failure and the capture")
	witness  interface {
		account(goid int64) Account
	}
)

func main() {
	flag.Parse()
	redactor, err := redact.New(redact.Config{})
	if err != nil {
		fatal(err)
	}
	engine, err = capture.New(capture.Config{
		Depth: 6, Pause: time.Minute, Timeout: time.Minute, Goroutines: capture.ScopeFailing, SourceLines: -1, Redactor: redactor,
	})
	if err != nil {
		fatal(err)
	}
	if err := engine.Ready(context.Background()); err != nil {
		fatal(err)
	}
	startWitness()
	out := json.NewEncoder(os.Stdout)
	for _, s := range sites {
		if flag.NArg() > 0 && !slices.Contains(flag.Args(), s.Name) {
			continue
		}
		if err := out.Encode(examine(s)); err != nil {
			fatal(err)
		}
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "subject:", err)
	os.Exit(1)
}

// caught is the failure that is being looked at.
type caught struct {
	snapshot *capture.Snapshot
	err      error
	ready    chan struct{}
	release  chan struct{}
}

var (
	current *caught
	began   time.Time
)

func examine(s Site) Report {
	c := &caught{ready: make(chan struct{}), release: make(chan struct{})}
	current, began = c, time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		protect(s.Run)
	}()
	r := Report{Site: s.Name}
	select {
	case <-c.ready:
	case <-ended:
		r.Ours.Err = "it did not fail"
		return r
	}
	defer func() {
		close(c.release)
		<-ended
	}()
	if c.err != nil {
		r.Ours.Err = c.err.Error()
		return r
	}
	goid := c.snapshot.Failing().Goroutine
	if witness != nil {
		a := witness.account(goid)
		r.Delve = &a
	}
	r.Ours = ourAccount(c.snapshot)
	c.snapshot.Release()
	return r
}

// protect runs f as a service runs a request: what it panics with is captured on the way out.
//
//go:noinline
func protect(f func()) {
	defer func() { _ = recover() }()
	defer onPanic(began)
	f()
}

func onPanic(since time.Time) {
	if !capture.PanicInFlight() {
		return
	}
	hold(capture.Event{Trigger: dump.TriggerPanic, Since: since})
}

// report is what a program calls where it has an error.
//
//go:noinline
func report(err error) {
	hold(capture.Event{Trigger: dump.TriggerErrorSpan, Err: err, Since: began})
}

//go:noinline
func hold(ev capture.Event) {
	c := current
	if c == nil || c.snapshot != nil {
		return
	}
	if *pressure {
		grow(200)
		runtime.GC()
		churn()
		runtime.GC()
	}
	c.snapshot, c.err = engine.Snapshot(ev)
	close(c.ready)
	<-c.release
}

//go:noinline
func grow(n int) int {
	var b [512]byte
	b[n%512] = byte(n)
	if n == 0 {
		return int(b[0])
	}
	return grow(n-1) + int(b[n%512])
}

var garbage [][]byte

func churn() {
	for i := range 4000 {
		garbage = append(garbage, bytes.Repeat([]byte{0xa5}, 8<<(i%8)))
	}
	garbage = nil
}

func ourAccount(s *capture.Snapshot) Account {
	var file bytes.Buffer
	if _, err := s.Encode(context.Background(), &file, &dump.Header{}, nil); err != nil {
		return Account{Err: err.Error()}
	}
	r, err := dump.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		return Account{Err: err.Error()}
	}
	g, err := r.Failing()
	if err != nil {
		return Account{Err: err.Error()}
	}
	var a Account
	for i := range g.Frames {
		f := &g.Frames[i]
		o := Frame{Func: f.Func, Line: f.Line, User: f.User}
		for k := range f.Vars {
			v := &f.Vars[k]
			o.Vars = append(o.Vars, Var{v.Name, v.DeclLine, v.StateName(), ourNode(r, &v.Value, maxDepth)})
		}
		a.Frames = append(a.Frames, o)
	}
	return a
}
