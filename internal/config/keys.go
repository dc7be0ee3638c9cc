package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
)

// EnvPrefix begins the name of every environment variable that is read.
const EnvPrefix = "COREDUMPY_"

// EnvFile is the environment variable that holds the path of the
// configuration file. It is not a key.
const EnvFile = EnvPrefix + "CONFIG"

// KeyDoc describes one key.
type KeyDoc struct {
	Key     string   // with its sections: "sink.s3.bucket"
	Env     string   // the environment variable: "COREDUMPY_SINK_S3_BUCKET"
	Type    string   // "text", "yes or no", "number", "duration", "size", "list"
	Default string   // as it is written in a file
	Allowed []string // the only values, if they are a fixed set
	Doc     string   // what it means; one or more sentences
}

// Keys returns every key, in the order of the sample configuration.
func Keys() []KeyDoc {
	docs := make([]KeyDoc, len(fields))
	def := Default()
	for i, f := range fields {
		docs[i] = f.doc(&def)
	}
	return docs
}

// field is one key: what it is, and how a raw value from a file or a variable
// gets into a Config.
type field struct {
	key     string
	typ     string
	text    string
	allowed []string
	set     func(c *Config, raw any) error
	get     func(c *Config) string
}

func (f *field) doc(def *Config) KeyDoc {
	return KeyDoc{Key: f.key, Env: envName(f.key), Type: f.typ, Default: f.get(def), Allowed: f.allowed, Doc: f.text}
}

func envName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

var fields = []field{
	textKey("service", func(c *Config) *string { return &c.Service }, nil,
		"Name of the service, under which its dumps are listed. Empty: the service.name of the OpenTelemetry resource."),

	intKey("capture.depth", func(c *Config) *int { return &c.Capture.Depth }, 1, 1000,
		"How many pointers away from a variable objects are followed."),
	durationKey("capture.pause", func(c *Config) *time.Duration { return &c.Capture.Pause }, time.Millisecond, time.Minute,
		"The longest that a failing request waits for its dump. What was not read by then is left out, and says so. It does not apply when the process is about to die."),
	durationKey("capture.timeout", func(c *Config) *time.Duration { return &c.Capture.Timeout }, 10*time.Millisecond, 10*time.Minute,
		"The longest that a capture may take altogether, most of it in the background."),
	enumKey("capture.goroutines", func(c *Config) *string { return &c.Capture.Goroutines },
		[]string{string(capture.ScopeAll), string(capture.ScopeFailing), string(capture.ScopeNone)},
		"Which goroutines a dump holds: all of them, the failing one, or none."),
	intKey("capture.max_string_len", func(c *Config) *int { return &c.Capture.MaxStringLen }, 1, math.MaxInt32,
		"How many bytes of a string or a byte slice are kept."),
	intKey("capture.max_array_values", func(c *Config) *int { return &c.Capture.MaxArrayValues }, 1, math.MaxInt32,
		"How many elements of an array, a slice or a channel are kept."),
	intKey("capture.max_map_entries", func(c *Config) *int { return &c.Capture.MaxMapEntries }, 1, math.MaxInt32,
		"How many entries of a map are kept."),
	intKey("capture.max_objects", func(c *Config) *int { return &c.Capture.MaxObjects }, 1, math.MaxInt32,
		"How many objects a dump may hold."),
	sizeKey("capture.max_bytes", func(c *Config) *int64 { return &c.Capture.MaxBytes }, 1<<10, 16<<30,
		"How much of the process's memory a dump may hold, before compression."),
	intKey("capture.max_goroutines", func(c *Config) *int { return &c.Capture.MaxGoroutines }, 1, math.MaxInt32,
		"How many goroutines besides the failing one a dump may hold."),
	intKey("capture.max_frames", func(c *Config) *int { return &c.Capture.MaxFrames }, 1, 10_000,
		"How many frames of a goroutine are kept, innermost first."),
	intKey("capture.source_lines", func(c *Config) *int { return &c.Capture.SourceLines }, 0, 10_000,
		"How many lines of source are kept before and after each line on the stack, if the file can be read where the program runs. 0 keeps none."),

	boolKey("redact.secrets", func(c *Config) *bool { return &c.Redact.Secrets },
		"Withhold what looks like a secret: tokens of known providers, passwords, keys, and whatever a variable, a field or a map key calls so."),
	boolKey("redact.environ", func(c *Config) *bool { return &c.Redact.Environ },
		"Withhold the values of the process's environment variables wherever they turn up."),
	intKey("redact.environ_min_length", func(c *Config) *int { return &c.Redact.EnvironMinLength }, 1, math.MaxInt32,
		"Values of environment variables that are shorter than this many bytes are not withheld: they turn up by chance. Values of variables with a secret's name (DB_PASSWORD) count from 4 bytes."),
	listKey("redact.environ_allow", func(c *Config) *[]string { return &c.Redact.EnvironAllow }, checkNotEmpty,
		"Names of environment variables whose values may be in a dump, besides those that always may (PATH, HOME, LANG and others). A * at either end stands for anything: \"SHOP_*\"."),
	listKey("redact.patterns", func(c *Config) *[]string { return &c.Redact.Patterns }, checkPattern,
		"Regular expressions (RE2 syntax) of what else to withhold, wherever in a text."),

	listKey("redact.names", func(c *Config) *[]string { return &c.Redact.Names }, checkNotEmpty,
		"Names of variables, fields, map keys and headers whose values are withheld, besides those that are known. Any spelling matches (customerRef, customer_ref, Customer-Ref), also at the end of a longer name."),
	listKey("redact.allow_names", func(c *Config) *[]string { return &c.Redact.AllowNames }, checkNotEmpty,
		"Names that sound like a secret's but are none, such as \"token_count\". A pattern may still hit their values."),
	listKey("redact.disable", func(c *Config) *[]string { return &c.Redact.Disable }, checkNotEmpty,
		"IDs of built-in rules that are switched off; docs/redaction.md lists them."),

	boolKey("trigger.panics", func(c *Config) *bool { return &c.Trigger.Panics },
		"Dump when a panic goes through a span, the middleware, Recover or Go."),
	boolKey("trigger.error_spans", func(c *Config) *bool { return &c.Trigger.ErrorSpans },
		"Dump when a span ends with status Error, and when the program calls RecordError."),
	listKey("trigger.exclude", func(c *Config) *[]string { return &c.Trigger.Exclude }, checkNotEmpty,
		"Errors and panic values that get no dump: types (\"*net/url.Error\"), whole messages (\"record not found\"), which also match at the end of a message behind \": \", or one of the names "+strings.Join(sentinelNames(), ", ")+"."),
	listKey("trigger.recovered_by", func(c *Config) *[]string { return &c.Trigger.RecoveredBy }, checkNotEmpty,
		"Functions of the program that recover from panics of what they call (\"example.com/shop/queue.(*Worker).run\"). Below one of them a panic does not end the process, so its dump is written in the background. Those of net/http and of well-known frameworks are known."),

	enumKey("sink.type", func(c *Config) *string { return &c.Sink.Type }, []string{SinkLocal, SinkS3},
		"Where dumps are stored: in a local folder or in an S3 bucket."),
	textKey("sink.local.dir", func(c *Config) *string { return &c.Sink.Local.Dir }, nil,
		"The folder for sink.type local. It is made if it is not there. A relative path starts at the working directory."),
	textKey("sink.s3.bucket", func(c *Config) *string { return &c.Sink.S3.Bucket }, nil,
		"The bucket for sink.type s3. Credentials come from where the AWS SDK looks for them (AWS_… variables, profiles, roles)."),
	textKey("sink.s3.prefix", func(c *Config) *string { return &c.Sink.S3.Prefix }, nil,
		"What all keys in the bucket begin with."),
	textKey("sink.s3.endpoint", func(c *Config) *string { return &c.Sink.S3.Endpoint }, checkURL,
		"URL of an S3 server other than AWS: MinIO, Ceph, R2, versitygw. Empty: AWS."),
	textKey("sink.s3.region", func(c *Config) *string { return &c.Sink.S3.Region }, nil,
		"The bucket's region. Empty: from where the AWS SDK looks for it."),
	boolKey("sink.s3.path_style", func(c *Config) *bool { return &c.Sink.S3.PathStyle },
		"Address the bucket as https://host/bucket instead of https://bucket.host. Most servers other than AWS want it."),

	textKey("link.viewer_url", func(c *Config) *string { return &c.Link.ViewerURL }, checkViewerURL,
		"Address of the viewer, which becomes the span's coredumpy.dump.url. Either a base (\"https://dumps.example.com\" gives \"https://dumps.example.com/d/<dump ID>\") or a template with {dump_id}, {trace_id}, {span_id} and {service}. Empty: spans carry no URL."),
}

// Sentinels are the names that trigger.exclude takes for well-known errors of
// the standard library, with their messages.
func Sentinels() map[string]string {
	return map[string]string{
		"context.Canceled":         "context canceled",
		"context.DeadlineExceeded": "context deadline exceeded",
		"io.EOF":                   "EOF",
		"io.ErrUnexpectedEOF":      "unexpected EOF",
		"net.ErrClosed":            "use of closed network connection",
		"os.ErrDeadlineExceeded":   "i/o timeout",
		"os.ErrNotExist":           "file does not exist",
		"os.ErrPermission":         "permission denied",
		"sql.ErrNoRows":            "sql: no rows in result set",
		"http.ErrHandlerTimeout":   "http: Handler timeout",
		"http.ErrServerClosed":     "http: Server closed",
	}
}

func sentinelNames() []string {
	var names []string
	for n := range Sentinels() {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func textKey(key string, p func(*Config) *string, check func(string) error, text string) field {
	return field{
		key: key, typ: "text", text: text,
		get: func(c *Config) string { return strconv.Quote(*p(c)) },
		set: func(c *Config, raw any) error {
			var s string
			switch v := raw.(type) {
			case string:
				s = v
			case bool, int, int64, uint64, float64:
				// YAML takes 2026 or yes for something else than the name that was meant.
				return fmt.Errorf("want text, have %v; put it in quotes", v)
			default:
				return fmt.Errorf("want text, have %s", describe(raw))
			}
			if check != nil {
				if err := check(s); err != nil {
					return err
				}
			}
			*p(c) = s
			return nil
		},
	}
}

func enumKey(key string, p func(*Config) *string, allowed []string, text string) field {
	return field{
		key: key, typ: "text", text: text, allowed: allowed,
		get: func(c *Config) string { return *p(c) },
		set: func(c *Config, raw any) error {
			s, ok := raw.(string)
			if !ok || !slices.Contains(allowed, s) {
				return fmt.Errorf("want one of %s, have %s", strings.Join(allowed, ", "), describe(raw))
			}
			*p(c) = s
			return nil
		},
	}
}

func boolKey(key string, p func(*Config) *bool, text string) field {
	return field{
		key: key, typ: "true or false", text: text,
		get: func(c *Config) string { return strconv.FormatBool(*p(c)) },
		set: func(c *Config, raw any) error {
			switch v := raw.(type) {
			case bool:
				*p(c) = v
				return nil
			case string: // from the environment
				switch strings.ToLower(v) {
				case "true", "1", "yes", "on":
					*p(c) = true
					return nil
				case "false", "0", "no", "off":
					*p(c) = false
					return nil
				}
			}
			return fmt.Errorf("want true or false, have %s", describe(raw))
		},
	}
}

func intKey(key string, p func(*Config) *int, lowest, highest int, text string) field {
	return field{
		key: key, typ: "number", text: text,
		get: func(c *Config) string { return strconv.Itoa(*p(c)) },
		set: func(c *Config, raw any) error {
			n, ok := toInt(raw)
			if !ok {
				return fmt.Errorf("want a whole number, have %s", describe(raw))
			}
			if n < int64(lowest) || n > int64(highest) {
				return fmt.Errorf("want a number from %d to %d, have %d", lowest, highest, n)
			}
			*p(c) = int(n)
			return nil
		},
	}
}

func durationKey(key string, p func(*Config) *time.Duration, lowest, highest time.Duration, text string) field {
	return field{
		key: key, typ: "duration", text: text,
		get: func(c *Config) string { return shortDuration(*p(c)) },
		set: func(c *Config, raw any) error {
			var d time.Duration
			switch v := raw.(type) {
			case time.Duration: // set in code on a viper instance
				d = v
			case string:
				var err error
				if d, err = time.ParseDuration(strings.TrimSpace(v)); err != nil {
					return fmt.Errorf("want a duration with its unit, like 50ms or 2s, have %s", describe(raw))
				}
			default:
				return fmt.Errorf("want a duration with its unit, like 50ms or 2s, have %s", describe(raw))
			}
			if d < lowest || d > highest {
				return fmt.Errorf("want a duration from %s to %s, have %s", shortDuration(lowest), shortDuration(highest), shortDuration(d))
			}
			*p(c) = d
			return nil
		},
	}
}

func sizeKey(key string, p func(*Config) *int64, lowest, highest int64, text string) field {
	return field{
		key: key, typ: "size", text: text,
		get: func(c *Config) string { return FormatSize(*p(c)) },
		set: func(c *Config, raw any) error {
			n, ok := toInt(raw)
			if s, text := raw.(string); text {
				var err error
				if n, err = ParseSize(s); err != nil {
					return err
				}
				ok = true
			}
			if !ok {
				return fmt.Errorf("want a size, like 64MiB, have %s", describe(raw))
			}
			if n < lowest || n > highest {
				return fmt.Errorf("want a size from %s to %s, have %s", FormatSize(lowest), FormatSize(highest), FormatSize(n))
			}
			*p(c) = n
			return nil
		},
	}
}

func listKey(key string, p func(*Config) *[]string, check func(string) error, text string) field {
	return field{
		key: key, typ: "list", text: text,
		get: func(c *Config) string { return formatList(*p(c)) },
		set: func(c *Config, raw any) error {
			list, err := toList(raw)
			if err != nil {
				return err
			}
			for i, s := range list {
				if err := check(s); err != nil {
					return fmt.Errorf("entry %d: %w", i+1, err)
				}
			}
			*p(c) = list
			return nil
		},
	}
}

func checkPattern(s string) error {
	if s == "" {
		return fmt.Errorf("is empty")
	}
	if _, err := regexp.Compile(s); err != nil {
		return fmt.Errorf("%q is not a regular expression: %w", s, err)
	}
	return nil
}

func checkNotEmpty(s string) error {
	if strings.TrimSpace(s) == "" {
		return fmt.Errorf("is empty")
	}
	return nil
}
