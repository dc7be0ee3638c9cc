package exporter

import (
	"encoding/binary"
	"math/rand/v2"
)

// sampled reports whether f is among the failures that may get a dump, by
// Config.Sample. All failures of a trace agree, in all services that are
// configured alike, because the trace ID decides. It is hashed first: a sampler
// like the SDK's TraceIDRatioBased looks at the ID itself, and the traces that
// it lets through would else be just those that we keep.
func (e *Exporter) sampled(f *failure) bool {
	fraction, ok := e.cfg.Sample[f.trigger]
	switch {
	case !ok || fraction >= 1:
		return true
	case !(fraction > 0):
		return false
	case f.trace.IsZero():
		return rand.Float64() < fraction
	}
	h := mix(binary.BigEndian.Uint64(f.trace[:8]) ^ mix(binary.BigEndian.Uint64(f.trace[8:])))
	return float64(h>>11)/(1<<53) < fraction
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014). It must stay
// as it is, or services with different versions disagree.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
