//go:build unix

package spool

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
)

// killEnv makes this program the process that is killed. It names the folder.
const killEnv = "OTELCOREDUMPY_SPOOL_KILL_TEST"

// helperMain puts dumps and uploads them into a folder until it is killed. It
// prints the ID of each dump when its Put has returned.
func helperMain() bool {
	dir := os.Getenv(killEnv)
	if dir == "" {
		return false
	}
	s, err := killSpool(dir, Config{})
	for n := byte(0); err == nil; n++ {
		id := newIdentity()
		id.TraceID[0] = 1 + n%8
		if err = s.Put(context.Background(), id, bytes.NewReader(contentOf(id.ID, killSize(id.ID)))); err == nil {
			_, err = fmt.Printf("%s %s\n", id.ID, id.TraceID) // one call of write
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
	return true
}

func killSpool(dir string, c Config) (*Spool, error) {
	dest, err := local.New(filepath.Join(dir, "dumps"))
	if err != nil {
		return nil, err
	}
	c.Dir, c.MinFree = filepath.Join(dir, "spool"), -1
	return New(dest, c)
}

// killSize is the size of the dump with that ID.
func killSize(id dump.ID) int { return (int(id[14])<<8 | int(id[15])) * 3 }

// TestKilled kills processes that put and upload, two at a time on one spool, at
// any moment. Afterwards every dump that one of them had reported is at the destination,
// whole and once; and at no time is half a dump to be seen there.
func TestKilled(t *testing.T) {
	rounds := 110
	if testing.Short() || raceEnabled {
		rounds = 15
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	start := time.Now()
	reported := map[dump.ID]dump.TraceID{}
	var mu sync.Mutex
	kills, silent := 0, 0
	// How long a process may live. On a busy machine none would get as far as a dump in what is
	// long enough on an idle one.
	longest := 80 * time.Millisecond
	run := func() error {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), killEnv+"="+dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		// From before its first line on, which takes some time to come.
		mu.Lock()
		life := rand.N(longest)
		mu.Unlock()
		timer := time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		n := 0
		for lines := bufio.NewScanner(out); lines.Scan(); n++ {
			id, trace, _ := strings.Cut(lines.Text(), " ")
			dumpID, err := dump.ParseID(id)
			if err != nil {
				return err
			}
			traceID, err := dump.ParseTraceID(trace)
			if err != nil {
				return err
			}
			mu.Lock()
			reported[dumpID] = traceID
			mu.Unlock()
		}
		_ = cmd.Wait()
		if stderr.Len() > 0 {
			return fmt.Errorf("the process has complained: %s", &stderr)
		}
		mu.Lock()
		defer mu.Unlock()
		kills++
		if n == 0 {
			silent++
			if 2*silent > kills {
				longest = min(longest*5/4, 30*time.Second)
			}
		}
		return nil
	}
	home := filepath.Join(dir, "spool", homeOf("local folder "+filepath.Join(dir, "dumps")))
	checked, halves, waiting := 0, 0, 0
	done := 0
	for ; done < rounds || done < 10*rounds && (len(reported) < rounds/2 || halves == 0 || waiting == 0); done++ {
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			wg.Go(func() { errs[i] = run() })
		}
		n, err := wholeDumps(filepath.Join(dir, "dumps"), 5) // while they live
		wg.Wait()
		for _, err := range append(errs, err) {
			if err != nil {
				t.Fatal(err)
			}
		}
		checked += n
		halves += len(filesBelow(t, filepath.Join(home, tmpDir)))
		waiting += len(filesBelow(t, filepath.Join(home, itemsDir)))
	}
	took := time.Since(start)

	w := &witness{}
	s, err := killSpool(dir, w.watch(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	awaitSweep(s)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	shutdown(t, s)
	wantFiles(t, s)
	if kinds := w.kinds(); len(kinds) > 0 {
		w.log(t)
		t.Errorf("was told of %v", kinds)
	}
	if n, err := wholeDumps(filepath.Join(dir, "dumps"), 1<<30); err != nil || n < len(reported) {
		t.Errorf("%d whole dumps at the destination, want at least %d: %v", n, len(reported), err)
	}
	dest := s.Destination()
	seen := map[dump.ID]int{}
	for e, err := range dest.List(t.Context(), sink.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen[e.ID]++
	}
	for id, trace := range reported {
		if seen[id] != 1 {
			t.Errorf("dump %s is listed %d times", id, seen[id])
		}
		b, err := readAll(t, dest, dump.Identity{ID: id, TraceID: trace})
		if err != nil || !bytes.Equal(b, contentOf(id, killSize(id))) {
			t.Errorf("dump %s: %d bytes, %v", id, len(b), err)
		}
	}
	t.Logf("%d kills in %v, %d before the first dump; %d dumps reported, %d read at the destination meanwhile; %d temporary files and %d items were left by the dead",
		kills, took.Round(time.Millisecond), silent, len(reported), checked, halves, waiting)
	if kills != 2*done || len(reported) < rounds/2 || halves == 0 || waiting == 0 {
		t.Error("so little was shown")
	}
}

// wholeDumps reads the latest dumps of each trace at the destination, and returns
// how many there were. It is an error if one of them is not whole.
func wholeDumps(dir string, latest int) (n int, err error) {
	traces, err := os.ReadDir(filepath.Join(dir, "v1", "traces"))
	if os.IsNotExist(err) {
		return 0, nil
	}
	for _, trace := range traces {
		files, err := os.ReadDir(filepath.Join(dir, "v1", "traces", trace.Name()))
		if err != nil {
			return n, err
		}
		for _, file := range files[max(0, len(files)-latest):] {
			name := filepath.Join(dir, "v1", "traces", trace.Name(), file.Name())
			id, err := sink.ParseTraceName(file.Name())
			if err != nil {
				return n, err
			}
			b, err := os.ReadFile(name)
			if err != nil || !bytes.Equal(b, contentOf(id, killSize(id))) {
				return n, fmt.Errorf("%s has %d bytes, want %d: %w", name, len(b), killSize(id), err)
			}
			n++
		}
	}
	return n, err
}
