package local

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func init() {
	sink.Register("file", func(_ context.Context, u *url.URL) (sink.Sink, error) {
		s, err := OpenURL(u)
		if err != nil {
			return nil, err // not a nil *Sink in an interface
		}
		return s, nil
	})
}

// OpenURL returns a Sink for the folder of a URL: "file:///var/lib/dumps" is an
// absolute path, "file:dumps" one from the present working directory, and
// "file:///C:/dumps" one with a drive on Windows. A URL takes no parameters.
func OpenURL(u *url.URL) (*Sink, error) {
	dir, err := urlPath(u)
	if err != nil {
		return nil, err
	}
	return New(dir)
}

func urlPath(u *url.URL) (string, error) {
	switch {
	case u.Scheme != "file" || u.User != nil:
		return "", errors.New("want file:///absolute/path or file:relative/path")
	case u.RawQuery != "":
		// The values may be anything, so only the names are said.
		var names []string
		for part := range strings.SplitSeq(u.RawQuery, "&") {
			name, _, _ := strings.Cut(part, "=")
			names = append(names, name)
		}
		slices.Sort(names)
		return "", fmt.Errorf("unknown parameter %q: a folder has none; a path has a \"?\" as %%3F", strings.Join(slices.Compact(names), ", "))
	case u.Fragment != "":
		return "", errors.New(`has a "#" in it, which a path has as %23`)
	case u.Host != "" && !strings.EqualFold(u.Host, "localhost"):
		return "", fmt.Errorf("names the host %q: want file:///absolute/path, with three slashes, or file:relative/path, with none", u.Host)
	}
	path := u.Path
	if u.Opaque != "" {
		var err error
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			return "", errors.New("want %XX behind a % in the path")
		}
	}
	if path == "" {
		return "", errors.New("names no folder: want file:///absolute/path or file:relative/path")
	}
	if runtime.GOOS == "windows" {
		// "/C:/dumps" is how a URL has a path with a drive.
		if rest := strings.TrimPrefix(path, "/"); rest != path && filepath.VolumeName(rest) != "" {
			path = rest
		}
	}
	return filepath.FromSlash(path), nil
}
