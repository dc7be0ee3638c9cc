// Command yq is the real one with a format of our own, whose decoder fails in the middle of a
// file, and with otelcoredumpy: the first argument is the folder for dumps, the others are yq's. Nobody recovers from the panic.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mikefarah/yq/v4/cmd"
	"github.com/mikefarah/yq/v4/pkg/yqlib"
	"go.opentelemetry.io/otel"

	"github.com/otelcoredumpy/otelcoredumpy/test/strangers/harness"
)

// lines is a format in which each line is a document, "name: amount".
type lines struct {
	in   *bufio.Scanner
	read int
}

func (d *lines) Init(r io.Reader) error {
	d.in = bufio.NewScanner(r)
	return nil
}

func (d *lines) Decode() (*yqlib.CandidateNode, error) {
	if !d.in.Scan() {
		return nil, io.EOF
	}
	text := d.in.Text()
	d.read++
	fields := strings.Split(text, ": ")
	name, amount := fields[0], fields[1] // FAIL: a line without a colon
	node := &yqlib.CandidateNode{Kind: yqlib.MappingNode, Tag: "!!map"}
	node.AddKeyValueChild(&yqlib.CandidateNode{Kind: yqlib.ScalarNode, Tag: "!!str", Value: name}, &yqlib.CandidateNode{Kind: yqlib.ScalarNode, Tag: "!!int", Value: amount})
	return node, nil
}

func run(ctx context.Context, args []string) error {
	ctx, span := otel.Tracer("yq").Start(ctx, "yq "+strings.Join(args, " "))
	defer span.End()
	fmt.Println(harness.TraceID(ctx))
	root := cmd.New()
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

func main() {
	dumps, err := harness.Install("yq")
	harness.Exit(err)
	ctx := context.Background()
	harness.Exit(dumps.Ready(ctx))
	yqlib.Formats = append(yqlib.Formats, &yqlib.Format{FormalName: "lines", DecoderFactory: func() yqlib.Decoder { return &lines{} }})
	err = run(ctx, os.Args[2:])
	_ = dumps.Shutdown(ctx)
	harness.Exit(err)
}
