package capture

import (
	"strconv"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// Messages that protoc-gen-go (google.golang.org/protobuf) generates are structs with a field "state", by which they
// are told; it leads to the type's description, which is large. The message's own fields are those with a
// "protobuf" tag, or "protobuf_oneof".

const (
	messageState = "google.golang.org/protobuf/internal/impl.MessageState"
	wellKnown    = "google.golang.org/protobuf/types/known/"
)

var messageLeave = []string{"state", "extensionFields", "weakFields", "XXX_lazyUnmarshalInfo"}

var (
	messageSupport = builtinType{"a generated protobuf message", TypeSupport{Leave: messageLeave, Describe: describeMessage}}
	protoSupports  = []builtinType{
		{messageState, TypeSupport{Leave: []string{"atomicMessageInfo"}}},
		{wellKnown + "timestamppb.Timestamp", TypeSupport{Leave: messageLeave, Describe: func(v View, d *Description) {
			if sec, nanos, ok := secondsOf(v); ok && nanos >= 0 {
				d.Summary(time.Unix(sec, nanos).UTC().Format(time.RFC3339Nano))
			}
		}}},
		{wellKnown + "durationpb.Duration", TypeSupport{Leave: messageLeave, Describe: func(v View, d *Description) {
			if sec, nanos, ok := secondsOf(v); ok {
				d.Summary(durationText(sec, nanos))
			}
		}}},
		{wellKnown + "wrapperspb.*Value", TypeSupport{Leave: messageLeave, Describe: func(v View, d *Description) {
			if f := v.Field("Value"); f.OK() {
				d.Summary(brief(f))
			}
		}}},
	}
)

func secondsOf(v View) (sec, nanos int64, ok bool) {
	sec, ok1 := v.Field("Seconds").Int()
	nanos, ok2 := v.Field("Nanos").Int()
	return sec, nanos, ok1 && ok2 && nanos < 1e9 && nanos > -1e9 && v.Field("Seconds").Kind() == dump.Int64
}

// durationText is a duration as Go prints it, or in seconds if it is too long for a time.Duration.
func durationText(sec, nanos int64) string {
	if d := time.Duration(sec) * time.Second; d/time.Second == time.Duration(sec) {
		if sum := d + time.Duration(nanos); (sum > d) == (nanos > 0) || nanos == 0 {
			return sum.String()
		}
	}
	return strconv.FormatInt(sec, 10) + "s"
}

// describeMessage shows the fields that are set, by the names that they have in the .proto file.
func describeMessage(v View, d *Description) {
	var list []string
	for i := range v.NumField() {
		f := &v.t.fields[i]
		x := v.FieldAt(i)
		name := protoName(f.tag)
		if strings.HasPrefix(f.tag, `protobuf_oneof:"`) || f.typ.kind == dump.Interface && strings.Contains(f.tag, "protobuf_oneof") {
			if x = x.Elem().Elem(); x.NumField() != 1 {
				continue
			}
			name = protoName(x.t.fields[0].tag)
			x = x.FieldAt(0)
		} else if x.Missing() == "" && isUnset(x) {
			continue
		}
		if name == "" {
			continue
		}
		if x.Kind() == dump.Pointer && x.t.resolve().elem != nil && x.t.elem.kind != dump.Struct {
			x = x.Elem() // an optional field
		}
		d.Child(name, x)
		if len(list) < 8 {
			list = append(list, name+":"+brief(x))
		} else if len(list) == 8 {
			list = append(list, "…")
		}
	}
	if len(list) == 0 {
		// One in which nothing is set, or one of an API whose fields are not known here.
		if _, ok := v.Field("sizeCache").Int(); ok && v.t.fieldNamed("unknownFields") != nil {
			d.Summary("nothing set")
		}
		return
	}
	d.Summary(strings.Join(list, " "))
}

// isUnset reports whether a field has its zero value.
func isUnset(v View) bool {
	switch v.Kind() {
	case dump.String, dump.Slice:
		return v.Len() == 0
	}
	return isZero(v)
}

// protoName returns the field's name of a tag like `protobuf:"varint,1,opt,name=seconds,proto3"`, "" if it is another.
func protoName(tag string) string {
	rest, ok := strings.CutPrefix(tag, `protobuf:"`)
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, `"`)
	for _, p := range strings.Split(rest, ",") {
		if n, ok := strings.CutPrefix(p, "name="); ok {
			return n
		}
	}
	return ""
}
