// Package e2e holds the end-to-end tests: they build the checkout example with
// different compiler and linker flags, let it fail, and hold its dumps and
// spans against what is known to be true.
//
// What each variable of the shop holds when it fails stands in truth_test.go,
// written by hand. Which variables the compiler left readable is taken from the
// binary's debug information by a small reader of its own (oracle_test.go),
// which shares no code with package capture.
//
// With -short only the default build is tested.
package e2e
