package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Opener opens the store that a URL names. It checks the URL and reads what it
// needs of the environment, but sends nothing to the store; a query parameter
// that it does not know is an error. The context is only for the call itself.
type Opener func(ctx context.Context, u *url.URL) (Sink, error)

var registry = struct {
	sync.RWMutex
	m map[string]Opener
}{m: make(map[string]Opener)}

// Register makes a kind of store known under a URL scheme, so that [Open], and
// with it every key of the configuration that takes a URL, can open it. It is
// meant for init functions: packages local and s3 register "file" and "s3", and
// a store of somebody else's is available to a program that imports its
// package. Register panics if the scheme is not a lower-case URL scheme or is
// taken.
func Register(scheme string, open Opener) {
	if u, err := url.Parse(scheme + "://x"); err != nil || u.Scheme != scheme || scheme == "" || open == nil {
		panic(fmt.Sprintf("sink: Register: %q is not a scheme", scheme))
	}
	registry.Lock()
	defer registry.Unlock()
	if registry.m[scheme] != nil {
		panic("sink: Register: scheme " + scheme + " is taken")
	}
	registry.m[scheme] = open
}

// Schemes returns the registered schemes in alphabetical order.
func Schemes() []string {
	registry.RLock()
	defer registry.RUnlock()
	return slices.Sorted(maps.Keys(registry.m))
}

// Open opens the store that a URL names, such as "file:///var/lib/dumps" or
// "s3://bucket/prefix?region=eu-central-1". The scheme decides who opens it, see
// [Register]. The error never holds a password of the URL, nor the values of
// its query.
func Open(ctx context.Context, rawURL string) (Sink, error) {
	u, err := ParseURL(rawURL)
	if err != nil {
		return nil, err
	}
	registry.RLock()
	open := registry.m[u.Scheme]
	registry.RUnlock()
	s, err := open(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", harmless(u), err)
	}
	return s, nil
}

// ParseURL reads the URL of a store and reports as an error what Open would
// refuse without looking at anything but scheme and form.
func ParseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		// The error of the parser repeats the whole text, which may hold a
		// password.
		var perr *url.Error
		if errors.As(err, &perr) {
			err = perr.Err
		}
		return nil, fmt.Errorf("not the URL of a store: %w", err)
	case u.Scheme == "":
		return nil, fmt.Errorf("%q is not the URL of a store: it does not begin with one of %s", harmless(u), schemeList())
	case u.User != nil:
		return nil, fmt.Errorf("store %s: the URL has a user or password in it, which would show up in logs and on spans", harmless(u))
	}
	registry.RLock()
	defer registry.RUnlock()
	if registry.m[u.Scheme] == nil {
		return nil, fmt.Errorf("store %s: the scheme is none of %s", harmless(u), schemeList())
	}
	return u, nil
}

func schemeList() string {
	var list []string
	for _, s := range Schemes() {
		list = append(list, s+":")
	}
	return strings.Join(list, ", ")
}

// harmless is the URL as it may be shown.
func harmless(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Opaque: u.Opaque, Host: u.Host, Path: u.Path}).String()
}
