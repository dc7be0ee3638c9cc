package route_test

import (
	"fmt"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/local"
	"github.com/otelcoredumpy/otelcoredumpy/sink/route"
)

// Dumps of tests go to a folder of their own, all others to a store with a copy,
// and with a second choice.
func Example() {
	folder := func(dir string) sink.Sink {
		s, err := local.New(dir)
		if err != nil {
			panic(err)
		}
		return s
	}
	s := route.Fanout(folder("/dumps"), folder("/archive"))
	s = route.Fallback(s, folder("/spare"), time.Minute)
	s = route.ByTrigger(s, map[dump.Trigger]sink.Sink{dump.TriggerTest: folder("/tests")})
	fmt.Println("dumps go to", s)
}
