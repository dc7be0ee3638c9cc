package corpus

import "github.com/otelcoredumpy/otelcoredumpy/test/oracle/internal/random"

func init() { random.Register(register) }
