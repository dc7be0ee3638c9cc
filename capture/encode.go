package capture

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// Encode does phase two: it finishes what phase one had no time for, as long as
// what is left of Config.Timeout allows, decodes and redacts what was copied, and writes a dump file to w.
// It runs on any goroutine. h and x hold what the caller knows (identity,
// trigger, span); what the engine knows is filled in where they are silent, and
// their texts are redacted too. It returns the size of the file. It never panics.
//
// The snapshot must still be released.
func (s *Snapshot) Encode(ctx context.Context, w io.Writer, h *dump.Header, x *dump.Extra) (n int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("encoding a dump failed: %v", p)
		}
	}()
	if s.w == nil {
		return 0, fmt.Errorf("encoding a dump: the snapshot was released")
	}
	if x == nil {
		x = &dump.Extra{}
	}
	hc, xc := *h, *x
	h, x = &hc, &xc
	// What phase one has left of the timeout; waiting in a queue does not count.
	end := deadlineIn(s.e.cfg.Timeout - min(s.pause, s.e.cfg.Timeout/2))
	if d, ok := ctx.Deadline(); ok {
		end = min(end, deadlineIn(time.Until(d)))
	}
	if !haveRoom(2 * s.e.cfg.MaxBytes) {
		return 0, spaceError{}
	}
	s.e.redactor.RefreshEnviron(os.Environ())
	guarded(func() { n, err = s.encode(ctx, end, w, h, x) })
	return n, err
}

func (s *Snapshot) encode(ctx context.Context, end deadline, out io.Writer, h *dump.Header, x *dump.Extra) (int64, error) {
	e := s.e
	s.w.late, s.w.heap.late = true, true
	s.w.maxBytes = e.cfg.MaxBytes // there is one encoding at a time, more or less
	if s.infoWait {
		s.finishLate(ctx, end)
	}
	if s.w.stop == dump.TimeBudget {
		s.w.meter.start(end)
		s.addRoots() // those that there was no time for
	}
	// The failing goroutine goes first, but leaves time for the others.
	s.w.run(s.half(end))
	if m, ok := e.missingInfo(); ok {
		s.missing = append(s.missing, m)
	}
	d := &decoder{w: s.w, judge: &judge{e.redactor, map[string]int64{}}, types: newTypeNumbers(), limit: e.cfg.MaxStringLen, waits: e.symbols.Load().waitReasons}
	s.readGlobals(end)
	d.describeUntil(end)
	defer d.describer.close()
	w := dump.NewWriter(out)
	o := s.newOthers(d, end)
	g := s.goroutine(d)
	g.Others = o.groups()
	if err := w.Goroutine(&g); err != nil {
		return 0, err
	}
	d.counts.Goroutines++
	d.counts.Frames += len(g.Frames)
	files := newSources(e.cfg.SourceLines)
	for i := range g.Frames {
		files.want(g.Frames[i].File, g.Frames[i].Line)
	}
	d.reset()
	for i := range s.others {
		g := o.read(i)
		d.counts.Goroutines++
		d.counts.Frames += len(g.Frames)
		if err := w.Goroutine(g); err != nil {
			return 0, err
		}
		d.reset()
	}
	o.finish()
	s.w.run(end)
	if err := s.writeGlobals(w, d); err != nil {
		return 0, err
	}
	var obj dump.Object
	for i := range s.w.objects.len() {
		o := s.w.objects.at(i)
		if o.id == 0 {
			continue
		}
		d.object(&obj, o)
		if err := w.Object(&obj); err != nil {
			return 0, err
		}
		d.counts.Objects++
		d.reset()
	}
	if err := d.writeTypes(w); err != nil {
		return 0, err
	}
	for _, src := range files.read(end) {
		for i := range src.Blocks {
			src.Blocks[i].Lines = d.judge.lines(redact.SiteSource, src.Blocks[i].Lines)
		}
		if err := w.Source(&src); err != nil {
			return 0, err
		}
	}
	s.fillExtra(x, d.judge)
	if err := w.Extra(x); err != nil {
		return 0, err
	}
	s.fillHeader(h, d)
	return w.Close(h)
}

// finishLate waits for the debug info that was not there in phase one and reads
// the variables from the copied stack. What is read from the heap now is late.
func (s *Snapshot) finishLate(ctx context.Context, end deadline) {
	t := time.NewTimer(end.left())
	defer t.Stop()
	select {
	case <-s.e.ready:
	case <-t.C:
		s.missing = append(s.missing, dump.Missing{What: "locals", Why: "the program's debug info was not yet loaded", Hint: "failures soon after the start find it cold; raise capture.timeout"})
		return
	case <-ctx.Done():
		return
	}
	di := s.e.info.Load()
	if di == nil {
		return
	}
	s.w.info = di
	s.cycles = math.MaxInt // since the stack was copied
	s.locate(di, end)
	s.addRoots()
	s.findFailing()
}

// goroutine makes the failing goroutine.
func (s *Snapshot) goroutine(d *decoder) dump.Goroutine {
	g := dump.Goroutine{ID: s.goid, Status: "running", Failing: true}
	if s.e.cfg.Goroutines == ScopeNone {
		s.frames = nil
	}
	var gb [gSize]byte
	l := s.e.layout.Load()
	if s.g != 0 && (self{}).ReadAt(gb[:], s.g) == nil && int64(word(gb[:], int(l.gID))) == s.goid {
		g.ParentID = int64(word(gb[:], int(l.gParentID)))
		g.CreatedBy = createdBy(word(gb[:], int(l.gGoPC)))
		g.Labels = d.labels(word(gb[:], int(l.gLabels)))
	}
	g.TraceID, g.SpanID = s.traceID, s.spanID
	for i := range s.values {
		v := &s.values[i]
		dv := dump.Variable{Name: v.name, Kind: v.kind}
		if v.t == nil {
			if v.word != 0 {
				dv.State, dv.Value.Reason, dv.Value.Detail = dump.VarMissing, dump.Unreadable, "its type is not known"
			}
		} else {
			d.dynamic(&dv.Value, v.t, v.word, place{name: v.name})
		}
		d.counts.Variables++
		g.Values = append(g.Values, dv)
	}
	for i := range s.frames {
		g.Frames = append(g.Frames, d.frame(&s.frames[i]))
	}
	return g
}

func (e *Engine) missingInfo() (dump.Missing, bool) {
	select {
	case <-e.ready:
	default:
		return dump.Missing{}, false
	}
	if e.infoErr == nil {
		return dump.Missing{}, false
	}
	m := dump.Missing{What: "locals", Why: e.infoErr.Error()}
	switch {
	case strings.Contains(m.Why, errNoDebugInfo.Error()):
		m.Why += ": it was built with -ldflags=-w or -s, stripped, or built by go run or go test"
		m.Hint = "use go build without -ldflags=-s and -w (go test: add -ldflags='-w=0 -s=0'), and do not strip; until then otelcoredumpy.Watch hands values in explicitly"
	case runtime.GOOS != "linux":
		m.Hint = "run the service on linux/amd64 to have variables; otelcoredumpy.Watch hands values in explicitly"
	}
	return m, true
}

func (d *decoder) frame(f *snapFrame) dump.Frame {
	out := dump.Frame{
		Func: f.name, File: f.file, Line: f.line, PC: f.pc, CFA: f.cfa, FuncLine: f.decl, Inlined: f.inlined, User: f.user, Missing: f.missing,
	}
	if len(f.vars) > 0 {
		out.Vars = d.allocVars(len(f.vars))
		for i := range f.vars {
			d.variable(&out.Vars[i], &f.vars[i])
		}
	}
	return out
}

// writeTypes writes the types that the values refer to and those that these
// consist of.
func (d *decoder) writeTypes(w *dump.Writer) error {
	n := &d.types
	for i := 0; i < len(n.list); i++ { // grows while it runs
		x := n.list[i]
		if x.t == nil {
			n.of(x.array.elem)
			continue
		}
		t := x.t.resolve()
		for j := range t.fields {
			n.of(t.fields[j].typ)
		}
		switch t.kind {
		case dump.Slice, dump.Array, dump.Chan, dump.Map:
			for _, e := range []*typ{t.elem, t.key} {
				if e != nil {
					n.of(e)
				}
			}
		}
	}
	for i, x := range n.list {
		out := dump.Type{ID: dump.TypeID(i + 1)}
		if x.t == nil {
			out.Name = fmt.Sprintf("[%d]%s", x.array.n, x.array.elem.name)
			out.Kind, out.Len, out.Size, out.Elem = dump.Array, x.array.n, uint64(x.array.n)*x.array.elem.size, n.ids[x.array.elem]
		} else {
			t := x.t
			out.Name, out.Kind, out.Size, out.Len, out.Named = t.name, t.kind, t.size, t.len, t.named
			if t.elem != nil {
				// What a pointer leads to is described if something of it was captured.
				out.Elem = n.ids[t.elem]
			}
			if t.key != nil {
				out.Key = n.ids[t.key]
			}
			for j := range t.fields {
				f := &t.fields[j]
				out.Fields = append(out.Fields, dump.Field{Name: f.name, Type: n.ids[f.typ], Offset: f.off, Embedded: f.embedded, Tag: f.tag})
			}
		}
		if err := w.Type(&out); err != nil {
			return err
		}
	}
	return nil
}

// fillHeader fills in what the engine knows, and redacts.
func (s *Snapshot) fillHeader(h *dump.Header, d *decoder) {
	e := s.e
	if h.ID.IsZero() {
		h.ID = dump.NewID()
	}
	if h.Time.IsZero() {
		h.Time = s.time.UTC()
	}
	if h.Trigger == "" {
		h.Trigger = s.event.Trigger
	}
	if len(h.Reason) == 0 {
		h.Reason = slices.Clone(s.reason)
	}
	if h.Host == "" {
		h.Host = e.program.host
	}
	h.PID, h.GoVersion, h.GOOS, h.GOARCH = os.Getpid(), e.program.goVersion, runtime.GOOS, runtime.GOARCH
	if bi := e.program.build; bi != nil {
		h.Module = dump.Module{Path: bi.Main.Path, Version: bi.Main.Version}
		for _, kv := range bi.Settings {
			switch kv.Key {
			case "vcs.revision":
				h.VCS.Revision = kv.Value
			case "vcs.time":
				h.VCS.Time = kv.Value
			case "vcs.modified":
				h.VCS.Modified = kv.Value == "true"
			}
		}
	}
	h.Failing = s.failing
	d.counts.Bytes = s.w.arena.used + s.reads.used
	h.Counts = d.counts
	hits, c := &s.w.hits, &e.cfg
	h.Budgets = []dump.Budget{
		{Name: "depth", Unit: "levels", Limit: int64(s.depth), Spent: s.w.deepest(), Hits: hits.depth},
		{Name: "pause", Unit: "ns", Limit: int64(c.Pause), Spent: int64(s.pause)},
		{Name: "timeout", Unit: "ns", Limit: int64(c.Timeout), Spent: int64(time.Since(s.time))},
		{Name: "objects", Unit: "objects", Limit: int64(c.MaxObjects), Spent: int64(s.w.objects.len()), Hits: hits.objects},
		{Name: "bytes", Unit: "bytes", Limit: c.MaxBytes, Spent: s.w.arena.used, Hits: hits.bytes},
		{Name: "string", Unit: "bytes", Limit: int64(c.MaxStringLen), Hits: hits.str},
		{Name: "collection", Unit: "elements", Limit: int64(c.MaxArrayValues), Hits: hits.collection},
	}
	if s.pause > c.Pause && !s.event.Dying {
		h.Budgets[1].Hits = 1
	}
	if s.w.stop == dump.TimeBudget {
		h.Budgets[2].Hits = int64(s.w.objects.len() - s.w.next)
	}
	if s.globalBudget.Limit > 0 {
		h.Budgets = append(h.Budgets, s.globalBudget)
	}
	h.Missing = append(append(h.Missing, s.missing...), d.describer.missing()...)
	j := d.judge
	h.Reason = slices.Clone(h.Reason)
	for i := range h.Reason {
		site := redact.SiteError
		if h.Reason[i].Panic {
			site = redact.SitePanic
		}
		j.text(&h.Reason[i].Message, "", site)
	}
	j.text(&h.Name, "", redact.SiteDescription)
	j.text(&h.Description, "", redact.SiteDescription)
	j.text(&h.SpanName, "", redact.SiteAttribute)
	h.Resource = j.attributes(h.Resource)
	h.Redactions = nil
	for r, n := range j.counts {
		h.Redactions = append(h.Redactions, dump.RuleCount{Rule: r, Count: n})
	}
	slices.SortFunc(h.Redactions, func(a, b dump.RuleCount) int { return strings.Compare(a.Rule, b.Rule) })
}

func (j *judge) attributes(kvs []dump.KeyValue) []dump.KeyValue {
	kvs = slices.Clone(kvs)
	for i := range kvs {
		j.text(&kvs[i].Value, kvs[i].Key, redact.SiteAttribute)
	}
	return kvs
}

// deepest is how many pointers away the farthest object is.
func (w *walker) deepest() int64 {
	n := uint8(0)
	for i := range w.objects.len() {
		n = max(n, w.objects.at(i).depth)
	}
	return int64(n)
}

func (s *Snapshot) fillExtra(x *dump.Extra, j *judge) {
	e := s.e
	if x.CommandLine == nil {
		x.CommandLine = slices.Clone(os.Args)
	}
	x.CommandLine = j.lines(redact.SiteCommandLine, x.CommandLine)
	x.Executable, x.StartTime = e.program.executable, e.started.UTC()
	j.text(&x.Executable, "", redact.SitePath)
	if bi := e.program.build; bi != nil {
		for _, m := range bi.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			x.Modules = append(x.Modules, dump.Module{Path: m.Path, Version: m.Version})
		}
		for _, kv := range bi.Settings {
			x.Settings = append(x.Settings, dump.KeyValue{Key: kv.Key, Value: kv.Value})
		}
		x.Settings = j.attributes(x.Settings)
	}
	j.text(&x.SpanMessage, "", redact.SiteError)
	x.SpanAttributes = j.attributes(x.SpanAttributes)
	x.SpanEvents = slices.Clone(x.SpanEvents)
	for i := range x.SpanEvents {
		x.SpanEvents[i].Attributes = j.attributes(x.SpanEvents[i].Attributes)
	}
}
