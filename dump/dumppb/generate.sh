#!/bin/sh
# Generates dump.pb.go from dump.proto. Needs protoc (Debian's
# protobuf-compiler will do) and Go; the Go plugin is pinned here and built
# into a temporary folder, so that nothing on PATH decides what comes out.
set -eu
cd "$(dirname "$0")"
command -v protoc >/dev/null || {
	echo "generate.sh: protoc is not installed (Debian: apt-get install protobuf-compiler)" >&2
	exit 1
}
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN="$bin" go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
protoc --plugin=protoc-gen-go="$bin/protoc-gen-go" --go_out=. --go_opt=paths=source_relative dump.proto
# The version of protoc is of no consequence to the output; naming it would make
# the file differ from machine to machine.
sed -i '/^\/\/ 	protoc  /d' dump.pb.go
