package capture

import (
	"strconv"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var httpSupports = []builtinType{
	{"net/http.Request", TypeSupport{Near: []string{"URL", "ctx"}, Describe: describeRequest}},
	{"net/http.Response", TypeSupport{Describe: func(v View, d *Description) {
		status, _, ok := v.Field("Status").Text()
		code, ok2 := v.Field("StatusCode").Int()
		switch {
		case !ok || !ok2:
		case status != "":
			d.Summary(status)
		default:
			d.Summary(strconv.FormatInt(code, 10))
		}
	}}},
	// What other requests are doing is not part of this one.
	{"net/http.Server", TypeSupport{Leave: []string{"activeConn", "listeners", "onShutdown", "TLSNextProto"}, Describe: describeField("Addr")}},
	{"net/http.Transport", TypeSupport{Leave: []string{"idleConn", "idleConnWait", "idleLRU", "connsPerHost", "connsPerHostWait", "reqCanceler", "dialsInProgress"}}},
}

func describeRequest(v View, d *Description) {
	method, _, ok := v.Field("Method").Text()
	u := v.Field("URL")
	if !ok || u.Kind() != dump.Pointer {
		return
	}
	if method == "" {
		method = "GET"
	}
	s := method
	if text, ok := urlText(u.Elem()); ok {
		s += " " + text
	}
	if host, _, ok := v.Field("Host").Text(); ok && host != "" {
		if h, _, _ := u.Path("Host").Text(); h == "" {
			s += " of " + host
		}
	}
	if sp := findSpan(v); sp.valid() {
		d.Text("span", sp.String())
	}
	d.Summary(s)
}
