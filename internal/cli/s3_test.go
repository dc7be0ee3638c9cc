package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
)

// TestS3 takes dumps out of a bucket through a configuration file, and checks
// what is said when the bucket cannot be used.
func TestS3(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket("dumps"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	dir := t.TempDir()
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_REGION": "us-east-1",
		"AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"),
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(k, v)
	}
	configure := func(bucket string) string {
		path := filepath.Join(dir, bucket+".yaml")
		text := fmt.Sprintf("sink:\n  type: s3\n  s3: {bucket: %s, prefix: a/b, endpoint: %q, path_style: true}\n", bucket, server.URL)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := configure("dumps")
	putS3(t, file, "panic", "errspan", "stripped")

	out := filepath.Join(dir, "out")
	code, text, errs := session(t, 0, "fetch", "--config", file, "-o", out, traceA)
	if code != exitOK || strings.Count(text, out) != 2 || errs != "" {
		t.Errorf("fetch: code %d, %q, %q", code, text, errs)
	}
	if h, err := verify(strings.SplitN(text, "\n", 2)[0], fixtureID(40, 1)); err != nil || h.Service != "checkout" {
		t.Errorf("the copy: %v, %v", h, err)
	}
	code, text, errs = session(t, 0, "ls", "--config", file)
	if code != exitOK || strings.Count(text, "\n") != 4 || errs != "" {
		t.Errorf("ls: code %d, %q, %q", code, text, errs)
	}
	code, text, _ = session(t, 0, "doctor", "--config", file)
	if code != exitOK || !strings.Contains(text, "ok    sink: bucket s3://dumps/a/b at "+server.URL) || !strings.Contains(text, "ok    listing") {
		t.Errorf("doctor: code %d, %q", code, text)
	}
	code, _, errs = session(t, 0, "fetch", "--config", file, strings.Repeat("f", 32))
	if code != exitNoDump || !strings.Contains(errs, "in bucket s3://dumps/a/b at "+server.URL) {
		t.Errorf("fetch of an unknown trace: code %d, %q", code, errs)
	}

	file = configure("nosuch")
	code, text, errs = session(t, 0, "ls", "--config", file)
	if code != exitFailed || !strings.Contains(errs, "nosuch") || text != "" {
		t.Errorf("ls of a bucket that is not there: code %d, %q, %q", code, text, errs)
	}
	code, text, _ = session(t, 0, "doctor", "--config", file)
	if code != exitFailed || !strings.Contains(text, "fail  listing: ") {
		t.Errorf("doctor on a bucket that is not there: code %d, %q", code, text)
	}
}

func putS3(t *testing.T, file string, names ...string) {
	t.Helper()
	cfg, _, err := config.Load(config.LoadOptions{File: file})
	if err != nil {
		t.Fatal(err)
	}
	s, err := cfg.OpenSink(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, h, err := fixtureBytes(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(context.Background(), h.Identity, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
}
