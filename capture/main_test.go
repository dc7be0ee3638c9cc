package capture

import (
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugtest"
)

func TestMain(m *testing.M) { debugtest.Main(m) }
