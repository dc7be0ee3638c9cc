package otelcoredumpy_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/otelcoredumpy/otelcoredumpy"
	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// downSink is a store that is down.
type downSink struct{}

var errDown = errors.New("the bucket is down")

func (downSink) Put(context.Context, dump.Identity, sink.Source) error { return errDown }
func (downSink) URI(id dump.Identity) string                           { return "down:" + id.ID.String() }
func (downSink) Trace(context.Context, dump.TraceID) ([]sink.Entry, error) {
	return nil, errDown
}

func (downSink) List(context.Context, sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) { yield(sink.Entry{}, errDown) }
}
func (downSink) Open(context.Context, sink.Entry) (sink.Object, error) { return nil, errDown }
func (downSink) Delete(context.Context, sink.Entry) error              { return errDown }
func (downSink) String() string                                        { return "a store that is down" }

// A store that is down must not keep a service from ending.
func TestShutdownWhileTheStoreIsDown(t *testing.T) {
	t.Setenv("COREDUMPY_SPOOL_MODE", "on")
	t.Setenv("COREDUMPY_SPOOL_DIR", t.TempDir())
	t.Setenv("COREDUMPY_SPOOL_MIN_FREE", "0")
	t.Setenv("COREDUMPY_UPLOAD_ON_EXIT_TIMEOUT", "300ms")
	dumps, err := otelcoredumpy.Install(otelcoredumpy.WithSink(downSink{}), otelcoredumpy.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := dumps.Dump(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := dumps.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if st, ok := dumps.SpoolStats(); !ok || st.Items != 1 {
		t.Errorf("spool %+v, %t, want one dump", st, ok)
	}
	if ref.URI != "down:"+ref.ID.String() {
		t.Errorf("URI %q is not that of the destination", ref.URI)
	}
	ended := make(chan error, 2)
	go func() { ended <- dumps.Shutdown(context.Background()) }()
	go func() { ended <- dumps.Shutdown(context.Background()) }()
	for range 2 {
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "1 dump") {
				t.Errorf("Shutdown: %v, want it to say that a dump is left", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("Shutdown hangs")
		}
	}
}

// A configuration that is refused leaves nothing running.
func TestFailedInstallLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Setenv("COREDUMPY_SPOOL_MODE", "on")
	t.Setenv("COREDUMPY_SPOOL_DIR", t.TempDir())
	for key, value := range map[string]string{
		"COREDUMPY_ENCRYPT_RECIPIENTS": "age1nonsense",
		"COREDUMPY_TRIGGER_RULES":      "drop sometimes",
		"COREDUMPY_SINK_ALSO":          "file:///a,s3://",
	} {
		t.Run(key, func(t *testing.T) {
			t.Setenv(key, value)
			dumps, err := otelcoredumpy.Install(otelcoredumpy.WithService("x"))
			if err == nil {
				_ = dumps.Shutdown(context.Background())
				t.Fatalf("Install takes %s=%s", key, value)
			}
			name := strings.ToLower(strings.Replace(strings.TrimPrefix(key, "COREDUMPY_"), "_", ".", 1))
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%v names not %s", err, name)
			}
		})
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// An option goes over the configuration.
func TestWithDirIsTheOnlyStore(t *testing.T) {
	t.Setenv("COREDUMPY_SINK_URL", "s3://production/dumps?region=eu-1")
	t.Setenv("COREDUMPY_SINK_ALSO", "s3://production/more?region=eu-1")
	dir := filepath.Join(t.TempDir(), "dumps")
	dumps, err := otelcoredumpy.Install(otelcoredumpy.WithDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer dumps.Shutdown(context.Background())
	if got := dumps.Store(); got != "local folder "+dir {
		t.Errorf("dumps go to %s, want the folder %s", got, dir)
	}
}
