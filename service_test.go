package otelcoredumpy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/viper"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/otelcoredumpy/otelcoredumpy"
	"github.com/otelcoredumpy/otelcoredumpy/capture"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("DIES_IN"); dir != "" {
		die(dir)
	}
	// The repository's config.yaml must not decide about the tests.
	if dir, err := os.MkdirTemp("", "otelcoredumpy"); err == nil {
		_ = os.Chdir(dir)
		defer os.RemoveAll(dir)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"))
}

// service is a small HTTP service with tracing and dumps.
type service struct {
	t     *testing.T
	dumps *otelcoredumpy.Installed
	dir   string
	sink  sink.Sink
	spans *tracetest.InMemoryExporter
	tp    *sdktrace.TracerProvider
	told  chan otelcoredumpy.Ref
}

func newService(t *testing.T, opts ...otelcoredumpy.Option) *service {
	t.Helper()
	s := &service{t: t, dir: t.TempDir(), spans: tracetest.NewInMemoryExporter(), told: make(chan otelcoredumpy.Ref, 100)}
	opts = append([]otelcoredumpy.Option{
		otelcoredumpy.WithDir(s.dir), otelcoredumpy.WithService("shop"),
		otelcoredumpy.WithCapture(func(c *capture.Config) { c.Pause, c.Timeout = 5*time.Second, 20*time.Second }),
		otelcoredumpy.OnDump(func(ref otelcoredumpy.Ref, err error) {
			if err != nil {
				t.Errorf("dump %s: %v", ref.ID, err)
			}
			s.told <- ref
		}),
	}, opts...)
	var err error
	if s.dumps, err = otelcoredumpy.Install(opts...); err != nil {
		t.Fatal(err)
	}
	if s.sink, err = local.New(s.dir); err != nil {
		t.Fatal(err)
	}
	s.tp = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(s.dumps.SpanProcessor(sdktrace.NewBatchSpanProcessor(s.spans))))
	t.Cleanup(func() {
		if err := s.dumps.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		_ = s.tp.Shutdown(context.Background())
	})
	if err := s.dumps.Ready(context.Background()); err != nil {
		t.Logf("no debug info: %v", err)
	}
	return s
}

// flush waits for dumps and spans.
func (s *service) flush() tracetest.SpanStubs {
	s.t.Helper()
	if err := s.dumps.Flush(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	if err := s.tp.ForceFlush(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return s.spans.GetSpans()
}

// wantDumps opens the dumps of a trace, oldest first.
func (s *service) wantDumps(id trace.TraceID, n int) []*dump.Reader {
	s.t.Helper()
	s.flush()
	entries, err := s.sink.Trace(context.Background(), dump.TraceID(id))
	if err != nil {
		s.t.Fatal(err)
	}
	if len(entries) != n {
		s.t.Fatalf("trace %v has %d dumps, want %d (stats %+v)", id, len(entries), n, s.dumps.Stats())
	}
	var rs []*dump.Reader
	for _, e := range entries {
		o, err := s.sink.Open(context.Background(), e)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = o.Close() })
		r, err := dump.NewReader(o, o.Size())
		if err != nil {
			s.t.Fatal(err)
		}
		if err := r.Verify(); err != nil {
			s.t.Error(err)
		}
		rs = append(rs, r)
	}
	return rs
}

func attr(s tracetest.SpanStub, key attribute.Key) string {
	for _, kv := range s.Attributes {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

type order struct {
	ID    int
	Items []string
}

// price panics with an index out of range.
//
//go:noinline
func price(o *order, item int) int { return len(o.Items[item]) }

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
	mux.HandleFunc("/panic", func(w http.ResponseWriter, r *http.Request) {
		_, span := s.tp.Tracer("shop").Start(r.Context(), "price")
		defer span.End()
		o := &order{ID: 7, Items: []string{"pen"}}
		fmt.Fprint(w, price(o, 3))
	})
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/error", func(w http.ResponseWriter, r *http.Request) {
		ctx, span := s.tp.Tracer("shop").Start(r.Context(), "load")
		defer span.End()
		err := errors.New("no such order")
		otelcoredumpy.RecordError(ctx, err)
		span.SetStatus(codes.Error, "load: "+err.Error())
		http.Error(w, "sorry", http.StatusInternalServerError)
	})
	return mux
}

func TestHTTPService(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap func(s *service, h http.Handler) http.Handler
	}{
		{"middleware inside", func(s *service, h http.Handler) http.Handler {
			return otelhttp.NewHandler(otelcoredumpy.Middleware(h), "server", otelhttp.WithTracerProvider(s.tp))
		}},
		{"middleware outside", func(s *service, h http.Handler) http.Handler {
			return s.dumps.Middleware(otelhttp.NewHandler(h, "server", otelhttp.WithTracerProvider(s.tp)))
		}},
		{"no middleware", func(s *service, h http.Handler) http.Handler {
			return otelhttp.NewHandler(h, "server", otelhttp.WithTracerProvider(s.tp))
		}},
		{"timeout handler", func(s *service, h http.Handler) http.Handler {
			return otelhttp.NewHandler(http.TimeoutHandler(s.dumps.Middleware(h), time.Minute, ""), "server", otelhttp.WithTracerProvider(s.tp))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t)
			var log bytes.Buffer
			var logMu sync.Mutex
			srv := httptest.NewUnstartedServer(tt.wrap(s, s.handler()))
			srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(&lockedWriter{w: &log, mu: &logMu}, nil), slog.LevelError)
			srv.Start()
			defer srv.Close()

			get := func(path string) (int, string, error) {
				// Not a GET: the client would try that again by itself.
				resp, err := srv.Client().Post(srv.URL+path, "", nil)
				if err != nil {
					return 0, "", err
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				return resp.StatusCode, string(b), err
			}
			if code, body, err := get("/ok"); code != 200 || body != "fine" || err != nil {
				t.Errorf("/ok: %d %q %v", code, body, err)
			}
			if _, _, err := get("/panic"); !errors.Is(err, io.EOF) {
				t.Errorf("/panic: %v, want a closed connection", err)
			}
			if code, body, err := get("/error"); code != 500 || body != "sorry\n" || err != nil {
				t.Errorf("/error: %d %q %v", code, body, err)
			}
			if _, _, err := get("/abort"); !errors.Is(err, io.EOF) {
				t.Errorf("/abort: %v, want a closed connection", err)
			}

			spans := s.flush()
			var panicTrace, errorTrace trace.TraceID
			for _, sp := range spans {
				switch sp.Name {
				case "price":
					panicTrace = sp.SpanContext.TraceID()
				case "load":
					errorTrace = sp.SpanContext.TraceID()
				}
			}
			d := s.wantDumps(panicTrace, 1)[0]
			h := d.Header()
			if h.Trigger != dump.TriggerPanic || h.Service != "shop" || h.SpanName == "" || len(h.Reason) == 0 ||
				h.Reason[0].Message != "runtime error: index out of range [3] with length 1" {
				t.Errorf("header %+v", h)
			}
			if !strings.HasSuffix(h.Failing.Func, "otelcoredumpy_test.price") {
				t.Errorf("failing frame %+v", h.Failing)
			}
			e := s.wantDumps(errorTrace, 1)[0].Header()
			if e.Trigger != dump.TriggerErrorSpan || len(e.Reason) == 0 || e.Reason[0].Message != "no such order" {
				t.Errorf("header %+v", e)
			}
			marked := map[string]int{}
			for _, sp := range spans {
				switch id := attr(sp, "coredumpy.dump.id"); {
				case sp.Name == "coredumpy.dump":
				case id == h.ID.String():
					marked["panic"]++
					if sp.Status.Code != codes.Error {
						t.Errorf("span %s has status %+v", sp.Name, sp.Status)
					}
				case id == e.ID.String():
					marked["error"]++
				case id != "":
					t.Errorf("span %s carries dump %s", sp.Name, id)
				}
			}
			if marked["panic"] != 2 || marked["error"] != 2 {
				t.Errorf("marked spans: %v, want two each", marked)
			}
			if st := s.dumps.Stats(); st.Stored[dump.TriggerPanic] != 1 || st.Stored[dump.TriggerErrorSpan] != 1 || len(st.Lost) != 0 {
				t.Errorf("stats %+v", st)
			}
			srv.Close() // waits until all is logged
			logMu.Lock()
			defer logMu.Unlock()
			if !strings.Contains(log.String(), "index out of range [3]") || tt.name != "timeout handler" && !strings.Contains(log.String(), "otelcoredumpy_test.price") {
				t.Errorf("net/http logged %q", log.String())
			}
		})
	}
}

type lockedWriter struct {
	w  io.Writer
	mu *sync.Mutex
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// dieLocal is in the frame of a goroutine that dies.
//
//go:noinline
func dieLocal(o *order) int { return price(o, o.ID) }

// die is the process that TestDyingProcess starts.
func die(dir string) {
	file, err := os.Create(filepath.Join(dir, "spans"))
	if err != nil {
		panic(err)
	}
	dumps, err := otelcoredumpy.Install(otelcoredumpy.WithDir(dir),
		otelcoredumpy.WithCapture(func(c *capture.Config) { c.Timeout = 20 * time.Second }))
	if err != nil {
		panic(err)
	}
	_ = dumps.Ready(context.Background())
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(dumps.SpanProcessor(
		sdktrace.NewBatchSpanProcessor(&fileExporter{file}, sdktrace.WithBatchTimeout(time.Hour)))))
	ctx, span := tp.Tracer("dying").Start(context.Background(), "job")
	switch os.Getenv("DIES_BY") {
	case "go":
		span.End()
		otelcoredumpy.Go(ctx, func(context.Context) { dieLocal(&order{ID: 42}) })
	case "span":
		defer span.End()
		dieLocal(&order{ID: 42})
	case "recover":
		span.End()
		func() {
			defer otelcoredumpy.Recover(ctx)
			dieLocal(&order{ID: 42})
		}()
	}
	select {}
}

// fileExporter writes a line for each span.
type fileExporter struct{ f *os.File }

func (e *fileExporter) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		if _, err := fmt.Fprintln(e.f, s.Name(), s.SpanContext().TraceID()); err != nil {
			return err
		}
	}
	return e.f.Sync()
}
func (e *fileExporter) Shutdown(context.Context) error { return nil }

func TestDyingProcess(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{"go", "span", "recover"} {
		t.Run(by, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command(executable)
			cmd.Env = append(os.Environ(), "DIES_IN="+dir, "DIES_BY="+by, "GOTRACEBACK=single")
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 {
				t.Fatalf("the process ended with %v:\n%s", err, out)
			}
			// It died as it would have without us.
			for _, want := range []string{"panic: runtime error: index out of range [42] with length 0", "otelcoredumpy_test.dieLocal"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			spans, err := os.ReadFile(filepath.Join(dir, "spans"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(spans), "job ") || !strings.Contains(string(spans), "coredumpy.dump ") {
				t.Errorf("exported spans:\n%s", spans)
			}
			files, err := filepath.Glob(filepath.Join(dir, "v1", "traces", "*", "*.cdmp"))
			if err != nil || len(files) != 1 {
				t.Fatalf("dumps %v, %v", files, err)
			}
			r, err := dump.Open(files[0])
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if h := r.Header(); !strings.Contains(string(spans), "job "+h.TraceID.String()) || !strings.HasSuffix(h.Failing.Func, "otelcoredumpy_test.price") {
				t.Errorf("header %+v", h)
			}
		})
	}
}

func TestRecoveryInsideOfTheTracing(t *testing.T) {
	s := newService(t)
	recovery := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if recover() != nil {
					w.WriteHeader(http.StatusInternalServerError)
				}
			}()
			h.ServeHTTP(w, r)
		})
	}
	h := otelhttp.NewHandler(recovery(s.dumps.Middleware(s.handler())), "server", otelhttp.WithTracerProvider(s.tp))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/panic", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("answer %d", w.Code)
	}
	for _, sp := range s.flush() {
		if sp.Name == "server" {
			s.wantDumps(sp.SpanContext.TraceID(), 1)
			if attr(sp, "coredumpy.dump.trigger") != "panic" {
				t.Errorf("span server has %v", sp.Attributes)
			}
		}
	}
}

func TestStoreThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("COREDUMPY_LIMIT_WINDOW", "0s") // each request is to try it anew
	var log bytes.Buffer
	var mu sync.Mutex
	logged := make(chan struct{}, 10)
	dumps, err := otelcoredumpy.Install(
		otelcoredumpy.WithDir(filepath.Join(file, "dumps")),
		otelcoredumpy.WithLogger(slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			logged <- struct{}{}
			return log.Write(b)
		}), nil))),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer dumps.Shutdown(context.Background())
	srv := httptest.NewServer(dumps.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dumps.RecordError(r.Context(), errors.New("oops"))
		http.Error(w, "sorry", http.StatusTeapot)
	})))
	defer srv.Close()
	for range 3 {
		resp, err := srv.Client().Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusTeapot {
			t.Errorf("answer %d", resp.StatusCode)
		}
	}
	if err := dumps.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-logged
	mu.Lock()
	defer mu.Unlock()
	if st := dumps.Stats(); st.Lost["sink_failed"] != 3 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("stats %+v, log %q", st, log.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestBadConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("capture: {dpeth: 5}"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := viper.New()
	v.Set("coredumpy.sink.type", "ftp")
	for _, tt := range []struct {
		name, key string
		opt       otelcoredumpy.Option
	}{
		{"file", "capture.dpeth", otelcoredumpy.WithConfigFile(file)},
		{"viper", "sink.type", otelcoredumpy.WithViper(v)},
		{"option", "sink.local.dir", otelcoredumpy.WithDir("")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := otelcoredumpy.Default()
			dumps, err := otelcoredumpy.Install(tt.opt)
			var ce *config.Error
			if dumps != nil || !errors.As(err, &ce) || ce.Key != tt.key {
				t.Errorf("Install = %v, %v", dumps, err)
			}
			if otelcoredumpy.Default() != before {
				t.Error("a failed Install has changed the default")
			}
			exercise(t, dumps)
		})
	}
	if _, err := otelcoredumpy.Install(otelcoredumpy.WithCapture(func(c *capture.Config) { c.Goroutines = "some" })); err == nil {
		t.Error("an unknown scope is no error")
	}
}

// exercise checks that a nil *Installed does what the service would do without dumps.
func exercise(t *testing.T, dumps *otelcoredumpy.Installed) {
	t.Helper()
	ctx := context.Background()
	spans := tracetest.NewSpanRecorder()
	if dumps.SpanProcessor(spans) != sdktrace.SpanProcessor(spans) {
		t.Error("SpanProcessor is not the next one")
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(otelcoredumpy.SpanProcessor(spans)))
	defer tp.Shutdown(ctx)
	ctx, span := tp.Tracer("t").Start(ctx, "s")
	ctx = dumps.Watch(ctx, "a", 1)
	dumps.RecordError(ctx, errors.New("x"))
	dumps.RecordError(ctx, nil)
	span.End()
	if ended := spans.Ended(); len(ended) != 1 || len(ended[0].Events()) != 1 || len(ended[0].Attributes()) != 0 {
		t.Errorf("spans %v", ended)
	}
	w := httptest.NewRecorder()
	dumps.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) })).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != 299 {
		t.Errorf("answer %d", w.Code)
	}
	done := make(chan struct{})
	dumps.Go(ctx, func(context.Context) { close(done) })
	<-done
	func() {
		defer func() {
			if recover() != "x" {
				t.Error("the panic did not go on")
			}
		}()
		defer dumps.Recover(ctx)
		panic("x")
	}()
	if ref, err := dumps.Dump(ctx, otelcoredumpy.WithName("n")); err != nil || !ref.IsZero() {
		t.Errorf("Dump = %v, %v", ref, err)
	}
	if dumps.Flush(ctx) != nil || dumps.Shutdown(ctx) != nil || dumps.Ready(ctx) != nil || dumps.Stats().Pending != 0 || dumps.ConfigFile() != "" || dumps.Store() != "" {
		t.Error("a nil *Installed does something")
	}
}

func TestBeforeInstall(t *testing.T) {
	if otelcoredumpy.Default() != nil {
		t.Fatal("there is a default")
	}
	exercise(t, nil)
	ctx := context.Background()
	w := httptest.NewRecorder()
	h := otelcoredumpy.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := otelcoredumpy.Dump(r.Context()); err != nil {
			t.Error(err)
		}
		w.WriteHeader(299)
	}))
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != 299 {
		t.Errorf("answer %d", w.Code)
	}
	done := make(chan struct{})
	otelcoredumpy.Go(otelcoredumpy.Watch(ctx, "a", 1), func(context.Context) { close(done) })
	<-done
	func() {
		defer func() { _ = recover() }()
		defer otelcoredumpy.Recover(ctx)
		panic("x")
	}()
	otelcoredumpy.RecordError(ctx, errors.New("x"))
	if otelcoredumpy.Flush(ctx) != nil || otelcoredumpy.Shutdown(ctx) != nil {
		t.Error("errors without a default")
	}

	// The middleware made before sees what is installed later.
	s := newService(t)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if ref := <-s.told; ref.Trigger != dump.TriggerManual || !strings.HasPrefix(ref.URI, "file:///") {
		t.Errorf("ref %+v", ref)
	}
}

func TestInstallTwice(t *testing.T) {
	first := newService(t)
	second := newService(t)
	if otelcoredumpy.Default() != second.dumps {
		t.Error("the second is not the default")
	}
	// The first hands over: its processor, its methods.
	ctx, span := first.tp.Tracer("t").Start(context.Background(), "s")
	first.dumps.RecordError(ctx, errors.New("x"))
	span.SetStatus(codes.Error, "x")
	span.End()
	second.wantDumps(span.SpanContext().TraceID(), 1)
	first.wantDumps(span.SpanContext().TraceID(), 0)
	if err := first.dumps.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if otelcoredumpy.Default() != second.dumps {
		t.Error("shutting the first down has changed the default")
	}
	if err := otelcoredumpy.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if otelcoredumpy.Default() != nil {
		t.Error("there is a default after Shutdown")
	}
}

func TestOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("service: from-file\nsink: {local: {dir: nowhere}}\ncapture: {depth: 2}\nlink: {viewer_url: 'https://v'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("COREDUMPY_CAPTURE_DEPTH", "3")
	depth := 0
	s := newService(t, otelcoredumpy.WithConfigFile(file), nil,
		otelcoredumpy.WithCapture(func(c *capture.Config) { depth = c.Depth }),
		otelcoredumpy.WithRedactor(redact.RedactorFunc(func(t redact.Text) []redact.Finding {
			if i := strings.Index(t.Value, "order 7"); i >= 0 {
				return []redact.Finding{{Rule: "mine", Start: i, End: i + 7}}
			}
			return nil
		})),
	)
	if depth != 3 || s.dumps.ConfigFile() != file || !strings.Contains(s.dumps.Store(), s.dir) {
		t.Errorf("depth %d, file %q, store %q", depth, s.dumps.ConfigFile(), s.dumps.Store())
	}
	ctx, span := s.tp.Tracer("t").Start(context.Background(), "s")
	ref, err := s.dumps.Dump(ctx, otelcoredumpy.WithName("n"), otelcoredumpy.WithDescription("about order 7"), otelcoredumpy.WithDepth(1))
	if err != nil {
		t.Fatal(err)
	}
	span.End()
	if ref.Service != "shop" || ref.URL != "https://v/d/"+ref.ID.String() {
		t.Errorf("ref %+v", ref)
	}
	h := s.wantDumps(span.SpanContext().TraceID(), 1)[0].Header()
	if h.Name != "n" || !strings.HasPrefix(h.Description, "about ‹redacted:mine:") {
		t.Errorf("header %+v", h)
	}
}

func TestWithSink(t *testing.T) {
	t.Setenv("COREDUMPY_SINK_TYPE", "s3") // without a bucket, but not used either
	other, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dumps, err := otelcoredumpy.Install(otelcoredumpy.WithDir("ignored"), otelcoredumpy.WithSink(other))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := dumps.Dump(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := dumps.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if entries, err := other.Trace(context.Background(), dump.TraceID{}); err != nil || len(entries) != 1 || entries[0].ID != ref.ID {
		t.Errorf("stored %v, %v", entries, err)
	}
}

func TestWarningAboutStrayVariables(t *testing.T) {
	t.Setenv("COREDUMPY_SINK_TIPE", "s3")
	var got error
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { got = err }))
	newService(t)
	if got == nil || !strings.Contains(got.Error(), "COREDUMPY_SINK_TYPE") {
		t.Errorf("reported %v", got)
	}
}

func TestInstallWhileServing(t *testing.T) {
	h := otelcoredumpy.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		otelcoredumpy.RecordError(r.Context(), errors.New("x"))
		_, _ = otelcoredumpy.Dump(r.Context())
	}))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
				}
			}
		})
	}
	for range 5 {
		dumps, err := otelcoredumpy.Install(otelcoredumpy.WithDir(t.TempDir()))
		if err != nil {
			t.Error(err)
		}
		if err := dumps.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestHealthyRequestsCostNoAllocation(t *testing.T) {
	s := newService(t)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	h := s.dumps.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if n := testing.AllocsPerRun(1000, func() { h.ServeHTTP(nil, r) }); n != 0 {
		t.Errorf("Installed.Middleware allocates %v times", n)
	}
	h = otelcoredumpy.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if n := testing.AllocsPerRun(1000, func() { h.ServeHTTP(nil, r) }); n != 0 {
		t.Errorf("Middleware allocates %v times", n)
	}
}

func BenchmarkHealthyRequest(b *testing.B) {
	dumps, err := otelcoredumpy.Install(otelcoredumpy.WithDir(b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	defer dumps.Shutdown(context.Background())
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	h := dumps.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(nil, r)
	}
}
