// Package random stands for programs that package gen makes: the test puts them in the place of this
// file when it builds the subject.
package random

// Register adds the programs to a corpus.
func Register(add func(name string, run func())) {}
