package dump

func (d *decoder) header(b []byte, h *Header) error {
	f := fields{b: b}
	for f.next() {
		var err error
		switch f.tag {
		case 1<<3 | wireBytes:
			err = fixedID(h.ID[:], f.v)
		case 2<<3 | wireBytes:
			err = fixedID(h.TraceID[:], f.v)
		case 3<<3 | wireBytes:
			err = fixedID(h.SpanID[:], f.v)
		case 4<<3 | wireBytes:
			h.Service = d.string(f.v)
		case 5<<3 | wireBytes:
			h.Time, err = d.time(f.v)
		case 6<<3 | wireBytes:
			h.Trigger = Trigger(d.string(f.v))
		case 7<<3 | wireBytes:
			h.Name = d.string(f.v)
		case 8<<3 | wireBytes:
			h.Description = d.string(f.v)
		case 9<<3 | wireBytes:
			err = d.reason(&f, &h.Reason)
		case 10<<3 | wireBytes:
			h.SpanName = d.string(f.v)
		case 11<<3 | wireBytes:
			err = d.keyValue(&f, &h.Resource)
		case 12<<3 | wireBytes:
			h.Host = d.string(f.v)
		case 13<<3 | wireVarint:
			h.PID = int(f.u)
		case 14<<3 | wireBytes:
			h.GoVersion = d.string(f.v)
		case 15<<3 | wireBytes:
			h.GOOS = d.string(f.v)
		case 16<<3 | wireBytes:
			h.GOARCH = d.string(f.v)
		case 17<<3 | wireBytes:
			err = d.module(f.v, &h.Module)
		case 18<<3 | wireBytes:
			err = d.vcs(f.v, &h.VCS)
		case 19<<3 | wireBytes:
			err = d.location(f.v, &h.Failing)
		case 20<<3 | wireBytes:
			err = d.counts(f.v, &h.Counts)
		case 21<<3 | wireBytes:
			err = d.budget(&f, &h.Budgets)
		case 22<<3 | wireBytes:
			err = d.ruleCount(&f, &h.Redactions)
		case 23<<3 | wireBytes:
			err = d.missing(&f, &h.Missing)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

// reason appends the current field of outer to list.
func (d *decoder) reason(outer *fields, list *[]ErrorInfo) error {
	r, err := grow(d, outer, list)
	if err != nil {
		return err
	}
	parent := uint64(0)
	f := fields{b: outer.v}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			r.Type = d.string(f.v)
		case 2<<3 | wireBytes:
			r.Message = d.string(f.v)
		case 3<<3 | wireVarint:
			parent = f.u
		case 4<<3 | wireVarint:
			r.Panic = f.u != 0
		case 5<<3 | wireVarint:
			r.Runtime = f.u != 0
		}
	}
	// A wrapped error comes after the one that wraps it; anything else would be
	// a cycle or point nowhere.
	r.Parent = -1
	if parent >= 1 && parent < uint64(len(*list)) {
		r.Parent = int(parent) - 1
	}
	return f.err
}

func (d *decoder) module(b []byte, m *Module) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			m.Path = d.string(f.v)
		case 2<<3 | wireBytes:
			m.Version = d.string(f.v)
		}
	}
	return f.err
}

func (d *decoder) vcs(b []byte, v *VCS) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			v.Revision = d.string(f.v)
		case 2<<3 | wireBytes:
			v.Time = d.string(f.v)
		case 3<<3 | wireVarint:
			v.Modified = f.u != 0
		}
	}
	return f.err
}

func (d *decoder) counts(b []byte, c *Counts) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireVarint:
			c.Goroutines = int(f.u)
		case 2<<3 | wireVarint:
			c.Frames = int(f.u)
		case 3<<3 | wireVarint:
			c.Variables = int(f.u)
		case 4<<3 | wireVarint:
			c.Objects = int(f.u)
		case 5<<3 | wireVarint:
			c.Bytes = int64(f.u)
		}
	}
	return f.err
}

// budget appends the current field of outer to list.
func (d *decoder) budget(outer *fields, list *[]Budget) error {
	bu, err := grow(d, outer, list)
	if err != nil {
		return err
	}
	f := fields{b: outer.v}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			bu.Name = d.string(f.v)
		case 2<<3 | wireBytes:
			bu.Unit = d.string(f.v)
		case 3<<3 | wireVarint:
			bu.Limit = int64(f.u)
		case 4<<3 | wireVarint:
			bu.Spent = int64(f.u)
		case 5<<3 | wireVarint:
			bu.Hits = int64(f.u)
		}
	}
	return f.err
}

// ruleCount appends the current field of outer to list.
func (d *decoder) ruleCount(outer *fields, list *[]RuleCount) error {
	rc, err := grow(d, outer, list)
	if err != nil {
		return err
	}
	f := fields{b: outer.v}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireBytes:
			rc.Rule = d.string(f.v)
		case 2<<3 | wireVarint:
			rc.Count = int64(f.u)
		}
	}
	return f.err
}

// sectionInfo is a directory entry as it stands in the file, not yet checked.
type sectionInfo struct {
	kind, offset, stored, raw, firstID, count uint64
}

func (d *decoder) section(b []byte, s *sectionInfo) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireVarint:
			s.kind = f.u
		case 2<<3 | wireVarint:
			s.offset = f.u
		case 3<<3 | wireVarint:
			s.stored = f.u
		case 4<<3 | wireVarint:
			s.raw = f.u
		case 5<<3 | wireVarint:
			s.firstID = f.u
		case 6<<3 | wireVarint:
			s.count = f.u
		}
	}
	return f.err
}

func (d *decoder) prelude(b []byte, h *Header) (sections []sectionInfo, err error) {
	f := fields{b: b}
	for f.next() {
		var err error
		switch f.tag {
		case 1<<3 | wireBytes:
			err = d.header(f.v, h)
		case 2<<3 | wireBytes:
			var s *sectionInfo
			if s, err = grow(d, &f, &sections); err == nil {
				err = d.section(f.v, s)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return sections, f.err
}

func (d *decoder) extra(b []byte, x *Extra) error {
	f := fields{b: b}
	for f.next() {
		var err error
		switch f.tag {
		case 1<<3 | wireBytes:
			x.SpanKind = d.string(f.v)
		case 2<<3 | wireBytes:
			x.SpanStart, err = d.time(f.v)
		case 3<<3 | wireBytes:
			x.SpanEnd, err = d.time(f.v)
		case 4<<3 | wireBytes:
			x.SpanStatus = d.string(f.v)
		case 5<<3 | wireBytes:
			x.SpanMessage = d.string(f.v)
		case 6<<3 | wireBytes:
			err = d.keyValue(&f, &x.SpanAttributes)
		case 7<<3 | wireBytes:
			err = d.spanEvent(&f, &x.SpanEvents)
		case 8<<3 | wireBytes:
			err = fixedID(x.ParentSpanID[:], f.v)
		case 9<<3 | wireBytes:
			x.Scope = d.string(f.v)
		case 10<<3 | wireBytes:
			var arg *string
			if arg, err = grow(d, &f, &x.CommandLine); err == nil {
				*arg = d.string(f.v)
			}
		case 11<<3 | wireBytes:
			x.Executable = d.string(f.v)
		case 12<<3 | wireBytes:
			x.BuildID = d.string(f.v)
		case 13<<3 | wireBytes:
			x.StartTime, err = d.time(f.v)
		case 14<<3 | wireBytes:
			var m *Module
			if m, err = grow(d, &f, &x.Modules); err == nil {
				err = d.module(f.v, m)
			}
		case 15<<3 | wireBytes:
			err = d.keyValue(&f, &x.Settings)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

// spanEvent appends the current field of outer to list.
func (d *decoder) spanEvent(outer *fields, list *[]SpanEvent) error {
	ev, err := grow(d, outer, list)
	if err != nil {
		return err
	}
	f := fields{b: outer.v}
	for f.next() {
		var err error
		switch f.tag {
		case 1<<3 | wireBytes:
			ev.Name = d.string(f.v)
		case 2<<3 | wireBytes:
			ev.Time, err = d.time(f.v)
		case 3<<3 | wireBytes:
			err = d.keyValue(&f, &ev.Attributes)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

// endRecord is the content of the end section.
type endRecord struct {
	size, sections uint64
	preludeCRC     uint32
}

func (d *decoder) end(b []byte, e *endRecord) error {
	f := fields{b: b}
	for f.next() {
		switch f.tag {
		case 1<<3 | wireFixed64:
			e.size = f.u
		case 2<<3 | wireVarint:
			e.sections = f.u
		case 3<<3 | wireFixed32:
			e.preludeCRC = uint32(f.u)
		}
	}
	return f.err
}
