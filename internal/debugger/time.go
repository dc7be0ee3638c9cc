package debugger

import (
	"fmt"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// summary describes a struct in words, "" if nothing is known to: what the
// capture wrote about it, or of a time.Time the time as dlv prints it.
func (x *Value) summary() string {
	if x.v.Summary != "" {
		return Clean(x.v.Summary)
	}
	if x.typ.Name == "time.Time" {
		return x.timeText()
	}
	return ""
}

// described is what a type support says of a value, "" if none did or if there is no value.
func (x *Value) described() string {
	if x.why != "" || x.v == nil {
		return ""
	}
	return Clean(x.v.Summary)
}

// The layout of time.Time, from time/time.go of Go 1.26: wall holds a flag for
// a monotonic clock reading, 33 bits of seconds since 1885 if the flag is set,
// and 30 bits of nanoseconds; ext holds the monotonic reading, or seconds since
// the year 1.
const (
	hasMonotonic   = 1 << 63
	nsecShift      = 30
	unixOf1885     = -2682288000
	unixOf0001     = -62135596800
	maxTimeSeconds = 1 << 48 // millions of years; beyond, the fields are garbage
)

func (x *Value) timeText() string {
	wallv, extv := x.field("wall"), x.field("ext")
	if wallv == nil || extv == nil || wallv.why != "" || extv.why != "" ||
		wallv.Kind() != dump.Uint64 || extv.Kind() != dump.Int64 {
		return ""
	}
	wall, ext := wallv.v.Num, int64(extv.v.Num)
	if wall&hasMonotonic != 0 {
		unix := int64(wall<<1>>(nsecShift+1)) + unixOf1885
		return fmt.Sprintf("%s, %+d", x.clock(unix), ext)
	}
	if ext > maxTimeSeconds || ext < -maxTimeSeconds {
		return ""
	}
	return x.clock(ext + unixOf0001)
}

// clock prints a Unix time in the location of the time.Time x, as far as the
// dump has the location's rules; else in UTC. Delve loads the zone by its name
// from the debugging machine, which may have other rules; a dump must not make
// us read files.
func (x *Value) clock(unix int64) string {
	t := time.Unix(unix, 0).UTC()
	if locv := x.field("loc"); locv != nil && locv.why == "" && locv.Kind() == dump.Pointer && !locv.IsNil() {
		if zone, ok := locv.Target().zone(unix); ok {
			t = t.In(zone)
		}
	}
	return t.Format(time.RFC3339)
}

// zone looks up which zone of a time.Location was in force at a Unix time.
func (x *Value) zone(unix int64) (*time.Location, bool) {
	if x.why != "" || x.Kind() != dump.Struct {
		return nil, false
	}
	start, end, cached := x.field("cacheStart"), x.field("cacheEnd"), x.field("cacheZone")
	if whole(start, dump.Int64) && whole(end, dump.Int64) && whole(cached, dump.Pointer) && !cached.IsNil() &&
		int64(start.v.Num) <= unix && unix < int64(end.v.Num) {
		return cached.Target().offset()
	}
	zones, tx := x.field("zone"), x.field("tx")
	if !whole(zones, dump.Slice) || !whole(tx, dump.Slice) || zones.Len() == 0 {
		return nil, false
	}
	// The transitions are in order of time; the last one before unix counts.
	index := int64(0)
	e := tx.elements()
	if e.n != tx.Len() {
		return nil, false
	}
	for i := range e.n {
		t := e.at(i, "")
		if t.why != "" || t.Kind() != dump.Struct {
			return nil, false
		}
		when, idx := t.field("when"), t.field("index")
		if !whole(when, dump.Int64) || !whole(idx, dump.Uint8) {
			return nil, false
		}
		if int64(when.v.Num) > unix {
			break
		}
		index = int64(idx.v.Num)
	}
	ze := zones.elements()
	if index < 0 || index >= ze.n {
		return nil, false
	}
	return ze.at(index, "").offset()
}

// offset makes a fixed zone of a time.zone struct.
func (x *Value) offset() (*time.Location, bool) {
	if x.why != "" || x.Kind() != dump.Struct {
		return nil, false
	}
	off := x.field("offset")
	const day = 24 * 60 * 60
	if !whole(off, dump.Int) || int64(off.v.Num) > day || int64(off.v.Num) < -day {
		return nil, false
	}
	return time.FixedZone("", int(int64(off.v.Num))), true
}

func whole(x *Value, k dump.Kind) bool { return x != nil && x.why == "" && x.Kind() == k }

// field returns a struct's own field of that name, nil if it has none.
func (x *Value) field(name string) *Value {
	for i := range x.typ.Fields {
		if x.typ.Fields[i].Name == name {
			return x.Field(i)
		}
	}
	return nil
}
