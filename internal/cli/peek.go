package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

type peekFlags struct {
	format    outputFormat
	allFrames bool
	verbose   bool
	// told are the files whose damage was already reported, by fetch.
	told map[string]bool
}

func newPeek(std *stdio) *cobra.Command {
	var f peekFlags
	cmd := &cobra.Command{
		Use:   "peek FILE|DIR...",
		Short: "Show what failed, where, and with which values",
		Long: `Show of each dump what failed (the panic value or the error with the errors it
wraps), where, in which service, trace and span, the frames of the program's own
functions with their arguments and variables, and what is missing and why.

A folder stands for all dumps below it, newest first. Only the header, the failing
goroutine and the few objects that are shown are read, however large a dump is.

In JSON each dump is an object with the header's fields and "file", "size",
"damage" ("" for a good dump), "values" (panic value, recorded error, what the
program watches) and "frames": those of the failing goroutine, from the failing
frame of the program outwards, each with "vars". The "value" of a variable is what
"print" in "coredumpy load" prints, on one line; its "state" is live, recovered,
dead, or the reason why there is no value.

A dump that is damaged is shown as far as it can be read; the exit code is 4 then.`,
		Example: `  coredumpy peek 0190163d-8694-739b-aea5-966c26f8ad91.cdmp
  coredumpy peek --format json ./dumps | jq -r '.[].frames[0].func'`,
		Args: needArgs(1, -1, "a dump file or a folder with dumps"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return peek(cmd.Context(), std, &f, args)
		},
		ValidArgsFunction: completeDumps(-1),
	}
	addFormat(cmd, &f.format)
	cmd.Flags().BoolVar(&f.allFrames, "all-frames", false, "show all frames of the goroutine from the innermost, also of the runtime and libraries")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "show also budgets that were not hit, resource attributes and whole values")
	return cmd
}

// peekJSON is a dump in the JSON of peek.
type peekJSON struct {
	headerJSON
	File   string      `json:"file"`
	Size   int64       `json:"size"`
	Damage string      `json:"damage"`
	Values []varJSON   `json:"values"`
	Frames []frameJSON `json:"frames"`
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

// peek shows the dumps at the paths, one after the other.
func peek(ctx context.Context, std *stdio, f *peekFlags, paths []string) error {
	failures := &failures{std: std}
	out := []peekJSON{}
	shown := 0
	for path, err := range eachPath(ctx, paths) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failures.add(err)
			continue
		}
		p, err := peekFile(path)
		if err != nil && !isDamage(err) {
			failures.add(err)
			continue
		}
		if f.format == formatJSON {
			out = append(out, p.json(f))
		} else if p.session != nil {
			if shown > 0 {
				fmt.Fprintln(std.out)
			}
			shown++
			if err := p.print(std, f); err != nil {
				return errors.Join(err, p.close())
			}
		}
		if p.damage != nil && !f.told[path] {
			failures.add(damageError(path, p.damage))
		} else if p.damage != nil {
			failures.code = max(failures.code, exitDamaged)
		}
		if err := p.close(); err != nil {
			failures.add(err)
		}
	}
	if f.format == formatJSON {
		if err := writeJSON(std.out, out); err != nil {
			return err
		}
	}
	return failures.err()
}

// eachPath goes through the files that the arguments mean. An error is about
// one of them.
func eachPath(ctx context.Context, args []string) func(func(string, error) bool) {
	return func(yield func(string, error) bool) {
		for _, arg := range args {
			fi, err := os.Stat(arg)
			if err != nil || !fi.IsDir() {
				if !yield(arg, err) {
					return
				}
				continue
			}
			found, err := findDumps(ctx, arg)
			if err == nil && len(found) == 0 {
				err = withCode(exitNoDump, hint(fmt.Errorf("no dumps in folder %s", arg), "a dump's name ends in %s", dump.Extension))
			}
			if err != nil {
				if !yield("", err) {
					return
				}
				continue
			}
			for _, d := range found {
				if !yield(d.path, nil) {
					return
				}
			}
		}
	}
}

// peeked is one dump that is being shown.
type peeked struct {
	file    string
	size    int64
	closer  io.Closer
	session *debugger.Session // nil if nothing can be read
	damage  error
}

// peekFile opens a dump. If the error is damage, what is returned says so too.
func peekFile(path string) (*peeked, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	p, err := peekAt(f, f.size)
	p.file, p.closer = path, f
	if err != nil && !isDamage(err) {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	return p, err
}

// peekAt opens what r holds.
func peekAt(r io.ReaderAt, size int64) (*peeked, error) {
	p := &peeked{size: size}
	reader, err := dump.NewReader(r, size)
	if err != nil {
		p.damage = err
		return p, err
	}
	p.session, err = debugger.New(reader)
	if err != nil {
		p.damage = err
		return p, err
	}
	p.damage = p.session.Problem()
	return p, nil
}

func (p *peeked) close() error {
	if p.closer == nil {
		return nil
	}
	return p.closer.Close()
}

// json converts the dump.
func (p *peeked) json(f *peekFlags) peekJSON {
	j := peekJSON{File: p.file, Size: p.size, Values: []varJSON{}, Frames: []frameJSON{}}
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
	j.Values = varsJSON(home.Watches(), home.Goroutine().Values)
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
			Vars: varsJSON(sc.Variables(), frame.Vars), Missing: newMissingJSON(frame.Missing),
		})
	}
	return j
}

// varsJSON converts variables; raw are the same ones as the dump has them.
func varsJSON(vars []debugger.Variable, raw []dump.Variable) []varJSON {
	out := make([]varJSON, 0, len(vars))
	for i, v := range vars {
		out = append(out, varJSON{
			Name: raw[i].Name, Kind: v.Kind.String(), Type: v.Value.TypeName(), Value: v.Value.String(), State: raw[i].StateName(),
		})
	}
	return out
}
