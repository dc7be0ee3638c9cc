package s3_test

import (
	"bytes"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/s3"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]s3.Config{
		"s3://dumps":           {Bucket: "dumps"},
		"s3://dumps/":          {Bucket: "dumps"},
		"s3://dumps/team/prod": {Bucket: "dumps", Prefix: "team/prod"},
		"s3://dumps/a%20b%2Bc": {Bucket: "dumps", Prefix: "a b+c"},
		"s3://dumps/p?region=eu-central-1&endpoint=http%3A%2F%2F127.0.0.1:9000&path_style=true&profile=shop&checksum=when_required": {
			Bucket: "dumps", Prefix: "p", Region: "eu-central-1", Endpoint: "http://127.0.0.1:9000", PathStyle: true, Profile: "shop", ChecksumMode: "when_required",
		},
		"s3://dumps?role_arn=" + role + "&external_id=x1&role_session_name=shop": {
			Bucket: "dumps", RoleARN: role, ExternalID: "x1", RoleSessionName: "shop",
		},
		"s3://dumps?sse=aws:kms&kms_key_id=alias/x&storage_class=STANDARD_IA&tag=team%3Dshop&tag=env%3Dprod%20eu": {
			Bucket: "dumps", SSE: "aws:kms", KMSKeyID: "alias/x", StorageClass: "STANDARD_IA", Tags: []string{"team=shop", "env=prod eu"},
		},
		"s3://dumps?multipart_threshold=32MiB&part_size=6291456&concurrency=2&proxy=http%3A%2F%2Fproxy:3128&ca_file=%2Fetc%2Fca.pem": {
			Bucket: "dumps", MultipartThreshold: 32 << 20, PartSize: 6 << 20, Concurrency: 2, Proxy: "http://proxy:3128", CAFile: "/etc/ca.pem",
		},
		"s3://dumps?multipart_threshold=1gib&part_size=8192%20KiB": {Bucket: "dumps", MultipartThreshold: 1 << 30, PartSize: 8 << 20},
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s3.ParseURL(u); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, %v, want\n%+v", raw, got, err, want)
		}
	}
}

// TestURLCoversConfig checks that no field of the configuration was forgotten.
func TestURLCoversConfig(t *testing.T) {
	u, err := url.Parse("s3://b/p?region=r&endpoint=e&path_style=1&profile=p&role_arn=a&external_id=i&role_session_name=s&sse=s&kms_key_id=k" +
		"&storage_class=c&checksum=c&multipart_threshold=1&part_size=1&concurrency=1&proxy=p&ca_file=c&tag=a")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := s3.ParseURL(u)
	if err != nil {
		t.Fatal(err)
	}
	for v, i := reflect.ValueOf(cfg), 0; i < v.NumField(); i++ {
		switch name := v.Type().Field(i).Name; name {
		case "Credentials", "HTTPClient": // not of a text
		default:
			if v.Field(i).IsZero() {
				t.Errorf("no parameter sets %s", name)
			}
		}
	}
}

// TestURLErrors opens bad URLs as the configuration does. The errors name the
// parameter, and hold neither secrets nor anything else of the query.
func TestURLErrors(t *testing.T) {
	for raw, want := range map[string]string{
		"s3:dumps":                  "want s3://bucket/prefix",
		"s3:///p":                   "want s3://bucket/prefix",
		"s3://me:hunter2@dumps":     "user or password",
		"s3://dumps/p#hunter2":      `has a "#" in it`,
		"s3://dumps?regoin=hunter2": `unknown parameter "regoin": want one of ca_file, checksum, `,
		"s3://dumps?secret_access_key=hunter2&region=x": "parameter secret_access_key: credentials do not belong into a URL",
		"s3://dumps?AWS-Session-Token=hunter2":          "parameter AWS-Session-Token: credentials do not belong into a URL",
		"s3://dumps?region=hunter2&region=x":            "parameter region: is there 2 times",
		"s3://dumps?path_style=hunter2":                 "parameter path_style: want true or false",
		"s3://dumps?concurrency=hunter2":                "parameter concurrency: want a number",
		"s3://dumps?concurrency=0":                      "parameter concurrency: want a number",
		"s3://dumps?part_size=hunter2":                  "parameter part_size: want a number of bytes",
		"s3://dumps?part_size=99999999999GiB":           "parameter part_size: want a number of bytes",
		"s3://dumps?part_size=1MiB&region=x":            "parameter part_size: want 5 MiB to 5 GiB",
		"s3://dumps?sse=hunter2&region=x":               "parameter sse: want AES256 or aws:kms",
		"s3://dumps?tag=hunter2&region=x":               "parameter tag: want key=value",
		"s3://dumps?endpoint=me:hunter2@host":           "parameter endpoint: want a URL such as",
		"s3://dumps?endpoint=http://me:hunter2@host":    "parameter endpoint: want no user",
		"s3://dumps?proxy=http://me:hunter2@host":       "parameter proxy: has a user or a password in it",
		"s3://dumps?ca_file=/hunter2&region=x":          "parameter ca_file: no such file",
		"s3://dumps?profile=hunter2&region=x":           "parameter profile: is not in the AWS configuration files",
		"s3://dumps?role_arn=hunter2&region=x":          "parameter role_arn: want the ARN of a role",
		"s3://dumps?storage_class=hunter2&region=x":     "parameter storage_class: want one of Amazon's",
		"s3://dumps?region=%hunter2":                    "the query cannot be read",
		"s3://dumps?region=hunter2;x=y":                 "the query cannot be read",
		"s3://dumps/a//b?region=x":                      `prefix: want names separated by single slashes`,
		"s3://dumps":                                    "no region: set the sink's region",
	} {
		s, err := sink.Open(t.Context(), raw)
		if err == nil {
			t.Errorf("%s: no error, but %v", raw, s)
			continue
		}
		if s != nil {
			t.Errorf("%s: an error and %T", raw, s)
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q, want %q in it, and nothing of the query", raw, err, want)
		}
	}
}

// TestOpenURL stores a dump in a bucket that a URL names.
func TestOpenURL(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	st := fake(t)
	s, err := sink.Open(t.Context(), "s3://"+bucket+"/team%20a?path_style=true&endpoint="+url.QueryEscape(st.endpoint))
	if err != nil {
		t.Fatal(err)
	}
	if lines := st.requests.take(); len(lines) > 0 {
		t.Errorf("Open made requests: %q", lines)
	}
	id := idAt(noon, 1, "shop")
	if err := s.Put(t.Context(), id, bytes.NewReader(content(100))); err != nil {
		t.Fatal(err)
	}
	if want := "s3://dumps/team a/" + sink.TraceKey(id); s.URI(id) != want {
		t.Errorf("URI %q, want %q", s.URI(id), want)
	}
	if keys := st.keys(t, bucket, "team a/"); len(keys) != 2 {
		t.Errorf("the bucket holds %q", keys)
	}
}
