package dump

import "google.golang.org/protobuf/encoding/protowire"

func (e *encoder) header(h *Header) {
	if !h.ID.IsZero() {
		e.bytes(1, h.ID[:])
	}
	if !h.TraceID.IsZero() {
		e.bytes(2, h.TraceID[:])
	}
	if !h.SpanID.IsZero() {
		e.bytes(3, h.SpanID[:])
	}
	e.string(4, h.Service)
	e.time(5, h.Time)
	e.string(6, string(h.Trigger))
	e.string(7, h.Name)
	e.string(8, h.Description)
	for i := range h.Reason {
		r := &h.Reason[i]
		at := e.open(9)
		e.string(1, r.Type)
		e.string(2, r.Message)
		e.int(3, int64(r.Parent)+1)
		e.bool(4, r.Panic)
		e.bool(5, r.Runtime)
		e.close(at)
	}
	e.string(10, h.SpanName)
	e.keyValues(11, h.Resource)
	e.string(12, h.Host)
	e.int(13, int64(h.PID))
	e.string(14, h.GoVersion)
	e.string(15, h.GOOS)
	e.string(16, h.GOARCH)
	if h.Module != (Module{}) {
		e.module(17, &h.Module)
	}
	if v := &h.VCS; *v != (VCS{}) {
		at := e.open(18)
		e.string(1, v.Revision)
		e.string(2, v.Time)
		e.bool(3, v.Modified)
		e.close(at)
	}
	if h.Failing != (Location{}) {
		e.location(19, &h.Failing)
	}
	if c := &h.Counts; *c != (Counts{}) {
		at := e.open(20)
		e.int(1, int64(c.Goroutines))
		e.int(2, int64(c.Frames))
		e.int(3, int64(c.Variables))
		e.int(4, int64(c.Objects))
		e.int(5, c.Bytes)
		e.close(at)
	}
	for i := range h.Budgets {
		b := &h.Budgets[i]
		at := e.open(21)
		e.string(1, b.Name)
		e.string(2, b.Unit)
		e.int(3, b.Limit)
		e.int(4, b.Spent)
		e.int(5, b.Hits)
		e.close(at)
	}
	for i := range h.Redactions {
		at := e.open(22)
		e.string(1, h.Redactions[i].Rule)
		e.int(2, h.Redactions[i].Count)
		e.close(at)
	}
	e.missing(23, h.Missing)
}

func (e *encoder) module(field uint64, m *Module) {
	at := e.open(field)
	e.string(1, m.Path)
	e.string(2, m.Version)
	e.close(at)
}

func (e *encoder) section(s *section) {
	e.uint(1, uint64(s.kind))
	e.uint(2, uint64(s.offset))
	e.uint(3, uint64(s.stored))
	e.uint(4, uint64(s.raw))
	e.uint(5, s.firstID)
	e.uint(6, uint64(s.count))
}

func (e *encoder) extra(x *Extra) {
	e.string(1, x.SpanKind)
	e.time(2, x.SpanStart)
	e.time(3, x.SpanEnd)
	e.string(4, x.SpanStatus)
	e.string(5, x.SpanMessage)
	e.keyValues(6, x.SpanAttributes)
	for i := range x.SpanEvents[:e.grant(len(x.SpanEvents))] {
		ev := &x.SpanEvents[i]
		at := e.open(7)
		e.string(1, ev.Name)
		e.time(2, ev.Time)
		e.keyValues(3, ev.Attributes)
		e.close(at)
	}
	if !x.ParentSpanID.IsZero() {
		e.bytes(8, x.ParentSpanID[:])
	}
	e.string(9, x.Scope)
	for _, arg := range x.CommandLine[:e.grant(len(x.CommandLine))] {
		e.element(10, arg)
	}
	e.string(11, x.Executable)
	e.string(12, x.BuildID)
	e.time(13, x.StartTime)
	for i := range x.Modules[:e.grant(len(x.Modules))] {
		e.module(14, &x.Modules[i])
	}
	e.keyValues(15, x.Settings)
}

// end writes every field whatever its value, because the length of the end
// section has to be known before the prelude is, whose checksum it holds.
func (e *encoder) end(size int64, sections int, preludeCRC uint32) {
	e.b = protowire.AppendVarint(e.b, 1<<3|wireFixed64)
	e.b = protowire.AppendFixed64(e.b, uint64(size))
	e.uint(2, uint64(sections))
	e.b = protowire.AppendVarint(e.b, 3<<3|wireFixed32)
	e.b = protowire.AppendFixed32(e.b, preludeCRC)
}
