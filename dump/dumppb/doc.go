// Package dumppb is the schema of the messages in a .cdmp file, dump.proto, and
// the code that protoc makes of it.
//
// Package dump does not use that code: it reads and writes the same bytes by
// hand, which is several times faster. The generated code is for tests, where it
// is the oracle, and for tools that would rather have messages than a Reader.
package dumppb

//go:generate ./generate.sh
