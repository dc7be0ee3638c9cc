// Package config is the configuration of otelcoredumpy: which keys there are,
// what they mean and default to, where they are looked for, and what is wrong
// with those that are wrong. The library and the command read the same keys in the same places.
//
// The table of keys in keys.go is the one place that knows a key. The sample
// config.yaml, the reference in docs/configuration.md, the environment
// variables and the error messages all come from it, or are tested against it.
//
// The package only reads. It opens no store (except through [Config.OpenSink])
// and changes neither the environment nor a viper instance that was handed in.
package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// Config is a whole configuration. Each field stands for the key in its
// comment; the table in keys.go says what it means. Start from [Default] or
// [Load]: the zero value is not a valid configuration.
type Config struct {
	Service string // service
	Capture Capture
	Redact  Redact
	Trigger Trigger
	Sink    Sink
	Link    Link

	// Warnings are things that are no error but that somebody should hear of,
	// such as an environment variable that looks like a misspelt key.
	Warnings []string
}

// Capture holds the keys under capture.
type Capture struct {
	Depth          int           // capture.depth
	Pause          time.Duration // capture.pause
	Timeout        time.Duration // capture.timeout
	Goroutines     string        // capture.goroutines
	MaxStringLen   int           // capture.max_string_len
	MaxArrayValues int           // capture.max_array_values
	MaxMapEntries  int           // capture.max_map_entries
	MaxObjects     int           // capture.max_objects
	MaxBytes       int64         // capture.max_bytes
	MaxGoroutines  int           // capture.max_goroutines
	MaxFrames      int           // capture.max_frames
	SourceLines    int           // capture.source_lines; 0 is none
}

// Redact holds the keys under redact.
type Redact struct {
	Secrets          bool     // redact.secrets
	Environ          bool     // redact.environ
	EnvironMinLength int      // redact.environ_min_length
	EnvironAllow     []string // redact.environ_allow
	Patterns         []string // redact.patterns
	Names            []string // redact.names
	AllowNames       []string // redact.allow_names
	Disable          []string // redact.disable
}

// Trigger holds the keys under trigger.
type Trigger struct {
	Panics      bool     // trigger.panics
	ErrorSpans  bool     // trigger.error_spans
	Exclude     []string // trigger.exclude
	RecoveredBy []string // trigger.recovered_by
}

// Sink holds the keys under sink.
type Sink struct {
	Type  string // sink.type
	Local Local
	S3    S3
}

// Local holds the keys under sink.local.
type Local struct {
	Dir string // sink.local.dir
}

// S3 holds the keys under sink.s3.
type S3 struct {
	Bucket    string // sink.s3.bucket
	Prefix    string // sink.s3.prefix
	Endpoint  string // sink.s3.endpoint
	Region    string // sink.s3.region
	PathStyle bool   // sink.s3.path_style
}

// Link holds the keys under link.
type Link struct {
	ViewerURL string // link.viewer_url
}

// The values of sink.type.
const (
	SinkLocal = "local"
	SinkS3    = "s3"
)

// Default returns the configuration that holds where nothing is configured.
func Default() Config {
	c := capture.DefaultConfig()
	return Config{
		Capture: Capture{
			Depth: c.Depth, Pause: c.Pause, Timeout: c.Timeout, Goroutines: string(c.Goroutines),
			MaxStringLen: c.MaxStringLen, MaxArrayValues: c.MaxArrayValues, MaxMapEntries: c.MaxMapEntries,
			MaxObjects: c.MaxObjects, MaxBytes: c.MaxBytes, MaxGoroutines: c.MaxGoroutines, MaxFrames: c.MaxFrames,
			SourceLines: c.SourceLines,
		},
		Redact:  Redact{Secrets: true, Environ: true, EnvironMinLength: 9},
		Trigger: Trigger{Panics: true, ErrorSpans: true},
		Sink:    Sink{Type: SinkLocal, Local: Local{Dir: "./dumps"}},
	}
}

// Validate checks what the keys must be to each other, after each was checked
// for itself. Load calls it; who changes a Config calls it again. The error is
// an [*Error].
func (c *Config) Validate() error {
	if c.Capture.Timeout < c.Capture.Pause {
		return &Error{
			Key: "capture.timeout",
			Msg: fmt.Sprintf("%v is shorter than capture.pause, %v, which is a part of it", c.Capture.Timeout, c.Capture.Pause),
		}
	}
	switch c.Sink.Type {
	case SinkLocal:
		if c.Sink.Local.Dir == "" {
			return &Error{Key: "sink.local.dir", Msg: "is empty, but sink.type is local"}
		}
	case SinkS3:
		if c.Sink.S3.Bucket == "" {
			return &Error{Key: "sink.s3.bucket", Msg: "is empty, but sink.type is s3"}
		}
	}
	return nil
}

// CaptureConfig returns the limits of captures as the engine takes them,
// without a Redactor.
func (c *Config) CaptureConfig() capture.Config {
	k := c.Capture
	lines := k.SourceLines
	if lines == 0 {
		lines = -1 // 0 stands for the default there
	}
	return capture.Config{
		Depth: k.Depth, Pause: k.Pause, Timeout: k.Timeout, Goroutines: capture.Scope(k.Goroutines),
		MaxStringLen: k.MaxStringLen, MaxArrayValues: k.MaxArrayValues, MaxMapEntries: k.MaxMapEntries,
		MaxObjects: k.MaxObjects, MaxBytes: k.MaxBytes, MaxGoroutines: k.MaxGoroutines, MaxFrames: k.MaxFrames,
		SourceLines: lines,
	}
}

// RedactConfig returns the rules as package redact takes them.
func (c *Config) RedactConfig() redact.Config {
	k := c.Redact
	r := redact.DefaultConfig()
	r.Secrets, r.Environ, r.EnvironMinLength, r.EnvironAllow = k.Secrets, k.Environ, k.EnvironMinLength, k.EnvironAllow
	r.Patterns, r.Names, r.AllowNames, r.Disable = k.Patterns, k.Names, k.AllowNames, k.Disable
	return r
}

// checkViewerURL checks link.viewer_url: an address that a browser opens,
// with no placeholder but those that are filled in.
func checkViewerURL(s string) error {
	if s == "" {
		return nil
	}
	rest := s
	for {
		i := strings.IndexByte(rest, '{')
		if i < 0 {
			break
		}
		j := strings.IndexByte(rest[i:], '}')
		if j < 0 {
			return fmt.Errorf("%q has a { without a }", s)
		}
		switch name := rest[i : i+j+1]; name {
		case "{dump_id}", "{trace_id}", "{span_id}", "{service}":
		default:
			return fmt.Errorf("%q has the unknown placeholder %s (want {dump_id}, {trace_id}, {span_id} or {service})", s, name)
		}
		rest = rest[i+j+1:]
	}
	return checkURL(strings.NewReplacer("{", "", "}", "").Replace(s))
}

// checkURL checks that s is empty or an absolute http or https URL.
func checkURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("%q is not a URL: %w", s, err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%q is not an absolute http or https URL", s)
	}
	if u.User != nil {
		return fmt.Errorf("a URL with a user name or a password in it would be written to places that all can read")
	}
	return nil
}
