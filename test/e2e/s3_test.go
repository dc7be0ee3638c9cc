package e2e

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// TestS3 goes the whole way through a bucket: the example stores its dumps
// there, and the command fetches them with the same configuration.
func TestS3(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket("dumps"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()

	config := filepath.Join(t.TempDir(), "coredumpy.yaml")
	text := fmt.Sprintf(`
sink:
  type: s3
  s3:
    bucket: dumps
    prefix: team/checkout
    endpoint: %s
    region: eu-north-1
    path_style: true
link:
  viewer_url: https://dumps.example
`, server.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir()) // no profiles
	credentials := []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=testtest", "AWS_EC2_METADATA_DISABLED=true"}

	collector := newCollector(t)
	got := execute(t, runOptions{env: credentials}, buildCheckout(t, variantNamed(t, "default")),
		"-config", config, "-otlp", collector.url)
	spans := collector.stop()
	lines, rest := parseLines(got.stdout)
	if got.exit != 0 || len(lines) != len(failures) {
		t.Fatalf("exit code %d, %d dumps, want %d\n%s%s", got.exit, len(lines), len(failures), got.stdout, got.stderr)
	}
	if !strings.Contains(rest, "--config "+config) {
		t.Errorf("what to do next lacks --config:\n%s", rest)
	}
	coredumpy := buildCoredumpy(t)
	for i := range failures {
		f, l := &failures[i], lines[i]
		t.Run(f.name, func(t *testing.T) {
			rep := &report{t: t}
			want := fmt.Sprintf("s3://dumps/team/checkout/v1/traces/%s/%s.cdmp", l.trace, l.id)
			rep.equal("dump=", l.place, want)
			for _, name := range f.spans {
				s := spansOf(spans, l.trace)[name]
				rep.equal("span "+name+" "+attrURI, s.attributes[attrURI], want)
				url := s.attributes[attrURL]
				if !strings.HasPrefix(url, "https://dumps.example/") || !strings.Contains(url, l.id) || len(url) > 200 {
					rep.mismatch("span %s: %s is %q, want a short URL at the viewer", name, attrURL, url)
				}
			}

			out := t.TempDir()
			fetched := execute(t, runOptions{env: credentials}, coredumpy, "fetch", l.trace, "--config", config, "-o", out)
			paths := strings.Fields(fetched.stdout)
			if fetched.exit != 0 || len(paths) != 1 {
				t.Fatalf("fetch: exit code %d, paths %q\n%s", fetched.exit, paths, fetched.stderr)
			}
			r := openDump(t, paths[0])
			checkHeader(rep, f, variantNamed(t, "default"), r)
			if err := r.Verify(); err != nil {
				t.Errorf("verify: %v", err)
			}
			fn := strings.TrimPrefix(shopName(f.frames[0].fn), shopPath+"/")
			for _, args := range [][]string{{"peek", paths[0]}, {"load", paths[0], "-c", "bt"}} {
				if shown := execute(t, runOptions{}, coredumpy, args...); shown.exit != 0 || !strings.Contains(shown.stdout, fn) {
					t.Errorf("%v: exit code %d, want %s in:\n%s%s", args, shown.exit, fn, shown.stdout, shown.stderr)
				}
			}
		})
	}
}
