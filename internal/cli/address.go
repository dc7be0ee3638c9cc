package cli

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// address is what an argument names: one dump, or all of a trace. Which fields
// are set depends on the kind.
type address struct {
	arg  string // as it was typed, for messages
	kind addressKind

	path  string        // addrFile
	trace dump.TraceID  // addrTrace
	id    dump.Identity // addrDump; of addrStored and addrFile if the address tells
	base  string        // addrStored: the store's URL, without a "/" at its end
	query string        // addrStored: what followed a "?"
}

type addressKind int

const (
	addrStdin  addressKind = iota // "-"
	addrFile                      // a path, or a file: URI
	addrTrace                     // a trace ID in any form, or a page about the trace
	addrDump                      // a dump ID, or a page about the dump
	addrStored                    // where in a store the dump lies: "s3://bucket/…"
)

var (
	// One letter before the colon is a drive of Windows.
	uriForm = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]+):(/.*)$`)
	// What stands before a value that was copied with its attribute's name.
	attribute = regexp.MustCompile(`^(?:coredumpy\.)?dump[._](?:id|uri|url)\s*[=:]\s*`)
	uuidRun   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	traceForm = regexp.MustCompile(`^([0-9a-f]{32}|trace_id=.*|traceparent:.*|[0-9a-f]{2}-[0-9a-f]{32}-.*)$`)
)

// parseAddress reads an argument of a command that opens dumps: "-", a path, or
// whatever [parseStored] reads. What exists as a file is the file.
func parseAddress(arg string) (address, error) {
	if arg == "-" {
		return address{arg: arg, kind: addrStdin}, nil
	}
	if _, err := os.Lstat(arg); err == nil {
		return address{arg: arg, kind: addrFile, path: arg}, nil
	}
	s := unquote(arg)
	if lower := strings.ToLower(s); uriForm.MatchString(s) || traceForm.MatchString(lower) || isDumpID(lower) {
		return parseStored(arg)
	}
	return address{arg: arg, kind: addrFile, path: arg}, nil // opening it will say what is wrong with it
}

// parseStored reads what names dumps in a store, as people paste it from a
// span: a trace ID in the forms of [parseTrace], a dump ID, the address of a
// page that has one of them in it, or the URI of a dump. Anything else is a
// usage error.
func parseStored(arg string) (address, error) {
	s := unquote(arg)
	lower := strings.ToLower(s)
	if id, err := dump.ParseID(lower); err == nil {
		return dumpAddress(arg, id)
	}
	parts := uriForm.FindStringSubmatch(s)
	if parts == nil {
		trace, err := parseTrace(arg)
		return address{arg: arg, kind: addrTrace, trace: trace}, err
	}
	switch scheme := strings.ToLower(parts[1]); {
	case scheme == "file":
		return parseFileURI(arg, s)
	case scheme == "http" || scheme == "https":
		return parsePage(arg, lower)
	case scheme == "s3" || slices.Contains(sink.Schemes(), scheme):
		return parseObjectURI(arg, scheme+":"+parts[2])
	default:
		return address{}, hint(usagef("address %q: there is no store with the scheme %s:", arg, scheme), "known are file: and s3:")
	}
}

func dumpAddress(arg string, id dump.ID) (address, error) {
	a := address{arg: arg, kind: addrDump, id: dump.Identity{ID: id}}
	if err := sink.CheckIdentity(a.id); err != nil {
		return a, usageError(fmt.Errorf("dump ID %q: no dump has it: %w", arg, err))
	}
	return a, nil
}

// unquote takes off what surrounds a value that was copied out of a page or a
// log.
func unquote(arg string) string {
	const around = " \t\r\n\"'`,"
	s := strings.Trim(arg, around)
	if at := attribute.FindStringIndex(s); at != nil {
		s = strings.Trim(s[at[1]:], around)
	}
	return s
}

// parsePage finds the dump or the trace that a page of a viewer or of a tracing
// system is about.
func parsePage(arg, s string) (address, error) {
	plain := s
	if u, err := url.QueryUnescape(s); err == nil {
		plain = u // a query of Grafana has the ID in quotes, percent-encoded
	}
	ids := uuidRun.FindAllString(plain, -1)
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) == 1 {
		if id, err := dump.ParseID(ids[0]); err == nil {
			return dumpAddress(arg, id)
		}
	}
	trace, err := parseTrace(s)
	return address{arg: arg, kind: addrTrace, trace: trace}, err
}

// parseFileURI reads "file:///abs/path".
func parseFileURI(arg, s string) (address, error) {
	u, err := url.Parse(s)
	if err != nil {
		return address{}, usagef("address %q is not a URI", arg)
	}
	if u.Host != "" && u.Host != "localhost" {
		return address{}, hint(usagef("address %q: the file lies on the machine %s", arg, u.Host), "copy it here, and give its path")
	}
	if u.Path == "" || strings.ContainsRune(u.Path, 0) {
		return address{}, usagef("address %q has no path in it", arg)
	}
	path := u.Path
	if len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:] // "file:///C:/x"
	}
	a := address{arg: arg, kind: addrFile, path: filepath.FromSlash(path)}
	if i := strings.LastIndex(path, "/"+sink.TracesPrefix); i >= 0 {
		a.id, _ = sink.ParseTraceKey(path[i+1:]) // zero for a file that lies elsewhere
	}
	return a, nil
}

// parseObjectURI reads "s3://bucket/prefix/v1/traces/<trace-id>/<dump-id>.cdmp",
// and the like of other stores. It is no URL: stores write their keys into it as
// they are. Behind it a "?" and the parameters of [sink.Open] may stand.
func parseObjectURI(arg, s string) (address, error) {
	a := address{arg: arg, kind: addrStored}
	bad := func() (address, error) {
		return a, hint(usagef("address %q is not that of a dump", arg),
			"a dump's address ends in %s<trace-id>/<dump-id>%s, as on the span (coredumpy.dump.uri) and in \"coredumpy ls --format json\"", sink.TracesPrefix, dump.Extension)
	}
	if i := strings.LastIndex(s, dump.Extension+"?"); i >= 0 {
		i += len(dump.Extension)
		s, a.query = s[:i], s[i+1:]
	}
	i := strings.LastIndex(s, "/"+sink.TracesPrefix)
	if i < 0 {
		return bad()
	}
	var err error
	if a.id, err = sink.ParseTraceKey(s[i+1:]); err != nil {
		return bad()
	}
	a.base = s[:i]
	if _, rest, ok := strings.Cut(a.base, "://"); !ok || rest == "" || strings.HasPrefix(rest, "/") {
		return bad()
	}
	return a, nil
}

// bucket returns the bucket and the prefix of an address in S3.
func (a *address) bucket() (name, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(a.base, "s3://")
	if !ok {
		return "", "", false
	}
	name, prefix, _ = strings.Cut(rest, "/")
	return name, prefix, true
}

// uri is the address of the dump, as its store writes it.
func (a *address) uri() string { return a.base + "/" + sink.TraceKey(a.id) }
