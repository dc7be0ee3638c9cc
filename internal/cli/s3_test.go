package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
)

// bucket is the bucket "dumps" of an S3 server inside the test.
type bucket struct {
	url     string
	dir     string // of configuration files
	backend gofakes3.Backend

	mu       sync.Mutex
	requests []string
}

// newBucket starts a server and takes the AWS environment of whoever runs the
// test away.
func newBucket(t *testing.T) *bucket {
	t.Helper()
	b := &bucket{backend: s3mem.New(), dir: t.TempDir()}
	if err := b.backend.CreateBucket("dumps"); err != nil {
		t.Fatal(err)
	}
	inner := gofakes3.New(b.backend).Server()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.requests = append(b.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
		b.mu.Unlock()
		inner.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // gofakes3 makes it complain when a client goes away
	server.Start()
	t.Cleanup(server.Close)
	b.url = server.URL
	awsEnvironment(t, b.dir)
	return b
}

func awsEnvironment(t testing.TB, dir string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDtest", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
		"AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"),
		"AWS_EC2_METADATA_DISABLED": "true", "XDG_STATE_HOME": filepath.Join(dir, "state"),
	} {
		t.Setenv(k, v)
	}
}

// take returns the requests since the last take, in any order.
func (b *bucket) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.requests
	b.requests = nil
	slices.Sort(r)
	return r
}

// config writes a configuration file for a bucket of the server.
func (b *bucket) config(t *testing.T, name, prefix, more string) string {
	t.Helper()
	return s3Config(t, b.dir, b.url, name, prefix, more)
}

func s3Config(t testing.TB, dir, url, name, prefix, more string) string {
	t.Helper()
	f, err := os.CreateTemp(dir, name+"-*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "sink:\n  type: s3\n  s3: {bucket: %s, prefix: %q, endpoint: %q, path_style: true}\n%s", name, prefix, url, more)
	if err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// TestS3 takes dumps out of a bucket through a configuration file, and checks
// what is said when the bucket cannot be used.
func TestS3(t *testing.T) {
	b := newBucket(t)
	file := b.config(t, "dumps", "a/b", "")
	putStore(t, file, "panic", "errspan", "stripped")

	out := filepath.Join(t.TempDir(), "out")
	code, text, errs := session(t, 0, "fetch", "--config", file, "-o", out, traceA)
	if code != exitOK || strings.Count(text, out) != 2 || errs != "" {
		t.Errorf("fetch: code %d, %q, %q", code, text, errs)
	}
	want := dump.Identity{ID: fixtureID(40, 1), TraceID: mustTrace(traceA)}
	if h, err := verifyFile(strings.SplitN(text, "\n", 2)[0], want, true); err != nil || h.Service != "checkout" {
		t.Errorf("the copy: %v, %v", h, err)
	}
	code, text, errs = session(t, 0, "ls", "--config", file)
	if code != exitOK || strings.Count(text, "\n") != 4 || errs != "" {
		t.Errorf("ls: code %d, %q, %q", code, text, errs)
	}
	code, text, errs = session(t, 0, "verify", "--config", file)
	if code != exitOK || !strings.HasPrefix(text, "3 dumps") || errs != "" {
		t.Errorf("verify: code %d, %q, %q", code, text, errs)
	}
	code, text, _ = session(t, 0, "doctor", "--config", file)
	if code != exitOK || !strings.Contains(text, "ok    sink: bucket s3://dumps/a/b at "+b.url) || !strings.Contains(text, "ok    listing") {
		t.Errorf("doctor: code %d, %q", code, text)
	}
	code, _, errs = session(t, 0, "fetch", "--config", file, strings.Repeat("f", 32))
	if code != exitNoDump || !strings.Contains(errs, "in bucket s3://dumps/a/b at "+b.url) {
		t.Errorf("fetch of an unknown trace: code %d, %q", code, errs)
	}

	file = b.config(t, "nosuch", "", "")
	code, text, errs = session(t, 0, "ls", "--config", file)
	if code != exitFailed || !strings.Contains(errs, "nosuch") || text != "" {
		t.Errorf("ls of a bucket that is not there: code %d, %q, %q", code, text, errs)
	}
	code, text, _ = session(t, 0, "doctor", "--config", file)
	if code != exitFailed || !strings.Contains(text, "fail  listing: ") {
		t.Errorf("doctor on a bucket that is not there: code %d, %q", code, text)
	}
}

// openDestination opens the store of a configuration file, without a spool.
func openDestination(t *testing.T, file string) sink.Sink {
	t.Helper()
	cfg, _, err := config.Load(config.LoadOptions{File: file})
	if err != nil {
		t.Fatal(err)
	}
	s, err := cfg.OpenDestination(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// putStore puts fixtures into the store of a configuration file.
func putStore(t *testing.T, file string, names ...string) {
	t.Helper()
	if err := putFixtures(openDestination(t, file), names...); err != nil {
		t.Fatal(err)
	}
}

// TestPeekOneRequest checks that a dump in a bucket is peeked at with one ranged
// GET, by its address alone, however large it is and wherever the settings of
// the store come from.
func TestPeekOneRequest(t *testing.T) {
	b := newBucket(t)
	file := b.config(t, "dumps", "a/b", "")
	putStore(t, file, "large", "panic")
	address := func(prefix string, id dump.ID) string {
		return "s3://dumps/" + prefix + "v1/traces/" + traceA + "/" + id.String() + ".cdmp"
	}
	large, small := address("a/b/", fixtureID(2, 6)), address("a/b/", fixtureID(40, 1))
	other := b.config(t, "elsewhere", "x", "")
	asURL := filepath.Join(b.dir, "url.yaml")
	text := fmt.Sprintf("sink: {url: \"s3://third?endpoint=%s&path_style=true\"}\n", b.url)
	if err := os.WriteFile(asURL, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(b.dir, "empty.yaml")
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.take()
	get := func(uri string) string {
		return "GET /dumps/" + strings.TrimPrefix(uri, "s3://dumps/") + " bytes=0-65535"
	}
	for _, tt := range []struct {
		name, uri string
		args      []string
	}{
		{"the configured bucket", large, []string{"--config", file}},
		{"another bucket at the configured endpoint", large, []string{"--config", other}},
		{"another bucket than the configured URL's", large, []string{"--config", asURL}},
		{"parameters in the address", large, []string{"--config", none, large + "?endpoint=" + b.url + "&path_style=true"}},
		{"a small dump", small, []string{"--config", file}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"peek"}, tt.args...)
			if len(tt.args) == 2 {
				args = append(args, tt.uri)
			}
			code, out, errs := session(t, 0, args...)
			if code != exitOK || errs != "" || !strings.Contains(out, "panic: runtime error") || !strings.Contains(out, "store.(*Store).Price") {
				t.Errorf("code %d, %q\n%s", code, errs, out)
			}
			if got, want := b.take(), []string{get(tt.uri)}; !slices.Equal(got, want) {
				t.Errorf("requests %q, want %q", got, want)
			}
			if part := strings.Contains(out, "only the first 64.0 KiB of "); part != (tt.uri == large) {
				t.Errorf("says that it read a part: %v\n%s", part, out)
			}
			if strings.Contains(out, "truncated") || strings.Contains(out, "missing are") {
				t.Errorf("what was not read is called missing:\n%s", out)
			}
		})
	}

	// What lies near the beginning is shown, what lies behind is said not to have
	// been read, and --full has it.
	putStore(t, file, "heavy")
	b.take()
	heavy := address("a/b/", fixtureID(1, 7))
	_, out, _ := session(t, 0, "peek", "--config", file, heavy)
	for _, want := range []string{"at /src/shop/order/order.go:17", "n   local    2", `("*store.Order")(0xc000020000) (not read)`} {
		if !strings.Contains(out, want) {
			t.Errorf("peek does not show %q:\n%s", want, out)
		}
	}
	if got := b.take(); len(got) != 1 {
		t.Errorf("requests %q, want one", got)
	}
	code, out, _ := session(t, 0, "peek", "--config", file, "--format", "json", heavy)
	var dumps []struct {
		Partial bool
		Damage  string
		Frames  []struct {
			Vars []struct{ Name, Value, State string }
		}
	}
	if err := json.Unmarshal([]byte(out), &dumps); err != nil {
		t.Fatal(err)
	}
	if code != exitOK || len(dumps) != 1 || !dumps[0].Partial || dumps[0].Damage != "" || strings.Contains(out, "truncated") {
		t.Errorf("code %d: %s", code, out)
	}
	code, out, errs := session(t, 0, "peek", "--config", file, "--full", heavy)
	if code != exitOK || errs != "" || !strings.Contains(out, "A-1001") || strings.Contains(out, "only the first") {
		t.Errorf("--full: code %d, %q\n%s", code, errs, out)
	}

	// fetch --peek without -o: a listing, and one GET for each dump.
	b.take()
	code, out, errs = session(t, 0, "fetch", "--config", file, "--peek", traceA)
	if code != exitOK || errs != "" || strings.Count(out, "panic: runtime error") != 3 {
		t.Errorf("fetch --peek: code %d, %q\n%s", code, errs, out)
	}
	if got, want := b.take(), []string{"GET /dumps", get(small), get(large), get(heavy)}; !slices.Equal(got, want) {
		t.Errorf("fetch --peek: requests %q, want %q", got, want)
	}

	// By its ID: the day's listing, and one GET.
	code, out, errs = session(t, 0, "peek", "--config", file, fixtureID(2, 6).String())
	if code != exitOK || errs != "" || !strings.Contains(out, "panic: runtime error") {
		t.Errorf("peek by ID: code %d, %q\n%s", code, errs, out)
	}
	if got := b.take(); len(got) > 5 || got[len(got)-1] != get(large) {
		t.Errorf("peek by ID: requests %q", got)
	}

	// A dump that is not there, and a damaged one.
	gone := address("a/b/", fixtureID(3, 9))
	code, out, errs = session(t, 0, "peek", "--config", file, gone)
	if code != exitNoDump || out != "" || !strings.Contains(errs, "no dump "+fixtureID(3, 9).String()+" in bucket s3://dumps/a/b") {
		t.Errorf("a dump that is not there: code %d, %q, %q", code, out, errs)
	}
	b.plant(t, "a/b/v1/traces/"+traceA+"/"+fixtureID(3, 9).String()+".cdmp", []byte("no dump at all"))
	code, _, errs = session(t, 0, "peek", "--config", file, gone)
	if code != exitDamaged || !strings.Contains(errs, "not a dump") {
		t.Errorf("no dump: code %d, %q", code, errs)
	}
}

// plant puts an object into the bucket past everything.
func (b *bucket) plant(t *testing.T, key string, content []byte) {
	t.Helper()
	if _, err := b.backend.PutObject("dumps", key, map[string]string{}, bytes.NewReader(content), int64(len(content)), nil); err != nil {
		t.Fatal(err)
	}
}

// TestFetchAsksOnce checks what a fetch costs: a listing and one GET for each
// small dump, and nothing but the listing for those that are here already.
func TestFetchAsksOnce(t *testing.T) {
	b := newBucket(t)
	file := b.config(t, "dumps", "", "")
	putStore(t, file, "panic", "errspan", "large")
	out := t.TempDir()
	b.take()
	code, text, errs := session(t, 0, "fetch", "--config", file, "-o", out, traceA)
	if code != exitOK || strings.Count(text, "\n") != 3 || errs != "" {
		t.Fatalf("code %d, %q, %q", code, text, errs)
	}
	got := b.take()
	heads := slices.DeleteFunc(slices.Clone(got), func(r string) bool { return !strings.HasSuffix(r, " bytes=0-65535") })
	if len(heads) != 3 || len(got) != 3+1+1 { // what is behind the head of the large one is one range more
		t.Errorf("requests %q", got)
	}
	code, text, _ = session(t, 0, "fetch", "--config", file, "-o", out, "--format", "json", traceA)
	if code != exitOK || strings.Count(text, `"kept": true`) != 3 {
		t.Errorf("again: code %d, %s", code, text)
	}
	if got := b.take(); !slices.Equal(got, []string{"GET /dumps"}) {
		t.Errorf("again: requests %q, want a listing", got)
	}

	// One that was spoilt here is fetched again, if that is wanted.
	spoilt := filepath.Join(out, fixtureID(40, 1).String()+".cdmp")
	data, err := os.ReadFile(spoilt)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-100] ^= 1
	if err := os.WriteFile(spoilt, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs = session(t, 0, "fetch", "--config", file, "-o", out, traceA); code != exitFailed || !strings.Contains(errs, "other content") {
		t.Errorf("spoilt: code %d, %q", code, errs)
	}
	if code, _, errs = session(t, 0, "fetch", "--config", file, "-o", out, "--force", traceA); code != exitOK || errs != "" {
		t.Errorf("spoilt, with --force: code %d, %q", code, errs)
	}
	if _, err := verifyFile(spoilt, dump.Identity{ID: fixtureID(40, 1)}, false); err != nil {
		t.Error(err)
	}
}

// verifyFile is verifyCopy for a file.
func verifyFile(path string, id dump.Identity, traced bool) (*dump.Header, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := &copied{id: id.ID}
	if traced {
		c.entry.Key, c.entry.Identity = path, id
	}
	h, _, err := verifyCopy(f, f.size, c)
	return h, err
}

// putSealed does the same, encrypted.
func putSealed(t *testing.T, file string, recipient fmt.Stringer, names ...string) {
	t.Helper()
	s, err := encrypt.New(openDestination(t, file), encrypt.Config{Recipients: []string{recipient.String()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := putFixtures(s, names...); err != nil {
		t.Fatal(err)
	}
}
