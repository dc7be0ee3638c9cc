// Package calendar walks the year, month and day folders of a store from the
// newest to the oldest, and enters only those that a query can have a dump in.
// It is what makes a listing of a store with years of dumps cheap, on disk and
// in a bucket alike.
package calendar

import (
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// A level of folders below the days: how much of the date its path holds, and
// how long the time is that one such folder stands for.
type level struct {
	layout string
	end    func(start time.Time) time.Time
}

var levels = []level{
	{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
	{"2006/01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{"2006/01/02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
}

// Days yields the beginnings (midnight, UTC) of the days that have a folder and
// that q touches, newest first. The function children returns the names of the
// folders below a key prefix that ends in "/", in any order; names that are no
// date are passed over. It is called only as far as the caller iterates. An
// error of it comes as the last pair.
func Days(q sink.Query, children func(prefix string) ([]string, error)) iter.Seq2[time.Time, error] {
	return func(yield func(time.Time, error) bool) {
		walk(q, children, "", levels, yield)
	}
}

// walk goes through the folders below date, which is "" or the path of a year
// or a month. It reports whether to go on.
func walk(q sink.Query, children func(string) ([]string, error), date string, levels []level, yield func(time.Time, error) bool) bool {
	prefix := sink.DaysPrefix
	if date != "" {
		prefix += date + "/"
	}
	names, err := children(prefix)
	if err != nil {
		yield(time.Time{}, err)
		return false
	}
	// All names of one level that are dates have the same length, so that the
	// order of the strings is that of the times.
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(b, a) })
	for _, name := range slices.Compact(names) {
		path := name
		if date != "" {
			path = date + "/" + name
		}
		start, err := time.Parse(levels[0].layout, path)
		if err != nil || start.Format(levels[0].layout) != path {
			continue // foreign
		}
		if !touches(q, start, levels[0].end(start)) {
			continue
		}
		if len(levels) == 1 {
			if !yield(start, nil) {
				return false
			}
		} else if !walk(q, children, path, levels[1:], yield) {
			return false
		}
	}
	return true
}

// touches reports whether a time in start ≤ t < end can match q.
func touches(q sink.Query, start, end time.Time) bool {
	return (q.Since.IsZero() || end.After(q.Since)) && (q.Until.IsZero() || start.Before(q.Until))
}
