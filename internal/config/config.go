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
	Debug   DebugInfo
	Redact  Redact
	Trigger Trigger
	Limit   Limit
	Sink    Sink
	Spool   Spool
	Upload  Upload
	Encrypt Encrypt
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
	Variables      []string      // capture.variables
}

// DebugInfo holds the keys under debug_info.
type DebugInfo struct {
	Path          []string // debug_info.path
	CacheDir      string   // debug_info.cache_dir
	CacheMaxBytes int64    // debug_info.cache_max_bytes
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
	Rules       []string // trigger.rules
	RecoveredBy []string // trigger.recovered_by
	Sample      Sample
}

// Sample holds the keys under trigger.sample.
type Sample struct {
	Panics     float64 // trigger.sample.panics
	ErrorSpans float64 // trigger.sample.error_spans
}

// Limit holds the keys under limit.
type Limit struct {
	Window     time.Duration // limit.window; 0 is off
	PerFailure int           // limit.per_failure; 0 is off
	PerMinute  int           // limit.per_minute; 0 is off
	Queue      int           // limit.queue
}

// Sink holds the keys under sink.
type Sink struct {
	Type          string        // sink.type
	URL           string        // sink.url
	Also          []string      // sink.also
	Fallback      string        // sink.fallback
	FallbackAfter time.Duration // sink.fallback_after
	Routes        []string      // sink.routes
	Local         Local
	S3            S3
}

// Spool holds the keys under spool.
type Spool struct {
	Mode     string        // spool.mode
	Dir      string        // spool.dir
	MaxBytes int64         // spool.max_bytes
	MaxItems int           // spool.max_items
	MaxAge   time.Duration // spool.max_age
	MinFree  int64         // spool.min_free
}

// Upload holds the keys under upload.
type Upload struct {
	Concurrency    int           // upload.concurrency
	AttemptTimeout time.Duration // upload.attempt_timeout
	GiveUpAfter    time.Duration // upload.give_up_after; 0: spool.max_age decides
	OnCrashTimeout time.Duration // upload.on_crash_timeout
	OnExitTimeout  time.Duration // upload.on_exit_timeout
}

// Encrypt holds the keys under encrypt.
type Encrypt struct {
	Recipients []string // encrypt.recipients
	SealHeader bool     // encrypt.seal_header
	Identities []string // encrypt.identities
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

	Profile            string   // sink.s3.profile
	RoleARN            string   // sink.s3.role_arn
	ExternalID         string   // sink.s3.external_id
	SSE                string   // sink.s3.sse
	KMSKeyID           string   // sink.s3.kms_key_id
	StorageClass       string   // sink.s3.storage_class
	Tags               []string // sink.s3.tags
	Checksum           string   // sink.s3.checksum
	MultipartThreshold int64    // sink.s3.multipart_threshold
	PartSize           int64    // sink.s3.part_size
	Concurrency        int      // sink.s3.concurrency
	Proxy              string   // sink.s3.proxy
	CAFile             string   // sink.s3.ca_file
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

// The values of spool.mode.
const (
	SpoolAuto = "auto"
	SpoolOn   = "on"
	SpoolOff  = "off"
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
		Debug:   DebugInfo{CacheMaxBytes: 1 << 30},
		Redact:  Redact{Secrets: true, Environ: true, EnvironMinLength: 9},
		Trigger: Trigger{Panics: true, ErrorSpans: true, Sample: Sample{Panics: 1, ErrorSpans: 1}},
		Limit:   Limit{Window: time.Minute, PerFailure: 20, PerMinute: 30, Queue: 16},
		Sink: Sink{
			Type: SinkLocal, FallbackAfter: time.Minute, Local: Local{Dir: "./dumps"},
			S3: S3{Checksum: "auto", MultipartThreshold: 16 << 20, PartSize: 8 << 20, Concurrency: 4},
		},
		Spool:  Spool{Mode: SpoolAuto, MaxBytes: 1 << 30, MaxItems: 10_000, MaxAge: 7 * 24 * time.Hour, MinFree: 256 << 20},
		Upload: Upload{Concurrency: 2, AttemptTimeout: time.Minute, OnCrashTimeout: 3 * time.Second, OnExitTimeout: 10 * time.Second},
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
	if _, err := c.routes(); err != nil {
		return &Error{Key: "sink.routes", Err: err}
	}
	switch {
	case c.Sink.URL != "":
	case c.Sink.Type == SinkLocal:
		if c.Sink.Local.Dir == "" {
			return &Error{Key: "sink.local.dir", Msg: "is empty, but sink.type is local"}
		}
	case c.Sink.Type == SinkS3:
		if c.Sink.S3.Bucket == "" {
			return &Error{Key: "sink.s3.bucket", Msg: "is empty, but sink.type is s3"}
		}
	}
	if c.Encrypt.SealHeader && len(c.Encrypt.Recipients) == 0 {
		return &Error{Key: "encrypt.seal_header", Msg: "is true, but encrypt.recipients is empty, so nothing is encrypted"}
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
		SourceLines: lines, Variables: k.Variables, DebugInfo: c.DebugInfoConfig(),
	}
}

// DebugInfoConfig returns where debug info is looked for and kept as the engine takes it.
func (c *Config) DebugInfoConfig() capture.DebugInfo {
	return capture.DebugInfo{Paths: c.Debug.Path, CacheDir: c.Debug.CacheDir, CacheMaxBytes: c.Debug.CacheMaxBytes}
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
