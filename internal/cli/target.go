package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// target is one dump that an argument means: a file, what comes in on stdin, or
// a dump in a store.
type target struct {
	name   string     // how the user knows it: the path, or the URI in the store
	in     io.Reader  // stdin; else nil
	path   string     // of a file; else ""
	st     *opened    // of a dump in a store; else nil
	entry  sink.Entry // in that store
	listed bool       // by a listing, so that it may have been deleted since
}

// remote reports whether reading the dump costs requests to a server.
func (t *target) remote() bool { return t.st != nil && t.st.remote() }

// open opens the dump as it is stored. The errors name it. A store on a server
// may send all of a dump at once if it has no more than whole bytes.
func (t *target) open(ctx context.Context, whole int64) (sink.Object, error) {
	switch {
	case t.in != nil:
		return spoolInput(t.in)
	case t.st == nil:
		return openFile(t.path)
	}
	e := t.entry
	if e.Size > whole {
		e.Size = 0 // it is the size that makes a store do so
	}
	o, err := t.st.Open(ctx, e)
	if errors.Is(err, sink.ErrNotFound) {
		err = withCode(exitNoDump, hint(reword(err, "no dump %s in %s", t.entry.ID, t.st), "%s", t.st.hintWhere()))
	}
	return o, err // which says what was being done
}

// inputObject is a copy of stdin, which has no random access of its own.
type inputObject struct{ fileObject }

func (o inputObject) Close() error {
	return errors.Join(o.File.Close(), os.Remove(o.Name()))
}

// spoolInput copies what comes in to a file that is there for as long as it is
// open.
func spoolInput(in io.Reader) (sink.Object, error) {
	tmp, err := os.CreateTemp("", "coredumpy-*.tmp") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("keep what comes in on stdin: %w", err)
	}
	o := inputObject{fileObject{File: tmp}}
	if o.size, err = io.Copy(tmp, in); err != nil {
		return nil, errors.Join(fmt.Errorf("read stdin: %w", err), o.Close())
	}
	return o, nil
}

// finder finds what arguments mean. The store is opened when the first of them
// needs it.
type finder struct {
	std    *stdio
	w      *where
	st     *opened
	others map[string]*opened // stores that addresses name, by URL
}

func newFinder(std *stdio, w *where) *finder {
	return &finder{std: std, w: w, others: make(map[string]*opened)}
}

// store is the configured store, or --dir.
func (f *finder) store(ctx context.Context) (*opened, error) {
	if f.st == nil {
		st, err := f.w.open(ctx)
		if err != nil {
			return nil, err
		}
		f.st = st
	}
	return f.st, nil
}

// find returns the dumps that an address means, of a trace the oldest first, of
// a folder the newest. There is at least one if the error is nil; some may come
// with an error, such as those in the spool while the bucket does not answer.
func (f *finder) find(ctx context.Context, a *address) ([]target, error) {
	switch a.kind {
	case addrStdin:
		return []target{{name: "stdin", in: f.std.in}}, nil
	case addrFile:
		return f.files(ctx, a)
	case addrStored:
		st, err := f.storeOf(ctx, a)
		if err != nil {
			return nil, err
		}
		return []target{{name: a.uri(), st: st, entry: sink.Entry{Identity: a.id, Key: sink.TraceKey(a.id), URI: a.uri()}}}, nil
	}
	st, err := f.store(ctx)
	if err != nil {
		return nil, err
	}
	var entries []sink.Entry
	if a.kind == addrDump {
		var e sink.Entry
		if e, err = findDump(ctx, st, a.id.ID); err == nil {
			entries = []sink.Entry{e}
		}
	} else {
		entries, err = findTrace(ctx, st, a.trace)
	}
	targets := make([]target, 0, len(entries))
	for _, e := range entries {
		targets = append(targets, inStore(st, e))
	}
	return targets, err
}

// each goes through the dumps that arguments mean. An error is about one
// argument; all of them are looked at before the first is opened, so that a
// slip of the keyboard does not come to light after minutes.
func (f *finder) each(ctx context.Context, args []string) iter.Seq2[target, error] {
	return func(yield func(target, error) bool) {
		addresses := make([]address, len(args))
		for i, arg := range args {
			var err error
			if addresses[i], err = parseAddress(arg); err != nil {
				yield(target{}, err)
				return
			}
		}
		for i := range addresses {
			targets, err := f.find(ctx, &addresses[i])
			for _, t := range targets {
				if !yield(t, nil) {
					return
				}
			}
			if err != nil && !yield(target{}, err) {
				return
			}
		}
	}
}

// one returns the dump that a single argument means. Of several dumps of a trace
// it is the oldest, which is nearest to the cause; a folder is an error.
func (f *finder) one(ctx context.Context, arg string) (target, error) {
	a, err := parseAddress(arg)
	if err != nil {
		return target{}, err
	}
	if a.kind == addrFile && a.id.ID.IsZero() {
		return target{name: a.path, path: a.path}, nil // openFile refuses a folder
	}
	targets, err := f.find(ctx, &a)
	if len(targets) == 0 {
		return target{}, err
	}
	if err != nil {
		f.std.printError(err) // there may be others
	}
	if len(targets) > 1 {
		fmt.Fprintf(f.std.err, "coredumpy: opening the oldest of %s, %s\n", plural(len(targets), "dump"), clean(targets[0].name))
	}
	return targets[0], nil
}

// helpTargets is what the help of commands that open dumps says of arguments.
const helpTargets = `A dump is given as a file, or as it stands on the span: its ID
(coredumpy.dump.id), its address (coredumpy.dump.uri: s3://… or file:///…), or the
trace ID for all dumps of the trace. IDs are looked for in the configured sink, or
in --dir.
`

// inStore is the target for an entry of a listing.
func inStore(st *opened, e sink.Entry) target {
	t := target{name: e.URI, st: st, entry: e}
	if _, plain := st.store.(folder); plain {
		t.name = e.Key // the path
	}
	return t
}

// files returns the dump files that a path means.
func (f *finder) files(ctx context.Context, a *address) ([]target, error) {
	fi, err := os.Stat(a.path)
	if errors.Is(err, fs.ErrNotExist) && !a.id.ID.IsZero() {
		return f.elsewhere(ctx, a, err)
	}
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return []target{{name: a.path, path: a.path}}, nil
	}
	found, err := findDumps(ctx, a.path)
	if err == nil && len(found) == 0 {
		err = withCode(exitNoDump, hint(fmt.Errorf("no dumps in folder %s", a.path), "a dump's name ends in %s", dump.Extension))
	}
	targets := make([]target, 0, len(found))
	for _, d := range found {
		targets = append(targets, target{name: d.path, path: d.path})
	}
	return targets, err
}

// elsewhere looks for a dump whose file: URI does not lead to a file here in the
// store: the service may run on another machine, or see the folder elsewhere.
func (f *finder) elsewhere(ctx context.Context, a *address, notHere error) ([]target, error) {
	st, err := f.store(ctx)
	if err != nil {
		return nil, err
	}
	e := sink.Entry{Identity: a.id, Key: sink.TraceKey(a.id)}
	if _, plain := st.store.(folder); plain {
		e, err = findDump(ctx, st, a.id.ID)
	} else {
		var o sink.Object
		if o, err = st.Open(ctx, e); err == nil {
			err = o.Close()
		}
		e.URI = st.uri(a.id)
	}
	switch {
	case err == nil:
		return []target{inStore(st, e)}, nil
	case codeOf(err) == exitNoDump || errors.Is(err, sink.ErrNotFound):
		return nil, hint(notHere, "it lies on the machine that the service runs on, and not in %s; --dir DIR looks in a copy of its folder", st)
	}
	return nil, err
}

// findTrace returns the dumps of a trace. That there are none is an error.
func findTrace(ctx context.Context, st *opened, trace dump.TraceID) ([]sink.Entry, error) {
	entries, err := st.Trace(ctx, trace) // the error says what was being done
	if len(entries) == 0 && err == nil {
		err := fmt.Errorf("no dump of trace %s in %s", trace, st)
		return nil, withCode(exitNoDump, hint(err, "%s\n%s", st.hintWhere(), hintLikeFailure))
	}
	return entries, err
}

// hintLikeFailure is for spans that have no dump of their own because one was
// made of a failure just like theirs.
const hintLikeFailure = "of failures that are alike only the first has a dump, perhaps in another trace: if the span has the attribute coredumpy.dump.id, give that instead"

// findDump finds a dump by its ID alone. The ID has the time in it, and so the
// day whose listing has the dump.
func findDump(ctx context.Context, st *opened, id dump.ID) (sink.Entry, error) {
	at := id.Time()
	for e, err := range st.List(ctx, sink.Query{Since: at, Until: at.Add(time.Millisecond)}) {
		if err != nil {
			return e, err
		}
		if e.ID == id {
			return e, nil
		}
	}
	err := fmt.Errorf("no dump %s in %s", id, st)
	return sink.Entry{}, withCode(exitNoDump, hint(err, "%s", st.hintWhere()))
}
