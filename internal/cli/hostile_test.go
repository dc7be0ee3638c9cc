package cli

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/versitygw"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// hostileKeys are keys that whoever may write to a store can leave there. They
// are about one trace and one day, so that every command comes across them.
func hostileKeys() []string {
	id, other := fixtureID(50, 77), fixtureID(40, 1)
	traces, day := "v1/traces/"+traceA+"/", sink.DayPrefix(id.Time())
	marker := id.String() + "-" + traceA
	keys := []string{
		traces + "../../../../../../../evil.cdmp",
		traces + "../evil.cdmp",
		traces + "..",
		traces + "/etc/evil.cdmp",
		traces + `..\..\evil.cdmp`,
		traces + `C:\evil.cdmp`,
		traces + "~/evil.cdmp",
		traces + "\x1b]0;title\x07.cdmp",
		traces + "new\nline.cdmp",
		traces + id.String() + ".cdmp\n",
		traces + "\n" + id.String() + ".cdmp",
		traces + "\u202e" + id.String() + ".cdmp",
		traces + strings.ToUpper(id.String()) + ".cdmp",
		traces + id.String() + ".cdmp/" + id.String() + ".cdmp",
		traces + strings.Repeat("n", 4096) + ".cdmp",
		traces + strings.Repeat("d/", 400) + "evil.cdmp",
		traces + "%2e%2e%2fevil.cdmp",
		traces + "-o.cdmp",
		traces + ".cdmp",
		traces,
		"../evil.cdmp",
		"/evil.cdmp",
		"v1/traces/../evil.cdmp",
		"v1/traces/" + traceA + "\x00/" + id.String() + ".cdmp",
		day + "../" + marker,
		day + "..%2F..%2Fevil/" + marker,
		day + "%2E%2E/" + marker,
		day + "\x1b[2J/" + marker,
		day + "%1B%5B2J/" + marker, // a name that the layout can hold
		day + "new\nline/" + marker,
		day + "shop/" + marker + "/../../evil",
		day + "shop/" + strings.Repeat("m", 4096),
		day + strings.Repeat("s", 4096) + "/" + marker,
		day + "shop/" + other.String() + "-" + traceB, // leads nowhere
		"v1/days/9999/99/99/shop/" + marker,
	}
	return keys
}

// planted are the objects that a fetch of the trace comes to: the right names with
// the wrong content.
func planted(t *testing.T) map[string][]byte {
	t.Helper()
	panicked, _, err := fixtureBytes("panic")
	if err != nil {
		t.Fatal(err)
	}
	hostile, h, err := fixtureBytes("hostile")
	if err != nil {
		t.Fatal(err)
	}
	key := func(id dump.ID) string { return "v1/traces/" + traceA + "/" + id.String() + ".cdmp" }
	return map[string][]byte{
		key(fixtureID(50, 77)): []byte("\x1b]0;title\x07no dump\n"),
		key(fixtureID(50, 78)): panicked,                                      // another dump
		key(h.ID):              hostile,                                       // of another trace, full of escapes
		key(fixtureID(50, 79)): nil,                                           // empty
		key(fixtureID(50, 80)): panicked[:len(panicked)/2],                    // torn
		key(fixtureID(40, 1)):  panicked,                                      // the one that is fine
		key(fixtureID(50, 81)): append(slices.Clone(panicked), "\x1b[2Jx"...), // with a tail
	}
}

// tree returns what lies below a folder, and the content of files.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		text := d.Type().String()
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += string(b)
		}
		found[path] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// progressLine is what the progress puts on a terminal.
var progressLine = regexp.MustCompile(`\r[^\x00-\x1f]*\x1b\[K`)

// tryHostile runs every command that comes across what is planted in a store, and
// checks that nothing is written but the right files into -o, and that nothing
// that a terminal acts on is printed.
func tryHostile(t *testing.T, where ...string) {
	t.Helper()
	world := t.TempDir()
	work := filepath.Join(world, "a", "b", "c", "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(work)
	out := filepath.Join(work, "out")
	before := tree(t, world)
	for _, width := range []int{0, 120} {
		for _, args := range [][]string{
			{"fetch", "-o", out, traceA},
			{"fetch", "-o", out, "--format", "json", traceA},
			{"fetch", "-o", out, "--force", traceA},
			{"fetch", "-o", out, "--span", spanA1, traceA},
			{"fetch", "-o", out, fixtureID(50, 77).String()},
			{"fetch", "-o", out, fixtureID(50, 78).String()},
			{"fetch", "--peek", traceA},
			{"fetch", "--peek", "--format", "json", traceA},
			{"fetch", "-o", out, "--peek", traceA},
			{"ls"},
			{"ls", "--format", "json"},
			{"ls", "--trace", traceA},
			{"peek", traceA},
			{"peek", fixtureID(50, 77).String()},
			{"export", traceA},
			{"load", traceA, "-c", "bt -full"},
			{"verify"},
			{"verify", "-v"},
			{"verify", "--format", "json"},
			{"verify", traceA},
			{"doctor"},
			{"__complete", "fetch", ""},
			{"__complete", "ls", "--service", ""},
		} {
			full := args
			if args[0] != "__complete" {
				full = append(slices.Clone(args), where...)
			} else {
				full = append(append(slices.Clone(args[:2]), where...), args[2:]...)
			}
			code, text, errs := session(t, width, full...)
			for _, r := range uncoloured(progressLine.ReplaceAllString(text+errs, "")) {
				if r != '\n' && !printable(r) && (r != '\t' || args[0] != "__complete") {
					t.Errorf("%v: printed %U in\n%q", args, r, text+errs)
					break
				}
			}
			if code == exitUsage {
				t.Errorf("%v: usage error %q", args, errs)
			}
		}
	}
	after := tree(t, world)
	good := filepath.Join(out, fixtureID(40, 1).String()+".cdmp")
	for path := range after {
		if _, was := before[path]; was {
			continue
		}
		rel, err := filepath.Rel(out, path)
		if err != nil || strings.HasPrefix(rel, "..") {
			t.Errorf("written outside of -o: %s", path)
			continue
		}
		if rel == "." {
			continue
		}
		name, ok := strings.CutSuffix(rel, ".cdmp")
		if _, err := dump.ParseID(name); !ok || err != nil {
			t.Errorf("written under the name %q", rel)
		}
	}
	if _, ok := after[good]; !ok {
		t.Errorf("the dump that is fine was not fetched; there is %d files", len(after))
	}
	for path, text := range before {
		if after[path] != text {
			t.Errorf("changed: %s", path)
		}
	}
}

// TestHostileBucket has a bucket in which somebody has planted keys and dumps.
func TestHostileBucket(t *testing.T) {
	b := newBucket(t)
	file := b.config(t, "dumps", "team", "")
	putStore(t, file, "panic")
	for _, key := range hostileKeys() {
		b.plant(t, "team/"+key, []byte("evil"))
	}
	for key, content := range planted(t) {
		b.plant(t, "team/"+key, content)
	}
	tryHostile(t, "--config", file)
}

// TestHostileServer does the same with a real server, as far as that takes such
// keys.
func TestHostileServer(t *testing.T) {
	server := versitygw.Start(t)
	server.CreateBucket(t, "dumps")
	dir := t.TempDir()
	awsEnvironment(t, dir)
	for _, kv := range server.Env() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	file := s3Config(t, dir, server.Endpoint, "dumps", "team", "")
	putStore(t, file, "panic")
	client := server.Client()
	put := func(key string, content []byte) bool {
		_, err := client.PutObject(context.Background(), &awss3.PutObjectInput{
			Bucket: aws.String("dumps"), Key: aws.String("team/" + key), Body: bytes.NewReader(content),
		})
		return err == nil
	}
	taken := 0
	for _, key := range hostileKeys() {
		if put(key, []byte("evil")) {
			taken++
		}
	}
	for key, content := range planted(t) {
		if put(key, content) {
			taken++
		}
	}
	if taken < 10 {
		t.Errorf("the server has taken only %d objects", taken)
	}
	tryHostile(t, "--config", file)
}

// TestHostileFolder does the same with a store in a folder, in which there are
// links that lead out of it.
func TestHostileFolder(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	if err := storeFixtures(store, "panic"); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secret")
	if err := os.Mkdir(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFixture(filepath.Join(secret, fixtureID(39, 2).String()+".cdmp"), "errspan"); err != nil {
		t.Fatal(err)
	}
	for key, content := range planted(t) {
		path := filepath.Join(store, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOOS != "windows" {
		for _, key := range hostileKeys() {
			path := filepath.Join(store, filepath.FromSlash(key))
			rel, err := filepath.Rel(store, path)
			if err != nil || strings.HasPrefix(rel, "..") {
				continue // no file can be called that
			}
			if os.MkdirAll(filepath.Dir(path), 0o700) == nil {
				_ = os.WriteFile(path, []byte("evil"), 0o600)
			}
		}
		trace := filepath.Join(store, "v1", "traces")
		for link, to := range map[string]string{
			filepath.Join(trace, traceA, fixtureID(39, 2).String()+".cdmp"):                             filepath.Join(secret, fixtureID(39, 2).String()+".cdmp"),
			filepath.Join(trace, traceA, fixtureID(39, 3).String()+".cdmp"):                             "/dev/zero",
			filepath.Join(trace, traceA, fixtureID(39, 4).String()+".cdmp"):                             fixtureID(39, 4).String() + ".cdmp",
			filepath.Join(trace, traceB):                                                                secret,
			filepath.Join(store, filepath.FromSlash(sink.DayPrefix(fixtureID(39, 2).Time())), "linked"): secret,
		} {
			if err := os.Symlink(to, link); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := tree(t, dir)
	tryHostile(t, "--dir", store)
	for path, text := range tree(t, dir) {
		if before[path] != text {
			t.Errorf("changed in the store: %s", path)
		}
	}
	// What the links lead to is no part of the store.
	out := t.TempDir()
	for _, arg := range []string{traceA, traceB, fixtureID(39, 2).String()} {
		_, text, _ := session(t, 0, "fetch", "--dir", store, "-o", out, arg)
		if strings.Contains(text, fixtureID(39, 2).String()) {
			t.Errorf("fetch %s brought what a link leads to: %s", arg, text)
		}
	}
}
