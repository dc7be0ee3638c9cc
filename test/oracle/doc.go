// Package oracle holds the engine against Delve, which reads the same process at the same moment, and
// against the truth: what programs of the corpus are known to hold. See docs/internals.md.
//
// It is a module of its own so that Delve never reaches users.
package oracle
