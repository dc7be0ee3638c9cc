package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// The attributes of DESIGN, "On the span".
const (
	attrID      = "coredumpy.dump.id"
	attrURI     = "coredumpy.dump.uri"
	attrURL     = "coredumpy.dump.url"
	attrTrigger = "coredumpy.dump.trigger"
)

// TestSpans checks the spans as a collector gets them.
func TestSpans(t *testing.T) {
	forVariants(t, func(*variant) bool { return true }, func(t *testing.T, v *variant) {
		run := runShop(t, v)
		for i := range failures {
			f := &failures[i]
			t.Run(f.name, func(t *testing.T) {
				l, r := run.failure(t, f)
				rep := &report{t: t}
				byName := spansOf(run.spans, l.trace)
				for depth, name := range f.spans {
					s, ok := byName[name]
					if !ok {
						rep.mismatch("no span %q in trace %s", name, l.trace)
						continue
					}
					checkFailedSpan(rep, run, f, l, &s)
					if depth == 0 {
						rep.equal("span ID in the dump", r.Header().SpanID.String(), s.id)
					}
				}
				rep.equal("trace ID in the dump", r.Header().TraceID.String(), l.trace)
				rep.equal("dump ID in the dump", r.Header().ID.String(), l.id)

				ids := make(map[string]bool)
				for _, s := range byName {
					if id := s.attributes[attrID]; id != "" {
						ids[id] = true
					}
				}
				if len(ids) != 1 || !ids[l.id] {
					rep.mismatch("the trace's spans name the dumps %v, want only %s", ids, l.id)
				}
			})
		}
		t.Run("others", func(t *testing.T) {
			failed := make(map[string]bool)
			for _, l := range run.lines {
				failed[l.trace] = true
			}
			n := 0
			for _, s := range run.spans {
				if failed[s.trace] || strings.HasPrefix(s.scope, module) && !strings.Contains(s.scope, "checkout") {
					continue
				}
				n++
				for key := range s.attributes {
					if strings.HasPrefix(key, "coredumpy.") {
						t.Errorf("span %q did not fail, but has %s", s.name, key)
					}
				}
				if len(s.links) > 0 || s.status == tracepb.Status_STATUS_CODE_ERROR {
					t.Errorf("span %q did not fail, but has links %v, status %v", s.name, s.links, s.status)
				}
			}
			if n < 10 {
				t.Errorf("only %d spans that did not fail", n)
			}
		})
	})
}

func checkFailedSpan(rep *report, run *shopRun, f *failure, l line, s *span) {
	rep.t.Helper()
	attribute := func(key, want string) {
		rep.t.Helper()
		rep.equal("span "+s.name+" "+key, s.attributes[key], want)
	}
	attribute(attrID, l.id)
	attribute(attrTrigger, string(f.trigger))
	if uri := s.attributes[attrURI]; uri != l.place && !strings.HasSuffix(uri, "://"+l.place) {
		rep.mismatch("span %s: %s is %q, want that of %s", s.name, attrURI, uri, l.place)
	}
	if url, ok := s.attributes[attrURL]; ok {
		rep.mismatch("span %s: has %s %q, but there is no viewer", s.name, attrURL, url)
	}
	rep.equal("span "+s.name+" status", s.status, tracepb.Status_STATUS_CODE_ERROR)
	rep.equal("span "+s.name+" resource service.name", s.resource["service.name"], "checkout")

	if f.trigger == "panic" {
		attribute("code.function.name", codeFunction(s.attributes["code.function.name"], f))
		number, _ := strconv.Atoi(s.attributes["code.line.number"])
		checkPlace(rep, "span "+s.name+" code.*", s.attributes["code.file.path"], number, failPlaces(rep.t, f.name))
		message := exceptionMessages(s)
		if len(message) == 0 || !strings.Contains(strings.Join(message, "\n"), f.reason[0].message) {
			rep.mismatch("span %s: exception.message %q, want %q", s.name, message, f.reason[0].message)
		}
	}

	// The link leads to the dump's own span, in another trace, which links back.
	if len(s.links) != 1 {
		rep.mismatch("span %s has %d links, want 1", s.name, len(s.links))
		return
	}
	to := s.links[0]
	if to.trace == s.trace {
		rep.mismatch("span %s links into its own trace", s.name)
	}
	i := slices.IndexFunc(run.spans, func(o span) bool { return o.trace == to.trace && o.id == to.span })
	if i < 0 {
		rep.mismatch("span %s links to span %s of trace %s, which never came", s.name, to.span, to.trace)
		return
	}
	own := run.spans[i]
	rep.equal("span of the dump: "+attrID, own.attributes[attrID], l.id)
	if own.status == tracepb.Status_STATUS_CODE_ERROR {
		rep.mismatch("span of the dump has status Error: %s", own.message)
	}
	if !slices.ContainsFunc(own.links, func(back link) bool { return back.trace == l.trace }) {
		rep.mismatch("span of the dump links to %v, want a link to trace %s", own.links, l.trace)
	}
}

// codeFunction returns the function's name as the span has it if that is right,
// so that it may have type arguments, and else what it should be.
func codeFunction(got string, f *failure) string {
	if want := shopName(f.frames[0].fn); plainFunc(got) != want {
		return want
	}
	return got
}

// exceptionMessages returns exception.message of the span and of its events.
func exceptionMessages(s *span) []string {
	var list []string
	if m := s.attributes["exception.message"]; m != "" {
		list = append(list, m)
	}
	for _, e := range s.events {
		if m := e.attributes["exception.message"]; e.name == "exception" && m != "" {
			list = append(list, m)
		}
	}
	return list
}
