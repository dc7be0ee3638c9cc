// Command torturecgo captures in Go functions that C has called: on a thread of Go's,
// on one that C has made, and with C's frames in the middle of the stack.
package main

/*
#cgo LDFLAGS: -lpthread
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern void callback(int depth, char *text);

static void down(int depth, char *text) {
	volatile char pad[512];
	memset((void *)pad, depth, sizeof pad);
	callback(depth, text);
	pad[0] = 1;
}

static void *thread(void *arg) { down(1, (char *)arg); return 0; }

static void onThread(char *text) {
	pthread_t t;
	if (pthread_create(&t, 0, thread, text) == 0) pthread_join(t, 0);
}
*/
import "C"

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var (
	engine *capture.Engine
	dumps  int
)

func die(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "torturecgo: "+format+"\n", args...)
	os.Exit(1)
}

type record struct {
	Text *C.char // memory of C
	N    int
	Raw  []byte // … as a slice
}

func snap(t dump.Trigger, r *record) {
	s, err := engine.Snapshot(capture.Event{Trigger: t, Watches: []capture.Watch{{Name: "r", Value: r}}})
	if err != nil {
		die("%v", err)
	}
	defer s.Release()
	var b bytes.Buffer
	if _, err := s.Encode(context.Background(), &b, &dump.Header{}, nil); err != nil {
		die("%v", err)
	}
	d, err := dump.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		die("%v", err)
	}
	if err := d.Verify(); err != nil {
		die("%v", err)
	}
	g, err := d.Failing()
	if err != nil {
		die("%v", err)
	}
	found := false
	for i := range g.Frames {
		found = found || strings.HasSuffix(g.Frames[i].Func, "fails")
	}
	if t == dump.TriggerPanic && !found {
		die("the failing function is not in the dump")
	}
	dumps++
}

//go:noinline
func fails(r *record) {
	defer func() {
		snap(dump.TriggerPanic, r)
		_ = recover()
	}()
	var p *record
	p.N = r.N
}

//export callback
func callback(depth C.int, text *C.char) {
	r := &record{Text: text, N: int(depth), Raw: unsafe.Slice((*byte)(unsafe.Pointer(text)), 5)}
	fails(r)
	runtime.GC()
	snap(dump.TriggerManual, r)
	if depth < 4 {
		C.down(depth+1, text)
	}
}

func main() {
	rounds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		die("%v", err)
	}
	if engine, err = capture.New(capture.Config{SourceLines: -1}); err != nil {
		die("%v", err)
	}
	if err := engine.Ready(context.Background()); err != nil {
		die("%v", err)
	}
	text := C.CString("text of C")
	defer C.free(unsafe.Pointer(text))
	for range rounds {
		C.down(1, text)
		C.onThread(text)
	}
	fmt.Println("ok", dumps)
}
