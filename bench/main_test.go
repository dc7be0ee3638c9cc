package bench

import (
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugtest"
)

// A capture without debug info has nothing to do.
func TestMain(m *testing.M) { debugtest.Main(m) }
