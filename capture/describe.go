package capture

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

const (
	// maxSteps is how many calls of a View one description may take.
	maxSteps = 20_000
	// maxFailures is how often a support may fail in one dump before it is not asked any more.
	maxFailures = 100
	// describeFor is how long a registered support may take for one value. It is long, as a busy
	// machine may let a goroutine wait.
	describeFor = time.Second
)

// describer asks the supports of types about the values of one dump.
type describer struct {
	d        *decoder
	own      *looker // of the built-in supports
	other    *runner // of the registered ones
	nest     int     // values round the one that is being described
	until    deadline
	count    int
	late     bool // there was no time left
	failures map[*support]*failure
}

// errLate is why a description is not there that the dump had no time left for.
var errLate = errors.New("the time budget was spent")

type failure struct {
	count int
	typ   string
	why   string
}

func (d *decoder) describeUntil(end deadline) {
	d.describer = &describer{d: d, own: d.looker(d.w), until: end, failures: map[*support]*failure{}}
}

// looker makes a looker at what w has copied.
func (d *decoder) looker(w *walker) *looker {
	return &looker{w: w, d: &decoder{w: w, judge: &judge{engine: d.judge.engine}, limit: d.limit}}
}

// describe sets the summary and the children of v, a value of type t with the bytes b, as
// the support of its type has them.
func (x *describer) describe(v *dump.Value, t *typ, b []byte, p place) {
	s := t.support
	if s.Describe == nil || v.Reason == dump.Redacted || s.broken.Load() || x.nest > 1 || x.outOfTime(!s.builtin) {
		return
	}
	if f := x.failures[s]; f != nil && f.count >= maxFailures {
		return
	}
	var (
		out Description
		err error
	)
	if s.builtin {
		x.own.steps = maxSteps
		err = ask(s, View{x: x.own, t: t, b: b, p: p, addr: v.Addr}, &out)
	} else {
		out, err = x.outside(s, t, b, p)
	}
	if err == errLate {
		return
	}
	if err != nil {
		f := x.failures[s]
		if f == nil {
			f = &failure{typ: t.name, why: clip(err.Error(), 256)}
			x.failures[s] = f
		}
		f.count++
		return
	}
	if out.summary != "" {
		v.Summary, _ = x.d.judge.apply(redact.Text{Value: oneLine(out.summary), Name: p.name, Type: t.name, Site: p.site})
	}
	x.children(v, &out, p)
}

// outOfTime looks at the clock now and then, and each time if it matters: what a registered
// support takes is not known.
func (x *describer) outOfTime(matters bool) bool {
	if x.count++; (matters || x.count%64 == 0) && !x.late {
		x.late = x.until.passed()
	}
	return x.late
}

// children decodes the children of a description. They are described in their turn, but
// have no children of their own.
func (x *describer) children(v *dump.Value, out *Description, p place) {
	if len(out.kids) == 0 || x.nest > 0 {
		return
	}
	x.nest++
	defer func() { x.nest-- }()
	d := x.d
	if out.full {
		out.kids[len(out.kids)-1] = describedChild{name: "…", text: "there are more"}
	}
	v.Children = make([]dump.Child, len(out.kids))
	secret := d.w.types.isSecret(p.name)
	for i := range out.kids {
		k := &out.kids[i]
		c := &v.Children[i]
		c.Name, _ = d.judge.apply(redact.Text{Value: oneLine(k.name), Name: p.name, Site: redact.SiteKey})
		name := k.name
		if secret {
			name = p.name
		}
		switch {
		case k.v.x == nil && k.v.t == nil && k.v.why == "":
			c.Value.Type = d.types.of(d.w.types.text)
			c.Value.Bytes, c.Value.Reason, c.Value.Detail = d.text([]byte(k.text), int64(len(k.text)), redact.Text{Name: name, Type: "string", Site: p.site})
			c.Value.Len = int64(len(k.text))
		case !k.v.OK():
			c.Value.Type = d.types.of(d.w.types.text)
			c.Value.Reason, c.Value.Detail = dump.Unreadable, k.v.why
			for r := dump.OptimizedOut; r <= dump.Unsupported; r++ {
				if r.String() == k.v.why {
					c.Value.Reason, c.Value.Detail = r, ""
				}
			}
		default:
			kp := k.v.p
			if !d.w.types.isSecret(kp.name) && (secret || d.w.types.isSecret(name)) {
				kp.name = name
			}
			d.value(&c.Value, k.v.t, k.v.b, kp)
		}
	}
}

// oneLine takes line breaks and what else a terminal acts on out of a text.
func oneLine(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// ask calls a support and contains what it does.
func ask(s *support, v View, out *Description) (err error) {
	defer func() {
		switch p := recover(); {
		case p == errSteps:
			err = errSteps
		case p != nil:
			err = errors.New("it panicked: " + panicText(p))
		}
	}()
	s.Describe(v, out)
	return nil
}

// panicText is a panic's value in words. Methods of the program's are not called.
func panicText(p any) string {
	switch p := p.(type) {
	case string:
		return clip(p, maxSummary)
	case runtime.Error:
		if strings.HasPrefix(fmt.Sprintf("%T", p), "runtime.") || strings.HasPrefix(fmt.Sprintf("%T", p), "*runtime.") {
			return p.Error()
		}
	}
	return fmt.Sprintf("%T", p)
}

// missing says which supports failed.
func (x *describer) missing() (out []dump.Missing) {
	for s, f := range x.failures {
		m := dump.Missing{What: "descriptions of " + f.typ, Why: fmt.Sprintf("the support of the type failed %d times: %s", f.count, f.why), Hint: "see capture.RegisterType, pattern " + s.pattern}
		if s.builtin {
			m.Hint = "the values themselves are there"
		}
		x.d.judge.text(&m.Why, "", redact.SitePanic)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b dump.Missing) int { return strings.Compare(a.What, b.What) })
	if x.late {
		out = append(out, dump.Missing{What: "descriptions of values", Why: "the time budget was spent", Hint: "raise capture.timeout"})
	}
	return out
}

// close ends the describer's goroutine.
func (x *describer) close() {
	if x.other != nil {
		close(x.other.calls)
		x.other = nil
	}
}

var errEnded = errors.New("it ended its goroutine")

// runner is a goroutine that calls registered supports, so that one that never returns can
// be left behind. What it reads through is its own, as it may still be reading then.
type runner struct {
	calls chan func()
	done  chan struct{}
	look  *looker
	timer *time.Timer
}

func (x *describer) newRunner() *runner {
	w := *x.d.w
	w.mem = reader{Memory: w.mem.Memory}
	w.itabs = map[uint64]*typ{}
	r := &runner{calls: make(chan func()), done: make(chan struct{}, 1), look: x.d.looker(&w), timer: time.NewTimer(describeFor)}
	r.look.gone = new(atomic.Bool)
	go func() {
		for f := range r.calls {
			f()
		}
	}()
	return r
}

// outside calls a registered support.
func (x *describer) outside(s *support, t *typ, b []byte, p place) (Description, error) {
	if x.other == nil {
		x.other = x.newRunner()
	}
	r := x.other
	r.look.steps = maxSteps
	r.look.w.objects = x.d.w.objects // those of other goroutines are found one after the other
	var (
		out = new(Description)
		err error
	)
	limit := describeFor
	if x.until != 0 {
		limit = min(limit, x.until.left())
	}
	r.timer.Reset(limit)
	r.calls <- func() {
		ended := true
		defer func() {
			if ended {
				// runtime.Goexit: the goroutine ends with this call.
				err = errEnded
			}
			r.done <- struct{}{}
		}()
		guarded(func() { err = ask(s, View{x: r.look, t: t, b: b, p: p}, out) })
		ended = false
	}
	select {
	case <-r.done:
		r.timer.Stop()
		if err == nil {
			// The views of the children are read by the decoder from here on.
			for i := range out.kids {
				if k := &out.kids[i]; k.v.x != nil {
					k.v.x = x.own
				}
			}
			return *out, nil
		}
		if err == errEnded {
			x.other = nil
		}
		return Description{}, err
	case <-r.timer.C:
		r.look.gone.Store(true)
		close(r.calls)
		x.other = nil
		if limit < describeFor { // it may be as quick as others, if it is given the time
			x.late = true
			return Description{}, errLate
		}
		s.broken.Store(true)
		return Description{}, fmt.Errorf("it did not return within %v and is not used any more", describeFor)
	}
}
