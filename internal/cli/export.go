package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

const formatJSONL outputFormat = "jsonl"

type exportFlags struct {
	where  where
	keys   *keys
	format outputFormat
	out    string
}

func newExport(std *stdio) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export FILE|ADDRESS|ID",
		Short: "Print a whole dump as JSON",
		Long: `Print everything that a dump holds as JSON, for programs that have no reader of
the format.

` + helpTargets + `
- stands for stdin. Of several dumps of a trace the oldest is exported.

With --format jsonl, which is the default, each record is a line. "record" says
what it is, and the member of that name holds it:

  {"record": "header", "header": …}        as "coredumpy peek --format json" has it
  {"record": "extra", "extra": …}          the span and the process
  {"record": "type", "type": …}            a type, by "id"
  {"record": "goroutine", "goroutine": …}  a goroutine with frames and variables
  {"record": "object", "object": …}        an object, by "id", to which values refer
  {"record": "package_var", "package_var": …}  a package variable
  {"record": "source", "source": …}        lines of a source file

With --format json the same is one document, with the members "header", "extra",
"types", "goroutines", "package_vars", "objects", "sources" and "damage".

Types come before the values that have them, and the failing goroutine before the
others. docs/export.md describes every field. However large the dump is, no more
than a small part of it is held in memory.

Of a damaged dump everything whole is printed; the exit code is 4. An encrypted dump
needs --identity.`,
		Example: `  coredumpy export d.cdmp | jq -c 'select(.goroutine) | .goroutine.frames[].func'
  coredumpy export --format json -o d.json d.cdmp
  coredumpy export s3://dumps/v1/traces/4bf92f3577b34da6a3ce929d0e0e4736/0190163d-8694-739b-aea5-966c26f8ad91.cdmp`,
		Args: needArgs(1, 1, "one dump file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := newFinder(std, &f.where).one(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return export(cmd.Context(), std, &f, &t)
		},
		ValidArgsFunction: completeDumps(1),
	}
	f.where.addFlags(cmd)
	f.keys = newKeys(cmd, std, &f.where)
	f.format = formatJSONL
	fl := cmd.Flags()
	fl.Var(&formatValue{&f.format, []outputFormat{formatJSONL, formatJSON}}, "format", "how to print: jsonl or json")
	fl.StringVarP(&f.out, "output", "o", "", "write to `FILE`, which gets its name when it is complete; default is stdout")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{string(formatJSONL), string(formatJSON)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func export(ctx context.Context, std *stdio, f *exportFlags, t *target) error {
	c, err := openPlain(ctx, t, f.keys)
	if err != nil {
		return err
	}
	defer c.Close()
	damage := c.damage()
	var found error
	if f.out == "" || f.out == "-" {
		found, err = exportTo(ctx, std.out, c.Reader, f.format, damage)
	} else {
		err = writeFile(f.out, func(w io.Writer) (err error) {
			found, err = exportTo(ctx, w, c.Reader, f.format, damage)
			return err
		})
	}
	if err != nil {
		return err
	}
	if damage == nil {
		damage = found
	}
	if damage != nil {
		return damageError(t.name, damage)
	}
	return nil
}

// writeFile makes a file that has its whole content or is not there. Devices and
// pipes are written to as they are.
func writeFile(path string, write func(io.Writer) error) error {
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0) // a folder refuses
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	dir, name := filepath.Split(path)
	tmp, err := os.CreateTemp(filepath.Clean(dir+"."), "."+name+".*.tmp") // mode 0600: it holds what the process held
	if err != nil {
		return fmt.Errorf("make %s: %w", path, bare(err))
	}
	defer os.Remove(tmp.Name()) // fails once it has its name
	if err := errors.Join(write(tmp), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// exportTo prints a dump. found is damage that showed on the way, err what ended
// it.
func exportTo(ctx context.Context, w io.Writer, r *dump.Reader, format outputFormat, damage error) (found, err error) {
	buf := bufio.NewWriterSize(w, 64<<10)
	e := &exporter{ctx: ctx, r: r, w: buf, damage: damage, document: format == formatJSON}
	e.enc = json.NewEncoder(&e.buf)
	e.enc.SetEscapeHTML(false)
	e.all()
	return e.damage, errors.Join(e.err, buf.Flush())
}

// exporter prints one dump, record by record. The first error of the output ends
// it; damage of the dump does not.
type exporter struct {
	ctx      context.Context
	r        *dump.Reader
	w        *bufio.Writer
	document bool // one JSON document; else lines
	err      error
	damage   error

	buf  bytes.Buffer // of enc
	enc  *json.Encoder
	list string // of the document, that is open
	n    int    // records in it
}

func (e *exporter) all() {
	if e.document {
		e.text("{\n")
	}
	e.one("header", newHeaderJSON(e.r.Header()))
	if x, err := e.r.Extra(); err == nil {
		e.one("extra", newExtraJSON(x))
	} else {
		e.note(err)
		if e.document {
			e.text(`"extra": null,` + "\n")
		}
	}
	e.open("types")
	each(e, "type", e.r.Types(), newTypeJSON)
	e.open("goroutines")
	each(e, "goroutine", e.r.Goroutines(), e.goroutine)
	e.open("package_vars")
	each(e, "package_var", e.r.PackageVars(), e.packageVar)
	e.open("objects")
	each(e, "object", e.r.Objects(), e.object)
	e.open("sources")
	each(e, "source", e.r.Excerpts(), newSourceJSON)
	e.open("")
	if err := e.r.Damage(); e.damage == nil && err != nil {
		e.damage = err
	}
	if e.document {
		text := ""
		if e.damage != nil {
			text = e.damage.Error()
		}
		e.text(`"damage": `)
		e.encode(text)
		e.text("\n}\n")
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
		if e.record(name, convert(v)); e.err != nil {
			return
		}
	}
}

// note keeps the first damage. Parts that a dump never had are none; an error of
// reading ends the export.
func (e *exporter) note(err error) {
	switch {
	case err == nil, errors.Is(err, dump.ErrNotFound):
	case !isDamage(err):
		if e.err == nil {
			e.err = err
		}
	case e.damage == nil:
		e.damage = err
	}
}

// open begins a list of the document, and ends the one before.
func (e *exporter) open(list string) {
	if !e.document {
		return
	}
	if e.list != "" {
		if e.n > 0 {
			e.text("\n")
		}
		e.text("],\n")
	}
	if e.list, e.n = list, 0; list != "" {
		e.text(`"` + list + `": [`)
	}
}

// one prints a record of which there is one.
func (e *exporter) one(name string, v any) {
	if !e.document {
		e.record(name, v)
		return
	}
	e.text(`"` + name + `": `)
	e.encode(v)
	e.text(",\n")
}

// record prints a record: a line, or an element of the list that is open.
func (e *exporter) record(name string, v any) {
	if !e.document {
		e.text(`{"record":"` + name + `","` + name + `":`)
		e.encode(v)
		e.text("}\n")
		return
	}
	if e.n > 0 {
		e.text(",")
	}
	e.n++
	e.text("\n")
	e.encode(v)
}

// encode prints a value on one line.
func (e *exporter) encode(v any) {
	if e.err == nil {
		e.err = e.ctx.Err()
	}
	if e.err != nil {
		return
	}
	e.buf.Reset()
	if err := e.enc.Encode(v); err != nil {
		e.err = fmt.Errorf("make JSON: %w", err)
		return
	}
	_, e.err = e.w.Write(cleanJSON(bytes.TrimSuffix(e.buf.Bytes(), []byte("\n"))))
	if e.buf.Cap() > mostKept {
		e.buf = bytes.Buffer{} // one huge record made it so
	}
}

// mostKept is how large a buffer may be that is kept for the next record.
const mostKept = 1 << 20

func (e *exporter) text(s string) {
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
}
