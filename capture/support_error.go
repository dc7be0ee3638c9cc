package capture

import (
	"strconv"
	"strings"
	"syscall"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var errorSupports = []builtinType{
	{"errors.errorString", TypeSupport{Near: []string{"s"}, Describe: describeField("s")}},
	{"fmt.wrapError", TypeSupport{Near: []string{"msg"}, Describe: describeField("msg")}},
	{"fmt.wrapErrors", TypeSupport{Near: []string{"msg", "errs"}, Describe: func(v View, d *Description) {
		describeField("msg")(v, d)
		errorChildren(v.Field("errs"), d)
	}}},
	{"errors.joinError", TypeSupport{Near: []string{"errs"}, Describe: func(v View, d *Description) {
		d.Summary(strings.Join(errorChildren(v.Field("errs"), d), "; "))
	}}},
	{"io/fs.PathError", TypeSupport{Describe: func(v View, d *Description) {
		op, _, ok1 := v.Field("Op").Text()
		path, _, ok2 := v.Field("Path").Text()
		if ok1 && ok2 {
			d.Summary(op + " " + path + ": " + brief(v.Field("Err")))
		}
	}}},
	{"os.SyscallError", TypeSupport{Describe: func(v View, d *Description) {
		if call, _, ok := v.Field("Syscall").Text(); ok {
			d.Summary(call + ": " + brief(v.Field("Err")))
		}
	}}},
	{"net/url.Error", TypeSupport{Describe: func(v View, d *Description) {
		op, _, ok1 := v.Field("Op").Text()
		u, _, ok2 := v.Field("URL").Text()
		if ok1 && ok2 {
			d.Summary(op + " " + strconv.Quote(u) + ": " + brief(v.Field("Err")))
		}
	}}},
	{"strconv.NumError", TypeSupport{Describe: func(v View, d *Description) {
		f, _, ok1 := v.Field("Func").Text()
		num, _, ok2 := v.Field("Num").Text()
		if ok1 && ok2 {
			d.Summary("strconv." + f + ": parsing " + strconv.Quote(num) + ": " + brief(v.Field("Err")))
		}
	}}},
	{"syscall.Errno", TypeSupport{Describe: func(v View, d *Description) {
		if n, ok := v.Uint(); ok {
			d.Summary(syscall.Errno(n).Error())
		}
	}}},
	{"context.deadlineExceededError", TypeSupport{Describe: func(v View, d *Description) {
		if v.Kind() == dump.Struct && v.NumField() == 0 {
			d.Summary("context deadline exceeded")
		}
	}}},
}

// describeField makes the text in a field the summary.
func describeField(name string) func(View, *Description) {
	return func(v View, d *Description) {
		if s, _, ok := v.Field(name).Text(); ok {
			d.Summary(s)
		}
	}
}

// errorChildren makes children of the errors in a slice, and returns them in a few words.
func errorChildren(v View, d *Description) (texts []string) {
	if v.Kind() != dump.Slice {
		return nil
	}
	for i := range min(v.Len(), maxChildren+1) {
		e := v.Index(i)
		if !e.OK() {
			texts = append(texts, "…")
			break
		}
		d.Child("["+strconv.Itoa(i)+"]", e)
		texts = append(texts, brief(e))
	}
	return texts
}
