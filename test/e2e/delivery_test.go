package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/versitygw"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	s3sink "github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// deliverer is the service of the delivery tests (test/e2e/deliver), run as
// often as a test wants, with one configuration.
type deliverer struct {
	t   *testing.T
	bin string
	dir string
	env []string

	mu     sync.Mutex
	stored map[dump.ID]dump.TraceID // that the service said were safe
}

func newDeliverer(t *testing.T, env ...string) *deliverer {
	t.Helper()
	d := &deliverer{t: t, dir: t.TempDir(), stored: make(map[dump.ID]dump.TraceID)}
	d.bin = goBuild(t, "deliver", "test/e2e/deliver")
	d.env = append(append(environment(), "HOME="+d.dir, "XDG_CONFIG_HOME="+filepath.Join(d.dir, "none")), limitless...)
	d.env = append(d.env, env...)
	return d
}

// limitless is the environment in which every failure gets a dump, and quickly:
// the tests are about what becomes of dumps and not of what is in them.
var limitless = []string{
	"COREDUMPY_LIMIT_WINDOW=0s", "COREDUMPY_LIMIT_PER_FAILURE=0", "COREDUMPY_LIMIT_PER_MINUTE=0",
	"COREDUMPY_CAPTURE_GOROUTINES=failing", "COREDUMPY_CAPTURE_DEPTH=1", "COREDUMPY_CAPTURE_SOURCE_LINES=0",
	"COREDUMPY_CAPTURE_PAUSE=5s", "COREDUMPY_CAPTURE_TIMEOUT=20s",
}

// process is a running service.
type process struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
	ready  chan struct{}
	lines  chan struct{} // closed when its output has ended
	left   string        // what Shutdown could not bring away
	lost   []string
	n      int // dumps reported
}

// start runs the service in the background.
func (d *deliverer) start(args ...string) *process {
	d.t.Helper()
	p := &process{Cmd: exec.Command(d.bin, args...), ready: make(chan struct{}), lines: make(chan struct{})}
	p.Dir, p.Env = d.dir, d.env
	p.Stderr = &p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if p.stdin, err = p.StdinPipe(); err != nil {
		d.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		d.t.Fatal(err)
	}
	go d.read(p, out)
	return p
}

// read takes down what the service says. A line that is not whole was not said.
func (d *deliverer) read(p *process, out io.Reader) {
	defer close(p.lines)
	r := bufio.NewReader(out)
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return
		}
		word, rest, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		switch word {
		case "ready":
			close(p.ready)
		case "stored":
			id, trace, _ := strings.Cut(rest, " ")
			parsed, err := dump.ParseID(id)
			parsedTrace, err2 := dump.ParseTraceID(trace)
			if err != nil || err2 != nil {
				d.t.Errorf("the service says %q", text)
				continue
			}
			d.mu.Lock()
			d.stored[parsed] = parsedTrace
			p.n++
			d.mu.Unlock()
		case "left":
			p.left = rest
		case "lost":
			p.lost = append(p.lost, rest)
		}
	}
}

// wait waits for the service's end, at most two minutes, and returns its exit
// code.
func (d *deliverer) wait(p *process) int {
	d.t.Helper()
	timer := time.AfterFunc(2*time.Minute, func() {
		d.t.Errorf("the service hangs")
		_ = p.Process.Kill()
	})
	defer timer.Stop()
	<-p.lines
	_ = p.Wait()
	return p.ProcessState.ExitCode()
}

// run runs the service to its end.
func (d *deliverer) run(args ...string) *process {
	d.t.Helper()
	p := d.start(args...)
	p.stdin.Close()
	d.wait(p)
	return p
}

// check holds a store against what the service said: every dump that it called
// stored is there, once, and whole; and there is nothing that is not whole. It
// returns how many dumps there are.
func (d *deliverer) check(s sink.Sink) int {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx := context.Background()
	seen := make(map[dump.ID]int)
	for e, err := range s.List(ctx, sink.Query{}) {
		if err != nil {
			d.t.Fatal(err)
		}
		seen[e.ID]++
		if err := verifyEntry(ctx, s, e); err != nil {
			d.t.Errorf("dump %s in %s: %v", e.ID, s, err)
		}
	}
	for id, trace := range d.stored {
		if seen[id] != 1 {
			d.t.Errorf("dump %s, which was reported as stored, is %d times in the list of %s", id, seen[id], s)
		}
		entries, err := s.Trace(ctx, trace)
		if err != nil {
			d.t.Fatal(err)
		}
		n := 0
		for _, e := range entries {
			if e.ID == id {
				n++
			}
		}
		if n != 1 {
			d.t.Errorf("dump %s is %d times under its trace", id, n)
		}
	}
	return len(seen)
}

func verifyEntry(ctx context.Context, s sink.Sink, e sink.Entry) error {
	o, err := s.Open(ctx, e)
	if err != nil {
		return err
	}
	defer o.Close()
	r, err := dump.NewReader(o, o.Size())
	if err != nil {
		return err
	}
	if r.Header().ID != e.ID || r.Header().TraceID != e.TraceID {
		return fmt.Errorf("its header says dump %s of trace %s", r.Header().ID, r.Header().TraceID)
	}
	return r.Verify()
}

// spooled returns how many dumps lie in a spool folder, by what the names say.
func spooled(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.IsDir() && strings.Contains(e.Name(), dump.Extension) {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// bucket starts a real S3 server with a bucket, and returns it with the
// environment for the service and the store as a reader sees it.
func bucket(t *testing.T) (*versitygw.Server, []string, sink.Sink) {
	t.Helper()
	server := versitygw.Start(t)
	server.CreateBucket(t, "dumps")
	for _, kv := range server.Env() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	t.Setenv("HOME", t.TempDir())
	store, err := s3sink.New(t.Context(), s3sink.Config{Bucket: "dumps", Prefix: "team", Endpoint: server.Endpoint, Region: versitygw.Region, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	env := append(server.Env(),
		"COREDUMPY_SINK_TYPE=s3", "COREDUMPY_SINK_S3_BUCKET=dumps", "COREDUMPY_SINK_S3_PREFIX=team",
		"COREDUMPY_SINK_S3_ENDPOINT="+server.Endpoint, "COREDUMPY_SINK_S3_REGION="+versitygw.Region, "COREDUMPY_SINK_S3_PATH_STYLE=true",
	)
	return server, env, store
}

// TestDownForAWholeRun has no S3 while the service runs; the next run, or
// coredumpy push, brings what is left.
func TestDownForAWholeRun(t *testing.T) {
	server, env, store := bucket(t)
	spool := filepath.Join(t.TempDir(), "spool")
	d := newDeliverer(t, append(env, "COREDUMPY_SPOOL_DIR="+spool)...)

	server.Stop()
	p := d.run("-n", "5", "-drain", "500ms")
	if p.n != 5 || p.left == "" || len(p.lost) != 0 {
		t.Fatalf("without S3: %d dumps safe, left %q, lost %q\n%s", p.n, p.left, p.lost, p.stderr.String())
	}
	if n := spooled(t, spool); n != 5 {
		t.Fatalf("%d dumps lie in the spool, want 5", n)
	}
	if n := strings.Count(p.stderr.String(), "\n"); n > 10 {
		t.Errorf("the service logs %d lines of one trouble:\n%s", n, p.stderr.String())
	}

	server.Restart(t)
	p = d.run("-n", "1")
	if p.left != "" {
		t.Errorf("the next run has left something: %s\n%s", p.left, p.stderr.String())
	}
	if n := d.check(store); n != 6 {
		t.Errorf("%d dumps in the bucket, want 6", n)
	}
	if n := spooled(t, spool); n != 0 {
		t.Errorf("%d dumps still lie in the spool", n)
	}

	server.Stop()
	p = d.run("-n", "3", "-drain", "100ms")
	if p.n != 3 {
		t.Fatalf("%d dumps safe, want 3\n%s", p.n, p.stderr.String())
	}
	coredumpy := buildCoredumpy(t)
	push := func() result { return execute(t, runOptions{env: d.env}, coredumpy, "push") }
	if r := push(); r.exit != 1 || !strings.Contains(r.stderr, "coredumpy: error:") {
		t.Errorf("push without S3: exit code %d, want 1\n%s%s", r.exit, r.stdout, r.stderr)
	}
	server.Restart(t)
	if r := push(); r.exit != 0 {
		t.Errorf("push: exit code %d\n%s%s", r.exit, r.stdout, r.stderr)
	}
	if n := d.check(store); n != 9 {
		t.Errorf("%d dumps in the bucket, want 9", n)
	}
}

// TestKilled kills the service with SIGKILL again and again while it dumps and
// uploads to a real S3 server. Whatever it has reported as stored is fetched in
// the end, once and whole.
func TestKilled(t *testing.T) {
	_, env, store := bucket(t)
	kills := 200
	if testing.Short() {
		kills = 20
	}
	killed(t, env, store, kills)
}

// TestKilledLocal does the same to a service that stores in a folder.
func TestKilledLocal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dumps")
	store, err := local.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	kills := 100
	if testing.Short() {
		kills = 20
	}
	killed(t, []string{"COREDUMPY_SINK_LOCAL_DIR=" + dir}, store, kills)
}

func killed(t *testing.T, env []string, store sink.Sink, kills int) {
	spool := filepath.Join(t.TempDir(), "spool")
	d := newDeliverer(t, append(env, "COREDUMPY_SPOOL_DIR="+spool)...)
	const lanes = 2 // processes at once, which share the spool
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for range kills / lanes {
				p := d.start()
				select {
				case <-p.ready:
				case <-p.lines:
					t.Errorf("lane %d: the service ended: %s", lane, p.stderr.String())
					_ = p.Wait()
					return
				}
				time.Sleep(rand.N(100 * time.Millisecond)) // wherever it is by then
				_ = p.Process.Kill()
				<-p.lines
				_ = p.Wait()
			}
		})
	}
	wg.Wait()
	before := len(d.stored)
	if before < kills/4 {
		t.Errorf("only %d dumps in %d runs: the kills came too early to show anything", before, kills)
	}
	p := d.run("-n", "1", "-drain", "100s")
	if p.left != "" {
		t.Errorf("the last run has left something: %s\n%s", p.left, p.stderr.String())
	}
	n := d.check(store)
	t.Logf("%d kills: %d dumps reported as stored, %d in the store", kills, len(d.stored), n)
}

// TestCrash is a process that a panic ends: its dump is safe before the panic
// goes on, and at the destination if that can be reached in time.
func TestCrash(t *testing.T) {
	server, env, store := bucket(t)
	spool := filepath.Join(t.TempDir(), "spool")
	d := newDeliverer(t, append(env, "COREDUMPY_SPOOL_DIR="+spool)...)
	p := d.run("-n", "1", "-crash")
	if p.ProcessState.ExitCode() != 2 || !strings.Contains(p.stderr.String(), "nobody recovers from this: the last order") {
		t.Fatalf("exit code %d, want a panic\n%s", p.ProcessState.ExitCode(), p.stderr.String())
	}
	if strings.Contains(p.stderr.String(), "[signal") {
		t.Errorf("the process seems to have died of a signal of ours:\n%s", p.stderr.String())
	}
	if n := d.check(store); n != 2 || p.n != 2 {
		t.Errorf("%d dumps in the bucket, %d reported, want 2", n, p.n)
	}

	server.Stop()
	start := time.Now()
	p = d.run("-n", "1", "-crash")
	if took := time.Since(start); took > 60*time.Second {
		t.Errorf("without S3 the process took %v to die", took)
	}
	if p.ProcessState.ExitCode() != 2 || p.n != 2 {
		t.Fatalf("exit code %d, %d dumps reported\n%s", p.ProcessState.ExitCode(), p.n, p.stderr.String())
	}
	server.Restart(t)
	d.run("-n", "1")
	if n := d.check(store); n != 5 {
		t.Errorf("%d dumps in the bucket, want 5", n)
	}
}

// TestSpoolThatCannotBeWritten: the dumps go to the destination all the same.
func TestSpoolThatCannotBeWritten(t *testing.T) {
	_, env, store := bucket(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDeliverer(t, append(env, "COREDUMPY_SPOOL_DIR="+filepath.Join(file, "spool"))...)
	p := d.run("-n", "2")
	if p.n != 2 || len(p.lost) != 0 {
		t.Errorf("%d dumps stored, lost %q\n%s", p.n, p.lost, p.stderr.String())
	}
	if n := d.check(store); n != 2 {
		t.Errorf("%d dumps in the bucket, want 2", n)
	}
	if !strings.Contains(p.stderr.String(), "spool") {
		t.Errorf("the log does not say that the spool cannot be used:\n%s", p.stderr.String())
	}
}

// TestEncrypted goes the whole way with dumps that only the holder of a key can
// read: through the spool, a real S3 server, and the command.
func TestEncrypted(t *testing.T) {
	server, env, store := bucket(t)
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(keyFile, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spool := filepath.Join(t.TempDir(), "spool")
	d := newDeliverer(t, append(env, "COREDUMPY_SPOOL_DIR="+spool, "COREDUMPY_ENCRYPT_RECIPIENTS="+key.Recipient().String())...)

	server.Stop()
	p := d.run("-n", "2", "-drain", "100ms")
	if p.n != 2 {
		t.Fatalf("%d dumps safe, want 2\n%s", p.n, p.stderr.String())
	}
	// The message is in the header of a dump, which is not compressed.
	const secret = "no such order-"
	files := 0
	err = filepath.WalkDir(spool, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s has a message in clear", path)
		}
		return err
	})
	if err != nil || files < 2 {
		t.Errorf("%d files in the spool, %v", files, err)
	}

	server.Restart(t)
	d.run("-n", "1")
	if n := d.check(store); n != 3 { // sealed files verify without the key
		t.Errorf("%d dumps in the bucket, want 3", n)
	}
	coredumpy := buildCoredumpy(t)
	out := t.TempDir()
	for id, trace := range d.stored {
		fetched := execute(t, runOptions{env: d.env}, coredumpy, "fetch", trace.String(), "-o", out)
		if fetched.exit != 0 {
			t.Fatalf("fetch: exit code %d\n%s", fetched.exit, fetched.stderr)
		}
		path := filepath.Join(out, id.String()+dump.Extension)
		public := execute(t, runOptions{env: d.env}, coredumpy, "peek", path)
		if public.exit != 0 || strings.Contains(public.stdout, secret) || !strings.Contains(public.stdout, trace.String()) || !strings.Contains(public.stdout+public.stderr, "--identity") {
			t.Errorf("peek without the key: exit code %d\n%s%s", public.exit, public.stdout, public.stderr)
		}
		whole := execute(t, runOptions{env: d.env}, coredumpy, "peek", "--identity", keyFile, path)
		if whole.exit != 0 || !strings.Contains(whole.stdout, secret) || !strings.Contains(whole.stdout, "main.fail") {
			t.Errorf("peek with the key: exit code %d\n%s%s", whole.exit, whole.stdout, whole.stderr)
		}
	}
}

// TestRoutes sends panics to one store and everything to another as well.
func TestRoutes(t *testing.T) {
	_, env, bucketStore := bucket(t)
	panics, also := filepath.Join(t.TempDir(), "panics"), filepath.Join(t.TempDir(), "also")
	d := newDeliverer(t, append(env, "COREDUMPY_SPOOL_DIR="+filepath.Join(t.TempDir(), "spool"),
		"COREDUMPY_SINK_ROUTES=panic=file://"+panics, "COREDUMPY_SINK_ALSO=file://"+also)...)
	p := d.run("-n", "2", "-crash")
	if p.n != 3 {
		t.Fatalf("%d dumps stored, want 3\n%s", p.n, p.stderr.String())
	}
	for _, s := range []struct {
		store sink.Sink
		want  int
	}{{bucketStore, 2}, {folderStore(t, panics), 1}, {folderStore(t, also), 3}} {
		n := 0
		for e, err := range s.store.List(t.Context(), sink.Query{}) {
			if err == nil {
				err = verifyEntry(t.Context(), s.store, e)
			}
			if err != nil {
				t.Error(err)
			}
			n++
		}
		if n != s.want {
			t.Errorf("%d dumps in %s, want %d", n, s.store, s.want)
		}
	}
}

func folderStore(t *testing.T, dir string) sink.Sink {
	t.Helper()
	s, err := local.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
