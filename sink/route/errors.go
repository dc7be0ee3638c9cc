package route

import (
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// failure is what one store said.
type failure struct {
	store sink.Sink
	err   error
}

// joined is what several stores said, as one error.
type joined struct {
	text string
	errs []error
}

func (j *joined) Error() string   { return j.text }
func (j *joined) Unwrap() []error { return j.errs }

// join makes one error of several, nil of none. stored are those stores that have
// done what the others failed to do.
func join(failures []failure, stored []sink.Sink) error {
	if len(failures) == 0 {
		return nil
	}
	var texts []string
	var all, passing []error
	for _, f := range failures {
		text := f.err.Error()
		if name := f.store.String(); !strings.Contains(text, name) {
			text = name + ": " + text
		}
		texts = append(texts, text)
		all = append(all, f.err)
		if !sink.IsPermanent(f.err) {
			passing = append(passing, f.err)
		}
	}
	j := &joined{text: strings.Join(texts, "; "), errs: all}
	if len(passing) > 0 {
		// One of them may succeed the next time, so as a whole this is not
		// permanent, and nobody may find in it that it is.
		j.errs = passing
	}
	if len(stored) > 0 {
		var names []string
		for _, s := range stored {
			names = append(names, s.String())
		}
		j.text += " (it is stored in " + strings.Join(names, ", ") + ")"
	}
	return sink.WithRetryAfter(j, sink.RetryAfter(&joined{errs: all}))
}
