package e2e

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// span is a span as it reached a collector.
type span struct {
	resource   map[string]string
	scope      string
	trace      string
	id         string
	parent     string
	name       string
	kind       tracepb.Span_SpanKind
	status     tracepb.Status_StatusCode
	message    string
	attributes map[string]string
	events     []event
	links      []link
}

type event struct {
	name       string
	attributes map[string]string
}

type link struct {
	trace, span string
	attributes  map[string]string
}

// collector is a small OTLP/HTTP receiver.
type collector struct {
	url    string
	server *httptest.Server

	mu    sync.Mutex
	spans []span
	errs  []error
	t     *testing.T
}

func newCollector(t *testing.T) *collector {
	c := &collector{t: t}
	c.server = httptest.NewServer(c)
	c.url = c.server.URL
	return c
}

// stop returns what was received.
func (c *collector) stop() []span {
	c.server.Close()
	for _, err := range c.errs {
		c.t.Errorf("collector: %v", err)
	}
	return c.spans
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request coltracepb.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.errs = append(c.errs, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, rs := range request.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				c.spans = append(c.spans, convertSpan(rs.GetResource().GetAttributes(), ss.GetScope().GetName(), s))
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK)
}

func convertSpan(resource []*commonpb.KeyValue, scope string, s *tracepb.Span) span {
	out := span{
		resource:   attributes(resource),
		scope:      scope,
		trace:      hex.EncodeToString(s.GetTraceId()),
		id:         hex.EncodeToString(s.GetSpanId()),
		parent:     hex.EncodeToString(s.GetParentSpanId()),
		name:       s.GetName(),
		kind:       s.GetKind(),
		status:     s.GetStatus().GetCode(),
		message:    s.GetStatus().GetMessage(),
		attributes: attributes(s.GetAttributes()),
	}
	for _, e := range s.GetEvents() {
		out.events = append(out.events, event{name: e.GetName(), attributes: attributes(e.GetAttributes())})
	}
	for _, l := range s.GetLinks() {
		out.links = append(out.links, link{
			trace:      hex.EncodeToString(l.GetTraceId()),
			span:       hex.EncodeToString(l.GetSpanId()),
			attributes: attributes(l.GetAttributes()),
		})
	}
	return out
}

func attributes(list []*commonpb.KeyValue) map[string]string {
	m := make(map[string]string, len(list))
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			m[kv.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[kv.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		case *commonpb.AnyValue_BoolValue:
			m[kv.GetKey()] = strconv.FormatBool(v.BoolValue)
		default:
			m[kv.GetKey()] = kv.GetValue().String()
		}
	}
	return m
}

// of returns the spans of a trace by name.
func spansOf(spans []span, trace string) map[string]span {
	m := make(map[string]span)
	for _, s := range spans {
		if s.trace == trace {
			m[s.name] = s
		}
	}
	return m
}
