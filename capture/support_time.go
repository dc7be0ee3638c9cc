package capture

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var timeSupports = []builtinType{
	{"time.Time", TypeSupport{Describe: describeTime, Near: []string{"loc"}}},
	{"time.Location", TypeSupport{Describe: describeLocation, Near: []string{"zone", "tx", "cacheZone"}}},
	{"time.Duration", TypeSupport{Describe: func(v View, d *Description) {
		if n, ok := v.Int(); ok && v.Kind() == dump.Int64 {
			d.Summary(time.Duration(n).String())
		}
	}}},
	{"time.Month", TypeSupport{Describe: func(v View, d *Description) {
		if n, ok := v.Int(); ok && n >= 1 && n <= 12 {
			d.Summary(time.Month(n).String())
		}
	}}},
	{"time.Weekday", TypeSupport{Describe: func(v View, d *Description) {
		if n, ok := v.Int(); ok && n >= 0 && n <= 6 {
			d.Summary(time.Weekday(n).String())
		}
	}}},
}

// The layout of time.Time (time/time.go, Go 1.26): wall has a flag that there is a reading of the
// monotonic clock, 33 bits of seconds since 1885 if there is one, and 30 bits of nanoseconds; ext has
// that reading, in nanoseconds since the process began, or else the seconds since the year 1.
const (
	hasMonotonic = 1 << 63
	nsecShift    = 30
	unixOf1885   = -2682288000
	unixOf0001   = -62135596800
)

// timeOf reads a time.Time. zone is "" if it is UTC, and whyNot says why the time is in UTC though it was not.
func timeOf(v View) (t time.Time, monotonic int64, mono bool, whyNot string, ok bool) {
	wallv, extv, locv := v.Field("wall"), v.Field("ext"), v.Field("loc")
	wall, ok1 := wallv.Uint()
	ext, ok2 := extv.Int()
	nsec := int64(wall & (1<<nsecShift - 1))
	if !ok1 || !ok2 || wallv.Kind() != dump.Uint64 || extv.Kind() != dump.Int64 || locv.Kind() != dump.Pointer || nsec >= 1e9 {
		return t, 0, false, "", false
	}
	sec := ext + unixOf0001
	if wall&hasMonotonic != 0 {
		sec = int64(wall<<1>>(nsecShift+1)) + unixOf1885
		monotonic, mono = ext, true
	}
	t = time.Unix(sec, nsec).UTC()
	if locv.Missing() != "" {
		return t, monotonic, mono, locv.Missing(), true
	}
	if locv.IsNil() {
		return t, monotonic, mono, "", true
	}
	loc, why := v.x.zone(locv, sec)
	if why != "" {
		return t, monotonic, mono, why, true
	}
	return t.In(loc), monotonic, mono, "", true
}

func describeTime(v View, d *Description) {
	t, monotonic, mono, why, ok := timeOf(v)
	if !ok {
		return
	}
	d.Summary(timeText(t, why) + monotonicText(monotonic, mono))
}

// timeText is a time in RFC 3339, with the zone's abbreviation and the location's name.
func timeText(t time.Time, why string) string {
	s := t.Format(time.RFC3339Nano)
	if why != "" {
		return s + " (in UTC, as its location is not known: " + why + ")"
	}
	if t.Location() == time.UTC {
		return s
	}
	if abbreviation, _ := t.Zone(); abbreviation != "" && (abbreviation[0] < '+' || abbreviation[0] > '9') {
		s += " " + abbreviation
	}
	if name := t.Location().String(); name != "" && name != "UTC" {
		s += " (" + name + ")"
	}
	return s
}

// monotonicText is the monotonic reading as Time.String has it.
func monotonicText(n int64, has bool) string {
	if !has {
		return ""
	}
	sign, u := "+", uint64(n)
	if n < 0 {
		sign, u = "-", -u
	}
	frac := strconv.FormatUint(1e9+u%1e9, 10)[1:]
	return " m=" + sign + strconv.FormatUint(u/1e9, 10) + "." + frac
}

// location is a time.Location made anew from a captured one.
type location struct {
	loc *time.Location
	why string // there is none
	// The zone that was in force when the Location was made, if only that is known.
	start, end int64
}

// zone returns the location that locv points at, for a time at sec seconds since 1970.
func (x *looker) zone(locv View, sec int64) (*time.Location, string) {
	at := locv.Pointer()
	l, ok := x.zones[at]
	if !ok {
		if x.zones == nil {
			x.zones = map[uint64]location{}
		}
		l = locationOf(locv.Elem())
		x.zones[at] = l
	}
	if l.why != "" {
		return nil, l.why
	}
	if l.end != l.start && (sec < l.start || sec >= l.end) {
		return nil, "its rules were not captured"
	}
	return l.loc, ""
}

// locationOf makes a time.Location anew: it writes what was captured as a file of the time zone database
// (RFC 8536), which package time reads. So zones are looked up as the program does it.
func locationOf(v View) location {
	if !v.OK() {
		return location{why: v.Missing()}
	}
	name, whole, ok := v.Field("name").Text()
	if !ok || !whole {
		return location{why: "its name is not known"}
	}
	zones, tx := v.Field("zone"), v.Field("tx")
	if zones.Kind() != dump.Slice || tx.Kind() != dump.Slice {
		return location{why: "it is not as this version knows it"}
	}
	n, ntx := zones.Len(), tx.Len()
	if n == 0 {
		if zones.Missing() != "" || !zones.IsNil() && zones.Pointer() == 0 {
			return location{why: "its rules were not captured"}
		}
		if name == "" {
			return location{why: "the program has not loaded it"} // time.Local before its first use
		}
		return location{loc: time.UTC} // as package time has it
	}
	var types, abbreviations, times, indexes []byte
	be := binary.BigEndian
	names := map[string]byte{}
	for i := range n {
		z := zones.Index(i)
		abbreviation, whole, ok1 := z.Field("name").Text()
		off, ok2 := z.Field("offset").Int()
		dst, ok3 := z.Field("isDST").Bool()
		if !whole || !ok1 || !ok2 || !ok3 || off != int64(int32(off)) || len(abbreviation) > 32 {
			return cachedZone(v, name)
		}
		at, ok := names[abbreviation]
		if !ok {
			if len(abbreviations) > 255 {
				return cachedZone(v, name)
			}
			at = byte(len(abbreviations))
			names[abbreviation] = at
			abbreviations = append(append(abbreviations, abbreviation...), 0)
		}
		types = be.AppendUint32(types, uint32(int32(off)))
		types = append(types, b2i(dst), at)
	}
	for i := range ntx {
		t := tx.Index(i)
		when, ok1 := t.Field("when").Int()
		index, ok2 := t.Field("index").Uint()
		if !ok1 || !ok2 || index >= uint64(n) {
			return cachedZone(v, name)
		}
		times = be.AppendUint64(times, uint64(when))
		indexes = append(indexes, byte(index))
	}
	extend, whole, ok := v.Field("extend").Text()
	if !ok || !whole {
		return cachedZone(v, name)
	}
	head := append([]byte("TZif2"), make([]byte, 15)...)
	file := append(head[:len(head):len(head)], make([]byte, 24)...) // no data in the form of version 1
	file = append(file, head...)
	for _, k := range []int{0, 0, 0, ntx, n, len(abbreviations)} {
		file = be.AppendUint32(file, uint32(k))
	}
	for _, b := range [][]byte{times, indexes, types, abbreviations} {
		file = append(file, b...)
	}
	file = append(file, "\n"+extend+"\n"...)
	loc, err := time.LoadLocationFromTZData(name, file)
	if err != nil {
		return cachedZone(v, name)
	}
	return location{loc: loc}
}

// cachedZone is what a Location keeps of the zone that was in force when it was made.
func cachedZone(v View, name string) location {
	start, ok1 := v.Field("cacheStart").Int()
	end, ok2 := v.Field("cacheEnd").Int()
	off, ok3 := v.Path("cacheZone", "offset").Int()
	const day = 24 * 60 * 60
	if !ok1 || !ok2 || !ok3 || start >= end || off > day || off < -day {
		return location{why: "its rules were not captured"}
	}
	return location{loc: time.FixedZone(name, int(off)), start: start, end: end}
}

func describeLocation(v View, d *Description) {
	if s, _, ok := v.Field("name").Text(); ok && v.Field("tx").Kind() == dump.Slice {
		d.Summary(s)
	}
}

func b2i(b bool) byte {
	if b {
		return 1
	}
	return 0
}
