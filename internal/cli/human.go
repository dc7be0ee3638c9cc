package cli

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// parseTime reads the time that a flag says: a span of time before now ("90m",
// "2h30m", "3d", "1w"), a date or a date and time in the local zone
// ("2026-11-01", "2026-11-01 15:04"), or a time of RFC 3339.
func parseTime(flag, s string, now time.Time, local *time.Location) (time.Time, error) {
	s = strings.TrimSpace(s)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, local); err == nil {
			return t, nil
		}
	}
	if d, ok := parseDays(s); ok {
		return now.Add(-d), nil
	}
	return time.Time{}, hint(usagef("--%s %q is no time", flag, s),
		"give a span of time before now (90m, 2h, 3d), a date (2026-11-01) or a time (2026-11-01T15:04:05Z)")
}

// parseDays is time.ParseDuration with days and weeks in front.
func parseDays(s string) (time.Duration, bool) {
	const day = 24 * time.Hour
	const most = 100 * 365 // so that nothing overflows
	var sum time.Duration
	for _, u := range []struct {
		unit string
		d    time.Duration
	}{{"w", 7 * day}, {"d", day}} {
		n, rest, ok := strings.Cut(s, u.unit)
		if !ok {
			continue
		}
		v, err := strconv.ParseUint(n, 10, 32)
		if err != nil || v > most {
			return 0, false
		}
		sum += time.Duration(v) * u.d
		if s = rest; s == "" {
			return sum, true
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, false
	}
	return sum + d, true
}

// bytesText is a size for people: "512 B", "12.3 KiB".
func bytesText(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if f /= 1024; f < 1023.95 {
			break
		}
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + unit
}

// ageText is how long ago something was, in one unit: "12s", "5m", "3h", "8d".
func ageText(d time.Duration) string {
	switch {
	case d < 0:
		return "0s" // clocks differ
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// timeText is a time for people, in the local zone.
func timeText(t time.Time, local *time.Location) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.In(local).Format("2006-01-02 15:04:05")
}

// shorten cuts s to at most n runes, the last of them an ellipsis if anything
// was cut. n below 2 means no limit.
func shorten(s string, n int) string {
	if n < 2 || utf8.RuneCountInString(s) <= n {
		return s
	}
	for i := range s {
		if n--; n == 0 {
			return s[:i] + "…"
		}
	}
	return s
}

// shortFile is the last two elements of a source file's path.
func shortFile(file string) string {
	file = strings.ReplaceAll(file, `\`, "/")
	dir, base := path.Split(file)
	if dir = path.Base(path.Clean(dir)); dir == "." || dir == "/" || dir == "" {
		return base
	}
	return dir + "/" + base
}

// fileLine is "file:line", without a line that is not known.
func fileLine(file string, line int) string {
	if line <= 0 {
		return file
	}
	return file + ":" + strconv.Itoa(line)
}

// plural is a count with its noun: "1 dump", "2 dumps".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// amount is a number of a budget's unit for people.
func amount(n int64, unit string) string {
	switch unit {
	case "ns":
		return time.Duration(n).Round(10 * time.Microsecond).String()
	case "bytes":
		return bytesText(n)
	}
	return strings.TrimSpace(strconv.FormatInt(n, 10) + " " + unit)
}
