package corpus

import "github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/corpus/withc"

func init() { register("cgo", func() { withc.Fail(&never, &sink) }) }
