package exporter

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/capture"
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

// sentinels are the errors of Config.ExcludeIs.
type sentinels []sentinel

type sentinel struct {
	err  error
	info dump.ErrorInfo // as data shows it
}

func newSentinels(errs []error) sentinels {
	var list sentinels
	for _, err := range errs {
		if err != nil {
			list = append(list, sentinel{err, dump.ErrorInfo{Type: typeName(reflect.TypeOf(err)), Message: message(err)}})
		}
	}
	return list
}

// match reports whether f is one of them. Of an error that the program hands in
// errors.Is says that. Of what is merely seen, a panic's value is the same or an error is in
// its chain with the same type and message; no method is called.
func (list sentinels) match(f *failure) bool {
	for i := range list {
		s := &list[i]
		if f.err != nil {
			if is(f.err, s.err) {
				return true
			}
			continue
		}
		if f.panicking && capture.PanicValueIs(s.err) {
			return true
		}
		for _, info := range f.chain {
			if info.Message == s.info.Message && (info.Type == s.info.Type || info.Type == shortType(s.info.Type)) {
				return true
			}
		}
	}
	return false
}

// is is errors.Is, of errors that may panic.
func is(err, target error) (ok bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, target)
}

// panicChain describes a panic's value before phase one does, as far as that
// needs none of the program's own methods: basic values, errors of the runtime, and those that errors.New
// and fmt.Errorf make. complete says that nothing is left out.
func panicChain(v any) (chain []dump.ErrorInfo, complete bool) {
	if v == nil {
		return nil, false
	}
	parent := -1
	for len(chain) < maxChain {
		t := reflect.TypeOf(v)
		info := dump.ErrorInfo{Type: typeName(t), Parent: parent, Panic: parent < 0}
		var inner error
		complete = true
		switch t {
		case typeString:
			info.Message = v.(string)
		case typeErrorString, typeWrapError:
			err := v.(error)
			info.Message, inner = err.Error(), errors.Unwrap(err)
		default:
			switch err, ok := v.(runtime.Error); {
			case ok && packageOf(strings.TrimPrefix(info.Type, "*")) == "runtime":
				info.Message, info.Runtime = err.Error(), true
			case t.PkgPath() == "" && t.Kind() <= reflect.Complex128:
				info.Message = fmt.Sprint(v)
			default:
				complete = false
			}
		}
		chain = append(chain, info)
		if inner == nil {
			return chain, complete
		}
		v, parent = inner, len(chain)-1
	}
	return chain, false
}

var (
	typeString      = reflect.TypeFor[string]()
	typeErrorString = reflect.TypeOf(errors.New(""))
	typeWrapError   = reflect.TypeOf(fmt.Errorf("%w", errContained))
)

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
