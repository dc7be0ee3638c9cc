package exporter

import (
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Ref says which dump was made of a failure, and where it goes. The dump may
// not be stored yet.
type Ref struct {
	dump.Identity
	Trigger dump.Trigger
	// URI is where the dump is stored: "file:///…" or "s3://…".
	URI string
	// URL opens the dump in the viewer, "" if none is configured.
	URL string
}

// IsZero reports whether there is no dump.
func (r Ref) IsZero() bool { return r.ID.IsZero() }

// The attributes of a failing span that say where its dump is.
const (
	// AttrDumpSimilar is true on a span that has no dump of its own. The dump
	// that it refers to is of a failure like its own, of another request.
	AttrDumpSimilar = attribute.Key("coredumpy.dump.similar")

	AttrDumpID      = attribute.Key("coredumpy.dump.id")
	AttrDumpURL     = attribute.Key("coredumpy.dump.url")
	AttrDumpURI     = attribute.Key("coredumpy.dump.uri")
	AttrDumpTrigger = attribute.Key("coredumpy.dump.trigger")
)

// Attributes returns the attributes that say on a span where its dump is.
func (r Ref) Attributes() []attribute.KeyValue {
	if r.IsZero() {
		return nil
	}
	kvs := make([]attribute.KeyValue, 0, 4)
	kvs = append(kvs, AttrDumpID.String(r.ID.String()), AttrDumpTrigger.String(string(r.Trigger)))
	if r.URI != "" {
		kvs = append(kvs, AttrDumpURI.String(r.URI))
	}
	if r.URL != "" {
		kvs = append(kvs, AttrDumpURL.String(r.URL))
	}
	return kvs
}

// viewerURL fills in the placeholders {dump_id}, {trace_id}, {span_id} and
// {service} of a template; a template without any is a base, under which the
// dump is at /d/<dump ID>.
func viewerURL(template string, id dump.Identity) string {
	if template == "" {
		return ""
	}
	if !strings.Contains(template, "{") {
		return strings.TrimRight(template, "/") + "/d/" + id.ID.String()
	}
	// PathEscape is also right in a query, but for the plus sign.
	service := strings.ReplaceAll(url.PathEscape(id.Service), "+", "%2B")
	return strings.NewReplacer(
		"{dump_id}", id.ID.String(), "{trace_id}", id.TraceID.String(), "{span_id}", id.SpanID.String(),
		"{service}", service,
	).Replace(template)
}
