package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/viper"
)

// clean gives the test an empty working directory and an environment without
// anything that Load would read.
func clean(t *testing.T) string {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, EnvPrefix) {
			t.Setenv(name, "")
		}
	}
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "xdg"))
	if _, err := os.Stat(SystemFile); err == nil {
		t.Skipf("%s exists on this machine", SystemFile)
	}
	return dir
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadWithoutAnything(t *testing.T) {
	clean(t)
	cfg, file, err := Load(LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if file != "" {
		t.Errorf("file = %q, want none", file)
	}
	if want := Default(); !reflect.DeepEqual(*cfg, want) {
		t.Errorf("config = %+v\nwant %+v", *cfg, want)
	}
	if err := cfg.Validate(); err != nil {
		t.Errorf("the default is not valid: %v", err)
	}
}

func TestLoadEveryKey(t *testing.T) {
	dir := clean(t)
	want := Config{
		Service: "shop",
		Capture: Capture{
			Depth: 3, Pause: 20 * time.Millisecond, Timeout: time.Second, Goroutines: "failing",
			MaxStringLen: 11, MaxArrayValues: 12, MaxMapEntries: 13, MaxObjects: 14, MaxBytes: 64 << 20,
			MaxGoroutines: 15, MaxFrames: 16, SourceLines: 0, Variables: []string{"main.*", "example.com/shop/store.cache"},
		},
		Debug: DebugInfo{Path: []string{"/dbg", "/dbg2"}, CacheDir: "/var/cache/x", CacheMaxBytes: 2 << 20},
		Redact: Redact{
			Secrets: false, Environ: false, EnvironMinLength: 5, EnvironAllow: []string{"HOSTNAME"},
			Patterns: []string{`a{1,2}`, `b`}, Names: []string{"pin"}, AllowNames: []string{"token_count"}, Disable: []string{"jwt"},
		},
		Trigger: Trigger{
			Panics: false, ErrorSpans: false, Exclude: []string{"context.Canceled", "*net/url.Error"}, RecoveredBy: []string{"example.com/x.(*W).run"},
			Rules: []string{"drop kind=client route=/healthz*"}, Sample: Sample{Panics: 0.5, ErrorSpans: 0},
		},
		Limit: Limit{Window: 0, PerFailure: 1, PerMinute: 2, Queue: 3},
		Sink: Sink{
			Type: "s3", URL: "file:///a", Also: []string{"file:///b", "s3://c/d"}, Fallback: "file:///e", FallbackAfter: 2 * time.Second,
			Routes: []string{"panic=file:///f", "manual=file:///g"}, Local: Local{Dir: "/var/dumps"}, S3: S3{
				Bucket: "b", Prefix: "p/q", Endpoint: "http://127.0.0.1:9000", Region: "eu-1", PathStyle: true,
				Profile: "ops", RoleARN: "arn:aws:iam::1:role/r", ExternalID: "x1", SSE: "aws:kms", KMSKeyID: "k", StorageClass: "STANDARD_IA", Tags: []string{"a=b", "c=d"},
				Checksum: "when_required", MultipartThreshold: 20 << 20, PartSize: 6 << 20, Concurrency: 5, Proxy: "http://127.0.0.1:3128", CAFile: "/ca.pem",
			},
		},
		Spool:   Spool{Mode: "on", Dir: "/var/spool/x", MaxBytes: 5 << 20, MaxItems: 6, MaxAge: time.Hour, MinFree: 7 << 20},
		Upload:  Upload{Concurrency: 8, AttemptTimeout: 9 * time.Second, GiveUpAfter: 10 * time.Minute, OnCrashTimeout: time.Second, OnExitTimeout: 4 * time.Second},
		Encrypt: Encrypt{Recipients: []string{"age1x"}, SealHeader: true, Identities: []string{"/key"}},
		Link:    Link{ViewerURL: "https://dumps.example.com"},
	}
	yaml := `
service: shop
capture:
  depth: 3
  pause: 20ms
  timeout: 1s
  goroutines: failing
  max_string_len: 11
  max_array_values: 12
  max_map_entries: 13
  max_objects: 14
  max_bytes: 64MiB
  max_goroutines: 15
  max_frames: 16
  source_lines: 0
  variables: [main.*, example.com/shop/store.cache]
debug_info: {path: [/dbg, /dbg2], cache_dir: /var/cache/x, cache_max_bytes: 2MiB}
redact: {secrets: false, environ: false, environ_min_length: 5, environ_allow: [HOSTNAME], patterns: ["a{1,2}", b], names: [pin], allow_names: [token_count], disable: [jwt]}
trigger:
  panics: false
  error_spans: false
  exclude: [context.Canceled, "*net/url.Error"]
  recovered_by: ["example.com/x.(*W).run"]
  rules: ["drop kind=client route=/healthz*"]
  sample: {panics: 0.5, error_spans: 0}
limit: {window: 0, per_failure: 1, per_minute: 2, queue: 3}
sink:
  type: s3
  url: file:///a
  also: ["file:///b", "s3://c/d"]
  fallback: file:///e
  fallback_after: 2s
  routes: ["panic=file:///f", "manual=file:///g"]
  local: {dir: /var/dumps}
  s3:
    bucket: b
    prefix: p/q
    endpoint: "http://127.0.0.1:9000"
    region: eu-1
    path_style: true
    profile: ops
    role_arn: "arn:aws:iam::1:role/r"
    external_id: x1
    sse: aws:kms
    kms_key_id: k
    storage_class: STANDARD_IA
    tags: [a=b, c=d]
    checksum: when_required
    multipart_threshold: 20MiB
    part_size: 6MiB
    concurrency: 5
    proxy: "http://127.0.0.1:3128"
    ca_file: /ca.pem
spool: {mode: "on", dir: /var/spool/x, max_bytes: 5MiB, max_items: 6, max_age: 1h, min_free: 7MiB}
upload: {concurrency: 8, attempt_timeout: 9s, give_up_after: 10m, on_crash_timeout: 1s, on_exit_timeout: 4s}
encrypt: {recipients: age1x, seal_header: true, identities: [/key]}
link: {viewer_url: "https://dumps.example.com"}
`
	env := map[string]string{
		"COREDUMPY_SERVICE": "shop", "COREDUMPY_CAPTURE_DEPTH": "3", "COREDUMPY_CAPTURE_PAUSE": "20ms", "COREDUMPY_CAPTURE_TIMEOUT": "1s",
		"COREDUMPY_CAPTURE_GOROUTINES": "failing", "COREDUMPY_CAPTURE_MAX_STRING_LEN": "11", "COREDUMPY_CAPTURE_MAX_ARRAY_VALUES": "12",
		"COREDUMPY_CAPTURE_MAX_MAP_ENTRIES": "13", "COREDUMPY_CAPTURE_MAX_OBJECTS": "14", "COREDUMPY_CAPTURE_MAX_BYTES": "64 MiB",
		"COREDUMPY_CAPTURE_MAX_GOROUTINES": "15", "COREDUMPY_CAPTURE_MAX_FRAMES": "16", "COREDUMPY_CAPTURE_SOURCE_LINES": "0",
		"COREDUMPY_DEBUG_INFO_PATH": "/dbg,/dbg2", "COREDUMPY_DEBUG_INFO_CACHE_DIR": "/var/cache/x", "COREDUMPY_DEBUG_INFO_CACHE_MAX_BYTES": "2MiB",
		"COREDUMPY_REDACT_SECRETS": "false", "COREDUMPY_REDACT_ENVIRON": "0", "COREDUMPY_REDACT_ENVIRON_MIN_LENGTH": "5",
		"COREDUMPY_REDACT_ENVIRON_ALLOW": "HOSTNAME", "COREDUMPY_REDACT_NAMES": "pin", "COREDUMPY_REDACT_ALLOW_NAMES": "token_count", "COREDUMPY_REDACT_DISABLE": "jwt",
		"COREDUMPY_REDACT_PATTERNS": `["a{1,2}","b"]`, "COREDUMPY_TRIGGER_PANICS": "no", "COREDUMPY_TRIGGER_ERROR_SPANS": "off",
		"COREDUMPY_TRIGGER_EXCLUDE": "context.Canceled, *net/url.Error", "COREDUMPY_TRIGGER_RECOVERED_BY": "example.com/x.(*W).run",
		"COREDUMPY_SINK_TYPE": "s3", "COREDUMPY_SINK_LOCAL_DIR": "/var/dumps", "COREDUMPY_SINK_S3_BUCKET": "b", "COREDUMPY_SINK_S3_PREFIX": "p/q",
		"COREDUMPY_SINK_S3_ENDPOINT": "http://127.0.0.1:9000", "COREDUMPY_SINK_S3_REGION": "eu-1", "COREDUMPY_SINK_S3_PATH_STYLE": "TRUE",
		"COREDUMPY_TRIGGER_RULES":               "drop kind=client route=/healthz*",
		"COREDUMPY_TRIGGER_SAMPLE_PANICS":       "0.5",
		"COREDUMPY_TRIGGER_SAMPLE_ERROR_SPANS":  "0",
		"COREDUMPY_LIMIT_WINDOW":                "0s",
		"COREDUMPY_LIMIT_PER_FAILURE":           "1",
		"COREDUMPY_LIMIT_PER_MINUTE":            "2",
		"COREDUMPY_LIMIT_QUEUE":                 "3",
		"COREDUMPY_SINK_URL":                    "file:///a",
		"COREDUMPY_SINK_ALSO":                   "file:///b,s3://c/d",
		"COREDUMPY_SINK_FALLBACK":               "file:///e",
		"COREDUMPY_SINK_FALLBACK_AFTER":         "2s",
		"COREDUMPY_SINK_ROUTES":                 "panic=file:///f,manual=file:///g",
		"COREDUMPY_SINK_S3_PROFILE":             "ops",
		"COREDUMPY_SINK_S3_ROLE_ARN":            "arn:aws:iam::1:role/r",
		"COREDUMPY_SINK_S3_EXTERNAL_ID":         "x1",
		"COREDUMPY_SINK_S3_SSE":                 "aws:kms",
		"COREDUMPY_SINK_S3_KMS_KEY_ID":          "k",
		"COREDUMPY_SINK_S3_STORAGE_CLASS":       "STANDARD_IA",
		"COREDUMPY_SINK_S3_TAGS":                "a=b,c=d",
		"COREDUMPY_SINK_S3_CHECKSUM":            "when_required",
		"COREDUMPY_SINK_S3_MULTIPART_THRESHOLD": "20MiB",
		"COREDUMPY_SINK_S3_PART_SIZE":           "6MiB",
		"COREDUMPY_SINK_S3_CONCURRENCY":         "5",
		"COREDUMPY_SINK_S3_PROXY":               "http://127.0.0.1:3128",
		"COREDUMPY_SINK_S3_CA_FILE":             "/ca.pem",
		"COREDUMPY_CAPTURE_VARIABLES":           "main.*,example.com/shop/store.cache",
		"COREDUMPY_SPOOL_MODE":                  "on",
		"COREDUMPY_SPOOL_DIR":                   "/var/spool/x",
		"COREDUMPY_SPOOL_MAX_BYTES":             "5MiB",
		"COREDUMPY_SPOOL_MAX_ITEMS":             "6",
		"COREDUMPY_SPOOL_MAX_AGE":               "1h",
		"COREDUMPY_SPOOL_MIN_FREE":              "7MiB",
		"COREDUMPY_UPLOAD_CONCURRENCY":          "8",
		"COREDUMPY_UPLOAD_ATTEMPT_TIMEOUT":      "9s",
		"COREDUMPY_UPLOAD_GIVE_UP_AFTER":        "10m",
		"COREDUMPY_UPLOAD_ON_CRASH_TIMEOUT":     "1s", "COREDUMPY_UPLOAD_ON_EXIT_TIMEOUT": "4s",
		"COREDUMPY_ENCRYPT_RECIPIENTS":  "age1x",
		"COREDUMPY_ENCRYPT_SEAL_HEADER": "true",
		"COREDUMPY_ENCRYPT_IDENTITIES":  "/key",
		"COREDUMPY_LINK_VIEWER_URL":     "https://dumps.example.com",
	}
	for _, k := range Keys() {
		if _, ok := env[k.Env]; !ok {
			t.Errorf("this test does not set %s", k.Env)
		}
	}
	check := func(t *testing.T, o LoadOptions) {
		t.Helper()
		cfg, _, err := Load(o)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*cfg, want) {
			t.Errorf("config = %+v\nwant %+v", *cfg, want)
		}
	}

	file := write(t, filepath.Join(dir, "all.yaml"), yaml)
	t.Run("file", func(t *testing.T) { check(t, LoadOptions{File: file}) })
	t.Run("file without extension", func(t *testing.T) {
		check(t, LoadOptions{File: write(t, filepath.Join(dir, "all"), yaml)})
	})
	t.Run("section of a file", func(t *testing.T) {
		text := "database: {url: x}\ncoredumpy:\n" + strings.ReplaceAll(yaml, "\n", "\n  ")
		check(t, LoadOptions{File: write(t, filepath.Join(dir, "shared.yaml"), text)})
	})
	t.Run("viper rooted at our keys", func(t *testing.T) {
		v := viper.New()
		v.SetConfigType("yaml")
		if err := v.ReadConfig(strings.NewReader(yaml)); err != nil {
			t.Fatal(err)
		}
		check(t, LoadOptions{Viper: v})
	})
	t.Run("viper with a section and another delimiter", func(t *testing.T) {
		v := viper.NewWithOptions(viper.KeyDelimiter("::"))
		v.SetConfigType("yaml")
		text := "port: 80\ncoredumpy:\n" + strings.ReplaceAll(yaml, "\n", "\n  ")
		if err := v.ReadConfig(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		check(t, LoadOptions{Viper: v})
		if v.IsSet("coredumpy::unset") || !v.IsSet("port") {
			t.Error("the application's instance was changed")
		}
	})
	t.Run("environment", func(t *testing.T) {
		for k, v := range env {
			t.Setenv(k, v)
		}
		check(t, LoadOptions{})
	})
}

func TestOtherFormats(t *testing.T) {
	dir := clean(t)
	for name, text := range map[string]string{
		"c.json": `{"capture": {"depth": 4, "max_bytes": 2048}, "trigger": {"exclude": ["a"]}}`,
		"c.toml": "[capture]\ndepth = 4\nmax_bytes = \"2KiB\"\n[trigger]\nexclude = [\"a\"]\n",
		"c.yml":  "capture.depth: 4\ncapture: {max_bytes: 2048}\ntrigger: {exclude: a}\n",
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _, err := Load(LoadOptions{File: write(t, filepath.Join(dir, name), text)})
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Capture.Depth != 4 || cfg.Capture.MaxBytes != 2048 || !reflect.DeepEqual(cfg.Trigger.Exclude, []string{"a"}) {
				t.Errorf("config = %+v", *cfg)
			}
		})
	}
}

func TestSearchOrder(t *testing.T) {
	dir := clean(t)
	depth := func(o LoadOptions) (int, string) {
		t.Helper()
		cfg, file, err := Load(o)
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Capture.Depth, file
	}
	expect := func(step string, o LoadOptions, wantDepth int, wantFile string) {
		t.Helper()
		if d, f := depth(o); d != wantDepth || f != wantFile {
			t.Errorf("%s: depth %d from %q, want %d from %q", step, d, f, wantDepth, wantFile)
		}
	}

	xdg := write(t, filepath.Join(dir, "xdg", "coredumpy", "config.yaml"), "capture: {depth: 1}")
	expect("XDG", LoadOptions{}, 1, xdg)
	write(t, filepath.Join(dir, "config.yaml"), "capture: {depth: 2}")
	expect("working directory", LoadOptions{}, 2, "config.yaml")
	env := write(t, filepath.Join(dir, "env.yaml"), "capture: {depth: 3}")
	t.Setenv(EnvFile, env)
	expect("$COREDUMPY_CONFIG", LoadOptions{}, 3, env)
	named := write(t, filepath.Join(dir, "named.yaml"), "capture: {depth: 4}")
	expect("named", LoadOptions{File: named}, 4, named)
	t.Setenv("COREDUMPY_CAPTURE_DEPTH", "5")
	expect("variable", LoadOptions{File: named}, 5, named)

	v := viper.New()
	v.Set("capture.depth", 6)
	v.Set("capture.max_frames", 7)
	expect("variable over viper", LoadOptions{Viper: v}, 5, "")
}

func TestHomeConfig(t *testing.T) {
	dir := clean(t)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", dir)
	path := write(t, filepath.Join(dir, ".config", "coredumpy", "config.yaml"), "capture: {depth: 1}")
	if _, file, err := Load(LoadOptions{}); err != nil || file != path {
		t.Errorf("file = %q, %v; want %q", file, err, path)
	}
}

func TestForeignConfigInWorkingDirectory(t *testing.T) {
	dir := clean(t)
	xdg := write(t, filepath.Join(dir, "xdg", "coredumpy", "config.yaml"), "capture: {depth: 1}")
	path := filepath.Join(dir, "config.yaml")

	write(t, path, "service: {name: shop, port: 80}\ndatabase: {url: x}\n")
	if cfg, file, err := Load(LoadOptions{}); err != nil || file != xdg || cfg.Capture.Depth != 1 {
		t.Errorf("a stranger's config.yaml: %+v from %q, %v; want it passed over", cfg, file, err)
	}
	write(t, path, "database: {url: x}\ncoredumpy: {capture: {depth: 2}}\n")
	if cfg, file, err := Load(LoadOptions{}); err != nil || file != "config.yaml" || cfg.Capture.Depth != 2 {
		t.Errorf("a shared config.yaml: %+v from %q, %v; want its section", cfg, file, err)
	}
	write(t, path, "database: {url: x}\ncapture: {dpeth: 2}\n")
	wantError(t, LoadOptions{}, "capture.dpeth", "config file config.yaml: capture.dpeth: unknown key (did you mean capture.depth?)")
	// Named, it is ours whatever is in it.
	other := write(t, filepath.Join(dir, "other.yaml"), "database: {url: x}\n")
	wantError(t, LoadOptions{File: other}, "database", "unknown key")
}

func wantError(t *testing.T, o LoadOptions, key, text string) *Error {
	t.Helper()
	cfg, _, err := Load(o)
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("Load = %+v, %v; want an *Error for %s", cfg, err, key)
		return &Error{}
	}
	if e.Key != key {
		t.Errorf("Key = %q, want %q (%v)", e.Key, key, err)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not say %q", err, text)
	}
	return e
}

func TestBadFiles(t *testing.T) {
	dir := clean(t)
	for _, tt := range []struct{ name, yaml, key, text string }{
		{"unknown section", "snk: {type: s3}", "snk", "unknown key (did you mean sink?)"},
		{"unknown section in a section", "sink: {s4: {bucket: b}}", "sink.s4", "unknown key (did you mean sink.s3?)"},
		{"unknown key", "sink: {s3: {buket: b}}", "sink.s3.buket", "unknown key (did you mean sink.s3.bucket?)"},
		{"wrong section", "sink: {bucket: b}", "sink.bucket", "unknown key (did you mean sink.s3.bucket?)"},
		{"far from everything", "sink: {qwertyuiop: b}", "sink.qwertyuiop", "unknown key"},
		{"unknown key without a value", "sink: {buket: }", "sink.buket", "unknown key"},
		{"section for a value", "service: {name: x}", "service", "want a value, have a section"},
		{"value for a section", "capture: 5", "capture", "want a section with keys, have 5"},
		{"list for a section", "sink: [s3]", "sink", "want a section with keys, have a list"},
		{"scalar section", "coredumpy: 5", "coredumpy", "want a section with keys, have 5"},
		{"unknown key in our section", "coredumpy: {servce: x}", "servce", "did you mean service?"},
		{"number", "capture: {depth: deep}", "capture.depth", `want a whole number, have "deep"`},
		{"fraction", "capture: {depth: 2.5}", "capture.depth", "want a whole number, have 2.5"},
		{"too small", "capture: {depth: 0}", "capture.depth", "want a number from 1 to 1000, have 0"},
		{"duration without unit", "capture: {pause: 50}", "capture.pause", "want a duration with its unit, like 50ms or 2s, have 50"},
		{"duration", "capture: {pause: soon}", "capture.pause", `have "soon"`},
		{"duration too long", "capture: {pause: 2h}", "capture.pause", "want a duration from 1ms to 1m, have 2h"},
		{"size", "capture: {max_bytes: 64 MB of it}", "capture.max_bytes", "want a size, like 64MiB"},
		{"size too small", "capture: {max_bytes: 1}", "capture.max_bytes", "want a size from 1KiB to 16GiB, have 1"},
		{"enum", "sink: {type: S3}", "sink.type", `want one of local, s3, have "S3"`},
		{"enum of goroutines", "capture: {goroutines: some}", "capture.goroutines", "want one of all, failing, none"},
		{"bool", "redact: {secrets: perhaps}", "redact.secrets", `want true or false, have "perhaps"`},
		{"text", "service: 2026", "service", "want text, have 2026; put it in quotes"},
		{"list for text", "service: [a]", "service", "want text, have a list"},
		{"list", "trigger: {exclude: {a: b}}", "trigger.exclude", "want a value, have a section"},
		{"entry", "trigger: {exclude: [a, 5]}", "trigger.exclude", "entry 2: want text, have 5"},
		{"empty entry", "trigger: {exclude: ['']}", "trigger.exclude", "entry 1: is empty"},
		{"pattern", "redact: {patterns: [ok, '(']}", "redact.patterns", `entry 2: "(" is not a regular expression`},
		{"endpoint", "sink: {s3: {endpoint: 'localhost:9000'}}", "sink.s3.endpoint", "not an absolute http or https URL"},
		{"endpoint with password", "sink: {s3: {endpoint: 'http://a:b@c'}}", "sink.s3.endpoint", "a user name or a password"},
		{"viewer", "link: {viewer_url: /dumps}", "link.viewer_url", "not an absolute http or https URL"},
		{"placeholder", "link: {viewer_url: 'https://x/{id}'}", "link.viewer_url", "unknown placeholder {id}"},
		{"open placeholder", "link: {viewer_url: 'https://x/{dump_id'}", "link.viewer_url", "a { without a }"},
		{"no bucket", "sink: {type: s3}", "sink.s3.bucket", "is empty, but sink.type is s3"},
		{"no folder", "sink: {local: {dir: ''}}", "sink.local.dir", "is empty, but sink.type is local"},
		{"timeout below pause", "capture: {pause: 1s, timeout: 500ms}", "capture.timeout", "500ms is shorter than capture.pause, 1s"},
		{"not YAML", "a: [", "", "cannot be parsed"},
		{"twice", "service: a\nservice: b\n", "", "already defined"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, filepath.Join(dir, "bad.yaml"), tt.yaml)
			e := wantError(t, LoadOptions{File: path}, tt.key, tt.text)
			if e.File != path || !strings.HasPrefix(e.Error(), "config file "+path+": ") {
				t.Errorf("error %q of file %q does not begin with the file", e, e.File)
			}
		})
	}
}

func TestBadVariables(t *testing.T) {
	dir := clean(t)
	path := write(t, filepath.Join(dir, "c.yaml"), "capture: {depth: 3}")
	t.Setenv("COREDUMPY_CAPTURE_DEPTH", "x")
	e := wantError(t, LoadOptions{File: path}, "capture.depth", `environment variable COREDUMPY_CAPTURE_DEPTH: capture.depth: want a whole number, have "x"`)
	if e.File != "" {
		t.Errorf("File = %q, but the variable is wrong", e.File)
	}
	t.Setenv("COREDUMPY_CAPTURE_DEPTH", "")
	t.Setenv("COREDUMPY_SINK_TYPE", "s3")
	wantError(t, LoadOptions{File: path}, "sink.s3.bucket", "is empty")
	t.Setenv("COREDUMPY_CAPTURE_TIMEOUT", "10ms")
	wantError(t, LoadOptions{}, "capture.timeout", "environment variable COREDUMPY_CAPTURE_TIMEOUT")
}

func TestMissingFiles(t *testing.T) {
	dir := clean(t)
	path := filepath.Join(dir, "none.yaml")
	e := wantError(t, LoadOptions{File: path}, "", "config file "+path+": no such file")
	if !errors.Is(e, fs.ErrNotExist) {
		t.Errorf("%v is no ErrNotExist", e)
	}
	t.Setenv(EnvFile, path)
	wantError(t, LoadOptions{}, "", "the path comes from COREDUMPY_CONFIG")
}

func TestApplicationsViper(t *testing.T) {
	clean(t)
	t.Run("nothing of ours", func(t *testing.T) {
		v := viper.New()
		v.Set("service.name", "shop")
		v.Set("database", "x")
		cfg, _, err := Load(LoadOptions{Viper: v})
		if err != nil || !reflect.DeepEqual(*cfg, Default()) {
			t.Errorf("config = %+v, %v; want the default", cfg, err)
		}
	})
	t.Run("precedence of the instance", func(t *testing.T) {
		v := viper.New()
		v.SetDefault("coredumpy.capture.depth", 1)
		v.SetDefault("coredumpy.capture.max_frames", 2)
		v.Set("coredumpy.capture.depth", 3)
		v.Set("coredumpy.capture.pause", 30*time.Millisecond)
		cfg, _, err := Load(LoadOptions{Viper: v})
		if err != nil {
			t.Fatal(err)
		}
		if c := cfg.Capture; c.Depth != 3 || c.MaxFrames != 2 || c.Pause != 30*time.Millisecond {
			t.Errorf("capture = %+v", c)
		}
	})
	t.Run("its automatic environment", func(t *testing.T) {
		v := viper.New()
		v.SetEnvPrefix("SHOP")
		v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
		v.AutomaticEnv()
		t.Setenv("SHOP_COREDUMPY_CAPTURE_DEPTH", "4")
		cfg, _, err := Load(LoadOptions{Viper: v})
		if err != nil || cfg.Capture.Depth != 4 {
			t.Errorf("config = %+v, %v", cfg, err)
		}
	})
	t.Run("unknown key", func(t *testing.T) {
		v := viper.New()
		v.Set("coredumpy.sink.tpye", "s3")
		wantError(t, LoadOptions{Viper: v}, "sink.tpye", "viper instance: sink.tpye: unknown key (did you mean sink.type?)")
	})
	t.Run("no file is looked for", func(t *testing.T) {
		write(t, "config.yaml", "capture: {depth: 9}")
		cfg, file, err := Load(LoadOptions{Viper: viper.New()})
		if err != nil || file != "" || cfg.Capture.Depth != 10 {
			t.Errorf("depth %d from %q, %v", cfg.Capture.Depth, file, err)
		}
	})
}

func TestStrayVariables(t *testing.T) {
	got := strayVariables([]string{
		"COREDUMPY_SINK_S3_BUKET=b", "COREDUMPY_SINK_S3_BUCKET=b", "COREDUMPY_CONFIG=x", "PATH=x",
		// What Kubernetes sets beside a service called coredumpy.
		"COREDUMPY_SERVICE_HOST=10.0.0.1", "COREDUMPY_SERVICE_PORT=80", "COREDUMPY_PORT=tcp://10.0.0.1:80",
		"COREDUMPY_PORT_80_TCP=tcp://10.0.0.1:80", "COREDUMPY_PORT_80_TCP_ADDR=10.0.0.1",
	})
	want := []string{"environment variable COREDUMPY_SINK_S3_BUKET is ignored (did you mean COREDUMPY_SINK_S3_BUCKET?)"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("warnings = %q, want %q", got, want)
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "5": 5, "5b": 5, "1KiB": 1024, "1kb": 1000, "64 MiB": 64 << 20, "1.5GB": 1.5e9, " 2tib ": 2 << 40,
	} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "x", "MiB", "-1", "1PB", "nan", "inf", "1e300GB", "1 2", "0x10"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", s, got)
		}
	}
	for n, want := range map[int64]string{0: "0", 5: "5", 1024: "1KiB", 1025: "1025", 64 << 20: "64MiB", 3 << 30: "3GiB"} {
		if got := FormatSize(n); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", n, got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("64MiB")
	f.Add("1e18tb")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("ParseSize(%q) = %d", s, n)
		}
		if m, err := ParseSize(FormatSize(n)); err != nil || m != n {
			// Above 2⁵³ a float no longer tells neighbours apart.
			if n < 1<<53 {
				t.Fatalf("ParseSize(FormatSize(%d)) = %d, %v", n, m, err)
			}
		}
	})
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"depth", "dpeth", 1}, {"bucket", "buket", 1}, {"kitten", "sitting", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
