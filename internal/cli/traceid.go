package cli

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var (
	// https://www.w3.org/TR/trace-context-2/#traceparent-header
	traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$`)
	hexRun      = regexp.MustCompile(`[0-9a-f]+`)
)

// parseTrace reads a trace ID as people paste it: 32 hexadecimal digits of
// either case with spaces or quotes round them, a traceparent header, or an
// address of a page about the trace that has exactly one run of 32 hexadecimal
// digits in it. Anything else is a usage error.
func parseTrace(arg string) (dump.TraceID, error) {
	s := strings.ToLower(strings.Trim(arg, " \t\r\n\"'`"))
	if v, ok := strings.CutPrefix(s, "trace_id="); ok {
		s = v // as programs log it
	}
	if m := traceparent.FindStringSubmatch(strings.TrimSpace(strings.TrimPrefix(s, "traceparent:"))); m != nil {
		s = m[1]
	} else if strings.Contains(s, "/") {
		in, err := traceInURL(s)
		if err != nil {
			return dump.TraceID{}, usagef("trace ID %q: %w", arg, err)
		}
		s = in
	}
	id, err := dump.ParseTraceID(s)
	if err == nil {
		return id, nil
	}
	err = usageError(err)
	switch {
	case isDumpID(s):
		err = hint(err, "this is a dump ID; fetch, peek, load, export and verify take it as it is")
	case len(s) == 16 && hexRun.FindString(s) == s:
		err = hint(err, "16 digits are a span ID; fetch wants the trace's 32 digits, --span takes a span ID")
	default:
		err = hint(err, "a trace ID is 32 hexadecimal digits, like 4bf92f3577b34da6a3ce929d0e0e4736")
	}
	return dump.TraceID{}, err
}

// traceInURL finds the one trace ID in an address.
func traceInURL(s string) (string, error) {
	// The query of a Grafana address has the ID in quotes, percent-encoded.
	if plain, err := url.QueryUnescape(s); err == nil {
		s = plain
	}
	found := ""
	for _, run := range hexRun.FindAllString(s, -1) {
		switch {
		case len(run) != 32 || run == found:
		case found != "":
			return "", errors.New("the address has several runs of 32 hexadecimal digits")
		default:
			found = run
		}
	}
	if found == "" {
		return "", errors.New("the address has no run of 32 hexadecimal digits")
	}
	return found, nil
}

func isDumpID(s string) bool {
	_, err := dump.ParseID(s)
	return err == nil
}

// parseSpan reads a span ID; anything else is a usage error.
func parseSpan(arg string) (dump.SpanID, error) {
	id, err := dump.ParseSpanID(strings.ToLower(strings.Trim(arg, " \t\r\n\"'`")))
	if err != nil {
		return dump.SpanID{}, hint(usageError(err), "a span ID is 16 hexadecimal digits, like 00f067aa0ba902b7")
	}
	return id, nil
}
