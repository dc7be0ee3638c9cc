package s3_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

// TestConfigErrors checks that each mistake is found by New, and that the error
// names the field and gives no secret away.
func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	noPEM := filepath.Join(dir, "no.pem")
	if err := os.WriteFile(noPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	eleven := make([]string, 11)
	for i := range eleven {
		eleven[i] = fmt.Sprintf("k%d=v", i)
	}
	for _, tc := range []struct {
		name   string
		change func(*s3.Config)
		want   []string
	}{
		{"bucket with a port", func(c *s3.Config) { c.Bucket = "dumps:80" }, []string{"bucket", "not the name of a bucket"}},
		{"region", func(c *s3.Config) { c.Region = "eu west" }, []string{`region "eu west"`}},
		{"profile", func(c *s3.Config) { c.Profile = "nobody" }, []string{`profile "nobody": is not in the AWS configuration files`}},
		{"role", func(c *s3.Config) { c.RoleARN = "dumps" }, []string{`role_arn "dumps": want the ARN of a role`}},
		{"role of a user", func(c *s3.Config) { c.RoleARN = "arn:aws:iam::123456789012:user/me" }, []string{"role_arn", "want the ARN of a role"}},
		{"external ID alone", func(c *s3.Config) { c.ExternalID = "hunter2" }, []string{"external_id: is given without a role_arn"}},
		{"session alone", func(c *s3.Config) { c.RoleSessionName = "shop" }, []string{"role_session_name: is given without a role_arn"}},
		{"external ID", func(c *s3.Config) { c.RoleARN, c.ExternalID = role, "hunter2 " }, []string{"external_id: want 2 to 1,224"}},
		{"long external ID", func(c *s3.Config) { c.RoleARN, c.ExternalID = role, strings.Repeat("x", 1225) }, []string{"external_id: want 2 to 1,224"}},
		{"session", func(c *s3.Config) { c.RoleARN, c.RoleSessionName = role, "a b" }, []string{`role_session_name "a b": want 2 to 64`}},
		{"SSE", func(c *s3.Config) { c.SSE = "aes256" }, []string{`sse "aes256": want AES256 or aws:kms`}},
		{"key alone", func(c *s3.Config) { c.KMSKeyID = "alias/x" }, []string{"kms_key_id: is given, but sse is not aws:kms"}},
		{"key for SSE-S3", func(c *s3.Config) { c.SSE, c.KMSKeyID = "AES256", "alias/x" }, []string{"kms_key_id: is given, but sse is not aws:kms"}},
		{"key", func(c *s3.Config) { c.SSE, c.KMSKeyID = "aws:kms", "alias/x\n" }, []string{"kms_key_id", "control character"}},
		{"archive", func(c *s3.Config) { c.StorageClass = "DEEP_ARCHIVE" }, []string{`storage_class "DEEP_ARCHIVE": a dump there could not be fetched`}},
		{"no class", func(c *s3.Config) { c.StorageClass = "STANDARD IA" }, []string{`storage_class "STANDARD IA": want a name`}},
		{"unknown class", func(c *s3.Config) { c.Endpoint, c.StorageClass = "", "standard_ia" }, []string{`storage_class "standard_ia": want one of Amazon's`}},
		{"tag", func(c *s3.Config) { c.Tags = []string{"team"} }, []string{`tags "team": want key=value`}},
		{"tag without a key", func(c *s3.Config) { c.Tags = []string{"=shop"} }, []string{`tags "=shop": want key=value`}},
		{"tag twice", func(c *s3.Config) { c.Tags = []string{"a=1", "a=2"} }, []string{`tags "a=2": the key is there twice`}},
		{"Amazon's tag", func(c *s3.Config) { c.Tags = []string{"AWS:a=1"} }, []string{"tags", "Amazon's own"}},
		{"odd tag", func(c *s3.Config) { c.Tags = []string{"a=<b>"} }, []string{`tags "a=<b>": S3 takes letters`}},
		{"tag in no encoding", func(c *s3.Config) { c.Tags = []string{"a=\xff"} }, []string{"tags", "S3 takes letters"}},
		{"long key", func(c *s3.Config) { c.Tags = []string{strings.Repeat("ü", 129) + "=x"} }, []string{"tags", "129 characters, S3 takes at most 128"}},
		{"long value", func(c *s3.Config) { c.Tags = []string{"x=" + strings.Repeat("ü", 257)} }, []string{"tags", "257 characters, S3 takes at most 256"}},
		{"many tags", func(c *s3.Config) { c.Tags = eleven }, []string{"tags: are 11, S3 takes at most 10"}},
		{"checksum", func(c *s3.Config) { c.ChecksumMode = "never" }, []string{`checksum "never": want auto, when_supported or when_required`}},
		{"threshold", func(c *s3.Config) { c.MultipartThreshold = -1 }, []string{`multipart_threshold "-1"`}},
		{"high threshold", func(c *s3.Config) { c.MultipartThreshold = 5<<30 + 1 }, []string{`multipart_threshold "5368709121": want 1 byte to 5 GiB`}},
		{"small part", func(c *s3.Config) { c.PartSize = 5<<20 - 1 }, []string{`part_size "5242879": want 5 MiB to 5 GiB`}},
		{"large part", func(c *s3.Config) { c.PartSize = 5<<30 + 1 }, []string{`part_size "5368709121"`}},
		{"concurrency", func(c *s3.Config) { c.Concurrency = -1 }, []string{`concurrency "-1": want 1 to 64`}},
		{"high concurrency", func(c *s3.Config) { c.Concurrency = 65 }, []string{`concurrency "65": want 1 to 64`}},
		{"proxy", func(c *s3.Config) { c.Proxy = "user:hunter2@proxy:3128" }, []string{"proxy: want a URL such as"}},
		{"proxy of another kind", func(c *s3.Config) { c.Proxy = "ftp://hunter2@proxy" }, []string{"proxy: want a URL such as"}},
		{"proxy with a path", func(c *s3.Config) { c.Proxy = "http://proxy/hunter2" }, []string{"proxy: want a URL such as"}},
		{"no authorities", func(c *s3.Config) { c.CAFile = filepath.Join(dir, "nothing.pem") }, []string{"ca_file", "nothing.pem", "no such file"}},
		{"no certificate", func(c *s3.Config) { c.CAFile = noPEM }, []string{"ca_file", "has no certificate in PEM"}},
		{"client and proxy", func(c *s3.Config) { c.HTTPClient, c.Proxy = http.DefaultClient, "http://proxy" }, []string{"proxy: is given besides an HTTP client"}},
		{"client and authorities", func(c *s3.Config) { c.HTTPClient, c.CAFile = http.DefaultClient, noPEM }, []string{"ca_file: is given besides an HTTP client"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := s3.Config{Bucket: "dumps", Endpoint: "http://127.0.0.1:9000", Region: "eu-west-1", Credentials: keyPair}
			tc.change(&cfg)
			s, err := s3.New(t.Context(), cfg)
			if err == nil {
				t.Fatalf("no error, but %v", s)
			}
			for _, want := range append(tc.want, "s3 sink: ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q, want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q gives a secret away", err)
			}
		})
	}
}

const role = "arn:aws:iam::123456789012:role/team/dumps"

func TestConfigDefaults(t *testing.T) {
	base := s3.Config{Bucket: "dumps", Endpoint: "http://127.0.0.1:9000", Credentials: keyPair}
	got := open(t, base).Config()
	if got.MultipartThreshold != 16<<20 || got.PartSize != 8<<20 || got.Concurrency != 4 || got.ChecksumMode != "auto" {
		t.Errorf("defaults %+v", got)
	}
	// And all that is good.
	full := base
	full.RoleARN, full.ExternalID, full.RoleSessionName = role, "a:b/c", "shop@1"
	full.SSE, full.KMSKeyID = "aws:kms", "arn:aws:kms:eu-west-1:123456789012:key/1"
	full.StorageClass = "cold" // which Amazon has not got, but this is not Amazon
	full.Tags = []string{"a=", "b=c=d", strings.Repeat("ü", 128) + "=" + strings.Repeat("ß", 256)}
	full.MultipartThreshold, full.PartSize, full.Concurrency = 1, 5<<20, 64
	full.Proxy = "socks5://user:pw@127.0.0.1:1080/"
	open(t, full)
	for _, role := range []string{"arn:aws-cn:iam::123456789012:role/x", "arn:minio:iam:::role/x"} {
		full.RoleARN = role
		open(t, full)
	}
	amazon := s3.Config{Bucket: "dumps", Region: "eu-west-1", Credentials: keyPair, StorageClass: "GLACIER_IR"}
	open(t, amazon)
}
