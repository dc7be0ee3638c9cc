package s3

import "time"

// SetParts makes parts smaller than New allows, for stores that do not mind.
func SetParts(s *Sink, threshold, size int64) {
	s.cfg.MultipartThreshold, s.cfg.PartSize = threshold, size
}

// SetStall sets how long a body may give nothing.
func SetStall(s *Sink, d time.Duration) { s.stall = d }

// SetLateWait sets how long a Put waits for its parts to be taken away after its
// context has ended.
func SetLateWait(s *Sink, d time.Duration) { s.lateWait = d }

// PartSize is the size of parts of an object.
func PartSize(want, size int64) int64 { return partSize(want, size) }

// Config returns the configuration with its defaults.
func (s *Sink) Config() Config { return s.cfg }
