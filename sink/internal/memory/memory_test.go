package memory_test

import (
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/memory"
	"github.com/otelcoredumpy/otelcoredumpy/sink/sinktest"
)

func TestConformance(t *testing.T) {
	for _, noSizes := range []bool{false, true} {
		sinktest.Run(t, sinktest.Harness{
			New: func(*testing.T) sink.Sink {
				s := memory.New("x")
				s.NoSizes = noSizes
				return s
			},
			Keys: func(_ *testing.T, s sink.Sink) []string { return s.(*memory.Sink).Keys() },
		})
	}
}
