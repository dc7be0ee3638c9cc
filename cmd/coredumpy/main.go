// Command coredumpy finds, shows and opens the dumps that otelcoredumpy made of
// failures. Run "coredumpy help" for its commands, or see docs/cli.
package main

import (
	"os"

	"github.com/otelcoredumpy/otelcoredumpy/internal/cli"
)

func main() { os.Exit(cli.Main()) }
