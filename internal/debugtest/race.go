//go:build race

package debugtest

const raceEnabled = true
