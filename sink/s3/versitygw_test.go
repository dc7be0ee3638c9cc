package s3_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink/sinktest"
)

// versitygw starts a real S3 server as a process of its own, on a folder of the
// test's. It is the binary that COREDUMPY_VERSITYGW names, or the one in PATH;
// without one the test is skipped.
func versitygw(t testing.TB) *store {
	t.Helper()
	binary := os.Getenv("COREDUMPY_VERSITYGW")
	if binary == "" {
		found, err := exec.LookPath("versitygw")
		if err != nil {
			t.Skip("no real S3 server: versitygw is not in PATH and COREDUMPY_VERSITYGW does not name it; " +
				"install it with: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
		}
		binary = found
	}
	// Between the choice of a port and the server's use of it somebody else
	// can take it.
	const attempts = 5
	for n := 1; ; n++ {
		endpoint, err := startVersitygw(t, binary)
		if err == nil {
			return newStore(t, endpoint)
		}
		if n == attempts {
			t.Fatalf("versitygw does not start: %v", err)
		}
	}
}

func startVersitygw(t testing.TB, binary string) (endpoint string, err error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr := free.Addr().String()
	free.Close()

	var output bytes.Buffer
	// The sidecar keeps metadata where the file system has no extended
	// attributes.
	cmd := exec.Command(binary, "--port", addr, "--quiet", "posix", "--sidecar", t.TempDir(), t.TempDir())
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		// Its own shutdown waits for idle connections, and nothing here is
		// worth saving.
		_ = cmd.Process.Signal(syscall.SIGKILL)
		<-ended
	}
	endpoint = "http://" + addr
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	timeout := time.After(30 * time.Second)
	for {
		resp, err := http.Get(endpoint)
		if err == nil {
			resp.Body.Close()
			t.Cleanup(stop)
			return endpoint, nil
		}
		select {
		case <-retry.C:
		case err := <-ended:
			ended <- err
			return "", fmt.Errorf("it ended with %v: %s", err, output.String())
		case <-timeout:
			stop()
			return "", fmt.Errorf("no answer: %v: %s", err, output.String())
		}
	}
}

func TestConformanceVersitygw(t *testing.T) {
	// It removes folders that became empty and now and then answers 500 to who
	// is about to put something there. A second attempt helps.
	t.Setenv("AWS_MAX_ATTEMPTS", "10")
	server := versitygw(t)
	buckets := 0
	start := func(t *testing.T) (*store, string) {
		buckets++
		name := fmt.Sprintf("dumps-%d", buckets)
		server.createBucket(t, name)
		return server, name
	}
	for _, prefix := range []string{"", "team a/prod+x%41"} {
		t.Run("prefix="+prefix, func(t *testing.T) { sinktest.Run(t, harness(start, prefix)) })
	}
}
