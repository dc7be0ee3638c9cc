// Package bubble tells whether code runs in a bubble of package testing/synctest.
//
// The tests of a service may fail in one while otelcoredumpy was installed outside.
// The runtime ends the program when a channel or a timer that was made in a bubble is
// used outside of it, so what both sides use must not be made there, nor kept
// for others.
package bubble

import "time"

// Here reports whether the calling goroutine is in a bubble: time.Now has no
// monotonic reading there (runtime.time_runtimeNow, Go 1.26).
func Here() bool {
	t := time.Now()
	return t == t.Round(0)
}
