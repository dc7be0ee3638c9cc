package verdict

import "strings"

// Result is what came out of one fixture.
type Result struct {
	Fixture string
	Delve   Tally // ours held against Delve's
	// Truth and DelveTruth are the two held against what is known to be true.
	Truth, DelveTruth *Tally `json:",omitempty"`
}

// Tally is the outcome of a comparison.
type Tally struct {
	Frames, Vars, Values int
	Diffs                []Diff
	Agreed               []string
}

// Tally returns what the comparison has counted.
func (c *Comparison) Tally() Tally { return Tally{c.Frames, c.Vars, c.Values, c.Diffs, c.Agreed} }

// Judge holds an account against the truth, which comes from another build of the
// same program. The runtime's own frames are left out: it is always built with optimisation.
func Judge(fixture string, account, truth []Frame) *Tally {
	c := Comparison{Fixture: fixture}
	c.Stacks(own(account), own(truth))
	t := c.Tally()
	return &t
}

func own(frames []Frame) []Frame {
	var out []Frame
	for _, f := range frames {
		if !strings.HasPrefix(f.Func, "runtime.") {
			out = append(out, f)
		}
	}
	return out
}
