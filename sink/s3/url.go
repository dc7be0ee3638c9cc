package s3

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func init() {
	sink.Register("s3", func(ctx context.Context, u *url.URL) (sink.Sink, error) {
		s, err := OpenURL(ctx, u)
		if err != nil {
			return nil, err // not a nil *Sink in an interface
		}
		return s, nil
	})
}

// parameters are what the query of a URL may say, and where it goes.
var parameters = map[string]func(*Config, string) error{
	"region":              text(func(c *Config) *string { return &c.Region }),
	"endpoint":            text(func(c *Config) *string { return &c.Endpoint }),
	"path_style":          flag(func(c *Config) *bool { return &c.PathStyle }),
	"profile":             text(func(c *Config) *string { return &c.Profile }),
	"role_arn":            text(func(c *Config) *string { return &c.RoleARN }),
	"external_id":         text(func(c *Config) *string { return &c.ExternalID }),
	"role_session_name":   text(func(c *Config) *string { return &c.RoleSessionName }),
	"sse":                 text(func(c *Config) *string { return &c.SSE }),
	"kms_key_id":          text(func(c *Config) *string { return &c.KMSKeyID }),
	"storage_class":       text(func(c *Config) *string { return &c.StorageClass }),
	"checksum":            text(func(c *Config) *string { return &c.ChecksumMode }),
	"multipart_threshold": size(func(c *Config) *int64 { return &c.MultipartThreshold }),
	"part_size":           size(func(c *Config) *int64 { return &c.PartSize }),
	"concurrency":         number(func(c *Config) *int { return &c.Concurrency }),
	"proxy":               text(func(c *Config) *string { return &c.Proxy }),
	"ca_file":             text(func(c *Config) *string { return &c.CAFile }),
	"tag": func(c *Config, v string) error {
		c.Tags = append(c.Tags, v)
		return nil
	},
}

// secrets are names under which somebody might try to hand over what does not
// belong into a URL, which shows up in logs and on spans. They are compared
// without "-" and "_" and in lower case.
var secrets = []string{
	"accesskey", "accesskeyid", "awsaccesskeyid", "secret", "secretkey", "secretaccesskey", "awssecretaccesskey",
	"token", "sessiontoken", "awssessiontoken", "password", "credentials", "key",
}

// ParseURL reads the URL of a bucket:
//
//	s3://bucket/prefix?region=eu-central-1&sse=aws:kms&tag=team%3Dshop
//
// The query may have region, endpoint, path_style, profile, role_arn,
// external_id, role_session_name, sse, kms_key_id, storage_class, tag (as often
// as needed, each key=value), checksum, multipart_threshold and part_size (with
// KiB, MiB or GiB), concurrency, proxy and ca_file, which are the fields of
// [Config]. Anything else is an error that names it, and so are credentials,
// here and in the URL of a proxy. Errors hold no value of the query.
func ParseURL(u *url.URL) (Config, error) {
	var cfg Config
	switch {
	case u.Scheme != "s3" || u.Opaque != "" || u.Host == "":
		return cfg, errors.New("want s3://bucket/prefix")
	case u.User != nil:
		return cfg, errors.New("has a user or a password in it, which would show up in logs and on spans")
	case u.Fragment != "":
		return cfg, errors.New(`has a "#" in it, which a prefix has as %23`)
	}
	cfg.Bucket, cfg.Prefix = u.Host, strings.TrimPrefix(u.Path, "/")
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		// The error repeats a part of the query.
		return cfg, errors.New("the query cannot be read: want name=value, with & between and %XX for what is not a letter or a digit")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		set, ok := parameters[name]
		switch {
		case !ok && slices.Contains(secrets, strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))):
			return cfg, fmt.Errorf("parameter %s: credentials do not belong into a URL, which shows up in logs and on spans: "+
				"the AWS SDK looks for them in AWS_… variables, profiles and roles", name)
		case !ok:
			return cfg, fmt.Errorf("unknown parameter %q: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(parameters)), ", "))
		case name != "tag" && len(query[name]) > 1:
			return cfg, fmt.Errorf("parameter %s: is there %d times", name, len(query[name]))
		}
		for _, value := range query[name] {
			if err := set(&cfg, value); err != nil {
				return cfg, fmt.Errorf("parameter %s: %w", name, err)
			}
		}
	}
	if proxy, err := url.Parse(cfg.Proxy); err == nil && proxy.User != nil {
		return cfg, errors.New("parameter proxy: has a user or a password in it, which would show up in logs and on spans: set HTTPS_PROXY instead")
	}
	return cfg, nil
}

// OpenURL returns a Sink for the bucket of a URL, see [ParseURL] and [New].
func OpenURL(ctx context.Context, u *url.URL) (*Sink, error) {
	cfg, err := ParseURL(u)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, cfg)
	var field *fieldError
	if errors.As(err, &field) {
		return nil, (&fieldError{field: field.field, msg: field.msg, err: field.err}).named()
	}
	return s, err
}

// named is the error as one of a URL.
func (e *fieldError) named() error {
	switch e.field {
	case "bucket", "prefix":
		return e
	case "tags":
		e.field = "tag"
	}
	e.field = "parameter " + e.field
	return e
}

func text(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		*field(c) = v
		return nil
	}
}

func flag(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return errors.New("want true or false")
		}
		*field(c) = b
		return nil
	}
}

func number(field func(*Config) *int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return errors.New("want a number from 1 on")
		}
		*field(c) = n
		return nil
	}
}

// size reads a number of bytes: "8388608", "8MiB".
func size(field func(*Config) *int64) func(*Config, string) error {
	return func(c *Config, v string) error {
		digits, unit := strings.ToLower(v), int64(1)
		for _, u := range []struct {
			suffix string
			bytes  int64
		}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"b", 1}} {
			if rest, ok := strings.CutSuffix(digits, u.suffix); ok {
				digits, unit = rest, u.bytes
				break
			}
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 1 || n > math.MaxInt64/unit {
			return errors.New("want a number of bytes, such as 8MiB")
		}
		*field(c) = n * unit
		return nil
	}
}
