package capture

import (
	"strconv"
	"unicode/utf8"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var textSupports = []builtinType{
	{"strings.Builder", TypeSupport{Near: []string{"buf"}, Describe: func(v View, d *Description) {
		describeBytes(v.Field("buf"), 0, d)
	}}},
	{"bytes.Buffer", TypeSupport{Near: []string{"buf"}, Describe: func(v View, d *Description) {
		if off, ok := v.Field("off").Int(); ok && off >= 0 {
			describeBytes(v.Field("buf"), int(off), d)
		}
	}}},
	{"encoding/json.RawMessage", TypeSupport{Describe: func(v View, d *Description) {
		if b, whole := v.Bytes(); len(b) > 0 && utf8.Valid(b) {
			d.Summary(string(b) + pick(whole, "", "…"))
		}
	}}},
	{"regexp.Regexp", TypeSupport{Leave: []string{"prog", "onepass", "prefixBytes", "subexpNames"}, Near: []string{"expr"}, Describe: func(v View, d *Description) {
		if s, _, ok := v.Field("expr").Text(); ok {
			d.Summary(s)
		}
	}}},
	{"strings.Reader", TypeSupport{Near: []string{"s"}, Describe: func(v View, d *Description) {
		at, ok := v.Field("i").Int()
		if ok && v.Field("s").Kind() == dump.String {
			d.Summary(progress(at, v.Field("s").Len()))
		}
	}}},
	{"bytes.Reader", TypeSupport{Near: []string{"s"}, Describe: func(v View, d *Description) {
		at, ok := v.Field("i").Int()
		if ok && v.Field("s").Kind() == dump.Slice {
			d.Summary(progress(at, v.Field("s").Len()))
		}
	}}},
}

func progress(at int64, n int) string {
	return "at byte " + strconv.FormatInt(at, 10) + " of " + strconv.Itoa(n)
}

// describeBytes shows the text of a byte slice from off on.
func describeBytes(v View, off int, d *Description) {
	if v.Kind() != dump.Slice {
		return
	}
	if v.IsNil() || v.Len() == 0 {
		d.Summary(`""`)
		return
	}
	b, whole := v.Bytes()
	if off > len(b) || len(b) == 0 {
		return
	}
	b = b[off:]
	more := ""
	if len(b) > maxSummary/2 {
		b, whole = b[:maxSummary/2], false
	}
	if !whole {
		more = "… (" + count(int64(v.Len()-off), "byte", "bytes") + ")"
	}
	d.Summary(strconv.Quote(string(b)) + more)
}
