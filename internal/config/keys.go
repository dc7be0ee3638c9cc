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
	listKey("capture.variables", func(c *Config) *[]string { return &c.Capture.Variables }, capture.CheckVariables,
		"Package variables to keep besides what the failing goroutine leads to, as import/path.Name: \"main.*\", \"example.com/shop/store.cache\". A * stands for any run of characters, main is the main package. They get a quarter of the limits. Empty: none."),

	listKey("debug_info.path", func(c *Config) *[]string { return &c.Debug.Path }, checkNotEmpty,
		"Files with the program's debug info, or folders in which to look for it, for programs that were stripped. Only what belongs to the very same build is used. .gnu_debuglink and /usr/lib/debug/.build-id are looked at in any case."),
	textKey("debug_info.cache_dir", func(c *Config) *string { return &c.Debug.CacheDir }, nil,
		"Folder in which compressed debug info is kept unpacked, so that later starts and other processes need not do it again. It must belong to the user that the process runs as, and nobody else may be able to write to it. Empty: otelcoredumpy in $XDG_CACHE_HOME (~/.cache). \"off\": nowhere, it is unpacked into memory at each start."),
	sizeKey("debug_info.cache_max_bytes", func(c *Config) *int64 { return &c.Debug.CacheMaxBytes }, 1<<20, 1<<50,
		"How large that folder may become. What was not used for the longest time goes first."),

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
	listKey("trigger.rules", func(c *Config) *[]string { return &c.Trigger.Rules }, checkRule,
		"Rules about which failures get a dump. The first one whose conditions all hold decides: \"drop kind=client route=/healthz*\", \"keep package=example.com/shop/...\", \"drop error=*net.OpError|*url.Error\", \"drop\" (all others). Conditions: trigger, error, message, package, kind, route, span, service, scope, attr.<name>; * stands for anything. docs/storms.md says more."),
	listKey("trigger.recovered_by", func(c *Config) *[]string { return &c.Trigger.RecoveredBy }, checkNotEmpty,
		"Functions of the program that recover from panics of what they call (\"example.com/shop/queue.(*Worker).run\"). Below one of them a panic does not end the process, so its dump is written in the background. Those of net/http and of well-known frameworks are known."),

	fractionKey("trigger.sample.panics", func(c *Config) *float64 { return &c.Trigger.Sample.Panics },
		"Which share of the traces gets dumps of its panics. A panic that ends the process always does."),
	fractionKey("trigger.sample.error_spans", func(c *Config) *float64 { return &c.Trigger.Sample.ErrorSpans },
		"Which share of the traces gets dumps of its error spans."),

	durationKey("limit.window", func(c *Config) *time.Duration { return &c.Limit.Window }, 0, 24*time.Hour,
		"After a dump, how long further failures like it (same place, same types of errors, same span name) get none: their spans refer to the first one's dump. 0: each gets its own. A panic that ends the process is not limited by anything here."),
	intKey("limit.per_failure", func(c *Config) *int { return &c.Limit.PerFailure }, 0, 1_000_000,
		"How many dumps an hour failures that are like each other get. 0: any number."),
	intKey("limit.per_minute", func(c *Config) *int { return &c.Limit.PerMinute }, 0, 1_000_000,
		"How many dumps a minute the process makes. 0: any number."),
	intKey("limit.queue", func(c *Config) *int { return &c.Limit.Queue }, 1, 10_000,
		"How many captures may wait in memory to be written. Those beyond are dropped."),

	enumKey("sink.type", func(c *Config) *string { return &c.Sink.Type }, []string{SinkLocal, SinkS3},
		"Where dumps are stored: in a local folder or in an S3 bucket."),
	textKey("sink.url", func(c *Config) *string { return &c.Sink.URL }, checkStoreURL,
		"Where dumps are stored, as a URL that takes the place of sink.type: \"file:///var/lib/dumps\", \"s3://bucket/prefix?region=eu-central-1\". A program can add schemes of its own."),
	listKey("sink.also", func(c *Config) *[]string { return &c.Sink.Also }, checkStoreURL,
		"URLs of further stores that get every dump as well."),
	textKey("sink.fallback", func(c *Config) *string { return &c.Sink.Fallback }, checkStoreURL,
		"URL of the store that gets the dumps while the other one does not take them."),
	durationKey("sink.fallback_after", func(c *Config) *time.Duration { return &c.Sink.FallbackAfter }, 0, 24*time.Hour,
		"How long the store must have failed before dumps go to sink.fallback."),
	listKey("sink.routes", func(c *Config) *[]string { return &c.Sink.Routes }, checkRoute,
		"Stores for single triggers, each as trigger=URL: \"panic=s3://bucket/panics\". Triggers: "+triggerNames()+"."),
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
	textKey("sink.s3.profile", func(c *Config) *string { return &c.Sink.S3.Profile }, nil,
		"Profile of the AWS configuration files to use. Empty: AWS_PROFILE, or the default one."),
	textKey("sink.s3.role_arn", func(c *Config) *string { return &c.Sink.S3.RoleARN }, nil,
		"Role to assume before talking to the bucket. Web identity, instance and container roles need nothing here."),
	textKey("sink.s3.external_id", func(c *Config) *string { return &c.Sink.S3.ExternalID }, nil,
		"What the trust policy of that role may ask for."),
	textKey("sink.s3.sse", func(c *Config) *string { return &c.Sink.S3.SSE }, checkSSE,
		"Encryption on the server's side: AES256 or aws:kms. Empty: what the bucket does by itself."),
	textKey("sink.s3.kms_key_id", func(c *Config) *string { return &c.Sink.S3.KMSKeyID }, nil,
		"Key for sink.s3.sse aws:kms. Empty: the account's default key."),
	textKey("sink.s3.storage_class", func(c *Config) *string { return &c.Sink.S3.StorageClass }, nil,
		"Storage class of the dumps, such as STANDARD_IA. Empty: the bucket's default."),
	listKey("sink.s3.tags", func(c *Config) *[]string { return &c.Sink.S3.Tags }, checkTag,
		"Tags of the dumps, each as key=value."),
	enumKey("sink.s3.checksum", func(c *Config) *string { return &c.Sink.S3.Checksum }, []string{"auto", "when_supported", "when_required"},
		"When the SDK sends checksums of its own. auto: only where required if there is an endpoint, because many servers refuse them, else as the SDK does."),
	sizeKey("sink.s3.multipart_threshold", func(c *Config) *int64 { return &c.Sink.S3.MultipartThreshold }, 5<<20, 5<<30,
		"From which size on a dump is uploaded in parts."),
	sizeKey("sink.s3.part_size", func(c *Config) *int64 { return &c.Sink.S3.PartSize }, 5<<20, 5<<30,
		"Size of these parts."),
	intKey("sink.s3.concurrency", func(c *Config) *int { return &c.Sink.S3.Concurrency }, 1, 64,
		"How many parts of a dump are uploaded at once."),
	textKey("sink.s3.proxy", func(c *Config) *string { return &c.Sink.S3.Proxy }, checkURL,
		"URL of an HTTP proxy. Empty: HTTPS_PROXY, HTTP_PROXY and NO_PROXY."),
	textKey("sink.s3.ca_file", func(c *Config) *string { return &c.Sink.S3.CAFile }, nil,
		"File with the certificates (PEM) of the authorities to trust besides the system's."),

	enumKey("spool.mode", func(c *Config) *string { return &c.Spool.Mode }, []string{SpoolAuto, SpoolOn, SpoolOff},
		"Whether a dump goes to a local folder first and is uploaded from there. auto: unless it is stored in a single local folder."),
	textKey("spool.dir", func(c *Config) *string { return &c.Spool.Dir }, nil,
		"That folder. Several processes and services may share it. Empty: coredumpy/spool in $XDG_STATE_HOME (~/.local/state)."),
	sizeKey("spool.max_bytes", func(c *Config) *int64 { return &c.Spool.MaxBytes }, 1<<20, 1<<50,
		"How much may lie in it. Beyond that the oldest of the least valuable dumps go: error spans before panics."),
	intKey("spool.max_items", func(c *Config) *int { return &c.Spool.MaxItems }, 1, 10_000_000,
		"How many dumps may lie in it."),
	durationKey("spool.max_age", func(c *Config) *time.Duration { return &c.Spool.MaxAge }, time.Minute, 366*24*time.Hour,
		"How long a dump may lie in it."),
	sizeKey("spool.min_free", func(c *Config) *int64 { return &c.Spool.MinFree }, 0, 1<<50,
		"How much of the disk stays free of dumps."),

	intKey("upload.concurrency", func(c *Config) *int { return &c.Upload.Concurrency }, 1, 64,
		"How many dumps are uploaded at once."),
	durationKey("upload.attempt_timeout", func(c *Config) *time.Duration { return &c.Upload.AttemptTimeout }, time.Second, time.Hour,
		"The longest that one attempt to upload a dump may take."),
	durationKey("upload.give_up_after", func(c *Config) *time.Duration { return &c.Upload.GiveUpAfter }, 0, 366*24*time.Hour,
		"How long a dump is tried to upload altogether. 0: as long as it may lie in the spool."),
	durationKey("upload.on_crash_timeout", func(c *Config) *time.Duration { return &c.Upload.OnCrashTimeout }, 0, time.Minute,
		"When a panic ends the process: the longest that it waits for the upload of its dump, which is safe in the spool by then."),
	durationKey("upload.on_exit_timeout", func(c *Config) *time.Duration { return &c.Upload.OnExitTimeout }, 0, time.Hour,
		"The longest that Shutdown waits for uploads if its context has no deadline. What is not uploaded by then stays in the spool."),

	listKey("encrypt.recipients", func(c *Config) *[]string { return &c.Encrypt.Recipients }, checkNotEmpty,
		"Public keys that dumps are encrypted for, before they reach a disk: age (age1…), SSH (ssh-ed25519 …), or the path of a file with one a line. Empty: no encryption."),
	boolKey("encrypt.seal_header", func(c *Config) *bool { return &c.Encrypt.SealHeader },
		"Encrypt the searchable part of the header as well (service, span, place, types of errors), so that listings show little more than IDs and times."),
	listKey("encrypt.identities", func(c *Config) *[]string { return &c.Encrypt.Identities }, checkNotEmpty,
		"Files with the private keys, for the command. A service needs none and should have none."),

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

func fractionKey(key string, p func(*Config) *float64, text string) field {
	return field{
		key: key, typ: "number from 0 to 1", text: text,
		get: func(c *Config) string { return strconv.FormatFloat(*p(c), 'g', -1, 64) },
		set: func(c *Config, raw any) error {
			f, ok := toFloat(raw)
			if !ok || !(f >= 0 && f <= 1) {
				return fmt.Errorf("want a number from 0 to 1, have %s", describe(raw))
			}
			*p(c) = f
			return nil
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
				if n, ok := toInt(raw); !ok || n != 0 { // 0 needs no unit
					return fmt.Errorf("want a duration with its unit, like 50ms or 2s, have %s", describe(raw))
				}
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
