//go:build !unix

package bench

import "time"

var started = time.Now()

// cpu returns how long this process has run, where it cannot tell how much
// processor time that took.
func cpu() time.Duration { return time.Since(started) }
