package exporter

import (
	"reflect"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// excludes are the entries of Config.Exclude.
type excludes []string

func newExcludes(entries []string) excludes {
	var x excludes
	for _, e := range entries {
		if e = strings.TrimSpace(e); e != "" {
			x = append(x, e)
		}
	}
	return x
}

// match reports whether an error or panic value of this type and message is
// excluded. Either may be unknown, "".
func (x excludes) match(typ, message string) bool {
	for _, e := range x {
		if message != "" && (message == e || strings.HasSuffix(message, ": "+e)) {
			return true
		}
		if typ == "" {
			continue
		}
		if typ == e {
			return true
		}
		// The SDK writes "*url.Error" for what is "*net/url.Error" in full.
		if !strings.Contains(typ, "/") && shortType(e) == typ || !strings.Contains(e, "/") && shortType(typ) == e {
			return true
		}
	}
	return false
}

func (x excludes) matchAny(infos []dump.ErrorInfo) bool {
	if len(x) == 0 {
		return false
	}
	for _, i := range infos {
		if x.match(i.Type, i.Message) {
			return true
		}
	}
	return false
}

// shortType turns "*net/url.Error" into "*url.Error".
func shortType(t string) string {
	rest := strings.TrimLeft(t, "*")
	stars := t[:len(t)-len(rest)]
	end := len(rest)
	if i := strings.IndexByte(rest, '['); i >= 0 { // type arguments have paths of their own
		end = i
	}
	return stars + rest[strings.LastIndexByte(rest[:end], '/')+1:]
}

// maxChain is how many errors of a tree are looked at.
const maxChain = 64

// errorChain returns types and messages of err and of what it wraps. It calls
// Error and Unwrap, as span.RecordError and errors.Is do, so it is only for
// errors that the application hands in for that.
func errorChain(err error) []dump.ErrorInfo {
	var infos []dump.ErrorInfo
	var walk func(err error, parent int)
	walk = func(err error, parent int) {
		if err == nil || len(infos) >= maxChain {
			return
		}
		me := len(infos)
		infos = append(infos, dump.ErrorInfo{Type: typeName(reflect.TypeOf(err)), Message: message(err), Parent: parent})
		defer func() { _ = recover() }() // Unwrap on a nil pointer, say
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			walk(u.Unwrap(), me)
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				walk(e, me)
			}
		}
	}
	walk(err, -1)
	return infos
}

func message(err error) (s string) {
	defer func() { _ = recover() }()
	return err.Error()
}

func typeName(t reflect.Type) string {
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		return "*" + typeName(t.Elem())
	}
	if t.PkgPath() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}
