package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

func newExport(std *stdio) *cobra.Command {
	format := formatJSON
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "Print a whole dump as JSON lines",
		Long: `Print everything that a dump holds as JSON, one object a line, for programs that
have no reader of the format. Each line has one member, which says what it is:

  {"header": …}     the same fields as "coredumpy peek --format json"
  {"extra": …}      the span and the process
  {"type": …}       types, by "id"; they come before the values that have them
  {"goroutine": …}  goroutines with frames and variables, the failing one first
  {"object": …}     objects, by "id", to which values refer with "object"
  {"source": …}     source lines

A value has its "type" and, as far as it was captured, "value" (a bool, number,
text or list), "base64" (bytes that are no text), "elems" (fields of a struct;
elements; the dynamic value of an interface; keys and values of a map in turn),
"nil", "ptr", "len", "cap", "func" and "object". "reason" says why it is not
whole. Numbers have all their digits, also beyond 2^53.

Of a damaged dump everything whole is printed; the exit code is 4.`,
		Example: `  coredumpy export d.cdmp | jq -c 'select(.goroutine) | .goroutine.frames[].func'`,
		Args:    needArgs(1, 1, "one dump file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return export(cmd.Context(), std, args[0])
		},
		ValidArgsFunction: completeDumps(1),
	}
	cmd.Flags().Var(&formatValue{&format, []outputFormat{formatJSON}}, "format", "how to print: json")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{string(formatJSON)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func export(ctx context.Context, std *stdio, path string) error {
	r, err := openDump(path)
	if err != nil {
		return err
	}
	defer r.Close()
	damage := r.Damage()
	buf := bufio.NewWriterSize(std.out, 64<<10)
	e := &exporter{ctx: ctx, r: r, w: buf}
	e.all()
	if err := errors.Join(e.err, buf.Flush()); err != nil {
		return err
	}
	if damage == nil {
		damage = e.damage
	}
	if damage != nil {
		return damageError(path, damage)
	}
	return nil
}

// exporter prints one dump. The first error of the output ends it; damage of
// the dump does not.
type exporter struct {
	ctx    context.Context
	r      *dump.Reader
	w      io.Writer
	err    error
	damage error
}

func (e *exporter) all() {
	e.line("header", newHeaderJSON(e.r.Header()))
	if x, err := e.r.Extra(); err == nil {
		e.line("extra", newExtraJSON(x))
	} else {
		e.note(err)
	}
	for id := dump.TypeID(1); int(id) <= e.r.NumTypes() && e.err == nil; id++ {
		if t := e.r.Type(id); t != nil {
			e.line("type", newTypeJSON(t))
		}
	}
	each(e, "goroutine", e.r.Goroutines(), e.goroutine)
	each(e, "object", e.r.Objects(), e.object)
	files, err := e.r.Sources()
	e.note(err)
	for _, file := range files {
		s, err := e.r.Source(file)
		if err != nil {
			e.note(err)
			continue
		}
		e.line("source", newSourceJSON(s))
	}
}

func each[T, J any](e *exporter, name string, seq iter.Seq2[T, error], convert func(T) J) {
	if e.err != nil {
		return
	}
	for v, err := range seq {
		if err != nil {
			e.note(err)
			continue
		}
		if e.line(name, convert(v)); e.err != nil {
			return
		}
	}
}

// note keeps the first damage. Parts that a dump never had are none.
func (e *exporter) note(err error) {
	if err != nil && e.damage == nil && isDamage(err) {
		e.damage = err
	}
}

func (e *exporter) line(name string, v any) {
	if e.err == nil {
		e.err = e.ctx.Err()
	}
	if e.err == nil {
		e.err = writeJSONLine(e.w, map[string]any{name: v})
	}
}

// openDump opens a dump file. Errors name the path and have the right code.
func openDump(path string) (*dump.Reader, error) {
	// dump.Open would wait for the writer of a pipe.
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	r, err := dump.Open(path)
	switch {
	case err == nil:
		return r, nil
	case isDamage(err):
		return nil, damageError(path, err)
	}
	return nil, fmt.Errorf("open the dump: %w", err)
}
