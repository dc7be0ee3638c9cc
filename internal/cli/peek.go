package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

type peekFlags struct {
	where     where
	keys      *keys
	format    outputFormat
	allFrames bool
	verbose   bool
	full      bool
	// told are the dumps whose damage was already reported, by fetch.
	told map[string]bool
}

func newPeek(std *stdio) *cobra.Command {
	var f peekFlags
	cmd := &cobra.Command{
		Use:   "peek FILE|DIR|ADDRESS|ID...",
		Short: "Show what failed, where, and with which values",
		Long: `Show of each dump what failed (the panic value or the error with the errors it
wraps), where, in which service, trace and span, the frames of the program's own
functions with their arguments and variables, and what is missing and why.

` + helpTargets + `
A folder stands for all dumps below it, newest first; - stands for stdin.

Only the header, the failing goroutine and the few objects that are shown are read,
however large a dump is. Of a dump in a bucket no more than its first 64 KiB are
read, with one request; --full reads also what lies behind.

In JSON each dump is an object with the header's fields and "file", "size",
"damage" ("" for a good dump), "values" (panic value, recorded error, what the
program watches) and "frames": those of the failing goroutine, from the failing
frame of the program outwards, each with "vars". The "value" of a variable is what
"print" in "coredumpy load" prints, on one line; its "state" is live, recovered,
dead, or the reason why there is no value. "partial" says that only the first
64 KiB were read, "sealed" that the dump is encrypted and was not opened.

Of an encrypted dump the searchable part of the header is shown, unless --identity
opens it. A dump that is damaged is shown as far as it can be read; the exit code
is 4 then.`,
		Example: `  coredumpy peek 0190163d-8694-739b-aea5-966c26f8ad91.cdmp
  coredumpy peek 0190163d-8694-739b-aea5-966c26f8ad91
  coredumpy peek s3://dumps/v1/traces/4bf92f3577b34da6a3ce929d0e0e4736/0190163d-8694-739b-aea5-966c26f8ad91.cdmp
  coredumpy peek --format json ./dumps | jq -r '.[].frames[0].func'`,
		Args: needArgs(1, -1, "a dump file or a folder with dumps"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return peek(cmd.Context(), std, &f, args)
		},
		ValidArgsFunction: completeDumps(-1),
	}
	f.where.addFlags(cmd)
	f.keys = newKeys(cmd, std, &f.where)
	addFormat(cmd, &f.format)
	cmd.Flags().BoolVar(&f.allFrames, "all-frames", false, "show all frames of the goroutine from the innermost, also of the runtime and libraries")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "show also budgets that were not hit, resource attributes and whole values")
	cmd.Flags().BoolVar(&f.full, "full", false, "of a dump in a bucket read also what lies behind the first 64 KiB")
	return cmd
}

// peekJSON is a dump in the JSON of peek.
type peekJSON struct {
	headerJSON
	File    string      `json:"file"`
	Size    int64       `json:"size"`
	Damage  string      `json:"damage"`
	Partial bool        `json:"partial"`
	Sealed  bool        `json:"sealed"`
	Values  []varJSON   `json:"values"`
	Frames  []frameJSON `json:"frames"`
	Others  []otherJSON `json:"others,omitempty"`
}

// otherJSON is goroutines that do the same.
type otherJSON struct {
	Count      int           `json:"count"`
	ID         int64         `json:"id"` // of one of them
	Status     string        `json:"status"`
	WaitReason string        `json:"wait_reason"`
	At         *locationJSON `json:"at"`
	CreatedBy  *locationJSON `json:"created_by"`
	Longest    int64         `json:"longest_ns"`
}

type frameJSON struct {
	Func    string        `json:"func"`
	File    string        `json:"file"`
	Line    int           `json:"line"`
	Inlined bool          `json:"inlined"`
	User    bool          `json:"user"`
	Index   int           `json:"index"` // as "frame" in coredumpy load counts
	Vars    []varJSON     `json:"vars"`
	Missing []missingJSON `json:"missing"`
}

type varJSON struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Type  string `json:"type"`
	Value string `json:"value"`
	State string `json:"state"`
}

// peek shows the dumps that the arguments mean, one after the other.
func peek(ctx context.Context, std *stdio, f *peekFlags, args []string) error {
	return peekTargets(ctx, std, f, newFinder(std, &f.where).each(ctx, args))
}

// peekTargets shows dumps. An error in the sequence is about one of them. Several
// are read at a time, because reading one is waiting, and shown in their order.
func peekTargets(ctx context.Context, std *stdio, f *peekFlags, targets iter.Seq2[target, error]) error {
	failures := &failures{std: std}
	var out *jsonArray
	if f.format == formatJSON {
		out = newJSONArray(std.out)
	}
	type argument struct {
		t   target
		err error
	}
	arguments := func(yield func(argument, error) bool) {
		for t, err := range targets {
			if !yield(argument{t, err}, nil) {
				return
			}
		}
	}
	show := func(ctx context.Context, a argument) shownDump {
		if a.err != nil {
			return shownDump{err: a.err}
		}
		return showTarget(ctx, std, &a.t, f)
	}
	shown := 0
	for d, err := range inOrder(ctx, width, arguments, show) {
		if err != nil {
			return err
		}
		if out != nil && d.json != nil {
			d.err = errors.Join(d.err, out.add(d.json))
		} else if d.text != nil {
			if shown > 0 {
				fmt.Fprintln(std.out)
			}
			shown++
			if _, err := std.out.Write(d.text); err != nil {
				return err
			}
		}
		failures.add(d.err)
		if d.damage != nil && !f.told[d.name] {
			failures.add(damageError(d.name, d.damage))
		} else if d.damage != nil {
			failures.code = max(failures.code, exitDamaged)
		}
	}
	if out != nil {
		if err := out.close(); err != nil {
			return err
		}
	}
	return failures.err()
}

// shownDump is what is printed of a dump.
type shownDump struct {
	name   string
	text   []byte    // nil if nothing can be read
	json   *peekJSON // nil for text
	damage error
	err    error
}

// showTarget opens, shows and closes a dump.
func showTarget(ctx context.Context, std *stdio, t *target, f *peekFlags) shownDump {
	p, err := peekTarget(ctx, t, f)
	if p == nil {
		return shownDump{err: err}
	}
	d := shownDump{name: t.name, damage: p.damage}
	if f.format == formatJSON {
		j := p.json(f)
		d.json = &j
	} else if p.session != nil {
		var text bytes.Buffer
		own := *std
		own.out = &text
		err = errors.Join(err, p.print(&own, f))
		d.text = text.Bytes()
	}
	d.err = errors.Join(err, p.close())
	return d
}

// peeked is one dump that is being shown.
type peeked struct {
	file    string
	size    int64
	session *debugger.Session // nil if nothing can be read
	damage  error
	partial bool // behind the first headSize bytes nothing was read
	sealed  bool // encrypted, and not opened
	closer  io.Closer
}

// peekTarget opens a dump. It returns nil if there is nothing to show; an error
// beside a dump is about what could not be shown. Damage is no error here.
func peekTarget(ctx context.Context, t *target, f *peekFlags) (*peeked, error) {
	c, err := openContent(ctx, t, f.keys, !f.full)
	if c == nil {
		return nil, err
	}
	if c.Reader == nil && !isDamage(err) {
		return nil, errors.Join(openError(t.name, err), c.Close())
	}
	p := newPeeked(c)
	switch {
	case isDamage(err):
		p.damage = err
	case err != nil:
		return p, openError(t.name, err)
	}
	return p, nil
}

// newPeeked makes an open dump ready to be shown.
func newPeeked(c *content) *peeked {
	p := &peeked{file: c.name, size: c.object.Size(), partial: c.partial, sealed: c.sealed, closer: c}
	if c.Reader == nil {
		return p
	}
	session, err := debugger.New(c.Reader)
	if err != nil {
		p.damage = err // there is no such case
		return p
	}
	p.session, p.damage = session, session.Problem()
	if c.partial {
		p.damage = c.damage() // what lies behind is not missing
	}
	return p
}

func (p *peeked) close() error { return p.closer.Close() }

// json converts the dump.
func (p *peeked) json(f *peekFlags) peekJSON {
	j := peekJSON{File: p.file, Size: p.size, Partial: p.partial, Sealed: p.sealed, Values: []varJSON{}, Frames: []frameJSON{}}
	if p.damage != nil {
		j.Damage = p.damage.Error()
	}
	if p.session == nil {
		j.headerJSON = newHeaderJSON(&dump.Header{})
		return j
	}
	j.headerJSON = newHeaderJSON(p.session.Header())
	home := p.session.Home()
	if home.Goroutine() == nil {
		return j
	}
	j.Missing = append(j.Missing, newMissingJSON(home.Goroutine().Missing)...)
	for _, o := range home.Goroutine().Others {
		j.Others = append(j.Others, otherJSON{
			Count: o.Count, ID: o.ID, Status: o.Status, WaitReason: o.WaitReason, At: newLocationJSON(o.At), CreatedBy: newLocationJSON(o.CreatedBy),
			Longest: int64(o.Longest),
		})
	}
	j.Values = p.varsJSON(home.Watches(), home.Goroutine().Values)
	for i, frame := range home.Frames() {
		if i < home.FrameIndex() && !f.allFrames {
			continue
		}
		sc, err := home.AtFrame(i)
		if err != nil {
			continue // there is no such case
		}
		j.Frames = append(j.Frames, frameJSON{
			Func: frame.Func, File: frame.File, Line: frame.Line, Inlined: frame.Inlined, User: frame.User, Index: i,
			Vars: p.varsJSON(sc.Variables(), frame.Vars), Missing: newMissingJSON(frame.Missing),
		})
	}
	return j
}

// text is the text of a value. What lies behind the part that was read is not
// damaged, as it must seem to whoever prints it.
func (p *peeked) text(value string) string {
	if !p.partial {
		return value
	}
	return behind.ReplaceAllString(value, "not read")
}

// behind matches what the printing of values says of an object that the file
// ends before.
var behind = regexp.MustCompile(`unreadable: ` + regexp.QuoteMeta(dump.ErrTruncated.Error()) + ` at byte \d+: [^()]*? are missing`)

// varsJSON converts variables; raw are the same ones as the dump has them.
func (p *peeked) varsJSON(vars []debugger.Variable, raw []dump.Variable) []varJSON {
	out := make([]varJSON, 0, len(vars))
	for i, v := range vars {
		out = append(out, varJSON{
			Name: raw[i].Name, Kind: v.Kind.String(), Type: v.Value.TypeName(), Value: p.text(v.Value.String()), State: raw[i].StateName(),
		})
	}
	return out
}
