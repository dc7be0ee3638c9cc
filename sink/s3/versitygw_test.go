package s3_test

import (
	"fmt"
	"testing"

	gateway "github.com/otelcoredumpy/otelcoredumpy/internal/versitygw"
	"github.com/otelcoredumpy/otelcoredumpy/sink/sinktest"
)

// versitygw starts a real S3 server.
func versitygw(t testing.TB) *store {
	t.Helper()
	return newStore(t, gateway.Start(t).Endpoint)
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
