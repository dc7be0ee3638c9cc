package capture

import (
	"strconv"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var sqlSupports = []builtinType{
	{"database/sql.DB", TypeSupport{Leave: []string{"dep", "lastPut", "connRequests"}, Describe: describeDB}},
	{"database/sql.NullString", TypeSupport{Describe: describeNull("String")}},
	{"database/sql.NullInt64", TypeSupport{Describe: describeNull("Int64")}},
	{"database/sql.NullInt32", TypeSupport{Describe: describeNull("Int32")}},
	{"database/sql.NullInt16", TypeSupport{Describe: describeNull("Int16")}},
	{"database/sql.NullByte", TypeSupport{Describe: describeNull("Byte")}},
	{"database/sql.NullFloat64", TypeSupport{Describe: describeNull("Float64")}},
	{"database/sql.NullBool", TypeSupport{Describe: describeNull("Bool")}},
	{"database/sql.NullTime", TypeSupport{Describe: describeNull("Time")}},
	{"database/sql.Null[*]", TypeSupport{Describe: describeNull("V")}},
}

// describeNull shows the value, or that it is NULL.
func describeNull(name string) func(View, *Description) {
	return func(v View, d *Description) {
		valid, ok := v.Field("Valid").Bool()
		switch f := v.Field(name); {
		case !ok || !f.OK():
		case !valid:
			d.Summary("NULL")
		default:
			d.Summary(brief(f))
		}
	}
}

func describeDB(v View, d *Description) {
	open, ok1 := v.Field("numOpen").Int()
	closed, ok2 := v.Field("closed").Bool()
	limit, ok3 := v.Field("maxOpen").Int()
	free := v.Field("freeConn")
	if !ok1 || !ok2 || !ok3 || free.Kind() != dump.Slice {
		return
	}
	idle := int64(free.Len())
	s := count(open, "connection", "connections") + " open, " + strconv.FormatInt(idle, 10) + " idle"
	if limit > 0 {
		s += ", at most " + strconv.FormatInt(limit, 10)
	}
	if n, ok := v.Field("waitCount").Int(); ok && n > 0 {
		s += ", " + count(n, "has waited", "have waited")
	}
	d.Summary(s + pick(closed, ", closed", ""))
}
